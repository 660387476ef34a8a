package jaeger_test

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.opentelemetry.io/collector/pdata/ptrace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/spanlake/spanlake/internal/jaeger"
	"github.com/spanlake/spanlake/internal/jaeger/storagev2"
	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
)

// received reads a stream of traces and holds it to Jaeger's rules: no message is empty or has spans of two traces, and what a trace has
// follows one after the other. It returns the traces in their order and the number of messages.
func received(t *testing.T, stream grpc.ServerStreamingClient[tracepb.TracesData], err error) (ids []string, spans map[string][]*tracepb.TracesData, messages int) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	spans = make(map[string][]*tracepb.TracesData)
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return ids, spans, messages
		}
		if err != nil {
			t.Fatal(err)
		}
		messages++
		id := ""
		for _, resource := range message.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				for _, s := range scope.GetSpans() {
					text := hex.EncodeToString(s.GetTraceId())
					if id != "" && id != text {
						t.Errorf("a message has spans of the traces %s and %s", id, text)
					}
					id = text
				}
			}
			spans[id] = append(spans[id], &tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{resource}})
		}
		if id == "" {
			t.Error("a message has no spans")
		}
		if len(ids) == 0 || ids[len(ids)-1] != id {
			if slices.Contains(ids, id) {
				t.Errorf("trace %s goes on after another one", id)
			}
			ids = append(ids, id)
		}
	}
}

func idOf(t *testing.T, text string) []byte {
	t.Helper()
	id, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestListsOverGRPC(t *testing.T) {
	m := loaded(t)
	connection := dial(t, m, jaeger.Options{})
	client := storagev2.NewTraceReaderClient(connection)
	ctx := t.Context()
	services, err := client.GetServices(ctx, &storagev2.GetServicesRequest{})
	if want := []string{"cart", "frontend", "unknown_service", "worker"}; err != nil || !slices.Equal(services.GetServices(), want) {
		t.Errorf("services %v, %v, want %v", services, err, want)
	}
	for kind, want := range map[string]*storagev2.GetOperationsResponse{
		"":         {Operations: []*storagev2.Operation{{Name: "flush", SpanKind: "producer"}, {Name: "process", SpanKind: "consumer"}, {Name: "tick"}}},
		"producer": {Operations: []*storagev2.Operation{{Name: "flush", SpanKind: "producer"}}},
		"server":   {},
	} {
		operations, err := client.GetOperations(ctx, &storagev2.GetOperationsRequest{Service: "worker", SpanKind: kind})
		if diff := gocmp.Diff(want, operations, protocmp.Transform()); err != nil || diff != "" {
			t.Errorf("operations of kind %q: %v\n%s", kind, err, diff)
		}
	}
	dependencies, err := storagev2.NewDependencyReaderClient(connection).GetDependencies(ctx, &storagev2.GetDependenciesRequest{
		StartTime: timestamppb.New(noon), EndTime: timestamppb.New(noon.Add(time.Hour))})
	want := &storagev2.GetDependenciesResponse{Dependencies: []*storagev2.Dependency{
		{Parent: "frontend", Child: "cart", CallCount: 3}, {Parent: "cart", Child: "db", CallCount: 1}}}
	if diff := gocmp.Diff(want, dependencies, protocmp.Transform()); err != nil || diff != "" {
		t.Errorf("dependencies: %v\n%s", err, diff)
	}
	if want := [2]time.Time{noon, noon.Add(time.Hour + time.Microsecond)}; m.asked != want {
		t.Errorf("asked for dependencies of %v, want %v", m.asked, want)
	}
	capabilities, err := storagev2.NewCapabilitiesClient(connection).GetCapabilities(ctx, &storagev2.GetCapabilitiesRequest{})
	if s := capabilities.GetSearch(); err != nil || !s.GetWithoutServiceName() || !s.GetSameSpanConjunction() || s.GetPaginated() || s.GetSpanSearch() ||
		s.GetSpanSorting() || s.GetFilter() != nil {
		t.Errorf("capabilities %v, %v", capabilities, err)
	}
}

func TestTracesOverGRPCAreWhatCameIn(t *testing.T) {
	m := loaded(t)
	client := storagev2.NewTraceReaderClient(dial(t, m, jaeger.Options{}))
	stream, err := client.GetTraces(t.Context(), &storagev2.GetTracesRequest{Query: []*storagev2.GetTraceParams{
		{TraceId: idOf(t, job)}, {TraceId: idOf(t, "000000000000000000000000000000ff")},
		{TraceId: idOf(t, failed), StartTime: timestamppb.New(noon.Add(time.Hour)), EndTime: timestamppb.New(time.Time{})}}})
	ids, spans, _ := received(t, stream, err)
	if want := []string{job, failed}; !slices.Equal(ids, want) {
		t.Fatalf("traces %v, want %v", ids, want)
	}
	for id, got := range spans {
		var want []*tracepb.TracesData
		for i := range m.spans {
			if m.spans[i].TraceID != id {
				continue
			}
			encoded, err := otlpwire.Encode(&m.spans[i])
			if err != nil {
				t.Fatal(err)
			}
			data := &tracepb.TracesData{}
			if err := proto.Unmarshal(encoded, data); err != nil {
				t.Fatal(err)
			}
			want = append(want, data)
		}
		if diff := gocmp.Diff(want, got, protocmp.Transform(), cmpopts.EquateNaNs()); diff != "" {
			t.Errorf("trace %s (-want +got):\n%s", id, diff)
		}
	}
}

func text(key, value string) *storagev2.KeyValue {
	return &storagev2.KeyValue{Key: key, Value: &storagev2.AnyValue{Value: &storagev2.AnyValue_StringValue{StringValue: value}}}
}

func TestFindOverGRPC(t *testing.T) {
	client := storagev2.NewTraceReaderClient(dial(t, loaded(t), jaeger.Options{}))
	yes := &storagev2.AnyValue{Value: &storagev2.AnyValue_BoolValue{BoolValue: true}}
	number := &storagev2.AnyValue{Value: &storagev2.AnyValue_IntValue{IntValue: 500}}
	ratio := &storagev2.AnyValue{Value: &storagev2.AnyValue_DoubleValue{DoubleValue: 0.25}}
	for name, test := range map[string]struct {
		query *storagev2.TraceQueryParameters
		want  []string
	}{
		"all":       {&storagev2.TraceQueryParameters{}, []string{fine, failed, job}},
		"depth":     {&storagev2.TraceQueryParameters{SearchDepth: 2}, []string{fine, failed}},
		"service":   {&storagev2.TraceQueryParameters{ServiceName: "cart", SearchDepth: 20}, []string{failed}},
		"operation": {&storagev2.TraceQueryParameters{ServiceName: "frontend", OperationName: "render"}, []string{fine}},
		"nothing":   {&storagev2.TraceQueryParameters{ServiceName: "frontend", OperationName: "tick"}, nil},
		"time": {&storagev2.TraceQueryParameters{StartTimeMin: timestamppb.New(noon), StartTimeMax: timestamppb.New(noon.Add(30 * time.Second))},
			[]string{failed}},
		"zero times": {&storagev2.TraceQueryParameters{StartTimeMin: timestamppb.New(time.Time{}), StartTimeMax: timestamppb.New(time.Time{})},
			[]string{fine, failed, job}},
		"last moment": {&storagev2.TraceQueryParameters{StartTimeMin: timestamppb.New(noon.Add(-time.Hour)), StartTimeMax: timestamppb.New(noon)},
			[]string{failed, job}},
		"duration": {&storagev2.TraceQueryParameters{DurationMin: durationpb.New(240 * time.Millisecond), DurationMax: durationpb.New(time.Second)},
			[]string{failed}},
		"error":      {&storagev2.TraceQueryParameters{Attributes: []*storagev2.KeyValue{{Key: "error", Value: yes}}}, []string{failed}},
		"int":        {&storagev2.TraceQueryParameters{Attributes: []*storagev2.KeyValue{{Key: "http.status_code", Value: number}}}, []string{failed}},
		"double":     {&storagev2.TraceQueryParameters{Attributes: []*storagev2.KeyValue{{Key: "ratio", Value: ratio}}}, []string{failed}},
		"same span":  {&storagev2.TraceQueryParameters{Attributes: []*storagev2.KeyValue{text("user.id", "42"), text("span.kind", "client")}}, nil},
		"impossible": {&storagev2.TraceQueryParameters{Attributes: []*storagev2.KeyValue{text("error", "true"), text("otel.status_code", "OK")}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			stream, err := client.FindTraces(t.Context(), &storagev2.FindTracesRequest{Query: test.query})
			if ids, _, _ := received(t, stream, err); !slices.Equal(ids, test.want) {
				t.Errorf("found traces %v, want %v", ids, test.want)
			}
			answer, err := client.FindTraceIDs(t.Context(), &storagev2.FindTraceIDsRequest{Query: test.query})
			var ids []string
			for _, id := range answer.GetTraceIds() {
				ids = append(ids, hex.EncodeToString(id.GetTraceId()))
			}
			if err != nil || !slices.Equal(ids, test.want) {
				t.Errorf("found ids %v, %v, want %v", ids, err, test.want)
			}
		})
	}
	page := &storagev2.TraceQueryParameters{Pagination: &storagev2.Pagination{PageSize: 1}}
	answer, err := client.FindTraceIDs(t.Context(), &storagev2.FindTraceIDsRequest{Query: page})
	if err != nil || len(answer.GetTraceIds()) != 1 || answer.GetNextPageToken() != "" {
		t.Errorf("a page: %v, %v", answer, err)
	}
}

func TestWhatIsWrongWithACallIsSaid(t *testing.T) {
	m := loaded(t)
	connection := dial(t, m, jaeger.Options{})
	client := storagev2.NewTraceReaderClient(connection)
	list := &storagev2.AnyValue{Value: &storagev2.AnyValue_ArrayValue{}}
	for name, query := range map[string]*storagev2.TraceQueryParameters{
		"query":          nil,
		"filter":         {Filter: []byte{8, 1}},
		"limit":          {SearchDepth: -1},
		"10000":          {SearchDepth: 10_001},
		"start_time_min": {StartTimeMin: &timestamppb.Timestamp{Seconds: 1 << 50}},
		"start_time_max": {StartTimeMax: &timestamppb.Timestamp{Nanos: -1}},
		"duration_min":   {DurationMin: &durationpb.Duration{Seconds: 1, Nanos: -1}},
		"duration_max":   {DurationMax: &durationpb.Duration{Seconds: 1 << 60}},
		"minDuration":    {DurationMin: durationpb.New(-1)},
		"maxDuration":    {DurationMin: durationpb.New(2), DurationMax: durationpb.New(1)},
		"a list":         {Attributes: []*storagev2.KeyValue{{Key: "a list", Value: list}}},
		"no value":       {Attributes: []*storagev2.KeyValue{{Key: "no value"}}},
		"page_token":     {Pagination: &storagev2.Pagination{PageSize: 1, PageToken: "x"}},
		"page_size":      {Pagination: &storagev2.Pagination{}},
		"search_depth":   {SearchDepth: 1, Pagination: &storagev2.Pagination{PageSize: 1}},
	} {
		_, err := client.FindTraceIDs(t.Context(), &storagev2.FindTraceIDsRequest{Query: query})
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	failing := func(stream grpc.ServerStreamingClient[tracepb.TracesData], err error) error {
		if err == nil {
			_, err = stream.Recv()
		}
		return err
	}
	if err := failing(client.FindTraces(t.Context(), &storagev2.FindTracesRequest{Query: &storagev2.TraceQueryParameters{
		Pagination: &storagev2.Pagination{PageSize: 1}}})); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a page of FindTraces: %v", err)
	}
	for _, id := range [][]byte{nil, make([]byte, 17)} {
		err := failing(client.GetTraces(t.Context(), &storagev2.GetTracesRequest{Query: []*storagev2.GetTraceParams{{TraceId: id}}}))
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("an id of %d bytes: %v", len(id), err)
		}
	}
	m.err = errors.New("the disk is gone")
	_, err := client.GetServices(t.Context(), &storagev2.GetServicesRequest{})
	if status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "the disk is gone") {
		t.Errorf("an error of the index: %v", err)
	}
	err = failing(client.GetTraces(t.Context(), &storagev2.GetTracesRequest{Query: []*storagev2.GetTraceParams{{TraceId: idOf(t, fine)}}}))
	if status.Code(err) != codes.Internal {
		t.Errorf("an error of the index: %v", err)
	}
	// What this version of the interface does not have, Jaeger knows to do without.
	err = connection.Invoke(t.Context(), "/jaeger.storage.v2.TraceReader/FindTraceSummaries", &storagev2.FindTracesRequest{}, &tracepb.TracesData{})
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("FindTraceSummaries: %v", err)
	}
}

// panicking is an index with an error in it.
type panicking struct{ *memory }

func (panicking) Trace(ctx context.Context, _ string) ([]span.Span, span.Completeness, error) {
	_ = ctx
	panic("an error in the program")
}

func TestAPanicEndsOneCallOnly(t *testing.T) {
	client := storagev2.NewTraceReaderClient(dial(t, panicking{loaded(t)}, jaeger.Options{}))
	for range 2 {
		stream, err := client.GetTraces(t.Context(), &storagev2.GetTracesRequest{Query: []*storagev2.GetTraceParams{{TraceId: idOf(t, fine)}}})
		if err == nil {
			_, err = stream.Recv()
		}
		if status.Code(err) != codes.Internal {
			t.Errorf("a panic: %v", err)
		}
	}
}

// warningsOf are the warnings of the spans of a trace, as Jaeger's query service reads them.
func warningsOf(spans []*tracepb.TracesData) (all [][]string) {
	for _, data := range spans {
		var warnings []string
		for _, a := range data.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()[0].GetAttributes() {
			if a.GetKey() == "@jaeger@warnings" {
				for _, v := range a.GetValue().GetArrayValue().GetValues() {
					warnings = append(warnings, v.GetStringValue())
				}
			}
		}
		all = append(all, warnings)
	}
	return all
}

func TestATraceSaysWhatItLacks(t *testing.T) {
	m := loaded(t)
	m.complete = lacking()
	m.complete.Hot.Error = "bad text \xff" // must not make the message one that cannot be sent
	client := storagev2.NewTraceReaderClient(dial(t, m, jaeger.Options{}))
	stream, err := client.GetTraces(t.Context(), &storagev2.GetTracesRequest{Query: []*storagev2.GetTraceParams{{TraceId: idOf(t, fine)}}})
	_, spans, _ := received(t, stream, err)
	if warnings := warningsOf(spans[fine]); len(warnings) != 2 || len(warnings[0]) != 4 || len(warnings[1]) != 0 {
		t.Errorf("warnings %q", warnings)
	}
	// What a search lacks is said once.
	m.complete = span.Completeness{FilesFailed: 1}
	m.traceComplete = true
	stream, err = client.FindTraces(t.Context(), &storagev2.FindTracesRequest{Query: &storagev2.TraceQueryParameters{}})
	var ids []string
	ids, spans, _ = received(t, stream, err)
	if len(ids) != 3 {
		t.Fatalf("found %v", ids)
	}
	for i, id := range ids {
		if warnings := warningsOf(spans[id]); (i == 0) != (len(warnings[0]) == 1) {
			t.Errorf("warnings %q of trace %d", warnings, i)
		}
	}
	// There is no place for a warning in an answer without traces.
	m.complete = lacking()
	_, err = client.FindTraceIDs(t.Context(), &storagev2.FindTraceIDsRequest{Query: &storagev2.TraceQueryParameters{ServiceName: "nobody"}})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("nothing was found where not all could be looked at: %v", err)
	}
	m.complete = span.Completeness{FilesPending: 1}
	answer, err := client.FindTraceIDs(t.Context(), &storagev2.FindTraceIDsRequest{Query: &storagev2.TraceQueryParameters{ServiceName: "nobody"}})
	if err != nil || len(answer.GetTraceIds()) != 0 {
		t.Errorf("nothing was found: %v, %v", answer, err)
	}
}

func TestAStreamEndsWhereItIsTooLarge(t *testing.T) {
	client := storagev2.NewTraceReaderClient(dial(t, loaded(t), jaeger.Options{AnswerBytes: 1}))
	stream, err := client.FindTraces(t.Context(), &storagev2.FindTracesRequest{Query: &storagev2.TraceQueryParameters{}})
	ids, spans, _ := received(t, stream, err)
	if warnings := warningsOf(spans[fine]); !slices.Equal(ids, []string{fine}) || len(warnings[0]) != 1 ||
		!strings.Contains(warnings[0][0], "only the first 1 of 3") {
		t.Errorf("traces %v, warnings %q", ids, warnings)
	}
	// All that was found is there.
	stream, err = client.FindTraces(t.Context(), &storagev2.FindTracesRequest{Query: &storagev2.TraceQueryParameters{SearchDepth: 1}})
	ids, spans, _ = received(t, stream, err)
	if warnings := warningsOf(spans[fine]); !slices.Equal(ids, []string{fine}) || len(warnings[0]) != 0 {
		t.Errorf("traces %v, warnings %q", ids, warnings)
	}
}

// large is a trace of spans with so many bytes each.
func large(t *testing.T, sizes ...int) *memory {
	t.Helper()
	traces := ptrace.NewTraces()
	resource := traces.ResourceSpans().AppendEmpty()
	resource.Resource().Attributes().PutStr("service.name", "large")
	scope := resource.ScopeSpans().AppendEmpty()
	for i, size := range sizes {
		s := scope.Spans().AppendEmpty()
		s.SetTraceID([16]byte(idOf(t, fine)))
		s.SetSpanID([8]byte{byte(i + 1)})
		s.SetName("large")
		s.SetStartTimestamp(1_000)
		for part := 0; size > 0; part++ {
			n := min(size, 1<<20)
			s.Events().AppendEmpty().Attributes().PutStr("text", strings.Repeat(string(rune('a'+part%26)), n))
			size -= n
		}
	}
	return &memory{spans: taken(t, traces)}
}

func TestLargeTraces(t *testing.T) {
	for name, sizes := range map[string][]int{
		"many small spans":          slices.Repeat([]int{50_000}, 100),
		"a span of nearly 4 MiB":    {4<<20 - 2<<10, 10, 10},
		"a span of more than 4 MiB": {10, 4<<20 + 1, 10},
		"spans of 10 MiB":           {10 << 20, 10 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			client := storagev2.NewTraceReaderClient(dial(t, large(t, sizes...), jaeger.Options{}))
			stream, err := client.GetTraces(t.Context(), &storagev2.GetTracesRequest{Query: []*storagev2.GetTraceParams{{TraceId: idOf(t, fine)}}})
			_, spans, messages := received(t, stream, err)
			got, total := spans[fine], 0
			if len(got) != len(sizes) {
				t.Fatalf("%d spans, want %d", len(got), len(sizes))
			}
			for i, warnings := range warningsOf(got) {
				size := proto.Size(got[i])
				total += size
				cut := sizes[i] > 4<<20
				if cut != (len(warnings) == 1) || cut && size > 4<<20 || !cut && size < sizes[i] {
					t.Errorf("span %d of %d bytes was sent with %d and the warnings %q", i, sizes[i], size, warnings)
				}
			}
			if least := total / (4 << 20); messages < max(least, 1) || len(sizes) == 100 && messages != 5 && messages != 6 {
				t.Errorf("%d messages for %d bytes", messages, total)
			}
		})
	}
}

// An older Jaeger sends the request of FindTraces where a newer one sends that of FindTraceIDs: they must be the same bytes.
func TestRequestsOfOlderJaegers(t *testing.T) {
	query := &storagev2.TraceQueryParameters{ServiceName: "cart", SearchDepth: 20}
	older, err := proto.Marshal(&storagev2.FindTracesRequest{Query: query})
	if err != nil {
		t.Fatal(err)
	}
	read := &storagev2.FindTraceIDsRequest{}
	if err := proto.Unmarshal(older, read); err != nil || read.GetQuery().GetServiceName() != "cart" {
		t.Errorf("read %v, %v", read, err)
	}
	// The structured filter is a message of jaeger.expression.v1 to others, and bytes here.
	filter := protowire.AppendBytes(protowire.AppendTag(nil, 9, protowire.BytesType), []byte{10, 2, 'e', 'q'})
	parameters := &storagev2.TraceQueryParameters{}
	if err := proto.Unmarshal(filter, parameters); err != nil || len(parameters.GetFilter()) != 4 {
		t.Errorf("read %v, %v", parameters, err)
	}
}
