package otlpwire

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/spanlake/spanlake/internal/span"
)

// ColumnError says that a span cannot be said in OTLP because of what one of its columns holds. Spanlake writes no such
// spans; other writers may.
type ColumnError struct {
	TraceID, SpanID string
	// Column is the name of the column of a span file.
	Column string
	Err    error
}

func (e *ColumnError) Error() string {
	return fmt.Sprintf("span %s in trace %s cannot be said in OTLP: column %s: %v", e.SpanID, e.TraceID, e.Column, e.Err)
}

func (e *ColumnError) Unwrap() error { return e.Err }

var (
	errTime = errors.New("before 1970 or after 2554")
	errID   = errors.New("is no id in hex digits")
)

// Encode makes the TracesData message with the span: the field OTLP if it is set, and else what the other fields say. Of a
// span that Converter has made it is equal to the span that came in, but for an empty Status, which OpenTelemetry holds to
// be the same as none.
//
// Spans of other writers need only ids and times. Their service name is added to the resource if the resource has none. A number in JSON
// without fraction and exponent becomes an integer if 64 bits can hold it. The error is a *ColumnError.
func Encode(s *span.Span) ([]byte, error) {
	if s.OTLP != "" {
		return []byte(s.OTLP), nil
	}
	e := encoder{span: s}
	resource := &resourcepb.Resource{
		Attributes:             e.attributes("resource_attributes", s.ResourceAttributes),
		DroppedAttributesCount: s.ResourceDroppedAttributesCount,
	}
	e.nameService(resource)
	scope := &commonpb.InstrumentationScope{
		Name: valid(s.ScopeName), Version: valid(s.ScopeVersion), Attributes: e.attributes("scope_attributes", s.ScopeAttributes),
		DroppedAttributesCount: s.ScopeDroppedAttributesCount,
	}
	data := &tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource: resource, SchemaUrl: valid(s.ResourceSchemaURL),
		ScopeSpans: []*tracepb.ScopeSpans{{Scope: scope, SchemaUrl: valid(s.ScopeSchemaURL), Spans: []*tracepb.Span{e.encode()}}},
	}}}
	if e.err != nil {
		return nil, e.err
	}
	return proto.Marshal(data)
}

// encoder keeps the first error.
type encoder struct {
	span *span.Span
	err  error
}

func (e *encoder) fail(column string, err error) {
	if e.err == nil {
		e.err = &ColumnError{TraceID: e.span.TraceID, SpanID: e.span.SpanID, Column: column, Err: err}
	}
}

func (e *encoder) encode() *tracepb.Span {
	s := e.span
	out := &tracepb.Span{
		TraceId: e.id("trace_id", s.TraceID, 16), SpanId: e.id("span_id", s.SpanID, 8),
		TraceState: valid(s.TraceState), Flags: s.Flags, Name: valid(s.Name), Kind: tracepb.Span_SpanKind(s.Kind),
		StartTimeUnixNano: e.nanos("start_time", s.StartTime), EndTimeUnixNano: e.nanos("end_time", s.EndTime),
		Attributes:             e.attributes("attributes", s.Attributes),
		DroppedAttributesCount: s.DroppedAttributesCount,
		Events:                 e.events(s.Events), DroppedEventsCount: s.DroppedEventsCount,
		Links: e.links(s.Links), DroppedLinksCount: s.DroppedLinksCount,
		Status: &tracepb.Status{Code: tracepb.Status_StatusCode(s.StatusCode), Message: valid(s.StatusMessage)},
	}
	if !s.IsRoot() {
		out.ParentSpanId = e.id("parent_span_id", s.ParentSpanID, 8)
	}
	return out
}

func (e *encoder) id(column, text string, size int) []byte {
	id, err := hex.DecodeString(text)
	if err == nil && len(id) != size {
		err = fmt.Errorf("%w: %d bytes, not %d", errID, len(id), size)
	}
	if err != nil {
		e.fail(column, err)
	}
	return id
}

func (e *encoder) nanos(column string, t time.Time) uint64 {
	seconds := t.Unix()
	if seconds < 0 || seconds >= lastSecond {
		e.fail(column, fmt.Errorf("%w: %s", errTime, t.UTC().Format(time.RFC3339Nano)))
	}
	return uint64(seconds)*uint64(time.Second) + uint64(t.Nanosecond())
}

// lastSecond is the incomplete one with which the times of OTLP end, in the year 2554.
const lastSecond = int64(math.MaxUint64 / uint64(time.Second))

// nameService adds the service of a writer that has it in its column only.
func (e *encoder) nameService(resource *resourcepb.Resource) {
	const key = "service.name"
	named := func(kv *commonpb.KeyValue) bool { return kv.GetKey() == key }
	if name := e.span.ServiceName; name != "" && name != unknownService && !slices.ContainsFunc(resource.GetAttributes(), named) {
		value := &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: valid(name)}}
		resource.Attributes = append(resource.Attributes, &commonpb.KeyValue{Key: key, Value: value})
	}
}
