package ui

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/spanlake/spanlake/internal/span"
)

// inMemory has the spans of one trace. Questions that are not of a trace are none of these tests.
type inMemory struct {
	Queries
	spans []span.Span
}

func (m inMemory) Span(_ context.Context, traceID, spanID string) (found []span.Span, c span.Completeness, err error) {
	for _, s := range m.spans {
		if s.TraceID == traceID && s.SpanID == spanID {
			found = append(found, s)
		}
	}
	if found == nil {
		return nil, c, fmt.Errorf("span %s: %w", spanID, span.ErrNotFound)
	}
	return found, c, nil
}

func (m inMemory) Trace(context.Context, string) ([]span.Span, span.Completeness, error) {
	return nil, span.Completeness{}, errors.New("the lake is away")
}

// detail is what a module gets of the span s of the trace t.
func detail(u *UI, s span.Span) *httptest.ResponseRecorder {
	u.Queries = inMemory{spans: []span.Span{s}}
	r := httptest.NewRequest(http.MethodGet, "/traces/t/spans/s", http.NoBody)
	r.Header.Set("Spanlake-Part", "1")
	r.Header.Set("Accept-Encoding", "identity")
	w := httptest.NewRecorder()
	u.ServeHTTP(w, r)
	return w
}

func newUI(t testing.TB) *UI {
	t.Helper()
	u, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// hostile is a span that says the same everywhere.
func hostile(text string) span.Span {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err) // strings always have a JSON text
	}
	inner, err := json.Marshal(`[{"op":"replace","path":"/` + text + `","value":1}]`)
	if err != nil {
		panic(err) // the same
	}
	q := string(quoted)
	attributes := `{` + q + `:` + q + `,"a.` + q[1:] + `:{` + q + `:[` + q + `]},"gen_ai.input.messages":[{"role":` + q + `,"name":` + q + `,"parts":[{"type":"text","content":` + q +
		`},{"type":"tool_call","id":` + q + `,"name":` + q + `,"arguments":{` + q + `:1}},{"type":"uri","uri":` + q + `}]}],"gen_ai.request.model":` + q +
		`,"gen_ai.tool.name":` + q + `,"retrieval.documents.0.document.id":` + q + `,"retrieval.documents.0.document.content":` + q +
		`,"gen_ai.tool.definitions":[{"name":` + q + `,"description":` + q + `}],"junjo.workflow.state.start":{` + q + `:` + q + `}}`
	events := `[{"name":` + q + `,"time_nanos":1,"attributes":{` + q + `:` + q + `}},{"name":"exception","attributes":{"exception.type":` + q + `,"exception.message":` + q +
		`,"exception.stacktrace":` + q + `}},{"name":"set_state","attributes":{"junjo.store.action":` + q + `,"junjo.store.name":` + q + `,"junjo.state_json_patch":` + string(inner) + `}}]`
	links := `[{"trace_id":` + q + `,"span_id":` + q + `,"trace_state":` + q + `,"attributes":{` + q + `:` + q + `}},{"trace_id":"t","span_id":` + q + `}]`
	return span.Span{
		TraceID: "t", SpanID: "s", ParentSpanID: text, ServiceName: text, Name: text, StatusCode: span.StatusError, StatusMessage: text, TraceState: text,
		Attributes: attributes, Events: events, Links: links, ResourceAttributes: attributes, ScopeAttributes: attributes, ScopeName: text, ScopeVersion: text,
		ScopeSchemaURL: text, ResourceSchemaURL: text,
	}
}

// assertText wants a fragment to be made of nothing but what templates have: no element, handler or address that a span has put there.
func assertText(t *testing.T, fragment string) {
	t.Helper()
	nodes, err := html.ParseFragment(strings.NewReader(fragment), &html.Node{Type: html.ElementNode, Data: "body", DataAtom: atom.Body})
	if err != nil {
		t.Fatal(err)
	}
	var walk func(n *html.Node)
	walk = func(n *html.Node) {
		if n.Type == html.ElementNode {
			switch n.Data {
			case "img", "script", "style", "iframe", "svg", "object", "form", "meta", "base", "input":
				t.Errorf("there is an element %s", n.Data)
			}
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "src" || a.Key == "href" && !strings.HasPrefix(a.Val, "/traces/") &&
				!strings.HasPrefix(a.Val, "/?attribute=") && !strings.HasPrefix(a.Val, "/api/v1/spans/") {
				t.Errorf("%s has %s=%q", n.Data, a.Key, a.Val)
			}
		}
		for child := n.FirstChild; child != nil; child = child.NextSibling {
			walk(child)
		}
	}
	for _, n := range nodes {
		walk(n)
	}
}

func TestSpanDetailIsText(t *testing.T) {
	u := newUI(t)
	for _, text := range []string{
		"<img src=x onerror=alert(1)>", `"><script>alert(1)</script>`, "' onclick='alert(1)", "javascript:alert(1)", "</pre></details><svg onload=alert(1)>", "\x00\ufffd{{.}}", "a/b?c#d",
	} {
		w := detail(u, hostile(text))
		if w.Code != http.StatusOK {
			t.Fatalf("%q: %d %s", text, w.Code, w.Body)
		}
		assertText(t, w.Body.String())
		if !strings.Contains(w.Body.String(), "the lake is away") {
			t.Error("it does not say why the state of the workflow is not known")
		}
	}
}

func FuzzSpanDetail(f *testing.F) {
	u := newUI(f)
	f.Add("<img src=x onerror=alert(1)>")
	f.Add("")
	f.Add("\"'`\n</textarea>{{")
	f.Fuzz(func(t *testing.T, text string) {
		if w := detail(u, hostile(text)); w.Code == http.StatusOK {
			assertText(t, w.Body.String())
		} else {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

// largeSpan has as much of everything as one span gets.
func largeSpan() span.Span {
	var attributes, events strings.Builder
	messages := `[{\"role\":\"user\",\"parts\":[{\"type\":\"text\",\"content\":\"` + strings.Repeat(`word \\n`, 130_000) + `\"}]}]`
	attributes.WriteString(`{"gen_ai.input.messages":"` + messages + `"`)
	for i := range 10_000 {
		fmt.Fprintf(&attributes, `,"ns%d.key.%d":"value %d"`, i%50, i, i)
	}
	attributes.WriteString("}")
	for i := range 1_000 {
		fmt.Fprintf(&events, `,{"name":"e","time_nanos":%d,"attributes":{"a.b":"%s"}}`, i, strings.Repeat("x", 500))
	}
	return span.Span{TraceID: "t", SpanID: "s", Attributes: attributes.String(), Events: "[" + events.String()[1:] + "]"}
}

func BenchmarkSpanDetail(b *testing.B) {
	u, large := newUI(b), largeSpan()
	for b.Loop() {
		w := detail(u, large)
		if w.Code != http.StatusOK || w.Body.Len() < 10_000 {
			b.Fatalf("%d: %d bytes", w.Code, w.Body.Len())
		}
		b.ReportMetric(float64(w.Body.Len()), "bytes")
	}
}
