package browser

import (
	"fmt"
	"testing"
	"time"

	trace "go.opentelemetry.io/proto/otlp/trace/v1"
)

const (
	spanTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	script    = "<img src=x onerror=alert(1)>"
)

// showSpan puts the detail of a span into a page that has what the detail needs, as the page of its trace does.
func (b *tab) showSpan(id string) {
	b.t.Helper()
	eval[bool](b, fmt.Sprintf(`(async () => {
		const assets = document.querySelector("script[type=module]").src.replace(/[^/]*$/, "");
		const { part, h } = await import(assets + "dom.js");
		const { enliven } = await import(assets + "app.js");
		await import(assets + "span.js");
		const style = h("link", { rel: "stylesheet", href: assets + "span.css" });
		await new Promise((done) => { style.addEventListener("load", done); document.head.append(style); });
		const panel = h("aside", { class: "card" });
		panel.style.maxWidth = "520px";
		document.getElementById("main").replaceChildren(panel);
		panel.replaceChildren(...await part("/traces/%s/spans/%s"));
		enliven(panel);
		return true;
	})()`, spanTrace, id))
	b.untilText(".span-detail h2", "")
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
	b.goTo("/traces/" + spanTrace)
	b.showSpan("00000000000000a1")
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
	b.resize(560, 1300)
	b.goTo("/traces/" + spanTrace)
	b.showSpan("00000000000000b2")
	eval[bool](b, "[...document.querySelectorAll('.whole-state')].map(d => d.open = true).length > 0")
	b.picture("span-node")
	b.showSpan("00000000000000b0")
	b.picture("span-workflow")
	b.dark(true)
	b.showSpan("00000000000000b3")
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
	b.goTo("/traces/" + spanTrace)
	b.showSpan("00000000000000c1")
	b.assertNoOverflow("the detail of a span")
	b.picture("span-error")
}
