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
