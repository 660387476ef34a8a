package otlpwire

import (
	"bytes"
	"iter"
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// unknownService is what OpenTelemetry calls a service that does not say its name.
const unknownService = "unknown_service"

// Span is a span where it lies in a request. Its slices are parts of the request.
type Span struct {
	// Resource, Scope and Span are encoded messages. Resource and Scope are nil if the request has none here.
	Resource, Scope, Span []byte
	// ResourceSchemaURL and ScopeSchemaURL are text.
	ResourceSchemaURL, ScopeSchemaURL []byte

	TraceID              [16]byte
	SpanID, ParentSpanID [8]byte
	// HasParent is false for a root: without a parent's id, or with one that is all zeros.
	HasParent bool
	// ServiceName is service.name of the resource, or unknown_service.
	ServiceName string
	// Name is text.
	Name []byte
	// Kind and StatusCode are as they came: any number.
	Kind, StatusCode int32
	// StartNanos and EndNanos are Unix nanoseconds as they came: any number.
	StartNanos, EndNanos uint64

	// The origins tell spans that share their resource or scope without comparing it.
	resourceOrigin, scopeOrigin *origin
}

// origin is the same for what is the same. It has a size, so that no two have the same address.
type origin struct{ _ byte }

// Spans iterates over the spans of a TracesData message that Clean has made. The *Span is the same each time, with other
// content. The iteration ends with an error if data is malformed down to the fields of a span; what is nested deeper is not read.
func Spans(data []byte) iter.Seq2[*Span, error] {
	return func(yield func(*Span, error) bool) {
		var s Span
		var serviceOf []byte
		request := fields{buf: data}
		for request.next() {
			if request.num != requestResourceSpans || request.wire != protowire.BytesType {
				continue
			}
			content := request.data()
			s.Resource, s.ResourceSchemaURL, s.resourceOrigin = nil, nil, nil
			if err := s.readResource(content); err != nil {
				yield(nil, err)
				return
			}
			if s.ServiceName == "" || !bytes.Equal(serviceOf, s.Resource) {
				s.ServiceName, serviceOf = serviceName(s.Resource), s.Resource
			}
			for f := (fields{buf: content}); f.next(); {
				if f.num == resourceSpansScopeSpans && f.wire == protowire.BytesType && !s.scope(f.data(), yield) {
					return
				}
			}
		}
		if !request.complete() {
			yield(nil, malformed(messageRequest, request.err()))
		}
	}
}

// readResource finds what all spans of ResourceSpans share, which may come after them.
func (s *Span) readResource(b []byte) error {
	f := fields{buf: b}
	for f.next() {
		if f.wire != protowire.BytesType {
			continue
		}
		switch f.num {
		case resourceSpansResource:
			s.Resource = present(f.data())
		case resourceSpansSchemaURL:
			s.ResourceSchemaURL = f.data()
		}
	}
	if !f.complete() {
		return malformed(messageResourceSpans, f.err())
	}
	return nil
}

// scope yields the spans of ScopeSpans and tells whether more are wanted.
func (s *Span) scope(b []byte, yield func(*Span, error) bool) bool {
	s.Scope, s.ScopeSchemaURL, s.scopeOrigin = nil, nil, nil
	f := fields{buf: b}
	for f.next() {
		if f.wire != protowire.BytesType {
			continue
		}
		switch f.num {
		case scopeSpansScope:
			s.Scope = present(f.data())
		case scopeSpansSchemaURL:
			s.ScopeSchemaURL = f.data()
		}
	}
	if !f.complete() {
		yield(nil, malformed(messageScopeSpans, f.err()))
		return false
	}
	for f := (fields{buf: b}); f.next(); {
		if f.num != scopeSpansSpans || f.wire != protowire.BytesType {
			continue
		}
		if s.resourceOrigin == nil {
			s.resourceOrigin = new(origin)
		}
		if s.scopeOrigin == nil {
			s.scopeOrigin = new(origin)
		}
		if err := s.read(f.data()); err != nil {
			yield(nil, err)
			return false
		}
		if !yield(s, nil) {
			return false
		}
	}
	return true
}

// present is not nil, so that a message without content differs from none.
func present(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// read decodes the light fields of a span.
func (s *Span) read(b []byte) error {
	*s = Span{
		Resource: s.Resource, ResourceSchemaURL: s.ResourceSchemaURL, Scope: s.Scope, ScopeSchemaURL: s.ScopeSchemaURL,
		ServiceName: s.ServiceName, Span: b, resourceOrigin: s.resourceOrigin, scopeOrigin: s.scopeOrigin,
	}
	f := fields{buf: b}
	for f.next() {
		switch f.wire {
		case protowire.BytesType:
			switch f.num {
			case spanTraceID:
				copy(s.TraceID[:], f.data())
			case spanSpanID:
				copy(s.SpanID[:], f.data())
			case spanParentSpanID:
				copy(s.ParentSpanID[:], f.data())
				s.HasParent = s.ParentSpanID != [8]byte{}
			case spanName:
				s.Name = f.data()
			case spanStatus:
				s.StatusCode = readStatus(f.data())
			}
		case protowire.Fixed64Type:
			switch f.num {
			case spanStart:
				s.StartNanos = f.number
			case spanEnd:
				s.EndNanos = f.number
			}
		case protowire.VarintType:
			if f.num == spanKind {
				s.Kind = int32(f.number)
			}
		}
	}
	if !f.complete() {
		return malformed(messageSpan, f.err())
	}
	return nil
}

func readStatus(b []byte) (code int32) {
	for f := (fields{buf: b}); f.next(); {
		if f.num == statusCode && f.wire == protowire.VarintType {
			code = int32(f.number)
		}
	}
	return code
}

// serviceName is the text of the first attribute service.name of a resource.
func serviceName(resource []byte) string {
	for f := (fields{buf: resource}); f.next(); {
		if f.num != resourceAttributes || f.wire != protowire.BytesType {
			continue
		}
		key, value, _ := readKeyValue(f.data())
		if string(key) != "service.name" {
			continue
		}
		for v := (fields{buf: value}); v.next(); {
			if v.num == valueString && v.wire == protowire.BytesType && len(v.data()) > 0 {
				return string(v.data())
			}
		}
		break
	}
	return unknownService
}

// Tiny is the nearest number that fits into an int8, which is what columns of kinds and status codes hold.
func Tiny(n int32) int8 { return int8(max(math.MinInt8, min(n, math.MaxInt8))) }

// maxNanos is the last time that fits into a file of the lake: the last, incomplete second of 64-bit nanoseconds stays free,
// as internal/lake has it.
const maxNanos = math.MaxInt64/uint64(time.Second)*uint64(time.Second) - 1

// StorableNanos is the nearest time that fits into a file of the lake, in Unix nanoseconds.
func StorableNanos(nanos uint64) int64 { return int64(min(nanos, maxNanos)) }

func storableTime(nanos uint64) time.Time { return time.Unix(0, StorableNanos(nanos)).UTC() }
