//go:build unix

package e2e

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// takenPorts are those that freePort gave to a test.
var takenPorts portSet

type portSet struct {
	mu    sync.Mutex
	ports map[int]bool
}

// take is false if somebody has the port already.
func (s *portSet) take(port int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ports[port] {
		return false
	}
	if s.ports == nil {
		s.ports = make(map[int]bool)
	}
	s.ports[port] = true
	return true
}

// freePort is one that nobody listens on, outside those that the system hands out, so that it stays free for a while.
func freePort(t *testing.T) string {
	t.Helper()
	for port := 20_000 + os.Getpid()%4000; port < 32_000; port++ {
		address := fmt.Sprintf("127.0.0.1:%d", port)
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
		if err != nil {
			continue
		}
		// Also one that another test has been given: it is to be free.
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		if takenPorts.take(port) {
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

// serveArgs start what takes spans in and indexes them.
func serveArgs(args ...string) []string {
	return append([]string{"serve", "--listen", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0",
		"--memory", "256MB", "--max-request-size", "32MiB", "--poll-interval", "5s"}, args...)
}

// ingestArgs start what only takes spans in.
func ingestArgs(args ...string) []string {
	return append([]string{"ingest", "--ingest-listen", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0",
		"--internal-listen", "127.0.0.1:0", "--memory", "256MB", "--max-request-size", "32MiB"}, args...)
}

func (p place) serve(args ...string) *running {
	p.t.Helper()
	return p.start(p.command(serveArgs(args...)...)).listening()
}

func (p place) ingest(args ...string) *running {
	p.t.Helper()
	return p.start(p.command(ingestArgs(args...)...)).listening()
}

// wal is the write-ahead log: commands run with the default for it.
func (p place) wal() string { return filepath.Join(p.folder, ".dbdata", "sqlite", "wal.db") }

// dial connects to OTLP over gRPC.
func (r *running) dial(options ...grpc.DialOption) collector.TraceServiceClient {
	r.t.Helper()
	return collector.NewTraceServiceClient(r.connect(options...))
}

func (r *running) connect(options ...grpc.DialOption) *grpc.ClientConn {
	r.t.Helper()
	if len(options) == 0 {
		options = append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))
	}
	connection, err := grpc.NewClient(r.grpc, options...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = connection.Close() })
	return connection
}

// answer is what an HTTP request got.
type answer struct {
	code   int
	header http.Header
	body   []byte
}

// post sends OTLP over HTTP.
func (r *running) post(ctx context.Context, body io.Reader, headers ...string) (answer, error) {
	return r.postWith(ctx, http.DefaultClient, "http", body, headers...)
}

func (r *running) postWith(ctx context.Context, c *http.Client, scheme string, body io.Reader, headers ...string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, scheme+"://"+r.http+"/v1/traces", body)
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Content-Type", "application/x-protobuf")
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := c.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, text}, err
}

// postSpans sends spans over HTTP; the error of one that was refused is *refusedError.
func (r *running) postSpans(ctx context.Context, request *collector.ExportTraceServiceRequest) error {
	data, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	got, err := r.post(ctx, bytes.NewReader(data))
	if err != nil {
		return err
	}
	if got.code != http.StatusOK {
		return &refusedError{got}
	}
	response := &collector.ExportTraceServiceResponse{}
	if err := proto.Unmarshal(got.body, response); err != nil {
		return err
	}
	return whole(response)
}

// whole complains if not all spans of a request were taken.
func whole(response *collector.ExportTraceServiceResponse) error {
	if p := response.GetPartialSuccess(); p.GetRejectedSpans() != 0 || p.GetErrorMessage() != "" {
		return fmt.Errorf("%d spans are rejected: %s", p.GetRejectedSpans(), p.GetErrorMessage())
	}
	return nil
}

type refusedError struct{ answer }

func (e *refusedError) Error() string { return fmt.Sprintf("HTTP status %d: %q", e.code, e.body) }

// send sends spans over gRPC and fails the test if they are not taken.
func (r *running) send(c collector.TraceServiceClient, request *collector.ExportTraceServiceRequest) {
	r.t.Helper()
	response, err := c.Export(r.t.Context(), request)
	if err == nil {
		err = whole(response)
	}
	if err != nil {
		r.t.Fatalf("%v\n%s", err, r.stderr)
	}
}

// numbered is the id of a span by its number.
func numbered(n uint64) (id [8]byte) {
	for i := range id {
		id[i] = byte(n >> (8 * (7 - i)))
	}
	return id
}

// spansFrom makes a request with n spans, numbered from first; each has so many bytes of text, which do not compress.
func spansFrom(service string, first uint64, n, text int) *collector.ExportTraceServiceRequest {
	now := uint64(time.Now().UnixNano())
	spans := make([]*tracepb.Span, n)
	for i := range spans {
		id := numbered(first + uint64(i))
		trace := append([]byte{0xab, 0, 0, 0, 0, 0, 0, 0}, id[:]...)
		spans[i] = &tracepb.Span{TraceId: trace, SpanId: id[:], Name: "op", Kind: tracepb.Span_SPAN_KIND_CLIENT,
			StartTimeUnixNano: now, EndTimeUnixNano: now + 1000 + uint64(i),
			Attributes: []*commonpb.KeyValue{stringValue("text", noise(first+uint64(i), text)), stringValue("user", "somebody")}}
	}
	return &collector.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource:   &resourcepb.Resource{Attributes: []*commonpb.KeyValue{stringValue("service.name", service)}},
		ScopeSpans: []*tracepb.ScopeSpans{{Scope: &commonpb.InstrumentationScope{Name: "e2e"}, Spans: spans}},
	}}}
}

// noise is text that does not compress well, the same for the same seed.
func noise(seed uint64, n int) string {
	random := rand.New(rand.NewPCG(seed, 0))
	text := make([]byte, n)
	for i := range text {
		text[i] = byte(' ' + random.IntN('~'-' '))
	}
	return string(text)
}

func stringValue(key, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}}
}

// lakeSpans are the spans of all files of the lake.
func (p place) lakeSpans() (all []span.Span) {
	p.t.Helper()
	for _, path := range p.lakeFiles() {
		all = append(all, testkit.ReadSpans(p.t, path)...)
	}
	return all
}

// lakeFiles are the files of the lake, as every reader sees them. The lake may not be there yet.
func (p place) lakeFiles() (paths []string) {
	p.t.Helper()
	if _, err := os.Stat(p.lake); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	err := filepath.WalkDir(p.lake, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.HasSuffix(path, ".parquet") && !strings.HasPrefix(entry.Name(), ".") {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return paths
}

// assertInLake checks that the lake has the spans with these numbers, each once, and no others.
func (p place) assertInLake(first uint64, n int) {
	p.t.Helper()
	rows := make(map[string]int)
	for _, s := range p.lakeSpans() {
		rows[s.SpanID]++
	}
	for i := range n {
		id := numbered(first + uint64(i))
		if got := rows[hex.EncodeToString(id[:])]; got != 1 {
			p.t.Errorf("span %d is in %d rows of the lake", first+uint64(i), got)
		}
	}
	if len(rows) != n {
		p.t.Errorf("the lake has %d spans, want %d", len(rows), n)
	}
}

// taking is the status of what takes spans in.
func (r *running) taking() span.IngestStatus {
	r.t.Helper()
	got, err := r.client.IngestStatus(r.t.Context())
	if err != nil {
		r.t.Fatalf("status: %v\n%s", err, r.stderr)
	}
	return got
}

// untilEmpty waits until every span is in the lake and released.
func (r *running) untilEmpty() {
	r.t.Helper()
	var last span.IngestStatus
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if last = r.taking(); last.UnflushedSpans == 0 && last.UnflushedRequests == 0 && last.HotSpans == 0 && last.PublishedSpans == 0 {
			return
		}
	}
	r.t.Errorf("waited for all spans to be released, but the status is %+v\n%s", last, r.stderr)
}

// flush moves everything into the lake.
func (r *running) flush() span.Flushed {
	r.t.Helper()
	flushed, err := r.client.Flush(r.t.Context())
	if err != nil {
		r.t.Fatalf("flush: %v\n%s", err, r.stderr)
	}
	return flushed
}

// get is what the server answers on a path.
func (r *running) get(path string) (code int, text string) {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.url+path, http.NoBody)
	if err != nil {
		r.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// grpcCode is the code of a gRPC error.
func grpcCode(err error) codes.Code { return status.Code(err) }

// withAttributes is a request with one span, which has these attributes.
func withAttributes(number uint64, attributes ...*commonpb.KeyValue) *collector.ExportTraceServiceRequest {
	request := spansFrom("odd", number, 1, 1)
	request.ResourceSpans[0].ScopeSpans[0].Spans[0].Attributes = attributes
	return request
}

// nested is a value in so many arrays.
func nested(depth int) *commonpb.KeyValue {
	value := &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: 1}}
	for range depth {
		value = &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{value}}}}
	}
	return &commonpb.KeyValue{Key: "deep", Value: value}
}
