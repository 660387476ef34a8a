package hot

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var epoch = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// traceID and spanID are the ids number n.
func traceID(n int) string { return fmt.Sprintf("%032x", n+1) }
func spanID(n int) string  { return fmt.Sprintf("%016x", n+1) }

// otlpSpan is a root span with number id, which starts so many milliseconds after epoch.
func otlpSpan(trace, id int, edits ...func(*tracepb.Span)) *tracepb.Span {
	t, s := [16]byte{}, [8]byte{}
	binary.BigEndian.PutUint64(t[8:], uint64(trace+1))
	binary.BigEndian.PutUint64(s[:], uint64(id+1))
	start := uint64(epoch.Add(time.Duration(id) * time.Millisecond).UnixNano())
	one := &tracepb.Span{
		TraceId: t[:], SpanId: s[:], Name: "op", Kind: tracepb.Span_SPAN_KIND_SERVER,
		StartTimeUnixNano: start, EndTimeUnixNano: start + 1_000_001, Status: &tracepb.Status{Code: tracepb.Status_STATUS_CODE_OK},
	}
	for _, edit := range edits {
		edit(one)
	}
	return one
}

func childOf(id int) func(*tracepb.Span) {
	return func(s *tracepb.Span) { s.ParentSpanId = binary.BigEndian.AppendUint64(nil, uint64(id+1)) }
}

func named(name string) func(*tracepb.Span) { return func(s *tracepb.Span) { s.Name = name } }

func text(s string) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: s}}
}

func withText(key, value string) func(*tracepb.Span) {
	return func(s *tracepb.Span) {
		s.Attributes = append(s.Attributes, &commonpb.KeyValue{Key: key, Value: text(value)})
	}
}

// requestID is the id of request number n.
func requestID(n int) (id span.RequestID) {
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	return id
}

// newRequest is request number n, of one service.
func newRequest(t testing.TB, n int, service string, spans ...*tracepb.Span) span.Request {
	t.Helper()
	data, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource:   &resourcepb.Resource{Attributes: []*commonpb.KeyValue{{Key: "service.name", Value: text(service)}}},
		SchemaUrl:  "https://example.com/resource",
		ScopeSpans: []*tracepb.ScopeSpans{{Scope: &commonpb.InstrumentationScope{Name: "scope"}, Spans: spans, SchemaUrl: "https://example.com/scope"}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return span.Request{ID: requestID(n), Received: epoch.Add(time.Duration(n) * time.Second), Spans: len(spans), Data: data}
}

// memoryLog is a log without a disk.
type memoryLog struct {
	mu       sync.Mutex
	requests map[span.RequestID]span.Request
	files    map[span.RequestID]string // the file of a request, if it is published
	// broken is what every call answers, unless it is nil.
	broken error
	// releases are the calls of Release, and read counts those of Request.
	releases [][]string
	read     int
}

func newMemoryLog() *memoryLog {
	return &memoryLog{requests: make(map[span.RequestID]span.Request), files: make(map[span.RequestID]string)}
}

func (l *memoryLog) append(requests ...span.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range requests {
		l.requests[r.ID] = r
	}
}

func (l *memoryLog) publish(first, last span.RequestID, path string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.requests {
		if slices.Compare(first[:], id[:]) <= 0 && slices.Compare(id[:], last[:]) <= 0 {
			l.files[id] = path
		}
	}
}

func (l *memoryLog) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = err
}

func (l *memoryLog) released() [][]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.releases)
}

func (l *memoryLog) reads() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.read
}

func (l *memoryLog) Request(ctx context.Context, id span.RequestID) (span.Request, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := cmp.Or(ctx.Err(), l.broken); err != nil {
		return span.Request{}, err
	}
	l.read++
	r, ok := l.requests[id]
	if !ok {
		return r, fmt.Errorf("request %x: %w", id, span.ErrReleased)
	}
	return r, nil
}

func (l *memoryLog) Release(ctx context.Context, paths []string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.releases = append(l.releases, slices.Clone(paths))
	if err := cmp.Or(ctx.Err(), l.broken); err != nil {
		return err
	}
	for id, path := range l.files {
		if slices.Contains(paths, path) {
			delete(l.requests, id)
			delete(l.files, id)
		}
	}
	return nil
}

// fixture is a store, its log, and a list in which everything is looked up by reading all of it.
type fixture struct {
	t     testing.TB
	log   *memoryLog
	store *Store
	logs  *lines
	list  []listed
	next  int // the number of the next request
}

// listed is a request as the naive list has it.
type listed struct {
	request span.Request
	spans   []span.Span
	path    string // "" if it is not published
	// assigned is the file that it is in or will be in.
	assigned string
}

func newFixture(t testing.TB, opts Options) *fixture {
	f := &fixture{t: t, log: newMemoryLog(), logs: &lines{}, next: 1}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.NewTextHandler(f.logs, nil))
	}
	f.store = NewStore(f.log, opts)
	return f
}

// add acknowledges a request and says which number it has.
func (f *fixture) add(service string, spans ...*tracepb.Span) int {
	f.t.Helper()
	r := newRequest(f.t, f.next, service, spans...)
	f.log.append(r)
	f.store.Add([]span.Request{r})
	var convert otlpwire.Converter
	one := listed{request: r}
	for s, err := range otlpwire.Spans(r.Data) {
		if err != nil {
			f.t.Fatal(err)
		}
		one.spans = append(one.spans, convert.Span(s))
	}
	f.list = append(f.list, one)
	f.next++
	return f.next - 1
}

// publish publishes the requests with numbers from first to last.
func (f *fixture) publish(first, last int, path string) {
	f.log.publish(requestID(first), requestID(last), path)
	f.store.Publish(requestID(first), requestID(last), path)
	for i := range f.list {
		if n := int(binary.BigEndian.Uint64(f.list[i].request.ID[8:])); first <= n && n <= last {
			f.list[i].path, f.list[i].assigned = path, path
		}
	}
}

// assign says in which file the requests with numbers from first to last will be.
func (f *fixture) assign(first, last int, path string) {
	f.store.Assign(requestID(first), requestID(last), path)
	for i := range f.list {
		if n := int(binary.BigEndian.Uint64(f.list[i].request.ID[8:])); first <= n && n <= last {
			f.list[i].assigned = path
		}
	}
}

// forget takes the requests of files out of the list.
func (f *fixture) forget(paths ...string) {
	f.list = slices.DeleteFunc(f.list, func(l listed) bool { return l.path != "" && slices.Contains(paths, l.path) })
}

// fataler is what testing.TB and rapid.T share.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// same fails the test unless an answer is what is wanted.
func same[T any](t fataler, what string, got T, err error, want T) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if reflect.DeepEqual(want, got) {
		return // which is told much faster
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Fatalf("%s: -want +got\n%.4000s", what, diff)
	}
}

// serve serves spans on a free port, or on address, until the test ends or stop is called.
func serve(t testing.TB, spans Served, address string) (target string, stop func()) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", cmp.Or(address, "127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, listener, spans, slog.New(slog.NewTextHandler(io.Discard, nil))) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve() = %v", err)
		}
	})
	t.Cleanup(stop)
	return listener.Addr().String(), stop
}

func dial(t testing.TB, target string) *Client {
	t.Helper()
	c, err := Dial(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// lines collects what is logged.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// all are the lines so far.
func (l *lines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(strings.Lines(l.text.String()))
}

const (
	farFuture = math.MaxUint64
	// plenty is more bytes than any test has of whole spans.
	plenty = math.MaxInt64
)

// untruncated is an answer that must have all there is.
func untruncated(spans []span.Span, truncated bool, err error) ([]span.Span, error) {
	if err == nil && truncated {
		err = errors.New("the answer is truncated")
	}
	return spans, err
}
