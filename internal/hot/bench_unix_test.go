//go:build unix

package hot

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/otlpwire"
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
