package otlpwire

import (
	"errors"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// elementBytes is what an element of an array or a map counts beside its encoding, for that can be two bytes while its JSON
// text is eight.
const elementBytes = 8

// scanner checks a request and finds out whether something has to be changed.
type scanner struct {
	schema schemaTable
	limits Limits

	// change is set once something has to be changed; then only the verdict counts.
	change bool
	spans  int
}

// message checks one message. The depth is that of the value around it.
func (s *scanner) message(m messageType, b []byte, depth int) error {
	known := &s.schema[m]
	var seen uint32
	var count counter
	f := fields{rest: b}
	for f.next() {
		if f.num > maxField || known[f.num].wire != f.wire || known[f.num].kind == kindUnknown {
			continue
		}
		t := known[f.num]
		if t.kind.repeated() {
			if count.over(t.kind, len(f.data), s.limits) {
				s.change = true
			}
		} else {
			if bit := uint32(1) << f.num; seen&bit != 0 || m == messageAnyValue && seen != 0 {
				s.change = true
			} else {
				seen |= bit
			}
		}
		if err := s.field(t, f.data, depth); err != nil {
			return err
		}
	}
	if !f.ended() {
		return malformed(m, f.err())
	}
	return nil
}

func (s *scanner) field(t fieldType, data []byte, depth int) error {
	switch t.kind {
	case kindText, kindTexts:
		if len(data) > s.limits.AttributeBytes || !utf8.Valid(data) {
			s.change = true
		}
		return nil
	case kindBytes:
		if len(data) > s.limits.AttributeBytes {
			s.change = true
		}
		return nil
	case kindUnknown, kindPlain, kindID, kindDropped:
		return nil
	case kindSpans:
		s.spans++
		if spanProblem(data) != "" {
			s.change = true
		}
	case kindLinks:
		if !linkHasIDs(data) {
			s.change = true
		}
	case kindMessage, kindMessages, kindAttributes, kindEvents, kindElements:
	}
	if t.message == messageAnyValue {
		if depth++; depth > s.limits.Depth {
			if len(data) > 0 {
				s.change = true
			}
			return nil
		}
	}
	return s.message(t.message, data, depth)
}

// counter counts what a message has of its repeated fields. No message has two of the same kind that have a limit.
type counter struct {
	attributes, events, links, elementBytes int
}

// over counts one more, of a length in bytes, and tells whether it is over the limit.
func (c *counter) over(kind fieldKind, length int, limits Limits) bool {
	switch kind {
	case kindAttributes:
		c.attributes++
		return c.attributes > limits.Attributes
	case kindEvents:
		c.events++
		return c.events > limits.Events
	case kindLinks:
		c.links++
		return c.links > limits.Links
	case kindElements:
		c.elementBytes += length + elementBytes
		return c.elementBytes > limits.AttributeBytes
	default:
		return false
	}
}

// spanProblem says why a span cannot be kept, or "". What is malformed in it is not its business.
func spanProblem(span []byte) string {
	var traceID, spanID, parentID []byte
	for f := (fields{rest: span}); f.next(); {
		if f.wire != protowire.BytesType {
			continue
		}
		switch f.num {
		case spanTraceID:
			traceID = f.data
		case spanSpanID:
			spanID = f.data
		case spanParentSpanID:
			parentID = f.data
		}
	}
	switch {
	case len(traceID) == 0:
		return "the trace id is missing"
	case len(traceID) != 16:
		return "the trace id has not 16 bytes"
	case [16]byte(traceID) == [16]byte{}:
		return "the trace id is all zeros"
	case len(spanID) == 0:
		return "the span id is missing"
	case len(spanID) != 8:
		return "the span id has not 8 bytes"
	case [8]byte(spanID) == [8]byte{}:
		return "the span id is all zeros"
	case len(parentID) != 0 && len(parentID) != 8:
		return "the parent span id has not 8 bytes"
	}
	return ""
}

// linkHasIDs tells whether the ids of a link have the length of ids or are missing.
func linkHasIDs(link []byte) bool {
	var traceID, spanID []byte
	for f := (fields{rest: link}); f.next(); {
		if f.wire != protowire.BytesType {
			continue
		}
		switch f.num {
		case linkTraceID:
			traceID = f.data
		case linkSpanID:
			spanID = f.data
		}
	}
	return (len(traceID) == 0 || len(traceID) == 16) && (len(spanID) == 0 || len(spanID) == 8)
}

var errMerge = errors.New("fields that may occur once repeat on too many levels to be merged")
