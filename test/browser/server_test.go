package browser

import (
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/spanlake/spanlake/internal/api/client"
	"github.com/spanlake/spanlake/internal/app"
	"github.com/spanlake/spanlake/internal/config"
	"github.com/spanlake/spanlake/internal/sample"
	"github.com/spanlake/spanlake/internal/testkit/output"
)

// server is `spanlake serve` in this process, over a folder of its own.
type server struct {
	t         *testing.T
	url, otlp string
	lake      string
	client    *client.Client
	logs      *output.Buffer
}

// serve starts a server whose pages are looked at, which is stopped when the test ends. flags are settings by the names of flags.
func serve(t *testing.T, flags map[string]string) *server {
	t.Helper()
	needBrowser(t)
	return serveAs(t, app.Serve, flags)
}

// serveAs does the same for any role, and without a browser.
func serveAs(t *testing.T, role app.Role, flags map[string]string) *server {
	t.Helper()
	folder := t.TempDir()
	settings := map[string]string{
		"lake": filepath.Join(folder, "spans"), "db": filepath.Join(folder, "index.duckdb"), "wal": filepath.Join(folder, "wal.db"),
		"keys-file": filepath.Join(folder, "keys.json"), "listen": "127.0.0.1:0", "otlp-grpc": "127.0.0.1:0", "otlp-http": "127.0.0.1:0",
		"internal-listen": "off", "memory": "256MB", "poll-interval": "5s",
	}
	maps.Copy(settings, flags)
	c, err := config.Load(settings, func(string) (string, bool) { return "", false }, filepath.Join(folder, ".env"))
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, lake: settings["lake"], logs: &output.Buffer{}}
	ctx, cancel := context.WithCancel(context.Background())
	at, ended := make(chan app.Addresses, 1), make(chan error, 1)
	go func() {
		ended <- app.New(c, slog.New(slog.NewTextHandler(s.logs, nil))).Run(ctx, role, "test", func(a app.Addresses) { at <- a })
	}()
	select {
	case a := <-at:
		s.url, s.otlp = a.URL, "http://"+a.OTLPHTTP
	case err := <-ended:
		cancel()
		t.Fatalf("the server ended: %v\n%s", err, s.logs)
	}
	if s.client, err = client.New(s.url, flags["read-api-keys"]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.client.Close()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v\n%s", err, s.logs)
		}
	})
	return s
}

// sample puts made-up traces into the lake, the newest of which starts now, and has them indexed.
func (s *server) sample(traces int64) {
	s.t.Helper()
	end := time.Now().Truncate(time.Second)
	if _, err := sample.Generate(s.t.Context(), s.lake, sample.Options{Traces: traces, Seed: 5, Start: end.Add(-time.Hour), End: end}); err != nil {
		s.t.Fatal(err)
	}
	s.index()
}

// index has everything in the lake indexed.
func (s *server) index() {
	s.t.Helper()
	if _, err := s.client.IndexNow(s.t.Context(), false); err != nil {
		s.t.Fatal(err)
	}
}

// sent is a span as tests write it. IDs are hex digits; a start of zero is now, a length of zero a millisecond.
type sent struct {
	service            string
	trace, id, parent  string
	name               string
	start              time.Time
	length             time.Duration
	attributes         map[string]any
	failed             string
	events             []*trace.Span_Event
	links              []*trace.Span_Link
	kind               trace.Span_SpanKind
	resourceAttributes map[string]any
}

// send sends spans over OTLP, which are acknowledged when it returns, and in no file yet.
func (s *server) send(spans ...sent) {
	s.t.Helper()
	request := &collector.ExportTraceServiceRequest{}
	for _, one := range spans {
		start := one.start
		if start.IsZero() {
			start = time.Now()
		}
		length := one.length
		if length == 0 {
			length = time.Millisecond
		}
		of := &trace.Span{
			TraceId: s.id(one.trace), SpanId: s.id(one.id), ParentSpanId: s.id(one.parent), Name: one.name, Kind: one.kind,
			StartTimeUnixNano: uint64(start.UnixNano()), EndTimeUnixNano: uint64(start.Add(length).UnixNano()),
			Attributes: values(one.attributes), Events: one.events, Links: one.links,
		}
		if one.failed != "" {
			of.Status = &trace.Status{Code: trace.Status_STATUS_CODE_ERROR, Message: one.failed}
		}
		about := map[string]any{"service.name": one.service}
		maps.Copy(about, one.resourceAttributes)
		request.ResourceSpans = append(request.ResourceSpans, &trace.ResourceSpans{
			Resource: &resource.Resource{Attributes: values(about)}, ScopeSpans: []*trace.ScopeSpans{{Spans: []*trace.Span{of}}},
		})
	}
	data, err := proto.Marshal(request)
	if err != nil {
		s.t.Fatal(err)
	}
	asked, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.otlp+"/v1/traces", bytes.NewReader(data))
	if err != nil {
		s.t.Fatal(err)
	}
	asked.Header.Set("Content-Type", "application/x-protobuf")
	answer, err := http.DefaultClient.Do(asked)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if text, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusOK {
		s.t.Fatalf("sending: %s %s", answer.Status, text)
	}
}

func (s *server) id(text string) []byte {
	id, err := hex.DecodeString(text)
	if err != nil {
		s.t.Fatalf("id %q: %v", text, err)
	}
	return id
}

// values are attributes: strings, ints, floats and bools.
func values(attributes map[string]any) (all []*common.KeyValue) {
	for key, value := range attributes {
		v := &common.AnyValue{}
		switch value := value.(type) {
		case string:
			v.Value = &common.AnyValue_StringValue{StringValue: value}
		case int:
			v.Value = &common.AnyValue_IntValue{IntValue: int64(value)}
		case float64:
			v.Value = &common.AnyValue_DoubleValue{DoubleValue: value}
		case bool:
			v.Value = &common.AnyValue_BoolValue{BoolValue: value}
		default:
			panic("an attribute of a type that tests do not send")
		}
		all = append(all, &common.KeyValue{Key: key, Value: v})
	}
	return all
}
