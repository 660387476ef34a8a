package otlpwire

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

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
	var e encoder
	resource, scope, column := e.shared(s)
	if column != nil {
		return nil, column
	}
	message, err := e.encode(s)
	if err != nil {
		return nil, err
	}
	return appendTracesData(nil, &Span{
		Resource: resource, ResourceSchemaURL: []byte(valid(s.ResourceSchemaURL)),
		Scope: scope, ScopeSchemaURL: []byte(valid(s.ScopeSchemaURL)),
		Span: message.appendTo(make([]byte, 0, message.size())),
	}), nil
}

// encoder makes messages of the columns of spans, one after the other.
type encoder struct {
	span *span.Span
	// err is the first error of the message.
	err     *ColumnError
	json    jsonReader
	message wire
	// nested and ignored are buffers: what belongs in the middle of a message, and what belongs nowhere.
	nested, ignored wire
}

func (e *encoder) fail(column string, err error) {
	if e.err == nil {
		e.err = &ColumnError{TraceID: e.span.TraceID, SpanID: e.span.SpanID, Column: column, Err: err}
	}
}

func (e *encoder) begin(of *span.Span) {
	e.span, e.err = of, nil
	if e.message.out == nil {
		// As much as most spans need, at once.
		e.message = wire{out: make([]byte, 0, 1<<10), lengths: make([]length, 0, 64)}
		e.json = jsonReader{in: make([]byte, 0, 1<<10), unquoted: make([]byte, 0, 1<<9)}
	}
	e.message.reset()
}

// shared makes the Resource and the InstrumentationScope of the span.
func (e *encoder) shared(of *span.Span) (resource, scope []byte, err *ColumnError) {
	e.begin(of)
	resource = e.resource()
	scope = e.scope()
	return resource, scope, e.err
}

// resource is the Resource of the span, which is never nil.
func (e *encoder) resource() []byte {
	const key = "service.name"
	w := &e.message
	e.attributes(resourceAttributes, "resource_attributes", e.span.ResourceAttributes)
	out := w.appendTo([]byte{})
	// The service of a writer that has it in its column only.
	if name := e.span.ServiceName; name != "" && name != unknownService && !hasAttribute(out, key) {
		w.reset()
		keyValue := w.begin(resourceAttributes)
		w.column(keyValueKey, key)
		value := w.begin(keyValueValue)
		w.column(valueString, name)
		w.end(value)
		w.end(keyValue)
		out = w.appendTo(out)
	}
	w.reset()
	w.number(resourceDropped, uint64(e.span.ResourceDroppedAttributesCount))
	return w.appendTo(out)
}

func hasAttribute(resource []byte, key string) bool {
	for f := (fields{buf: resource}); f.next(); {
		if k, _, _ := readKeyValue(f.data()); string(k) == key {
			return true
		}
	}
	return false
}

// scope is the InstrumentationScope of the span, which is never nil.
func (e *encoder) scope() []byte {
	w := &e.message
	w.reset()
	w.column(scopeName, e.span.ScopeName)
	w.column(scopeVersion, e.span.ScopeVersion)
	e.attributes(scopeAttributes, "scope_attributes", e.span.ScopeAttributes)
	w.number(scopeDropped, uint64(e.span.ScopeDroppedAttributesCount))
	return w.appendTo([]byte{})
}

// encode makes the Span, which lies in the encoder. The error is a *ColumnError.
func (e *encoder) encode(of *span.Span) (*wire, error) {
	e.begin(of)
	s, w := e.span, &e.message
	e.id(spanTraceID, "trace_id", s.TraceID, 16)
	e.id(spanSpanID, "span_id", s.SpanID, 8)
	w.column(spanTraceState, s.TraceState)
	if !s.IsRoot() {
		e.id(spanParentSpanID, "parent_span_id", s.ParentSpanID, 8)
	}
	w.column(spanName, s.Name)
	w.number(spanKind, uint64(s.Kind))
	w.fixed64(spanStart, e.nanos("start_time", s.StartTime))
	w.fixed64(spanEnd, e.nanos("end_time", s.EndTime))
	e.attributes(spanAttributes, "attributes", s.Attributes)
	w.number(spanDroppedAttributes, uint64(s.DroppedAttributesCount))
	e.events(s.Events)
	w.number(spanDroppedEvents, uint64(s.DroppedEventsCount))
	e.links(s.Links)
	w.number(spanDroppedLinks, uint64(s.DroppedLinksCount))
	status := w.begin(spanStatus)
	w.column(statusMessage, s.StatusMessage)
	w.number(statusCode, uint64(s.StatusCode))
	w.end(status)
	w.fixed32(spanFlags, s.Flags)
	if e.err != nil {
		return nil, e.err
	}
	return w, nil
}

func (e *encoder) id(num protowire.Number, column, text string, size int) {
	var bytes [16]byte
	if len(text) != 2*size {
		e.fail(column, fmt.Errorf("%w: %d characters, not %d", errID, len(text), 2*size))
		return
	}
	if _, err := hex.Decode(bytes[:], []byte(text)); err != nil {
		e.fail(column, fmt.Errorf("%w: %w", errID, err))
	}
	e.message.text(num, bytes[:size])
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

// valid is a text that protobuf takes.
func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }
