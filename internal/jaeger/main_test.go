package jaeger_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/spanlake/spanlake/internal/attribute"
	"github.com/spanlake/spanlake/internal/jaeger"
	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The traces of testdata/spans.json: a call that fails, from the frontend to the cart; a job; and a call that is fine.
const (
	failed = "0000000000000000a1b2c3d4e5f60718"
	job    = "4bf92f3577b34da6a3ce929d0e0e4736"
	fine   = "0af7651916cd43dd8448eb211c80319c"
)

// noon is when the first span of the trace that failed starts. A minute later the one that is fine does, and the job two minutes before.
var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// memory answers from spans in memory as internal/query does from the lake: what a filter chooses is decided by the same functions.
type memory struct {
	spans    []span.Span
	complete span.Completeness
	// traceComplete: nothing is missing of a trace, whatever is missing of the rest.
	traceComplete bool
	dependencies  []span.Dependency
	err           error
	// asked is the last range of Dependencies, wanted the last filter of TraceIDs.
	asked  [2]time.Time
	wanted span.Filter
}

func (m *memory) Services(context.Context) ([]span.Service, span.Completeness, error) {
	var all []span.Service
	for i := range m.spans {
		if name := m.spans[i].ServiceName; !slices.ContainsFunc(all, func(s span.Service) bool { return s.Name == name }) {
			all = append(all, span.Service{Name: name})
		}
	}
	slices.SortFunc(all, func(a, b span.Service) int { return cmp.Compare(a.Name, b.Name) })
	return all, m.complete, m.err
}

func (m *memory) Operations(_ context.Context, service string) ([]span.Operation, span.Completeness, error) {
	var all []span.Operation
	for i := range m.spans {
		o := span.Operation{Name: m.spans[i].Name, Kind: m.spans[i].Kind}
		if m.spans[i].ServiceName == service && !slices.Contains(all, o) {
			all = append(all, o)
		}
	}
	slices.SortFunc(all, func(a, b span.Operation) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind)) })
	return all, m.complete, m.err
}

func (m *memory) Dependencies(_ context.Context, from, until time.Time) ([]span.Dependency, span.Completeness, error) {
	m.asked = [2]time.Time{from, until}
	return m.dependencies, m.complete, m.err
}

func (m *memory) TraceIDs(_ context.Context, f span.Filter, limit int) ([]string, span.Completeness, error) {
	m.wanted = f
	if limit < 1 || limit > 10_000 {
		return nil, span.Completeness{}, &span.InvalidError{What: "limit", Value: fmt.Sprint(limit), Problem: "must be from 1 to 10000"}
	}
	newest := make(map[string]time.Time)
	for i := range m.spans {
		s := &m.spans[i]
		if f.Match(metadata(s)) && attribute.Matches(f.Attributes, s.Attributes, s.ResourceAttributes) && s.StartTime.After(newest[s.TraceID]) {
			newest[s.TraceID] = s.StartTime
		}
	}
	ids := make([]string, 0, len(newest))
	for id := range newest {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int { return newest[b].Compare(newest[a]) })
	return ids[:min(limit, len(ids))], m.complete, m.err
}

func metadata(s *span.Span) *span.Metadata {
	return &span.Metadata{TraceID: s.TraceID, SpanID: s.SpanID, ParentSpanID: s.ParentSpanID, ServiceName: s.ServiceName, Name: s.Name,
		Kind: s.Kind, StartTime: s.StartTime.Truncate(time.Microsecond), EndTime: s.EndTime, Duration: s.Duration(), StatusCode: s.StatusCode}
}

func (m *memory) Trace(ctx context.Context, traceID string) ([]span.Span, span.Completeness, error) {
	var all []span.Span
	for i := range m.spans {
		if m.spans[i].TraceID == traceID {
			all = append(all, m.spans[i])
		}
	}
	if err := cmp.Or(m.err, ctx.Err()); err != nil {
		return nil, m.complete, err
	}
	if len(all) == 0 {
		return nil, m.complete, fmt.Errorf("trace %q %w", traceID, span.ErrNotFound)
	}
	slices.SortStableFunc(all, func(a, b span.Span) int {
		return cmp.Or(a.StartTime.Compare(b.StartTime), cmp.Compare(a.SpanID, b.SpanID))
	})
	if m.traceComplete {
		return all, span.Completeness{}, nil
	}
	return all, m.complete, nil
}

// loaded are the traces of testdata/spans.json.
func loaded(t testing.TB) *memory {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "spans.json"))
	if err != nil {
		t.Fatal(err)
	}
	traces, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(text)
	if err != nil {
		t.Fatal(err)
	}
	return &memory{spans: taken(t, traces), dependencies: []span.Dependency{{Parent: "frontend", Child: "cart", Calls: 3}, {Parent: "cart", Child: "db", Calls: 1}}}
}

// taken are spans as they are taken in.
func taken(t testing.TB, traces ptrace.Traces) (spans []span.Span) {
	t.Helper()
	data, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(traces)
	if err != nil {
		t.Fatal(err)
	}
	data, report, err := otlpwire.Clean(data, otlpwire.Limits{})
	if err != nil || report.Rejected > 0 {
		t.Fatal(err, report)
	}
	converter := otlpwire.Converter{}
	for s, err := range otlpwire.Spans(data) {
		if err != nil {
			t.Fatal(err)
		}
		spans = append(spans, converter.Span(s))
	}
	return spans
}

// dial serves the gRPC interface on a port and connects to it.
func dial(t testing.TB, q jaeger.Queries, o jaeger.Options) *grpc.ClientConn {
	t.Helper()
	connection, err := grpc.NewClient(serve(t, q, o), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	return connection
}

// serve serves the gRPC interface on a port until the test ends.
func serve(t testing.TB, q jaeger.Queries, o jaeger.Options) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := jaeger.NewGRPC(q, o)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-ended; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// get asks the HTTP interface over a port.
func get(t testing.TB, q jaeger.Queries, o jaeger.Options, path string) (status int, body []byte) {
	t.Helper()
	server := httptest.NewServer(jaeger.NewHTTP(q, o))
	defer server.Close()
	return fetch(t, server.URL+path)
}

func fetch(t testing.TB, url string) (status int, body []byte) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var text bytes.Buffer
	if _, err := text.ReadFrom(response.Body); err != nil {
		t.Fatal(err)
	}
	if kind := response.Header.Get("Content-Type"); !strings.HasPrefix(kind, "application/json") && response.StatusCode == http.StatusOK {
		t.Errorf("%s: Content-Type %q", url, kind)
	}
	return response.StatusCode, text.Bytes()
}

// decoded is JSON as values, its numbers as they are written.
func decoded(t testing.TB, text []byte) (v any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// golden compares an answer with a file.
func golden(t *testing.T, name string, answer []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		var indented bytes.Buffer
		if err := json.Indent(&indented, answer, "", " "); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, indented.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(decoded(t, want), decoded(t, answer)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}
