package demo

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// said is one message of a conversation with a model.
type said struct {
	role, text string
	// call is what a model wants done, or, in the role tool, what was done; result is what came of it then.
	call   *toolUse
	callID string
	result json.RawMessage
}

// exchange is one call of a model.
type exchange struct {
	style, system, conversation string
	model                       model
	messages                    []said
	answer                      said
	tools                       []toolUse
}

// tokens is about how many a text has.
func tokens(text string) int { return 1 + len(text)*10/42 }

func (s said) tokens() int {
	n := 4 + tokens(s.text) + tokens(string(s.result))
	if s.call != nil {
		n += tokens(s.call.Name) + tokens(string(s.call.Arguments))
	}
	return n
}

func (e *exchange) usage() (u usage) {
	u.Model = e.model.name
	u.Input = 7 + tokens(e.system)
	for _, m := range e.messages {
		u.Input += m.tokens()
	}
	for _, tool := range e.tools {
		u.Input += 40 + tokens(tool.Name)
	}
	u.Output = e.answer.tokens()
	return u
}

func (e *exchange) finish() string {
	if e.answer.call != nil {
		return "tool_calls"
	}
	return "stop"
}

const (
	maxAttempts = 3
	// refused is the type of what is not tried again.
	refused = "BadRequestError"
)

// chat calls a model, and again if it refuses for a moment.
func (t *trace) chat(parent *op, e exchange) *failure {
	var f *failure
	for attempt := range maxAttempts {
		if attempt > 0 {
			t.spend(time.Duration(attempt)*600*time.Millisecond, 0.2)
		}
		if f = t.attempt(parent, e, attempt); f == nil || f.kind == refused {
			return f
		}
	}
	return f
}

func (t *trace) attempt(parent *op, e exchange, attempt int) *failure {
	scope := scopeGenAI
	if e.style == "openinference" {
		scope = scopeInfer
	}
	o := t.begin(parent, "llm-gateway", scope, span.KindClient, "chat "+e.model.name)
	u := e.usage()
	o.set("server.address", e.model.host, "server.port", 443)
	if attempt > 0 {
		o.set("http.request.resend_count", attempt)
	}
	if e.style == "openinference" {
		e.inferInput(o)
	} else {
		e.input(o)
	}
	t.spend(time.Duration(t.mood.slowModel*float64(320*time.Millisecond)), 0.45)
	if t.chance(t.mood.modelErrors) {
		f := pick(t, failure{"RateLimitError", "429: rate limit reached for " + e.model.name + ", retry after 1.2s"},
			failure{"APIStatusError", "529: overloaded"}, failure{"APITimeoutError", "request timed out"})
		if f.kind == "APITimeoutError" {
			t.spend(4*time.Second, 0.2)
		}
		return o.end(o.throw(&f))
	}
	if t.chance(0.007) {
		return o.end(o.throw(&failure{refused, "400: the prompt was refused by the content filter"}))
	}
	o.happen("first_token", "ms", t.at.Sub(o.span.StartTime).Milliseconds())
	t.spend(time.Duration(t.mood.slowModel*float64(u.Output)*float64(11*time.Millisecond)), 0.2)
	if e.style == "openinference" {
		e.inferOutput(o, u)
	} else {
		e.output(o, u, t.hex())
	}
	t.used.Model = u.Model
	t.used.Input += u.Input
	t.used.Output += u.Output
	return o.end(nil)
}

// part and turn are those of OpenTelemetry's conventions for messages.
type part struct {
	Type      string          `json:"type"`
	Content   string          `json:"content,omitempty"`
	ID        string          `json:"id,omitempty"`
	Name      string          `json:"name,omitempty"`
	Arguments json.RawMessage `json:"arguments,omitempty"`
	Response  json.RawMessage `json:"response,omitempty"`
}

type turn struct {
	Role   string `json:"role"`
	Parts  []part `json:"parts"`
	Finish string `json:"finish_reason,omitempty"`
}

func (s said) turn() turn {
	switch {
	case s.role == "tool":
		return turn{Role: s.role, Parts: []part{{Type: "tool_call_response", ID: s.callID, Response: s.result}}}
	case s.call != nil:
		return turn{Role: s.role, Parts: []part{{Type: "tool_call", ID: s.callID, Name: s.call.Name, Arguments: s.call.Arguments}}}
	}
	return turn{Role: s.role, Parts: []part{{Type: "text", Content: s.text}}}
}

// input sets what a model is asked, as OpenTelemetry's conventions say it.
func (e *exchange) input(o *op) {
	var turns []turn
	for _, m := range e.messages {
		turns = append(turns, m.turn())
	}
	o.set("gen_ai.operation.name", "chat", "gen_ai.provider.name", e.model.provider, "gen_ai.request.model", e.model.name, "gen_ai.request.max_tokens", 1024,
		"gen_ai.request.temperature", 0.2, "gen_ai.conversation.id", e.conversation,
		"gen_ai.system_instructions", jsonText([]part{{Type: "text", Content: e.system}}), "gen_ai.input.messages", jsonText(turns))
	if len(e.tools) > 0 {
		o.set("gen_ai.tool.definitions", jsonText(definitions(e.tools)))
	}
}

// definitions are the tools that a model may ask for.
func definitions(tools []toolUse) (all []map[string]any) {
	for _, tool := range tools {
		properties := map[string]any{}
		var arguments map[string]any
		if json.Unmarshal(tool.Arguments, &arguments) == nil {
			for name, value := range arguments {
				kind := "string"
				if _, ok := value.(float64); ok {
					kind = "number"
				}
				properties[name] = map[string]string{"type": kind}
			}
		}
		all = append(all, map[string]any{"type": "function", "name": tool.Name, "parameters": map[string]any{"type": "object", "properties": properties}})
	}
	return all
}

// output sets what a model has answered.
func (e *exchange) output(o *op, u usage, id string) {
	answer := e.answer.turn()
	answer.Finish = e.finish()
	o.set("gen_ai.response.model", e.model.answersAs, "gen_ai.response.id", "resp_"+id, "gen_ai.response.finish_reasons", []string{e.finish()},
		"gen_ai.usage.input_tokens", u.Input, "gen_ai.usage.output_tokens", u.Output, "gen_ai.output.messages", jsonText([]turn{answer}))
}

// inferInput sets what a model is asked, as OpenInference says it.
func (e *exchange) inferInput(o *op) {
	provider := e.model.provider
	o.set("openinference.span.kind", "LLM", "llm.provider", provider, "llm.system", provider, "llm.model_name", e.model.name,
		"llm.invocation_parameters", `{"temperature":0.2,"max_tokens":1024}`, "session.id", e.conversation, "input.mime_type", "application/json",
		"input.value", jsonText(map[string]any{"model": e.model.name, "messages": e.plain()}))
	o.infer("llm.input_messages.0", said{role: "system", text: e.system})
	for i, m := range e.messages {
		o.infer("llm.input_messages."+strconv.Itoa(i+1), m)
	}
}

func (e *exchange) plain() []map[string]string {
	all := []map[string]string{{"role": "system", "content": e.system}}
	for _, m := range e.messages {
		all = append(all, map[string]string{"role": m.role, "content": m.text + string(m.result)})
	}
	return all
}

func (e *exchange) inferOutput(o *op, u usage) {
	o.set("llm.model_name", e.model.answersAs, "llm.token_count.prompt", u.Input, "llm.token_count.completion", u.Output,
		"llm.token_count.total", u.Input+u.Output, "output.mime_type", "text/plain", "output.value", e.answer.text)
	o.infer("llm.output_messages.0", e.answer)
}

// infer sets one message as OpenInference does: an attribute for each part.
func (o *op) infer(prefix string, m said) {
	o.set(prefix+".message.role", m.role)
	switch {
	case m.role == "tool":
		o.set(prefix+".message.content", string(m.result), prefix+".message.tool_call_id", m.callID)
	case m.call != nil:
		call := prefix + ".message.tool_calls.0.tool_call."
		o.set(call+"id", m.callID, call+"function.name", m.call.Name, call+"function.arguments", string(m.call.Arguments))
	default:
		o.set(prefix+".message.content", m.text)
	}
}
