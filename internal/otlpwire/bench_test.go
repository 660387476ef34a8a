package otlpwire_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/spanlake/spanlake/internal/otlpwire"
)

const benchSpans = 1000

func text(key, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}}
}

func integer(key string, value int64) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: value}}}
}

// benchRequest has 1,000 spans with ten attributes and 300 bytes of prompt each.
func benchRequest(tb testing.TB) []byte {
	tb.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	words := strings.Fields("agent policy retrieve schema vector prompt context summary Zürich 東京 ticket \"invoice\" line\n")
	id := func(size int) []byte {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		b[0] |= 1
		return b
	}
	scope := &tracepb.ScopeSpans{Scope: &commonpb.InstrumentationScope{Name: "openinference.instrumentation.openai", Version: "0.1.30"}}
	for range benchSpans {
		var prompt strings.Builder
		for prompt.Len() < 300 {
			prompt.WriteString(words[rng.IntN(len(words))] + " ")
		}
		start := uint64(1_795_461_163_000_000_000 + rng.Int64N(1_000_000_000))
		scope.Spans = append(scope.Spans, &tracepb.Span{
			TraceId: id(16), SpanId: id(8), ParentSpanId: id(8), Name: "chat gpt-4o", Kind: 3, Flags: 0x101,
			StartTimeUnixNano: start, EndTimeUnixNano: start + uint64(rng.Int64N(1_000_000_000)), Status: &tracepb.Status{},
			Attributes: []*commonpb.KeyValue{
				text("gen_ai.operation.name", "chat"), text("gen_ai.provider.name", "openai"), text("gen_ai.request.model", "gpt-4o"),
				text("gen_ai.response.id", fmt.Sprintf("chatcmpl-%016x", rng.Uint64())), text("openinference.span.kind", "LLM"),
				integer("gen_ai.usage.input_tokens", rng.Int64N(6000)), integer("gen_ai.usage.output_tokens", rng.Int64N(900)),
				{Key: "gen_ai.request.temperature", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: 0.7}}},
				{Key: "gen_ai.request.stream", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: true}}},
				text("input.value", prompt.String()),
			},
		})
	}
	return marshal(tb, &coltracepb.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{
			text("service.name", "chat-api"), text("service.version", "1.4.2"), text("deployment.environment.name", "production"),
			text("telemetry.sdk.language", "python"), text("telemetry.sdk.name", "opentelemetry"), text("telemetry.sdk.version", "1.38.0"),
			text("host.name", "chat-api-7d9c5b6f4-x2x9q"), integer("process.pid", 1),
		}},
		ScopeSpans: []*tracepb.ScopeSpans{scope},
	}}})
}

// perSpan reports the time of one span of a request.
func perSpan(b *testing.B, raw []byte) {
	b.Helper()
	b.SetBytes(int64(len(raw)))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchSpans), "ns/span")
	b.ReportAllocs()
}

func BenchmarkClean(b *testing.B) {
	raw := benchRequest(b)
	for b.Loop() {
		if _, _, err := otlpwire.Clean(raw, otlpwire.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
	perSpan(b, raw)
}

// BenchmarkCleanRewrites cleans a request of which one span has no id, so that all is copied.
func BenchmarkCleanRewrites(b *testing.B) {
	raw := append(benchRequest(b), 0x0a, 0x04, 0x12, 0x02, 0x12, 0x00)
	for b.Loop() {
		if _, report, err := otlpwire.Clean(raw, otlpwire.Limits{}); err != nil || report.Rejected != 1 {
			b.Fatal(report, err)
		}
	}
	perSpan(b, raw)
}

func BenchmarkSpans(b *testing.B) {
	raw := benchRequest(b)
	for b.Loop() {
		for _, err := range otlpwire.Spans(raw) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	perSpan(b, raw)
}

func BenchmarkConverterSpan(b *testing.B) {
	raw := benchRequest(b)
	var converter otlpwire.Converter
	for b.Loop() {
		for s, err := range otlpwire.Spans(raw) {
			if err != nil {
				b.Fatal(err)
			}
			converter.Span(s)
		}
	}
	perSpan(b, raw)
}

// BenchmarkConverterSpanSorted takes the spans of 20 requests in the order of their trace ids, as a flush does.
func BenchmarkConverterSpanSorted(b *testing.B) {
	raw := benchRequest(b)
	var spans []otlpwire.Span
	for range 20 {
		for s, err := range otlpwire.Spans(raw) {
			if err != nil {
				b.Fatal(err)
			}
			spans = append(spans, *s)
		}
	}
	slices.SortStableFunc(spans, func(x, y otlpwire.Span) int { return bytes.Compare(x.TraceID[:], y.TraceID[:]) })
	var converter otlpwire.Converter
	for n := 0; b.Loop(); n++ {
		for i := range benchSpans {
			converter.Span(&spans[(n*benchSpans+i)%len(spans)])
		}
	}
	perSpan(b, raw)
}

// BenchmarkPdata and BenchmarkProto are what Clean is instead of.
func BenchmarkPdata(b *testing.B) {
	raw := benchRequest(b)
	for b.Loop() {
		if err := ptraceotlp.NewExportRequest().UnmarshalProto(raw); err != nil {
			b.Fatal(err)
		}
	}
	perSpan(b, raw)
}

func BenchmarkProto(b *testing.B) {
	raw := benchRequest(b)
	for b.Loop() {
		if err := proto.Unmarshal(raw, &coltracepb.ExportTraceServiceRequest{}); err != nil {
			b.Fatal(err)
		}
	}
	perSpan(b, raw)
}
