package otlpwire_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/spanlake/spanlake/internal/otlpwire"
)

var (
	traceID = []byte("0123456789abcdef")
	spanID  = []byte("01234567")
)

// withSpans is a request with spans, to which ids are given where they have none.
func withSpans(spans ...*tracepb.Span) *coltracepb.ExportTraceServiceRequest {
	for _, s := range spans {
		if s.TraceId == nil {
			s.TraceId = traceID
		}
		if s.SpanId == nil {
			s.SpanId = spanID
		}
	}
	return &coltracepb.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{{
		ScopeSpans: []*tracepb.ScopeSpans{{Spans: spans}},
	}}}
}

func withValue(v *commonpb.AnyValue) *coltracepb.ExportTraceServiceRequest {
	return withSpans(&tracepb.Span{Attributes: []*commonpb.KeyValue{{Key: "k", Value: v}}})
}

func stringValue(s string) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: s}}
}

func arrayValue(values ...*commonpb.AnyValue) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: values}}}
}

func mapValue(values ...*commonpb.KeyValue) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: &commonpb.KeyValueList{Values: values}}}
}

func bytesValue(n int) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: make([]byte, n)}}
}

func empties(n int) (kvs []*commonpb.KeyValue) {
	for range n {
		kvs = append(kvs, &commonpb.KeyValue{})
	}
	return kvs
}

// TestClean shows each limit and each way in which a span cannot be kept.
func TestClean(t *testing.T) {
	limits := otlpwire.Limits{AttributeBytes: 100, Attributes: 3, Events: 2, Links: 2, Depth: 3, SharedBytes: 60}
	link := func() *tracepb.Span_Link { return &tracepb.Span_Link{TraceId: traceID, SpanId: spanID} }
	event := func() *tracepb.Span_Event { return &tracepb.Span_Event{} }
	ok := func() *tracepb.Span { return &tracepb.Span{TraceId: traceID, SpanId: spanID, Name: "good"} }
	request := func(r *resourcepb.Resource, s *commonpb.InstrumentationScope) *coltracepb.ExportTraceServiceRequest {
		m := withSpans(ok())
		m.ResourceSpans[0].Resource, m.ResourceSpans[0].ScopeSpans[0].Scope = r, s
		return m
	}
	long := strings.Repeat("é", 51) // 102 bytes
	for name, tc := range map[string]struct {
		sent, want *coltracepb.ExportTraceServiceRequest
		report     otlpwire.Report
	}{
		"nothing":           {&coltracepb.ExportTraceServiceRequest{}, nil, otlpwire.Report{}},
		"one span":          {withSpans(ok()), nil, otlpwire.Report{Accepted: 1}},
		"odd times":         {withSpans(&tracepb.Span{StartTimeUnixNano: math.MaxUint64, EndTimeUnixNano: 1}), nil, otlpwire.Report{Accepted: 1}},
		"a parent of zeros": {withSpans(&tracepb.Span{ParentSpanId: make([]byte, 8)}), nil, otlpwire.Report{Accepted: 1}},

		"no trace id": {withSpans(&tracepb.Span{TraceId: []byte{}}, ok()), withSpans(ok()),
			otlpwire.Report{Accepted: 1, Rejected: 1, Reason: "the trace id is missing"}},
		"a trace id of zeros": {withSpans(ok(), &tracepb.Span{TraceId: make([]byte, 16)}), withSpans(ok()),
			otlpwire.Report{Accepted: 1, Rejected: 1, Reason: "the trace id is all zeros"}},
		"a short trace id": {withSpans(ok(), &tracepb.Span{TraceId: make([]byte, 15)}), withSpans(ok()),
			otlpwire.Report{Accepted: 1, Rejected: 1, Reason: "the trace id has not 16 bytes"}},
		"no span id": {withSpans(ok(), &tracepb.Span{SpanId: []byte{}}), withSpans(ok()),
			otlpwire.Report{Accepted: 1, Rejected: 1, Reason: "the span id is missing"}},
		"a span id of zeros": {withSpans(ok(), &tracepb.Span{SpanId: make([]byte, 8)}), withSpans(ok()),
			otlpwire.Report{Accepted: 1, Rejected: 1, Reason: "the span id is all zeros"}},
		"a long span id": {withSpans(ok(), &tracepb.Span{SpanId: traceID}), withSpans(ok()),
			otlpwire.Report{Accepted: 1, Rejected: 1, Reason: "the span id has not 8 bytes"}},
		"a short parent id": {withSpans(ok(), &tracepb.Span{ParentSpanId: []byte{1}}), withSpans(ok()),
			otlpwire.Report{Accepted: 1, Rejected: 1, Reason: "the parent span id has not 8 bytes"}},
		"the first reason is told": {withSpans(&tracepb.Span{SpanId: traceID}, &tracepb.Span{TraceId: []byte{}}), withSpans(),
			otlpwire.Report{Rejected: 2, Reason: "the span id has not 8 bytes"}},

		"text within the limit": {withValue(stringValue(strings.Repeat("é", 50))), nil, otlpwire.Report{Accepted: 1}},
		"text over it": {withValue(stringValue("a" + long)), withValue(stringValue("a" + strings.Repeat("é", 49))),
			otlpwire.Report{Accepted: 1, TruncatedValues: 1}},
		"a name over it": {withSpans(&tracepb.Span{Name: long}), withSpans(&tracepb.Span{Name: long[:100]}),
			otlpwire.Report{Accepted: 1, TruncatedValues: 1}},
		"bytes over it":             {withValue(bytesValue(101)), withValue(bytesValue(100)), otlpwire.Report{Accepted: 1, TruncatedValues: 1}},
		"an array within the limit": {withValue(arrayValue(stringValue(long[:44]), stringValue(long[:36]))), nil, otlpwire.Report{Accepted: 1}},
		"an array over it": {withValue(arrayValue(stringValue(long[:44]), stringValue(long[:38]), stringValue(""))),
			withValue(arrayValue(stringValue(long[:44]))), otlpwire.Report{Accepted: 1, TruncatedValues: 1}},
		"a map over it": {withValue(mapValue(empties(20)...)), withValue(mapValue(empties(12)...)),
			otlpwire.Report{Accepted: 1, TruncatedValues: 1}},

		"attributes within the limit": {withSpans(&tracepb.Span{Attributes: empties(3), DroppedAttributesCount: 7}), nil,
			otlpwire.Report{Accepted: 1}},
		"attributes over it": {withSpans(&tracepb.Span{Attributes: empties(5), DroppedAttributesCount: 7}),
			withSpans(&tracepb.Span{Attributes: empties(3), DroppedAttributesCount: 9}),
			otlpwire.Report{Accepted: 1, DroppedAttributes: 2}},
		"a count that is full": {withSpans(&tracepb.Span{Attributes: empties(5), DroppedAttributesCount: math.MaxUint32}),
			withSpans(&tracepb.Span{Attributes: empties(3), DroppedAttributesCount: math.MaxUint32}),
			otlpwire.Report{Accepted: 1, DroppedAttributes: 2}},
		"attributes of an event": {withSpans(&tracepb.Span{Events: []*tracepb.Span_Event{{Attributes: empties(4)}}}),
			withSpans(&tracepb.Span{Events: []*tracepb.Span_Event{{Attributes: empties(3), DroppedAttributesCount: 1}}}),
			otlpwire.Report{Accepted: 1, DroppedAttributes: 1}},
		"attributes of a link": {withSpans(&tracepb.Span{Links: []*tracepb.Span_Link{{Attributes: empties(4)}}}),
			withSpans(&tracepb.Span{Links: []*tracepb.Span_Link{{Attributes: empties(3), DroppedAttributesCount: 1}}}),
			otlpwire.Report{Accepted: 1, DroppedAttributes: 1}},
		"attributes of a scope": {request(nil, &commonpb.InstrumentationScope{Attributes: empties(4)}),
			request(nil, &commonpb.InstrumentationScope{Attributes: empties(3), DroppedAttributesCount: 1}),
			otlpwire.Report{Accepted: 1, DroppedAttributes: 1}},
		"attributes of a resource": {request(&resourcepb.Resource{Attributes: empties(4)}, nil),
			request(&resourcepb.Resource{Attributes: empties(3), DroppedAttributesCount: 1}, nil),
			otlpwire.Report{Accepted: 1, DroppedAttributes: 1}},
		"a map has no limit of its own": {withValue(mapValue(empties(4)...)), nil, otlpwire.Report{Accepted: 1}},
		"events": {withSpans(&tracepb.Span{Events: []*tracepb.Span_Event{event(), event(), event()}}),
			withSpans(&tracepb.Span{Events: []*tracepb.Span_Event{event(), event()}, DroppedEventsCount: 1}),
			otlpwire.Report{Accepted: 1, DroppedEvents: 1}},
		"links": {withSpans(&tracepb.Span{Links: []*tracepb.Span_Link{link(), link(), link()}}),
			withSpans(&tracepb.Span{Links: []*tracepb.Span_Link{link(), link()}, DroppedLinksCount: 1}),
			otlpwire.Report{Accepted: 1, DroppedLinks: 1}},
		"a link without ids": {withSpans(&tracepb.Span{Links: []*tracepb.Span_Link{{}}}), nil, otlpwire.Report{Accepted: 1}},
		"links with ids of a wrong length": {
			withSpans(&tracepb.Span{Links: []*tracepb.Span_Link{{TraceId: spanID}, {SpanId: traceID}, link(), link()}}),
			withSpans(&tracepb.Span{Links: []*tracepb.Span_Link{link(), link()}, DroppedLinksCount: 2}),
			otlpwire.Report{Accepted: 1, DroppedLinks: 2}},

		"as deep as may be": {withValue(arrayValue(arrayValue(stringValue("x")))), nil, otlpwire.Report{Accepted: 1}},
		"deeper": {withValue(arrayValue(mapValue(text("x", "y"), &commonpb.KeyValue{Key: "z", Value: arrayValue(stringValue("x"))}))),
			withValue(arrayValue(mapValue(text("x", "y"), &commonpb.KeyValue{Key: "z", Value: arrayValue(&commonpb.AnyValue{})}))),
			otlpwire.Report{Accepted: 1, CutValues: 1}},
		"deeper, but empty": {withValue(arrayValue(arrayValue(arrayValue(&commonpb.AnyValue{})))), nil, otlpwire.Report{Accepted: 1}},

		"a resource over its size": {request(&resourcepb.Resource{DroppedAttributesCount: 5, Attributes: []*commonpb.KeyValue{
			text("a", "1"), text("b", long[:90]), text("c", "3")}}, nil),
			request(&resourcepb.Resource{DroppedAttributesCount: 6, Attributes: []*commonpb.KeyValue{text("a", "1"), text("c", "3")}}, nil),
			otlpwire.Report{Accepted: 1, DroppedAttributes: 1}},
		"a scope over its size": {request(nil, &commonpb.InstrumentationScope{Name: long[:90], Version: "1"}),
			request(nil, &commonpb.InstrumentationScope{Version: "1"}), otlpwire.Report{Accepted: 1, TruncatedValues: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			raw := marshal(t, tc.sent)
			clean, report, err := otlpwire.Clean(raw, limits)
			if err != nil || report != tc.report {
				t.Errorf("got %+v, %v, want %+v", report, err, tc.report)
			}
			if tc.want == nil {
				if !same(clean, raw) {
					t.Error("the request was copied, though nothing had to be changed")
				}
				return
			}
			got := &coltracepb.ExportTraceServiceRequest{}
			if err := proto.Unmarshal(clean, got); err != nil || !proto.Equal(got, tc.want) {
				t.Errorf("got %v, %v, want %v", got, err, tc.want)
			}
			if again, _, _ := otlpwire.Clean(clean, limits); !same(again, clean) {
				t.Error("what was cleaned is not clean")
			}
		})
	}
}

// TestCleanRepairsText shows that every text is looked at, and what becomes of it.
func TestCleanRepairsText(t *testing.T) {
	bad := func(m proto.Message, number protowire.Number) []byte {
		return protowire.AppendString(protowire.AppendTag(marshal(t, m), number, protowire.BytesType), "a\xff\xfeb\xc3")
	}
	in := func(number protowire.Number, content []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), content)
	}
	ids := &tracepb.Span{TraceId: traceID, SpanId: spanID}
	inSpan := func(number protowire.Number, content []byte) []byte {
		return in(1, in(2, in(2, append(marshal(t, ids), in(number, content)...))))
	}
	inScope := func(content []byte) []byte { return in(1, in(2, content)) }
	inValue := func(content []byte) []byte { return inSpan(9, in(2, content)) }
	for name, tc := range map[string][]byte{
		"resource schema URL":   in(1, bad(&tracepb.ResourceSpans{}, 3)),
		"resource key":          in(1, in(1, in(1, bad(&commonpb.KeyValue{}, 1)))),
		"entity schema URL":     in(1, in(1, in(3, bad(&commonpb.EntityRef{}, 1)))),
		"entity type":           in(1, in(1, in(3, bad(&commonpb.EntityRef{}, 2)))),
		"entity id key":         in(1, in(1, in(3, bad(&commonpb.EntityRef{}, 3)))),
		"entity description":    in(1, in(1, in(3, bad(&commonpb.EntityRef{}, 4)))),
		"scope schema URL":      inScope(bad(&tracepb.ScopeSpans{}, 3)),
		"scope name":            inScope(in(1, bad(&commonpb.InstrumentationScope{}, 1))),
		"scope version":         inScope(in(1, bad(&commonpb.InstrumentationScope{}, 2))),
		"scope key":             inScope(in(1, in(3, bad(&commonpb.KeyValue{}, 1)))),
		"trace state":           inScope(in(2, bad(ids, 3))),
		"span name":             inScope(in(2, bad(ids, 5))),
		"span key":              inSpan(9, bad(&commonpb.KeyValue{}, 1)),
		"event name":            inSpan(11, bad(&tracepb.Span_Event{}, 2)),
		"event key":             inSpan(11, in(3, bad(&commonpb.KeyValue{}, 1))),
		"link trace state":      inSpan(13, bad(&tracepb.Span_Link{}, 3)),
		"link key":              inSpan(13, in(4, bad(&commonpb.KeyValue{}, 1))),
		"status message":        inSpan(15, bad(&tracepb.Status{}, 2)),
		"string value":          inValue(bad(&commonpb.AnyValue{}, 1)),
		"string in an array":    inValue(in(5, in(1, bad(&commonpb.AnyValue{}, 1)))),
		"key in a map":          inValue(in(6, in(1, bad(&commonpb.KeyValue{}, 1)))),
		"string value in a map": inValue(in(6, in(1, in(2, bad(&commonpb.AnyValue{}, 1))))),
	} {
		t.Run(name, func(t *testing.T) {
			if proto.Unmarshal(tc, &coltracepb.ExportTraceServiceRequest{}) == nil {
				t.Fatal("the library takes it: the test is wrong")
			}
			clean, report, err := otlpwire.Clean(tc, otlpwire.Limits{})
			if err != nil || report.RepairedStrings != 1 {
				t.Fatalf("%+v, %v", report, err)
			}
			if !strings.Contains(string(clean), "a\uFFFDb\uFFFD") {
				t.Errorf("not repaired: %q", clean)
			}
			if err := proto.Unmarshal(clean, &coltracepb.ExportTraceServiceRequest{}); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestCleanMergesWhatRepeats: in protobuf the last one of a singular field holds, and messages are merged.
func TestCleanMergesWhatRepeats(t *testing.T) {
	field := func(number protowire.Number, parts ...proto.Message) (b []byte) {
		for _, part := range parts {
			b = protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), marshal(t, part))
		}
		return b
	}
	named := func(name string, attributes ...*commonpb.KeyValue) *commonpb.InstrumentationScope {
		return &commonpb.InstrumentationScope{Name: name, Attributes: attributes}
	}
	valued := func(value *commonpb.AnyValue) proto.Message { return &commonpb.KeyValue{Key: "k", Value: value} }
	in := func(number protowire.Number, content []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), content)
	}
	attribute := func(values ...proto.Message) []byte { return in(1, in(1, in(1, field(2, values...)))) }
	for name, raw := range map[string][]byte{
		"a resource": in(1, field(1, &resourcepb.Resource{Attributes: empties(2), DroppedAttributesCount: 1},
			&resourcepb.Resource{Attributes: empties(1), DroppedAttributesCount: 2})),
		"a scope":         in(1, in(2, field(1, named("a", text("x", "1")), named("b"), named("", text("y", "2"))))),
		"a key":           in(1, in(1, append(field(1, valued(stringValue("1"))), field(1, valued(nil), valued(stringValue("2")))...))),
		"a value":         attribute(stringValue("1"), stringValue("2")),
		"arrays":          attribute(arrayValue(stringValue("1")), arrayValue(stringValue("2"))),
		"arrays in one":   attribute(arrayValue(arrayValue(stringValue("1"))), arrayValue(), arrayValue(arrayValue(stringValue("2")))),
		"maps":            attribute(mapValue(text("1", "")), mapValue(text("1", "2"))),
		"array, then map": attribute(arrayValue(stringValue("1")), mapValue(text("1", "2"))),
		"array, text, array": attribute(arrayValue(stringValue("1")), stringValue("x"), arrayValue(stringValue("2")),
			arrayValue(stringValue("3"))),
	} {
		t.Run(name, func(t *testing.T) {
			var want, got coltracepb.ExportTraceServiceRequest
			if err := proto.Unmarshal(raw, &want); err != nil {
				t.Fatal(err)
			}
			clean, _, err := otlpwire.Clean(raw, otlpwire.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if err := proto.Unmarshal(clean, &got); err != nil || !proto.Equal(&want, &got) {
				t.Errorf("got %v, %v, want %v", &got, err, &want)
			}
			if again, _, _ := otlpwire.Clean(clean, otlpwire.Limits{}); !same(again, clean) {
				t.Error("what was cleaned is not clean")
			}
		})
	}
}

func TestCleanRefusesWhatIsMalformed(t *testing.T) {
	for name, raw := range map[string]string{
		"text":                             "hello, world",
		"JSON":                             `{"resourceSpans":[]}`,
		"a length past the end":            "\x0a\x05\x0a",
		"no length":                        "\x0a",
		"field number 0":                   "\x02\x00",
		"a field number that is too large": "\x80\x80\x80\x80\x10\x00",
		"the end of no group":              "\x0c",
		"a group without end":              "\x1b\x08\x01",
		"wire type 7":                      "\x0f",
		"a varint of 11 bytes":             "\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		"malformed in a span":              "\x0a\x06\x12\x04\x12\x02\x0a\x05",
		"malformed in a value":             "\x0a\x0c\x12\x0a\x12\x08\x4a\x06\x0a\x01k\x12\x01\x0a",
	} {
		t.Run(name, func(t *testing.T) {
			if proto.Unmarshal([]byte(raw), &coltracepb.ExportTraceServiceRequest{}) == nil {
				t.Fatal("the library takes it: the test is wrong")
			}
			if _, _, err := otlpwire.Clean([]byte(raw), otlpwire.Limits{}); !errors.Is(err, otlpwire.ErrMalformed) {
				t.Errorf("got %v", err)
			}
		})
	}
}
