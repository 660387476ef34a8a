package otlpwire

import (
	"errors"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// elementBytes is what an element of an array or a map counts beside its encoding, for that can be two bytes while its JSON
// text is eight.
const elementBytes = 8

// countBytes is how long the count of dropped attributes is, which may come on top of a limit.
const countBytes = 8

// scanner checks a request and finds out whether something has to be changed. It may say so where nothing has to, for it
// looks at each field but once.
type scanner struct {
	schema schemaTable
	limits Limits

	// change is set once something has to be changed, repeats if some singular field occurs twice; then only the verdict counts.
	change, repeats bool
	spans           int
}

// message checks one message. The depth is that of the value around it.
func (s *scanner) message(m messageType, b []byte, depth int) error {
	if len(b) == 0 && m != messageSpan {
		return nil
	}
	known := &s.schema[m]
	var seen uint32
	var count counter
	f := fields{buf: b}
	for f.next() {
		if f.num > maxField {
			continue
		}
		t := &known[f.num]
		if t.wire != f.wire || t.kind == kindUnknown {
			continue
		}
		if !t.kind.repeated() {
			if bit := uint32(1) << f.num; seen&bit == 0 && (m != messageAnyValue || seen == 0) {
				seen |= bit
			} else {
				s.repeats = true
			}
			if t.kind == kindPlain {
				continue
			}
		} else if t.kind != kindMessages && count.over(t.kind, f.to-f.from, s.limits) {
			s.change = true
		}
		if err := s.field(t, f.data(), depth); err != nil {
			return err
		}
	}
	if !f.complete() {
		return malformed(m, f.err())
	}
	if m.shared() && len(b) > s.limits.SharedBytes+countBytes {
		s.change = true
	}
	if m == messageSpan {
		s.spans++
		const both = 1<<spanTraceID | 1<<spanSpanID
		if seen&both != both {
			s.change = true
		}
	}
	return nil
}

// field checks what a field holds that is no number.
func (s *scanner) field(t *fieldType, data []byte, depth int) error {
	switch t.kind {
	case kindText, kindTexts:
		if len(data) > s.limits.AttributeBytes || !utf8.Valid(data) {
			s.change = true
		}
		return nil
	case kindURL:
		if len(data) > s.limits.SharedBytes || !utf8.Valid(data) {
			s.change = true
		}
		return nil
	case kindBytes:
		if len(data) > s.limits.AttributeBytes {
			s.change = true
		}
		return nil
	case kindID:
		if len(data) != int(t.size) || allZeros(data) {
			s.change = true
		}
		return nil
	case kindOtherID:
		if len(data) != 0 && len(data) != int(t.size) {
			s.change = true
		}
		return nil
	case kindUnknown, kindPlain, kindDropped:
		return nil
	case kindAttributes:
		if s.plainAttribute(data) {
			return nil
		}
	case kindMessage, kindMessages, kindSpans, kindEvents, kindLinks, kindElements:
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

func allZeros(id []byte) bool {
	for _, c := range id {
		if c != 0 {
			return false
		}
	}
	return true
}

// plainAttribute tells whether a KeyValue is what nearly all are, a short key and a string or a number, encoded as usual, and
// needs no change. It takes a third of the time of the general way, which finds out about the others.
func (s *scanner) plainAttribute(b []byte) bool {
	if len(b) < 2 || b[0] != keyTag || b[1] >= 0x80 || int(b[1]) > len(b)-2 {
		return false
	}
	key, b := b[2:2+b[1]], b[2+b[1]:]
	b, ok := rest(b, valueTag)
	if !ok || len(b) == 0 || !utf8.Valid(key) || len(key) > s.limits.AttributeBytes {
		return false
	}
	switch b[0] {
	case stringTag:
		text, ok := rest(b, stringTag)
		return ok && len(text) <= s.limits.AttributeBytes && utf8.Valid(text)
	case boolTag, intTag:
		_, n := protowire.ConsumeVarint(b[1:])
		return n == len(b)-1
	case doubleTag:
		return len(b) == 9
	}
	return false
}

// rest is the content of a field of type bytes whose length takes at most two bytes, if nothing follows it.
func rest(b []byte, tag byte) ([]byte, bool) {
	switch {
	case len(b) < 2 || b[0] != tag:
		return nil, false
	case b[1] < 0x80:
		return b[2:], int(b[1]) == len(b)-2
	case len(b) < 3 || b[2] >= 0x80:
		return nil, false
	default:
		return b[3:], int(b[1]&0x7f)|int(b[2])<<7 == len(b)-3
	}
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
	for f := (fields{buf: span}); f.next(); {
		if f.wire != protowire.BytesType {
			continue
		}
		switch f.num {
		case spanTraceID:
			traceID = f.data()
		case spanSpanID:
			spanID = f.data()
		case spanParentSpanID:
			parentID = f.data()
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
	for f := (fields{buf: link}); f.next(); {
		if f.wire != protowire.BytesType {
			continue
		}
		switch f.num {
		case linkTraceID:
			traceID = f.data()
		case linkSpanID:
			spanID = f.data()
		}
	}
	return (len(traceID) == 0 || len(traceID) == 16) && (len(spanID) == 0 || len(spanID) == 8)
}

var errMerge = errors.New("fields that may occur once repeat on too many levels to be merged")
