package sample

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

func TestTracesAreBelievable(t *testing.T) {
	root := t.TempDir()
	made := generate(t, root, Options{Spans: 40_000, SpansPerFile: 15_000, Seed: 1})
	traces := readTraces(t, root)

	t.Run("each is one tree, its children inside their parents", func(t *testing.T) {
		for id, trace := range traces {
			checkTree(t, id, trace)
		}
	})
	t.Run("there are short, deep and wide ones, 10 to 12 spans in the mean", func(t *testing.T) {
		var short, deep, wide, widest int
		for _, trace := range traces {
			depth, width := depthAndWidth(trace)
			if len(trace) <= 3 {
				short++
			}
			if depth > 30 {
				deep++
			}
			if width >= 200 {
				wide++
			}
			widest = max(widest, width)
		}
		mean := float64(made.Spans) / float64(made.Traces)
		if mean < 10 || mean > 12 || short < len(traces)/5 || deep < 10 || wide < 10 || widest < 1_000 {
			t.Errorf("of %d traces of %.1f spans %d are short, %d deep, %d wide, the widest by %d",
				len(traces), mean, short, deep, wide, widest)
		}
	})
	t.Run("two or three spans of a hundred fail", func(t *testing.T) {
		var failed, handedOn int
		for id, trace := range traces {
			for _, s := range trace {
				if (s.StatusCode == span.StatusError) != (s.StatusMessage != "") {
					t.Errorf("trace %s has a span %s with the message %q", id, s.StatusCode, s.StatusMessage)
				}
				if s.StatusCode == span.StatusError {
					failed++
				}
				if s.StatusMessage == "a step failed" {
					handedOn++
				}
			}
		}
		if share := float64(failed) / float64(made.Spans); share < 0.02 || share > 0.03 || handedOn == 0 {
			t.Errorf("%.1f %% of the spans failed, %d of them because of a child", 100*share, handedOn)
		}
	})
	t.Run("each file has the spans of several services, one with an unusual name", func(t *testing.T) {
		for path := range contents(t, root) {
			services := map[string]string{}
			for _, s := range testkit.ReadSpans(t, filepath.Join(root, path)) {
				if known, ok := services[s.ServiceName]; ok && known != s.ResourceAttributes {
					t.Errorf("service %s has two kinds of resource attributes", s.ServiceName)
				}
				services[s.ServiceName] = s.ResourceAttributes
			}
			if services["tool runner/é"] == "" || len(services) < 9 {
				t.Errorf("%s has the services %v", path, services)
			}
		}
	})
	t.Run("the bytes of a span are those of real ones", func(t *testing.T) {
		if size := made.Bytes / made.Spans; size < 150 || size > 350 {
			t.Errorf("%d bytes for a span", size)
		}
	})
}

func TestEveryTextIsJSON(t *testing.T) {
	root := t.TempDir()
	generate(t, root, Options{Spans: 20_000, Seed: 3})
	seen := map[string]int{}
	for _, trace := range readTraces(t, root) {
		for _, s := range trace {
			var attributes, resource map[string]any
			var events []struct {
				Name       string         `json:"name"`
				TimeNanos  int64          `json:"time_nanos"`
				Attributes map[string]any `json:"attributes"`
			}
			parse(t, s.Attributes, &attributes)
			parse(t, s.ResourceAttributes, &resource)
			parse(t, s.Events, &events)
			if s.Links != "" {
				var links []map[string]any
				parse(t, s.Links, &links)
				seen["link"] += len(links)
			}
			if s.TraceState != "" {
				seen["trace state"]++
			}
			if s.ScopeName == "" || s.Flags&flagSampled == 0 || s.IsRoot() && s.Flags&flagIsRemote != 0 {
				t.Errorf("%s has the scope %q and the flags %#x", s.Name, s.ScopeName, s.Flags)
			}
			if resource["service.name"] != s.ServiceName {
				t.Fatalf("a span of %s has the resource %s", s.ServiceName, s.ResourceAttributes)
			}
			for _, key := range []string{"gen_ai.operation.name", "junjo.span_type", "openinference.span.kind"} {
				if value, ok := attributes[key]; ok {
					seen[key+"="+value.(string)]++
				}
			}
			// State is JSON in a string of the JSON.
			if state, ok := attributes["junjo.workflow.state.start"]; ok {
				parse(t, state.(string), new(map[string]any))
			}
			for _, event := range events {
				seen["event="+event.Name]++
				if at := time.Unix(0, event.TimeNanos); at.Before(s.StartTime) || at.After(s.EndTime) {
					t.Errorf("event %s is outside of its span", event.Name)
				}
				switch event.Name {
				case "exception":
					if event.Attributes["exception.message"] != s.StatusMessage || event.Attributes["exception.type"] == "" {
						t.Errorf("the status is %q, the exception %v", s.StatusMessage, event.Attributes)
					}
				case "set_state":
					parse(t, event.Attributes["junjo.state_json_patch"].(string), new([]map[string]any))
				}
			}
			if attributes["gen_ai.operation.name"] == "chat" {
				checkChat(t, s, attributes)
			}
		}
	}
	for _, want := range []string{
		"gen_ai.operation.name=chat", "gen_ai.operation.name=execute_tool", "gen_ai.operation.name=invoke_agent",
		"gen_ai.operation.name=embeddings", "junjo.span_type=workflow", "junjo.span_type=node",
		"openinference.span.kind=LLM", "openinference.span.kind=TOOL", "openinference.span.kind=AGENT",
		"event=exception", "event=set_state", "event=first_token", "link", "trace state",
	} {
		if seen[want] < 50 {
			t.Errorf("%s is on %d spans", want, seen[want])
		}
	}
}

func checkChat(t *testing.T, s span.Span, attributes map[string]any) {
	t.Helper()
	for _, key := range []string{
		"gen_ai.provider.name", "gen_ai.request.model", "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "input.value",
	} {
		if attributes[key] == nil {
			t.Errorf("%s has no %s", s.Name, key)
		}
	}
	if _, answered := attributes["output.value"]; answered == (s.StatusCode == span.StatusError) {
		t.Errorf("%s is %s and has an answer: %v", s.Name, s.StatusCode, answered)
	}
}

// checkTree sees that a trace is what every program takes for granted.
func checkTree(t *testing.T, id string, trace []span.Span) {
	t.Helper()
	hex := regexp.MustCompile(`^[0-9a-f]+$`)
	if len(id) != 32 || !hex.MatchString(id) {
		t.Errorf("trace id %q", id)
	}
	spans := make(map[string]span.Span, len(trace))
	for _, s := range trace {
		if len(s.SpanID) != 16 || !hex.MatchString(s.SpanID) {
			t.Errorf("span id %q", s.SpanID)
		}
		spans[s.SpanID] = s
	}
	if len(spans) != len(trace) {
		t.Errorf("trace %s has %d spans with %d ids", id, len(trace), len(spans))
	}
	for i, s := range trace {
		if s.IsRoot() {
			if i > 0 {
				t.Errorf("trace %s: the root is not first but has place %d", id, i)
			}
			continue
		}
		parent, ok := spans[s.ParentSpanID]
		if !ok {
			t.Errorf("trace %s: span %s has no parent %s", id, s.SpanID, s.ParentSpanID)
		}
		if s.StartTime.Before(parent.StartTime) || s.EndTime.After(parent.EndTime) || s.EndTime.Before(s.StartTime) {
			t.Errorf("trace %s: %s from %s to %s is not inside %s from %s to %s", id,
				s.Name, s.StartTime, s.EndTime, parent.Name, parent.StartTime, parent.EndTime)
		}
	}
}

// depthAndWidth is the longest chain of a trace and the most children of one span.
func depthAndWidth(trace []span.Span) (depth, width int) {
	depths, children := map[string]int{}, map[string]int{}
	for _, s := range trace {
		depths[s.SpanID] = depths[s.ParentSpanID] + 1
		children[s.ParentSpanID]++
		depth, width = max(depth, depths[s.SpanID]), max(width, children[s.ParentSpanID])
	}
	return depth, width
}

func parse(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

// readTraces reads a whole lake by trace id, each trace in the order of its rows.
func readTraces(t *testing.T, root string) map[string][]span.Span {
	t.Helper()
	traces := make(map[string][]span.Span)
	for path := range contents(t, root) {
		for _, s := range testkit.ReadSpans(t, filepath.Join(root, path)) {
			traces[s.TraceID] = append(traces[s.TraceID], s)
		}
	}
	return traces
}
