package spanview

import (
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/spanlake/spanlake/internal/terminal"
)

// Model is a call of a language model: what was asked of which one, and what it took.
type Model struct {
	// Name is the model that answered, or that was asked; Asked is set if that is another name.
	Name, Asked         string
	Provider, Operation string
	Tokens              []Fact
	Facts               []Fact
	Settings            []Fact
}

// Fact is a word and what it is of this span.
type Fact struct{ Name, Text string }

// settings are parameters of requests that people compare, by their words in a page.
func settings() []struct{ name, key string } {
	return []struct{ name, key string }{
		{"temperature", "temperature"}, {"top p", "top_p"}, {"top k", "top_k"}, {"max tokens", "max_tokens"}, {"max tokens", "max_completion_tokens"},
		{"frequency penalty", "frequency_penalty"}, {"presence penalty", "presence_penalty"}, {"seed", "seed"}, {"stop", "stop_sequences"},
		{"stop", "stop"}, {"choices", "choice.count"}, {"choices", "n"}, {"stream", "stream"}, {"reasoning", "reasoning_effort"},
		{"reasoning", "reasoning.level"}, {"service tier", "service_tier"}, {"encoding", "encoding_formats"}, {"dimensions", "dimensions"},
		{"tool choice", "tool_choice"},
	}
}

// model is nil if the span is no call of a model and of no agent.
func (m *maker) model() *Model {
	a := m.attributes
	asked := a.text("gen_ai.request.model", "llm.request.model", "ai.model.id", "llm.model_name", "embedding.model_name", "reranker.model_name")
	c := &Model{
		Name:      a.text("gen_ai.response.model", "llm.response.model", "ai.response.model"),
		Provider:  a.text("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system", "ai.model.provider"),
		Operation: a.text("gen_ai.operation.name", "llm.request.type", "openinference.span.kind", "traceloop.span.kind"),
		Tokens:    m.tokens(),
	}
	switch {
	case c.Name == "":
		c.Name = asked
	case asked != "" && asked != c.Name:
		c.Asked = asked
	}
	for _, f := range []struct {
		name string
		keys []string
	}{
		{"Finish", []string{"gen_ai.response.finish_reasons", "gen_ai.response.finish_reason", "llm.response.finish_reason", "llm.finish_reason",
			"ai.response.finishReason", "gen_ai.completion.0.finish_reason"}},
		{"Cost", []string{"llm.cost.total", "gen_ai.usage.total_cost", "gen_ai.usage.cost", "llm.usage.total_cost", "operation.cost", "gen_ai.cost.total_cost"}},
		{"Agent", []string{"gen_ai.agent.name", "agent.name", "agent_name"}},
		{"Workflow", []string{"gen_ai.workflow.name", "traceloop.workflow.name"}},
		{"Conversation", []string{"gen_ai.conversation.id", "session.id"}},
		{"Output", []string{"gen_ai.output.type"}},
		{"Response id", []string{"gen_ai.response.id"}},
		{"Host", []string{"server.address"}},
	} {
		if text := words(a.get(f.keys...)); text != "" && (f.name != "Host" || c.Name != "") {
			c.Facts = append(c.Facts, Fact{f.name, text})
		}
	}
	if first := m.firstToken(); first != "" {
		c.Facts = append(c.Facts, Fact{"First token", first})
	}
	if c.Name == "" && len(c.Tokens) == 0 && a.get("gen_ai.agent.name", "gen_ai.agent.id", "agent.name") == nil {
		return nil
	}
	c.Settings = m.settings()
	return c
}

func (m *maker) settings() (all []Fact) {
	invoked := opened(m.attributes.get("llm.invocation_parameters"))
	have := make(map[string]bool)
	for _, s := range settings() {
		v := m.attributes.get("gen_ai.request."+s.key, "llm.request."+s.key, "llm."+s.key)
		if v == nil {
			v = invoked.first(s.key)
		}
		if text := words(v); text != "" && !have[s.name] {
			have[s.name] = true
			all = append(all, Fact{s.name, text})
		}
	}
	return all
}

// words are a value on a line: items of a list, one after the other.
func words(v *value) string {
	if v == nil {
		return ""
	}
	if v.kind == kindArray && v.isFlat() {
		all := make([]string, 0, min(len(v.items), 10))
		for _, item := range v.items[:min(len(v.items), 10)] {
			// A stop sequence may be a line break: it must be seen.
			if item.kind == kindString && strings.TrimSpace(item.text) == item.text {
				all = append(all, cut(item.text, 100))
			} else {
				all = append(all, item.json(100))
			}
		}
		return strings.Join(all, ", ")
	}
	if v.isContainer() {
		return v.json(200)
	}
	if v.kind == kindNull {
		return ""
	}
	return cut(v.text, 300)
}

// tokens are what was used, in words.
func (m *maker) tokens() (all []Fact) {
	a := m.attributes
	number := func(keys ...string) (int64, bool) {
		n, err := strconv.ParseInt(a.text(keys...), 10, 64)
		return n, err == nil
	}
	in, hasIn := number("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt", "llm.usage.prompt_tokens", "ai.usage.promptTokens",
		"ai.usage.inputTokens")
	out, hasOut := number("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion", "llm.usage.completion_tokens",
		"ai.usage.completionTokens", "ai.usage.outputTokens")
	total, hasTotal := number("gen_ai.usage.total_tokens", "llm.usage.total_tokens", "llm.token_count.total", "ai.usage.totalTokens", "ai.usage.tokens")
	if !hasTotal && hasIn && hasOut {
		total, hasTotal = in+out, true
	}
	cached, hasCached := number("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens", "gen_ai.usage.input_tokens.cached",
		"llm.token_count.prompt_details.cache_read", "ai.usage.cachedInputTokens")
	written, hasWritten := number("gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_creation_input_tokens",
		"llm.token_count.prompt_details.cache_write")
	reasoning, hasReasoning := number("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens", "gen_ai.usage.output_tokens.reasoning",
		"llm.token_count.completion_details.reasoning", "ai.usage.reasoningTokens")
	for _, f := range []struct {
		name string
		n    int64
		has  bool
	}{
		{"in", in, hasIn}, {"out", out, hasOut}, {"total", total, hasTotal}, {"cached", cached, hasCached}, {"cache written", written, hasWritten},
		{"reasoning", reasoning, hasReasoning},
	} {
		if f.has {
			all = append(all, Fact{f.name, humanize.Comma(f.n)})
		}
	}
	return all
}

// firstToken is how long it took until a model began to answer.
func (m *maker) firstToken() string {
	if seconds, err := strconv.ParseFloat(m.attributes.text("gen_ai.response.time_to_first_chunk"), 64); err == nil && seconds > 0 && seconds < 1e6 {
		return terminal.Duration(secondsOf(seconds))
	}
	for i := range m.events {
		if name := m.events[i].name; name == "first_token" || name == "gen_ai.first_token" || name == "First Token Stream Event" || name == "ai.stream.firstChunk" {
			return m.events[i].offset(m.span)
		}
	}
	return ""
}

// Tool is a call of a tool.
type Tool struct {
	Name, ID, Description string
	Arguments, Result     *Body
}

// tool is nil if the span is no call of a tool.
func (m *maker) tool() *Tool {
	a := m.attributes
	isTool := a.text("gen_ai.operation.name") == "execute_tool" || strings.EqualFold(a.text("openinference.span.kind"), "tool") ||
		strings.EqualFold(a.text("traceloop.span.kind"), "tool")
	t := &Tool{
		Name:        a.text("gen_ai.tool.name", "tool.name", "tool_call.function.name", "ai.toolCall.name"),
		ID:          a.text("gen_ai.tool.call.id", "tool_call.id", "ai.toolCall.id"),
		Description: cut(a.text("gen_ai.tool.description", "tool.description"), 2_000),
	}
	arguments := []string{"gen_ai.tool.call.arguments", "tool.parameters", "tool_call.function.arguments", "ai.toolCall.args"}
	results := []string{"gen_ai.tool.call.result", "ai.toolCall.result"}
	if isTool {
		if t.Name == "" {
			t.Name = a.text("traceloop.entity.name")
		}
		arguments = append(arguments, "input.value", "traceloop.entity.input")
		results = append(results, "output.value", "traceloop.entity.output")
	}
	t.Arguments, t.Result = m.take(arguments...), m.take(results...)
	m.repeats(arguments)
	m.repeats(results)
	if !isTool && t.Name == "" && t.Arguments == nil && t.Result == nil {
		return nil
	}
	return t
}

// repeats are attributes that say what the first of them says, which is shown: clients write for several conventions at once.
func (m *maker) repeats(keys []string) {
	first := m.attributes.get(keys...)
	for _, key := range keys {
		if v := m.attributes.get(key); v != nil && v.kind == kindString && v.text == first.text {
			m.shown[key] = true
		}
	}
}

// take is the first of some attributes as a body, which need not be shown a second time.
func (m *maker) take(keys ...string) *Body {
	for _, key := range keys {
		if v := m.attributes.get(key); v != nil {
			m.shown[key] = true
			body := m.body(v, "")
			return &body
		}
	}
	return nil
}
