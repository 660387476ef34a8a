//go:build unix

package hot

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
)

// cpuTime is what this process has used: on a machine that others use as well, the clock says little.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkCPU says which CPU time Add takes, and how much of it is reading OTLP.
func BenchmarkCPU(b *testing.B) {
	const spans = 100_000
	for _, perRequest := range []int{1000, 10, 1} {
		requests := benchRequests(b, spans, perRequest, 10)
		for what, work := range map[string]func(){
			"add": func() {
				s := NewStore(newMemoryLog(), Options{})
				for i := range requests {
					s.Add(requests[i : i+1])
				}
			},
			"read": func() {
				for i := range requests {
					for _, err := range otlpwire.Spans(requests[i].Data) {
						if err != nil {
							b.Fatal(err)
						}
					}
				}
			},
		} {
			b.Run(fmt.Sprintf("%d_spans_a_request/%s", perRequest, what), func(b *testing.B) {
				before := cpuTime()
				for b.Loop() {
					work()
				}
				b.ReportMetric(float64(cpuTime()-before)/float64(b.N)/spans, "cpu-ns/span")
			})
		}
	}
}

// BenchmarkQueries says how long questions take at a million spans.
func BenchmarkQueries(b *testing.B) {
	for _, perRequest := range []int{1000, 10} {
		s, traces := millionSpans(b, perRequest)
		failed, name := span.StatusError, "operation 7"
		list := func(f span.Filter, rootsOnly bool, limit int) error {
			_, err := s.List(b.Context(), f, rootsOnly, span.Key{}, limit)
			return err
		}
		count := func(q span.CountQuery) error { _, err := s.Count(b.Context(), q); return err }
		for what, ask := range map[string]func() error{
			"trace":      func() error { _, _, err := s.Trace(b.Context(), traces[rand.IntN(len(traces))], plenty); return err },
			"unknown":    func() error { _, _, err := s.Trace(b.Context(), traceID(1<<40), plenty); return err },
			"roots":      func() error { return list(span.Filter{}, true, 50) },
			"by_name":    func() error { return list(span.Filter{Name: name}, true, 50) },
			"failed":     func() error { return list(span.Filter{StatusCode: &failed}, true, 50) },
			"maximum":    func() error { return list(span.Filter{}, true, MaxLimit) },
			"all":        func() error { return list(span.Filter{}, false, 50) },
			"contains":   func() error { return list(span.Filter{Name: "ration 7", NameMatch: span.NameContains}, false, 50) },
			"matches":    func() error { _, err := s.Matches(b.Context(), span.Filter{Name: name}); return err },
			"traces_of":  func() error { _, err := s.TracesOf(b.Context(), spanID(1<<40)); return err },
			"services":   func() error { return count(span.CountQuery{}) },
			"by_hour":    func() error { return count(span.CountQuery{Step: time.Hour}) },
			"statistics": func() error { return count(span.CountQuery{ByName: true, Durations: true, Step: time.Minute}) },
			"stats":      func() error { _, err := s.Stats(b.Context()); return err },
		} {
			b.Run(fmt.Sprintf("%d_spans_a_request/%s", perRequest, what), func(b *testing.B) {
				timed(b, ask)
			})
		}
	}
}

// BenchmarkAttributes says how long questions take that read whole spans: 100,000, with ten attributes each.
func BenchmarkAttributes(b *testing.B) {
	log := newMemoryLog()
	s := NewStore(log, Options{})
	requests := benchRequests(b, 100_000, 100, 10)
	log.append(requests...)
	s.Add(requests)
	for what, ask := range map[string]func() error{
		"newest":            func() error { return listWith(b, s, is("attribute.1"), 50) },
		"one_in_a_thousand": func() error { return listWith(b, s, is("attribute.1", "value 7"), 50) },
		"no_such_value":     func() error { return listWith(b, s, is("attribute.1", "none"), 50) },
		"no_such_key":       func() error { return listWith(b, s, is("none"), 50) },
		"matches": func() error {
			_, err := s.Matches(b.Context(), span.Filter{Attributes: []span.AttributeClause{is("attribute.1", "value 7")}})
			return err
		},
		"select": func() error {
			for _, err := range s.Select(b.Context(), span.Filter{}) {
				if err != nil {
					return err
				}
			}
			return nil
		},
	} {
		b.Run(what, func(b *testing.B) {
			timed(b, ask)
		})
	}
}

func listWith(b *testing.B, s *Store, clause span.AttributeClause, limit int) error {
	_, err := s.List(b.Context(), span.Filter{Attributes: []span.AttributeClause{clause}}, false, span.Key{}, limit)
	return err
}

// timed says what CPU time a question takes as well.
func timed(b *testing.B, ask func() error) {
	before := cpuTime()
	for b.Loop() {
		if err := ask(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpuTime()-before)/float64(b.N)/1e6, "cpu-ms/op")
}

// BenchmarkBlock says what a full block takes: to look a trace up before it is sealed, and to sort it in two ways.
func BenchmarkBlock(b *testing.B) {
	t := newTail()
	for _, r := range benchRequests(b, blockSpans, 16, 0) {
		if err := t.add(&r); err != nil {
			b.Fatal(err)
		}
	}
	q, err := parseQuery(traceID(1 << 40))
	if err != nil {
		b.Fatal(err)
	}
	for what, work := range map[string]func(){
		"look": func() { wantedSpans([]block{t.block}, q) },
		"seal": func() { t.seal() },
		"sort": func() { sortRows(t.rows) },
		"sort_rows_themselves": func() {
			slices.SortStableFunc(slices.Clone(t.rows), func(x, y row) int { return slices.Compare(x.trace[:], y.trace[:]) })
		},
	} {
		b.Run(what, func(b *testing.B) {
			before := cpuTime()
			for b.Loop() {
				work()
			}
			b.ReportMetric(float64(cpuTime()-before)/float64(b.N)/1e6, "cpu-ms/op")
		})
	}
}
