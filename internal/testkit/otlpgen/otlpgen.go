// Package otlpgen makes OTLP trace requests as odd as clients may send them, for property tests.
package otlpgen

import (
	"encoding/binary"
	"math"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"
)

// maxDepth bounds how deep values nest here. Each level adds two to what protobuf calls its depth.
const maxDepth = 6

// Request makes a request in which everything can be kept: ids are valid, no two spans of the request have the same one, text is
// UTF-8, and nothing comes near the limits. Everything else is as odd as it gets: all kinds of values, nested and empty,
// keys that repeat, extreme numbers and times, enum values that OpenTelemetry does not define, missing messages and unknown
// fields.
func Request(t *rapid.T) *coltracepb.ExportTraceServiceRequest {
	g := generator{t: t, traceID: id(t, 16)}
	request := &coltracepb.ExportTraceServiceRequest{}
	for range g.few(3) {
		request.ResourceSpans = append(request.ResourceSpans, g.resourceSpans())
	}
	return request
}

// Split makes of a request a TracesData message for each span in their order, with its resource and scope.
func Split(request *coltracepb.ExportTraceServiceRequest) (spans []*tracepb.TracesData) {
	for _, rs := range request.GetResourceSpans() {
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				spans = append(spans, &tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{
					Resource: rs.GetResource(), SchemaUrl: rs.GetSchemaUrl(),
					ScopeSpans: []*tracepb.ScopeSpans{{
						Scope: ss.GetScope(), SchemaUrl: ss.GetSchemaUrl(), Spans: []*tracepb.Span{s},
					}},
				}}})
			}
		}
	}
	return spans
}

// Equal tells whether nothing differs between two TracesData messages, but for an empty Status, which OpenTelemetry holds to
// be the same as none.
func Equal(a, b *tracepb.TracesData) bool {
	return proto.Equal(withoutEmptyStatus(a), withoutEmptyStatus(b))
}

func withoutEmptyStatus(data *tracepb.TracesData) *tracepb.TracesData {
	data = proto.CloneOf(data)
	for _, rs := range data.GetResourceSpans() {
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				if proto.Size(s.GetStatus()) == 0 {
					s.Status = nil
				}
			}
		}
	}
	return data
}

type generator struct {
	t       *rapid.T
	traceID []byte
	spans   uint32
}

func (g *generator) few(most int) int { return rapid.IntRange(0, most).Draw(g.t, "count") }

// maybe is true with one chance in so many.
func (g *generator) maybe(oneIn int) bool { return rapid.IntRange(1, oneIn).Draw(g.t, "dice") == oneIn }

// id is not all zeros.
func id(t *rapid.T, size int) []byte {
	b := rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, "id")
	b[0] |= 1
	return b
}

func (g *generator) text() string {
	return rapid.OneOf(
		rapid.SampledFrom([]string{"", "a", "service.name", "\x00\x1f\"\\/\n\r\t\b\f\x7f", "\u2028\u2029", "東京", "😀", "\uFFFD", "{}", "[]", "null", "0"}),
		rapid.String(),
	).Draw(g.t, "text")
}

func (g *generator) count() uint32 {
	return rapid.OneOf(rapid.SampledFrom([]uint32{0, 0, 0, 1, math.MaxInt32, math.MaxUint32}), rapid.Uint32()).Draw(g.t, "count")
}

func (g *generator) nanos() uint64 {
	return rapid.OneOf(
		rapid.Uint64Range(1_795_461_163_000_000_000, 1_795_461_164_000_000_000),
		rapid.SampledFrom([]uint64{0, 1, math.MaxInt64 - 1, math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64,
			9223372035_999999999, 9223372036_000000000}),
		rapid.Uint64(),
	).Draw(g.t, "nanos")
}

func (g *generator) enum() int32 {
	return rapid.OneOf(rapid.Int32Range(0, 5),
		rapid.SampledFrom([]int32{-1, 127, 128, -128, -129, math.MaxInt32, math.MinInt32})).Draw(g.t, "enum")
}

// unknown gives a message now and then a field that it does not have.
func (g *generator) unknown(m protoreflect.ProtoMessage) {
	if !g.maybe(40) {
		return
	}
	num := protowire.Number(rapid.SampledFrom([]int{17, 100, 1000, int(protowire.MaxValidNumber)}).Draw(g.t, "number"))
	b := protowire.AppendTag(nil, num, protowire.StartGroupType)
	b = protowire.AppendVarint(protowire.AppendTag(b, 1, protowire.VarintType), uint64(g.count()))
	b = protowire.AppendTag(b, num, protowire.EndGroupType)
	b = protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), g.text())
	m.ProtoReflect().SetUnknown(b)
}

func (g *generator) resourceSpans() *tracepb.ResourceSpans {
	rs := &tracepb.ResourceSpans{SchemaUrl: g.text()}
	if !g.maybe(8) {
		rs.Resource = &resourcepb.Resource{Attributes: g.attributes(1), DroppedAttributesCount: g.count()}
		if g.maybe(8) {
			rs.Resource.EntityRefs = []*commonpb.EntityRef{{SchemaUrl: g.text(), Type: g.text(), IdKeys: []string{g.text()}}}
		}
		g.unknown(rs.Resource)
	}
	for range g.few(2) {
		ss := &tracepb.ScopeSpans{SchemaUrl: g.text()}
		if !g.maybe(8) {
			ss.Scope = &commonpb.InstrumentationScope{Name: g.text(), Version: g.text(),
				Attributes: g.attributes(1), DroppedAttributesCount: g.count()}
			g.unknown(ss.Scope)
		}
		for range g.few(3) {
			ss.Spans = append(ss.Spans, g.span())
		}
		rs.ScopeSpans = append(rs.ScopeSpans, ss)
	}
	return rs
}

func (g *generator) span() *tracepb.Span {
	if g.maybe(2) {
		g.traceID = id(g.t, 16)
	}
	g.spans++
	spanID := binary.BigEndian.AppendUint32(id(g.t, 4), g.spans)
	s := &tracepb.Span{
		TraceId: g.traceID, SpanId: spanID, Name: g.text(), Kind: tracepb.Span_SpanKind(g.enum()), TraceState: g.text(),
		Flags: g.count(), StartTimeUnixNano: g.nanos(), EndTimeUnixNano: g.nanos(),
		Attributes: g.attributes(1), DroppedAttributesCount: g.count(), DroppedEventsCount: g.count(), DroppedLinksCount: g.count(),
	}
	switch g.few(3) {
	case 0:
	case 1:
		s.ParentSpanId = make([]byte, 8)
	default:
		s.ParentSpanId = id(g.t, 8)
	}
	if !g.maybe(4) {
		s.Status = &tracepb.Status{Code: tracepb.Status_StatusCode(g.enum()), Message: g.text()}
		g.unknown(s.Status)
	}
	for range g.few(2) {
		event := &tracepb.Span_Event{Name: g.text(), TimeUnixNano: g.nanos(), Attributes: g.attributes(1), DroppedAttributesCount: g.count()}
		g.unknown(event)
		s.Events = append(s.Events, event)
	}
	for range g.few(2) {
		link := &tracepb.Span_Link{TraceState: g.text(), Attributes: g.attributes(1), DroppedAttributesCount: g.count(), Flags: g.count()}
		if !g.maybe(4) {
			link.TraceId, link.SpanId = id(g.t, 16), id(g.t, 8)
		}
		g.unknown(link)
		s.Links = append(s.Links, link)
	}
	g.unknown(s)
	return s
}

func (g *generator) attributes(depth int) (attributes []*commonpb.KeyValue) {
	for range g.few(4) {
		kv := &commonpb.KeyValue{Key: g.text(), Value: g.value(depth)}
		if g.maybe(20) {
			kv.Value = nil
		}
		g.unknown(kv)
		attributes = append(attributes, kv)
	}
	return attributes
}

func (g *generator) value(depth int) *commonpb.AnyValue {
	kinds := 8
	if depth == maxDepth {
		kinds = 6
	}
	v := &commonpb.AnyValue{}
	switch rapid.IntRange(0, kinds-1).Draw(g.t, "kind") {
	case 0:
		v.Value = &commonpb.AnyValue_StringValue{StringValue: g.text()}
	case 1:
		v.Value = &commonpb.AnyValue_BoolValue{BoolValue: rapid.Bool().Draw(g.t, "bool")}
	case 2:
		v.Value = &commonpb.AnyValue_IntValue{IntValue: rapid.OneOf(rapid.SampledFrom([]int64{0, -1, 1 << 53, 1<<53 + 1,
			math.MinInt64, math.MaxInt64}), rapid.Int64()).Draw(g.t, "int")}
	case 3:
		v.Value = &commonpb.AnyValue_DoubleValue{DoubleValue: rapid.OneOf(rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 5, 1e21,
			1e-7, 123456789012345680, math.MaxFloat64, math.SmallestNonzeroFloat64, math.NaN(), math.Inf(1), math.Inf(-1)}),
			rapid.Float64()).Draw(g.t, "double")}
	case 4:
	case 5:
		if g.maybe(4) {
			v.Value = &commonpb.AnyValue_StringValueStrindex{StringValueStrindex: g.enum()}
		} else {
			v.Value = &commonpb.AnyValue_BytesValue{BytesValue: rapid.SliceOf(rapid.Byte()).Draw(g.t, "bytes")}
		}
	case 6:
		array := &commonpb.ArrayValue{}
		for range g.few(3) {
			array.Values = append(array.Values, g.value(depth+1))
		}
		v.Value = &commonpb.AnyValue_ArrayValue{ArrayValue: array}
	case 7:
		v.Value = &commonpb.AnyValue_KvlistValue{KvlistValue: &commonpb.KeyValueList{Values: g.attributes(depth + 1)}}
	}
	g.unknown(v)
	return v
}
