package spanview

import "strconv"

// diff is a tree of the state after a change, with what it did marked: removed values are in it too. before and after share what did not
// change, so that most of a large state is passed over at once.
func (t *tree) diff(key string, before, after *value, depth int) *Node {
	if t.compare.equal(before, after, 0) {
		return t.node(key, after, max(depth, openDepth))
	}
	if before.kind != after.kind || !after.isContainer() || depth >= maxDepth {
		n := t.node(key, after, openDepth)
		n.Mark, n.Was = markReplaced, t.node("", before, openDepth)
		n.Was.Root = true
		return n
	}
	t.left--
	n := &Node{Key: key, Type: after.typeName(), Size: size(after), More: after.omitted, Open: true, Mark: markInside}
	if after.kind == kindObject {
		t.members(n, before, after, depth)
	} else {
		t.items(n, before, after, depth)
	}
	return n
}

// add puts a node into another, if there is room for it.
func (t *tree) add(n *Node, child func() *Node) {
	if t.left <= 0 {
		n.More++
		return
	}
	one := child()
	one.Item = n.Type == "array"
	n.Children = append(n.Children, one)
}

func (t *tree) marked(key string, v *value, mark string) *Node {
	n := t.node(key, v, openDepth)
	n.Mark, n.Open = mark, len(n.Children) <= openItems
	return n
}

func (t *tree) members(n *Node, before, after *value, depth int) {
	old, now := before.byKey(), after.byKey()
	for i, key := range after.keys {
		was, had := old[key]
		t.add(n, func() *Node {
			if !had {
				return t.marked(key, after.items[i], markAdded)
			}
			return t.diff(key, was, after.items[i], depth+1)
		})
	}
	for i, key := range before.keys {
		if _, has := now[key]; !has {
			t.add(n, func() *Node { return t.marked(key, before.items[i], markRemoved) })
		}
	}
}

// items compares arrays: what is the same at both ends stays, and what is between was changed, added or removed.
func (t *tree) items(n *Node, before, after *value, depth int) {
	a, b := before.items, after.items
	same := 0
	for same < min(len(a), len(b)) && t.compare.equal(a[same], b[same], 0) {
		same++
	}
	end := 0
	for end < min(len(a), len(b))-same && t.compare.equal(a[len(a)-1-end], b[len(b)-1-end], 0) {
		end++
	}
	changed := min(len(a), len(b)) - same - end
	for i, item := range b {
		key := strconv.Itoa(i)
		t.add(n, func() *Node {
			switch {
			case i < same || i >= len(b)-end:
				return t.node(key, item, max(depth, openDepth))
			case i < same+changed:
				return t.diff(key, a[i], item, depth+1)
			}
			return t.marked(key, item, markAdded)
		})
	}
	for i := same + changed; i < len(a)-end; i++ {
		t.add(n, func() *Node { return t.marked(strconv.Itoa(i), a[i], markRemoved) })
	}
}
