package demo

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
)

var testNow = time.Date(2026, 11, 29, 14, 0, 0, 0, time.UTC)

// traces are many, over all of the history.
func traces(t *testing.T, n int) (all [][]span.Span) {
	t.Helper()
	traffic, err := NewTraffic(1, testNow)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		all = append(all, traffic.Trace(testNow.Add(-time.Hour+time.Duration(i)*time.Second)))
	}
	return all
}

func attributesOf(t *testing.T, s span.Span) map[string]any {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal([]byte(s.Attributes), &all); err != nil {
		t.Fatalf("%s: %v", s.Name, err)
	}
	return all
}

func TestTheSameSeedMakesTheSameTraces(t *testing.T) {
	if a, b := traces(t, 200), traces(t, 200); !reflect.DeepEqual(a, b) {
		t.Error("two runs differ")
	}
}

// Traces are trees whose spans lie within their parents, and OTLP can say them.
func TestTracesAreSound(t *testing.T) {
	names, failed, total := map[string]bool{}, 0, 0
	ids := map[string]bool{}
	for _, trace := range traces(t, 3000) {
		byID := map[string]span.Span{}
		for _, s := range trace {
			if ids[s.SpanID] {
				t.Fatalf("span id %s comes twice", s.SpanID)
			}
			ids[s.SpanID], byID[s.SpanID] = true, s
		}
		root := trace[0]
		for _, s := range trace {
			total++
			names[s.Name] = true
			parent, ok := byID[s.ParentSpanID]
			switch {
			case s.IsRoot() != (s.SpanID == root.SpanID), !s.IsRoot() && !ok:
				t.Fatalf("%s of %s has the parent %q", s.Name, root.Name, s.ParentSpanID)
			case ok && (s.StartTime.Before(parent.StartTime) || s.EndTime.After(parent.EndTime)):
				t.Fatalf("%s is not within %s", s.Name, parent.Name)
			case !s.StartTime.Before(s.EndTime) || s.TraceID != root.TraceID:
				t.Fatalf("%s from %s to %s in %s", s.Name, s.StartTime, s.EndTime, s.TraceID)
			}
			if s.StatusCode == span.StatusError {
				failed++
			}
		}
		if root.Duration() > 5*time.Minute {
			t.Errorf("%s takes %s", root.Name, root.Duration())
		}
		if _, left := otlpwire.Join(trace); len(left) > 0 {
			t.Fatalf("%s: %v", root.Name, left)
		}
	}
	if failed < total/200 || failed > total/5 {
		t.Errorf("%d of %d spans failed", failed, total)
	}
	for _, name := range []string{"GET /healthz", "POST /api/chat", "POST /api/support/messages", "process usage.recorded", "Document Indexing Workflow", "invoke_agent support",
		"execute_tool issue_refund", "retrieve handbook", "chat claude-sonnet-4-5", "ReviewAnswerNode", "INSERT refunds"} {
		if !names[name] {
			t.Errorf("no span is named %q", name)
		}
	}
}

// What models are asked and answer can be read, and the tokens are those of the texts.
func TestConversations(t *testing.T) {
	styles := map[string]int{}
	for _, trace := range traces(t, 1500) {
		for _, s := range trace {
			if strings.ContainsAny(strings.NewReplacer("{conversation_id}", "", "{id}", "").Replace(s.Name), "{}") {
				t.Errorf("a span is named %q", s.Name)
			}
			for _, left := range []string{"{order}", "{name}", "{city}", "{amount}", "{number}", "{email}"} {
				if strings.Contains(s.Attributes, left) {
					t.Fatalf("%s: %s was not filled in: %s", s.Name, left, s.Attributes)
				}
			}
			a := attributesOf(t, s)
			switch {
			case a["gen_ai.operation.name"] == "chat" && s.StatusCode != span.StatusError:
				styles["semconv"]++
				var in, out []turn
				if json.Unmarshal([]byte(a["gen_ai.input.messages"].(string)), &in) != nil || json.Unmarshal([]byte(a["gen_ai.output.messages"].(string)), &out) != nil ||
					len(in) == 0 || in[0].Role != "user" || len(out) != 1 || len(out[0].Parts) != 1 || out[0].Finish == "" {
					t.Fatalf("messages of %s: %s", s.Name, s.Attributes)
				}
				text := out[0].Parts[0].Content + string(out[0].Parts[0].Arguments)
				if got := a["gen_ai.usage.output_tokens"].(float64); got < float64(len(text))/8 || got > float64(len(text))/2+20 {
					t.Errorf("%v tokens for %q", got, text)
				}
				if s.Name != "chat "+a["gen_ai.request.model"].(string) || !strings.HasPrefix(a["gen_ai.response.model"].(string), strings.TrimSuffix(a["gen_ai.request.model"].(string), "-latest")) {
					t.Errorf("%s is of %v, answered by %v", s.Name, a["gen_ai.request.model"], a["gen_ai.response.model"])
				}
			case a["openinference.span.kind"] == "LLM" && s.StatusCode != span.StatusError:
				styles["openinference"]++
				if a["llm.input_messages.0.message.role"] != "system" || a["llm.output_messages.0.message.content"] == "" ||
					a["llm.token_count.total"].(float64) != a["llm.token_count.prompt"].(float64)+a["llm.token_count.completion"].(float64) {
					t.Fatalf("messages of %s: %s", s.Name, s.Attributes)
				}
			}
		}
	}
	if styles["semconv"] < 200 || styles["openinference"] < 50 {
		t.Errorf("calls of models by style: %v", styles)
	}
}

// The state at the end of a workflow is that of its start with all patches of its nodes.
func TestStatesOfWorkflows(t *testing.T) {
	seen := 0
	for _, trace := range traces(t, 1500) {
		for _, workflow := range trace {
			a := attributesOf(t, workflow)
			if a["junjo.span_type"] != "workflow" {
				continue
			}
			seen++
			var state, want map[string]any
			if err := json.Unmarshal([]byte(a["junjo.workflow.state.start"].(string)), &state); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(a["junjo.workflow.state.end"].(string)), &want); err != nil {
				t.Fatal(err)
			}
			for _, node := range trace {
				if node.ParentSpanID == workflow.SpanID {
					patch(t, state, node)
				}
			}
			if !reflect.DeepEqual(state, want) {
				t.Fatalf("%s ends with %v, want %v", workflow.Name, want, state)
			}
		}
	}
	if seen < 100 {
		t.Errorf("only %d workflows", seen)
	}
}

// patch applies what a node changed: replace a key, or add to the end of an array.
func patch(t *testing.T, state map[string]any, node span.Span) {
	t.Helper()
	var events []struct {
		Name       string            `json:"name"`
		Attributes map[string]string `json:"attributes"`
	}
	_ = json.Unmarshal([]byte(node.Events), &events) // other events have numbers
	for _, e := range events {
		if e.Name != "set_state" {
			continue
		}
		var changes []change
		if err := json.Unmarshal([]byte(e.Attributes["junjo.state_json_patch"]), &changes); err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			key, position, nested := strings.Cut(c.Path[1:], "/")
			if _, ok := state[key]; !ok {
				t.Fatalf("%s: no %s to change", node.Name, c.Path)
			}
			if !nested {
				state[key] = c.Value
				continue
			}
			list := state[key].([]any)
			if c.Op != "add" || position != jsonText(len(list)) {
				t.Fatalf("%s: %s %s of %d", node.Name, c.Op, c.Path, len(list))
			}
			state[key] = append(list, c.Value)
		}
	}
}

// Messages of the queue are processed in traces that link to one which was made before.
func TestLinksLeadToTraces(t *testing.T) {
	made, links := map[string]bool{}, 0
	for _, trace := range traces(t, 500) {
		for _, s := range trace {
			made[s.TraceID+s.SpanID] = true
			if s.Links == "" {
				continue
			}
			links++
			var all []link
			if err := json.Unmarshal([]byte(s.Links), &all); err != nil || !made[all[0].TraceID+all[0].SpanID] {
				t.Errorf("%s links to %s: %v", s.Name, s.Links, err)
			}
		}
	}
	if links == 0 {
		t.Error("no span has a link")
	}
}

// Live traffic has each span when it has ended, at about the pace, with the traces that were under way.
func TestLive(t *testing.T) {
	running := traces(t, 1)[0]
	for i := range running {
		running[i].EndTime = testNow.Add(time.Second)
	}
	live, err := NewLive(3, testNow, slices.Clone(running))
	if err != nil {
		t.Fatal(err)
	}
	begun, spans := map[string]bool{}, 0
	for at := testNow; at.Before(testNow.Add(5 * time.Minute)); at = at.Add(exportEvery) {
		for _, s := range live.Until(at) {
			if s.EndTime.After(at) || s.EndTime.Before(at.Add(-exportEvery)) {
				t.Fatalf("%s ended %s and comes %s", s.Name, s.EndTime, at)
			}
			begun[s.TraceID] = true
			spans++
		}
	}
	if !begun[running[0].TraceID] {
		t.Error("what was under way is lost")
	}
	asleep := testNow.Add(8 * time.Hour)
	for _, s := range live.Until(asleep) {
		if s.StartTime.After(testNow.Add(6*time.Minute)) && s.StartTime.Before(asleep.Add(-time.Second)) {
			t.Fatalf("%s began %s, while the machine slept", s.Name, s.StartTime)
		}
	}
	if perSecond := float64(len(begun)) / 300; perSecond < 1.5 || perSecond > 5 {
		t.Errorf("%.1f traces a second", perSecond)
	}
}
