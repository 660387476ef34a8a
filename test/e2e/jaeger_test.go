//go:build unix

package e2e

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/spanlake/spanlake/internal/jaeger/storagev2"
)

// shopTrace is a trace of two services, of which the second one fails.
type shopTrace struct {
	id       []byte
	start    time.Time
	requests []*collector.ExportTraceServiceRequest
	// spans are its spans by id, as they were sent.
	spans map[string]*tracepb.Span
}

func newShopTrace() shopTrace {
	s := shopTrace{id: append([]byte{0xcd, 0, 0, 0, 0, 0, 0, 0}, 0, 0, 0, 0, 0, 0, 0, 7), start: time.Now(), spans: make(map[string]*tracepb.Span)}
	at := func(d time.Duration) uint64 { return uint64(s.start.Add(d).UnixNano()) }
	root, call, served := numbered(1), numbered(2), numbered(3)
	for service, spans := range map[string][]*tracepb.Span{
		"frontend": {
			{TraceId: s.id, SpanId: root[:], Name: "GET /cart", Kind: tracepb.Span_SPAN_KIND_SERVER, StartTimeUnixNano: at(0),
				EndTimeUnixNano: at(250 * time.Millisecond), Attributes: []*commonpb.KeyValue{stringValue("user.id", "42")}},
			{TraceId: s.id, SpanId: call[:], ParentSpanId: root[:], Name: "call", Kind: tracepb.Span_SPAN_KIND_CLIENT,
				StartTimeUnixNano: at(time.Millisecond), EndTimeUnixNano: at(200 * time.Millisecond)},
		},
		"cart": {
			{TraceId: s.id, SpanId: served[:], ParentSpanId: call[:], Name: "Get", Kind: tracepb.Span_SPAN_KIND_SERVER, StartTimeUnixNano: at(2*time.Millisecond + 1),
				EndTimeUnixNano: at(150 * time.Millisecond), Status: &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: "broken pipe"},
				Attributes: []*commonpb.KeyValue{{Key: "attempt", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: 3}}}},
				Events:     []*tracepb.Span_Event{{TimeUnixNano: at(3 * time.Millisecond), Name: "exception"}}},
		},
	} {
		for _, span := range spans {
			s.spans[hex.EncodeToString(span.GetSpanId())] = span
		}
		s.requests = append(s.requests, &collector.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{{
			Resource:   &resourcepb.Resource{Attributes: []*commonpb.KeyValue{stringValue("service.name", service)}},
			ScopeSpans: []*tracepb.ScopeSpans{{Scope: &commonpb.InstrumentationScope{Name: "e2e"}, Spans: spans}},
		}}})
	}
	return s
}

func TestJaegersClientsSeeATraceAtEveryMoment(t *testing.T) {
	p := newPlace(t, "")
	r := p.serve("--flush-max-age", "1h")
	sent := newShopTrace()
	c := r.dial()
	for _, request := range sent.requests {
		r.send(c, request)
	}
	connection, err := grpc.NewClient(strings.TrimPrefix(r.url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	ask := func(moment string) {
		t.Helper()
		r.asJaeger(moment, connection, sent)
		r.asGrafana(moment, sent)
	}
	if files := p.lakeFiles(); len(files) > 0 {
		t.Fatalf("spans are in %v: the first question is about unflushed ones", files)
	}
	ask("before the flush")
	r.flush()
	ask("after the flush")
	r.untilEmpty()
	ask("when all is indexed")

	// Calls between services are counted when spans are indexed.
	dependencies, err := storagev2.NewDependencyReaderClient(connection).GetDependencies(t.Context(), &storagev2.GetDependenciesRequest{
		StartTime: timestamppb.New(sent.start.Add(-time.Hour)), EndTime: timestamppb.New(sent.start.Add(time.Hour))})
	if d := dependencies.GetDependencies(); err != nil || len(d) != 1 || d[0].GetParent() != "frontend" || d[0].GetChild() != "cart" || d[0].GetCallCount() != 1 {
		t.Errorf("dependencies %v, %v", dependencies, err)
	}
	code, text := r.get("/api/dependencies?lookback=3600000")
	if code != http.StatusOK || !strings.Contains(text, `[{"parent":"frontend","child":"cart","callCount":1}]`) {
		t.Errorf("dependencies over HTTP: %d %s", code, text)
	}
}

// asJaeger asks what a Jaeger with this storage asks.
func (r *running) asJaeger(moment string, connection *grpc.ClientConn, sent shopTrace) {
	r.t.Helper()
	ctx := r.t.Context()
	client := storagev2.NewTraceReaderClient(connection)
	services, err := client.GetServices(ctx, &storagev2.GetServicesRequest{})
	if want := []string{"cart", "frontend"}; err != nil || !slices.Equal(services.GetServices(), want) {
		r.t.Errorf("%s: services %v, %v", moment, services, err)
	}
	operations, err := client.GetOperations(ctx, &storagev2.GetOperationsRequest{Service: "frontend", SpanKind: "client"})
	if o := operations.GetOperations(); err != nil || len(o) != 1 || o[0].GetName() != "call" {
		r.t.Errorf("%s: operations %v, %v", moment, operations, err)
	}
	attempt := &storagev2.KeyValue{Key: "attempt", Value: &storagev2.AnyValue{Value: &storagev2.AnyValue_StringValue{StringValue: "3"}}}
	failed := &storagev2.KeyValue{Key: "error", Value: &storagev2.AnyValue{Value: &storagev2.AnyValue_StringValue{StringValue: "true"}}}
	query := &storagev2.TraceQueryParameters{ServiceName: "cart", Attributes: []*storagev2.KeyValue{attempt, failed}, SearchDepth: 20,
		StartTimeMin: timestamppb.New(sent.start), StartTimeMax: timestamppb.New(time.Now())}
	for what, open := range map[string]func() (grpc.ServerStreamingClient[tracepb.TracesData], error){
		"found": func() (grpc.ServerStreamingClient[tracepb.TracesData], error) {
			return client.FindTraces(ctx, &storagev2.FindTracesRequest{Query: query})
		},
		"by its id": func() (grpc.ServerStreamingClient[tracepb.TracesData], error) {
			return client.GetTraces(ctx, &storagev2.GetTracesRequest{Query: []*storagev2.GetTraceParams{{TraceId: sent.id}}})
		},
	} {
		got, err := received(open())
		if err != nil || len(got) != len(sent.spans) {
			r.t.Errorf("%s: the trace %s has %d spans, %v", moment, what, len(got), err)
		}
		for _, span := range got {
			want := sent.spans[hex.EncodeToString(span.GetSpanId())]
			if span.GetStatus().GetCode() == 0 {
				span.Status = nil // which is the same
			}
			if !proto.Equal(want, span) {
				r.t.Errorf("%s: the trace %s has %v, want %v", moment, what, span, want)
			}
		}
	}
	query.Attributes[0].Key = "user.id" // of another span
	ids, err := client.FindTraceIDs(ctx, &storagev2.FindTraceIDsRequest{Query: query})
	if err != nil || len(ids.GetTraceIds()) != 0 {
		r.t.Errorf("%s: found %v, %v", moment, ids, err)
	}
}

// received are the spans of a stream.
func received(stream grpc.ServerStreamingClient[tracepb.TracesData], err error) (spans []*tracepb.Span, _ error) {
	for err == nil {
		var data *tracepb.TracesData
		data, err = stream.Recv()
		for _, resource := range data.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				spans = append(spans, scope.GetSpans()...)
			}
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return spans, err
}

// asGrafana asks what Grafana's data source does.
func (r *running) asGrafana(moment string, sent shopTrace) {
	r.t.Helper()
	for path, want := range map[string]string{
		"/api/services":                                  `"data":["cart","frontend"],"total":2`,
		"/api/services/frontend/operations":              `"data":["GET /cart","call"],"total":2`,
		"/api/operations?service=cart&spanKind=server":   `"data":[{"name":"Get","spanKind":"server"}],"total":1`,
		"/api/traces?service=cart&operation=GET+/cart":   `{"data":[],"total":0,"limit":0,"offset":0,"errors":null}`,
		"/api/traces/cd000000000000000000000000000008":   `"data":null,"total":0,"limit":0,"offset":0,"errors":[{"code":404`,
		"/api/traces?service=cart&minDuration=yesterday": `"errors":[{"code":400`,
	} {
		if code, text := r.get(path); !strings.Contains(text, want) {
			r.t.Errorf("%s: %s: %d %s, want %s", moment, path, code, text, want)
		}
	}
	for _, path := range []string{
		"/api/traces/" + hex.EncodeToString(sent.id),
		"/api/traces/" + strings.ToUpper(hex.EncodeToString(sent.id)) + "?start=1&end=2",
		"/api/traces?service=frontend&limit=20&lookback=1h",
		`/api/traces?service=cart&tags=%7B%22error%22%3A%22true%22%2C%22attempt%22%3A%223%22%7D&maxDuration=1s`,
		fmt.Sprintf("/api/traces?service=frontend&tag=user.id:42&start=%d&end=%d", sent.start.UnixMicro(), time.Now().UnixMicro()),
	} {
		code, text := r.get(path)
		var answer struct {
			Data []struct {
				TraceID   string
				Spans     []struct{ SpanID, ProcessID string }
				Processes map[string]struct{ ServiceName string }
				Warnings  []string
			}
			Errors []any
		}
		if err := json.Unmarshal([]byte(text), &answer); err != nil || code != http.StatusOK || len(answer.Data) != 1 || len(answer.Errors) > 0 {
			r.t.Errorf("%s: %s: %v, %d %s", moment, path, err, code, text)
			continue
		}
		trace := answer.Data[0]
		var got []string
		for _, s := range trace.Spans {
			got = append(got, s.SpanID+" of "+trace.Processes[s.ProcessID].ServiceName)
		}
		want := []string{"0000000000000001 of frontend", "0000000000000002 of frontend", "0000000000000003 of cart"}
		if !slices.Equal(got, want) || trace.TraceID != hex.EncodeToString(sent.id) || len(trace.Warnings) > 0 {
			r.t.Errorf("%s: %s: %s", moment, path, text)
		}
	}
}
