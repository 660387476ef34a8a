//go:build linux

package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcgzip "google.golang.org/grpc/encoding/gzip"
)

// zeros is a body that compresses to next to nothing.
func zeros(n int64) io.Reader { return io.LimitReader(zeroReader{}, n) }

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// bomb is a compressed body that is n bytes large when it is decompressed.
func bomb(t *testing.T, n int64, compress func(io.Writer) io.WriteCloser) []byte {
	t.Helper()
	var out bytes.Buffer
	w := compress(&out)
	if _, err := io.Copy(w, zeros(n)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func manyAttributes(n int) []*commonpb.KeyValue {
	attributes := make([]*commonpb.KeyValue, n)
	for i := range attributes {
		attributes[i] = stringValue(fmt.Sprint("k", i), "v")
	}
	return attributes
}

// honest clients send spans while others misbehave. They try again when they are asked to, as exporters do.
type honest struct {
	r       *running
	running sync.WaitGroup
	stop    context.CancelFunc
	first   uint64
	sent    atomic.Uint64
	refused atomic.Uint64
	slowest atomic.Int64
}

func (r *running) honest(first uint64) *honest {
	ctx, cancel := context.WithCancel(r.t.Context())
	h := &honest{r: r, stop: cancel, first: first}
	for _, send := range []func(context.Context, *collector.ExportTraceServiceRequest) error{exportSpans(r.dial()), r.postSpans} {
		h.running.Go(func() {
			for ctx.Err() == nil {
				h.one(send)
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	return h
}

func (h *honest) one(send func(context.Context, *collector.ExportTraceServiceRequest) error) {
	request := spansFrom("honest", h.first+h.sent.Add(10)-10, 10, 50)
	began := time.Now()
	for send(h.r.t.Context(), request) != nil {
		h.refused.Add(1)
		if time.Since(began) > 20*time.Second {
			h.r.t.Error("an honest client was kept out for 20 s")
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	h.slowest.Store(max(h.slowest.Load(), int64(time.Since(began))))
}

// end stops the clients, and returns how many spans they sent.
func (h *honest) end() int {
	h.stop()
	h.running.Wait()
	h.r.t.Logf("honest clients sent %d spans, were refused %d times, and waited %v at most", h.sent.Load(), h.refused.Load(), time.Duration(h.slowest.Load()))
	return int(h.sent.Load())
}

// peak is the most memory that the process ever had, in bytes.
func (r *running) peak() (bytes int64) {
	r.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
	if err != nil {
		r.t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &bytes); err == nil {
			return bytes << 10
		}
	}
	r.t.Fatal("the system does not say how much memory a process had")
	return 0
}

// expectRefusal posts a body and looks at the status. The server may hang up before all of a large body is sent.
func (r *running) expectRefusal(what string, want int, body func() io.Reader, headers ...string) {
	r.t.Helper()
	var got answer
	var err error
	for range 3 {
		if got, err = r.post(r.t.Context(), body(), headers...); err == nil {
			break
		}
	}
	if err != nil || got.code != want {
		r.t.Errorf("%s: %d %.200q, %v, want %d", what, got.code, got.body, err, want)
	}
	if retry := got.header.Get("Retry-After"); retry != "" {
		r.t.Errorf("%s: clients are to send it again after %s s, to no avail", what, retry)
	}
}

// rawCodec sends what is no protobuf.
type rawCodec struct{}

func (rawCodec) Name() string                  { return "proto" }
func (rawCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = data
	return nil
}

// expectCode sends bytes over gRPC.
func (r *running) expectCode(what string, want codes.Code, data []byte, options ...grpc.CallOption) {
	r.t.Helper()
	r.expectCodeOf(what, want, "opentelemetry.proto.collector.trace.v1.TraceService", data, options...)
}

func (r *running) expectCodeOf(what string, want codes.Code, service string, data []byte, options ...grpc.CallOption) {
	r.t.Helper()
	var reply []byte
	err := r.connect().Invoke(r.t.Context(), "/"+service+"/Export", &data, &reply, append(options, grpc.ForceCodec(rawCodec{}))...)
	if grpcCode(err) != want {
		r.t.Errorf("%s over gRPC: %v, want %v", what, err, want)
	}
	if retryDelay(err) != 0 {
		r.t.Errorf("%s over gRPC: clients are to send it again, to no avail: %v", what, err)
	}
}

// Clients that send what is too large, broken or none of this server's business are told so, and cost nobody else anything.
func TestHostileClients(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	r := p.serve()
	others := r.honest(1000)
	r.slowClients(200)() // half of which say that much is to come: they crowd the memory, and honest clients still go on
	slow := r.slowClients(40)

	// The race detector, under which tests are short, makes this process slow that makes all of it, and not the server.
	gzipBytes, zstdBytes, attributes := int64(256<<20), int64(1<<30), 1_000_000
	if testing.Short() {
		gzipBytes, zstdBytes, attributes = 64<<20, 128<<20, 100_000
	}
	gzipped := bomb(t, gzipBytes, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
	zstandardBomb := bomb(t, zstdBytes, func(w io.Writer) io.WriteCloser { return must(zstd.NewWriter(w)) })
	window := bomb(t, 100<<20, func(w io.Writer) io.WriteCloser { return must(zstd.NewWriter(w, zstd.WithWindowSize(64<<20))) })
	huge := marshal(t, withAttributes(1, stringValue("huge", strings.Repeat("x", 100<<20))))
	fine := marshal(t, spansFrom("svc", 1, 20, 100))
	of := func(data []byte) func() io.Reader { return func() io.Reader { return bytes.NewReader(data) } }
	unsized := func(data []byte) func() io.Reader {
		return func() io.Reader { return io.MultiReader(bytes.NewReader(data)) }
	}

	r.expectRefusal("a gzip bomb", http.StatusRequestEntityTooLarge, of(gzipped), "Content-Encoding", "gzip")
	r.expectRefusal("a zstd bomb", http.StatusRequestEntityTooLarge, of(zstandardBomb), "Content-Encoding", "zstd")
	r.expectRefusal("a zstd window of 64 MiB", http.StatusBadRequest, of(window), "Content-Encoding", "zstd")
	r.expectRefusal("100 MiB", http.StatusRequestEntityTooLarge, of(huge))
	r.expectRefusal("100 MiB of unknown length", http.StatusRequestEntityTooLarge, unsized(huge))
	r.expectRefusal("half a request", http.StatusBadRequest, of(fine[:len(fine)-7]))
	r.expectRefusal("noise", http.StatusBadRequest, of([]byte(noise(1, 1000))))
	r.expectRefusal("no gzip", http.StatusBadRequest, of(fine), "Content-Encoding", "gzip")
	r.expectRefusal("half a gzip", http.StatusBadRequest, of(zipped(fine)[:50]), "Content-Encoding", "gzip")
	r.expectRefusal("no zstd", http.StatusBadRequest, of(fine), "Content-Encoding", "zstd")
	r.expectRefusal("an encoding that nobody knows", http.StatusUnsupportedMediaType, of(fine), "Content-Encoding", "br")
	r.expectRefusal("a text", http.StatusUnsupportedMediaType, of(fine), "Content-Type", "text/plain")
	r.expectRefusal("no type", http.StatusUnsupportedMediaType, of(fine), "Content-Type", "")
	r.expectRefusal("no JSON", http.StatusBadRequest, of(fine), "Content-Type", "application/json")
	r.expectRefusal("deep JSON", http.StatusBadRequest, of([]byte(strings.Repeat(`{"resourceSpans":[`, 100_000))), "Content-Type", "application/json")

	r.expectCode("100 MiB", codes.ResourceExhausted, huge)
	// It is compressed while it is sent, under the race detector at a few MB/s, and a request has 30 s to arrive.
	r.expectCode("a gzip bomb", codes.ResourceExhausted, make([]byte, 40<<20), grpc.UseCompressor(grpcgzip.Name))
	r.expectCode("noise", codes.InvalidArgument, []byte(noise(1, 1000)))
	r.expectCode("half a request", codes.InvalidArgument, fine[:len(fine)-7])
	r.expectCodeOf("metrics", codes.Unimplemented, "opentelemetry.proto.collector.metrics.v1.MetricsService", nil)
	r.expectCodeOf("logs", codes.Unimplemented, "opentelemetry.proto.collector.logs.v1.LogsService", nil)

	// What is odd, but within bounds, is kept as far as the limits go.
	for i, odd := range []*collector.ExportTraceServiceRequest{
		withAttributes(1, manyAttributes(attributes)...),
		withAttributes(2, stringValue("long", strings.Repeat("x", 30<<20))),
		withAttributes(3, nested(60)),
		withAttributes(4, nested(20_000)),
	} {
		if err := r.postSpans(t.Context(), odd); err != nil {
			t.Errorf("odd request %d: %v", i, err)
		}
	}
	slow()
	n := others.end()
	r.flush()
	r.untilEmpty()
	if peak := r.peak(); peak > 352<<20 {
		t.Errorf("the process had %d MiB of memory, and was to have 256 MB", peak>>20)
	} else {
		t.Logf("the process had %d MiB of memory at most", peak>>20)
	}
	_, metrics := r.get("/metrics")
	if code := r.ready(); code != http.StatusOK || metric(metrics, `spanlake_ingest_spans_refused_total{reason="too_large"}`) < 1 {
		t.Errorf("/readyz is %d\n%s", code, metrics)
	}
	r.end(syscall.SIGTERM)
	p.assertHonestAndOdd(n, attributes)
	p.assertSound()
	if log := r.stderr.String(); strings.Contains(log, "panic") || strings.Contains(log, "level=ERROR") {
		t.Errorf("it logs\n%s", log)
	}
}

// assertHonestAndOdd looks for the four odd spans, cut at the limits, and those of the honest clients. The first odd one had so many attributes.
func (p place) assertHonestAndOdd(sent, attributes int) {
	p.t.Helper()
	rows := make(map[string]int)
	for _, s := range p.lakeSpans() {
		rows[s.SpanID]++
		if s.ServiceName != "odd" {
			continue
		}
		switch s.SpanID {
		case "0000000000000001":
			if int(s.DroppedAttributesCount) != attributes-1024 || strings.Count(s.Attributes, ":") != 1024 {
				p.t.Errorf("of %d attributes %d are kept, and %d said to be dropped", attributes, strings.Count(s.Attributes, ":"), s.DroppedAttributesCount)
			}
		case "0000000000000002":
			if n := len(s.Attributes); n < 8<<20 || n > 8<<20+100 {
				p.t.Errorf("of a value of 30 MiB %d bytes are kept", n)
			}
		case "0000000000000003", "0000000000000004":
			if n := strings.Count(s.Attributes, "["); n == 0 || n > 32 {
				p.t.Errorf("a value is nested %d deep", n)
			}
		default:
			p.t.Errorf("%s was kept", s.SpanID)
		}
	}
	for i := range sent {
		if id := fmt.Sprintf("%016x", 1000+i); rows[id] != 1 {
			p.t.Errorf("the span %s of an honest client is in %d rows", id, rows[id])
		}
	}
	if len(rows) != sent+4 {
		p.t.Errorf("the lake has %d spans, want %d", len(rows), sent+4)
	}
}

// slowClients begin requests that they never end. The returned function hangs up.
func (r *running) slowClients(n int) (hangUp func()) {
	r.t.Helper()
	var connections []net.Conn
	for i := range n {
		connection, err := net.DialTimeout("tcp", r.http, 10*time.Second)
		if err != nil {
			r.t.Fatal(err)
		}
		connections = append(connections, connection)
		begin := "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\n"
		if i%2 == 0 {
			begin += "Content-Length: 30000000\r\n\r\nabc" // a length that is a lie
		}
		if _, err := io.WriteString(connection, begin); err != nil {
			r.t.Fatal(err)
		}
	}
	time.Sleep(300 * time.Millisecond)
	return func() {
		for _, connection := range connections {
			_ = connection.Close()
		}
	}
}

// Many large requests at once do not take more memory than there is: who does not fit in is asked to come back.
func TestMoreAtOnceThanFitsIntoMemory(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	r := p.serve()
	others := r.honest(1_000_000)
	var taken, later atomic.Int64
	var clients sync.WaitGroup
	for i := range 8 {
		request := spansFrom("large", uint64(1+i*200), 200, 100_000) // 20 MB
		data := marshal(t, request)
		clients.Go(func() {
			for {
				got, err := r.post(t.Context(), bytes.NewReader(data))
				switch {
				case err != nil: // it hung up in the middle
					later.Add(1)
				case got.code == http.StatusOK:
					taken.Add(200)
					return
				case got.code == http.StatusServiceUnavailable && got.header.Get("Retry-After") != "":
					later.Add(1)
				default:
					t.Errorf("%d %q", got.code, got.body)
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
	clients.Wait()
	n := others.end()
	t.Logf("large requests: %d spans taken, %d times told to come back", taken.Load(), later.Load())
	r.flush()
	r.untilEmpty()
	if peak := r.peak(); peak > 352<<20 {
		t.Errorf("the process had %d MiB of memory, and was to have 256 MB", peak>>20)
	} else {
		t.Logf("the process had %d MiB of memory at most", peak>>20)
	}
	r.end(syscall.SIGTERM)
	rows := make(map[string]int)
	for _, s := range p.lakeSpans() {
		rows[s.SpanID]++
	}
	for id, times := range rows {
		// Who was hung up on cannot know, and sends again: that is how OTLP is.
		if times > 1 && later.Load() == 0 {
			t.Errorf("the span %s is in %d rows", id, times)
		}
	}
	if want := n + 8*200; len(rows) != want {
		t.Errorf("the lake has %d spans, want %d", len(rows), want)
	}
	p.assertSound()
}
