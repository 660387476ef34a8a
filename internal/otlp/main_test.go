package otlp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/spanlake/spanlake/internal/testkit/output"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shelf is a sink that remembers what it was given.
type shelf struct {
	mu       sync.Mutex
	requests [][]byte
	spans    int
	// append, if it is set, is asked first.
	append func(ctx context.Context) error
}

func (s *shelf) Append(ctx context.Context, data []byte, spans int) error {
	s.mu.Lock()
	ask := s.append
	s.mu.Unlock()
	if ask != nil {
		if err := ask(ctx); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, bytes.Clone(data)) // it is used again
	s.spans += spans
	return nil
}

// names are those of all spans, which also shows that what came in can be decoded.
func (s *shelf) names(t *testing.T) (names []string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, data := range s.requests {
		request := ptraceotlp.NewExportRequest()
		if err := request.UnmarshalProto(data); err != nil {
			t.Fatal(err)
		}
		for _, resource := range request.Traces().ResourceSpans().All() {
			for _, scope := range resource.ScopeSpans().All() {
				for _, one := range scope.Spans().All() {
					names = append(names, one.Name())
				}
			}
		}
	}
	return names
}

func (s *shelf) refuseWith(ask func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.append = ask
}

// counts is an observer.
type counts struct {
	mu       sync.Mutex
	accepted map[string]int // spans by transport
	refused  map[string]int // calls by reason
	spans    map[string]int // spans by reason
	repaired map[string]int64
}

func newCounts() *counts {
	return &counts{accepted: map[string]int{}, refused: map[string]int{}, spans: map[string]int{}, repaired: map[string]int64{}}
}

func (c *counts) Accepted(transport string, spans, _ int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.accepted[transport] += spans
}

func (c *counts) Refused(reason string, spans int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused[reason]++
	c.spans[reason] += spans
}

func (c *counts) Repaired(what string, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.repaired[what] += n
}

// refusals are how often a reason was counted.
func (c *counts) refusals(reason string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused[reason]
}

// running is a server on ports of its own.
type running struct {
	*Server
	shelf  *shelf
	counts *counts
	logged *output.Buffer
}

func start(t testing.TB, change func(*Options)) *running {
	t.Helper()
	r := &running{shelf: &shelf{}, counts: newCounts(), logged: &output.Buffer{}}
	options := Options{GRPC: "127.0.0.1:0", HTTP: "127.0.0.1:0", Observer: r.counts,
		Log: slog.New(slog.NewTextHandler(r.logged, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	if change != nil {
		change(&options)
	}
	server, err := New(t.Context(), options, r.shelf)
	if err != nil {
		t.Fatal(err)
	}
	r.Server = server
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		r.Shutdown(ctx)
		if n := r.InFlight(); n != 0 {
			t.Errorf("%d bytes are in flight after the end", n)
		}
		select {
		case err := <-r.Failed():
			t.Error(err)
		default:
		}
	})
	return r
}

// url is where the server takes HTTP.
func (r *running) url(path string) string { return "http://" + r.HTTPAddr().String() + path }

// dial connects to the server over gRPC.
func (r *running) dial(t testing.TB, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	return dialAddress(t, r.GRPCAddr().String(), options...)
}

func dialAddress(t testing.TB, address string, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	options = append([]grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}, options...)
	conn, err := grpc.NewClient(address, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}

// listen opens a socket on a port of its own.
func listen(t testing.TB) net.Listener {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// spansOf are so many sound spans of one service, span-0 and so on.
func spansOf(n int) ptraceotlp.ExportRequest {
	traces := ptrace.NewTraces()
	resource := traces.ResourceSpans().AppendEmpty()
	resource.Resource().Attributes().PutStr("service.name", "shop")
	spans := resource.ScopeSpans().AppendEmpty().Spans()
	for i := range n {
		one := spans.AppendEmpty()
		one.SetName(fmt.Sprintf("span-%d", i))
		one.SetTraceID(pcommon.TraceID{1, 2, 3, byte(i >> 16), byte(i >> 8), byte(i), 1})
		one.SetSpanID(pcommon.SpanID{1, byte(i >> 16), byte(i >> 8), byte(i), 1})
		one.Attributes().PutStr("http.route", "/cart")
		one.Attributes().PutInt("http.status_code", 200)
	}
	return ptraceotlp.NewExportRequestFromTraces(traces)
}

// encoded is a request in protobuf.
func encoded(t testing.TB, request ptraceotlp.ExportRequest) []byte {
	t.Helper()
	data, err := request.MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// eventually waits until something holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for until := time.Now().Add(10 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("it never happened: " + what)
		}
	}
}

var errBroken = errors.New("the disk at /secret/place is on fire")
