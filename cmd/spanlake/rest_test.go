package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanlake/spanlake/internal/api/client"
	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
)

// restRoutes are asked for what is in testdata/rest/request.json, and what they answer is in the golden file of that name.
var restRoutes = map[string]string{
	"traces":                 "/traces",
	"traces-page":            "/traces?limit=1",
	"traces-filtered":        "/traces?service=shop/web&name=GET&name_match=prefix&status=error&kind=server&min_duration=250ms&max_duration=1s&from=2026-11-29T08:00:00Z&until=2026-11-29T09:00:00%2B00:00",
	"traces-attributes":      "/traces?attribute=gen_ai.request.temperature=0.5&attribute=host.name&has_llm=true&workflow=true",
	"traces-none":            "/traces?attribute=http.response.status_code=200",
	"trace":                  "/traces/0AF7651916CD43DD8448EB211C80319C",
	"trace-unknown":          "/traces/00000000000000000000000000000001",
	"span":                   "/spans/00f067aa0ba90201",
	"services":               "/services",
	"operations":             "/services/shop%2Fweb/operations",
	"daily":                  "/stats/daily?service=shop/web",
	"red":                    "/stats/red?from=2026-11-29T08:00:00Z&until=2026-11-29T08:01:30Z&step=1m",
	"export":                 "/export?service=assistant&name=answer",
	"observability-services": "/observability/services",
	"observability-spans":    "/observability/services/assistant/spans?limit=2",
	"observability-roots":    "/observability/services/shop%2Fweb/spans/root",
	"observability-llm":      "/observability/services/shop%2Fweb/spans/root?has_llm=true&limit=10000",
	"observability-workflow": "/observability/services/assistant/workflows",
	"observability-trace":    "/observability/traces/0af7651916cd43dd8448eb211c80319c/spans",
	"observability-span":     "/observability/traces/0af7651916cd43dd8448eb211c80319c/spans/b7ad6b7169203331",
	"observability-unknown":  "/observability/traces/0af7651916cd43dd8448eb211c80319c/spans/00000000000000ff",
	"refused":                "/traces?status=ERROR&colour=red",
	"refused-time":           "/traces?from=yesterday",
}

// TestRESTAnswers asks the whole program: while spans are unflushed, when they are in a file that is indexed, and after a restart. What it
// answers is each time the same, to the byte.
func TestRESTAnswers(t *testing.T) {
	i := newIngesting(t)
	s := i.start(i.args("serve")...)
	request, err := os.ReadFile(filepath.Join("testdata", "rest", "request.json"))
	if err != nil {
		t.Fatal(err)
	}
	s.sendBody(string(request))
	check := func(moment string) {
		t.Run(moment, func(t *testing.T) {
			for name, path := range restRoutes {
				t.Run(name, func(t *testing.T) { assertGolden(t, filepath.Join("rest", name), s.ask(t, path)) })
			}
			s.checkProtobuf(t)
		})
	}
	check("unflushed")
	i.mustFlush()
	s.must("index") // waits until it is indexed
	check("indexed")
	// Calls between services are counted of indexed spans.
	assertGolden(t, filepath.Join("rest", "dependencies"), s.ask(t, "/dependencies?from=2026-11-29T08:00:00Z&until=2026-11-30T00:00:00Z"))
	s.stop()
	s = i.start(i.args("serve")...)
	check("restarted")
}

// ask shows an answer: the status, what it lacks, and its JSON with line breaks.
func (s *server) ask(t *testing.T, path string) string {
	t.Helper()
	a := s.fetch(t, "/api/v1"+path, "")
	lacks := a.header.Get("Spanlake-Completeness") + a.trailer.Get("Spanlake-Completeness")
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, a.body, "", "  "); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
	return a.status + "\n" + a.header.Get("Content-Type") + "\n" + lacks + "\n" + strings.TrimSpace(pretty.String()) + "\n"
}

// fetched is all of an answer.
type fetched struct {
	code            int
	status          string
	header, trailer http.Header
	body            []byte
}

func (s *server) fetch(t *testing.T, path, accept string) fetched {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if accept != "" {
		request.Header.Set("Accept", accept)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return fetched{response.StatusCode, response.Status, response.Header, response.Trailer, body}
}

// sendBody sends a request in OTLP/JSON.
func (s *server) sendBody(body string) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.otlp+"/v1/traces", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	if text, err := io.ReadAll(response.Body); err != nil || response.StatusCode != http.StatusOK || strings.Contains(string(text), "rejectedSpans") {
		s.t.Fatalf("%v, %s", err, text)
	}
}

// checkProtobuf compares what the client reads, which is protobuf, with itself over several routes.
func (s *server) checkProtobuf(t *testing.T) {
	t.Helper()
	c, err := client.New(s.url, "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var exported []span.Span
	if _, err := c.Queries().Export(t.Context(), span.Filter{}, func(one span.Span) error { exported = append(exported, one); return nil }); err != nil || len(exported) != 4 {
		t.Fatalf("%d spans exported: %v", len(exported), err)
	}
	slices.SortFunc(exported, func(a, b span.Span) int { return a.StartTime.Compare(b.StartTime) })
	trace, _, err := c.Queries().Trace(t.Context(), "0af7651916cd43dd8448eb211c80319c")
	if diff := cmp.Diff(exported[:3], trace); err != nil || diff != "" {
		t.Errorf("%v: the trace differs from the export:\n%s", err, diff)
	}
	a := s.fetch(t, "/api/v1/traces/0af7651916cd43dd8448eb211c80319c", "application/x-protobuf")
	if read, err := otlpwire.Split(a.body); err != nil || len(read) != 3 || read[1].OTLP == "" {
		t.Errorf("%v: %+v is not what was sent", err, read)
	}
}

// TestRESTTail: a root span is shown soon after it was acknowledged, if the filter chooses it.
func TestRESTTail(t *testing.T) {
	i := newIngesting(t)
	s := i.start(i.args("serve")...)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/api/v1/tail?name=wanted&has_llm=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(response.Body); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	time.Sleep(700 * time.Millisecond) // until it has looked once: what was there before is not shown
	start := time.Now().UTC().Truncate(time.Microsecond)
	for _, name := range []string{"other", "wanted"} {
		body := `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","name":"NAME","kind":2,
			"startTimeUnixNano":"START","endTimeUnixNano":"START","attributes":[{"key":"gen_ai.system","value":{"stringValue":"x"}}]}]}]}]}`
		nanos, err := json.Marshal(start.UnixNano())
		if err != nil {
			t.Fatal(err)
		}
		s.sendBody(strings.NewReplacer("NAME", name, "START", string(nanos)).Replace(body))
	}
	at := start.Format(time.RFC3339Nano)
	want := []string{": spanlake", "", "event: trace",
		`data: {"trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331","service_name":"unknown_service","name":"wanted","kind":"server",` +
			`"start_time":"` + at + `","end_time":"` + at + `","duration_ns":0,"status_code":"unset"}`, ""}
	for n, text := range want {
		select {
		case got := <-lines:
			if got != text {
				t.Errorf("line %d: %q, want %q", n, got, text)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("line %d does not come", n)
		}
	}
}
