package otlpwire

import (
	"errors"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// read calls with a reader of the text, which must be used up afterwards. An empty text is none, and so is null.
func (e *encoder) read(column, text string, with func(*jsonReader) error) {
	if text == "" || text == "null" || e.err != nil {
		return
	}
	e.json.begin(text)
	err := with(&e.json)
	if err == nil {
		err = e.json.end()
	}
	if err != nil {
		e.fail(column, err)
	}
}

// attributes writes a JSON object as fields of the type KeyValue.
func (e *encoder) attributes(num protowire.Number, column, text string) {
	e.read(column, text, func(r *jsonReader) error { return r.keyValues(&e.message, num, 1) })
}

func (e *encoder) events(text string) {
	e.read("events", text, func(r *jsonReader) error {
		return r.array(func() error { return e.event(r) })
	})
}

// event writes an event. Of a key that repeats the last one counts.
func (e *encoder) event(r *jsonReader) error {
	var name []byte
	var nanos, dropped uint64
	e.nested.reset()
	err := r.object(func(key []byte) (err error) {
		switch string(key) {
		case "name":
			name, err = r.text()
		case "time_nanos":
			nanos, err = r.unsigned(64)
		case "attributes":
			e.nested.reset()
			err = r.keyValues(&e.nested, eventAttributes, 1)
		case "dropped_attributes_count":
			dropped, err = r.unsigned(32)
		default:
			e.ignored.reset()
			err = r.value(&e.ignored, 0)
		}
		return err
	})
	w := &e.message
	event := w.begin(spanEvents)
	w.fixed64(eventTime, nanos)
	w.text(eventName, name)
	w.add(&e.nested)
	w.number(eventDropped, dropped)
	w.end(event)
	return err
}

func (e *encoder) links(text string) {
	e.read("links", text, func(r *jsonReader) error {
		return r.array(func() error { return e.link(r) })
	})
}

// link writes a link. Of a key that repeats the last one counts.
func (e *encoder) link(r *jsonReader) error {
	var traceID, spanID, traceState []byte
	var dropped, flags uint64
	e.nested.reset()
	err := r.object(func(key []byte) (err error) {
		switch string(key) {
		case "trace_id":
			traceID, err = r.id()
		case "span_id":
			spanID, err = r.id()
		case "trace_state":
			traceState, err = r.text()
		case "attributes":
			e.nested.reset()
			err = r.keyValues(&e.nested, linkAttributes, 1)
		case "flags":
			flags, err = r.unsigned(32)
		case "dropped_attributes_count":
			dropped, err = r.unsigned(32)
		default:
			e.ignored.reset()
			err = r.value(&e.ignored, 0)
		}
		return err
	})
	w := &e.message
	link := w.begin(spanLinks)
	w.text(linkTraceID, traceID)
	w.text(linkSpanID, spanID)
	w.text(linkTraceState, traceState)
	w.add(&e.nested)
	w.number(linkDropped, dropped)
	w.fixed32(linkFlags, uint32(flags))
	w.end(link)
	return err
}

// keyValues writes an object as fields of the type KeyValue. Keys that repeat stay.
func (r *jsonReader) keyValues(w *wire, num protowire.Number, depth int) error {
	return r.object(func(key []byte) error {
		keyValue := w.begin(num)
		w.text(keyValueKey, key)
		value := w.begin(keyValueValue)
		err := r.value(w, depth)
		w.end(value)
		w.end(keyValue)
		return err
	})
}

// value writes any value as the content of an AnyValue. Null is one without content.
func (r *jsonReader) value(w *wire, depth int) error {
	if depth > maxDepth {
		return errNesting
	}
	switch r.peek() {
	case '"':
		text, err := r.text()
		w.bytes(valueString, text)
		return err
	case '{':
		list := w.begin(valueMap)
		err := r.keyValues(w, elements, depth+1)
		w.end(list)
		return err
	case '[':
		return r.arrayValue(w, depth)
	case 'n':
		return r.literal("null")
	case 't':
		w.varint(valueBool, 1)
		return r.literal("true")
	case 'f':
		w.varint(valueBool, 0)
		return r.literal("false")
	}
	return r.numberValue(w)
}

func (r *jsonReader) arrayValue(w *wire, depth int) error {
	array := w.begin(valueArray)
	err := r.array(func() error {
		element := w.begin(elements)
		err := r.value(w, depth+1)
		w.end(element)
		return err
	})
	w.end(array)
	return err
}

// numberValue writes an integer, unless the number is written otherwise or too large.
func (r *jsonReader) numberValue(w *wire) error {
	number, whole, err := r.number()
	if err != nil {
		return err
	}
	if whole {
		if n, err := strconv.ParseInt(string(number), 10, 64); err == nil {
			w.varint(valueInt, uint64(n))
			return nil
		}
	}
	v, err := strconv.ParseFloat(string(number), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return err
	}
	w.double(valueDouble, math.Float64bits(v))
	return nil
}
