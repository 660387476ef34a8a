// Package spantext writes spans for people: a trace as a tree, and one span with all that it has.
package spantext

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// node is a span in the tree. Nodes are known by their index, since ids may repeat.
type node struct {
	*span.Span
	children []int
	// parent is the index of the parent, or one of the two below.
	parent int
}

const (
	// noParent is the parent of a root, unknownParent that of a span whose parent is not there.
	noParent      = -1
	unknownParent = -2
)

// group is a part of the forest: what lies below its roots.
type group struct {
	// title says what is wrong with the roots; "" for sound ones.
	title string
	roots []int
}

// forest are the spans of a trace by their parents. Every span is below exactly one root.
type forest struct {
	nodes  []node
	groups []group
}

// grow finds the parents. Of spans with the same id the first one has the children.
func grow(spans []span.Span) forest {
	sorted := make([]*span.Span, len(spans))
	for i := range spans {
		sorted[i] = &spans[i]
	}
	slices.SortStableFunc(sorted, func(a, b *span.Span) int {
		return cmp.Or(a.StartTime.Compare(b.StartTime), strings.Compare(a.SpanID, b.SpanID))
	})
	f := forest{nodes: make([]node, len(sorted))}
	byID := make(map[string]int, len(sorted))
	for i, s := range sorted {
		f.nodes[i] = node{Span: s, parent: noParent}
		if _, repeated := byID[s.SpanID]; !repeated {
			byID[s.SpanID] = i
		}
	}
	sound := group{}
	var missing []string
	orphans := make(map[string][]int)
	for i := range f.nodes {
		n := &f.nodes[i]
		if n.IsRoot() {
			sound.roots = append(sound.roots, i)
			continue
		}
		parent, ok := byID[n.ParentSpanID]
		if !ok {
			n.parent = unknownParent
			if orphans[n.ParentSpanID] == nil {
				missing = append(missing, n.ParentSpanID)
			}
			orphans[n.ParentSpanID] = append(orphans[n.ParentSpanID], i)
			continue
		}
		n.parent = parent
		f.nodes[parent].children = append(f.nodes[parent].children, i)
	}
	if len(sound.roots) > 0 {
		f.groups = append(f.groups, sound)
	}
	for _, id := range missing {
		f.groups = append(f.groups, group{"missing parent " + id, orphans[id]})
	}
	f.breakCycles()
	return f
}

// breakCycles makes roots of spans that are below none: their parents go round in a circle. The one that starts first is the root.
func (f *forest) breakCycles() {
	reached := make([]bool, len(f.nodes))
	reach := func(root int) {
		for todo := []int{root}; len(todo) > 0; {
			i := todo[len(todo)-1]
			todo = append(todo[:len(todo)-1], f.nodes[i].children...)
			reached[i] = true
		}
	}
	for _, g := range f.groups {
		for _, root := range g.roots {
			reach(root)
		}
	}
	circle := group{title: "parents in a circle"}
	for i := range f.nodes {
		if reached[i] {
			continue
		}
		root := f.inCircle(i)
		parent := &f.nodes[f.nodes[root].parent]
		parent.children = slices.DeleteFunc(parent.children, func(child int) bool { return child == root })
		f.nodes[root].parent = unknownParent
		circle.roots = append(circle.roots, root)
		reach(root)
	}
	if len(circle.roots) > 0 {
		f.groups = append(f.groups, circle)
	}
}

// inCircle is the first node of the circle that the parents of a node end in.
func (f *forest) inCircle(i int) int {
	seen := make(map[int]bool)
	for ; !seen[i]; i = f.nodes[i].parent {
		seen[i] = true
	}
	first := i
	for next := f.nodes[i].parent; next != i; next = f.nodes[next].parent {
		first = min(first, next)
	}
	return first
}

// row is a line of the tree.
type row struct {
	*span.Span
	// title is set, and nothing else, for what is wrong with the rows below.
	title string
	// depth is 0 for a root. last tells for each level below the first one, up to the row's own, whether nothing follows there; of levels that are
	// more than the deepest ones that are shown, it has none.
	depth int
	last  []bool
	// open: the row has children.
	open bool
}

// rows calls with each row from top to bottom. Of a row's levels at most the deepest so many are told.
func (f *forest) rows(levels int, yield func(row) error) error {
	type step struct {
		node, depth int
		last        bool
	}
	// path has of each level whether nothing follows there.
	var path []bool
	for _, g := range f.groups {
		if g.title != "" {
			if err := yield(row{title: g.title}); err != nil {
				return err
			}
		}
		for _, root := range g.roots {
			path = path[:0]
			for todo := []step{{root, 0, true}}; len(todo) > 0; {
				at := todo[len(todo)-1]
				todo = todo[:len(todo)-1]
				path = append(path[:at.depth], at.last)
				n := &f.nodes[at.node]
				shown := path[1:]
				r := row{Span: n.Span, depth: at.depth, last: shown[max(len(shown)-levels, 0):], open: len(n.children) > 0}
				if err := yield(r); err != nil {
					return err
				}
				for i, child := range slices.Backward(n.children) {
					todo = append(todo, step{child, at.depth + 1, i == len(n.children)-1})
				}
			}
		}
	}
	return nil
}

// extent is when a trace begins and how long it lasts.
func (f *forest) extent() (begin time.Time, length time.Duration) {
	var end time.Time
	for i, n := range f.nodes {
		if i == 0 || n.StartTime.Before(begin) {
			begin = n.StartTime
		}
		for _, at := range []time.Time{n.StartTime, n.EndTime} {
			if i == 0 && end.IsZero() || at.After(end) {
				end = at
			}
		}
	}
	return begin, end.Sub(begin)
}
