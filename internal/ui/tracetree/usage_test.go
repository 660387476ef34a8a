package tracetree

import (
	"fmt"
	"strings"
	"testing"

	"github.com/spanlake/spanlake/internal/span"
)

func TestReadUsage(t *testing.T) {
	for _, tc := range []struct{ attributes, want string }{
		{`{"gen_ai.operation.name":"chat","gen_ai.request.model":"m","gen_ai.response.model":"m-2","gen_ai.usage.input_tokens":12,"gen_ai.usage.output_tokens":3}`,
			"m-2 12 3 call"},
		{`{"gen_ai.operation.name":"chat","gen_ai.request.model":"m"}`, "m call without tokens"},
		{`{"gen_ai.usage.prompt_tokens":5,"gen_ai.usage.completion_tokens":7.0}`, " 5 7"},
		{`{"gen_ai.usage.prompt_tokens":5,"gen_ai.usage.input_tokens":5}`, " 5 0"},
		{`{"llm.token_count.prompt":5,"llm.token_count.completion":6,"llm.model_name":"o","openinference.span.kind":"LLM"}`, "o 5 6 call"},
		{`{"gen_ai.operation.name":"invoke_agent","gen_ai.usage.input_tokens":1}`, " 1 0"},
		{`{"gen_ai.usage.input_tokens":-1,"gen_ai.usage.output_tokens":1e300}`, "nothing"},
		{`{"gen_ai.usage.input_tokens":"12","gen_ai.request.model":7}`, "nothing"},
		{`{"http.route":"/llm.x"}`, "nothing"},
		{`["gen_ai."]`, "nothing"},
		{`{"gen_ai.usage.input_tokens"`, "nothing"},
		{``, "nothing"},
	} {
		got := "nothing"
		if u := readUsage(tc.attributes); u != nil {
			got = u.Model
			if u.HasTokens {
				got += fmt.Sprintf(" %d %d", u.Input, u.Output)
			}
			if u.call {
				got += " call"
			}
			if !u.HasTokens {
				got += " without tokens"
			}
		}
		if got != tc.want {
			t.Errorf("%s: %s, want %s", tc.attributes, got, tc.want)
		}
	}
}

func TestTokensAreCountedOnce(t *testing.T) {
	with := func(id, parent, operation string, input, output int) span.Span {
		s := at(id, parent, 0, 9)
		s.Attributes = fmt.Sprintf(`{"gen_ai.operation.name":%q,"gen_ai.response.model":"m-%s","gen_ai.usage.input_tokens":%d,"gen_ai.usage.output_tokens":%d}`,
			operation, id, input, output)
		return s
	}
	failed := at("f", "r", 0, 9)
	failed.Attributes = `{"gen_ai.operation.name":"chat","gen_ai.request.model":"m-f"}`
	for _, tc := range []struct {
		name  string
		spans []span.Span
		want  string
	}{
		{"none", []span.Span{at("r", "", 0, 9)}, "0 0 of 0"},
		{"calls", []span.Span{at("r", "", 0, 9), with("a", "r", "chat", 10, 1), with("b", "r", "embeddings", 20, 0)}, "30 1 of 2: b 20 0 1, a 10 1 1"},
		{"an agent repeats its calls", []span.Span{with("r", "", "invoke_agent", 30, 3), with("a", "r", "chat", 10, 1), with("b", "r", "chat", 20, 2)},
			"30 3 of 2: b 20 2 1, a 10 1 1"},
		{"an agent far above", []span.Span{with("r", "", "invoke_agent", 10, 1), at("s", "r", 0, 9), with("a", "s", "chat", 10, 1)}, "10 1 of 1: a 10 1 1"},
		{"agents of agents", []span.Span{with("r", "", "invoke_agent", 10, 1), with("s", "r", "invoke_agent", 10, 1), with("a", "s", "chat", 10, 1)},
			"10 1 of 1: a 10 1 1"},
		{"an agent whose calls were not recorded", []span.Span{at("r", "", 0, 9), with("a", "r", "invoke_agent", 30, 3)}, "30 3 of 1: a 30 3 1"},
		{"a call that two libraries recorded", []span.Span{with("a", "", "chat", 10, 1), with("b", "a", "chat", 10, 1)}, "10 1 of 1: b 10 1 1"},
		{"a call whose tool made another", []span.Span{with("a", "", "chat", 10, 1), at("t", "a", 0, 9), with("b", "t", "chat", 5, 2)},
			"15 3 of 2: a 10 1 1, b 5 2 1"},
		{"a call that failed", []span.Span{at("r", "", 0, 9), with("a", "r", "chat", 10, 1), failed}, "10 1 of 2: a 10 1 1, f 0 0 1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			u := New(tc.spans).Usage
			got := fmt.Sprintf("%d %d of %d", u.Input, u.Output, u.Calls)
			var models []string
			for _, m := range u.Models {
				models = append(models, fmt.Sprintf("%s %d %d %d", strings.TrimPrefix(m.Model, "m-"), m.Input, m.Output, m.Calls))
			}
			if len(models) > 0 {
				got += ": " + strings.Join(models, ", ")
			}
			if got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}
