package lake_test

import (
	"cmp"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/lake"
	"github.com/spanlake/spanlake/internal/sample"
	"github.com/spanlake/spanlake/internal/span"
)

// The benchmarks of writing make files of 100,000 spans with one goroutine. The time of the processor counts what the collector
// does on other cores as well.
const benchSpans = 100_000

// BenchmarkWrite measures spans that come in the order of their requests: traces overlap and have to be sorted.
func BenchmarkWrite(b *testing.B) {
	spans := sample.NewCalls(1).Append(nil, benchSpans, time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC))
	random := rand.New(rand.NewPCG(1, 2))
	for i := range spans {
		j := min(i+random.IntN(1000), benchSpans-1)
		spans[i], spans[j] = spans[j], spans[i]
	}
	measure(b, func(writer *lake.Writer, suffix uint32) (lake.Written, error) {
		return writer.Write(lake.Path("svc", time.Unix(0, 0), suffix), spans)
	})
}

// BenchmarkWriteSorted measures spans that are handed over in their order, a row group at a time.
func BenchmarkWriteSorted(b *testing.B) {
	spans := sample.NewCalls(1).Append(nil, benchSpans, time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC))
	slices.SortFunc(spans, func(a, b span.Span) int {
		return cmp.Or(strings.Compare(a.TraceID, b.TraceID), a.StartTime.Compare(b.StartTime))
	})
	parts := func(yield func([]span.Span, error) bool) {
		for part := range slices.Chunk(spans, lake.RowGroupRows) {
			if !yield(part, nil) {
				return
			}
		}
	}
	measure(b, func(writer *lake.Writer, suffix uint32) (lake.Written, error) {
		return writer.WriteSorted(lake.Path("svc", time.Unix(0, 0), suffix), parts)
	})
}

func measure(b *testing.B, write func(*lake.Writer, uint32) (lake.Written, error)) {
	b.Helper()
	writer, err := lake.NewWriter(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	var written lake.Written
	runtime.GC()
	b.ReportAllocs()
	before := processorTime(b)
	for suffix := uint32(0); b.Loop(); suffix++ {
		if written, err = write(writer, suffix); err != nil {
			b.Fatal(err)
		}
	}
	total := float64(b.N * benchSpans)
	b.ReportMetric(float64(processorTime(b)-before)/total, "cpu-ns/span")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/total, "ns/span")
	b.ReportMetric(float64(written.Bytes)/benchSpans, "B/span")
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
