package tracetree

import (
	"cmp"
	"slices"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// Part is a part of a span, in times after the start of the trace.
type Part struct{ From, Until time.Duration }

// findCriticalPath marks what the duration of the trace is made of: had any of it been shorter, the root would have ended earlier. It goes back
// from the end of the root: before the end of a span lies the child that ended last, before the start of that child the one that had ended last by
// then, and what lies between children is the span's own. Children that ran beside a longer one are not on it.
//
// A trace without a root has the path from its last end through its orphans.
func (t *Tree) findCriticalPath() {
	c := critical{rows: t.Rows, children: make([][]int, len(t.Rows))}
	var roots []int
	for i := range t.Rows {
		if parent := t.Rows[i].Parent; parent >= 0 {
			if waitsFor(&t.Rows[parent], &t.Rows[i]) {
				c.children[parent] = append(c.children[parent], i)
			}
		} else {
			roots = append(roots, i)
		}
	}
	byEnd := func(a, b int) int { return cmp.Or(cmp.Compare(t.Rows[b].Until, t.Rows[a].Until), cmp.Compare(b, a)) }
	for _, children := range c.children {
		slices.SortFunc(children, byEnd)
	}
	if t.Rows[t.Root].Span.IsRoot() {
		roots = []int{t.Root}
	}
	slices.SortFunc(roots, byEnd)
	until := t.Duration
	for _, root := range roots {
		if r := &t.Rows[root]; r.Until <= until {
			c.walk(root)
			until = r.From
		}
	}
}

// waitsFor tells whether a span can have waited for its child. What a child does after its parent has ended delayed nobody, so a child that
// outlives its parent was started and left alone, such as the work for a message. But two services have two clocks, between which an end can
// seem to be late: of those, only what is sent as a message is known to go on alone.
func waitsFor(parent, child *Row) bool {
	late := child.Until - parent.Until
	switch {
	case child.Until < child.From || child.From >= parent.Until:
		return false
	case late <= 0:
		return true
	case child.Span.Kind == span.KindConsumer || parent.Span.Kind == span.KindProducer:
		return false
	case child.Span.ServiceName != parent.Span.ServiceName:
		return true
	}
	// Libraries read the clock for one span after the other.
	return late <= (parent.Until-parent.From)/100
}

// critical walks back over rows.
type critical struct {
	rows []Row
	// children are those that were waited for, the one that ended last first.
	children [][]int
}

// step is a span on the way back: what of it lies between from and cursor is still to be looked at. next is the next of its children.
type step struct {
	row          int
	from, cursor time.Duration
	until        time.Duration
	next         int
}

func (c *critical) walk(root int) {
	r := &c.rows[root]
	for way := []step{{row: root, from: r.From, cursor: r.Until, until: r.Until}}; len(way) > 0; {
		at := &way[len(way)-1]
		child, ok := c.nextChild(at)
		if !ok {
			c.add(at.row, at.from, at.cursor)
			way = way[:len(way)-1]
			continue
		}
		c.add(at.row, child.cursor, at.cursor)
		at.cursor = child.from
		way = append(way, child)
	}
}

// nextChild is the child that had ended last at the cursor. What of a child lies outside its parent is cut off.
func (c *critical) nextChild(at *step) (step, bool) {
	for children := c.children[at.row]; at.next < len(children); {
		row := children[at.next]
		at.next++
		from, until := max(c.rows[row].From, at.from), min(c.rows[row].Until, at.until)
		if until <= at.cursor && from < until {
			return step{row: row, from: from, cursor: until, until: until}, true
		}
	}
	return step{}, false
}

func (c *critical) add(row int, from, until time.Duration) {
	if from < until {
		c.rows[row].Critical = append(c.rows[row].Critical, Part{from, until})
	}
}
