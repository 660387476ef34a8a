package otlpbench

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/spanlake/spanlake/internal/sample"
)

// traces decodes what is sent as others do.
func traces(t *testing.T, data []byte) []*tracepb.Span {
	t.Helper()
	var request coltracepb.ExportTraceServiceRequest
	if err := proto.Unmarshal(data, &request); err != nil {
		t.Fatal(err)
	}
	if len(request.GetResourceSpans()) != 1 || len(request.GetResourceSpans()[0].GetScopeSpans()) != 1 {
		t.Fatalf("not one resource and one scope: %v", request.GetResourceSpans())
	}
	inResource := request.GetResourceSpans()[0]
	if got := len(inResource.GetResource().GetAttributes()); got != 5 {
		t.Errorf("the resource has %d attributes, want 5", got)
	}
	if scope := inResource.GetScopeSpans()[0].GetScope(); scope.GetName() == "" || scope.GetVersion() == "" {
		t.Errorf("scope %v", scope)
	}
	return inResource.GetScopeSpans()[0].GetSpans()
}

func attribute(s *tracepb.Span, key string) *commonpb.AnyValue {
	for _, a := range s.GetAttributes() {
		if a.GetKey() == key {
			return a.GetValue()
		}
	}
	return nil
}

// A request has what the benchmark promises, and what is stamped on it stands where it belongs.
func TestRequest(t *testing.T) {
	r, err := newRequest(sample.NewCalls(1))
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	for range 2 {
		now := time.Now()
		r.stamp(now)
		spans := traces(t, r.data)
		if len(spans) != SpansPerRequest {
			t.Fatalf("%d spans", len(spans))
		}
		ids := make(map[string]*tracepb.Span)
		roots, prompts := 0, 0
		for _, s := range spans {
			id := string(s.GetSpanId())
			seen = append(seen, id)
			ids[id] = s
			if len(s.GetTraceId()) != 16 || len(id) != 8 || len(s.GetAttributes()) != 10 || s.GetName() == "" || s.GetFlags() != 0x101 {
				t.Fatalf("span %v", s)
			}
			if parent := s.GetParentSpanId(); len(parent) == 0 {
				roots++
			} else if p := ids[string(parent)]; p == nil || string(p.GetTraceId()) != string(s.GetTraceId()) ||
				attribute(p, sessionKey).GetStringValue() != attribute(s, sessionKey).GetStringValue() {
				t.Fatalf("span %v, parent %v", s, p)
			}
			if session := attribute(s, sessionKey).GetStringValue(); len(session) != 16 || strings.Trim(session, "0123456789abcdef") != "" {
				t.Fatalf("session %q", session)
			}
			if attribute(s, "gen_ai.usage.input_tokens").GetIntValue() == 0 {
				t.Fatalf("no tokens in %v", s)
			}
			prompts += len(attribute(s, "input.value").GetStringValue())
			if after := int64(s.GetStartTimeUnixNano()) - now.UnixNano(); after < 0 || after > int64(age) || s.GetEndTimeUnixNano() <= s.GetStartTimeUnixNano() ||
				int64(s.GetEndTimeUnixNano()) > now.Add(age).UnixNano() {
				t.Fatalf("from %d to %d, made at %d", s.GetStartTimeUnixNano(), s.GetEndTimeUnixNano(), now.UnixNano())
			}
		}
		if roots != SpansPerRequest/10 || prompts/len(spans) < 250 || prompts/len(spans) > 400 {
			t.Errorf("%d roots, prompts of %d bytes", roots, prompts/len(spans))
		}
	}
	slices.Sort(seen)
	if got := len(slices.Compact(seen)); got != 2*SpansPerRequest {
		t.Errorf("%d different span ids of %d", got, 2*SpansPerRequest)
	}
}

// server is an OTLP server that answers as a test says.
type server struct {
	coltracepb.UnimplementedTraceServiceServer
	answer func(n int) (*coltracepb.ExportTraceServiceResponse, error)

	mutex sync.Mutex
	asked int
	spans map[string]int
}

func (s *server) Export(_ context.Context, request *coltracepb.ExportTraceServiceRequest) (*coltracepb.ExportTraceServiceResponse, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.asked++
	response, err := s.answer(s.asked)
	if err == nil {
		for _, one := range request.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans() {
			s.spans[string(one.GetTraceId())+string(one.GetSpanId())]++
		}
	}
	return response, err
}

func listen(t *testing.T, answer func(n int) (*coltracepb.ExportTraceServiceResponse, error)) (*server, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{answer: answer, spans: make(map[string]int)}
	g := grpc.NewServer()
	coltracepb.RegisterTraceServiceServer(g, s)
	served := make(chan error, 1)
	go func() { served <- g.Serve(listener) }()
	t.Cleanup(func() {
		g.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s, listener.Addr().String()
}

func accept(int) (*coltracepb.ExportTraceServiceResponse, error) {
	return &coltracepb.ExportTraceServiceResponse{}, nil
}

// busy refuses the first requests.
func busy(code codes.Code, details ...*errdetails.RetryInfo) func(int) (*coltracepb.ExportTraceServiceResponse, error) {
	return func(n int) (*coltracepb.ExportTraceServiceResponse, error) {
		if n > 3 {
			return accept(n)
		}
		state := status.New(code, "busy")
		for _, detail := range details {
			with, err := state.WithDetails(detail)
			if err != nil {
				return nil, err
			}
			state = with
		}
		return nil, state.Err()
	}
}

func TestSend(t *testing.T) {
	soon := &errdetails.RetryInfo{RetryDelay: durationpb.New(time.Millisecond)}
	for name, test := range map[string]struct {
		answer  func(int) (*coltracepb.ExportTraceServiceResponse, error)
		options Options
		retries int64
		fails   codes.Code
		rejects int64
	}{
		"everything is taken":         {answer: accept, options: Options{Requests: 40, Clients: 4}},
		"compressed":                  {answer: accept, options: Options{Requests: 8, Clients: 2, Gzip: true}},
		"more clients than requests":  {answer: accept, options: Options{Requests: 2, Clients: 8}},
		"at a rate":                   {answer: accept, options: Options{Requests: 5, Clients: 2, Interval: 20 * time.Millisecond}},
		"busy for a moment":           {answer: busy(codes.ResourceExhausted, soon), options: Options{Requests: 8, Clients: 2}, retries: 3},
		"unavailable for a moment":    {answer: busy(codes.Unavailable, soon), options: Options{Requests: 8, Clients: 2}, retries: 3},
		"it does not say how long":    {answer: busy(codes.Unavailable), options: Options{Requests: 8, Clients: 1}, retries: 3},
		"too large":                   {answer: busy(codes.ResourceExhausted), options: Options{Requests: 8, Clients: 1}, fails: codes.ResourceExhausted},
		"never":                       {answer: busy(codes.InvalidArgument, soon), options: Options{Requests: 8, Clients: 2}, fails: codes.InvalidArgument},
		"some spans are not accepted": {answer: partial, options: Options{Requests: 1, Clients: 1}, rejects: 7},
		"accepted with a word":        {answer: warned, options: Options{Requests: 1, Clients: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			s, target := listen(t, test.answer)
			load, err := NewLoad(test.options.Requests * SpansPerRequest)
			if err != nil {
				t.Fatal(err)
			}
			test.options.Target = target
			got, err := load.Send(t.Context(), test.options)
			if test.fails != codes.OK {
				if status.Code(errors.Unwrap(err)) != test.fails {
					t.Errorf("error %v, want %v", err, test.fails)
				}
				return
			}
			if test.rejects > 0 {
				if rejected := (*RejectedError)(nil); !errors.As(err, &rejected) || rejected.Spans != test.rejects || rejected.Reason != "no id" {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil || got.Retries != test.retries || got.Spans != test.options.Requests*SpansPerRequest ||
				len(got.Acknowledged) != int(test.options.Requests) || got.Elapsed < time.Duration(test.options.Requests-1)*test.options.Interval {
				t.Errorf("%+v, %v", got, err)
			}
			if len(s.spans) != int(got.Spans) {
				t.Errorf("%d different spans arrived of %d", len(s.spans), got.Spans)
			}
		})
	}
}

func partial(int) (*coltracepb.ExportTraceServiceResponse, error) {
	return &coltracepb.ExportTraceServiceResponse{PartialSuccess: &coltracepb.ExportTracePartialSuccess{RejectedSpans: 7, ErrorMessage: "no id"}}, nil
}

func warned(int) (*coltracepb.ExportTraceServiceResponse, error) {
	return &coltracepb.ExportTraceServiceResponse{PartialSuccess: &coltracepb.ExportTracePartialSuccess{ErrorMessage: "attributes were cut"}}, nil
}

// Who waits for a server that does not answer can give up.
func TestInterruptedSend(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	load, err := NewLoad(1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if got, err := load.Send(ctx, Options{Target: listener.Addr().String(), Requests: 5, Clients: 2}); err == nil || got.Spans != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

func BenchmarkStamp(b *testing.B) {
	r, err := newRequest(sample.NewCalls(1))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(r.data)))
	for b.Loop() {
		r.stamp(time.Now())
	}
	b.ReportMetric(float64(len(r.data))/SpansPerRequest, "B/span")
}
