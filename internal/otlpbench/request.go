package otlpbench

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/spanlake/spanlake/internal/sample"
	"github.com/spanlake/spanlake/internal/span"
)

// SpansPerRequest is how many spans one request has.
const SpansPerRequest = 1000

// Sizes of ids, in bytes.
const (
	traceIDSize = 16
	spanIDSize  = 8
)

// request is an ExportTraceServiceRequest that is made once and sent many times, each time with other ids and times, which are
// written over the earlier ones: encoding it anew would cost more than the server takes to read it.
type request struct {
	data   []byte
	spans  []places
	random []byte
}

// places say where in a request the fields of a span are that differ each time.
type places struct {
	trace, span, start, end int
	// parent is -1 for a root, else parentSpan is the span of the request that it names.
	parent, parentSpan int
	// session is an attribute that all spans of a trace share, 16 hex digits, as an application makes it anew for each.
	session int
	// after is when the span starts, counted from the time that is stamped, in nanoseconds.
	after, duration uint64
	// newTrace: the span has another trace than the one before.
	newTrace bool
}

// Numbers of fields in opentelemetry/proto/{collector/trace,trace,common,resource}/v1.
const (
	requestResourceSpans = 1
	resourceSpansIn      = 1 // the resource
	resourceScopeSpans   = 2
	resourceAttributes   = 1
	scopeSpansIn         = 1 // the scope
	scopeSpansSpans      = 2
	scopeName            = 1
	scopeVersion         = 2
	spanTraceID          = 1
	spanSpanID           = 2
	spanParentSpanID     = 4
	spanName             = 5
	spanKind             = 6
	spanStart            = 7
	spanEnd              = 8
	spanAttributes       = 9
	spanStatus           = 15
	spanFlags            = 16
	statusMessage        = 2
	statusCode           = 3
	keyValueKey          = 1
	keyValueValue        = 2
	valueString          = 1
	valueInt             = 3
)

// sessionKey is the attribute that is made anew.
const sessionKey = "session.id"

// newRequest encodes spans that have one resource and one scope.
func newRequest(calls *sample.Calls) (*request, error) {
	start := time.Unix(0, 0)
	spans := calls.Append(nil, SpansPerRequest, start)
	resource, err := appendAttributes(nil, resourceAttributes, spans[0].ResourceAttributes)
	if err != nil {
		return nil, err
	}
	scope := appendString(nil, scopeName, spans[0].ScopeName)
	scope = appendString(scope, scopeVersion, spans[0].ScopeVersion)

	r := &request{}
	inScope := appendBytes(nil, scopeSpansIn, scope)
	ids := make(map[string]int, len(spans))
	for i := range spans {
		encoded, at, err := encodeSpan(&spans[i])
		if err != nil {
			return nil, err
		}
		at.newTrace = i == 0 || spans[i].TraceID != spans[i-1].TraceID
		if at.parent >= 0 {
			parent, known := ids[spans[i].ParentSpanID]
			if !known {
				return nil, fmt.Errorf("span %d has a parent in another request", i)
			}
			at.parentSpan = parent
		}
		ids[spans[i].SpanID] = i
		at.after = uint64(spans[i].StartTime.Sub(start))
		inScope = appendBytes(inScope, scopeSpansSpans, encoded)
		at.move(len(inScope) - len(encoded))
		r.spans = append(r.spans, at)
	}
	inResource := appendBytes(nil, resourceSpansIn, resource)
	inResource = appendBytes(inResource, resourceScopeSpans, inScope)
	r.data = appendBytes(nil, requestResourceSpans, inResource)
	for i := range r.spans {
		r.spans[i].move(len(r.data) - len(inScope))
	}
	return r, nil
}

// move counts from another beginning.
func (p *places) move(by int) {
	p.trace, p.span, p.start, p.end, p.session = p.trace+by, p.span+by, p.start+by, p.end+by, p.session+by
	if p.parent >= 0 {
		p.parent += by
	}
}

// encodeSpan returns a Span message and the places in it.
func encodeSpan(s *span.Span) ([]byte, places, error) {
	at := places{parent: -1, duration: uint64(s.EndTime.Sub(s.StartTime))}
	b := appendBytes(nil, spanTraceID, make([]byte, traceIDSize))
	at.trace = len(b) - traceIDSize
	b = appendBytes(b, spanSpanID, make([]byte, spanIDSize))
	at.span = len(b) - spanIDSize
	if s.ParentSpanID != "" {
		b = appendBytes(b, spanParentSpanID, make([]byte, spanIDSize))
		at.parent = len(b) - spanIDSize
	}
	b = appendString(b, spanName, s.Name)
	b = appendVarint(b, spanKind, uint64(s.Kind))
	b = appendFixed64(b, spanStart)
	at.start = len(b) - 8
	b = appendFixed64(b, spanEnd)
	at.end = len(b) - 8
	b, err := appendAttributes(b, spanAttributes, s.Attributes)
	if err != nil {
		return nil, at, err
	}
	// Where its value is: nothing but the key stands before it that could be taken for it.
	if at.session = bytes.Index(b, []byte(sessionKey)); at.session < 0 {
		return nil, at, fmt.Errorf("a span has no attribute %s", sessionKey)
	}
	at.session += len(sessionKey) + len("\x12\x12\x0a\x10") // value, its length, string_value, its length
	if s.StatusCode != span.StatusUnset {
		b = appendBytes(b, spanStatus, appendVarint(appendString(nil, statusMessage, s.StatusMessage), statusCode, uint64(s.StatusCode)))
	}
	b = protowire.AppendTag(b, spanFlags, protowire.Fixed32Type)
	return protowire.AppendFixed32(b, s.Flags), at, nil
}

// appendAttributes appends a flat JSON object as KeyValue messages, in its order.
func appendAttributes(b []byte, number protowire.Number, object string) ([]byte, error) {
	decoder := json.NewDecoder(strings.NewReader(object))
	decoder.UseNumber()
	if _, err := decoder.Token(); err != nil {
		return nil, fmt.Errorf("attributes %.100q: %w", object, err)
	}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return nil, fmt.Errorf("attributes %.100q: %w", object, err)
		}
		value, err := decoder.Token()
		if err != nil {
			return nil, fmt.Errorf("attributes %.100q: %w", object, err)
		}
		name, ok := key.(string)
		encoded, err := encodeValue(value)
		if err != nil || !ok {
			return nil, fmt.Errorf("attribute %v: %w", key, err)
		}
		b = appendBytes(b, number, appendBytes(appendString(nil, keyValueKey, name), keyValueValue, encoded))
	}
	return b, nil
}

var errNotFlat = errors.New("is neither a text nor a whole number")

func encodeValue(value json.Token) ([]byte, error) {
	switch value := value.(type) {
	case string:
		return appendString(nil, valueString, value), nil
	case json.Number:
		n, err := value.Int64()
		return appendVarint(nil, valueInt, uint64(n)), err
	default:
		return nil, errNotFlat
	}
}

func appendBytes(b []byte, number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), value)
}

func appendString(b []byte, number protowire.Number, value string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, number, protowire.BytesType), value)
}

func appendVarint(b []byte, number protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), value)
}

func appendFixed64(b []byte, number protowire.Number) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(b, number, protowire.Fixed64Type), 0)
}

// stamp gives the request ids that no other request has, and times from now on.
func (r *request) stamp(now time.Time) {
	const session = 8
	if r.random == nil {
		r.random = make([]byte, len(r.spans)*(spanIDSize+traceIDSize+session))
	}
	_, _ = rand.Read(r.random) // it never fails: see crypto/rand
	ids, rest := r.random[:len(r.spans)*spanIDSize], r.random[len(r.spans)*spanIDSize:]
	var trace, digits []byte
	base := uint64(now.UnixNano())
	for i := range r.spans {
		at := &r.spans[i]
		if at.newTrace {
			trace, digits, rest = rest[:traceIDSize], hex.AppendEncode(digits[:0], rest[traceIDSize:traceIDSize+session]), rest[traceIDSize+session:]
		}
		copy(r.data[at.trace:], trace)
		copy(r.data[at.session:], digits)
		copy(r.data[at.span:], ids[i*spanIDSize:][:spanIDSize])
		if at.parent >= 0 {
			copy(r.data[at.parent:], ids[at.parentSpan*spanIDSize:][:spanIDSize])
		}
		binary.LittleEndian.PutUint64(r.data[at.start:], base+at.after)
		binary.LittleEndian.PutUint64(r.data[at.end:], base+at.after+at.duration)
	}
}
