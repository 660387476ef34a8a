package otlpwire

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

var (
	errNesting  = errors.New("nested too deep")
	errTrailing = errors.New("something follows the JSON value")
)

// jsonReader reads a column of JSON.
type jsonReader struct{ decoder *json.Decoder }

// read calls with a reader of the text, which must be used up afterwards. An empty text is none, and so is null.
func (e *encoder) read(column, text string, with func(jsonReader) error) {
	if text == "" || text == "null" || e.err != nil {
		return
	}
	r := jsonReader{json.NewDecoder(strings.NewReader(text))}
	r.decoder.UseNumber()
	err := with(r)
	if err == nil {
		if _, end := r.decoder.Token(); !errors.Is(end, io.EOF) {
			err = errTrailing
		}
	}
	if err != nil {
		e.fail(column, err)
	}
}

// attributes reads a JSON object.
func (e *encoder) attributes(column, text string) (attributes []*commonpb.KeyValue) {
	e.read(column, text, func(r jsonReader) (err error) {
		attributes, err = r.attributes()
		return err
	})
	return attributes
}

func (e *encoder) events(text string) (events []*tracepb.Span_Event) {
	e.read("events", text, func(r jsonReader) error {
		return r.array(func() error {
			event := &tracepb.Span_Event{}
			events = append(events, event)
			return r.object(func(key string) (err error) {
				switch key {
				case "name":
					event.Name, err = r.text()
				case "time_nanos":
					event.TimeUnixNano, err = r.number(64)
				case "attributes":
					event.Attributes, err = r.attributes()
				case "dropped_attributes_count":
					event.DroppedAttributesCount, err = r.count()
				default:
					_, err = r.value(0)
				}
				return err
			})
		})
	})
	return events
}

func (e *encoder) links(text string) (links []*tracepb.Span_Link) {
	e.read("links", text, func(r jsonReader) error {
		return r.array(func() error {
			link := &tracepb.Span_Link{}
			links = append(links, link)
			return r.object(func(key string) (err error) {
				switch key {
				case "trace_id":
					link.TraceId, err = r.id()
				case "span_id":
					link.SpanId, err = r.id()
				case "trace_state":
					link.TraceState, err = r.text()
				case "attributes":
					link.Attributes, err = r.attributes()
				case "flags":
					link.Flags, err = r.count()
				case "dropped_attributes_count":
					link.DroppedAttributesCount, err = r.count()
				default:
					_, err = r.value(0)
				}
				return err
			})
		})
	})
	return links
}

// array reads an array, of which each element is read by a call.
func (r jsonReader) array(element func() error) error {
	if err := r.open('['); err != nil {
		return err
	}
	for r.decoder.More() {
		if err := element(); err != nil {
			return err
		}
	}
	_, err := r.decoder.Token()
	return err
}

// object reads an object, of which each value is read by a call.
func (r jsonReader) object(value func(key string) error) error {
	if err := r.open('{'); err != nil {
		return err
	}
	return r.members(value)
}

// members reads an object after its opening brace.
func (r jsonReader) members(value func(key string) error) error {
	for r.decoder.More() {
		token, err := r.decoder.Token()
		if err != nil {
			return err
		}
		key, ok := token.(string)
		if !ok {
			return fmt.Errorf("a key is %T", token)
		}
		if err := value(key); err != nil {
			return err
		}
	}
	_, err := r.decoder.Token()
	return err
}

func (r jsonReader) open(want json.Delim) error {
	token, err := r.decoder.Token()
	if err != nil {
		return err
	}
	if token != want {
		return fmt.Errorf("%v where %v begins", token, want)
	}
	return nil
}

func (r jsonReader) attributes() (attributes []*commonpb.KeyValue, err error) {
	err = r.object(func(key string) error {
		value, err := r.value(1)
		attributes = append(attributes, &commonpb.KeyValue{Key: key, Value: value})
		return err
	})
	return attributes, err
}

func (r jsonReader) text() (string, error) {
	token, err := r.decoder.Token()
	if err != nil {
		return "", err
	}
	text, ok := token.(string)
	if !ok {
		return "", fmt.Errorf("%v is no text", token)
	}
	return text, nil
}

func (r jsonReader) id() ([]byte, error) {
	text, err := r.text()
	if err != nil {
		return nil, err
	}
	return hex.DecodeString(text)
}

func (r jsonReader) number(bits int) (uint64, error) {
	token, err := r.decoder.Token()
	if err != nil {
		return 0, err
	}
	number, ok := token.(json.Number)
	if !ok {
		return 0, fmt.Errorf("%v is no number", token)
	}
	return strconv.ParseUint(number.String(), 10, bits)
}

func (r jsonReader) count() (uint32, error) {
	n, err := r.number(32)
	return uint32(n), err
}

// value reads any value.
func (r jsonReader) value(depth int) (*commonpb.AnyValue, error) {
	if depth > maxDepth {
		return nil, errNesting
	}
	token, err := r.decoder.Token()
	if err != nil {
		return nil, err
	}
	switch token := token.(type) {
	case nil:
		return &commonpb.AnyValue{}, nil
	case string:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: token}}, nil
	case bool:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: token}}, nil
	case json.Number:
		return numberValue(token)
	case json.Delim:
		if token == '[' {
			return r.arrayValue(depth)
		}
		return r.mapValue(depth)
	}
	return nil, fmt.Errorf("%v is no value", token)
}

func (r jsonReader) arrayValue(depth int) (*commonpb.AnyValue, error) {
	array := &commonpb.ArrayValue{}
	for r.decoder.More() {
		value, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		array.Values = append(array.Values, value)
	}
	_, err := r.decoder.Token()
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: array}}, err
}

func (r jsonReader) mapValue(depth int) (*commonpb.AnyValue, error) {
	list := &commonpb.KeyValueList{}
	err := r.members(func(key string) error {
		value, err := r.value(depth + 1)
		list.Values = append(list.Values, &commonpb.KeyValue{Key: key, Value: value})
		return err
	})
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: list}}, err
}

// numberValue is an integer unless it is written otherwise or too large.
func numberValue(number json.Number) (*commonpb.AnyValue, error) {
	if n, err := strconv.ParseInt(number.String(), 10, 64); err == nil {
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: n}}, nil
	}
	v, err := strconv.ParseFloat(number.String(), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return nil, err
	}
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: v}}, nil
}

// valid is a text that protobuf takes.
func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }
