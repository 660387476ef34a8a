package otlpwire_test

import (
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/spanlake/spanlake/internal/otlpwire"
)

// sdkRequest is what the Go SDK sends for a root with a child.
func sdkRequest(t *testing.T) (body []byte) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		reader := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			var err error
			if reader, err = gzip.NewReader(r.Body); err != nil {
				t.Error(err)
				return
			}
		}
		var err error
		if body, err = io.ReadAll(reader); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	ctx := context.Background()
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(server.URL))
	if err != nil {
		t.Fatal(err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter))
	ctx, root := provider.Tracer("example").Start(ctx, "root")
	_, child := provider.Tracer("example").Start(ctx, "child")
	child.AddEvent("event")
	child.End()
	root.End()
	if err := provider.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	return body
}

// TestOrdinarySpansNeedNoOTLP: what SDKs and the Collector send fits into the columns, or each span would be stored twice.
func TestOrdinarySpansNeedNoOTLP(t *testing.T) {
	sdk := sdkRequest(t)
	throughCollector := ptraceotlp.NewExportRequest()
	if err := throughCollector.UnmarshalProto(sdk); err != nil {
		t.Fatal(err)
	}
	collector, err := throughCollector.MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		raw   []byte
		spans int
	}{"the Go SDK": {sdk, 2}, "the Collector": {collector, 2}, "the benchmarks": {benchRequest(t), benchSpans}} {
		clean, report, err := otlpwire.Clean(tc.raw, otlpwire.Limits{})
		if err != nil || report != (otlpwire.Report{Accepted: tc.spans}) || !same(clean, tc.raw) {
			t.Errorf("%s: %+v, %v", name, report, err)
		}
		var converter otlpwire.Converter
		for _, s := range convert(t, &converter, clean) {
			if s.OTLP != "" {
				t.Errorf("%s: needs OTLP: %+v", name, s)
			}
		}
	}
}
