package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
)

const exportMethod = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

// retryDelay is that of a status, and whether it has one.
func retryDelay(err error) (time.Duration, bool) {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration(), true
		}
	}
	return 0, false
}

// bytesCodec sends bytes as they are, to say what no client of OTLP would.
type bytesCodec struct{}

func (bytesCodec) Name() string { return "proto" }

func (bytesCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (bytesCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// exportBytes sends any bytes as a request.
func exportBytes(t testing.TB, conn *grpc.ClientConn, data []byte, options ...grpc.CallOption) (ptraceotlp.ExportResponse, error) {
	t.Helper()
	var reply []byte
	response := ptraceotlp.NewExportResponse()
	if err := conn.Invoke(t.Context(), exportMethod, data, &reply, append(options, grpc.ForceCodecV2(bytesCodec{}))...); err != nil {
		return response, err
	}
	return response, response.UnmarshalProto(reply)
}

func TestGRPCTakesSpans(t *testing.T) {
	for _, compression := range []string{"", "gzip", "zstd", "snappy"} {
		for _, spans := range []int{0, 1, 100, 15_000} {
			t.Run(fmt.Sprintf("%d spans in %q", spans, compression), func(t *testing.T) {
				r := start(t, nil)
				var options []grpc.CallOption
				if compression != "" {
					options = append(options, grpc.UseCompressor(compression))
				}
				response, err := ptraceotlp.NewGRPCClient(r.dial(t)).Export(t.Context(), spansOf(spans), options...)
				if err != nil {
					t.Fatal(err)
				}
				if partial := response.PartialSuccess(); partial.RejectedSpans() != 0 || partial.ErrorMessage() != "" {
					t.Errorf("partial success: %d, %q", partial.RejectedSpans(), partial.ErrorMessage())
				}
				if names := r.shelf.names(t); len(names) != spans || r.shelf.spans != spans || spans > 0 && names[spans-1] != fmt.Sprint("span-", spans-1) {
					t.Errorf("%d spans arrived, %d were announced to the sink", len(names), r.shelf.spans)
				}
				if r.counts.accepted["grpc"] != spans || len(r.counts.refused) > 0 {
					t.Errorf("counted %v, refused %v", r.counts.accepted, r.counts.refused)
				}
			})
		}
	}
}

// flawed are three spans, of which the middle one has an id of zeros and another a name that is not UTF-8.
func flawed(t testing.TB) []byte {
	request := spansOf(3)
	spans := request.Traces().ResourceSpans().At(0).ScopeSpans().At(0).Spans()
	spans.At(1).SetSpanID(pcommon.SpanID{})
	return bytes.Replace(encoded(t, request), []byte("span-2"), []byte("span\xff2"), 1)
}

func TestPartialSuccessOverGRPC(t *testing.T) {
	r := start(t, nil)
	conn := r.dial(t)
	response, err := exportBytes(t, conn, flawed(t))
	if err != nil {
		t.Fatal(err)
	}
	if partial := response.PartialSuccess(); partial.RejectedSpans() != 1 || !strings.Contains(partial.ErrorMessage(), "span") {
		t.Errorf("partial success: %d, %q, want 1 and a reason", partial.RejectedSpans(), partial.ErrorMessage())
	}
	if names := r.shelf.names(t); !slices.Equal(names, []string{"span-0", "span\ufffd2"}) {
		t.Errorf("stored %q", names)
	}
	if r.counts.spans["invalid"] != 1 || r.counts.repaired["strings"] != 1 || r.counts.accepted["grpc"] != 2 {
		t.Errorf("counted %+v", r.counts)
	}

	none := ptrace.NewTraces()
	none.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty().SetName("no ids")
	response, err = ptraceotlp.NewGRPCClient(conn).Export(t.Context(), ptraceotlp.NewExportRequestFromTraces(none))
	if err != nil || response.PartialSuccess().RejectedSpans() != 1 {
		t.Errorf("all spans rejected: %v, %d, want a partial success", err, response.PartialSuccess().RejectedSpans())
	}
	if len(r.shelf.requests) != 1 {
		t.Error("an empty request was stored")
	}
}

func TestGRPCRefusals(t *testing.T) {
	const limit = 1 << 20
	r := start(t, func(o *Options) { o.MaxRequestBytes = limit })
	conn := r.dial(t)
	zeros := bytes.Repeat([]byte{0}, limit+1)
	// Spans of two bytes each, in one ScopeSpans of one ResourceSpans.
	many := protowire.AppendBytes([]byte{2<<3 | 2}, bytes.Repeat([]byte{2<<3 | 2, 0}, maxRequestSpans+1))
	many = protowire.AppendBytes([]byte{1<<3 | 2}, many)
	for name, tc := range map[string]struct {
		data    []byte
		options []grpc.CallOption
		want    codes.Code
		text    string
	}{
		"broken protobuf":        {[]byte("\xff\xff\xff"), nil, codes.InvalidArgument, "protobuf"},
		"text":                   {[]byte("hello, world"), nil, codes.InvalidArgument, "protobuf"},
		"too many spans":         {many, nil, codes.ResourceExhausted, "100001 spans"},
		"too large":              {zeros, nil, codes.ResourceExhausted, "1.0 MiB"},
		"too large, compressed":  {zeros, []grpc.CallOption{grpc.UseCompressor("gzip")}, codes.ResourceExhausted, "1.0 MiB"},
		"too large in zstd":      {zeros, []grpc.CallOption{grpc.UseCompressor("zstd")}, codes.ResourceExhausted, "1.0 MiB"},
		"a bomb of ten times it": {bytes.Repeat(zeros, 10), []grpc.CallOption{grpc.UseCompressor("gzip")}, codes.ResourceExhausted, "1.0 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := exportBytes(t, conn, tc.data, tc.options...)
			if status.Code(err) != tc.want || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("got %v, want %v with %q", err, tc.want, tc.text)
			}
			if _, ok := retryDelay(err); ok {
				t.Error("has a RetryInfo: the client sends it for ever")
			}
		})
	}
	if len(r.shelf.requests) > 0 {
		t.Error("something was stored")
	}
}

func TestOtherSignalsOverGRPC(t *testing.T) {
	r := start(t, nil)
	conn := r.dial(t)
	for signal, service := range services() {
		if signal == "traces" {
			continue
		}
		for range 2 {
			var reply []byte
			err := conn.Invoke(t.Context(), "/"+service+"/Export", []byte("anything"), &reply, grpc.ForceCodecV2(bytesCodec{}))
			if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "Spanlake keeps traces only") {
				t.Errorf("%s: %v", signal, err)
			}
		}
		if r.counts.refusals(signal) != 2 || strings.Count(r.logged.String(), "sends "+signal) != 1 {
			t.Errorf("%s: counted %d times and logged: %s", signal, r.counts.refusals(signal), r.logged)
		}
	}
}

// TestASinkThatCannotStore wants the client to keep the spans and come again.
func TestASinkThatCannotStore(t *testing.T) {
	for name, tc := range map[string]struct {
		err    error
		reason string
		delay  time.Duration
	}{
		"full for a while": {fmt.Errorf("append: %w", &span.RefusedError{Reason: "disk", RetryAfter: 7 * time.Second, Err: errBroken}), "disk", 7 * time.Second},
		"full":             {&span.RefusedError{Reason: "wal_size"}, "wal_size", retryAfter},
		"anything else":    {errBroken, "error", retryAfter},
		"given up":         {context.Canceled, "canceled", retryAfter},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, nil)
			client := ptraceotlp.NewGRPCClient(r.dial(t))
			r.shelf.refuseWith(func(context.Context) error { return tc.err })
			for range 3 {
				_, err := client.Export(t.Context(), spansOf(4))
				delay, ok := retryDelay(err)
				if status.Code(err) != codes.Unavailable || !ok || delay != tc.delay {
					t.Errorf("got %v and delay %v, %v, want UNAVAILABLE and %v", err, delay, ok, tc.delay)
				}
				if strings.Contains(err.Error(), "secret") {
					t.Errorf("the client is told about the server: %v", err)
				}
			}
			if r.counts.refusals(tc.reason) != 3 || r.counts.spans[tc.reason] != 12 {
				t.Errorf("counted %v, spans %v", r.counts.refused, r.counts.spans)
			}
			if lines := strings.Count(r.logged.String(), "level=WARN"); tc.reason != "canceled" && lines != 1 {
				t.Errorf("logged %d lines, want one a minute: %s", lines, r.logged)
			}
			r.shelf.refuseWith(nil)
			if _, err := client.Export(t.Context(), spansOf(4)); err != nil {
				t.Errorf("after the disk has room again: %v", err)
			}
		})
	}
}

// TestMessagesThatBreakTheProtocol sends what only a client can send that frames gRPC messages itself.
func TestMessagesThatBreakTheProtocol(t *testing.T) {
	r := start(t, func(o *Options) { o.ReadTimeout = 300 * time.Millisecond })
	conn := r.dial(t)
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	if _, err := zip.Write(encoded(t, spansOf(2))); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	cut := packed.Bytes()[:packed.Len()/2]
	for name, tc := range map[string]struct {
		encoding string
		body     []byte
		open     bool // the client does not say that it has sent everything
		want     codes.Code
		text     string
	}{
		"no message":            {"", nil, false, codes.InvalidArgument, "no request message"},
		"half a header":         {"", []byte{0, 0, 0}, false, codes.InvalidArgument, "no request message"},
		"a message cut short":   {"", []byte{0, 0, 0, 0, 9, 1, 2}, false, codes.InvalidArgument, "before its length"},
		"two messages":          {"", []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, false, codes.InvalidArgument, "more than one"},
		"compressed without":    {"", []byte{1, 0, 0, 0, 0}, false, codes.InvalidArgument, "does not say how"},
		"a flag of its own":     {"gzip", []byte{7, 0, 0, 0, 0}, false, codes.InvalidArgument, ""},
		"announces 4 GiB":       {"", []byte{0, 255, 255, 255, 255}, true, codes.ResourceExhausted, "64 MiB"},
		"no gzip":               {"gzip", []byte{1, 0, 0, 0, 3, 1, 2, 3}, false, codes.InvalidArgument, "gzip"},
		"gzip cut short":        {"gzip", append([]byte{1, 0, 0, 0, byte(len(cut))}, cut...), false, codes.InvalidArgument, "gzip"},
		"an unknown encoding":   {"br", []byte{1, 0, 0, 0, 0}, false, codes.Unimplemented, "br"},
		"never begins":          {"", nil, true, codes.Unavailable, "300ms"},
		"never ends":            {"", []byte{0, 0, 0, 1, 0, 1, 2}, true, codes.Unavailable, "300ms"},
		"never ends compressed": {"gzip", append([]byte{1, 0, 0, 1, 0}, cut...), true, codes.Unavailable, "300ms"},
		"never says it is done": {"", []byte{0, 0, 0, 0, 0}, true, codes.Unavailable, "300ms"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := rawCall(t, r, tc.encoding, tc.body, tc.open)
			if status.Code(got) != tc.want || !strings.Contains(got.Error(), tc.text) {
				t.Errorf("got %v, want %v with %q", got, tc.want, tc.text)
			}
			if _, retry := retryDelay(got); retry != (tc.want == codes.Unavailable) {
				t.Errorf("RetryInfo: %v", retry)
			}
		})
	}
	t.Run("and others are served", func(t *testing.T) {
		if _, err := ptraceotlp.NewGRPCClient(conn).Export(t.Context(), spansOf(1)); err != nil {
			t.Error(err)
		}
	})
}

// TestShutdown ends a server while one request is being received and another stored.
func TestShutdown(t *testing.T) {
	for name, patience := range map[string]time.Duration{"all requests end in time": 5 * time.Second, "one does not": 50 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			r := start(t, nil)
			storing, stored := make(chan struct{}), make(chan error, 1)
			r.shelf.refuseWith(func(context.Context) error {
				close(storing)
				time.Sleep(100 * time.Millisecond)
				return nil
			})
			client := ptraceotlp.NewGRPCClient(r.dial(t))
			go func() {
				_, err := client.Export(context.Background(), spansOf(1))
				stored <- err
			}()
			<-storing
			slow := make(chan error, 1)
			if name == "one does not" {
				go func() { slow <- rawCall(t, r, "", []byte{0, 0, 0, 1, 0, 1}, true) }()
				eventually(t, "the slow request is being received", func() bool { return r.InFlight() > transportBytes })
			} else {
				slow <- status.Error(codes.Unavailable, "")
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			r.Shutdown(ctx)
			if err := <-stored; err != nil {
				t.Errorf("the request that was being stored: %v", err)
			}
			if err := <-slow; status.Code(err) != codes.Unavailable {
				t.Errorf("the slow request: %v", err)
			}
			if _, err := client.Export(t.Context(), spansOf(1)); status.Code(err) != codes.Unavailable {
				t.Errorf("a request after the end: %v", err)
			}
		})
	}
}

// TestASinkThatHangs stores for as long as it is let: the end of the server is an end for it as well.
func TestASinkThatHangs(t *testing.T) {
	for _, transport := range []string{"gRPC", "HTTP"} {
		t.Run(transport, func(t *testing.T) {
			r := start(t, nil)
			storing := make(chan struct{})
			r.shelf.refuseWith(func(ctx context.Context) error {
				close(storing)
				<-ctx.Done()
				return ctx.Err()
			})
			ended := make(chan struct{})
			conn, data := r.dial(t), encoded(t, spansOf(1))
			go func() {
				defer close(ended)
				if transport == "gRPC" {
					if _, err := exportBytes(t, conn, data); status.Code(err) != codes.Unavailable {
						t.Errorf("got %v, want UNAVAILABLE", err)
					}
					return
				}
				request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, r.url(tracesPath), bytes.NewReader(data))
				if err != nil {
					t.Error(err)
					return
				}
				request.Header.Set("Content-Type", contentProtobuf)
				if response, err := http.DefaultTransport.RoundTrip(request); err == nil {
					_ = response.Body.Close()
					if response.StatusCode == http.StatusOK {
						t.Error("spans that were not stored are acknowledged")
					}
				}
			}()
			<-storing
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			r.Shutdown(ctx)
			<-ended
		})
	}
}

// TestAPanicCostsOneRequest has a sink panic, which stands for anything that does.
func TestAPanicCostsOneRequest(t *testing.T) {
	r := start(t, nil)
	conn := r.dial(t)
	r.shelf.refuseWith(func(context.Context) error { panic("unforeseen") })
	if _, err := exportBytes(t, conn, encoded(t, spansOf(1))); status.Code(err) != codes.Internal {
		t.Errorf("gRPC: %v, want INTERNAL", err)
	}
	if got := export(t, r, contentProtobuf, encoded(t, spansOf(1))); got.code != http.StatusInternalServerError || codes.Code(got.status(t).GetCode()) != codes.Internal {
		t.Errorf("HTTP: %d, want 500", got.code)
	}
	if strings.Count(r.logged.String(), "unforeseen") != 2 || r.counts.refusals("internal") != 2 {
		t.Errorf("counted %v and logged %s", r.counts.refused, r.logged)
	}
	r.shelf.refuseWith(nil)
	if _, err := exportBytes(t, conn, encoded(t, spansOf(1))); err != nil {
		t.Errorf("the next request: %v", err)
	}
}

// TestLimitsOfASpan sends a span with more attributes than one may have: it is taken, and what is left out is counted.
func TestLimitsOfASpan(t *testing.T) {
	r := start(t, func(o *Options) { o.Limits = otlpwire.Limits{Attributes: 10} })
	request := spansOf(1)
	for i := range 100 {
		request.Traces().ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Attributes().PutInt(fmt.Sprint("key", i), 1)
	}
	response, err := ptraceotlp.NewGRPCClient(r.dial(t)).Export(t.Context(), request)
	if err != nil || response.PartialSuccess().RejectedSpans() != 0 {
		t.Fatalf("got %v, %d rejected", err, response.PartialSuccess().RejectedSpans())
	}
	if r.counts.repaired["attributes"] != 92 || r.counts.accepted["grpc"] != 1 {
		t.Errorf("counted %v and %v, want 92 of 102 attributes", r.counts.repaired, r.counts.accepted)
	}
}
