package lake

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/parquet"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// TestDuckDBReadsEveryColumn has DuckDB read a span with everything and one with nothing.
func TestDuckDBReadsEveryColumn(t *testing.T) {
	start := time.Unix(1_795_461_163, 123_456_789)
	root := t.TempDir()
	path := write(t, root, []span.Span{
		{
			TraceID: "0a", SpanID: "01", ParentSpanID: "02", ServiceName: "chat-api", Name: "chat", Kind: span.KindClient,
			StartTime: start, EndTime: start.Add(42), StatusCode: span.StatusError, StatusMessage: "rate limited",
			Attributes: `{"a":1}`, Events: `[{"name":"e"}]`, ResourceAttributes: `{"service.name":"chat-api"}`,
			Links: `[{"trace_id":"0b"}]`, TraceState: "v=1", Flags: 0x301,
			DroppedAttributesCount: 1, DroppedEventsCount: 2, DroppedLinksCount: 1<<32 - 1,
			ScopeName: "scope", ScopeVersion: "2.3.0", ScopeAttributes: `{"b":2}`, ScopeSchemaURL: "https://scope", ScopeDroppedAttributesCount: 3,
			ResourceSchemaURL: "https://resource", ResourceDroppedAttributesCount: 4, OTLP: "\x0a\xff\x00\x80",
		},
		{TraceID: "0b", SpanID: "03", StartTime: start, EndTime: start},
	})
	file := testkit.Quote(filepath.Join(root, path))
	// What comes out as text: hex for bytes, for times the microseconds that DuckDB keeps.
	got := testkit.Query(t, `SELECT * EXCLUDE (otlp) REPLACE (
			epoch_us(start_time)::VARCHAR AS start_time, epoch_us(end_time)::VARCHAR AS end_time), hex(otlp)
		FROM read_parquet(`+file+`, hive_partitioning = false) ORDER BY trace_id`)
	want := [][]string{
		strings.Split(`01|0a|02|chat-api|chat|3|1795461163123456|1795461163123456|42|2|rate limited|{"a":1}|[{"name":"e"}]|`+
			`{"service.name":"chat-api"}|[{"trace_id":"0b"}]|v=1|769|1|2|4294967295|scope|2.3.0|{"b":2}|https://scope|3|`+
			`https://resource|4|789|0AFF0080`, "|"),
		strings.Split(`03|0b|NULL|||0|1795461163123456|1795461163123456|0|0|NULL|{}|[]|{}`+strings.Repeat("|NULL", 13)+"|789|NULL", "|"),
	}
	for i := range want {
		if !slices.Equal(got[i], want[i]) {
			t.Errorf("row %d:\ngot  %q\nwant %q", i, got[i], want[i])
		}
	}

	types := testkit.Query(t, "SELECT column_type FROM (DESCRIBE FROM read_parquet("+file+", hive_partitioning = false))")
	const wantTypes = "VARCHAR VARCHAR VARCHAR VARCHAR VARCHAR TINYINT TIMESTAMP WITH TIME ZONE TIMESTAMP WITH TIME ZONE BIGINT TINYINT " +
		"VARCHAR VARCHAR VARCHAR VARCHAR VARCHAR VARCHAR BIGINT BIGINT BIGINT BIGINT VARCHAR VARCHAR VARCHAR VARCHAR BIGINT VARCHAR BIGINT BLOB BIGINT"
	if got := strings.Join(slices.Concat(types...), " "); got != wantTypes {
		t.Errorf("types\ngot  %s\nwant %s", got, wantTypes)
	}
}

// TestColumnsAreEncodedForTheirValues keeps the encodings of docs/formats/lake.md, whose bytes readers must know.
func TestColumnsAreEncodedForTheirValues(t *testing.T) {
	root := t.TempDir()
	group := rowGroups(t, root, write(t, root, makeSpans(20, 10)))[0]
	for i, c := range spanColumns() {
		chunk, err := group.ColumnChunk(i)
		if err != nil {
			t.Fatal(err)
		}
		want := parquet.Encodings.RLEDict
		switch {
		case !c.dictionary && c.text != nil:
			want = parquet.Encodings.DeltaLengthByteArray
		case !c.dictionary:
			want = parquet.Encodings.DeltaBinaryPacked
		}
		if got := chunk.Encodings(); !slices.Contains(got, want) || chunk.HasDictionaryPage() != c.dictionary {
			t.Errorf("%s is encoded as %v, want %s", c.name, got, want)
		}
		if got, err := chunk.StatsSet(); err != nil || got != c.statistics {
			t.Errorf("%s has statistics: %v, %v", c.name, got, err)
		}
	}
}
