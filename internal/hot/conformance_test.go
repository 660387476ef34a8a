package hot

import (
	"context"
	"errors"
	"fmt"
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
				"roots":                 rootsAreOrdered,
				"filters":               filtersMatch,
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
	services, err := spans.Services(ctx)
	same(t, "Services()", services, err, f.wantServices())
	stats, err := spans.Stats(ctx)
	same(t, "Stats()", stats, err, f.wantStats())
	roots, err := spans.Roots(ctx, span.Filter{}, MaxRoots)
	same(t, "Roots()", roots, err, f.wantRoots(span.Filter{}, MaxRoots))
	seen := map[string]bool{}
	for _, l := range f.list {
		for _, s := range l.spans {
			if !seen[s.TraceID] {
				whole, err := spans.Trace(ctx, s.TraceID)
				same(t, "Trace()", whole, err, f.wantSpans(func(x *span.Span) bool { return x.TraceID == s.TraceID }))
			}
			if !seen[s.TraceID+s.SpanID] {
				one, err := spans.Span(ctx, s.TraceID, s.SpanID)
				same(t, "Span()", one, err, f.wantSpans(func(x *span.Span) bool { return x.TraceID == s.TraceID && x.SpanID == s.SpanID }))
			}
			seen[s.TraceID], seen[s.TraceID+s.SpanID] = true, true
		}
	}
}

func nothingThere(t *testing.T, f *fixture, spans Spans) {
	compare(t.Context(), t, f, spans)
	whole, err := spans.Trace(t.Context(), traceID(1))
	same(t, "Trace()", whole, err, []span.Span{})
	one, err := spans.Span(t.Context(), traceID(1), spanID(1))
	same(t, "Span()", one, err, []span.Span{})
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
	same2, err := spans.Span(t.Context(), traceID(1), spanID(2))
	if err != nil || len(same2) != 3 {
		t.Errorf("Span() = %d spans, %v, want the three with these ids", len(same2), err)
	}
	upper, err := spans.Trace(t.Context(), strings.ToUpper(traceID(9)))
	same(t, "Trace() in upper case", upper, err, []span.Span{})
}

func rootsAreOrdered(t *testing.T, f *fixture, spans Spans) {
	at := func(nanos uint64) func(*tracepb.Span) {
		return func(s *tracepb.Span) { s.StartTimeUnixNano = uint64(epoch.UnixNano()) + nanos }
	}
	for i := range 50 {
		// Many start at the same time, and some have both ids in common.
		f.add("svc", otlpSpan(i%7, i%5, at(uint64(i%3)), named(fmt.Sprint(i))), otlpSpan(i, i, at(5), childOf(1)))
	}
	f.publish(10, 30, "a.parquet")
	for _, limit := range []int{1, 2, 7, 49, 50, 51, MaxRoots} {
		roots, err := spans.Roots(t.Context(), span.Filter{}, limit)
		same(t, fmt.Sprintf("Roots(%d)", limit), roots, err, f.wantRoots(span.Filter{}, limit))
	}
}

func filtersMatch(t *testing.T, f *fixture, spans Spans) {
	for i := range 60 {
		f.add([]string{"a", "b", "a/b"}[i%3], otlpSpan(i, i, named(fmt.Sprint("op ", i%4)), func(s *tracepb.Span) {
			s.Kind, s.Status.Code = tracepb.Span_SpanKind(i%6), tracepb.Status_StatusCode(i%3)
			s.EndTimeUnixNano = s.StartTimeUnixNano + uint64(i) - 5 // some end before they start
		}))
	}
	f.publish(1, 20, "a.parquet") // what is sealed and what is not
	failed, server := span.StatusError, span.KindServer
	unset := span.StatusUnset
	for name, filter := range map[string]span.Filter{
		"service":         {ServiceName: "a"},
		"no such service": {ServiceName: "A"},
		"name":            {Name: "op 1"},
		"no such name":    {Name: "op"},
		"both":            {ServiceName: "a/b", Name: "op 2"},
		"from":            {From: epoch.Add(30 * time.Millisecond)},
		"until":           {Until: epoch.Add(30 * time.Millisecond)},
		"between":         {From: epoch.Add(10 * time.Millisecond), Until: epoch.Add(10*time.Millisecond + 1)},
		"none between":    {From: epoch.Add(11 * time.Millisecond), Until: epoch.Add(11 * time.Millisecond)},
		"before 1970":     {From: time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC), Until: time.Date(1969, 1, 1, 0, 0, 0, 0, time.UTC)},
		"after 2262":      {From: time.Date(2400, 1, 1, 0, 0, 0, 0, time.UTC)},
		"until 2400":      {Until: time.Date(2400, 1, 1, 0, 0, 0, 0, time.UTC)},
		"at least":        {MinDuration: 20},
		"at most":         {MaxDuration: 20},
		"negative":        {MaxDuration: -1},
		"status":          {StatusCode: &failed},
		"status unset":    {StatusCode: &unset},
		"kind":            {Kind: &server},
		"all":             {ServiceName: "a", Name: "op 0", From: epoch, Until: epoch.Add(time.Hour), MinDuration: 1, MaxDuration: 40, StatusCode: &unset},
	} {
		for _, limit := range []int{3, 100} {
			roots, err := spans.Roots(t.Context(), filter, limit)
			same(t, name, roots, err, f.wantRoots(filter, limit))
		}
	}
}

// Names are cut in listings, since memory is bounded; whole spans have them.
func longNames(t *testing.T, f *fixture, spans Spans) {
	long := strings.Repeat("é", 1000) // 2000 bytes
	f.add("svc", otlpSpan(1, 1, named("x"+long)), otlpSpan(2, 2, named(long)))
	roots, err := spans.Roots(t.Context(), span.Filter{Name: long}, 10)
	if err != nil || len(roots) != 1 || roots[0].Name != long[:MaxNameBytes] || roots[0].SpanID != spanID(2) {
		t.Errorf("Roots() = %v, %v, want the one whose name begins so", roots, err)
	}
	roots, err = spans.Roots(t.Context(), span.Filter{Name: "x" + long}, 10)
	if err != nil || len(roots) != 1 || roots[0].Name != "x"+long[:MaxNameBytes-2] {
		t.Errorf("Roots() = %v, %v, want a name that is cut between two characters", roots, err)
	}
	compare(t.Context(), t, f, spans)
}

func oddTimes(t *testing.T, f *fixture, spans Spans) {
	for i, times := range [][2]uint64{{0, 0}, {1, 0}, {farFuture, 0}, {0, farFuture}, {farFuture, farFuture}, {1 << 63, 1<<63 - 1}} {
		f.add("svc", otlpSpan(i, i, func(s *tracepb.Span) { s.StartTimeUnixNano, s.EndTimeUnixNano = times[0], times[1] }))
	}
	compare(t.Context(), t, f, spans)
	for _, filter := range []span.Filter{
		{MinDuration: 1}, {MaxDuration: -1}, {MinDuration: 1<<63 - 1}, {From: time.Unix(0, 1)}, {Until: time.Unix(0, 1)},
		{From: time.Unix(0, 1<<63-1)}, {Until: time.Unix(0, 1<<63-1)},
	} {
		roots, err := spans.Roots(t.Context(), filter, 100)
		same(t, fmt.Sprintf("Roots(%+v)", filter), roots, err, f.wantRoots(filter, 100))
	}
}

func whatCannotBeAsked(t *testing.T, f *fixture, spans Spans) {
	f.add("svc", otlpSpan(1, 1))
	ctx := t.Context()
	roots := func(filter span.Filter, limit int) error { _, err := spans.Roots(ctx, filter, limit); return err }
	trace := func(id string) error { _, err := spans.Trace(ctx, id); return err }
	one := func(trace, id string) error { _, err := spans.Span(ctx, trace, id); return err }
	for name, err := range map[string]error{
		"limit 0":         roots(span.Filter{}, 0),
		"limit -1":        roots(span.Filter{}, -1),
		"too many":        roots(span.Filter{}, MaxRoots+1),
		"huge":            roots(span.Filter{}, 1<<62),
		"name not UTF-8":  roots(span.Filter{Name: "\xff"}, 1),
		"no trace id":     trace(""),
		"short trace id":  trace("abc"),
		"span for trace":  trace(spanID(1)),
		"no hex":          trace(strings.Repeat("g", 32)),
		"no trace":        one("", spanID(1)),
		"no span id":      one(traceID(1), ""),
		"trace as span":   one(traceID(1), traceID(1)),
		"a megabyte":      one(traceID(1), strings.Repeat("0", 1<<20)),
		"service no text": roots(span.Filter{ServiceName: "a\x80"}, 1),
	} {
		if invalid := (*span.InvalidError)(nil); !errors.As(err, &invalid) {
			t.Errorf("%s: %v, want an InvalidError", name, err)
		}
	}
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
	if _, err := spans.Trace(t.Context(), traceID(1)); err == nil || !strings.Contains(err.Error(), "disk on fire") {
		t.Errorf("Trace() = %v", err)
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
	whole, err := spans.Trace(t.Context(), traceID(1))
	same(t, "Trace()", whole, err, f.wantSpans(func(s *span.Span) bool { return s.SpanID == spanID(3) }))
}

func aContextThatEnded(t *testing.T, f *fixture, spans Spans) {
	f.add("svc", otlpSpan(1, 1))
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for want, ctx := range map[error]context.Context{context.Canceled: cancelled, context.DeadlineExceeded: late} {
		_, services := spans.Services(ctx)
		_, roots := spans.Roots(ctx, span.Filter{}, 1)
		_, trace := spans.Trace(ctx, traceID(1))
		_, one := spans.Span(ctx, traceID(1), spanID(1))
		_, stats := spans.Stats(ctx)
		_, published := spans.Published(ctx)
		for i, err := range []error{services, roots, trace, one, stats, published, spans.Release(ctx, []string{"a.parquet"})} {
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
	whole, err := spans.Trace(t.Context(), traceID(1))
	same(t, "Trace()", whole, err, f.wantSpans(func(*span.Span) bool { return true }))
}

// More than one message takes.
func manyPaths(t *testing.T, f *fixture, spans Spans) {
	for i := range 300 {
		f.add(fmt.Sprint(i, strings.Repeat("s", MaxNameBytes-10)), otlpSpan(i, i))
	}
	services, err := spans.Services(t.Context())
	same(t, "Services()", services, err, f.wantServices())
	roots, err := spans.Roots(t.Context(), span.Filter{}, MaxRoots)
	same(t, "Roots()", roots, err, f.wantRoots(span.Filter{}, MaxRoots))
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
	for data, err := range f.store.Encoded(t.Context(), traceID(1), "") {
		if err != nil {
			t.Fatal(err)
		}
		var got tracepb.TracesData
		if err := proto.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		r := got.GetResourceSpans()[0]
		if r.GetSchemaUrl() == "" || r.GetScopeSpans()[0].GetSchemaUrl() == "" || r.GetScopeSpans()[0].GetScope().GetName() != "scope" ||
			r.GetResource().GetAttributes()[0].GetValue().GetStringValue() != "svc" {
			t.Errorf("the resource or the scope are not what came: %v", &got)
		}
		out = append(out, r.GetScopeSpans()[0].GetSpans()...)
	}
	if !slices.EqualFunc(in, out, func(a, b *tracepb.Span) bool { return proto.Equal(a, b) }) {
		t.Errorf("got %v, want %v", out, in)
	}
}
