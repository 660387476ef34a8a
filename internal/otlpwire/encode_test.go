package otlpwire_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
)

func foreign() span.Span {
	return span.Span{
		TraceID: "30313233343536373839616263646566", SpanID: "3031323334353637",
		StartTime: time.Unix(1, 2), EndTime: time.Unix(3, 4),
	}
}

// TestEncodeSpansOfOtherWriters: the texts are those of files that the existing ingestion service has written.
func TestEncodeSpansOfOtherWriters(t *testing.T) {
	s := foreign()
	s.ServiceName, s.Name, s.Kind, s.StatusCode, s.StatusMessage = "tool runner/é", "chat gpt-4o", 3, 2, "rate limited"
	s.Attributes = `{"gen_ai.request.temperature":0.7,"gen_ai.usage.input_tokens":3027,"input.value":"\u003cb\u003e","score":1,` +
		` "stop":["\n","END"],"stream":false,"huge":18446744073709551616,"e":1E2,"n":null,"m":{"a":[{}]}}`
	s.Events = `[{"name":"first_token","time_nanos":1795461162170454336,"attributes":{"ms":23},"added":[1]}]`
	s.ResourceAttributes = `{"deployment.environment":"prod","pid":42}`
	s.Links = `null`
	want := &tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{
			text("deployment.environment", "prod"), integer("pid", 42), text("service.name", "tool runner/é")}},
		ScopeSpans: []*tracepb.ScopeSpans{{Scope: &commonpb.InstrumentationScope{}, Spans: []*tracepb.Span{{
			TraceId: traceID, SpanId: spanID, Name: "chat gpt-4o", Kind: 3, StartTimeUnixNano: 1_000_000_002, EndTimeUnixNano: 3_000_000_004,
			Status: &tracepb.Status{Code: 2, Message: "rate limited"},
			Attributes: []*commonpb.KeyValue{
				{Key: "gen_ai.request.temperature", Value: doubleValue(0.7)}, integer("gen_ai.usage.input_tokens", 3027),
				text("input.value", "<b>"), integer("score", 1), {Key: "stop", Value: arrayValue(stringValue("\n"), stringValue("END"))},
				{Key: "stream", Value: boolValue(false)}, {Key: "huge", Value: doubleValue(18446744073709551616)},
				{Key: "e", Value: doubleValue(100)}, {Key: "n", Value: &commonpb.AnyValue{}},
				{Key: "m", Value: mapValue(&commonpb.KeyValue{Key: "a", Value: arrayValue(mapValue())})},
			},
			Events: []*tracepb.Span_Event{{Name: "first_token", TimeUnixNano: 1795461162170454336, Attributes: []*commonpb.KeyValue{integer("ms", 23)}}},
		}}}},
	}}}
	if got := decode(t, &s); !proto.Equal(want, got) {
		t.Errorf("got %s\nwant %s", prototext.Format(got), prototext.Format(want))
	}
}

func TestEncodeTellsTheColumn(t *testing.T) {
	for _, tc := range []struct {
		column string
		set    func(*span.Span)
	}{
		{"trace_id", func(s *span.Span) { s.TraceID = "" }},
		{"trace_id", func(s *span.Span) { s.TraceID = "4bf92f35-77b3-4da6-a3ce-929d0e0e4736" }},
		{"trace_id", func(s *span.Span) { s.TraceID = s.SpanID }},
		{"span_id", func(s *span.Span) { s.SpanID = "xyz" }},
		{"parent_span_id", func(s *span.Span) { s.ParentSpanID = "0" }},
		{"start_time", func(s *span.Span) { s.StartTime = time.Unix(0, -1) }},
		{"end_time", func(s *span.Span) { s.EndTime = time.Time{} }},
		{"end_time", func(s *span.Span) { s.EndTime = time.Date(2600, 1, 1, 0, 0, 0, 0, time.UTC) }},
		{"attributes", func(s *span.Span) { s.Attributes = `{` }},
		{"attributes", func(s *span.Span) { s.Attributes = `[]` }},
		{"attributes", func(s *span.Span) { s.Attributes = `true` }},
		{"attributes", func(s *span.Span) { s.Attributes = `{} {}` }},
		{"attributes", func(s *span.Span) { s.Attributes = `{"a":]` }},
		{"attributes", func(s *span.Span) { s.Attributes = `{"a":` + strings.Repeat("[", 1_000_000) }},
		{"attributes", func(s *span.Span) { s.Attributes = strings.Repeat(`{"a":`, 1_000_000) }},
		{"events", func(s *span.Span) { s.Events = `{}` }},
		{"events", func(s *span.Span) { s.Events = `[1]` }},
		{"events", func(s *span.Span) { s.Events = `[{"name":1}]` }},
		{"events", func(s *span.Span) { s.Events = `[{"time_nanos":-1}]` }},
		{"events", func(s *span.Span) { s.Events = `[{"time_nanos":"now"}]` }},
		{"events", func(s *span.Span) { s.Events = `[{"attributes":[]}]` }},
		{"events", func(s *span.Span) { s.Events = `[{"added":` + strings.Repeat("[", 1_000_000) }},
		{"links", func(s *span.Span) { s.Links = `[{"trace_id":"x"}]` }},
		{"links", func(s *span.Span) { s.Links = `[{"flags":4294967296}]` }},
		{"resource_attributes", func(s *span.Span) { s.ResourceAttributes = `x` }},
		{"scope_attributes", func(s *span.Span) { s.ScopeAttributes = `"` }},
	} {
		s := foreign()
		tc.set(&s)
		_, err := otlpwire.Encode(&s)
		var column *otlpwire.ColumnError
		if !errors.As(err, &column) || column.Column != tc.column || column.SpanID != s.SpanID || column.Unwrap() == nil {
			t.Errorf("%s: got %v", tc.column, err)
		} else if !strings.Contains(err.Error(), tc.column) {
			t.Errorf("the message does not name %s: %v", tc.column, err)
		}
	}
}

// FuzzEncode reads JSON of other writers.
func FuzzEncode(f *testing.F) {
	f.Add(`{"a":[1,2.0,null,true,{"b":"c"}]}`, `[{"name":"x","time_nanos":1,"attributes":{}}]`, `[{"trace_id":"","span_id":""}]`)
	f.Fuzz(func(t *testing.T, attributes, events, links string) {
		s := foreign()
		s.Attributes, s.Events, s.Links = attributes, events, links
		b, err := otlpwire.Encode(&s)
		if err != nil {
			if _, ok := errors.AsType[*otlpwire.ColumnError](err); !ok {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		if attributes != "" && !json.Valid([]byte(attributes)) {
			t.Fatalf("%q was taken for JSON", attributes)
		}
		clean, report, err := otlpwire.Clean(b, otlpwire.Limits{})
		if err != nil || report.Accepted != 1 {
			t.Fatalf("%+v, %v", report, err)
		}
		var converter otlpwire.Converter
		if spans := convert(t, &converter, clean); len(spans) != 1 {
			t.Fatalf("%d spans", len(spans))
		}
	})
}
