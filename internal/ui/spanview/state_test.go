package spanview

import (
	"fmt"
	"strings"
	"testing"

	"github.com/spanlake/spanlake/internal/span"
)

// change is a set_state event as JSON.
func change(at int64, attributes string) string {
	return fmt.Sprintf(`{"name":"set_state","time_nanos":%d,"attributes":{%s}}`, at, attributes)
}

// treeText writes a tree with its marks, on one line.
func treeText(n *Node) string {
	var b strings.Builder
	sign := map[string]string{markAdded: "+", markRemoved: "-", markReplaced: "~"}[n.Mark]
	b.WriteString(sign + n.Key)
	if n.Was != nil {
		b.WriteString("=" + treeText(n.Was) + "→")
	} else {
		b.WriteString("=")
	}
	if n.IsLeaf() {
		b.WriteString(n.Text.All)
		return b.String()
	}
	var inner []string
	for _, child := range n.Children {
		inner = append(inner, treeText(child))
	}
	b.WriteString("(" + strings.Join(inner, " ") + ")")
	if n.More > 0 {
		fmt.Fprintf(&b, "…%d", n.More)
	}
	return b.String()
}

func TestDiff(t *testing.T) {
	for _, tc := range []struct{ before, after, want string }{
		{`{"a":1,"b":2}`, `{"a":1,"b":3,"c":4}`, `=(a=1 ~b==2→3 +c=4)`},
		{`{"a":1,"b":2}`, `{"b":2}`, `=(b=2 -a=1)`},
		{`[1,2,3]`, `[1,9,2,3]`, `=(0=1 +1=9 2=2 3=3)`},
		{`[1,2,3]`, `[1,3]`, `=(0=1 1=3 -1=2)`},
		{`[1,2,3]`, `[1,5,3]`, `=(0=1 ~1==2→5 2=3)`},
		{`[{"x":1,"y":[]}]`, `[{"x":2,"y":[]}]`, `=(0=(~x==1→2 y=()))`},
		{`{"a":{"b":1}}`, `{"a":[1]}`, `=(~a==(b=1)→(0=1))`},
		{`1`, `1`, `=1`},
		{`{"a":1,"b":2}`, `{"b":2,"a":1}`, `=(b=2 a=1)`},
		{`{"a":"x"}`, `{"a":null}`, `=(~a==x→null)`},
	} {
		before, err := parse(tc.before, maxValues)
		if err != nil {
			t.Fatal(err)
		}
		after, err := parse(tc.after, maxValues)
		if err != nil {
			t.Fatal(err)
		}
		r := newRoom("")
		if got := treeText(r.tree().diff("", before, after, 0)); got != tc.want {
			t.Errorf("from %s to %s: got %s, want %s", tc.before, tc.after, got, tc.want)
		}
	}
}

// changesText writes what a page shows of the changes of a span.
func changesText(s *State) string {
	if s == nil {
		return "none"
	}
	var lines []string
	for _, w := range s.Whole {
		line := "whole"
		if w.States != nil {
			line += " " + treeText(w.States.Marked)
		} else {
			line += " start " + bodyText(w.Start)
		}
		if w.Differs {
			line += " differs"
		}
		for _, by := range w.By {
			line += fmt.Sprintf(" | %s %s %v", by.Span.Name, by.Action, by.Paths)
			if by.Problem != "" {
				line += " " + by.Problem
			}
		}
		lines = append(lines, line)
	}
	for _, c := range s.Changes {
		line := c.Action
		if c.Problem != "" {
			line += " problem: " + c.Problem
		}
		if c.Raw != nil {
			line += " raw: " + c.Raw.All
		}
		for _, o := range c.Operations {
			line += fmt.Sprintf(" | %s %s %s→%s", o.Mark, o.Path, bodyText(o.Before), bodyText(o.After))
			if o.Unknown {
				line += " unknown"
			}
		}
		if c.States != nil {
			line += " | " + treeText(c.States.Marked)
		}
		if c.Doubtful {
			line += " doubtful"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// workflow is a trace: a workflow w, its nodes a and b, and c in b.
func workflow(owner string, a, b, c string) []span.Span {
	trace := []span.Span{
		{SpanID: "w", Name: "w", Attributes: owner},
		{SpanID: "a", Name: "a", ParentSpanID: "w", Events: "[" + a + "]"},
		{SpanID: "b", Name: "b", ParentSpanID: "w", Events: "[" + b + "]"},
		{SpanID: "c", Name: "c", ParentSpanID: "b", Events: "[" + c + "]"},
	}
	for i := range trace {
		trace[i].TraceID, trace[i].StartTime = "t", secondsAfter1970(0)
	}
	return trace
}

func TestStates(t *testing.T) {
	const (
		start  = `{"junjo.workflow.state.start":"{\"n\":1}"}`
		stores = `{"junjo.workflow.state.start":"{\"n\":1}","junjo.workflow.store.id":"s1","junjo.workflow.state.end":"{\"n\":5}"}`
	)
	set := func(n int) string {
		return fmt.Sprintf(`"junjo.store.action":"set%d","junjo.state_json_patch":"[{\"op\":\"replace\",\"path\":\"/n\",\"value\":%d}]"`, n, n)
	}
	for _, tc := range []struct {
		name  string
		trace []span.Span
		of    int
		want  string
	}{
		{"of the nearest workflow above, in the order of time", workflow(start, change(3, set(4)), "", change(1, set(2))+","+change(2, set(3))), 1,
			`set4 | replaced /n 3→4 | =(~n==3→4)`},
		{"the workflow itself", workflow(start, change(3, set(4)), "", change(1, set(2))), 0, `whole =(~n==1→4) | c set2 [/n] | a set4 [/n]`},
		{"by the id of the store, and what the workflow says it became", workflow(stores, change(1, `"junjo.store.id":"s1",`+set(2)), "", ""), 0,
			`whole =(~n==1→5) differs | a set2 [/n]`},
		{"of another store", workflow(stores, change(1, `"junjo.store.id":"s2",`+set(2)), "", ""), 1, `set2 | replaced /n -→2 unknown`},
		{"nobody knows what was before", workflow(`{}`, change(1, set(2)), "", ""), 1, `set2 | replaced /n -→2 unknown`},
		{"the numbers of the client", workflow(stores, change(9, `"junjo.store.id":"s1","junjo.store.transition.sequence":1,`+set(7))+","+
			change(1, `"junjo.store.id":"s1","junjo.store.transition.sequence":2,`+set(5)), "", ""), 1,
			"set7 | replaced /n 1→7 | =(~n==1→7)\nset5 | replaced /n 7→5 | =(~n==7→5)"},
		{"damage", workflow(start, change(1, `"junjo.store.action":"bad","junjo.state_json_patch":"[{"`)+","+change(2, set(3)), "", ""), 1,
			"bad problem: it is not JSON: unexpected EOF raw: [{\nset3 | replaced /n 1→3 | =(~n==1→3) doubtful"},
		{"a patch that does not fit changes nothing", workflow(start, change(1, `"junjo.state_json_patch":"[{\"op\":\"add\",\"path\":\"/m\",\"value\":1},{\"op\":\"remove\",\"path\":\"/x\"}]"`)+
			","+change(2, set(3)), "", ""), 1,
			" problem: operation 2: there is nothing at the path | added /m -→1 | removed /x -→- unknown\nset3 | replaced /n 1→3 | =(~n==1→3) doubtful"},
		{"no patch", workflow(start, change(1, `"junjo.store.action":"x"`), "", ""), 1, "x problem: it has no junjo.state_json_patch"},
		{"nothing changed", workflow(start, change(1, `"junjo.store.action":"x","junjo.state_json_patch":"{}"`), "", ""), 1, "x"},
		{"a patch that is no text", workflow(start, change(1, `"junjo.state_json_patch":[{"op":"add","path":"/m","value":{"k":1}}]`), "", ""), 1,
			` | added /m -→{"k": 1} | =(n=1 +m=(k=1))`},
		{"a workflow that nothing changed", workflow(start, "", "", ""), 0, `whole start {"n": 1}`},
		{"nothing of the kind", workflow(start, "", "", ""), 1, "none"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &tc.trace[tc.of]
			if got := changesText(Of(s, Follow(tc.trace, s.SpanID)).State); got != tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
			if HasState(s) != (tc.want != "none") {
				t.Errorf("HasState is %v", HasState(s))
			}
		})
	}
	// Without the rest of the trace there is what the patch says.
	trace := workflow(start, change(1, set(2)), "", "")
	if got := changesText(Of(&trace[1], nil).State); got != "set2 | replaced /n -→2 unknown" {
		t.Errorf("without a history: %s", got)
	}
}

func TestParentsInACircle(t *testing.T) {
	trace := workflow(`{}`, change(1, `"junjo.state_json_patch":"[]"`), "", "")
	trace[0].ParentSpanID = "a"
	if got := changesText(Of(&trace[1], Follow(trace, "a")).State); got != "" {
		t.Errorf("got %q", got)
	}
}
