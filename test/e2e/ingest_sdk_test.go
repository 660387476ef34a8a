//go:build unix

package e2e

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// noting is the client of an exporter, which notes what the SDK hands it on the way.
type noting struct {
	otlptrace.Client
	mu   sync.Mutex
	sent expected
}

// UploadTraces implements otlptrace.Client.
func (n *noting) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	n.mu.Lock()
	n.sent.add(&collector.ExportTraceServiceRequest{ResourceSpans: spans})
	n.mu.Unlock()
	return n.Client.UploadTraces(ctx, spans)
}

// The SDK of OpenTelemetry for Go, as programs use it: every span that it sends is in the lake, equal.
func TestTheGoSDK(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	r := p.serve()
	sent := make(expected)
	for name, client := range map[string]otlptrace.Client{
		"grpc":      otlptracegrpc.NewClient(otlptracegrpc.WithEndpoint(r.grpc), otlptracegrpc.WithInsecure()),
		"grpc-gzip": otlptracegrpc.NewClient(otlptracegrpc.WithEndpoint(r.grpc), otlptracegrpc.WithInsecure(), otlptracegrpc.WithCompressor("gzip")),
		"http":      otlptracehttp.NewClient(otlptracehttp.WithEndpoint(r.http), otlptracehttp.WithInsecure()),
		"http-gzip": otlptracehttp.NewClient(otlptracehttp.WithEndpoint(r.http), otlptracehttp.WithInsecure(), otlptracehttp.WithCompression(otlptracehttp.GzipCompression)),
	} {
		client := &noting{Client: client, sent: sent}
		exporter, err := otlptrace.New(t.Context(), client)
		if err != nil {
			t.Fatal(err)
		}
		about, err := resource.New(t.Context(), resource.WithAttributes(attribute.String("service.name", name)), resource.WithTelemetrySDK())
		if err != nil {
			t.Fatal(err)
		}
		provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about),
			sdktrace.WithRawSpanLimits(sdktrace.SpanLimits{AttributeValueLengthLimit: -1, AttributeCountLimit: 12, EventCountLimit: 4, LinkCountLimit: 2,
				AttributePerEventCountLimit: 2, AttributePerLinkCountLimit: 2}))
		before := len(sent)
		work(t.Context(), provider.Tracer("e2e", trace.WithInstrumentationVersion("1.2.3"), trace.WithSchemaURL("https://example.com/scope"),
			trace.WithInstrumentationAttributes(attribute.Bool("of the scope", true))))
		if err := provider.Shutdown(t.Context()); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, r.stderr)
		}
		if n := len(sent) - before; n != 206 {
			t.Errorf("%s: the SDK has sent %d spans", name, n)
		}
	}
	r.flush()
	r.untilEmpty()
	sent.assertEqual(p)
	for _, s := range p.lakeSpans() {
		// What people look for is in columns of its own, and not only in the copy of the whole.
		if s.Name == "everything" && (!strings.Contains(s.Attributes, `"text":"`) || !strings.Contains(s.Events, "exception") ||
			s.StatusCode != 2 || s.StatusMessage != "it failed" || s.TraceState != "vendor=value" || s.ScopeName != "e2e" || s.ScopeVersion != "1.2.3") {
			t.Errorf("a span has the columns %+v", s)
		}
	}
	p.assertDuckDBReads()
	r.end(syscall.SIGTERM)
	p.assertSound()
}

// work makes spans of all kinds.
func work(ctx context.Context, tracer trace.Tracer) {
	remote := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1, 2, 3}, SpanID: trace.SpanID{4, 5}, TraceFlags: trace.FlagsSampled,
		TraceState: must(trace.ParseTraceState("vendor=value")), Remote: true})
	other := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{9}, SpanID: trace.SpanID{8}, TraceState: must(trace.ParseTraceState("a=b"))})
	ctx, all := tracer.Start(trace.ContextWithSpanContext(ctx, remote), "everything", trace.WithSpanKind(trace.SpanKindServer),
		trace.WithLinks(trace.Link{SpanContext: other, Attributes: []attribute.KeyValue{attribute.Int("n", 1)}}, trace.Link{}))
	all.SetAttributes(attribute.String("text", "ünïcödé \"quoted\"\n"), attribute.String("empty", ""), attribute.Bool("yes", true),
		attribute.Int64("beyond doubles", math.MaxInt64), attribute.Int64("least", math.MinInt64), attribute.Float64("whole", 2),
		attribute.Float64("infinite", math.Inf(1)), attribute.StringSlice("texts", []string{"a", ""}), attribute.Int64Slice("numbers", []int64{1 << 60, -1}),
		attribute.Float64Slice("doubles", []float64{0.1, 1e300}), attribute.BoolSlice("none", nil), attribute.BoolSlice("bools", []bool{true, false}),
		attribute.String("one too many", "dropped"))
	for i := range 6 {
		all.AddEvent(fmt.Sprint("event ", i), trace.WithAttributes(attribute.Int("i", i), attribute.String("b", "b"), attribute.String("c", "dropped")))
	}
	all.RecordError(errors.New("an error"), trace.WithStackTrace(true))
	all.SetStatus(codes.Error, "it failed")
	for i := range 200 {
		_, child := tracer.Start(ctx, fmt.Sprint("child ", i%7), trace.WithSpanKind(trace.SpanKind(i%6)))
		child.SetAttributes(attribute.String("llm.prompt", strings.Repeat("a long prompt ", i)))
		if i%3 == 0 {
			child.SetStatus(codes.Ok, "")
		}
		child.End()
	}
	all.End()
	for i, times := range [][2]int64{{0, 0}, {1_700_000_000_123_456_789, 1_700_000_000_123_456_788}, {1, math.MaxInt64}, {1, 1}} {
		_, odd := tracer.Start(context.Background(), fmt.Sprint("odd times ", i), trace.WithTimestamp(time.Unix(0, times[0])), trace.WithNewRoot())
		odd.End(trace.WithTimestamp(time.Unix(0, times[1])))
	}
	_, plain := tracer.Start(context.Background(), "")
	plain.End()
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
