package sample

import (
	"testing"
	"time"
)

// BenchmarkGenerate measures a whole lake of b.N spans, files on disk included. On a machine of two cores:
//
//	go test -run '^$' -bench Generate -benchtime 2000000x ./internal/sample
func BenchmarkGenerate(b *testing.B) {
	end := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	b.ReportAllocs()
	made, err := Generate(b.Context(), b.TempDir(), Options{Spans: int64(b.N), Seed: 1, Start: end.Add(-24 * time.Hour), End: end})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(made.Spans)/b.Elapsed().Seconds(), "spans/s")
	b.ReportMetric(float64(made.Bytes)/float64(made.Spans), "B/span")
	b.ReportMetric(float64(made.Spans)/float64(made.Traces), "spans/trace")
}
