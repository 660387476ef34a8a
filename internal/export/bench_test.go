package export

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/spanlake/spanlake/internal/span"
)

// BenchmarkLines exports spans of traces of ten in OTLP, with a prompt each.
func BenchmarkLines(b *testing.B) {
	spans := shuffled(10_000)
	slices.SortFunc(spans, func(x, y span.Span) int { return compare(&x, &y) })
	for i := range spans {
		spans[i].Attributes = fmt.Sprintf(`{"gen_ai.operation.name":"chat","gen_ai.request.model":"gpt-4o","gen_ai.usage.input_tokens":%d,`+
			`"gen_ai.request.temperature":0.7,"gen_ai.request.stream":true,"input.value":%q}`, i, strings.Repeat("a prompt of \"some\" length ", 12))
		spans[i].ResourceAttributes = `{"service.name":"chat-api","service.version":"1.4.2","deployment.environment.name":"production","process.pid":1}`
	}
	for b.Loop() {
		l := NewLines(io.Discard)
		for _, s := range spans {
			if err := l.Add(s); err != nil {
				b.Fatal(err)
			}
		}
		if w, err := l.Finish(); err != nil || w.Spans != int64(len(spans)) {
			b.Fatal(w, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(spans)), "ns/span")
	b.ReportAllocs()
}
