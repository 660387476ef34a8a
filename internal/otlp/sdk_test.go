package otlp

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/spanlake/spanlake/internal/span"
)

// exporters are those of the OpenTelemetry SDK for Go, as a program sets them up.
func exporters(r *running, headers map[string]string) map[string]func(context.Context) (sdktrace.SpanExporter, error) {
	// Without being told it would come again after a moment.
	soon := otlptracehttp.RetryConfig{Enabled: true, InitialInterval: time.Millisecond, MaxInterval: time.Millisecond, MaxElapsedTime: time.Minute}
	return map[string]func(context.Context) (sdktrace.SpanExporter, error){
		"grpc": func(ctx context.Context) (sdktrace.SpanExporter, error) {
			return otlptracegrpc.New(ctx, otlptracegrpc.WithInsecure(), otlptracegrpc.WithEndpoint(r.GRPCAddr().String()),
				otlptracegrpc.WithCompressor("gzip"), otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig(soon)), otlptracegrpc.WithHeaders(headers))
		},
		"http": func(ctx context.Context) (sdktrace.SpanExporter, error) {
			return otlptracehttp.New(ctx, otlptracehttp.WithInsecure(), otlptracehttp.WithEndpoint(r.HTTPAddr().String()),
				otlptracehttp.WithCompression(otlptracehttp.GzipCompression), otlptracehttp.WithRetry(soon), otlptracehttp.WithHeaders(headers))
		},
	}
}

// emit makes two spans and exports them.
func emit(t *testing.T, connect func(context.Context) (sdktrace.SpanExporter, error)) error {
	t.Helper()
	exporter, err := connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(&watched{SpanExporter: exporter, failed: &failed}))
	ctx, parent := provider.Tracer("test").Start(t.Context(), "parent")
	_, child := provider.Tracer("test").Start(ctx, "child")
	child.End()
	parent.End()
	if err := provider.Shutdown(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	return failed
}

// watched remembers why an export failed, which the SDK only reports.
type watched struct {
	sdktrace.SpanExporter
	failed *error
}

func (w *watched) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	*w.failed = w.SpanExporter.ExportSpans(ctx, spans)
	return *w.failed
}

func TestTheGoSDKExports(t *testing.T) {
	const key = "sl_correcthorsebatterystaple"
	r := start(t, func(o *Options) { o.Keys = oneKey(key) })
	for name, exporter := range exporters(r, map[string]string{"authorization": "Bearer " + key}) {
		t.Run(name, func(t *testing.T) {
			before := len(r.shelf.names(t))
			if err := emit(t, exporter); err != nil {
				t.Fatal(err)
			}
			got := r.shelf.names(t)[before:]
			if slices.Sort(got); !slices.Equal(got, []string{"child", "parent"}) {
				t.Errorf("got %q", got)
			}
		})
	}
	for name, exporter := range exporters(r, nil) {
		t.Run(name+" without a key", func(t *testing.T) {
			if err := emit(t, exporter); err == nil || !strings.Contains(err.Error(), "API key") && !strings.Contains(err.Error(), "401") {
				t.Errorf("got %v, want to be told about the key", err)
			}
		})
	}
}

// TestTheGoSDKTriesAgain has the disk be full at first: the SDK waits as long as it is told and sends the spans again.
func TestTheGoSDKTriesAgain(t *testing.T) {
	r := start(t, nil)
	for name, exporter := range exporters(r, nil) {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int64
			r.shelf.refuseWith(func(context.Context) error {
				if calls.Add(1) <= 1 {
					return &span.RefusedError{Reason: "disk", RetryAfter: time.Second}
				}
				return nil
			})
			before := len(r.shelf.names(t))
			begin := time.Now()
			if err := emit(t, exporter); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begin); took < time.Second {
				t.Errorf("it came again after %v, before it was told to", took)
			}
			if got := len(r.shelf.names(t)) - before; got != 2 || calls.Load() != 2 {
				t.Errorf("%d spans arrived in %d calls", got, calls.Load())
			}
		})
	}
}
