package lake

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// TestAnySpanComesBackAsItWentIn writes spans of any content in any order and reads them back.
func TestAnySpanComesBackAsItWentIn(t *testing.T) {
	root := t.TempDir()
	writer := newWriter(t, root)
	var suffix uint32
	rapid.Check(t, func(r *rapid.T) {
		spans := rapid.SliceOfN(rapid.Custom(anySpan), 1, 30).Draw(r, "spans")
		suffix++
		written, err := writer.Write(Path("svc", time.Unix(0, 0), suffix), spans)
		if err != nil {
			r.Fatal(err)
		}
		read := testkit.ReadSpans(t, filepath.Join(root, written.Path))
		// The order of rows is that of the file; spans with the same ids and start stay in the order in which they came.
		slices.SortStableFunc(spans, func(a, b span.Span) int {
			return cmp.Or(strings.Compare(a.TraceID, b.TraceID), a.StartTime.Compare(b.StartTime), strings.Compare(a.SpanID, b.SpanID))
		})
		if !slices.Equal(read, spans) {
			for i := range spans {
				if i >= len(read) || read[i] != spans[i] {
					r.Fatalf("of %d rows, row %d is\n%+v\nnot\n%+v", len(read), i, read[i:min(i+1, len(read))], spans[i])
				}
			}
			r.Fatalf("%d rows, want %d", len(read), len(spans))
		}
	})
}

// anySpan is a span that a lake can hold. Few trace ids, so that traces have several spans.
func anySpan(r *rapid.T) span.Span {
	text := rapid.OneOf(rapid.Just(""), rapid.SampledFrom([]string{"a", "b", "{}", "[]"}), rapid.String())
	object := rapid.OneOf(rapid.Just("{}"), rapid.StringMatching(`\{"[a-z東🚀]{1,9}":("[^"\\]{0,40}"|-?[1-9][0-9]{0,18})\}`))
	id := rapid.StringMatching(`[0-9a-f]{16}`)
	count := rapid.OneOf(rapid.Just(uint32(0)), rapid.Uint32())
	nanos := rapid.OneOf(rapid.Int64Range(-maxSeconds*1e9+1e9, maxSeconds*1e9-1), rapid.Int64Range(1.7e18, 1.7e18+3))
	at := func(label string) time.Time { return time.Unix(0, nanos.Draw(r, label)).UTC() }
	return span.Span{
		TraceID: "0af7651916cd43dd8448eb211c80319" + rapid.StringMatching(`[0-2]`).Draw(r, "trace"), SpanID: id.Draw(r, "span"),
		ParentSpanID: rapid.OneOf(rapid.Just(""), id).Draw(r, "parent"),
		ServiceName:  text.Draw(r, "service"), Name: text.Draw(r, "name"), Kind: span.Kind(rapid.Int8().Draw(r, "kind")),
		StartTime: at("start"), EndTime: at("end"),
		StatusCode: span.StatusCode(rapid.Int8().Draw(r, "code")), StatusMessage: text.Draw(r, "message"),
		Attributes: object.Draw(r, "attributes"), Events: "[" + object.Draw(r, "event") + "]",
		ResourceAttributes: object.Draw(r, "resource"),

		Links: text.Draw(r, "links"), TraceState: text.Draw(r, "state"), Flags: count.Draw(r, "flags"),
		DroppedAttributesCount: count.Draw(r, "dropped attributes"), DroppedEventsCount: count.Draw(r, "dropped events"),
		DroppedLinksCount: count.Draw(r, "dropped links"),
		ScopeName:         text.Draw(r, "scope"), ScopeVersion: text.Draw(r, "version"), ScopeAttributes: text.Draw(r, "scope attributes"),
		ScopeSchemaURL: text.Draw(r, "scope schema"), ScopeDroppedAttributesCount: count.Draw(r, "dropped by scope"),
		ResourceSchemaURL: text.Draw(r, "resource schema"), ResourceDroppedAttributesCount: count.Draw(r, "dropped by resource"),
		// Bytes of any kind, which need not be UTF-8.
		OTLP: string(rapid.SliceOf(rapid.Byte()).Draw(r, "otlp")),
	}
}
