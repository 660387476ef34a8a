package hot

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/spanlake/spanlake/internal/hot/hotpb"
	"github.com/spanlake/spanlake/internal/span"
)

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

func stats(t *testing.T, spans Spans) error {
	t.Helper()
	_, err := spans.Stats(t.Context())
	return err
}

// The backend outlives the ingest service, however often that goes.
func TestAClientRecovers(t *testing.T) {
	f := newFixture(t, Options{})
	f.add("svc", otlpSpan(1, 1))
	target, stop := serve(t, f.store, "")
	c := dial(t, target)
	compare(t.Context(), t, f, c)
	for range 2 {
		stop()
		for range 3 {
			start := time.Now()
			if _, err := c.List(t.Context(), span.Filter{}, true, span.Key{}, 1); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), target) {
				t.Errorf("List() = %v without a server, want ErrUnreachable with the address", err)
			}
			if took := time.Since(start); took > callTime-time.Second {
				t.Errorf("the error took %v", took)
			}
		}
		_, stop = serve(t, f.store, target)
		eventually(t, "the client recovers", func() bool { return stats(t, c) == nil })
		compare(t.Context(), t, f, c)
	}
}

// Nobody listens: neither when the client is made, nor at a name that does not exist, nor behind a socket that says nothing.
func TestUnreachableIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	closed, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	silent, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	for name, target := range map[string]string{
		"refused": closed.Addr().String(), "no such host": "no-such-host.invalid:50052", "silent": silent.Addr().String(),
	} {
		c := dial(t, target)
		start := time.Now()
		if err := stats(t, c); !errors.Is(err, ErrUnreachable) {
			t.Errorf("%s: %v, want ErrUnreachable", name, err)
		}
		if took := time.Since(start); took > callTime+time.Second {
			t.Errorf("%s: the error took %v", name, took)
		}
	}
	if _, err := Dial("unix://%zz"); err == nil {
		t.Error("Dial() takes what is no address")
	}
}

// A server that goes in the middle of an answer leaves no half answer.
func TestAnAnswerThatBreaksOffIsAnError(t *testing.T) {
	f := newFixture(t, Options{})
	f.add("svc", otlpSpan(1, 1, withText("prompt", strings.Repeat("p", 2*chunkBytes))))
	f.add("svc", otlpSpan(1, 2))
	breaking := &served{Spans: f.store, encoded: func(yield func([]byte, error) bool) {
		_ = yield(make([]byte, 2*chunkBytes), nil) && yield(nil, errors.New("disk on fire"))
	}}
	target, _ := serve(t, breaking, "")
	whole, _, err := dial(t, target).Trace(t.Context(), traceID(1), plenty)
	if whole != nil || err == nil || !strings.Contains(err.Error(), "disk on fire") {
		t.Errorf("Trace() = %d spans, %v", len(whole), err)
	}
	if _, err := collect(dial(t, target).Select(t.Context(), span.Filter{})); err == nil || !strings.Contains(err.Error(), "disk on fire") {
		t.Errorf("Select() = %v", err)
	}
	join := &joiner{}
	if err := join.add(&hotpb.GetSpansResponse{TracesData: [][]byte{{1}}, Unfinished: true}, func([]byte) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := join.end(); err == nil {
		t.Error("a span without its end is taken")
	}
}

// served is a server's side that is not a store.
type served struct {
	Spans
	encoded iter.Seq2[[]byte, error]
	stats   func(context.Context) error
}

func (s *served) Encoded(_ context.Context, _, _ string, _ int64, yield func([]byte) error) (truncated bool, err error) {
	for data, err := range s.encoded {
		if err = cmp.Or(err, yield(data)); err != nil {
			return false, err
		}
	}
	return false, nil
}

func (s *served) EncodedGet(ctx context.Context, _ []span.Ref, maxBytes int64, yield func([]byte) error) (truncated bool, err error) {
	return s.Encoded(ctx, "", "", maxBytes, yield)
}

func (s *served) EncodedSelect(context.Context, span.Filter) iter.Seq2[[]byte, error] {
	return s.encoded
}

func (s *served) Stats(ctx context.Context) (span.HotStats, error) {
	return span.HotStats{}, s.stats(ctx)
}

// A call that has no deadline of its own ends anyway, and the server sees that it did.
func TestCallsHaveADeadline(t *testing.T) {
	var left time.Duration
	target, _ := serve(t, &served{stats: func(ctx context.Context) error {
		deadline, _ := ctx.Deadline()
		left = time.Until(deadline)
		return nil
	}}, "")
	if err := stats(t, dial(t, target)); err != nil || left <= 0 || left > callTime {
		t.Errorf("the server sees that %v are left, %v, want up to %v", left, err, callTime)
	}
	slow, _ := serve(t, &served{stats: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}, "")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := dial(t, slow).Stats(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Stats() = %v, want that the deadline is exceeded", err)
	}
}

// However slowly whole spans are taken, they come; a server that stops sending them is given up.
func TestSelectWaitsForItsReaderOnly(t *testing.T) {
	f := newFixture(t, Options{})
	for i := range 40 {
		f.add("svc", otlpSpan(1, i, withText("prompt", strings.Repeat("p", chunkBytes))))
	}
	target, _ := serve(t, f.store, "")
	c := dial(t, target)
	c.patience = 200 * time.Millisecond
	n := 0
	for s, err := range c.Select(t.Context(), span.Filter{}) {
		if err != nil || s.SpanID != spanID(n) {
			t.Fatalf("Select() = span %s, %v after %d", s.SpanID, err, n)
		}
		if n++; n == 2 {
			time.Sleep(3 * c.patience)
		}
	}
	if n != 40 {
		t.Errorf("%d spans, want 40", n)
	}

	var sent []byte
	if _, err := f.store.Encoded(t.Context(), traceID(1), spanID(1), plenty, func(data []byte) error { sent = data; return nil }); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	hanging, _ := serve(t, &served{encoded: func(yield func([]byte, error) bool) {
		yield(sent, nil)
		<-ended
	}}, "")
	t.Cleanup(func() { close(ended) })
	c = dial(t, hanging)
	c.patience = 200 * time.Millisecond
	if _, err := collect(c.Select(t.Context(), span.Filter{})); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Select() = %v, want that the deadline is exceeded", err)
	}
}

func TestAServerStopsWhileACallHangs(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	target, stop := serve(t, &served{stats: func(ctx context.Context) error { close(entered); <-ctx.Done(); return ctx.Err() }}, "")
	answered := make(chan error, 1)
	c := dial(t, target)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_, err := c.Stats(ctx)
		answered <- err
	}()
	<-entered
	start := time.Now()
	stop()
	if took := time.Since(start); took > grace+callTime {
		t.Errorf("it took %v", took)
	}
	if err := <-answered; err == nil {
		t.Error("the call succeeded")
	}
}

func TestHealth(t *testing.T) {
	f := newFixture(t, Options{})
	target, stop := serve(t, f.store, "")
	c := dial(t, target)
	for _, name := range []string{"", "spanlake.hot.v1.Hot"} {
		r, err := grpc_health_v1.NewHealthClient(c.conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: name})
		if err != nil || r.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Errorf("service %q is %v, %v", name, r.GetStatus(), err)
		}
	}
	stop()
}

// An ingest service of another version, or another service, is not taken for one that is unreachable.
func TestAnotherVersion(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	defer server.Stop()
	go func() { _ = server.Serve(listener) }()
	c := dial(t, listener.Addr().String())
	if err := stats(t, c); !errors.Is(err, ErrVersion) {
		t.Errorf("Stats() = %v, want ErrVersion", err)
	}
	if _, err := c.Published(t.Context()); !errors.Is(err, ErrVersion) {
		t.Errorf("Published() = %v, want ErrVersion", err)
	}
	if _, err := c.Count(t.Context(), span.CountQuery{}); !errors.Is(err, ErrVersion) {
		t.Errorf("Count() = %v, want ErrVersion", err)
	}
	if _, err := collect(c.Select(t.Context(), span.Filter{})); !errors.Is(err, ErrVersion) {
		t.Errorf("Select() = %v, want ErrVersion", err)
	}
}

// Whatever somebody sends to the port, others are answered.
func TestHostileClients(t *testing.T) {
	f := newFixture(t, Options{})
	f.add("svc", otlpSpan(1, 1))
	target, _ := serve(t, f.store, "")
	c := dial(t, target)
	preface := "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	for name, sent := range map[string]string{
		"nothing": "", "HTTP/1": "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "zeros": strings.Repeat("\x00", 1<<16), "random": random(1 << 16),
		"TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc", "a huge frame": preface + "\xff\xff\xff\x00\x00\x00\x00\x00\x01" + random(1<<16),
		"random frames": preface + random(1<<16),
	} {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", target)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, sent) // the server may have hung up already
		if err := stats(t, c); err != nil {
			t.Errorf("%s: Stats() = %v", name, err)
		}
		_ = conn.Close()
	}

	sneaky := hotpb.NewHotClient(c.conn)
	number := int32(1 << 30)
	roots := func(r *hotpb.ListSpansRequest) error { return first(sneaky.ListSpans(t.Context(), r)) }
	spans := func(trace, id []byte) error {
		return first(sneaky.GetSpans(t.Context(), &hotpb.GetSpansRequest{TraceId: trace, SpanId: id}))
	}
	read := func(r *hotpb.ReadSpansRequest) error { return first(sneaky.ReadSpans(t.Context(), r)) }
	_, tooLarge := sneaky.Release(t.Context(), &hotpb.ReleaseRequest{Paths: []string{strings.Repeat("x", requestBytes)}})
	for name, tc := range map[string]struct {
		err  error
		want codes.Code
	}{
		"limit 0":        {roots(&hotpb.ListSpansRequest{}), codes.InvalidArgument},
		"huge limit":     {roots(&hotpb.ListSpansRequest{Limit: 1<<63 - 1}), codes.InvalidArgument},
		"least limit":    {roots(&hotpb.ListSpansRequest{Limit: -1 << 63}), codes.InvalidArgument},
		"limit 2^32+1":   {roots(&hotpb.ListSpansRequest{Limit: 1<<32 + 1}), codes.InvalidArgument},
		"no kind":        {roots(&hotpb.ListSpansRequest{Limit: 1, Filter: &hotpb.Filter{Kind: &number}}), codes.InvalidArgument},
		"no status":      {roots(&hotpb.ListSpansRequest{Limit: 1, Filter: &hotpb.Filter{StatusCode: &number}}), codes.InvalidArgument},
		"no trace":       {spans(nil, nil), codes.InvalidArgument},
		"long trace":     {spans(make([]byte, 1<<19), nil), codes.InvalidArgument},
		"long span":      {spans(make([]byte, 16), make([]byte, 9)), codes.InvalidArgument},
		"a huge release": {tooLarge, codes.ResourceExhausted},
		"no comparison":  {roots(&hotpb.ListSpansRequest{Limit: 1, Filter: &hotpb.Filter{NameMatch: 7}}), codes.InvalidArgument},
		"many clauses": {roots(&hotpb.ListSpansRequest{Limit: 1, Filter: &hotpb.Filter{
			Attributes: slices.Repeat([]*hotpb.AttributeClause{{}}, maxConditions+1)}}), codes.InvalidArgument},
		"empty messages": {roots(&hotpb.ListSpansRequest{Limit: 1, After: &hotpb.Key{}, Filter: &hotpb.Filter{
			Attributes: []*hotpb.AttributeClause{{Conditions: []*hotpb.AttributeCondition{{}}}}}}), codes.OK},
		"a far place":   {roots(&hotpb.ListSpansRequest{Limit: 1, After: &hotpb.Key{StartTimeUnixMicro: 1<<63 - 1}}), codes.OK},
		"no refs":       {read(&hotpb.ReadSpansRequest{Refs: []*hotpb.SpanRef{{}}}), codes.InvalidArgument},
		"many refs":     {read(&hotpb.ReadSpansRequest{Refs: slices.Repeat([]*hotpb.SpanRef{{}}, MaxLimit+1)}), codes.InvalidArgument},
		"no span id":    {first(sneaky.ListTraces(t.Context(), &hotpb.ListTracesRequest{})), codes.InvalidArgument},
		"no step":       {first(sneaky.CountSpans(t.Context(), &hotpb.CountSpansRequest{Step: &durationpb.Duration{Seconds: -1 << 63}})), codes.InvalidArgument},
		"no such kind":  {first(sneaky.ListMatches(t.Context(), &hotpb.ListMatchesRequest{Filter: &hotpb.Filter{Kind: &number}})), codes.InvalidArgument},
		"no such kinds": {first(sneaky.SelectSpans(t.Context(), &hotpb.SelectSpansRequest{Filter: &hotpb.Filter{Kind: &number}})), codes.InvalidArgument},
		"odd times": {roots(&hotpb.ListSpansRequest{Limit: 1, Filter: &hotpb.Filter{
			From: &timestamppb.Timestamp{Seconds: 1<<63 - 1, Nanos: -1}, Until: &timestamppb.Timestamp{Seconds: -1 << 63, Nanos: 1<<31 - 1},
			MinDuration: &durationpb.Duration{Seconds: 1<<63 - 1}, MaxDuration: &durationpb.Duration{Seconds: -1 << 63},
		}}), codes.OK},
	} {
		if errors.Is(tc.err, io.EOF) {
			tc.err = nil // an empty answer
		}
		if got := status.Code(tc.err); got != tc.want {
			t.Errorf("%s: %v, want %v", name, tc.err, tc.want)
		}
	}
	compare(t.Context(), t, f, c)
}

// first is the error of a stream's first message.
func first[T any](stream grpc.ServerStreamingClient[T], err error) error {
	if err == nil {
		_, err = stream.Recv()
	}
	return err
}

func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return string(b)
}

// A listener that others can reach is not opened silently.
func TestServingOthersIsWarnedOf(t *testing.T) {
	f := newFixture(t, Options{})
	for address, want := range map[string]int{"127.0.0.1:0": 0, "0.0.0.0:0": 1} {
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		logs := &lines{}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := Serve(ctx, listener, f.store, slog.New(slog.NewTextHandler(logs, nil))); err != nil {
			t.Error(err)
		}
		if got := logs.all(); len(got) != want {
			t.Errorf("%s: logged %q", address, got)
		}
	}
	closed, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	if err := Serve(t.Context(), closed, f.store, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), closed.Addr().String()) {
		t.Errorf("Serve() = %v on a closed listener", err)
	}
}

// What is refused on the wire is an InvalidError for the caller, whoever found it.
func TestErrorsCrossTheWire(t *testing.T) {
	for want, is := range map[error]func(error) bool{
		&span.InvalidError{What: "limit", Value: "0", Problem: "must be more"}: func(err error) bool {
			invalid := (*span.InvalidError)(nil)
			return errors.As(err, &invalid) && strings.Contains(err.Error(), "must be more")
		},
		context.DeadlineExceeded:    func(err error) bool { return errors.Is(err, context.DeadlineExceeded) },
		errors.New("disk on fire"):  func(err error) bool { return strings.Contains(err.Error(), "disk on fire") },
		fmt.Errorf("x: %w", io.EOF): func(err error) bool { return strings.Contains(err.Error(), "x: EOF") },
	} {
		target, _ := serve(t, &served{stats: func(context.Context) error { return want }}, "")
		if err := stats(t, dial(t, target)); !is(err) || errors.Is(err, ErrUnreachable) {
			t.Errorf("%v arrives as %v", want, err)
		}
	}
}
