package otlpwire_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
)

// oracleEncode is Encode as it was first, with messages of the protobuf library and the tokens of encoding/json: what Encode makes must be the
// same.
func oracleEncode(s *span.Span) ([]byte, error) {
	if s.OTLP != "" {
		return []byte(s.OTLP), nil
	}
	e := oracle{span: s}
	resource := &resourcepb.Resource{
		Attributes:             e.attributes("resource_attributes", s.ResourceAttributes),
		DroppedAttributesCount: s.ResourceDroppedAttributesCount,
	}
	e.nameService(resource)
	scope := &commonpb.InstrumentationScope{
		Name: oracleValid(s.ScopeName), Version: oracleValid(s.ScopeVersion), Attributes: e.attributes("scope_attributes", s.ScopeAttributes),
		DroppedAttributesCount: s.ScopeDroppedAttributesCount,
	}
	data := &tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource: resource, SchemaUrl: oracleValid(s.ResourceSchemaURL),
		ScopeSpans: []*tracepb.ScopeSpans{{Scope: scope, SchemaUrl: oracleValid(s.ScopeSchemaURL), Spans: []*tracepb.Span{e.encode()}}},
	}}}
	if e.err != nil {
		return nil, e.err
	}
	return proto.Marshal(data)
}

const oracleDepth = 1000

// oracle keeps the first error.
type oracle struct {
	span *span.Span
	err  error
}

func (e *oracle) fail(column string, err error) {
	if e.err == nil {
		e.err = &otlpwire.ColumnError{TraceID: e.span.TraceID, SpanID: e.span.SpanID, Column: column, Err: err}
	}
}

func (e *oracle) encode() *tracepb.Span {
	s := e.span
	out := &tracepb.Span{
		TraceId: e.id("trace_id", s.TraceID, 16), SpanId: e.id("span_id", s.SpanID, 8),
		TraceState: oracleValid(s.TraceState), Flags: s.Flags, Name: oracleValid(s.Name), Kind: tracepb.Span_SpanKind(s.Kind),
		StartTimeUnixNano: e.nanos("start_time", s.StartTime), EndTimeUnixNano: e.nanos("end_time", s.EndTime),
		Attributes:             e.attributes("attributes", s.Attributes),
		DroppedAttributesCount: s.DroppedAttributesCount,
		Events:                 e.events(s.Events), DroppedEventsCount: s.DroppedEventsCount,
		Links: e.links(s.Links), DroppedLinksCount: s.DroppedLinksCount,
		Status: &tracepb.Status{Code: tracepb.Status_StatusCode(s.StatusCode), Message: oracleValid(s.StatusMessage)},
	}
	if !s.IsRoot() {
		out.ParentSpanId = e.id("parent_span_id", s.ParentSpanID, 8)
	}
	return out
}

func (e *oracle) id(column, text string, size int) []byte {
	id, err := hex.DecodeString(text)
	if err == nil && len(id) != size {
		err = fmt.Errorf("%w: %d bytes, not %d", errOracleID, len(id), size)
	}
	if err != nil {
		e.fail(column, err)
	}
	return id
}

func (e *oracle) nanos(column string, t time.Time) uint64 {
	seconds := t.Unix()
	if seconds < 0 || seconds >= oracleLastSecond {
		e.fail(column, fmt.Errorf("%w: %s", errOracleTime, t.UTC().Format(time.RFC3339Nano)))
	}
	return uint64(seconds)*uint64(time.Second) + uint64(t.Nanosecond())
}

// oracleLastSecond is the incomplete one with which the times of OTLP end, in the year 2554.
const oracleLastSecond = int64(math.MaxUint64 / uint64(time.Second))

// nameService adds the service of a writer that has it in its column only.
func (e *oracle) nameService(resource *resourcepb.Resource) {
	const key = "service.name"
	named := func(kv *commonpb.KeyValue) bool { return kv.GetKey() == key }
	if name := e.span.ServiceName; name != "" && name != "unknown_service" && !slices.ContainsFunc(resource.GetAttributes(), named) {
		value := &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: oracleValid(name)}}
		resource.Attributes = append(resource.Attributes, &commonpb.KeyValue{Key: key, Value: value})
	}
}

var (
	errOracleTime     = errors.New("before 1970 or after 2554")
	errOracleID       = errors.New("is no id in hex digits")
	errOracleNesting  = errors.New("nested too deep")
	errOracleTrailing = errors.New("something follows the JSON value")
)

// tokenReader reads a column of JSON.
type tokenReader struct{ decoder *json.Decoder }

// read calls with a reader of the text, which must be used up afterwards. An empty text is none, and so is null.
func (e *oracle) read(column, text string, with func(tokenReader) error) {
	if text == "" || text == "null" || e.err != nil {
		return
	}
	r := tokenReader{json.NewDecoder(strings.NewReader(text))}
	r.decoder.UseNumber()
	err := with(r)
	if err == nil {
		if _, end := r.decoder.Token(); !errors.Is(end, io.EOF) {
			err = errOracleTrailing
		}
	}
	if err != nil {
		e.fail(column, err)
	}
}

// attributes reads a JSON object.
func (e *oracle) attributes(column, text string) (attributes []*commonpb.KeyValue) {
	e.read(column, text, func(r tokenReader) (err error) {
		attributes, err = r.attributes()
		return err
	})
	return attributes
}

func (e *oracle) events(text string) (events []*tracepb.Span_Event) {
	e.read("events", text, func(r tokenReader) error {
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

func (e *oracle) links(text string) (links []*tracepb.Span_Link) {
	e.read("links", text, func(r tokenReader) error {
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
func (r tokenReader) array(element func() error) error {
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
func (r tokenReader) object(value func(key string) error) error {
	if err := r.open('{'); err != nil {
		return err
	}
	return r.members(value)
}

// members reads an object after its opening brace.
func (r tokenReader) members(value func(key string) error) error {
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

func (r tokenReader) open(want json.Delim) error {
	token, err := r.decoder.Token()
	if err != nil {
		return err
	}
	if token != want {
		return fmt.Errorf("%v where %v begins", token, want)
	}
	return nil
}

func (r tokenReader) attributes() (attributes []*commonpb.KeyValue, err error) {
	err = r.object(func(key string) error {
		value, err := r.value(1)
		attributes = append(attributes, &commonpb.KeyValue{Key: key, Value: value})
		return err
	})
	return attributes, err
}

func (r tokenReader) text() (string, error) {
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

func (r tokenReader) id() ([]byte, error) {
	text, err := r.text()
	if err != nil {
		return nil, err
	}
	return hex.DecodeString(text)
}

func (r tokenReader) number(bits int) (uint64, error) {
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

func (r tokenReader) count() (uint32, error) {
	n, err := r.number(32)
	return uint32(n), err
}

// value reads any value.
func (r tokenReader) value(depth int) (*commonpb.AnyValue, error) {
	if depth > oracleDepth {
		return nil, errOracleNesting
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
		return oracleNumber(token)
	case json.Delim:
		if token == '[' {
			return r.arrayValue(depth)
		}
		return r.mapValue(depth)
	}
	return nil, fmt.Errorf("%v is no value", token)
}

func (r tokenReader) arrayValue(depth int) (*commonpb.AnyValue, error) {
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

func (r tokenReader) mapValue(depth int) (*commonpb.AnyValue, error) {
	list := &commonpb.KeyValueList{}
	err := r.members(func(key string) error {
		value, err := r.value(depth + 1)
		list.Values = append(list.Values, &commonpb.KeyValue{Key: key, Value: value})
		return err
	})
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: list}}, err
}

// oracleNumber is an integer unless it is written otherwise or too large.
func oracleNumber(number json.Number) (*commonpb.AnyValue, error) {
	if n, err := strconv.ParseInt(number.String(), 10, 64); err == nil {
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: n}}, nil
	}
	v, err := strconv.ParseFloat(number.String(), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return nil, err
	}
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: v}}, nil
}

// oracleValid is a text that protobuf takes.
func oracleValid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }
