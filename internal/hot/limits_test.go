package hot

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/spanlake/spanlake/internal/span"
)

// compareWithin asks for whole spans that have so many bytes at most.
func compareWithin(ctx context.Context, t fataler, f *fixture, spans Spans, refs []span.Ref, maxBytes int64) {
	t.Helper()
	compareOne := func(what string, want []span.Span, sorted bool, got []span.Span, truncated bool, err error) {
		t.Helper()
		what = fmt.Sprintf("%s of %d bytes", what, maxBytes)
		want, more := firstOf(want, maxBytes)
		if sorted {
			inOrderOfTrace(want)
		}
		same(t, what, got, err, want)
		same(t, what+": truncated", truncated, err, more)
	}
	got, truncated, err := spans.Get(ctx, refs, maxBytes)
	compareOne("Get()", f.wantGot(func(s *span.Span) bool {
		return slices.Contains(refs, span.Ref{TraceID: s.TraceID, SpanID: s.SpanID})
	}), false, got, truncated, err)
	for _, r := range refs {
		got, truncated, err := spans.Trace(ctx, r.TraceID, maxBytes)
		compareOne("Trace()", f.wantSelected(func(s *span.Span) bool { return s.TraceID == r.TraceID }), true, got, truncated, err)
		got, truncated, err = spans.Span(ctx, r.TraceID, r.SpanID, maxBytes)
		compareOne("Span()", f.wantSelected(func(s *span.Span) bool { return s.TraceID == r.TraceID && s.SpanID == r.SpanID }), true, got, truncated, err)
	}
}

// Whole spans come until they have so many bytes, and nothing is read for those after them.
func soManyBytes(t *testing.T, f *fixture, spans Spans) {
	var refs []span.Ref
	for i := range 30 {
		// The later ones of a trace started earlier, and a part of them is published.
		f.add("svc", otlpSpan(i%2, 100-2*i, withText("prompt", strings.Repeat("p", 1000*(1+i%3)))), otlpSpan(i%2, 1, named(fmt.Sprint(i))))
		refs = append(refs, span.Ref{TraceID: traceID(i % 2), SpanID: spanID(100 - 2*i)})
	}
	refs = append(refs, span.Ref{TraceID: traceID(0), SpanID: spanID(1)}, span.Ref{TraceID: traceID(5), SpanID: spanID(1)})
	f.publish(4, 14, "a.parquet")
	all := f.wantSelected(func(s *span.Span) bool { return s.TraceID == traceID(0) })
	sum := int64(0)
	for i := range all {
		sum += all[i].Bytes()
		if i%7 == 0 || i == len(all)-1 {
			for _, maxBytes := range []int64{sum - 1, sum, sum + 1} {
				compareWithin(t.Context(), t, f, spans, refs, maxBytes)
			}
		}
	}
	for _, maxBytes := range []int64{math.MinInt64, -1, 0, 1, all[0].Bytes() - 1} {
		compareWithin(t.Context(), t, f, spans, refs, maxBytes)
	}
	compareWithin(t.Context(), t, f, spans, refs, plenty)
	for name, read := range map[string]func(maxBytes int64) ([]span.Span, bool, error){
		"Trace()": func(maxBytes int64) ([]span.Span, bool, error) { return spans.Trace(t.Context(), traceID(0), maxBytes) },
		"Span()": func(maxBytes int64) ([]span.Span, bool, error) {
			return spans.Span(t.Context(), traceID(0), spanID(1), maxBytes)
		},
		"Get()": func(maxBytes int64) ([]span.Span, bool, error) { return spans.Get(t.Context(), refs, maxBytes) },
	} {
		before := f.log.reads()
		if got, truncated, err := read(1); err != nil || !truncated || len(got) != 0 {
			t.Errorf("%s of 1 byte: %d spans, %t, %v", name, len(got), truncated, err)
		}
		if read := f.log.reads() - before; read != 1 {
			t.Errorf("%s of 1 byte read %d requests, want 1", name, read)
		}
	}
	// Ids of more than one call have a bound together.
	for i := range MaxLimit {
		refs = slices.Insert(refs, 1, span.Ref{TraceID: traceID(1000 + i), SpanID: spanID(1)})
	}
	one, truncated, err := spans.Get(t.Context(), refs, all[0].Bytes()+10)
	if err != nil || !truncated || len(one) > 1 {
		t.Errorf("Get() of many = %d spans, %t, %v, want one at most", len(one), truncated, err)
	}
}

// A trace in memory takes what is asked for, however large it is.
func TestMemoryOfALargeTrace(t *testing.T) {
	const total, perSpan, maxBytes = 60 << 20, 10_000, 4 << 20
	f := newFixture(t, Options{})
	var refs []span.Ref
	prompt := withText("prompt", strings.Repeat("p", perSpan))
	for n := 0; n < total/perSpan; n += 100 {
		some := make([]*tracepb.Span, 100)
		for i := range some {
			some[i] = otlpSpan(1, n+i, prompt)
			refs = append(refs, span.Ref{TraceID: traceID(1), SpanID: spanID(n + i)})
		}
		// Not in the list, which would have all of them in memory.
		r := newRequest(t, f.next, "svc", some...)
		f.log.append(r)
		f.store.Add([]span.Request{r})
		f.next++
	}
	target, _ := serve(t, f.store, "")
	client := dial(t, target)
	if err := stats(t, client); err != nil { // connects
		t.Fatal(err)
	}
	allocated := func(read func() ([]span.Span, bool, error)) (spans int, truncated bool, bytes uint64) {
		t.Helper()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		whole, truncated, err := read()
		runtime.ReadMemStats(&after)
		if err != nil {
			t.Fatal(err)
		}
		return len(whole), truncated, after.TotalAlloc - before.TotalAlloc
	}
	// The race detector takes more than the seconds that a client has of its own.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for name, spans := range map[string]Spans{"store": f.store, "client": client} {
		for call, read := range map[string]func(maxBytes int64) ([]span.Span, bool, error){
			"Trace()": func(maxBytes int64) ([]span.Span, bool, error) { return spans.Trace(ctx, traceID(1), maxBytes) },
			"Get()":   func(maxBytes int64) ([]span.Span, bool, error) { return spans.Get(ctx, refs, maxBytes) },
		} {
			n, truncated, few := allocated(func() ([]span.Span, bool, error) { return read(maxBytes) })
			if want := maxBytes / (perSpan + 1000); !truncated || n < want || n > maxBytes/perSpan {
				t.Errorf("%s of the %s: %d spans, %t, want about %d and that there are more", call, name, n, truncated, want)
			}
			_, truncated, many := allocated(func() ([]span.Span, bool, error) { return read(plenty) })
			if truncated {
				t.Errorf("%s of the %s is truncated without a bound", call, name)
			}
			t.Logf("%s of the %s allocates %d kB for %d spans, %d kB for all", call, name, few>>10, n, many>>10)
			// What gRPC and the race detector take on top differs from run to run, but not with what is left out.
			if name == "store" && few > 2*maxBytes || few > many/8 || many < total {
				t.Errorf("%s of the %s allocates %d kB, and %d kB without a bound", call, name, few>>10, many>>10)
			}
		}
	}
}
