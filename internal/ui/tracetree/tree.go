// Package tracetree makes the tree of a trace from its spans: rows in the order in which a waterfall shows them, the critical path, and what
// language models used. Spans come as senders made them, so that parents may be missing or go round in circles, ids repeat, and clocks differ.
package tracetree

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// Marks say what is odd about where a span is in its trace.
type Marks uint8

// The marks.
const (
	// Orphan: the parent is not among the spans.
	Orphan Marks = 1 << iota
	// Cycle: following parents from here leads back here, and the circle was cut at this span.
	Cycle
	// Early: it starts before its parent does.
	Early
	// Late: it ends after its parent does.
	Late
	// Repeated: another span has the same id.
	Repeated
)

// Row is a span at its place. Rows of a subtree follow the row of their root.
type Row struct {
	Span *span.Span
	// Parent is the row of the parent, -1 for none, and Depth how many are above.
	Parent, Depth int
	// Below is how many spans are below this one, and ErrorsBelow how many of those failed.
	Below, ErrorsBelow int
	Marks              Marks
	// From and Until are the start and the end after the start of the trace. Until is before From where a clock was set back.
	From, Until time.Duration
	// Critical are the parts of the critical path, from the last to the first.
	Critical []Part
	// Usage is nil for a span that tells of none.
	Usage *Usage
}

// failed tells whether the status is an error.
func (r *Row) failed() bool { return r.Span.StatusCode == span.StatusError }

// Tree is a trace.
type Tree struct {
	Rows []Row
	// Root is the row that the trace is named after: the first one without a parent, or the longest of the orphans.
	Root int
	// Start is the first start, and Duration from there to the last end.
	Start    time.Time
	Duration time.Duration
	Errors   int
	// Orphans and Cycles count the rows with these marks.
	Orphans, Cycles int
	Usage           Total
}

// New makes the tree. Nothing in it calls itself: a chain of all spans is fine.
func New(spans []span.Span) *Tree {
	t := &Tree{}
	if len(spans) == 0 {
		return t
	}
	p := place(spans)
	t.bound(spans)
	t.Rows = make([]Row, 0, len(spans))
	rowOf := make([]int, len(spans))
	for stack := p.roots(); len(stack) > 0; {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		row := Row{
			Span: &spans[at], Parent: -1, Marks: p.marks[at],
			From: since(t.Start, spans[at].StartTime), Until: since(t.Start, spans[at].EndTime),
		}
		if parent := p.parent[at]; parent >= 0 {
			row.Parent = rowOf[parent]
			above := &t.Rows[row.Parent]
			row.Depth = above.Depth + 1
			if row.From < above.From {
				row.Marks |= Early
			}
			if row.Until > above.Until {
				row.Marks |= Late
			}
		}
		rowOf[at] = len(t.Rows)
		t.Rows = append(t.Rows, row)
		stack = append(stack, p.children[at]...) // the first child is the last
	}
	t.count()
	t.chooseRoot()
	t.findUsage()
	t.findCriticalPath()
	return t
}

// since is how long after start a time is. Times of other writers may be of any year: what is too long for a Duration is the longest one.
func since(start, at time.Time) time.Duration { return at.Round(0).Sub(start) }

// bound finds when the trace starts and ends.
func (t *Tree) bound(spans []span.Span) {
	t.Start = spans[0].StartTime
	end := t.Start
	for i := range spans {
		s := &spans[i]
		for _, at := range [...]time.Time{s.StartTime, s.EndTime} {
			if at.After(end) {
				end = at
			}
		}
		if s.StartTime.Before(t.Start) {
			t.Start = s.StartTime
		}
	}
	t.Start = t.Start.Round(0)
	t.Duration = since(t.Start, end)
}

// count adds up what is below each row. Children come after their parents, so that one way from the last row to the first does.
func (t *Tree) count() {
	for i := len(t.Rows) - 1; i >= 0; i-- {
		r := &t.Rows[i]
		failed := 0
		if r.failed() {
			failed = 1
		}
		t.Errors += failed
		if r.Marks&Orphan != 0 {
			t.Orphans++
		}
		if r.Marks&Cycle != 0 {
			t.Cycles++
		}
		if r.Parent >= 0 {
			above := &t.Rows[r.Parent]
			above.Below += r.Below + 1
			above.ErrorsBelow += r.ErrorsBelow + failed
		}
	}
}

func (t *Tree) chooseRoot() {
	t.Root = -1
	for i := range t.Rows {
		r := &t.Rows[i]
		if r.Parent >= 0 {
			continue
		}
		if r.Span.IsRoot() {
			t.Root = i
			return
		}
		if t.Root < 0 || r.Until-r.From > t.Rows[t.Root].Until-t.Rows[t.Root].From {
			t.Root = i
		}
	}
}

// places are who is whose parent, by the index of spans.
type places struct {
	spans []span.Span
	// parent is -1 for none.
	parent []int
	// children are the last one first.
	children [][]int
	marks    []Marks
}

func place(spans []span.Span) *places {
	p := &places{spans: spans, parent: make([]int, len(spans)), children: make([][]int, len(spans)), marks: make([]Marks, len(spans))}
	byID := make(map[string][]int, len(spans))
	for i := range spans {
		byID[spans[i].SpanID] = append(byID[spans[i].SpanID], i)
	}
	for i := range spans {
		same := byID[spans[i].SpanID]
		if len(same) > 1 {
			p.marks[i] |= Repeated
		}
		p.parent[i] = p.parentOf(i, byID[spans[i].ParentSpanID])
		if p.parent[i] < 0 && !spans[i].IsRoot() {
			p.marks[i] |= Orphan
		}
	}
	p.cutCycles()
	for i, parent := range p.parent {
		if parent >= 0 {
			p.children[parent] = append(p.children[parent], i)
		}
	}
	for _, children := range p.children {
		slices.SortFunc(children, p.lastFirst)
	}
	return p
}

// parentOf chooses among the spans that have the id of the parent. Where ids repeat, as in traces that came by Zipkin, whose client and server
// share one, a span of the same service is nearer than another.
func (p *places) parentOf(child int, candidates []int) int {
	s := &p.spans[child]
	if s.IsRoot() || len(candidates) == 0 {
		return -1
	}
	if len(candidates) > 1 {
		for _, c := range candidates {
			if c != child && p.spans[c].ServiceName == s.ServiceName {
				return c
			}
		}
		for _, c := range candidates {
			if c != child {
				return c
			}
		}
	}
	return candidates[0]
}

// cutCycles takes the parent from one span of each circle: the one that starts first.
func (p *places) cutCycles() {
	const (
		unknown = iota
		walking
		fine
	)
	state := make([]uint8, len(p.parent))
	var way []int
	for i := range p.parent {
		way = way[:0]
		at := i
		for at >= 0 && state[at] == unknown {
			state[at] = walking
			way = append(way, at)
			at = p.parent[at]
		}
		if at >= 0 && state[at] == walking {
			circle := way[slices.Index(way, at):]
			first := slices.MaxFunc(circle, p.lastFirst)
			p.parent[first] = -1
			p.marks[first] |= Cycle
		}
		for _, w := range way {
			state[w] = fine
		}
	}
}

// roots are the spans without a parent, the last one first.
func (p *places) roots() (all []int) {
	for i, parent := range p.parent {
		if parent < 0 {
			all = append(all, i)
		}
	}
	slices.SortFunc(all, p.lastFirst)
	return all
}

// lastFirst orders by start, and by what is always the same where that is equal: the longer one is shown first.
func (p *places) lastFirst(a, b int) int {
	x, y := &p.spans[a], &p.spans[b]
	return cmp.Or(y.StartTime.Compare(x.StartTime), x.EndTime.Compare(y.EndTime), strings.Compare(y.SpanID, x.SpanID), b-a)
}
