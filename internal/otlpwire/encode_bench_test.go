package otlpwire_test

import (
	"slices"
	"testing"

	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
)

// benchColumns are the spans of a request as columns, of which each fourth has an event and a link.
func benchColumns(tb testing.TB) []span.Span {
	tb.Helper()
	spans := convert(tb, &otlpwire.Converter{}, benchRequest(tb))
	for i := range spans {
		if i%4 == 0 {
			spans[i].Events = `[{"name":"first_token","time_nanos":1795461162170454336,"attributes":{"ms":23,"gen_ai.token.type":"output"}}]`
			spans[i].Links = `[{"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7","flags":257}]`
		}
	}
	return spans
}

func BenchmarkEncode(b *testing.B) {
	spans := benchColumns(b)
	for b.Loop() {
		for i := range spans {
			if _, err := otlpwire.Encode(&spans[i]); err != nil {
				b.Fatal(err)
			}
		}
	}
	perSpan(b, benchRequest(b))
}

// BenchmarkJoin joins 10,000 spans, as many as a large trace has.
func BenchmarkJoin(b *testing.B) {
	spans := slices.Repeat(benchColumns(b), 10)
	for b.Loop() {
		if data, left := otlpwire.Join(spans); len(left) > 0 || len(data) == 0 {
			b.Fatal(left)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(spans)), "ns/span")
	b.ReportAllocs()
}

// BenchmarkJoinFew joins the spans of small traces, as an export does.
func BenchmarkJoinFew(b *testing.B) {
	spans := benchColumns(b)
	for b.Loop() {
		for few := range slices.Chunk(spans, 8) {
			if data, left := otlpwire.Join(few); len(left) > 0 || len(data) == 0 {
				b.Fatal(left)
			}
		}
	}
	perSpan(b, benchRequest(b))
}

func BenchmarkJSON(b *testing.B) {
	data, _ := otlpwire.Join(benchColumns(b))
	for b.Loop() {
		if _, err := otlpwire.JSON(data); err != nil {
			b.Fatal(err)
		}
	}
	perSpan(b, benchRequest(b))
}
