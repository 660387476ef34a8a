package lake

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/parquet/file"

	"github.com/spanlake/spanlake/internal/attribute"
	"github.com/spanlake/spanlake/internal/span"
)

// footerFilters are the filters in the footer of a file.
func footerFilters(t *testing.T, path string) []attribute.RowGroup {
	t.Helper()
	reader, err := file.OpenParquetFile(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	text := reader.MetaData().KeyValueMetadata().FindValue(attribute.MetadataKey)
	if text == nil {
		return nil
	}
	groups, err := attribute.Decode(*text)
	if err != nil {
		t.Fatal(err)
	}
	return groups
}

// TestFooterTellsWhichAttributesRowGroupsHave: a reader that looks for an attribute needs to open only the row groups that may have it.
func TestFooterTellsWhichAttributesRowGroupsHave(t *testing.T) {
	root := t.TempDir()
	var spans []span.Span
	for i := range 25_000 {
		start := time.Unix(1_795_461_163, int64(i))
		spans = append(spans, span.Span{TraceID: fmt.Sprintf("%032x", i), SpanID: fmt.Sprintf("%016x", i), ServiceName: "api", Name: "op",
			StartTime: start, EndTime: start, Attributes: fmt.Sprintf(`{"user.id":"u%d"}`, i), ResourceAttributes: `{"host":"a"}`})
	}
	groups := footerFilters(t, filepath.Join(root, write(t, root, spans)))
	if len(groups) != 3 {
		t.Fatalf("%d row groups have filters, want 3", len(groups))
	}
	may := func(g attribute.RowGroup, key, value string) bool {
		return attribute.Open(g.Filter).MayMatch([]span.AttributeClause{{{Key: key, Value: &value}}})
	}
	for i, g := range groups {
		first, last := i*10_000, min((i+1)*10_000, len(spans))-1
		if g.FirstTraceID != spans[first].TraceID || g.LastTraceID != spans[last].TraceID {
			t.Errorf("row group %d goes from %s to %s", i, g.FirstTraceID, g.LastTraceID)
		}
		if !may(g, "user.id", fmt.Sprintf("u%d", first+1)) || !may(g, "host", "a") {
			t.Errorf("row group %d denies what it has", i)
		}
		if may(g, "user.id", "nobody") && may(g, "user.id", "nothing") && may(g, "user.id", "never") {
			t.Errorf("row group %d rules nothing out", i)
		}
	}
}

// TestFooterDoesNotGrowWithoutBound: where attributes are many and all different, the footer has none of them.
func TestFooterDoesNotGrowWithoutBound(t *testing.T) {
	root := t.TempDir()
	var spans []span.Span
	for i := range 60_000 {
		var attributes strings.Builder
		for j := range 12 {
			fmt.Fprintf(&attributes, `,"k%d":"v%d-%d"`, j, i, j)
		}
		start := time.Unix(1_795_461_163, int64(i))
		spans = append(spans, span.Span{TraceID: fmt.Sprintf("%032x", i), SpanID: fmt.Sprintf("%016x", i), ServiceName: "api", Name: "op",
			StartTime: start, EndTime: start, Attributes: "{" + attributes.String()[1:] + "}"})
	}
	if groups := footerFilters(t, filepath.Join(root, write(t, root, spans))); groups != nil {
		t.Errorf("%d row groups have filters", len(groups))
	}
}
