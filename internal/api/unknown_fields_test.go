package api_test

import (
	"net/http"
	"strings"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
)

// withGroup is a span as a sender's extension has it: with a field that OTLP does not know, which is a group.
func withGroup(t *testing.T, s span.Span) span.Span {
	t.Helper()
	data, err := otlpwire.Encode(&s)
	if err != nil {
		t.Fatal(err)
	}
	var message tracepb.TracesData
	if err := proto.Unmarshal(data, &message); err != nil {
		t.Fatal(err)
	}
	const unknown = 1000
	group := protowire.AppendTag(nil, unknown, protowire.StartGroupType)
	group = protowire.AppendVarint(protowire.AppendTag(group, 1, protowire.VarintType), 7)
	group = protowire.AppendTag(group, unknown, protowire.EndGroupType)
	message.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()[0].ProtoReflect().SetUnknown(group)
	if data, err = proto.Marshal(&message); err != nil {
		t.Fatal(err)
	}
	s.OTLP = string(data)
	return s
}

// TestUnknownFieldsEndNoAnswer: pdata refuses groups, so that one span of an extension would take the JSON of a whole trace with it.
func TestUnknownFieldsEndNoAnswer(t *testing.T) {
	spans := exampleSpans()[:2]
	spans[1] = withGroup(t, spans[1])
	s, _ := searching(t, spans)
	for _, path := range []string{"/api/v1/traces/" + spans[0].TraceID, "/api/v1/spans/" + spans[1].SpanID} {
		a := s.do(t, http.MethodGet, path, "")
		if a.status != http.StatusOK || !strings.Contains(a.body, `"name":"`+spans[1].Name+`"`) {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if a, _, err := s.exported(t); err != nil || strings.Count(a.body, `"startTimeUnixNano"`) != len(spans) {
		t.Errorf("%v, %s", err, a.body)
	}
	// Protobuf has what OTLP does not know.
	a := s.do(t, http.MethodGet, "/api/v1/traces/"+spans[0].TraceID, "", func(r *http.Request) { r.Header.Set("Accept", "application/x-protobuf") })
	var message tracepb.TracesData
	if err := proto.Unmarshal([]byte(a.body), &message); err != nil {
		t.Fatal(err)
	}
	unknown := 0
	for _, resource := range message.GetResourceSpans() {
		for _, one := range resource.GetScopeSpans()[0].GetSpans() {
			unknown += len(one.ProtoReflect().GetUnknown())
		}
	}
	if unknown == 0 {
		t.Errorf("protobuf has no unknown field: %q", a.body)
	}
}
