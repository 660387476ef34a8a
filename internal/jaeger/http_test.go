package jaeger_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/spanlake/spanlake/internal/jaeger"
	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
)

func TestAnswersOverHTTPAreThoseOfJaeger(t *testing.T) {
	for name, path := range map[string]string{
		"services.json":            "/api/services",
		"operation_names.json":     "/api/services/frontend/operations",
		"no_operations.json":       "/api/services/nobody%2Fhere/operations",
		"operations.json":          "/api/operations?service=frontend",
		"operations_of_kind.json":  "/api/operations?service=frontend&spanKind=server",
		"trace_failed.json":        "/api/traces/" + failed + "?start=1&end=2&raw=true&prettyPrint=true",
		"trace_job.json":           "/api/traces/" + job,
		"search.json":              "/api/traces?service=frontend&limit=20&lookback=custom&" + around(),
		"search_none.json":         "/api/traces?service=frontend&operation=nothing&" + around(),
		"dependencies.json":        "/api/dependencies?endTs=1795525200000&lookback=86400000",
		"dependencies_of_one.json": "/api/dependencies?endTs=1795525200000&lookback=86400000&service=db",
		"ids.json":                 "/api/traces?traceID=" + fine + "&traceID=1234",
		"error_no_trace.json":      "/api/traces/1234",
		"error_no_id.json":         "/api/traces/xyz",
	} {
		t.Run(name, func(t *testing.T) {
			status, body := get(t, loaded(t), jaeger.Options{}, path)
			want := http.StatusOK
			switch name {
			case "error_no_trace.json":
				want = http.StatusNotFound
			case "error_no_id.json":
				want = http.StatusBadRequest
			}
			if status != want {
				t.Errorf("status %d, want %d: %s", status, want, body)
			}
			golden(t, name, body)
		})
	}
}

// around is a range with all spans.
func around() string { return bounds(noon.Add(-time.Hour), noon.Add(time.Hour)) }

func bounds(start, end time.Time) string {
	return fmt.Sprintf("start=%d&end=%d", start.UnixMicro(), end.UnixMicro())
}

// found are the ids of the traces of an answer, in their order, and its errors.
func found(t *testing.T, body []byte) (ids, errs []string) {
	t.Helper()
	var answer struct {
		Data []struct {
			TraceID string
			Spans   []struct{ TraceID string }
		}
		Errors []struct{ Msg string }
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	if answer.Data == nil {
		t.Errorf("no list of data in %s", body)
	}
	for _, trace := range answer.Data {
		for _, s := range trace.Spans {
			if s.TraceID != trace.TraceID {
				t.Errorf("a span of trace %s in trace %s", s.TraceID, trace.TraceID)
			}
		}
		ids = append(ids, strings.Repeat("0", 32-len(trace.TraceID))+trace.TraceID)
	}
	for _, e := range answer.Errors {
		errs = append(errs, e.Msg)
	}
	return ids, errs
}

func TestSearch(t *testing.T) {
	for query, want := range map[string][]string{
		"service=frontend":                 {fine, failed},
		"service=frontend&limit=1":         {fine},
		"":                                 {fine, failed, job},
		"service=cart":                     {failed},
		"service=unknown_service":          {job},
		"service=cart&operation=GET+/cart": nil, // that is a span of another service
		"service=frontend&operation=GET+/cart&minDuration=100ms":                {failed},
		"service=frontend&operation=GET+/cart&maxDuration=100ms":                {fine},
		"service=frontend&minDuration=250.999us&maxDuration=1s":                 {fine, failed},
		`service=frontend&tags={"error":"true"}`:                                {failed},
		`service=frontend&tags={"error":true}`:                                  {failed},
		`service=frontend&tags={"error":"none"}`:                                {fine}, // an attribute
		`service=frontend&tags={"error":"false"}`:                               nil,
		"service=frontend&tag=error:true&tag=otel.status_code:ok":               nil,
		"tag=error:true&tag=otel.status_code:ok&tag=otel.status_code:ok":        nil,
		"service=frontend&tag=otel.status_code:OK":                              {fine},
		"service=frontend&tag=otel.status_code:UNSET":                           {fine, failed},
		"service=frontend&tag=span.kind:client":                                 {failed},
		"service=frontend&tag=span.kind:client&tag=span.kind:cart":              nil,
		"service=frontend&tag=span.kind:client&tags={\"span.kind\":\"server\"}": nil,
		"service=worker&tag=span.kind:unspecified":                              {job},
		"tag=messaging.system:kafka":                                            {job},
		"tag=http.status_code:500":                                              {failed}, // as Jaeger calls http.response.status_code
		`tags={"http.response.status_code":"500"}`:                              {failed},
		`tags={"http.response.status_code":500}`:                                {failed},
		"tag=user.id:42":                                                        {failed},
		"tag=user.id:43":                                                        {fine},
		"tag=retry:true":                                                        {failed},
		"tag=ratio:0.25":                                                        {failed},
		"tag=big:9007199254740993":                                              {failed},
		"tag=host.name:web-1&tag=user.id:42":                                    {failed}, // of the resource and of the span
		"tag=host.name:cart-7&tag=user.id:42":                                   nil,      // of different spans
		"tag=url.path:/cart&tag=error:true&service=frontend":                    {failed},
		bounds(noon, noon):                                                      {failed},
		bounds(noon.Add(time.Microsecond), noon.Add(time.Minute-1)):             {failed},
		bounds(noon.Add(-time.Hour), noon.Add(-time.Microsecond)):               {job},
		"traceID=a1b2c3d4e5f60718&traceID=" + fine:                              {failed, fine},
	} {
		t.Run(query, func(t *testing.T) {
			parameters, err := url.ParseQuery(query)
			if err != nil {
				t.Fatal(err)
			}
			if !parameters.Has("start") {
				query = parameters.Encode() + "&" + around()
			}
			status, body := get(t, loaded(t), jaeger.Options{}, "/api/traces?"+query)
			if status != http.StatusOK {
				t.Fatalf("status %d: %s", status, body)
			}
			if ids, errs := found(t, body); !slices.Equal(ids, want) || len(errs) > 0 {
				t.Errorf("found %v, want %v; errors %v", ids, want, errs)
			}
		})
	}
}

func TestWhatIsWrongWithAQuestionIsSaid(t *testing.T) {
	for path, want := range map[string]string{
		"/api/traces?limit=0":                               "limit",
		"/api/traces?limit=x":                               "limit",
		"/api/traces?limit=10001":                           "limit",
		"/api/traces?start=yesterday":                       "start",
		"/api/traces?end=-1":                                "end",
		"/api/traces?end=9223372036854775807":               "end",
		"/api/traces?minDuration=5":                         "minDuration",
		"/api/traces?minDuration=-5s":                       "minDuration",
		"/api/traces?maxDuration=-5s":                       "maxDuration",
		"/api/traces?minDuration=2s&maxDuration=1s":         "maxDuration",
		"/api/traces?tag=error":                             "key:value",
		"/api/traces?tag=:x":                                "must have a key",
		"/api/traces?tags=error%3Dtrue":                     "JSON",
		"/api/traces?tags=%7B%7D%7B%7D":                     "JSON",
		`/api/traces?tags=%7B%22a%22:%5B1%5D%7D`:            "text, a number or a bool",
		"/api/traces?tag=otel.scope.name:x":                 "otel.scope.name",
		"/api/traces?tag=w3c.tracestate:x":                  "cannot be searched",
		"/api/traces?traceID=" + strings.Repeat("a", 33):    "hex digits",
		"/api/traces?traceID=":                              "hex digits",
		"/api/traces?service=%zz":                           "query cannot be read",
		"/api/traces?" + strings.Repeat("traceID=1&", 1001): "at most 1000",
		"/api/operations":                                   "'service' is required",
		"/api/operations?service=%zz":                       "query cannot be read",
		"/api/dependencies?endTs=x":                         "milliseconds",
		"/api/dependencies?lookback=-1":                     "milliseconds",
		"/api/dependencies?lookback=9223372036854775":       "milliseconds",
		"/api/dependencies?endTs=%zz":                       "query cannot be read",
	} {
		status, body := get(t, loaded(t), jaeger.Options{}, path)
		var answer struct {
			Data   any
			Errors []struct {
				Code int
				Msg  string
			}
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			t.Fatalf("%s: %v in %s", path, err, body)
		}
		if status != http.StatusBadRequest || answer.Data != nil || len(answer.Errors) != 1 || answer.Errors[0].Code != status ||
			!strings.Contains(answer.Errors[0].Msg, want) {
			t.Errorf("%s: %d %s, want %q", path, status, body, want)
		}
	}
	for path, method := range map[string]string{"/api/metrics/calls": http.MethodGet, "/api/": http.MethodGet} {
		if status, body := get(t, loaded(t), jaeger.Options{}, path); status != http.StatusNotFound || !strings.Contains(string(body), `"code":404`) {
			t.Errorf("%s %s: %d %s", method, path, status, body)
		}
	}
}

func TestASearchHasJaegersDefaults(t *testing.T) {
	m := loaded(t)
	before := time.Now()
	if status, body := get(t, m, jaeger.Options{}, "/api/traces?service=x"); status != http.StatusOK {
		t.Fatal(status, string(body))
	}
	back := func(d time.Duration) bool {
		return !m.wanted.From.Before(before.Add(-d)) && m.wanted.From.Before(time.Now().Add(-d+time.Microsecond))
	}
	if !back(48*time.Hour) || m.wanted.Until.Before(before) {
		t.Errorf("searched from %s until %s, asked at %s", m.wanted.From, m.wanted.Until, before)
	}
	for text, want := range map[string]time.Duration{"1h": time.Hour, "2d": 48 * time.Hour, "1w": 168 * time.Hour, "custom": 48 * time.Hour, "d": 48 * time.Hour} {
		before = time.Now()
		if status, body := get(t, m, jaeger.Options{}, "/api/traces?service=x&lookback="+text); status != http.StatusOK || !back(want) {
			t.Errorf("%s: %d %s, searched from %s, asked at %s", text, status, body, m.wanted.From, before)
		}
	}
	before = time.Now()
	get(t, m, jaeger.Options{}, "/api/dependencies")
	if from, until := m.asked[0], m.asked[1]; until.Before(before) || until.Sub(from) > 24*time.Hour+time.Microsecond || until.Sub(from) < 24*time.Hour {
		t.Errorf("dependencies from %s until %s", from, until)
	}
	get(t, m, jaeger.Options{}, "/api/dependencies?endTs=1795525200000&lookback=1000")
	if want := [2]time.Time{noon.Add(time.Hour - time.Second), noon.Add(time.Hour + time.Microsecond)}; m.asked != want {
		t.Errorf("dependencies of %v, want %v", m.asked, want)
	}
}

// lacking says that of everything something is missing.
func lacking() span.Completeness {
	return span.Completeness{Hot: span.HotSource{State: span.HotUnreachable, Error: "connection refused"}, FilesPending: 2, FilesFailed: 1,
		Truncated: true, Reason: "the search took longer than 10s"}
}

func TestAnAnswerSaysWhatItLacks(t *testing.T) {
	m := loaded(t)
	m.complete = lacking()
	for _, path := range []string{"/api/services", "/api/services/cart/operations", "/api/operations?service=cart",
		"/api/traces?service=nobody", "/api/dependencies"} {
		status, body := get(t, m, jaeger.Options{}, path)
		var answer struct{ Errors []struct{ Msg string } }
		if err := json.Unmarshal(body, &answer); err != nil || status != http.StatusOK || len(answer.Errors) != 4 {
			t.Fatalf("%s: %v, %d %s", path, err, status, body)
		}
		for i, want := range []string{"connection refused", "2 files that are not indexed", "1 files that could not be indexed", "10s"} {
			if got := answer.Errors[i].Msg; !strings.Contains(got, want) {
				t.Errorf("%s: error %q, want %q", path, got, want)
			}
		}
	}
	status, body := get(t, m, jaeger.Options{}, "/api/traces/"+fine)
	var answer struct{ Data []struct{ Warnings []string } }
	if err := json.Unmarshal(body, &answer); err != nil || status != http.StatusOK || len(answer.Data) != 1 || len(answer.Data[0].Warnings) != 4 {
		t.Errorf("%v, %d %s", err, status, body)
	}
}

func TestAnAnswerEndsWhereItIsTooLarge(t *testing.T) {
	status, body := get(t, loaded(t), jaeger.Options{AnswerBytes: 1}, "/api/traces?"+around())
	ids, errs := found(t, body)
	if status != http.StatusOK || !slices.Equal(ids, []string{fine}) || len(errs) != 1 || !strings.Contains(errs[0], "only the first 1 of 3 traces") {
		t.Errorf("%d, %v, errors %v", status, ids, errs)
	}
	// All that was found is there.
	status, body = get(t, loaded(t), jaeger.Options{AnswerBytes: 1}, "/api/traces?limit=1&"+around())
	if ids, errs := found(t, body); status != http.StatusOK || !slices.Equal(ids, []string{fine}) || len(errs) > 0 {
		t.Errorf("%d, %v, errors %v", status, ids, errs)
	}
}

func TestAnErrorOfTheIndexIsAnErrorOfTheServer(t *testing.T) {
	m := loaded(t)
	m.err = errors.New("the disk is gone")
	for _, path := range []string{"/api/services", "/api/services/cart/operations", "/api/operations?service=cart", "/api/dependencies",
		"/api/traces/" + fine, "/api/traces?service=cart", "/api/traces?traceID=" + fine} {
		status, body := get(t, m, jaeger.Options{}, path)
		if status != http.StatusInternalServerError || !strings.Contains(string(body), `"code":500,"msg":"the disk is gone"`) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

func TestSpansThatOTLPCannotSay(t *testing.T) {
	m := loaded(t)
	early := m.spans[0]
	early.TraceID, early.SpanID, early.StartTime, early.OTLP = fine, "00000000000000ff", time.Unix(-1, 0), ""
	other := m.spans[0]
	other.TraceID, other.OTLP = "id of another writer", ""
	m.spans = append(m.spans, early, other)
	status, body := get(t, m, jaeger.Options{}, "/api/traces/"+fine)
	var answer struct {
		Data []struct {
			Spans    []struct{ SpanID string }
			Warnings []string
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil || status != http.StatusOK || len(answer.Data[0].Spans) != 2 ||
		len(answer.Data[0].Warnings) != 1 || !strings.Contains(answer.Data[0].Warnings[0], "column start_time") {
		t.Errorf("%v, %d %s", err, status, body)
	}
	m.spans = append(m.spans, early)
	m.spans[len(m.spans)-1].TraceID = job[:31] + "0"
	if status, body := get(t, m, jaeger.Options{}, "/api/traces/"+job[:31]+"0"); status != http.StatusNotFound || !strings.Contains(string(body), "column start_time") {
		t.Errorf("a trace of which no span can be said: %d %s", status, body)
	}
	_, body = get(t, m, jaeger.Options{}, "/api/traces?"+around())
	if ids, errs := found(t, body); len(ids) != 3 || len(errs) != 1 || !strings.Contains(errs[0], "id of another writer") {
		t.Errorf("found %v, errors %v", ids, errs)
	}
}

func TestNumbersThatJSONDoesNotKnow(t *testing.T) {
	m := loaded(t)
	odd := m.spans[0]
	odd.TraceID, odd.OTLP = strings.Repeat("e", 32), ""
	encoded, err := otlpwire.Encode(&odd)
	if err != nil {
		t.Fatal(err)
	}
	traces, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(encoded)
	if err != nil {
		t.Fatal(err)
	}
	attributes := traces.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Attributes()
	attributes.Clear()
	attributes.PutDouble("nan", math.NaN())
	attributes.PutDouble("less", math.Inf(-1))
	attributes.PutDouble("huge", 1e300)
	m.spans = taken(t, traces)
	status, body := get(t, m, jaeger.Options{}, "/api/traces/"+odd.TraceID)
	for _, want := range []string{`{"key":"nan","type":"float64","value":"NaN"}`, `{"key":"less","type":"float64","value":"-Inf"}`,
		`{"key":"huge","type":"float64","value":1e+300}`} {
		if status != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%d, no %s in %s", status, want, body)
		}
	}
}
