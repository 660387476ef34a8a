//go:build unix

package otlp

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/spanlake/spanlake/internal/otlpwire"
)

// nowhere is a sink that discards.
type nowhere struct{}

func (nowhere) Append(context.Context, []byte, int) error { return nil }

// usual is a request as instrumented programs send them: 1,000 spans of about ten attributes and 300 bytes of text.
func usual(tb testing.TB) []byte {
	request := spansOf(1000)
	for _, one := range request.Traces().ResourceSpans().At(0).ScopeSpans().At(0).Spans().All() {
		for i := range 8 {
			one.Attributes().PutStr(fmt.Sprintf("attribute.name.%d", i), "a value of it")
		}
		one.Attributes().PutStr("gen_ai.prompt", string(bytes.Repeat([]byte("Lorem ipsum "), 25)))
	}
	return encoded(tb, request)
}

func processTime(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// BenchmarkRequest is what receiving a request of 1,000 spans costs, client and server together, since they are one process.
// "check" is the part of it that is not transport.
func BenchmarkRequest(b *testing.B) {
	data := usual(b)
	report := func(b *testing.B, run func()) {
		run() // connects
		begin := processTime(b)
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		b.ResetTimer()
		for b.Loop() {
			run()
		}
		b.ReportMetric(float64((processTime(b)-begin).Nanoseconds())/float64(b.N)/1000/1000, "cpu-µs/span")
	}
	b.Run("check", func(b *testing.B) {
		report(b, func() {
			if _, _, err := otlpwire.Clean(data, otlpwire.DefaultLimits()); err != nil {
				b.Fatal(err)
			}
		})
	})
	r := start(b, nil)
	r.sink = nowhere{}
	for _, compression := range []string{"", "gzip", "zstd"} {
		body, headers := data, []string(nil)
		if compression != "" {
			// Compressed once, so that it is not the client that is measured.
			body = packed(b, compression, data)
			headers = []string{"Content-Encoding", compression}
		}
		if compression == "" {
			conn := r.dial(b)
			b.Run("gRPC", func(b *testing.B) {
				report(b, func() {
					if _, err := exportBytes(b, conn, data); err != nil {
						b.Fatal(err)
					}
				})
			})
		}
		client := &http.Client{Transport: &http.Transport{}}
		b.Run("HTTP "+compression, func(b *testing.B) {
			report(b, func() {
				request, err := http.NewRequestWithContext(b.Context(), http.MethodPost, r.url(tracesPath), bytes.NewReader(body))
				if err != nil {
					b.Fatal(err)
				}
				request.Header.Set("Content-Type", contentProtobuf)
				for i := 0; i < len(headers); i += 2 {
					request.Header.Set(headers[i], headers[i+1])
				}
				response, err := client.Do(request)
				if err != nil {
					b.Fatal(err)
				}
				_ = response.Body.Close()
				if response.StatusCode != http.StatusOK {
					b.Fatal(response.Status)
				}
			})
		})
		client.CloseIdleConnections()
	}
	// What any server costs that reads messages with grpc-go itself.
	b.Run("gRPC without this package", func(b *testing.B) { benchmarkPlain(b, data, report) })
}

// benchmarkPlain is a server of grpc-go alone, which takes the same bytes.
func benchmarkPlain(b *testing.B, data []byte, report func(*testing.B, func())) {
	listener := listen(b)
	server := grpc.NewServer(grpc.ForceServerCodecV2(bytesCodec{}), grpc.MaxRecvMsgSize(DefaultMaxRequestBytes))
	server.RegisterService(&grpc.ServiceDesc{ServiceName: services()["traces"], HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Export", Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var message []byte
			if err := decode(&message); err != nil {
				return nil, err
			}
			_, _, err := otlpwire.Clean(message, otlpwire.DefaultLimits())
			return []byte{}, err
		}}}}, nil)
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()
	conn := dialAddress(b, listener.Addr().String())
	report(b, func() {
		if _, err := exportBytes(b, conn, data); err != nil {
			b.Fatal(err)
		}
	})
}
