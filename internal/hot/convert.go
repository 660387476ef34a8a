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
		Duration: time.Duration(r.GetEndTimeUnixNano() - r.GetStartTimeUnixNano()),
	}
}

func filterToWire(f *span.Filter) *hotpb.Filter {
	wire := &hotpb.Filter{ServiceName: f.ServiceName, Name: f.Name, NameMatch: hotpb.NameMatch(f.NameMatch),
		From: timeToWire(f.From), Until: timeToWire(f.Until)}
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
	for _, clause := range f.Attributes {
		wire.Attributes = append(wire.Attributes, &hotpb.AttributeClause{
			Conditions: mapAll(clause, func(c span.AttributeCondition) *hotpb.AttributeCondition {
				return &hotpb.AttributeCondition{Key: c.Key, Value: c.Value}
			})})
	}
	return wire
}

// timeToWire is nil for the zero time.
func timeToWire(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func timeFromWire(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

func filterFromWire(wire *hotpb.Filter) (span.Filter, error) {
	f := span.Filter{ServiceName: wire.GetServiceName(), Name: wire.GetName(), NameMatch: span.NameMatch(wire.GetNameMatch()),
		From: timeFromWire(wire.GetFrom()), Until: timeFromWire(wire.GetUntil())}
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
	for _, clause := range wire.GetAttributes() {
		f.Attributes = append(f.Attributes, mapAll(clause.GetConditions(), func(c *hotpb.AttributeCondition) span.AttributeCondition {
			return span.AttributeCondition{Key: c.GetKey(), Value: c.Value}
		}))
	}
	return f, nil
}

// keyToWire is nil for the zero Key.
func keyToWire(k *span.Key) *hotpb.Key {
	if k.IsZero() {
		return nil
	}
	return &hotpb.Key{StartTimeUnixMicro: k.StartTime.UnixMicro(), TraceId: k.TraceID, SpanId: k.SpanID}
}

func keyFromWire(wire *hotpb.Key) span.Key {
	if wire == nil {
		return span.Key{}
	}
	return span.Key{StartTime: time.UnixMicro(wire.GetStartTimeUnixMicro()).UTC(), TraceID: wire.GetTraceId(), SpanID: wire.GetSpanId()}
}

func countQueryToWire(q *span.CountQuery) *hotpb.CountSpansRequest {
	wire := &hotpb.CountSpansRequest{ServiceName: q.ServiceName, Name: q.Name, From: timeToWire(q.From), Until: timeToWire(q.Until),
		ByName: q.ByName, Durations: q.Durations}
	if q.Step != 0 {
		wire.Step = durationpb.New(q.Step)
	}
	return wire
}

func countQueryFromWire(wire *hotpb.CountSpansRequest) span.CountQuery {
	q := span.CountQuery{ServiceName: wire.GetServiceName(), Name: wire.GetName(), From: timeFromWire(wire.GetFrom()),
		Until: timeFromWire(wire.GetUntil()), ByName: wire.GetByName(), Durations: wire.GetDurations()}
	if wire.GetStep() != nil {
		q.Step = wire.GetStep().AsDuration()
	}
	return q
}

func countToWire(c span.Count) *hotpb.Count {
	wire := &hotpb.Count{File: c.File, ServiceName: c.ServiceName, Name: c.Name, Spans: c.Spans, Errors: c.Errors,
		FirstStartTimeUnixNano: uint64(c.First.UnixNano()), LastStartTimeUnixNano: uint64(c.Last.UnixNano()), DurationSum: c.DurationSum}
	if !c.Start.IsZero() {
		start := c.Start.UnixNano()
		wire.StartUnixNano = &start
	}
	for bucket, spans := range c.Durations {
		wire.DurationBuckets, wire.DurationSpans = append(wire.DurationBuckets, int32(bucket)), append(wire.DurationSpans, spans)
	}
	return wire
}

// countBytes is about how large a count is on the wire.
func countBytes(c span.Count) int {
	return len(c.File) + len(c.ServiceName) + len(c.Name) + 60 + 6*len(c.Durations)
}

func countFromWire(wire *hotpb.Count) span.Count {
	c := span.Count{File: wire.GetFile(), ServiceName: wire.GetServiceName(), Name: wire.GetName(), Spans: wire.GetSpans(), Errors: wire.GetErrors(),
		First: timeAt(int64(wire.GetFirstStartTimeUnixNano())), Last: timeAt(int64(wire.GetLastStartTimeUnixNano())), DurationSum: wire.GetDurationSum()}
	if wire.StartUnixNano != nil {
		c.Start = timeAt(wire.GetStartUnixNano())
	}
	if len(wire.GetDurationBuckets()) > 0 {
		c.Durations = make(map[int16]int64, len(wire.GetDurationBuckets()))
	}
	for i, spans := range wire.GetDurationSpans() {
		if i < len(wire.GetDurationBuckets()) {
			c.Durations[int16(wire.GetDurationBuckets()[i])] = spans
		}
	}
	return c
}
