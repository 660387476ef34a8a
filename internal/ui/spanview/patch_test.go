package spanview

import (
	"strings"
	"testing"
)

// applyAll applies a patch as a history does.
func applyAll(t *testing.T, state, patch string) (*value, error) {
	t.Helper()
	v, err := parse(state, maxValues)
	if err != nil {
		t.Fatal(err)
	}
	operations, err := readPatch(patch)
	if err != nil {
		return nil, err
	}
	before := v.json(1 << 20)
	for i := range operations {
		next, _, _, err := operations[i].apply(v)
		if err != nil {
			return nil, err
		}
		v = next
	}
	if original, _ := parse(state, maxValues); original.json(1<<20) != before {
		t.Errorf("the state before was changed")
	}
	return v, nil
}

// TestPatch has the examples of RFC 6902, appendix A, and what it says of mistakes.
func TestPatch(t *testing.T) {
	for _, tc := range []struct{ name, state, patch, want string }{
		{"A.1 a member is added", `{"foo":"bar"}`, `[{"op":"add","path":"/baz","value":"qux"}]`, `{"foo": "bar", "baz": "qux"}`},
		{"A.2 an item is added", `{"foo":["bar","baz"]}`, `[{"op":"add","path":"/foo/1","value":"qux"}]`, `{"foo": ["bar", "qux", "baz"]}`},
		{"A.3 a member is removed", `{"baz":"qux","foo":"bar"}`, `[{"op":"remove","path":"/baz"}]`, `{"foo": "bar"}`},
		{"A.4 an item is removed", `{"foo":["bar","qux","baz"]}`, `[{"op":"remove","path":"/foo/1"}]`, `{"foo": ["bar", "baz"]}`},
		{"A.5 a value is replaced", `{"baz":"qux","foo":"bar"}`, `[{"op":"replace","path":"/baz","value":"boo"}]`, `{"baz": "boo", "foo": "bar"}`},
		{"A.6 a value is moved", `{"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}}`, `[{"op":"move","from":"/foo/waldo","path":"/qux/thud"}]`,
			`{"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}}`},
		{"A.7 an item is moved", `{"foo":["all","grass","cows","eat"]}`, `[{"op":"move","from":"/foo/1","path":"/foo/3"}]`, `{"foo": ["all", "cows", "eat", "grass"]}`},
		{"A.8 a test holds", `{"baz":"qux","foo":["a",2,"c"]}`, `[{"op":"test","path":"/baz","value":"qux"},{"op":"test","path":"/foo/1","value":2}]`,
			`{"baz": "qux", "foo": ["a", 2, "c"]}`},
		{"A.9 a test fails", `{"baz":"qux"}`, `[{"op":"test","path":"/baz","value":"bar"}]`, `error: another one`},
		{"A.10 a nested member is added", `{"foo":"bar"}`, `[{"op":"add","path":"/child","value":{"grandchild":{}}}]`, `{"foo": "bar", "child": {"grandchild": {}}}`},
		{"A.11 unknown members are ignored", `{"foo":"bar"}`, `[{"op":"add","path":"/baz","value":"qux","xyz":123}]`, `{"foo": "bar", "baz": "qux"}`},
		{"A.12 into what is not there", `{"foo":"bar"}`, `[{"op":"add","path":"/baz/bat","value":"qux"}]`, `error: nothing at the path`},
		{"A.14 a ~ and a / in a key", `{"/":9,"~1":10}`, `[{"op":"test","path":"/~01","value":10},{"op":"replace","path":"/~1","value":1}]`, `{"/": 1, "~1": 10}`},
		{"A.15 a string is no number", `{"/":9,"~1":10}`, `[{"op":"test","path":"/~01","value":"10"}]`, `error: another one`},
		{"A.16 an array is added", `{"foo":["bar"]}`, `[{"op":"add","path":"/foo/-","value":["abc","def"]}]`, `{"foo": ["bar", ["abc", "def"]]}`},
		{"the whole is replaced", `{"a":1}`, `[{"op":"replace","path":"","value":[1]}]`, `[1]`},
		{"the whole is removed", `{"a":1}`, `[{"op":"remove","path":""}]`, `null`},
		{"a value is copied", `{"a":[1]}`, `[{"op":"copy","from":"/a","path":"/b"},{"op":"add","path":"/b/-","value":2}]`, `{"a": [1], "b": [1, 2]}`},
		{"a value is moved to where it is", `{"a":1}`, `[{"op":"move","from":"/a","path":"/a"}]`, `{"a": 1}`},
		{"a value is moved into itself", `{"a":{"b":1}}`, `[{"op":"move","from":"/a","path":"/a/b"}]`, `error: into itself`},
		{"add replaces a member", `{"a":1}`, `[{"op":"add","path":"/a","value":2}]`, `{"a": 2}`},
		{"numbers with zeros are no places", `[1,2]`, `[{"op":"remove","path":"/01"}]`, `error: no place`},
		{"negative places", `[1,2]`, `[{"op":"remove","path":"/-1"}]`, `error: no place`},
		{"a place behind the end", `[1,2]`, `[{"op":"add","path":"/3","value":1}]`, `error: has no place 3`},
		{"the place at the end", `[1,2]`, `[{"op":"add","path":"/2","value":3}]`, `[1, 2, 3]`},
		{"nothing to replace", `{}`, `[{"op":"replace","path":"/a","value":3}]`, `error: nothing at the path`},
		{"nothing to remove", `{}`, `[{"op":"remove","path":"/a"}]`, `error: nothing at the path`},
		{"into a text", `{"a":"b"}`, `[{"op":"add","path":"/a/c","value":3}]`, `error: nothing at the path`},
		{"null is a value", `{"a":1}`, `[{"op":"replace","path":"/a","value":null}]`, `{"a": null}`},
		{"an empty key", `{"":1}`, `[{"op":"replace","path":"/","value":2}]`, `{"": 2}`},
		{"no path", `{}`, `[{"op":"add","value":2}]`, `error: no path`},
		{"no value", `{}`, `[{"op":"add","path":"/a"}]`, `error: without a value`},
		{"no from", `{}`, `[{"op":"move","path":"/a"}]`, `error: without from`},
		{"an unknown operation", `{}`, `[{"op":"spam","path":"/a"}]`, `error: no operation "spam"`},
		{"a path without /", `{}`, `[{"op":"add","path":"a","value":1}]`, `error: does not begin with /`},
		{"no array", `{}`, `{"op":"add"}`, `error: not an array`},
		{"nothing changed", `{}`, `{}`, `{}`},
		{"an empty text", `{}`, ``, `{}`},
		{"damage", `{}`, `[{"op":"add"`, `error: not JSON`},
		{"too much", `{}`, `[` + strings.Repeat(`{"op":"remove","path":"/a"},`, maxOperations) + `{"op":"remove","path":"/a"}]`, `error: 2001 operations`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := applyAll(t, tc.state, tc.patch)
			if problem, ok := strings.CutPrefix(tc.want, "error: "); ok {
				if err == nil || !strings.Contains(err.Error(), problem) {
					t.Errorf("got the error %v, want one that says %q", err, problem)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if text := got.json(1 << 20); text != tc.want {
				t.Errorf("got %s, want %s", text, tc.want)
			}
		})
	}
}

// TestEndlessCopies copies a state into itself, which makes it twice as large each time.
func TestEndlessCopies(t *testing.T) {
	v, err := parse(`{"a":{"b":1}}`, maxValues)
	if err != nil {
		t.Fatal(err)
	}
	first := v
	for range 2_000 {
		o := operation{op: "copy", from: "", path: "/a/b"}
		next, _, _, err := o.apply(v)
		if err != nil {
			t.Fatal(err)
		}
		v = next
	}
	r := newRoom("")
	tree := r.tree()
	if n := countNodes(tree.diff("", first, v, 0)); n > 2*treeNodes {
		t.Errorf("the tree has %d nodes", n)
	}
	if (&comparer{compareSteps}).equal(v, first, 0) {
		t.Error("the states are equal")
	}
}

func countNodes(n *Node) int {
	if n == nil {
		return 0
	}
	count := 1 + countNodes(n.Was)
	for _, child := range n.Children {
		count += countNodes(child)
	}
	return count
}
