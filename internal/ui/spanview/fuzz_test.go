package spanview

import (
	"reflect"
	"strings"
	"testing"

	"github.com/spanlake/spanlake/internal/span"
)

// mostBytes and mostNodes bound what a page can get of a span, whatever the span is.
const (
	mostBytes = 8 << 20
	mostNodes = 2*pageNodes + 4*maxChanges + 2*pageRows + 2*pagePieces
)

// measure counts the bytes of all texts and the nodes of all trees that templates can reach.
func measure(v reflect.Value, bytes, nodes *int) {
	switch v.Kind() {
	case reflect.String:
		*bytes += v.Len()
	case reflect.Pointer:
		if _, isSpan := reflect.TypeAssert[*span.Span](v); !isSpan && !v.IsNil() {
			measure(v.Elem(), bytes, nodes)
		}
	case reflect.Slice:
		for i := range v.Len() {
			measure(v.Index(i), bytes, nodes)
		}
	case reflect.Struct:
		if _, isNode := reflect.TypeAssert[Node](v); isNode {
			*nodes++
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				measure(v.Field(i), bytes, nodes)
			}
		}
	default:
	}
}

func assertBounded(t *testing.T, v *View) {
	t.Helper()
	var bytes, nodes int
	measure(reflect.ValueOf(v), &bytes, &nodes)
	if bytes > mostBytes || nodes > mostNodes {
		t.Errorf("the view has %d bytes and %d nodes", bytes, nodes)
	}
}

func FuzzView(f *testing.F) {
	f.Add(`{"gen_ai.input.messages":"[{\"role\":\"user\",\"parts\":[{\"type\":\"text\",\"content\":\"x\"}]}]","gen_ai.usage.input_tokens":3}`,
		`[{"name":"exception","time_nanos":1,"attributes":{"exception.message":"m"}}]`, `[{"trace_id":"t","span_id":"s"}]`, `{"service.name":"s"}`)
	f.Add(`{"llm.input_messages.0.message.contents.0.message_content.image.image.url":"data:image/png;base64,AAAA","llm.tools.0.tool.json_schema":"{}"}`,
		`[{"name":"gen_ai.choice","attributes":{"message":"{\"content\":[{\"type\":\"tool_use\",\"input\":{}}]}"}}]`, `[{}]`, `null`)
	f.Add(`{"input.value":"{\"messages\":[[{\"kwargs\":{\"content\":1},\"id\":[\"a\"]}]]}","retrieval.documents.0.document.metadata":"[]","llm.invocation_parameters":"{"}`,
		`[{"name":"set_state","time_nanos":-1,"attributes":{"junjo.state_json_patch":"[{\"op\":\"add\",\"path\":\"/a/-\",\"value\":[1]}]"}}]`, `{`, `[]`)
	f.Add(`{"ai.response.toolCalls":"[[]]","gen_ai.prompt.0":"x","gen_ai.prompt.0.content":"y","gen_ai.tool.definitions":"[1]","a":[[[[[[{}]]]]]]}`, `[null]`, `[null]`, `1`)
	f.Fuzz(func(t *testing.T, attributes, events, links, resource string) {
		s := &span.Span{TraceID: "t", SpanID: "s", Attributes: attributes, Events: events, Links: links, ResourceAttributes: resource, ScopeAttributes: resource}
		assertBounded(t, Of(s, nil))
		if HasState(s) {
			assertBounded(t, Of(s, Follow([]span.Span{*s}, "s")))
		}
	})
}

func FuzzPatch(f *testing.F) {
	f.Add(`{"a":[1,{"b":null}],"~/":2}`, `[{"op":"move","from":"/a/1","path":"/c"},{"op":"copy","from":"","path":"/a/-"},{"op":"test","path":"/~0~1","value":2}]`)
	f.Add(`[1,2,3]`, `[{"op":"remove","path":"/0"},{"op":"add","path":"/2","value":{}},{"op":"replace","path":"/-","value":0}]`)
	f.Add(`{}`, `{}`)
	f.Add(`"x"`, `[{"op":"add","path":"","value":{"a":1}},{"op":"remove","path":""},{"op":"add","path":"/a","value":1}]`)
	f.Fuzz(func(t *testing.T, state, patch string) {
		first, err := parse(state, 1_000)
		if err != nil {
			return
		}
		operations, err := readPatch(patch)
		if err != nil {
			return
		}
		before := first.json(100_000)
		v := first
		for i := range operations {
			next, _, _, err := operations[i].apply(v)
			if err != nil {
				break
			}
			v = next
		}
		if after := first.json(100_000); after != before {
			t.Errorf("the state before was changed: %s became %s", before, after)
		}
		r := newRoom("")
		tree := r.tree()
		if n := countNodes(tree.diff("", first, v, 0)); n > 2*treeNodes {
			t.Errorf("the tree has %d nodes", n)
		}
		_ = v.json(10_000)
	})
}

func FuzzFollow(f *testing.F) {
	f.Add(`{"junjo.workflow.state.start":"{\"a\":[]}","junjo.workflow.store.id":"s","junjo.workflow.state.end":"{}"}`,
		`[{"name":"set_state","time_nanos":5,"attributes":{"junjo.store.id":"s","junjo.store.transition.sequence":3,"junjo.state_json_patch":"[{\"op\":\"add\",\"path\":\"/a/-\",\"value\":1}]"}}]`,
		`[{"name":"set_state","attributes":{"junjo.state_json_patch":[{"op":"copy","from":"","path":"/b"}]}}]`)
	f.Fuzz(func(t *testing.T, owner, one, other string) {
		trace := []span.Span{
			{SpanID: "w", TraceID: "t", ParentSpanID: "b", Attributes: owner, Events: one}, {SpanID: "a", TraceID: "t", ParentSpanID: "w", Events: other},
			{SpanID: "b", TraceID: "t", ParentSpanID: "a", Events: one},
		}
		for i := range trace {
			assertBounded(t, Of(&trace[i], Follow(trace, trace[i].SpanID)))
		}
	})
}

// TestLargeSpansAreBounded shows spans that have more than a page can take of everything.
func TestLargeSpansAreBounded(t *testing.T) {
	number := func(i int) string { return strings.Repeat("x", i%7) + string(rune('a'+i%26)) }
	var many, messages, events, nested strings.Builder
	for i := range 10_000 {
		many.WriteString(`,"ns` + number(i) + `.` + number(i*3) + `":{"value":[1,2,{"k":"` + strings.Repeat("v", 50) + `"}]}`)
		messages.WriteString(`,{"role":"user","parts":[{"type":"text","content":"` + strings.Repeat("m", 100) + `"}]}`)
		nested.WriteString(`,{"a":` + strings.Repeat("[", 30) + strings.Repeat("]", 30) + `}`)
	}
	for range 1_000 {
		events.WriteString(`,{"name":"e","time_nanos":1,"attributes":{"a.b":"` + strings.Repeat("e", 2_000) + `"` + `}}`)
	}
	for name, s := range map[string]*span.Span{
		"many attributes":    {Attributes: `{"a":1` + many.String() + `}`},
		"many messages":      {Attributes: `{"gen_ai.input.messages":[{"role":"user","content":"first"}` + messages.String() + `]}`},
		"many events":        {Events: `[{"name":"first"}` + events.String() + `]`},
		"a large tree":       {Attributes: `{"a.tree":[1` + nested.String() + `]}`},
		"an enormous text":   {Attributes: `{"a.text":"` + strings.Repeat("text ", 400_000) + `"}`},
		"a text of brackets": {Attributes: `{"a.text":"` + strings.Repeat("[", 1_000_000) + `"}`},
	} {
		t.Run(name, func(t *testing.T) { assertBounded(t, Of(s, nil)) })
	}
	v := Of(&span.Span{Attributes: `{"a":1` + many.String() + `}`, Events: `[{"name":"first"}` + events.String() + `]`}, nil)
	if v.Attributes.Count != 10_001 || v.Attributes.More != 10_001-maxRows || len(v.Events) != maxListed || v.MoreEvents != 1_001-maxListed {
		t.Errorf("%d attributes, %d not shown; %d events, %d not shown", v.Attributes.Count, v.Attributes.More, len(v.Events), v.MoreEvents)
	}
}
