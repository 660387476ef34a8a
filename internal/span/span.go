// Package span is the domain of Spanlake: one OpenTelemetry span as every stage hands it on.
package span

import (
	"strconv"
	"time"
	"unsafe"
)

// Span is one finished operation of a trace. The zero value of a field means that the sender left it out.
type Span struct {
	// TraceID is 32 and SpanID 16 lowercase hex digits.
	TraceID string
	SpanID  string
	// ParentSpanID is 16 lowercase hex digits, or '' for the root of a trace.
	ParentSpanID string
	ServiceName  string
	Name         string
	Kind         Kind
	// StartTime and EndTime are exact to the nanosecond; their location does not matter.
	StartTime time.Time
	EndTime   time.Time

	StatusCode    StatusCode
	StatusMessage string
	// Attributes is the JSON text of an object.
	Attributes string
	// Events is the JSON text of an array of objects {"name", "time_nanos", "attributes"}.
	Events string
	// ResourceAttributes is the JSON text of an object: what is known of the process that made the span.
	ResourceAttributes string

	// Links is the JSON text of an array of objects {"trace_id", "span_id", "trace_state", "attributes"}.
	Links      string
	TraceState string
	// Flags are the trace flags of W3C in the low byte, and OpenTelemetry's bits above it.
	Flags uint32
	// The dropped counts are what the sender left out of the span.
	DroppedAttributesCount, DroppedEventsCount, DroppedLinksCount uint32

	ScopeName, ScopeVersion string
	// ScopeAttributes is the JSON text of an object.
	ScopeAttributes                string
	ScopeSchemaURL                 string
	ScopeDroppedAttributesCount    uint32
	ResourceSchemaURL              string
	ResourceDroppedAttributesCount uint32

	// OTLP is the span, with its resource and scope, as a protobuf TracesData message. It is empty unless the other fields
	// cannot say all of it: bytes, NaN, a time after 2262, a key that repeats. Where it is set, it is what holds.
	OTLP string
}

// Duration is the wall-clock time from start to end; it is negative when a client's clock was set back.
func (s *Span) Duration() time.Duration {
	// Round(0) drops the monotonic reading: what is stored are the two wall-clock times, and they must agree with this.
	return s.EndTime.Round(0).Sub(s.StartTime.Round(0))
}

// Bytes is about how much memory the span takes: its texts, and what has the same size in every span. Texts that it shares with others
// count all the same.
func (s *Span) Bytes() int64 {
	return int64(unsafe.Sizeof(*s)) + int64(len(s.TraceID)+len(s.SpanID)+len(s.ParentSpanID)+len(s.ServiceName)+len(s.Name)+len(s.StatusMessage)+
		len(s.Attributes)+len(s.Events)+len(s.ResourceAttributes)+len(s.Links)+len(s.TraceState)+len(s.ScopeName)+len(s.ScopeVersion)+
		len(s.ScopeAttributes)+len(s.ScopeSchemaURL)+len(s.ResourceSchemaURL)+len(s.OTLP))
}

// IsRoot tells whether the span has no parent.
func (s *Span) IsRoot() bool { return s.ParentSpanID == "" }

// Kind is the role of a span in a call, numbered as OpenTelemetry's SpanKind.
type Kind int8

// The span kinds of OpenTelemetry.
const (
	KindUnspecified Kind = 0
	KindInternal    Kind = 1
	KindServer      Kind = 2
	KindClient      Kind = 3
	KindProducer    Kind = 4
	KindConsumer    Kind = 5
)

// String is the lowercase name, or "kind(N)" for a number that OpenTelemetry does not define.
func (k Kind) String() string {
	switch k {
	case KindUnspecified:
		return "unspecified"
	case KindInternal:
		return "internal"
	case KindServer:
		return "server"
	case KindClient:
		return "client"
	case KindProducer:
		return "producer"
	case KindConsumer:
		return "consumer"
	}
	return "kind(" + strconv.Itoa(int(k)) + ")"
}

// StatusCode is the outcome of a span, numbered as OpenTelemetry's Status.StatusCode.
type StatusCode int8

// The status codes of OpenTelemetry.
const (
	StatusUnset StatusCode = 0
	StatusOK    StatusCode = 1
	StatusError StatusCode = 2
)

// String is the lowercase name, or "status(N)" for a number that OpenTelemetry does not define.
func (c StatusCode) String() string {
	switch c {
	case StatusUnset:
		return "unset"
	case StatusOK:
		return "ok"
	case StatusError:
		return "error"
	}
	return "status(" + strconv.Itoa(int(c)) + ")"
}
