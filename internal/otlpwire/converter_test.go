package otlpwire_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
)

func intValue(n int64) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: n}}
}

func doubleValue(v float64) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: v}}
}

func boolValue(v bool) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: v}}
}

// only is the one span of a request.
func only(t *testing.T, request *coltracepb.ExportTraceServiceRequest) span.Span {
	t.Helper()
	var converter otlpwire.Converter
	spans := convert(t, &converter, marshal(t, request))
	if len(spans) != 1 {
		t.Fatalf("%d spans", len(spans))
	}
	return spans[0]
}

func TestConverterFillsEveryField(t *testing.T) {
	got := only(t, &coltracepb.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{{
		SchemaUrl: "https://opentelemetry.io/schemas/1.37.0",
		Resource:  &resourcepb.Resource{DroppedAttributesCount: 1, Attributes: []*commonpb.KeyValue{text("service.name", "chat-api"), integer("pid", 42)}},
		ScopeSpans: []*tracepb.ScopeSpans{{
			SchemaUrl: "https://opentelemetry.io/schemas/1.36.0",
			Scope: &commonpb.InstrumentationScope{Name: "openai", Version: "0.1", DroppedAttributesCount: 2,
				Attributes: []*commonpb.KeyValue{text("short", "yes")}},
			Spans: []*tracepb.Span{{
				TraceId: traceID, SpanId: spanID, ParentSpanId: []byte("parentid"), TraceState: "a=b", Flags: 0x301, Name: "chat gpt-4o",
				Kind: tracepb.Span_SPAN_KIND_CLIENT, StartTimeUnixNano: 1_795_461_163_000_000_001, EndTimeUnixNano: 1_795_461_164_999_999_999,
				Attributes: []*commonpb.KeyValue{text("gen_ai.request.model", "gpt-4o"), integer("tokens", 3027),
					{Key: "temperature", Value: doubleValue(1)}},
				DroppedAttributesCount: 3, DroppedEventsCount: 4, DroppedLinksCount: 5,
				Status: &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: "rate limited"},
				Events: []*tracepb.Span_Event{
					{Name: "first_token", TimeUnixNano: 1_795_461_163_000_000_002, Attributes: []*commonpb.KeyValue{integer("ms", 23)}},
					{TimeUnixNano: math.MaxUint64, DroppedAttributesCount: 6},
				},
				Links: []*tracepb.Span_Link{
					{TraceId: traceID, SpanId: spanID, TraceState: "c=d", Flags: 7, DroppedAttributesCount: 8,
						Attributes: []*commonpb.KeyValue{text("why", "retry")}},
					{TraceId: traceID, SpanId: spanID},
				},
			}},
		}},
	}}})
	want := span.Span{
		TraceID: "30313233343536373839616263646566", SpanID: "3031323334353637", ParentSpanID: "706172656e746964",
		ServiceName: "chat-api", Name: "chat gpt-4o", Kind: span.KindClient,
		StartTime: time.Unix(1_795_461_163, 1).UTC(), EndTime: time.Unix(1_795_461_164, 999_999_999).UTC(),
		StatusCode: span.StatusError, StatusMessage: "rate limited",
		Attributes: `{"gen_ai.request.model":"gpt-4o","tokens":3027,"temperature":1.0}`,
		Events: `[{"name":"first_token","time_nanos":1795461163000000002,"attributes":{"ms":23}},` +
			`{"name":"","time_nanos":18446744073709551615,"attributes":{},"dropped_attributes_count":6}]`,
		Links: `[{"trace_id":"30313233343536373839616263646566","span_id":"3031323334353637","trace_state":"c=d",` +
			`"attributes":{"why":"retry"},"flags":7,"dropped_attributes_count":8},` +
			`{"trace_id":"30313233343536373839616263646566","span_id":"3031323334353637"}]`,
		TraceState: "a=b", Flags: 0x301, DroppedAttributesCount: 3, DroppedEventsCount: 4, DroppedLinksCount: 5,
		ResourceAttributes: `{"service.name":"chat-api","pid":42}`, ResourceDroppedAttributesCount: 1,
		ResourceSchemaURL: "https://opentelemetry.io/schemas/1.37.0",
		ScopeName:         "openai", ScopeVersion: "0.1", ScopeAttributes: `{"short":"yes"}`, ScopeDroppedAttributesCount: 2,
		ScopeSchemaURL: "https://opentelemetry.io/schemas/1.36.0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestValuesInJSON shows how each kind of value is written, and which cannot be said exactly.
func TestValuesInJSON(t *testing.T) {
	for name, tc := range map[string]struct {
		value *commonpb.AnyValue
		want  string
		lossy bool
	}{
		"text":                {stringValue("東京 <b> \u2028 \x7f"), `"東京 <b> ` + "\u2028 \x7f" + `"`, false},
		"escapes":             {stringValue("\"\\/\n\r\t\b\f\x00\x1f"), `"\"\\/\n\r\t\u0008\u000c\u0000\u001f"`, false},
		"text like a number":  {stringValue("1"), `"1"`, false},
		"no text":             {stringValue(""), `""`, false},
		"true":                {boolValue(true), `true`, false},
		"false":               {boolValue(false), `false`, false},
		"zero":                {intValue(0), `0`, false},
		"beyond a double":     {intValue(1<<53 + 1), `9007199254740993`, false},
		"the smallest":        {intValue(math.MinInt64), `-9223372036854775808`, false},
		"a whole double":      {doubleValue(5), `5.0`, false},
		"no double":           {doubleValue(0), `0.0`, false},
		"minus zero":          {doubleValue(math.Copysign(0, -1)), `-0.0`, false},
		"a fraction":          {doubleValue(0.1), `0.1`, false},
		"a long double":       {doubleValue(123456789012345680), `123456789012345680.0`, false},
		"a large double":      {doubleValue(1e21), `1e+21`, false},
		"a small double":      {doubleValue(1e-7), `1e-07`, false},
		"the smallest double": {doubleValue(math.SmallestNonzeroFloat64), `5e-324`, false},
		"not a number":        {doubleValue(math.NaN()), `"NaN"`, true},
		"infinite":            {doubleValue(math.Inf(1)), `"Infinity"`, true},
		"minus infinite":      {doubleValue(math.Inf(-1)), `"-Infinity"`, true},
		"bytes":               {&commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: []byte("\xff\x00?")}}, `"/wA/"`, true},
		"empty":               {&commonpb.AnyValue{}, `null`, false},
		"missing":             {nil, `null`, true},
		"an index of a table": {&commonpb.AnyValue{Value: &commonpb.AnyValue_StringValueStrindex{StringValueStrindex: 1}}, `null`, true},
		"an array":            {arrayValue(stringValue("a"), intValue(1), &commonpb.AnyValue{}, arrayValue()), `["a",1,null,[]]`, false},
		"a map":               {mapValue(text("b", "1"), text("a", "2"), &commonpb.KeyValue{Key: "", Value: mapValue()}), `{"b":"1","a":"2","":{}}`, false},
		"a key twice":         {mapValue(text("a", "1"), text("b", "2"), text("a", "3")), `{"a":"1","b":"2"}`, true},
		"a key in another map": {mapValue(&commonpb.KeyValue{Key: "a", Value: mapValue(text("a", "1"))}, text("k", "2")),
			`{"a":{"a":"1"},"k":"2"}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			got := only(t, withResource(withValue(tc.value)))
			if want := `{"k":` + tc.want + `}`; got.Attributes != want || tc.lossy != (got.OTLP != "") {
				t.Errorf("got %s, want %s, OTLP %q", got.Attributes, want, got.OTLP)
			}
		})
	}
}

// withResource gives a request the resource and scope that nearly all have, without which OTLP is set.
func withResource(request *coltracepb.ExportTraceServiceRequest) *coltracepb.ExportTraceServiceRequest {
	request.ResourceSpans[0].Resource = &resourcepb.Resource{}
	request.ResourceSpans[0].ScopeSpans[0].Scope = &commonpb.InstrumentationScope{}
	return request
}

// TestRepeatedKeys: also among many keys is one found that repeats.
func TestRepeatedKeys(t *testing.T) {
	for _, n := range []int{1, 2, 31, 32, 33, 34, 200} {
		s := &tracepb.Span{}
		for i := range n {
			s.Attributes = append(s.Attributes, text(strings.Repeat("k", i), "v"))
		}
		if got := only(t, withResource(withSpans(s))); got.OTLP != "" {
			t.Errorf("%d keys: one is said to repeat", n)
		}
		s.Attributes = append(s.Attributes, text(strings.Repeat("k", n/2), "again"))
		if got := only(t, withResource(withSpans(s))); got.OTLP == "" || strings.Contains(got.Attributes, "again") {
			t.Errorf("%d keys: that one repeats was not seen: %s", n, got.Attributes)
		}
	}
}

// TestWhatIsNotEscaped: a byte after one that is escaped is not taken for one.
func TestWhatIsNotEscaped(t *testing.T) {
	for size := range 12 {
		before, after := strings.Repeat("x", size), strings.Repeat("x", 12-size)
		s := only(t, withResource(withValue(stringValue(before+`"#\]`+after))))
		if want := before + `\"#\\]` + after; !strings.Contains(s.Attributes, want) {
			t.Errorf("%s does not have %s", s.Attributes, want)
		}
	}
}

// TestEscapesAtEveryPlace: text is looked at eight bytes at a time.
func TestEscapesAtEveryPlace(t *testing.T) {
	for _, special := range []string{`"`, `\`, "\n", "\x01", "\x1f", "é", "\x7f", " ", "!", "#", "[", "]"} {
		for size := range 20 {
			for at := range size + 1 {
				value := strings.Repeat("x", at) + special + strings.Repeat("é", size-at)
				s := only(t, withResource(withValue(stringValue(value))))
				got := decode(t, &s).GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()[0].GetAttributes()[0].GetValue().GetStringValue()
				if got != value {
					t.Fatalf("%q became %q by %s", value, got, s.Attributes)
				}
			}
		}
	}
}

// TestWhatColumnsCannotSay: then the nearest is in the columns, and OTLP is set.
func TestWhatColumnsCannotSay(t *testing.T) {
	last := time.Unix(9223372035, 999_999_999).UTC()
	for name, tc := range map[string]struct {
		sent *tracepb.Span
		is   func(*span.Span) bool
	}{
		"a time after 2262":    {&tracepb.Span{StartTimeUnixNano: math.MaxInt64}, func(s *span.Span) bool { return s.StartTime.Equal(last) }},
		"the last time":        {&tracepb.Span{EndTimeUnixNano: math.MaxUint64}, func(s *span.Span) bool { return s.EndTime.Equal(last) }},
		"a kind of the future": {&tracepb.Span{Kind: 128}, func(s *span.Span) bool { return s.Kind == 127 }},
		"a negative kind":      {&tracepb.Span{Kind: -129}, func(s *span.Span) bool { return s.Kind == -128 }},
		"a status code":        {&tracepb.Span{Status: &tracepb.Status{Code: 300}}, func(s *span.Span) bool { return s.StatusCode == 127 }},
		"a parent of zeros":    {&tracepb.Span{ParentSpanId: make([]byte, 8)}, (*span.Span).IsRoot},
	} {
		t.Run(name, func(t *testing.T) {
			s := only(t, withResource(withSpans(tc.sent)))
			if !tc.is(&s) || s.OTLP == "" {
				t.Errorf("%+v", s)
			}
		})
	}
	exact := only(t, withResource(withSpans(&tracepb.Span{Kind: 127, StartTimeUnixNano: uint64(last.UnixNano())})))
	if exact.OTLP != "" {
		t.Error("what columns can say needs no OTLP")
	}
}

func TestServiceName(t *testing.T) {
	for name, tc := range map[string]struct {
		resource *resourcepb.Resource
		want     string
	}{
		"named":       {&resourcepb.Resource{Attributes: []*commonpb.KeyValue{text("a", "b"), text("service.name", "checkout")}}, "checkout"},
		"no resource": {nil, "unknown_service"},
		"not named":   {&resourcepb.Resource{Attributes: []*commonpb.KeyValue{text("service.namespace", "shop")}}, "unknown_service"},
		"empty":       {&resourcepb.Resource{Attributes: []*commonpb.KeyValue{text("service.name", "")}}, "unknown_service"},
		"a number":    {&resourcepb.Resource{Attributes: []*commonpb.KeyValue{integer("service.name", 1)}}, "unknown_service"},
		"twice":       {&resourcepb.Resource{Attributes: []*commonpb.KeyValue{text("service.name", "a"), text("service.name", "b")}}, "a"},
	} {
		t.Run(name, func(t *testing.T) {
			request := withSpans(&tracepb.Span{})
			request.ResourceSpans[0].Resource = tc.resource
			if got := only(t, request); got.ServiceName != tc.want {
				t.Errorf("got %q, want %q", got.ServiceName, tc.want)
			}
		})
	}
}

// TestConverterKeepsNothingOfTheRequest: the memory of a request is used for the next one.
func TestConverterKeepsNothingOfTheRequest(t *testing.T) {
	var converter otlpwire.Converter
	request := withSpans(&tracepb.Span{Name: "first"})
	request.ResourceSpans[0].Resource = &resourcepb.Resource{Attributes: []*commonpb.KeyValue{text("service.name", "one")}}
	data := marshal(t, request)
	first := convert(t, &converter, data)[0]
	want := first
	want.Name, want.ServiceName = strings.Clone(first.Name), strings.Clone(first.ServiceName)

	request.ResourceSpans[0].ScopeSpans[0].Spans[0].Name = "other"
	request.ResourceSpans[0].Resource.Attributes[0] = text("service.name", "two")
	copy(data, marshal(t, request))
	second := convert(t, &converter, data)[0]
	if diff := cmp.Diff(want, first); diff != "" {
		t.Error(diff)
	}
	if second.ServiceName != "two" || second.ResourceAttributes != `{"service.name":"two"}` || second.Name != "other" {
		t.Errorf("texts of another resource: %+v", second)
	}
}

// TestSpansStops where the caller does, and tells where the data is malformed.
func TestSpansStops(t *testing.T) {
	data := marshal(t, withSpans(&tracepb.Span{}, &tracepb.Span{}))
	n := 0
	for _, err := range otlpwire.Spans(data) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		break
	}
	if n != 1 {
		t.Errorf("%d spans after break", n)
	}
	for name, broken := range map[string][]byte{
		"request":        {0x0a, 0x05},
		"resource spans": wrap([]byte{0x12, 0x05}, 1), "scope spans": wrap([]byte{0x12, 0x05}, 1, 2), "span": wrap([]byte{0x0a, 0x05}, 1, 2, 2),
	} {
		var last error
		for s, err := range otlpwire.Spans(broken) {
			if last = err; s != nil {
				t.Errorf("%s: a span", name)
			}
		}
		if last == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
