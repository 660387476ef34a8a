package hot

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/spanlake/spanlake/internal/span"
)

// Whatever happens in whatever order, answers are those of a list in which everything is looked up by reading all of it.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := newFixture(t, Options{})
		files, published := 0, []string{}
		ctx := t.Context()
		few := rapid.IntRange(0, 3)
		rt.Repeat(map[string]func(*rapid.T){
			"add": func(rt *rapid.T) {
				var spans []*tracepb.Span
				for range rapid.IntRange(0, 6).Draw(rt, "spans") {
					spans = append(spans, otlpSpan(few.Draw(rt, "trace"), few.Draw(rt, "id"), func(s *tracepb.Span) {
						s.StartTimeUnixNano += uint64(few.Draw(rt, "start")) * 500
						s.Status.Code = tracepb.Status_StatusCode(few.Draw(rt, "status"))
						if rapid.Bool().Draw(rt, "has") {
							withText(fmt.Sprint("key", few.Draw(rt, "key")), fmt.Sprint(few.Draw(rt, "value")))(s)
						}
						s.EndTimeUnixNano = rapid.Uint64().Draw(rt, "end")
						s.Name = fmt.Sprint(few.Draw(rt, "name"))
						if rapid.Bool().Draw(rt, "child") {
							childOf(few.Draw(rt, "parent"))(s)
						}
					}))
				}
				f.add(fmt.Sprint("svc", few.Draw(rt, "service")), spans...)
			},
			"seal": func(*rapid.T) { // as when a block is full
				f.store.mu.Lock()
				defer f.store.mu.Unlock()
				f.store.seal()
			},
			"assign": func(rt *rapid.T) {
				// What is published stays where it is.
				free := slices.IndexFunc(f.list, func(l listed) bool { return l.path == "" })
				if free < 0 {
					rt.Skip("nothing to assign")
				}
				before, n := generation(ctx, rt, f.store), int(binary.BigEndian.Uint64(f.list[free].request.ID[8:]))
				files++
				f.assign(n, n, fmt.Sprint("file", files))
				if generation(ctx, rt, f.store) == before {
					rt.Fatalf("the generation is still %s", before)
				}
			},
			"publish": func(rt *rapid.T) {
				if f.next == 1 {
					rt.Skip("nothing to publish")
				}
				first := rapid.IntRange(1, f.next-1).Draw(rt, "first")
				files++
				path := fmt.Sprint("file", files)
				published = append(published, path)
				f.publish(first, rapid.IntRange(first, f.next-1).Draw(rt, "last"), path)
			},
			"release": func(rt *rapid.T) {
				if len(published) == 0 {
					rt.Skip("nothing to release")
				}
				paths := rapid.SliceOfN(rapid.SampledFrom(published), 1, 3).Draw(rt, "paths")
				if err := f.store.Release(ctx, paths); err != nil {
					rt.Fatal(err)
				}
				f.forget(paths...)
				published = slices.DeleteFunc(published, func(path string) bool { return slices.Contains(paths, path) })
			},
			"list": func(rt *rapid.T) {
				filter, limit, rootsOnly := drawFilter(rt), rapid.IntRange(1, 20).Draw(rt, "limit"), rapid.Bool().Draw(rt, "roots")
				after := span.Key{}
				if rapid.Bool().Draw(rt, "paged") {
					after = span.Key{StartTime: epoch.Add(time.Duration(few.Draw(rt, "after ms"))*time.Millisecond + time.Duration(few.Draw(rt, "after us"))*time.Microsecond),
						TraceID: traceID(few.Draw(rt, "after trace")), SpanID: spanID(few.Draw(rt, "after span"))}
				}
				rows, err := f.store.List(ctx, filter, rootsOnly, after, limit)
				same(rt, "List()", rows, err, f.wantList(filter, rootsOnly, after, limit))
			},
			"search": func(rt *rapid.T) {
				filter := drawFilter(rt)
				matches, err := f.store.Matches(ctx, filter)
				same(rt, "Matches()", matches, err, f.wantMatches(filter))
				selected, err := collect(f.store.Select(ctx, filter))
				same(rt, "Select()", selected, err, f.wantSelected(by(filter)))
			},
			"get": func(rt *rapid.T) {
				id := rapid.Custom(func(rt *rapid.T) span.Ref {
					return span.Ref{TraceID: traceID(few.Draw(rt, "trace")), SpanID: spanID(few.Draw(rt, "id"))}
				})
				refs := rapid.SliceOfN(id, 0, 5).Draw(rt, "refs")
				compareWithin(ctx, rt, f, f.store, refs, rapid.Int64Range(0, 20_000).Draw(rt, "bytes"))
			},
			"count": func(rt *rapid.T) {
				filter := drawFilter(rt)
				q := span.CountQuery{ServiceName: filter.ServiceName, From: filter.From, Until: filter.Until, ByName: rapid.Bool().Draw(rt, "by name"),
					Durations: rapid.Bool().Draw(rt, "durations"), Step: time.Duration(rapid.IntRange(0, 3).Draw(rt, "step")) * 700 * time.Microsecond}
				if filter.NameMatch == span.NameExact {
					q.Name = filter.Name
				}
				compareCounts(ctx, rt, f, f.store, q)
			},
			"restart": func(*rapid.T) {
				f.store = NewStore(f.log, f.store.opts)
				for _, l := range f.list {
					f.store.Add([]span.Request{l.request})
				}
				for _, l := range f.list {
					if l.assigned != "" {
						f.store.Assign(l.request.ID, l.request.ID, l.assigned)
					}
				}
				for _, path := range published {
					for _, l := range f.list {
						if l.path == path {
							f.store.Publish(l.request.ID, l.request.ID, path)
						}
					}
				}
				// Files of which other files have all the requests are in no log.
				published = slices.DeleteFunc(published, func(path string) bool {
					return !slices.ContainsFunc(f.list, func(l listed) bool { return l.path == path })
				})
			},
			"": func(rt *rapid.T) {
				compare(ctx, rt, f, f.store)
				paths, err := f.store.Published(ctx)
				same(rt, "Published()", paths, err, published)
			},
		})
	})
}

func generation(ctx context.Context, t fataler, spans Spans) string {
	stats, err := spans.Stats(ctx)
	if err != nil {
		t.Fatalf("Stats(): %v", err)
	}
	return stats.Generation
}

func drawFilter(rt *rapid.T) (f span.Filter) {
	at := func(what string) time.Time {
		return epoch.Add(time.Duration(rapid.IntRange(0, 5).Draw(rt, what+" ms"))*time.Millisecond + 500*time.Duration(rapid.IntRange(0, 5).Draw(rt, what+" ns")))
	}
	if rapid.Bool().Draw(rt, "by service") {
		f.ServiceName = fmt.Sprint("svc", rapid.IntRange(0, 6).Draw(rt, "service"))
	}
	if rapid.Bool().Draw(rt, "by name") {
		f.Name, f.NameMatch = fmt.Sprint(rapid.IntRange(0, 6).Draw(rt, "name")), span.NameMatch(rapid.IntRange(0, 2).Draw(rt, "match"))
	}
	if rapid.Bool().Draw(rt, "by status") {
		status := span.StatusCode(rapid.IntRange(0, 4).Draw(rt, "status"))
		f.StatusCode = &status
	}
	for range rapid.IntRange(-3, 2).Draw(rt, "clauses") {
		var clause span.AttributeClause
		for range rapid.IntRange(1, 2).Draw(rt, "conditions") {
			c := is(fmt.Sprint("key", rapid.IntRange(0, 4).Draw(rt, "key")))
			if rapid.Bool().Draw(rt, "by value") {
				c = is(c[0].Key, fmt.Sprint(rapid.IntRange(0, 4).Draw(rt, "value")))
			}
			clause = append(clause, c...)
		}
		f.Attributes = append(f.Attributes, clause)
	}
	if rapid.Bool().Draw(rt, "by time") {
		f.From, f.Until = at("from"), at("until")
	}
	if rapid.Bool().Draw(rt, "by duration") {
		f.MinDuration, f.MaxDuration = time.Duration(rapid.Int64().Draw(rt, "minimum")), time.Duration(rapid.Int64().Draw(rt, "maximum"))
	}
	return f
}

// While others add, publish and release, a reader sees all or nothing of a request, and no error.
func TestReadersSeeWholeRequests(t *testing.T) {
	const perRequest, rounds, perFile = 5, 400, 3
	f := newFixture(t, Options{})
	target, _ := serve(t, f.store, "")
	requests := make([]span.Request, rounds)
	for n := range requests {
		spans := make([]*tracepb.Span, perRequest)
		for i := range spans {
			spans[i] = otlpSpan(n%4, n*perRequest+i)
		}
		requests[n] = newRequest(t, n+1, fmt.Sprint("svc", n%3), spans...)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var readers sync.WaitGroup
	for _, spans := range []Spans{f.store, f.store, dial(t, target)} {
		readers.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if err := readOnce(t.Context(), spans, n, perRequest); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var paths []string
	for n := range requests {
		f.log.append(requests[n])
		f.store.Add(requests[n : n+1])
		if (n+1)%perFile == 0 {
			path := fmt.Sprint(n)
			f.log.publish(requestID(n+2-perFile), requestID(n+1), path)
			f.store.Publish(requestID(n+2-perFile), requestID(n+1), path)
			paths = append(paths, path)
		}
		if len(paths) > 10 {
			if err := f.store.Release(t.Context(), paths[:3]); err != nil {
				t.Error(err)
			}
			paths = paths[3:]
		}
	}
	cancel()
	readers.Wait()
}

// readOnce asks everything, and says what is wrong with the answers.
func readOnce(ctx context.Context, spans Spans, n, perRequest int) error {
	trace, err := untruncated(spans.Trace(ctx, traceID(n%4), plenty))
	if err != nil || len(trace)%perRequest != 0 {
		return fmt.Errorf("Trace() = %d spans, %w, want a multiple of %d", len(trace), err, perRequest)
	}
	roots, err := spans.List(ctx, span.Filter{ServiceName: fmt.Sprint("svc", n%3)}, true, span.Key{}, MaxLimit)
	if err != nil || len(roots)%perRequest != 0 {
		return fmt.Errorf("List() = %d spans, %w, want a multiple of %d", len(roots), err, perRequest)
	}
	whole, err := collect(spans.Select(ctx, span.Filter{ServiceName: fmt.Sprint("svc", n%3), Attributes: []span.AttributeClause{is("service.name")}}))
	if err != nil || len(whole)%perRequest != 0 {
		return fmt.Errorf("Select() = %d spans, %w, want a multiple of %d", len(whole), err, perRequest)
	}
	stats, err := spans.Stats(ctx)
	if err != nil || stats.Spans != stats.Requests*int64(perRequest) {
		return fmt.Errorf("Stats() = %+v, %w", stats, err)
	}
	counts, err := spans.Count(ctx, span.CountQuery{})
	for _, c := range counts.Counts {
		if c.Spans%int64(perRequest) != 0 {
			return fmt.Errorf("Count() = %+v", counts)
		}
	}
	if err == nil {
		_, _, err = spans.Span(ctx, traceID(n%4), spanID(n), plenty)
	}
	return err
}
