package hot

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/spanlake/spanlake/internal/span"
)

// TestConformance holds for every implementation of Spans.
func TestConformance(t *testing.T) {
	for name, implementation := range map[string]func(*testing.T, *fixture) Spans{
		"store": func(_ *testing.T, f *fixture) Spans { return f.store },
		"client": func(t *testing.T, f *fixture) Spans {
			target, _ := serve(t, f.store, "")
			return dial(t, target)
		},
	} {
		t.Run(name, func(t *testing.T) {
			for name, test := range map[string]func(*testing.T, *fixture, Spans){
				"nothing there":         nothingThere,
				"spans as they came":    spansAsTheyCame,
				"pages":                 pages,
				"filters":               filtersMatch,
				"attributes":            attributesMatch,
				"microseconds":          microseconds,
				"counts":                counts,
				"counts of all":         countsOfAll,
				"whole spans":           wholeSpansOfIDs,
				"so many bytes":         soManyBytes,
				"a file to be":          aFileToBe,
				"long names":            longNames,
				"odd times":             oddTimes,
				"what cannot be asked":  whatCannotBeAsked,
				"publish and release":   publishAndRelease,
				"a log that fails":      aLogThatFails,
				"gone from the log":     goneFromTheLog,
				"a context that ended":  aContextThatEnded,
				"a large trace":         aLargeTrace,
				"many paths":            manyPaths,
				"a request of no spans": aRequestOfNoSpans,
			} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					f := newFixture(t, Options{})
					test(t, f, implementation(t, f))
				})
			}
		})
	}
}

// compare asks everything of spans that the list knows.
func compare(ctx context.Context, t fataler, f *fixture, spans Spans) {
	t.Helper()
	compareCounts(ctx, t, f, spans, span.CountQuery{})
	stats, err := spans.Stats(ctx)
	stats.Generation = ""
	same(t, "Stats()", stats, err, f.wantStats())
	for _, rootsOnly := range []bool{true, false} {
		rows, err := spans.List(ctx, span.Filter{}, rootsOnly, span.Key{}, MaxLimit)
		same(t, "List()", rows, err, f.wantList(span.Filter{}, rootsOnly, span.Key{}, MaxLimit))
	}
	matches, err := spans.Matches(ctx, span.Filter{})
	same(t, "Matches()", matches, err, f.wantMatches(span.Filter{}))
	selected, err := collect(spans.Select(ctx, span.Filter{}))
	same(t, "Select()", selected, err, f.wantSelected(by(span.Filter{})))
	seen, refs := map[string]bool{}, []span.Ref{}
	for _, l := range f.list {
		for _, s := range l.spans {
			if !seen[s.TraceID] {
				whole, err := untruncated(spans.Trace(ctx, s.TraceID, plenty))
				same(t, "Trace()", whole, err, f.wantSpans(func(x *span.Span) bool { return x.TraceID == s.TraceID }))
			}
			if !seen[s.TraceID+s.SpanID] {
				refs = append(refs, span.Ref{TraceID: s.TraceID, SpanID: s.SpanID})
				one, err := untruncated(spans.Span(ctx, s.TraceID, s.SpanID, plenty))
				same(t, "Span()", one, err, f.wantSpans(func(x *span.Span) bool { return x.TraceID == s.TraceID && x.SpanID == s.SpanID }))
			}
			if !seen[s.SpanID] {
				traces, err := spans.TracesOf(ctx, s.SpanID)
				same(t, "TracesOf()", traces, err, f.wantTracesOf(s.SpanID))
			}
			seen[s.TraceID], seen[s.TraceID+s.SpanID], seen[s.SpanID] = true, true, true
		}
	}
	all, err := untruncated(spans.Get(ctx, refs, plenty))
	same(t, "Get()", all, err, f.wantGot(by(span.Filter{})))
}

// compareCounts asks for counts, and that the generation is the one of Stats.
func compareCounts(ctx context.Context, t fataler, f *fixture, spans Spans, q span.CountQuery) {
	t.Helper()
	counts, err := spans.Count(ctx, q)
	stats, failed := spans.Stats(ctx)
	same(t, fmt.Sprintf("Count(%+v)", q), inOrder(counts), err, f.wantCount(q))
	same(t, "the generation", counts.Generation, failed, stats.Generation)
	if counts.Generation == "" {
		t.Fatalf("Count() has no generation")
	}
}

// collect is what a Select yields until it fails.
func collect(selected iter.Seq2[span.Span, error]) ([]span.Span, error) {
	all := []span.Span{}
	for s, err := range selected {
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

func nothingThere(t *testing.T, f *fixture, spans Spans) {
	compare(t.Context(), t, f, spans)
	whole, err := untruncated(spans.Trace(t.Context(), traceID(1), plenty))
	same(t, "Trace()", whole, err, []span.Span{})
	one, err := untruncated(spans.Span(t.Context(), traceID(1), spanID(1), plenty))
	same(t, "Span()", one, err, []span.Span{})
	traces, err := spans.TracesOf(t.Context(), spanID(1))
	same(t, "TracesOf()", traces, err, []string{})
	none, err := untruncated(spans.Get(t.Context(), []span.Ref{{TraceID: traceID(1), SpanID: spanID(1)}}, plenty))
	same(t, "Get()", none, err, []span.Span{})
	none, err = untruncated(spans.Get(t.Context(), nil, plenty))
	same(t, "Get() of nothing", none, err, []span.Span{})
	paths, err := spans.Published(t.Context())
	same(t, "Published()", paths, err, []string{})
	if err := spans.Release(t.Context(), []string{"never/there.parquet"}); err != nil {
		t.Error(err)
	}
	if err := spans.Release(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

func spansAsTheyCame(t *testing.T, f *fixture, spans Spans) {
	f.add("a", otlpSpan(1, 1, withText("prompt", "héllo\x00")), otlpSpan(1, 2, childOf(1)), otlpSpan(2, 3))
	f.add("b", otlpSpan(1, 4, childOf(2)), otlpSpan(1, 2, childOf(1), named("same ids")))
	f.add("a", otlpSpan(1, 2, childOf(1))) // a retry
	f.add("", otlpSpan(3, 0, func(s *tracepb.Span) { s.Kind, s.Status = 1000, &tracepb.Status{Code: -1000} }))
	compare(t.Context(), t, f, spans)
	same2, err := untruncated(spans.Span(t.Context(), traceID(1), spanID(2), plenty))
	if err != nil || len(same2) != 3 {
		t.Errorf("Span() = %d spans, %v, want the three with these ids", len(same2), err)
	}
	upper, err := untruncated(spans.Trace(t.Context(), strings.ToUpper(traceID(9)), plenty))
	same(t, "Trace() in upper case", upper, err, []span.Span{})
}

func publishAndRelease(t *testing.T, f *fixture, spans Spans) {
	ctx := t.Context()
	for i := range 9 {
		f.add("svc", otlpSpan(i%2, i), otlpSpan(i%2, i+100, childOf(i)))
	}
	f.publish(4, 6, "b.parquet")
	f.publish(1, 3, "a.parquet")
	published := func(want ...string) {
		t.Helper()
		paths, err := spans.Published(ctx)
		same(t, "Published()", paths, err, append([]string{}, want...))
		compare(ctx, t, f, spans)
	}
	published("b.parquet", "a.parquet")
	release := func(paths ...string) {
		t.Helper()
		if err := spans.Release(ctx, paths); err != nil {
			t.Fatal(err)
		}
		f.forget(paths...)
	}
	release("b.parquet", "unknown.parquet")
	published("a.parquet")
	if got, want := fmt.Sprint(f.log.released()), "[[b.parquet]]"; got != want {
		t.Errorf("the log released %s, want %s", got, want)
	}
	release("b.parquet")
	f.add("svc", otlpSpan(1, 50))
	f.publish(7, 10, "c.parquet")
	published("a.parquet", "c.parquet")
	f.publish(8, 9, "d.parquet") // a flush that is repeated under another name
	published("a.parquet", "c.parquet", "d.parquet")
	release("c.parquet", "a.parquet")
	published("d.parquet")
	release("d.parquet")
	published()
	if len(f.log.requests) != 0 {
		t.Errorf("%d requests are left in the log", len(f.log.requests))
	}
}

func aLogThatFails(t *testing.T, f *fixture, spans Spans) {
	f.add("svc", otlpSpan(1, 1))
	f.publish(1, 1, "a.parquet")
	f.log.fail(errors.New("disk on fire"))
	if err := spans.Release(t.Context(), []string{"a.parquet"}); err == nil || !strings.Contains(err.Error(), "disk on fire") {
		t.Errorf("Release() = %v", err)
	}
	if _, _, err := spans.Trace(t.Context(), traceID(1), plenty); err == nil || !strings.Contains(err.Error(), "disk on fire") {
		t.Errorf("Trace() = %v", err)
	}
	if _, err := collect(spans.Select(t.Context(), span.Filter{})); err == nil || !strings.Contains(err.Error(), "disk on fire") {
		t.Errorf("Select() = %v", err)
	}
	f.log.fail(nil)
	// It is still published, so that releasing it is tried again.
	paths, err := spans.Published(t.Context())
	same(t, "Published()", paths, err, []string{"a.parquet"})
	compare(t.Context(), t, f, spans)
	if err := spans.Release(t.Context(), paths); err != nil {
		t.Error(err)
	}
	f.forget("a.parquet")
	compare(t.Context(), t, f, spans)
}

// Between the log and memory, a reader passes over what is gone.
func goneFromTheLog(t *testing.T, f *fixture, spans Spans) {
	f.add("svc", otlpSpan(1, 1), otlpSpan(1, 2))
	f.add("svc", otlpSpan(1, 3))
	f.publish(1, 1, "a.parquet")
	if err := f.log.Release(t.Context(), []string{"a.parquet"}); err != nil {
		t.Fatal(err)
	}
	whole, err := untruncated(spans.Trace(t.Context(), traceID(1), plenty))
	left := func(s *span.Span) bool { return s.SpanID == spanID(3) }
	same(t, "Trace()", whole, err, f.wantSpans(left))
	selected, err := collect(spans.Select(t.Context(), span.Filter{}))
	same(t, "Select()", selected, err, f.wantSelected(left))
	has := span.Filter{Attributes: []span.AttributeClause{{{Key: "service.name"}}}}
	rows, err := spans.List(t.Context(), has, false, span.Key{}, 10)
	if err != nil || len(rows) != 1 || rows[0].SpanID != spanID(3) {
		t.Errorf("List() = %v, %v; want the span that is left", rows, err)
	}
}

func aContextThatEnded(t *testing.T, f *fixture, spans Spans) {
	f.add("svc", otlpSpan(1, 1))
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for want, ctx := range map[error]context.Context{context.Canceled: cancelled, context.DeadlineExceeded: late} {
		has := span.Filter{Attributes: []span.AttributeClause{{{Key: "k"}}}}
		_, list := spans.List(ctx, span.Filter{}, false, span.Key{}, 1)
		_, search := spans.List(ctx, has, true, span.Key{}, 1)
		_, matches := spans.Matches(ctx, has)
		_, traces := spans.TracesOf(ctx, spanID(1))
		_, count := spans.Count(ctx, span.CountQuery{})
		_, _, get := spans.Get(ctx, []span.Ref{{TraceID: traceID(1), SpanID: spanID(1)}}, plenty)
		_, selected := collect(spans.Select(ctx, span.Filter{}))
		_, _, trace := spans.Trace(ctx, traceID(1), plenty)
		_, _, one := spans.Span(ctx, traceID(1), spanID(1), plenty)
		_, stats := spans.Stats(ctx)
		_, published := spans.Published(ctx)
		for i, err := range []error{list, search, matches, traces, count, get, selected, trace, one, stats, published, spans.Release(ctx, []string{"a.parquet"})} {
			if !errors.Is(err, want) {
				t.Errorf("call %d: %v, want %v", i, err, want)
			}
		}
	}
}

// More than a message of gRPC takes, in all and in one span.
func aLargeTrace(t *testing.T, f *fixture, spans Spans) {
	for i := range 20 {
		f.add("svc", otlpSpan(1, 2*i, withText("prompt", strings.Repeat("p", chunkBytes+i-10))), otlpSpan(1, 2*i+1))
	}
	f.add("svc", otlpSpan(1, 100, withText("prompt", strings.Repeat("q", 6<<20))))
	f.add("svc", otlpSpan(1, 101))
	whole, err := untruncated(spans.Trace(t.Context(), traceID(1), plenty))
	same(t, "Trace()", whole, err, f.wantSpans(func(*span.Span) bool { return true }))
	selected, err := collect(spans.Select(t.Context(), span.Filter{}))
	same(t, "Select()", selected, err, f.wantSelected(by(span.Filter{})))
	for _, err := range spans.Select(t.Context(), span.Filter{}) {
		if err != nil {
			t.Error(err)
		}
		break // a reader that has enough
	}
}

// More than one message takes.
func manyPaths(t *testing.T, f *fixture, spans Spans) {
	for i := range 300 {
		f.add(fmt.Sprint(i, strings.Repeat("s", span.MaxNameBytes-10)), otlpSpan(i, i))
	}
	compareCounts(t.Context(), t, f, spans, span.CountQuery{})
	rows, err := spans.List(t.Context(), span.Filter{}, true, span.Key{}, MaxLimit)
	same(t, "List()", rows, err, f.wantList(span.Filter{}, true, span.Key{}, MaxLimit))
	var want []string
	for i := range 2*pathsPerCall + 1 {
		want = append(want, fmt.Sprintf("year=2026/month=11/day=24/%s_%d.parquet", strings.Repeat("s", 200), i))
		n := 1 + i // files of which there are no requests here are kept in mind for the log
		f.publish(n, n, want[i])
	}
	paths, err := spans.Published(t.Context())
	same(t, "Published()", paths, err, want)
	if err := spans.Release(t.Context(), paths); err != nil {
		t.Fatal(err)
	}
	f.forget(paths...)
	compare(t.Context(), t, f, spans)
	if released := slices.Concat(f.log.released()...); !slices.Equal(released, want) {
		t.Errorf("the log released %d files, want %d", len(released), len(want))
	}
}

func aRequestOfNoSpans(t *testing.T, f *fixture, spans Spans) {
	f.add("svc")
	compare(t.Context(), t, f, spans)
	f.publish(1, 1, "a.parquet")
	compare(t.Context(), t, f, spans)
	if err := spans.Release(t.Context(), []string{"a.parquet"}); err != nil {
		t.Fatal(err)
	}
	f.forget("a.parquet")
	compare(t.Context(), t, f, spans)
}

// What crosses the wire is what the client sent, field for field.
func TestEncodedSpansAreWhatCame(t *testing.T) {
	f := newFixture(t, Options{})
	in := []*tracepb.Span{otlpSpan(1, 1, withText("k", "v"), withText("k", "again")), otlpSpan(1, 2, childOf(1))}
	f.add("svc", in...)
	var out []*tracepb.Span
	truncated, err := f.store.Encoded(t.Context(), traceID(1), "", plenty, func(data []byte) error {
		var got tracepb.TracesData
		if err := proto.Unmarshal(data, &got); err != nil {
			return err
		}
		r := got.GetResourceSpans()[0]
		if r.GetSchemaUrl() == "" || r.GetScopeSpans()[0].GetSchemaUrl() == "" || r.GetScopeSpans()[0].GetScope().GetName() != "scope" ||
			r.GetResource().GetAttributes()[0].GetValue().GetStringValue() != "svc" {
			t.Errorf("the resource or the scope are not what came: %v", &got)
		}
		out = append(out, r.GetScopeSpans()[0].GetSpans()...)
		return nil
	})
	if truncated || err != nil {
		t.Fatalf("Encoded() = %t, %v", truncated, err)
	}
	if !slices.EqualFunc(in, out, func(a, b *tracepb.Span) bool { return proto.Equal(a, b) }) {
		t.Errorf("got %v, want %v", out, in)
	}
}
