package spanview

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/spanlake/spanlake/internal/span"
)

// spanOf is a span with these attributes.
func spanOf(t *testing.T, attributes map[string]any) *span.Span {
	t.Helper()
	text, err := json.Marshal(attributes)
	if err != nil {
		t.Fatal(err)
	}
	return &span.Span{TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", SpanID: "00f067aa0ba902b7", Attributes: string(text)}
}

func bodyText(b *Body) string {
	switch {
	case b == nil:
		return "-"
	case b.Tree != nil:
		return "JSON " + b.Raw.All
	case b.Text != nil:
		return b.Text.All
	}
	return b.Inline
}

// talkText writes a conversation as lines: role, and the pieces that it says.
func talkText(talk Talk) string {
	if talk.Body != nil {
		return bodyText(talk.Body)
	}
	var lines []string
	for _, m := range talk.Messages {
		line := m.Role
		for _, extra := range []string{m.Name, m.Finish} {
			if extra != "" {
				line += "(" + extra + ")"
			}
		}
		for _, p := range m.Parts {
			line += fmt.Sprintf(" | %s", p.Kind)
			for _, extra := range []string{p.Title, p.ID} {
				if extra != "" {
					line += " " + extra
				}
			}
			if p.Body != nil {
				line += ": " + bodyText(p.Body)
			}
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

const (
	ask    = "user | text: Where is it?"
	answer = "assistant | text: On its way."
)

// TestConversations has the same conversations as different clients write them.
func TestConversations(t *testing.T) {
	for _, tc := range []struct {
		name          string
		attributes    map[string]any
		events        string
		input, output string
	}{
		{name: "OpenTelemetry, JSON in texts", attributes: map[string]any{
			"gen_ai.system_instructions": `[{"type":"text","content":"Be short."}]`,
			"gen_ai.input.messages":      `[{"role":"user","parts":[{"type":"text","content":"Where is it?"}]}]`,
			"gen_ai.output.messages":     `[{"role":"assistant","parts":[{"type":"text","content":"On its way."}],"finish_reason":"stop"}]`,
		}, input: "system | text: Be short.\n" + ask, output: "assistant(stop) | text: On its way."},
		{name: "OpenTelemetry, structured", attributes: map[string]any{
			"gen_ai.input.messages": []any{map[string]any{"role": "user", "parts": []any{map[string]any{"type": "text", "content": "Where is it?"}}}},
		}, input: ask},
		{name: "OpenTelemetry, tools and reasoning", attributes: map[string]any{
			"gen_ai.input.messages": `[{"role":"assistant","parts":[{"type":"reasoning","content":"Hm."},{"type":"tool_call","id":"c1","name":"find","arguments":{"order":1}}]},
				{"role":"tool","parts":[{"type":"tool_call_response","id":"c1","response":"sent"}]},{"role":"tool","parts":[{"type":"tool_call_response","id":"c2","result":{"a":1}}]},
				{"role":"user","parts":[{"type":"blob","mime_type":"image/png","modality":"image","content":"AAAA"},{"type":"uri","modality":"image","uri":"https://example.com/a.png"},{"type":"new","x":1}]}]`,
		}, input: "assistant | reasoning: Hm. | call find c1: {\"order\": 1}\ntool | result c1: sent\ntool | result c2: {\"a\": 1}\n" +
			`user | media image · image/png · AAAA | media image · https://example.com/a.png | other new: {"type": "new", "x": 1}`},
		{name: "OpenLLMetry", attributes: map[string]any{
			"gen_ai.prompt.0.role": "system", "gen_ai.prompt.0.content": "Be short.", "gen_ai.prompt.1.role": "user", "gen_ai.prompt.1.content": "Where is it?",
			"gen_ai.prompt.10.role": "user", "gen_ai.prompt.10.content": "Well?", "gen_ai.prompt.2.role": "assistant",
			"gen_ai.prompt.2.tool_calls.0.id": "c1", "gen_ai.prompt.2.tool_calls.0.name": "find", "gen_ai.prompt.2.tool_calls.0.arguments": `{"order":1}`,
			"gen_ai.prompt.3.role": "tool", "gen_ai.prompt.3.content": "sent", "gen_ai.prompt.3.tool_call_id": "c1",
			"gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.content": "On its way.", "gen_ai.completion.0.finish_reason": "stop",
		}, input: "system | text: Be short.\n" + ask + "\nassistant | call find c1: {\"order\": 1}\ntool | result c1: sent\nuser | text: Well?",
			output: "assistant(stop) | text: On its way."},
		{name: "OpenInference", attributes: map[string]any{
			"llm.input_messages.0.message.role": "user", "llm.input_messages.0.message.contents.0.message_content.type": "text",
			"llm.input_messages.0.message.contents.0.message_content.text":            "Where is it?",
			"llm.input_messages.0.message.contents.1.message_content.type":            "image",
			"llm.input_messages.0.message.contents.1.message_content.image.image.url": "https://example.com/a.png",
			"llm.output_messages.0.message.role":                                      "assistant", "llm.output_messages.0.message.content": "On its way.",
			"llm.output_messages.0.message.tool_calls.0.tool_call.id": "c1", "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "find",
			"llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": `{"order":1}`,
			"input.value": "the same once more", "output.value": "and the same",
		}, input: ask + " | media image · https://example.com/a.png", output: answer + ` | call find c1: {"order": 1}`},
		{name: "the body of a provider", attributes: map[string]any{
			"input.value": `{"model":"m","messages":[{"role":"user","content":"Where is it?"}]}`,
			"output.value": `{"id":"x","choices":[{"index":0,"finish_reason":"tool_calls","message":{"role":"assistant","content":null,
				"tool_calls":[{"id":"c1","type":"function","function":{"name":"find","arguments":"{\"order\":1}"}}]}}]}`,
		}, input: ask, output: `assistant(tool_calls) | call find c1: {"order": 1}`},
		{name: "Anthropic", attributes: map[string]any{
			"input.value":  `{"system":"Be short.","messages":[{"role":"user","content":[{"type":"text","text":"Where is it?"}]}]}`,
			"output.value": `{"role":"assistant","content":[{"type":"thinking","thinking":"Hm."},{"type":"tool_use","id":"c1","name":"find","input":{"order":1}}],"stop_reason":"tool_use"}`,
		}, input: "system | text: Be short.\n" + ask, output: `assistant(tool_use) | reasoning: Hm. | call find c1: {"order": 1}`},
		{name: "Google", attributes: map[string]any{
			"input.value":  `{"contents":[{"role":"user","parts":[{"text":"Where is it?"}]}]}`,
			"output.value": `{"candidates":[{"content":{"role":"model","parts":[{"text":"On its way."},{"functionCall":{"name":"find","args":{"order":1}}}]},"finishReason":"STOP"}]}`,
		}, input: ask, output: `assistant(STOP) | text: On its way. | call find: {"order": 1}`},
		{name: "LangChain", attributes: map[string]any{
			"input.value": `{"messages":[[{"lc":1,"type":"constructor","id":["langchain","schema","HumanMessage"],"kwargs":{"content":"Where is it?","type":"human"}}]]}`,
		}, input: ask},
		{name: "Vercel", attributes: map[string]any{
			"ai.prompt.messages": `[{"role":"user","content":[{"type":"text","text":"Where is it?"}]}]`, "ai.response.text": "On its way.",
			"ai.response.toolCalls": `[{"toolCallType":"function","toolCallId":"c1","toolName":"find","args":"{\"order\":1}"}]`,
		}, input: ask, output: answer + ` | call find c1: {"order": 1}`},
		{name: "mere texts", attributes: map[string]any{"input.value": "Where is it?", "output.value": "On\nits way."}, input: "Where is it?", output: "On\nits way."},
		{name: "JSON that is no conversation", attributes: map[string]any{"input.value": `{"query":"` + strings.Repeat("x", 100) + `"}`},
			input: `JSON {"query":"` + strings.Repeat("x", 100) + `"}`},
		{name: "a prompt that is a text", attributes: map[string]any{"gen_ai.prompt": "Where is it?", "gen_ai.completion": "On its way."}, input: ask, output: answer},
		{name: "events with a message each", attributes: map[string]any{}, events: `[
			{"name":"gen_ai.system.message","attributes":{"content":"Be short."}},{"name":"gen_ai.user.message","attributes":{"content":"Where is it?"}},
			{"name":"gen_ai.assistant.message","attributes":{"role":"assistant","tool_calls":"[{\"id\":\"c1\",\"function\":{\"name\":\"find\",\"arguments\":\"{}\"}}]"}},
			{"name":"gen_ai.tool.message","attributes":{"id":"c1","content":"sent"}},
			{"name":"gen_ai.choice","attributes":{"finish_reason":"stop","message":"{\"role\":\"assistant\",\"content\":\"On its way.\"}"}}]`,
			input:  "system | text: Be short.\n" + ask + "\nassistant | call find c1: {}\ntool | result c1: sent",
			output: "assistant(stop) | text: On its way."},
		{name: "an event with all", attributes: map[string]any{}, events: `[{"name":"gen_ai.client.inference.operation.details","attributes":{
			"gen_ai.input.messages":"[{\"role\":\"user\",\"parts\":[{\"type\":\"text\",\"content\":\"Where is it?\"}]}]",
			"gen_ai.output.messages":"[{\"role\":\"assistant\",\"parts\":[{\"type\":\"text\",\"content\":\"On its way.\"}]}]"}}]`, input: ask, output: answer},
		{name: "older events", attributes: map[string]any{}, events: `[{"name":"gen_ai.content.prompt","attributes":{"gen_ai.prompt":"[{\"role\":\"user\",\"content\":\"Where is it?\"}]"}},
			{"name":"gen_ai.content.completion","attributes":{"gen_ai.completion":"[{\"role\":\"assistant\",\"content\":\"On its way.\"}]"}}]`, input: ask, output: answer},
		{name: "nothing of the kind", attributes: map[string]any{"http.request.method": "GET"}},
		{name: "nonsense", attributes: map[string]any{"gen_ai.input.messages": `[1,null,"a",{"role":7},[[]]]`, "llm.input_messages": 3}, input: "user | text: 1\nuser | text: null\nuser | text: a\n7\nuser | text: []"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := spanOf(t, tc.attributes)
			s.Events = tc.events
			v := Of(s, nil)
			if got := talkText(v.Input); got != tc.input {
				t.Errorf("the input is\n%s\nwant\n%s", got, tc.input)
			}
			if got := talkText(v.Output); got != tc.output {
				t.Errorf("the output is\n%s\nwant\n%s", got, tc.output)
			}
		})
	}
}

func factText(facts []Fact) string {
	words := make([]string, len(facts))
	for i, f := range facts {
		words[i] = f.Name + " " + f.Text
	}
	return strings.Join(words, ", ")
}

func TestModels(t *testing.T) {
	for _, tc := range []struct {
		name, events string
		attributes   map[string]any
		want         string
	}{
		{name: "OpenTelemetry", attributes: map[string]any{
			"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o", "gen_ai.response.model": "gpt-4o-2024",
			"gen_ai.request.temperature": 0.7, "gen_ai.request.stop_sequences": []string{"\n", "END"}, "gen_ai.response.finish_reasons": []string{"stop"},
			"gen_ai.usage.input_tokens": 3853, "gen_ai.usage.output_tokens": 63, "gen_ai.usage.cache_read.input_tokens": 1024, "server.address": "api.openai.com",
		}, events: `[{"name":"first_token","time_nanos":23000000}]`,
			want: `gpt-4o-2024 (gpt-4o) openai chat; in 3,853, out 63, total 3,916, cached 1,024; Finish stop, Host api.openai.com, First token +23.0ms; temperature 0.7, stop "\n", END`},
		{name: "OpenInference", attributes: map[string]any{
			"openinference.span.kind": "LLM", "llm.provider": "anthropic", "llm.model_name": "claude", "llm.invocation_parameters": `{"temperature":1,"max_tokens":5}`,
			"llm.token_count.prompt": 10, "llm.token_count.completion": 5, "llm.token_count.total": 15, "llm.token_count.completion_details.reasoning": 2,
			"llm.cost.total": 0.0125,
		}, want: "claude () anthropic LLM; in 10, out 5, total 15, reasoning 2; Cost 0.0125; temperature 1, max tokens 5"},
		{name: "an embedding", attributes: map[string]any{"openinference.span.kind": "EMBEDDING", "embedding.model_name": "e3"}, want: "e3 ()  EMBEDDING; ; ; "},
		{name: "an agent", attributes: map[string]any{"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "planner"}, want: " ()  invoke_agent; ; Agent planner; "},
		{name: "tokens that are none", attributes: map[string]any{"gen_ai.request.model": "m", "gen_ai.usage.input_tokens": "many"}, want: "m ()  ; ; ; "},
		{name: "a call of a server", attributes: map[string]any{"http.request.method": "GET", "server.address": "a"}, want: "none"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := spanOf(t, tc.attributes)
			s.StartTime, s.Events = secondsAfter1970(0), tc.events
			got := "none"
			if m := Of(s, nil).Model; m != nil {
				got = fmt.Sprintf("%s (%s) %s %s; %s; %s; %s", m.Name, m.Asked, m.Provider, m.Operation, factText(m.Tokens), factText(m.Facts), factText(m.Settings))
			}
			if got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestToolsAndDocuments(t *testing.T) {
	v := Of(spanOf(t, map[string]any{
		"openinference.span.kind": "TOOL", "tool.name": "search", "tool.description": "finds", "tool.parameters": `{"query":"parcel"}`, "output.value": "found",
		"input.value": `{"query":"parcel"}`,
	}), nil)
	if v.Tool == nil || !v.Input.IsEmpty() || v.Tool.Name != "search" || bodyText(v.Tool.Arguments) != `{"query": "parcel"}` || bodyText(v.Tool.Result) != "found" || !v.Output.IsEmpty() {
		t.Errorf("the tool is %+v, the output %q", v.Tool, talkText(v.Output))
	}
	v = Of(spanOf(t, map[string]any{
		"retrieval.documents.1.document.content": "second", "retrieval.documents.0.document.content": "first", "retrieval.documents.0.document.id": 17,
		"retrieval.documents.0.document.score": 0.5, "retrieval.documents.0.document.metadata": `{"page":3}`,
		"llm.tools.0.tool.json_schema": `{"type":"function","function":{"name":"find","description":"finds things","parameters":{"type":"object"}}}`,
	}), nil)
	if len(v.Documents) != 2 || v.Documents[0].ID != "17" || v.Documents[0].Score != "0.5" || bodyText(v.Documents[0].Content) != "first" ||
		bodyText(v.Documents[0].Metadata) != `{"page": 3}` || bodyText(v.Documents[1].Content) != "second" {
		t.Errorf("the documents are %+v", v.Documents)
	}
	for _, g := range v.Attributes.Groups {
		if len(g.Rows) != 0 || len(g.Above) == 0 {
			t.Errorf("of %s %d attributes are shown once more, %d folded", g.Name, len(g.Rows), len(g.Above))
		}
	}
	if len(v.Offered) != 1 || v.Offered[0].Name != "find" || v.Offered[0].Description != "finds things" {
		t.Errorf("the tools offered are %+v", v.Offered)
	}
	v = Of(spanOf(t, map[string]any{"gen_ai.tool.definitions": `[{"type":"function","name":"a"},"b",null]`, "gen_ai.retrieval.documents": `[{"id":"x","score":1}]`}), nil)
	if len(v.Offered) != 3 || v.Offered[0].Name != "a" || len(v.Documents) != 1 || v.Documents[0].ID != "x" {
		t.Errorf("the tools offered are %+v, the documents %+v", v.Offered, v.Documents)
	}
	v = Of(spanOf(t, map[string]any{
		"llm.output_messages.0.message.role": "assistant", "llm.output_messages.0.message.content": "On its way.", "output.value": "On its way.", "input.value": "x",
		"llm.input_messages.0.message.role": "user", "llm.input_messages.0.message.content": "y",
	}), nil)
	for _, g := range v.Attributes.Groups {
		if want := map[string]int{"llm": 4, "output": 1, "input": 0}[g.Name]; len(g.Above) != want {
			t.Errorf("of %s %d attributes are folded, want %d", g.Name, len(g.Above), want)
		}
	}
}
