package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanlake/spanlake/internal/api"
	"github.com/spanlake/spanlake/internal/span"
)

// decoded is JSON with its numbers as they were sent.
func decoded(t *testing.T, text string) (v any) {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// The form is what the front end of Junjo AI Studio parses: docs/api.md says where that was read.
func TestSpansForExistingFrontEnds(t *testing.T) {
	s, _ := searching(t, append(exampleSpans(), foreign()))
	const (
		root = `{"trace_id":"00000000000000000000000000000001","span_id":"0000000000000001","parent_span_id":null,"service_name":"shop/é ..","name":"POST /cart",
			"kind":"SERVER","start_time":"2026-11-29T08:00:00.123456Z","end_time":"2026-11-29T08:00:00.373456Z","status_code":"2","status_message":"no <stock>",
			"attributes_json":{"http.response.status_code":500,"big":9007199254740993},
			"events_json":[{"name":"exception","timeUnixNano":1795939200123456789,"attributes":{"exception.type":"E"},"droppedAttributesCount":2}],
			"links_json":[{"trace_id":"00000000000000000000000000000009","span_id":"0000000000000009"}],"trace_flags":257,"trace_state":"a=b"}`
		call = `{"trace_id":"00000000000000000000000000000001","span_id":"0000000000000002","parent_span_id":"0000000000000001","service_name":"llm","name":"chat",
			"kind":"CLIENT","start_time":"2026-11-29T08:00:00.133456Z","end_time":"2026-11-29T08:00:00.233456Z","status_code":"1","status_message":"",
			"attributes_json":{"gen_ai.operation.name":"chat"},"events_json":[],"links_json":[],"trace_flags":0,"trace_state":null}`
		workflow = `{"trace_id":"00000000000000000000000000000002","span_id":"0000000000000003","parent_span_id":null,"service_name":"llm","name":"chat",
			"kind":"INTERNAL","start_time":"2026-11-29T08:01:00.123456Z","end_time":"2026-11-29T08:01:01.123456Z","status_code":"0","status_message":"",
			"attributes_json":{"junjo.span_type":"workflow"},"events_json":[],"links_json":[],"trace_flags":0,"trace_state":null}`
		ofAnother = `{"trace_id":"trace/1","span_id":"span #1","parent_span_id":null,"service_name":"llm","name":"chat",
			"kind":"INTERNAL","start_time":"2026-11-29T08:01:00.123456Z","end_time":"2026-11-29T08:01:01.123456Z","status_code":"0","status_message":"",
			"attributes_json":{},"events_json":[{"name":"e","timeUnixNano":5,"attributes":{}},{"name":"","timeUnixNano":6,"attributes":{}}],"links_json":[],
			"trace_flags":0,"trace_state":null}`
	)
	shop := url.PathEscape("shop/é ..")
	for path, want := range map[string]string{
		"/services":                                                     `["llm","shop/é .."]`,
		"/services/" + shop + "/spans":                                  "[" + root + "]",
		"/services/llm/spans":                                           "[" + workflow + "," + ofAnother + "," + call + "]",
		"/services/llm/spans?limit=1":                                   "[" + workflow + "]",
		"/services/none/spans":                                          "[]",
		"/services/llm/spans/root":                                      "[" + workflow + "," + ofAnother + "]",
		"/services/llm/spans/root?has_llm=true":                         "[]",
		"/services/" + shop + "/spans/root?has_llm=true":                "[" + root + "]",
		"/services/llm/workflows?limit=10000":                           "[" + workflow + "]",
		"/traces/00000000000000000000000000000001/spans":                "[" + call + "," + root + "]",
		"/traces/trace%2F1/spans":                                       "[" + ofAnother + "]",
		"/traces/trace%2F1/spans/span%20%231":                           ofAnother,
		"/traces/" + id(16, 1) + "/spans/" + id(8, 1):                   root,
		"/traces/" + id(16, 1) + "/spans/" + id(8, 3):                   "404",
		"/traces/" + strings.Repeat("%2E", 2) + "/spans":                "404",
		"/traces/" + strings.Repeat("a", 300) + "/spans":                "404",
		"/services/" + url.PathEscape("a'; DROP--") + "/spans":          "[]",
		"/services/" + strings.Repeat("%F0%9F%98%80", 4) + "/workflows": "[]",
	} {
		a := s.do(t, http.MethodGet, "/api/v1/observability"+path, "")
		if want == "404" {
			if a.status != http.StatusNotFound || !strings.Contains(a.body, "was not found") {
				t.Errorf("%s: %d %s", path, a.status, a.body)
			}
			continue
		}
		if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/json" || !strings.Contains(a.header.Get("Spanlake-Completeness"), `"unreachable"`) {
			t.Errorf("%s: %d %v %s", path, a.status, a.header, a.body)
			continue
		}
		if diff := cmp.Diff(decoded(t, want), decoded(t, a.body)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}

// Whatever a file of another writer has, the answer is one that can be read.
func TestOddSpansForExistingFrontEnds(t *testing.T) {
	odd := exampleSpans()[0]
	odd.Attributes, odd.Events, odd.Links = `{"a":1`, `{"name":"no array"}`, `[1,{"a":{"b":[1]}},null]`
	odd.StartTime = odd.StartTime.AddDate(20_000, 0, 0)
	odd.Kind, odd.StatusCode = 9, -1
	s, _ := searching(t, []span.Span{odd})
	a := s.do(t, http.MethodGet, "/api/v1/observability/traces/"+odd.TraceID+"/spans/"+odd.SpanID, "")
	got, ok := decoded(t, a.body).(map[string]any)
	if !ok {
		t.Fatalf("%d %s", a.status, a.body)
	}
	for field, want := range map[string]string{
		"attributes_json": `{}`, "events_json": `[]`, "links_json": `[{"a":{"b":[1]}}]`, "start_time": `"9999-12-31T23:59:59.999999Z"`, "kind": `"KIND(9)"`, "status_code": `"-1"`,
	} {
		if diff := cmp.Diff(decoded(t, want), got[field]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", field, diff)
		}
	}
}

func TestTracesInOTLP(t *testing.T) {
	s, _ := searching(t, append(exampleSpans(), foreign()))
	path := "/api/v1/traces/" + id(16, 1)
	const want = `{"resourceSpans":[
		{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop/é .."}}]},"scopeSpans":[{"scope":{},"spans":[{
			"traceId":"00000000000000000000000000000001","spanId":"0000000000000001","traceState":"a=b","flags":257,"name":"POST /cart","kind":2,
			"startTimeUnixNano":"1795939200123456789","endTimeUnixNano":"1795939200373456789",
			"attributes":[{"key":"http.response.status_code","value":{"intValue":"500"}},{"key":"big","value":{"intValue":"9007199254740993"}}],
			"events":[{"timeUnixNano":"1795939200123456789","name":"exception","attributes":[{"key":"exception.type","value":{"stringValue":"E"}}],"droppedAttributesCount":2}],
			"links":[{"traceId":"00000000000000000000000000000009","spanId":"0000000000000009"}],"status":{"message":"no <stock>","code":2}}]}]},
		{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"llm"}}]},"scopeSpans":[{"scope":{},"spans":[{
			"traceId":"00000000000000000000000000000001","spanId":"0000000000000002","parentSpanId":"0000000000000001","name":"chat","kind":3,
			"startTimeUnixNano":"1795939200133456789","endTimeUnixNano":"1795939200233456789",
			"attributes":[{"key":"gen_ai.operation.name","value":{"stringValue":"chat"}}],"status":{"code":1}}]}]}]}`
	a := s.do(t, http.MethodGet, path, "")
	if diff := cmp.Diff(decoded(t, want), decoded(t, a.body)); diff != "" || a.header.Get("Content-Type") != "application/json" || a.header.Get("Vary") != "Accept" {
		t.Errorf("%v (-want +got):\n%s", a.header, diff)
	}
	for accept, want := range map[string]string{
		"":                       "application/json",
		"*/*":                    "application/json",
		"application/*":          "application/json",
		"application/x-protobuf": "application/x-protobuf",
		"application/json;q=0.5, application/x-protobuf;q=0.9": "application/x-protobuf",
		"application/*;q=0.9, application/json;q=0.1":          "application/x-protobuf",
		"text/html, */*;q=0.1":                                 "application/json",
		"text/html":                                            "",
		"application/json;q=0":                                 "",
		"nonsense":                                             "",
	} {
		a := s.do(t, http.MethodGet, path, "", header("Accept", accept))
		if want == "" && (a.status != http.StatusNotAcceptable || !strings.Contains(a.body, "allowed are application/json and application/x-protobuf")) ||
			want != "" && (a.status != http.StatusOK || a.header.Get("Content-Type") != want) {
			t.Errorf("%q: %d %s %s, want %q", accept, a.status, a.header.Get("Content-Type"), a.body, want)
		}
	}
}

// Few answers in OTLP are made at once, so that memory has a bound; the others wait for their turn.
func TestAnswersInOTLPAreFew(t *testing.T) {
	s, st := searching(t, exampleSpans())
	asking, goOn, done := make(chan struct{}, 20), make(chan struct{}), make(chan int, 20)
	st.fail = func(context.Context) error {
		asking <- struct{}{}
		<-goOn
		return nil
	}
	for range 20 {
		go func() { done <- s.do(t, http.MethodGet, "/api/v1/traces/"+id(16, 1), "").status }()
	}
	for range 4 {
		<-asking
	}
	select {
	case <-asking:
		t.Error("more than 4 are made at once")
	case <-time.After(200 * time.Millisecond):
	}
	close(goOn)
	for range 20 {
		if status := <-done; status != http.StatusOK {
			t.Errorf("status %d", status)
		}
	}
}

// TestSpansThatOTLPCannotSay: those that can be said are, and the answer says that others are missing.
func TestSpansThatOTLPCannotSay(t *testing.T) {
	half := foreign()
	half.TraceID = id(16, 2)
	s, st := searching(t, append(exampleSpans(), foreign(), half))
	a := s.do(t, http.MethodGet, "/api/v1/traces/"+id(16, 2), "")
	if reason := a.header.Get("Spanlake-Completeness"); a.status != http.StatusOK || strings.Count(a.body, `"spanId"`) != 1 ||
		!strings.Contains(reason, `"truncated":true`) || !strings.Contains(reason, "1 spans were left out, such as: span span #1") {
		t.Errorf("%d %s %s", a.status, a.header, a.body)
	}
	for _, path := range []string{"/traces/trace%2F1"} {
		if a := s.do(t, http.MethodGet, "/api/v1"+path, ""); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "urn:spanlake:problem:not-in-otlp") ||
			!strings.Contains(a.body, "column trace_id") {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	n := 0
	complete, err := s.client(t, "").Queries().Export(t.Context(), span.Filter{}, func(span.Span) error { n++; return nil })
	if err != nil || n != 3 || !complete.Truncated || !strings.Contains(complete.Reason, "2 spans were left out") {
		t.Errorf("export: %d spans, %+v, %v", n, complete, err)
	}
	st.complete.Truncated, st.complete.Reason = true, "it was too much"
	a = s.do(t, http.MethodGet, "/api/v1/traces/"+id(16, 2), "")
	if reason := a.header.Get("Spanlake-Completeness"); !strings.Contains(reason, "it was too much; 1 spans were left out") {
		t.Errorf("both reasons: %s", reason)
	}
}

func TestStatistics(t *testing.T) {
	s, _ := searching(t, exampleSpans())
	const none = `"avg_duration_ns":null,"p50_duration_ns":null,"p95_duration_ns":null,"p99_duration_ns":null`
	const lacks = `"completeness":{"hot":{"state":"unreachable","address":"a:1","error":"é\n\u2028"},"files_pending":1,"files_failed":2,"truncated":false}`
	for path, want := range map[string]string{
		"/stats/daily?service=llm": `{"statistics":[{"service_name":"llm","start":"2026-11-29T00:00:00Z","span_count":2,"error_count":0,` + none + `}],` + lacks + `}`,
		"/stats/daily?service=x":   `{"statistics":[],` + lacks + `}`,
		// The range cuts the step: the rate is of the 20 seconds in it.
		"/stats/red?from=2026-11-29T07:59:50Z&until=2026-11-29T08:00:10Z&step=1m&name=POST%20/cart": `{"from":"2026-11-29T07:59:50Z","until":"2026-11-29T08:00:10Z","step_seconds":60,
			"statistics":[{"service_name":"shop/é ..","name":"POST /cart","start":"2026-11-29T08:00:00Z","span_count":1,"error_count":1,` + none + `,
			"rate_per_second":0.1,"errors_per_second":0.1,"error_share":1}],` + lacks + `}`,
		"/stats/red?from=2026-11-29T08:00:00Z&until=2026-11-29T09:00:00Z&name=none": `{"from":"2026-11-29T08:00:00Z","until":"2026-11-29T09:00:00Z","step_seconds":60,"statistics":[],` + lacks + `}`,
		"/stats/red?from=2026-11-29T08:00:00Z&until=2026-11-29T08:00:50Z&name=none": `{"from":"2026-11-29T08:00:00Z","until":"2026-11-29T08:00:50Z","step_seconds":1,"statistics":[],` + lacks + `}`,
		"/stats/red?from=2000-01-01T00:00:00Z&until=2026-11-29T08:00:00Z&name=none": `{"from":"2000-01-01T00:00:00Z","until":"2026-11-29T08:00:00Z","step_seconds":14169600,"statistics":[],` + lacks + `}`,
		"/dependencies?from=2026-11-29T00:00:00Z&until=2026-11-30T00:00:00Z":        `{"from":"2026-11-29T00:00:00Z","until":"2026-11-30T00:00:00Z","dependencies":[{"parent":"shop/é ..","child":"llm","calls":1}],` + lacks + `}`,
		"/services/llm/operations": `{"operations":[{"name":"chat","kind":"internal"},{"name":"chat","kind":"client"}],` + lacks + `}`,
		"/services/x/operations":   `{"operations":[],` + lacks + `}`,
	} {
		a := s.do(t, http.MethodGet, "/api/v1"+path, "")
		if diff := cmp.Diff(decoded(t, want), decoded(t, a.body)); diff != "" {
			t.Errorf("%s: %d (-want +got):\n%s", path, a.status, diff)
		}
	}
}

// A server without Queries has none of their routes, and lists services from its Catalog.
func TestWithoutQueries(t *testing.T) {
	s := start(t, newMemory(), api.Options{})
	if a := s.do(t, http.MethodGet, "/api/v1/services", ""); a.status != http.StatusOK || a.header.Get("Spanlake-Completeness") != "" {
		t.Errorf("services: %d %s", a.status, a.body)
	}
	for _, path := range []string{"/traces", "/tail", "/stats/red", "/observability/services"} {
		if a := s.do(t, http.MethodGet, "/api/v1"+path, ""); a.status != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
}
