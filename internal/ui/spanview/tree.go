package spanview

import (
	"strconv"

	"github.com/spanlake/spanlake/internal/terminal"
)

// Node is a value in a tree of JSON.
type Node struct {
	// Key is that of a member, or the number of an item. Root: it has none.
	Key        string
	Root, Item bool
	// Type is that of the JSON value.
	Type string
	// Text is that of a value without members.
	Text *Text
	// Size says how many members there are.
	Size     string
	Children []*Node
	// More are members that are not shown.
	More int
	// Open: it is unfolded to begin with.
	Open bool
	// Nested: a string that holds JSON.
	Nested bool
	// Mark is what a change did to it: added, removed, replaced, or inside if it is one of its members that changed.
	Mark string
	// Was is the value before, if it was replaced.
	Was *Node
}

// IsLeaf tells whether there is nothing to unfold.
func (n *Node) IsLeaf() bool { return n.Text != nil }

// The marks of changes.
const (
	markAdded    = "added"
	markRemoved  = "removed"
	markReplaced = "replaced"
	markInside   = "inside"
)

// tree makes the nodes of one tree.
type tree struct {
	room *room
	// left is how many nodes it may still have, begun how many it had.
	left, begun int
	compare     comparer
}

// compareSteps bounds how long the two states of one change are compared.
const compareSteps = 500_000

func (r *room) tree() *tree {
	n := max(min(treeNodes, r.nodes), 1)
	return &tree{room: r, left: n, begun: n, compare: comparer{compareSteps}}
}

// after is how many nodes the page has left.
func (t *tree) after() int { return t.room.nodes - (t.begun - t.left) }

func (t *tree) root(v *value) *Node {
	n := t.node("", v, 0)
	n.Open, n.Root = true, true
	return n
}

const (
	// openDepth and openItems are what is unfolded to begin with.
	openDepth = 2
	openItems = 12
)

func (t *tree) node(key string, v *value, depth int) *Node {
	t.left--
	n := &Node{Key: key, Type: v.typeName()}
	if v.kind == kindString && depth < maxDepth {
		if inner := parseInner(v.text); inner != nil {
			v, n.Nested, n.Type = inner, true, inner.typeName()
		}
	}
	if !v.isContainer() {
		n.Text = t.leaf(v)
		return n
	}
	n.Size, n.More = size(v), v.omitted
	n.Open = depth < openDepth && len(v.items) <= openItems && !n.Nested
	for i, item := range v.items {
		if t.left <= 0 || depth >= 2*maxDepth {
			n.More += len(v.items) - i
			break
		}
		child := t.node(v.key(i), item, depth+1)
		child.Item = v.kind == kindArray
		n.Children = append(n.Children, child)
	}
	return n
}

// leaf is the text of a value without members, as JSON but for line breaks.
func (t *tree) leaf(v *value) *Text { return t.room.fold(v.text) }

func (v *value) key(i int) string {
	if v.kind == kindObject {
		return v.keys[i]
	}
	return strconv.Itoa(i)
}

func size(v *value) string {
	n := int64(len(v.items) + v.omitted)
	if v.kind == kindObject {
		return terminal.Count(n, "key")
	}
	return terminal.Count(n, "item")
}
