package tracetree

import (
	"cmp"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// Usage is what a span tells of a language model.
type Usage struct {
	// Model is the one that answered, or else the one that was asked; "" if it is not told.
	Model string
	// Input and Output are tokens. HasTokens: they are told.
	Input, Output int64
	HasTokens     bool
	// Counted: the tokens are part of the sum of the trace.
	Counted bool
	// call: the span is a call of a model, not an agent or a chain around some.
	call bool
}

// Total is what the spans of a trace used.
type Total struct {
	Input, Output, Calls int64
	// Models are those with most tokens first.
	Models []ModelTotal
}

// ModelTotal is what the calls of one model used.
type ModelTotal struct {
	Model                string
	Input, Output, Calls int64
}

// findUsage reads the attributes, and adds up tokens so that none is counted twice. Agents, chains and workflows repeat what the calls below them
// used (invoke_agent of OpenTelemetry's conventions has gen_ai.usage.* for the whole agent): they count only if nothing below them does, since then
// the calls themselves were not recorded. Two libraries may record the same call one inside the other: a call counts unless what counts below it has
// exactly its tokens. A call below which others were made, such as by a tool that it ran, counts beside them.
func (t *Tree) findUsage() {
	below := make([]tokens, len(t.Rows))
	models := make(map[string]*ModelTotal)
	for i := len(t.Rows) - 1; i >= 0; i-- {
		r := &t.Rows[i]
		r.Usage = readUsage(r.Span.Attributes)
		sum := below[i]
		if u := r.Usage; u != nil {
			// A call that failed may tell of none.
			u.Counted = u.HasTokens && (sum.input+sum.output == 0 || u.call && (sum.input != u.Input || sum.output != u.Output))
			if u.Counted || u.call && sum.spans == 0 {
				sum = tokens{sum.input + u.Input, sum.output + u.Output, sum.spans + 1}
				t.Usage.add(models, u)
			}
		}
		if r.Parent >= 0 {
			above := &below[r.Parent]
			*above = tokens{above.input + sum.input, above.output + sum.output, above.spans + sum.spans}
		}
	}
	for _, m := range models {
		t.Usage.Models = append(t.Usage.Models, *m)
	}
	slices.SortFunc(t.Usage.Models, func(a, b ModelTotal) int {
		return cmp.Or(cmp.Compare(b.Input+b.Output, a.Input+a.Output), cmp.Compare(b.Calls, a.Calls), strings.Compare(a.Model, b.Model))
	})
}

// tokens are a sum over so many spans.
type tokens struct {
	input, output int64
	spans         int
}

func (t *Total) add(models map[string]*ModelTotal, u *Usage) {
	m := models[u.Model]
	if m == nil {
		m = &ModelTotal{Model: u.Model}
		models[u.Model] = m
	}
	t.Input, t.Output, t.Calls = t.Input+u.Input, t.Output+u.Output, t.Calls+1
	m.Input, m.Output, m.Calls = m.Input+u.Input, m.Output+u.Output, m.Calls+1
}

// maxTokens is more than any span used: a number beyond it is a mistake, and must not make the sum one.
const maxTokens = 1 << 40

// readUsage reads the attributes of OpenTelemetry's conventions for generative AI, of their older versions, and of OpenInference. It is nil if
// there is nothing about a model.
func readUsage(attributes string) *Usage {
	// Most spans have nothing of it, and gjson need not go through them.
	if !strings.Contains(attributes, "gen_ai.") && !strings.Contains(attributes, "llm.") && !strings.Contains(attributes, `"openinference.`) {
		return nil
	}
	var u Usage
	requested := ""
	object := gjson.Parse(attributes)
	if !object.IsObject() {
		return nil
	}
	object.ForEach(func(key, value gjson.Result) bool {
		switch key.String() {
		case "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt":
			u.read(&u.Input, value)
		case "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion":
			u.read(&u.Output, value)
		case "gen_ai.response.model":
			u.Model = cmp.Or(text(value), u.Model)
		case "gen_ai.request.model", "llm.model_name", "embedding.model_name":
			requested = cmp.Or(text(value), requested)
		case "gen_ai.operation.name":
			switch value.String() {
			case "chat", "text_completion", "generate_content", "completion", "embeddings":
				u.call = true
			}
		case "openinference.span.kind":
			u.call = u.call || value.String() == "LLM" || value.String() == "EMBEDDING"
		}
		return true
	})
	u.Model = cmp.Or(u.Model, requested)
	if !u.HasTokens && !u.call && u.Model == "" {
		return nil
	}
	return &u
}

// read takes a number of tokens. Where a span has both an old and a new attribute, they say the same.
func (u *Usage) read(into *int64, value gjson.Result) {
	if value.Type != gjson.Number {
		return
	}
	if n := value.Num; n >= 0 && n < maxTokens {
		*into, u.HasTokens = max(*into, int64(n)), true
	}
}

func text(value gjson.Result) string {
	if value.Type != gjson.String {
		return ""
	}
	return value.String()
}
