package jaeger

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/spanlake/spanlake/internal/jaeger/storagev2"
	"github.com/spanlake/spanlake/internal/span"
)

// requestBytes bounds what a client may send: ids of traces, and tags.
const requestBytes = 1 << 20

// NewGRPC makes a server of Jaeger's remote storage API. Spans are written through OTLP, elsewhere.
func NewGRPC(q Queries, o Options, options ...grpc.ServerOption) *grpc.Server {
	s := &service{reader: newReader(q, o)}
	server := grpc.NewServer(append([]grpc.ServerOption{
		grpc.MaxRecvMsgSize(requestBytes),
		grpc.ChainUnaryInterceptor(s.unary), grpc.ChainStreamInterceptor(s.stream),
	}, options...)...)
	storagev2.RegisterTraceReaderServer(server, s)
	storagev2.RegisterDependencyReaderServer(server, s)
	storagev2.RegisterCapabilitiesServer(server, s)
	return server
}

// service answers the calls of Jaeger.
type service struct {
	storagev2.UnimplementedTraceReaderServer
	storagev2.UnimplementedDependencyReaderServer
	storagev2.UnimplementedCapabilitiesServer
	*reader
}

func (s *service) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (answer any, err error) {
	defer func() { err = s.statusOf(ctx, info.FullMethod, err, recover()) }()
	return handle(ctx, request)
}

func (s *service) stream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
	defer func() { err = s.statusOf(stream.Context(), info.FullMethod, err, recover()) }()
	return handle(server, stream)
}

// statusOf is what a client gets for an error or a panic.
func (s *service) statusOf(ctx context.Context, method string, err error, panicked any) error {
	if panicked != nil {
		s.log.Error("a question of Jaeger made the program fail", "method", method, "panic", panicked, "stack", string(debug.Stack()))
		return status.Error(codes.Internal, "an error in Spanlake, its log says more")
	}
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	if invalid := (*span.InvalidError)(nil); errors.As(err, &invalid) {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	if ctx.Err() != nil {
		return status.FromContextError(ctx.Err()).Err()
	}
	s.log.Error("a question of Jaeger failed", "method", method, "error", err)
	return status.Error(codes.Internal, err.Error())
}

// GetCapabilities says what a search can do.
func (s *service) GetCapabilities(context.Context, *storagev2.GetCapabilitiesRequest) (*storagev2.GetCapabilitiesResponse, error) {
	return &storagev2.GetCapabilitiesResponse{Search: &storagev2.SearchCapabilities{WithoutServiceName: true, SameSpanConjunction: true}}, nil
}

// GetServices lists all services.
func (s *service) GetServices(ctx context.Context, _ *storagev2.GetServicesRequest) (*storagev2.GetServicesResponse, error) {
	services, _, err := s.queries.Services(ctx)
	if err != nil {
		return nil, err
	}
	answer := &storagev2.GetServicesResponse{}
	for i := range services {
		answer.Services = append(answer.Services, services[i].Name)
	}
	return answer, nil
}

// GetOperations lists the names of a service's spans, with their kinds.
func (s *service) GetOperations(ctx context.Context, request *storagev2.GetOperationsRequest) (*storagev2.GetOperationsResponse, error) {
	operations, _, err := s.queries.Operations(ctx, request.GetService())
	if err != nil {
		return nil, err
	}
	answer := &storagev2.GetOperationsResponse{}
	for _, o := range operations {
		if kind := kindName(o.Kind); request.GetSpanKind() == "" || kind == request.GetSpanKind() {
			answer.Operations = append(answer.Operations, &storagev2.Operation{Name: o.Name, SpanKind: kind})
		}
	}
	return answer, nil
}

// GetDependencies counts calls from service to service.
func (s *service) GetDependencies(ctx context.Context, request *storagev2.GetDependenciesRequest) (*storagev2.GetDependenciesResponse, error) {
	from, err := timeOf("start_time", request.GetStartTime())
	if err != nil {
		return nil, err
	}
	last, err := timeOf("end_time", request.GetEndTime())
	if err != nil {
		return nil, err
	}
	dependencies, _, err := s.queries.Dependencies(ctx, from, until(last))
	if err != nil {
		return nil, err
	}
	answer := &storagev2.GetDependenciesResponse{}
	for _, d := range dependencies {
		answer.Dependencies = append(answer.Dependencies,
			&storagev2.Dependency{Parent: d.Parent, Child: d.Child, CallCount: uint64(d.Calls)})
	}
	return answer, nil
}

// GetTraces sends traces by their ids. Those that are not there are left out, as the interface wants it. The times that may be given are
// a hint, which is not needed.
func (s *service) GetTraces(request *storagev2.GetTracesRequest, stream grpc.ServerStreamingServer[tracepb.TracesData]) error {
	ids := make([]string, 0, len(request.GetQuery()))
	for _, q := range request.GetQuery() {
		id, err := parseTraceID(hex.EncodeToString(q.GetTraceId()))
		if err != nil {
			return err
		}
		ids = append(ids, id)
	}
	return s.send(ids, nil, stream)
}

// FindTraces sends the traces that a search finds.
func (s *service) FindTraces(request *storagev2.FindTracesRequest, stream grpc.ServerStreamingServer[tracepb.TracesData]) error {
	if request.GetQuery().GetPagination() != nil {
		return &span.InvalidError{What: "pagination", Problem: "is not for FindTraces: set search_depth"}
	}
	ids, warnings, err := s.found(stream.Context(), request.GetQuery())
	if err != nil {
		return err
	}
	return s.send(ids, warnings, stream)
}

// FindTraceIDs lists the traces that a search finds.
func (s *service) FindTraceIDs(ctx context.Context, request *storagev2.FindTraceIDsRequest) (*storagev2.FindTraceIDsResponse, error) {
	ids, _, err := s.found(ctx, request.GetQuery())
	if err != nil {
		return nil, err
	}
	answer := &storagev2.FindTraceIDsResponse{}
	for _, text := range ids {
		id, err := span.ParseTraceID(text)
		if err != nil {
			return nil, err
		}
		answer.TraceIds = append(answer.TraceIds, &storagev2.FoundTraceID{TraceId: id[:]})
	}
	return answer, nil
}

// found lists the ids of the traces that are looked for.
func (s *service) found(ctx context.Context, q *storagev2.TraceQueryParameters) (ids, warnings []string, err error) {
	wanted, err := parseQuery(q)
	if err != nil {
		return nil, nil, err
	}
	ids, warnings, complete, err := s.find(ctx, wanted)
	if err != nil {
		return nil, nil, err
	}
	// An empty answer has no place for a warning, and would say that there is nothing.
	if len(ids) == 0 && (complete.Truncated || complete.Hot.State == span.HotUnreachable) {
		return nil, nil, status.Errorf(codes.Unavailable, "no trace was found, but not all were looked at: %s", warnings[0])
	}
	return ids, warnings, nil
}

func parseQuery(q *storagev2.TraceQueryParameters) (*search, error) {
	if q == nil {
		return nil, &span.InvalidError{What: "query", Problem: "must be there"}
	}
	if len(q.GetFilter()) > 0 {
		return nil, &span.InvalidError{What: "filter", Problem: "is not among the capabilities: use the other fields of the query"}
	}
	s := &search{limit: int(q.GetSearchDepth())}
	if page := q.GetPagination(); page != nil {
		if q.GetSearchDepth() != 0 || page.GetPageSize() == 0 || page.GetPageToken() != "" {
			return nil, &span.InvalidError{What: "pagination", Value: page.String(),
				Problem: "must have a page_size and no page_token, and not be given together with search_depth"}
		}
		s.limit = int(page.GetPageSize())
	}
	if s.limit == 0 {
		s.limit = defaultLimit
	}
	f := &s.filter
	f.ServiceName, f.Name = q.GetServiceName(), q.GetOperationName()
	var last time.Time
	var err error
	if f.From, err = timeOf("start_time_min", q.GetStartTimeMin()); err != nil {
		return nil, err
	}
	if last, err = timeOf("start_time_max", q.GetStartTimeMax()); err != nil {
		return nil, err
	}
	f.Until = until(last)
	if f.MinDuration, err = durationOf("duration_min", q.GetDurationMin()); err != nil {
		return nil, err
	}
	if f.MaxDuration, err = durationOf("duration_max", q.GetDurationMax()); err != nil {
		return nil, err
	}
	if err := checkDurations(f.MinDuration, f.MaxDuration); err != nil {
		return nil, err
	}
	for _, a := range q.GetAttributes() {
		text, err := textOf(a)
		if err != nil {
			return nil, err
		}
		if err := s.addTag(a.GetKey(), text); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// timeOf is a time, zero if it is not given. Jaeger sends a time that is not given as the beginning of the year 1, which is zero in Go.
func timeOf(name string, t *timestamppb.Timestamp) (time.Time, error) {
	if t == nil {
		return time.Time{}, nil
	}
	if err := t.CheckValid(); err != nil {
		return time.Time{}, &span.InvalidError{What: name, Value: fmt.Sprint(t.GetSeconds()), Problem: "must be a valid time"}
	}
	return t.AsTime(), nil
}

func durationOf(name string, d *durationpb.Duration) (time.Duration, error) {
	if d == nil {
		return 0, nil
	}
	if err := d.CheckValid(); err != nil {
		return 0, &span.InvalidError{What: name, Value: fmt.Sprint(d.GetSeconds()), Problem: "must be a valid duration"}
	}
	return d.AsDuration(), nil
}

// textOf is the value of a tag as attributes are compared with it.
func textOf(a *storagev2.KeyValue) (string, error) {
	switch v := a.GetValue().GetValue().(type) {
	case *storagev2.AnyValue_StringValue:
		return v.StringValue, nil
	case *storagev2.AnyValue_BoolValue:
		return strconv.FormatBool(v.BoolValue), nil
	case *storagev2.AnyValue_IntValue:
		return strconv.FormatInt(v.IntValue, 10), nil
	case *storagev2.AnyValue_DoubleValue:
		return strconv.FormatFloat(v.DoubleValue, 'g', -1, 64), nil
	}
	return "", &span.InvalidError{What: "tag", Value: a.GetKey(), Problem: "must be text, a number or a bool"}
}
