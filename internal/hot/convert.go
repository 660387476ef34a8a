package hot

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/spanlake/spanlake/internal/hot/hotpb"
	"github.com/spanlake/spanlake/internal/span"
)

func mapAll[T, U any](all []T, convert func(T) U) []U {
	mapped := make([]U, len(all))
	for i := range all {
		mapped[i] = convert(all[i])
	}
	return mapped
}

func serviceToWire(s span.Service) *hotpb.Service {
	return &hotpb.Service{
		Name: s.Name, FirstSeenUnixNano: uint64(s.FirstSeen.UnixNano()), LastSeenUnixNano: uint64(s.LastSeen.UnixNano()), TotalSpans: s.TotalSpans,
	}
}

func serviceFromWire(s *hotpb.Service) span.Service {
	return span.Service{
		Name: s.GetName(), FirstSeen: timeAt(int64(s.GetFirstSeenUnixNano())), LastSeen: timeAt(int64(s.GetLastSeenUnixNano())),
		TotalSpans: s.GetTotalSpans(),
	}
}

func rowToWire(m *span.Metadata) (*hotpb.Row, error) {
	row := &hotpb.Row{
		ServiceName: m.ServiceName, Name: m.Name, Kind: int32(m.Kind), StatusCode: int32(m.StatusCode),
		StartTimeUnixNano: uint64(m.StartTime.UnixNano()), EndTimeUnixNano: uint64(m.EndTime.UnixNano()),
	}
	for _, id := range []struct {
		text string
		to   *[]byte
	}{{m.TraceID, &row.TraceId}, {m.SpanID, &row.SpanId}, {m.ParentSpanID, &row.ParentSpanId}} {
		binary, err := hex.DecodeString(id.text)
		if err != nil {
			return nil, fmt.Errorf("span %s of trace %s: %w", m.SpanID, m.TraceID, err)
		}
		*id.to = binary
	}
	return row, nil
}

func rowFromWire(r *hotpb.Row) span.Metadata {
	return span.Metadata{
		TraceID: hex.EncodeToString(r.GetTraceId()), SpanID: hex.EncodeToString(r.GetSpanId()), ParentSpanID: hex.EncodeToString(r.GetParentSpanId()),
		ServiceName: r.GetServiceName(), Name: r.GetName(), Kind: span.Kind(r.GetKind()), StatusCode: span.StatusCode(r.GetStatusCode()),
		StartTime: timeAt(int64(r.GetStartTimeUnixNano())), EndTime: timeAt(int64(r.GetEndTimeUnixNano())),
	}
}

func filterToWire(f *span.Filter) *hotpb.Filter {
	wire := &hotpb.Filter{ServiceName: f.ServiceName, Name: f.Name}
	if !f.From.IsZero() {
		wire.From = timestamppb.New(f.From)
	}
	if !f.Until.IsZero() {
		wire.Until = timestamppb.New(f.Until)
	}
	if f.MinDuration != 0 {
		wire.MinDuration = durationpb.New(f.MinDuration)
	}
	if f.MaxDuration != 0 {
		wire.MaxDuration = durationpb.New(f.MaxDuration)
	}
	if f.StatusCode != nil {
		code := int32(*f.StatusCode)
		wire.StatusCode = &code
	}
	if f.Kind != nil {
		kind := int32(*f.Kind)
		wire.Kind = &kind
	}
	return wire
}

func filterFromWire(wire *hotpb.Filter) (span.Filter, error) {
	f := span.Filter{ServiceName: wire.GetServiceName(), Name: wire.GetName()}
	for _, bound := range []struct {
		wire *timestamppb.Timestamp
		to   *time.Time
	}{{wire.GetFrom(), &f.From}, {wire.GetUntil(), &f.Until}} {
		if bound.wire != nil {
			*bound.to = bound.wire.AsTime()
		}
	}
	for _, bound := range []struct {
		wire *durationpb.Duration
		to   *time.Duration
	}{{wire.GetMinDuration(), &f.MinDuration}, {wire.GetMaxDuration(), &f.MaxDuration}} {
		if bound.wire != nil {
			*bound.to = bound.wire.AsDuration()
		}
	}
	if wire != nil && wire.StatusCode != nil {
		code := span.StatusCode(wire.GetStatusCode())
		if int32(code) != wire.GetStatusCode() {
			return f, &span.InvalidError{What: "status code", Value: strconv.Itoa(int(wire.GetStatusCode())), Problem: "is none"}
		}
		f.StatusCode = &code
	}
	if wire != nil && wire.Kind != nil {
		kind := span.Kind(wire.GetKind())
		if int32(kind) != wire.GetKind() {
			return f, &span.InvalidError{What: "kind", Value: strconv.Itoa(int(wire.GetKind())), Problem: "is none"}
		}
		f.Kind = &kind
	}
	return f, nil
}
