package index

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

func TestATraceIsFoundWhateverItsID(t *testing.T) {
	t.Parallel()
	ids := []string{
		"0af7651916cd43dd8448eb211c80319c", strings.ToUpper("0af7651916cd43dd8448eb211c80319c"), "0af76519-16cd-43dd-8448-eb211c80319c",
		"{0af7651916cd43dd8448eb211c80319c}", strings.Repeat("f", 32), strings.Repeat("0", 32), "8" + strings.Repeat("0", 31),
		"1", "not hex", "東京", "'; DROP TABLE services; --", " ", "null", strings.Repeat("long", 25_000), "0x0af7651916cd43dd", "trace\x00with zero",
	}
	f := newFixture(t)
	var spans []span.Span
	for i, id := range ids {
		spans = append(spans, testkit.Span(1, i+1, func(s *span.Span) { s.TraceID = id }))
	}
	writeWithLake(t, f.lake, spans...)
	f.sync()
	for i, id := range ids {
		found, err := f.TraceSpans(t.Context(), id)
		if err != nil || len(found) != 1 || found[0].TraceID != id || found[0].SpanID != spans[i].SpanID {
			t.Errorf("TraceSpans(%.40q) = %d spans, %v", id, len(found), err)
		}
	}
	for _, id := range []string{"", "unknown", strings.Repeat("e", 32)} {
		if found, err := f.TraceSpans(t.Context(), id); err != nil || len(found) != 0 {
			t.Errorf("TraceSpans(%q) = %v, %v", id, found, err)
		}
	}
}

func TestASpanIsToldAsItIs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	root := testkit.Span(1, 1)
	child := testkit.Span(1, 2, parent(root.SpanID), noEnd, func(s *span.Span) { s.StatusCode, s.Kind, s.ServiceName, s.Name = 2, 3, "b/é", "" })
	f.lake.Spans(t, "day=1/a.parquet", child)
	f.lake.Spans(t, "day=2/b.parquet", root)
	f.sync()
	got, err := f.TraceSpans(t.Context(), root.TraceID)
	if err != nil {
		t.Fatal(err)
	}
	got[1].Duration = 0 // of a span without an end it says nothing
	want := []SpanSummary{
		{TraceID: root.TraceID, SpanID: root.SpanID, ServiceName: "svc", Name: "op", StartTime: root.StartTime, EndTime: root.EndTime,
			Duration: time.Millisecond, StatusCode: 1, Kind: 2, IsRoot: true, FilePath: "day=2/b.parquet"},
		{TraceID: root.TraceID, SpanID: child.SpanID, ParentSpanID: root.SpanID, ServiceName: "b/é", StartTime: child.StartTime,
			StatusCode: 2, Kind: 3, FilePath: "day=1/a.parquet"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("TraceSpans() (-want +got):\n%s", diff)
	}
}

func TestATraceOverManyFilesComesInTheOrderOfTime(t *testing.T) {
	t.Parallel()
	f := newFixture(t, batchSize(3))
	for i := range 10 {
		f.lake.Spans(t, fmt.Sprintf("%d.parquet", i), testkit.Span(1, 100-i), testkit.Span(2+i, 200+i), testkit.Span(1, 1+i))
	}
	f.sync()
	got, err := f.TraceSpans(t.Context(), testkit.TraceID(1))
	if err != nil || len(got) != 20 {
		t.Fatalf("TraceSpans() = %d spans, %v", len(got), err)
	}
	if !slices.IsSortedFunc(got, func(a, b SpanSummary) int { return a.StartTime.Compare(b.StartTime) }) {
		t.Errorf("TraceSpans() = %v", got)
	}
}

// The tail of the look-up becomes a sorted run, and traces are found as before, in the run, in the tail, and in both.
func TestTheLookupStaysSorted(t *testing.T) {
	if testing.Short() {
		t.Skip("indexes a million traces")
	}
	f := newFixture(t, func(o *Options) { o.Threads = 2 })
	f.lake.Table(t, "large.parquet", testkit.SpanTable(lookupRun).With("trace_id", "md5(i::VARCHAR)").
		Without("attributes", "events", "resource_attributes", "end_time", "parent_span_id"))
	if summary := f.sync(); summary.SpansIndexed != lookupRun || summary.LongestSort <= 0 {
		t.Errorf("Sync() = %+v", summary)
	}
	f.expect("SELECT count(*) FROM trace_lookup_tail", "0")
	f.expect("SELECT count(*) FROM (SELECT trace_id, lag(trace_id) OVER (ORDER BY rowid) AS before FROM trace_lookup) WHERE before > trace_id", "0")
	id := f.column("SELECT trace_id FROM span_metadata WHERE span_id = '0000000000000fff'")[0]
	f.lake.Spans(t, "small.parquet", testkit.Span(1, 1, func(s *span.Span) { s.TraceID = id }), testkit.Span(2, 2))
	if summary := f.sync(); summary.LongestSort != 0 {
		t.Errorf("Sync() = %+v: a short tail waits", summary)
	}
	for trace, want := range map[string]int{id: 2, testkit.TraceID(2): 1} {
		if got, err := f.TraceSpans(t.Context(), trace); err != nil || len(got) != want {
			t.Errorf("TraceSpans() = %d spans, %v; want %d", len(got), err, want)
		}
	}
	f.lake.Remove(t, "large.parquet")
	f.sync()
	f.expect("SELECT count(*) FROM trace_lookup", "0")
}
