package browser

import (
	"fmt"
	"strings"
	"testing"
	"time"

	trace "go.opentelemetry.io/proto/otlp/trace/v1"
)

const (
	spanTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	script    = "<img src=x onerror=alert(1)>"
)

// showSpan opens the page of a trace with a span beside it.
func (b *tab) showSpan(id string) {
	b.t.Helper()
	b.goTo("/traces/" + spanTrace + "?span=" + id)
	b.until("the detail of the span "+id, "document.querySelector('.span-detail')?.dataset.spanDetail === "+quote(id))
}

func event(name string, at time.Time, attributes map[string]any) *trace.Span_Event {
	return &trace.Span_Event{Name: name, TimeUnixNano: uint64(at.UnixNano()), Attributes: values(attributes)}
}

func chatSpan(start time.Time) sent {
	return sent{service: "chat-api", trace: spanTrace, id: "00000000000000a1", parent: "00000000000000a0", name: "chat gpt-4o", start: start,
		length: 1830 * time.Millisecond, kind: trace.Span_SPAN_KIND_CLIENT, attributes: map[string]any{
			"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o", "gen_ai.response.model": "gpt-4o-2024-08-06",
			"gen_ai.request.temperature": 0.2, "gen_ai.request.max_tokens": 800, "gen_ai.usage.input_tokens": 3853, "gen_ai.usage.output_tokens": 163,
			"gen_ai.usage.cache_read.input_tokens": 2048, "server.address": "api.openai.com", "http.response.status_code": 200,
			"gen_ai.system_instructions": `[{"type":"text","content":"You help with orders.\nBe short."}]`,
			"gen_ai.input.messages": `[{"role":"user","parts":[{"type":"text","content":"Where is my order 1734?\n` + script + `"}]},
				{"role":"assistant","parts":[{"type":"tool_call","id":"call_1","name":"find_order","arguments":{"order":1734,"with":["lines","parcels"],"deep":{"a":{"b":null}}}}]},
				{"role":"tool","parts":[{"type":"tool_call_response","id":"call_1","response":"{\"state\":\"sent\",\"parcels\":[{\"id\":9,\"carrier\":\"DHL\"}]}"}]}]`,
			"gen_ai.output.messages": `[{"role":"assistant","parts":[{"type":"text","content":"It was sent on Monday with **DHL**."}],"finish_reason":"stop"}]`,
			"session.id":             "s-17", script: script, "note": "plain",
		}, events: []*trace.Span_Event{event("first_token", start.Add(420*time.Millisecond), map[string]any{"ms": 420})},
		links: []*trace.Span_Link{{TraceId: []byte("0123456789abcdef"), SpanId: []byte("abcdefgh")}}}
}

func TestSpanDetailOfAChat(t *testing.T) {
	s := serve(t, nil)
	s.send(chatSpan(time.Now().Truncate(time.Second)))
	b := s.open()
	b.resize(1280, 1600)
	b.showSpan("00000000000000a1")
	for selector, want := range map[string]string{
		".model": "gpt-4o-2024-08-06", ".tokens": "4,016", ".chips": "+420ms", ".turn.system": "Be short.", ".turn.user": "Where is my order 1734?\n" + script,
		".piece.call": "find_order", ".piece.result .json": "parcels: [1 item]", ".output .turn": "It was sent on Monday with **DHL**.", ".took": "1.83s",
		".links": "trace 30313233343536373839616263646566",
	} {
		if text := b.text(selector); !strings.Contains(text, want) {
			t.Errorf("%s says %q, want %q", selector, text, want)
		}
	}
	// A time is in the zone of the reader, and exact where the mouse finds it.
	if title := eval[string](b, "document.querySelector('.facts time').title"); !strings.HasSuffix(title, ".000000000 UTC") {
		t.Errorf("the title of the start is %q", title)
	}
	// A part of the JSON is folded until somebody wants it.
	deep := "[...document.querySelectorAll('.piece.call details.node')].at(-1)"
	if eval[bool](b, deep+".open") {
		t.Error("the deepest part of the arguments is unfolded")
	}
	eval[bool](b, deep+".querySelector('summary').click(), true")
	b.until("the deepest part to be unfolded", deep+".open")
	// What is copied is the text as it was sent.
	eval[bool](b, `(() => {
		const write = navigator.clipboard.writeText.bind(navigator.clipboard);
		navigator.clipboard.writeText = (text) => { window.copied = text; return write(text); };
		return true;
	})()`)
	b.click(".piece.result button[data-copy-value]")
	b.untilText(".piece.result button[data-copy-value]", "copied")
	if got := eval[string](b, "window.copied"); got != `{"state":"sent","parcels":[{"id":9,"carrier":"DHL"}]}` {
		t.Errorf("copied %q", got)
	}
	b.click(".turn.user button[data-copy-value]")
	b.until("the text to be copied", "window.copied === "+quote("Where is my order 1734?\n"+script))
	if href := eval[string](b, "[...document.querySelectorAll('.row')].find(r => r.querySelector('.name').title === 'gen_ai.request.model').querySelector('a').getAttribute('href')"); href != "/?attribute=gen_ai.request.model%3Dgpt-4o" {
		t.Errorf("traces with the same model are at %q", href)
	}
	b.picture("span-chat")
	b.dark(true)
	b.picture("span-chat-dark")
}

// workflowSpans are a workflow whose three nodes change its state.
func workflowSpans(start time.Time) []sent {
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	change := func(ms int, action, patch string) *trace.Span_Event {
		return event("set_state", at(ms), map[string]any{"junjo.store.id": "st1", "junjo.store.name": "ChatStore", "junjo.store.action": action,
			"junjo.state_json_patch": patch})
	}
	const root = "00000000000000b0"
	node := func(id, name string, ms int, events ...*trace.Span_Event) sent {
		return sent{service: "chat-api", trace: spanTrace, id: id, parent: root, name: name, start: at(ms), length: 100 * time.Millisecond,
			attributes: map[string]any{"junjo.span_type": "node", "junjo.id": "n-" + id}, events: events}
	}
	return []sent{
		{service: "chat-api", trace: spanTrace, id: root, name: "Chat Workflow", start: start, length: time.Second, attributes: map[string]any{
			"junjo.span_type": "workflow", "junjo.workflow.store.id": "st1", "junjo.workflow.node.count": 3,
			"junjo.workflow.state.start": `{"turn":3,"messages":[{"role":"user","content":"Where is it?"}],"draft":"none"}`,
			"junjo.workflow.state.end":   `{"turn":4,"messages":[{"role":"user","content":"Where is it?"},{"role":"assistant","content":"On its way."}],"order":{"id":1734}}`,
		}},
		node("00000000000000b1", "Find order", 100, change(150, "set_order", `[{"op":"add","path":"/order","value":{"id":1734}},{"op":"remove","path":"/draft"}]`)),
		node("00000000000000b2", "Answer", 300,
			change(350, "append_message", `[{"op":"add","path":"/messages/-","value":{"role":"assistant","content":"On its way."}},{"op":"replace","path":"/turn","value":4}]`),
			change(360, "set_turn", `{}`)),
		node("00000000000000b3", "Broken", 500, change(550, "set_nothing", `[{"op":"replace","path":"/not/there","value":"`+script+`"}]`), change(560, "damaged", `[{"op":"add"`)),
	}
}

func TestSpanDetailOfAWorkflow(t *testing.T) {
	s := serve(t, nil)
	s.send(workflowSpans(time.Now().Truncate(time.Second))...)
	b := s.open()
	b.resize(1280, 1300)
	b.showSpan("00000000000000b2")
	for selector, want := range map[string]string{
		".change": "append_message", ".operation.added": "/messages/-", ".operation.replaced .was": "3", ".operation.replaced .is": "4",
		".change:last-of-type": "It changed nothing.",
	} {
		if text := b.text(selector); !strings.Contains(text, want) {
			t.Errorf("%s says %q, want %q", selector, text, want)
		}
	}
	eval[bool](b, "[...document.querySelectorAll('.whole-state')].map(d => d.open = true).length > 0")
	if text := b.text(".whole-state .node.replaced"); text != "~turn: 3 → 4" {
		t.Errorf("the state marks %q", text)
	}
	b.picture("span-node")
	b.showSpan("00000000000000b0")
	if text := b.text(".steps"); !strings.Contains(text, "Find order") || strings.Count(text, "not applied") != 2 {
		t.Errorf("the changes of the workflow are %q", text)
	}
	b.click(".steps a[data-span]")
	b.until("the span of the first change", "document.querySelector('.span-detail').dataset.spanDetail === '00000000000000b1' && location.search.includes('00000000000000b1')")
	b.picture("span-workflow")
	b.dark(true)
	b.showSpan("00000000000000b3")
	if text := b.text(".state"); !strings.Contains(text, "operation 1: there is nothing at the path") || !strings.Contains(text, "it is not JSON") || !strings.Contains(text, script) {
		t.Errorf("of patches that cannot be applied it says %q", text)
	}
	b.picture("span-broken")
}

func TestSpanDetailOfAnError(t *testing.T) {
	s := serve(t, nil)
	start := time.Now().Truncate(time.Second)
	s.send(sent{service: "tool runner/é", trace: spanTrace, id: "00000000000000c1", parent: "00000000000000c0", name: "execute_tool search " + script, start: start,
		failed: "the search failed:\n  index 'orders' " + script + "\n  is not there", attributes: map[string]any{
			"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search", "gen_ai.tool.call.id": "call_7", "openinference.span.kind": "TOOL",
			"input.value": `{"query":"parcels","limit":10}`, "input.mime_type": "application/json",
			"retrieval.documents.0.document.id": "d1", "retrieval.documents.0.document.score": 0.91, "retrieval.documents.0.document.content": "A parcel is a box.",
			"retrieval.documents.1.document.id": "d2", "retrieval.documents.1.document.score": 0.4, "retrieval.documents.1.document.content": script,
			"retrieval.documents.1.document.metadata": `{"source":"wiki","page":3}`,
		}, events: []*trace.Span_Event{event("exception", start.Add(time.Millisecond), map[string]any{"exception.type": "IndexError", "exception.message": "no index 'orders'",
			"exception.stacktrace": "Traceback (most recent call last):\n  File \"/app/main.py\", line 17, in run\n    raise IndexError\n"})}})
	b := s.open()
	b.resize(390, 1300)
	b.showSpan("00000000000000c1")
	b.assertNoOverflow("the detail of a span")
	for selector, want := range map[string]string{
		".notice.message": "the search failed:\n  index 'orders' " + script + "\n  is not there", ".exception": "IndexError", ".tool": "parcels", ".documents": "0.91",
	} {
		if text := b.text(selector); !strings.Contains(text, want) {
			t.Errorf("%s says %q, want %q", selector, text, want)
		}
	}
	b.picture("span-error")
}

// TestSpanDetailAddresses asks for details as people and modules do.
func TestSpanDetailAddresses(t *testing.T) {
	s := serve(t, nil)
	start := time.Now().Truncate(time.Second)
	twice := sent{service: "a", trace: spanTrace, id: "00000000000000d1", name: "first", start: start}
	again := twice
	again.name = "second"
	large := sent{service: "a", trace: spanTrace, id: "00000000000000d2", name: "large", start: start, attributes: map[string]any{
		"gen_ai.input.messages": `[{"role":"user","parts":[{"type":"text","content":"` + strings.Repeat("word \\n", 150_000) + `"}]}]`}}
	for i := range 1_000 {
		large.attributes[fmt.Sprintf("ns%d.key.%d", i%50, i)] = "value"
	}
	for i := range 1_000 {
		large.events = append(large.events, event("e", start.Add(time.Duration(i)), map[string]any{"text": strings.Repeat("x", 500)}))
	}
	s.send(twice, again, large)
	b := s.open()
	b.goTo("/traces/" + spanTrace + "/spans/00000000000000d1")
	b.until("the page of the trace", "location.pathname + location.search === '/traces/"+spanTrace+"?span=00000000000000d1'")
	b.showSpan("00000000000000d1")
	if text := b.text("#detail"); b.count(".span-detail") != 2 || !strings.Contains(text, "2 spans have this id") || !strings.Contains(text, "second") {
		t.Errorf("of two spans with one id it shows %q", text)
	}
	b.showSpan("00000000000000d2")
	b.untilText(".attributes", "401 more are not shown")
	b.untilText(".events", "more are not shown")
	if size := eval[int](b, "document.querySelector('#detail').innerHTML.length"); size > 4_000_000 {
		t.Errorf("a large span takes %d bytes of a page", size)
	}
	took := eval[float64](b, `(async () => {
		const begin = performance.now();
		await (await fetch("/traces/`+spanTrace+`/spans/00000000000000d2", { headers: { "Spanlake-Part": "1" } })).text();
		return performance.now() - begin;
	})()`)
	t.Logf("the detail of a large span came after %.0f ms", took)
	b.expect("404")
	missing := eval[string](b, `fetch("/traces/`+spanTrace+`/spans/00000000000000ff", { headers: { "Spanlake-Part": "1" } }).then(async (a) => a.status + (await a.text()))`)
	if !strings.HasPrefix(missing, "404") || !strings.Contains(missing, "Not found") || strings.Contains(missing, "<html") {
		t.Errorf("of a span that is not there it says %q", missing)
	}
}
