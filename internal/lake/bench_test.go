package lake

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// BenchmarkWrite measures a file of 100,000 spans in the order in which they might arrive, sorted and written by one goroutine.
func BenchmarkWrite(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	words := strings.Fields("agent policy retrieve schema vector prompt context summary Zürich 東京 ticket invoice")
	spans := makeSpans(10_000, 10)
	for i := range spans {
		var text strings.Builder
		for range 70 {
			text.WriteString(words[rng.IntN(len(words))] + " ")
		}
		spans[i].SpanID = fmt.Sprintf("%016x", rng.Uint64())
		spans[i].Attributes = fmt.Sprintf(`{"gen_ai.operation.name":"chat","input.value":"%s"}`, text.String())
	}
	rng.Shuffle(len(spans), func(i, j int) { spans[i], spans[j] = spans[j], spans[i] })
	writer := newWriter(b, b.TempDir())
	b.ReportAllocs()
	for suffix := uint32(0); b.Loop(); suffix++ {
		got, err := writer.Write("svc", time.Unix(0, 0), suffix, spans)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(got.Bytes)
	}
	b.ReportMetric(float64(b.N*len(spans))/b.Elapsed().Seconds(), "spans/s")
}
