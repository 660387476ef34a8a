package spanview

import (
	"github.com/spanlake/spanlake/internal/span"
)

// State is what a span did to the state of a workflow.
type State struct {
	// Changes are those that the span made.
	Changes []Change
	// More are changes that are not shown.
	More int
	// Whole are the states that the span began, from first to last.
	Whole []Whole
	// Incomplete: not all of the trace is known, so that changes may be missing.
	Incomplete bool
}

// Change is a set_state event.
type Change struct {
	// Number tells the changes of a page apart.
	Number        int
	Action, Store string
	Offset        string
	Operations    []Operation
	// MoreOperations are those that are not shown.
	MoreOperations int
	// Problem is why the patch cannot be applied, and Raw the patch then.
	Problem string
	Raw     *Text
	// States are the state before and after, nil if they are not known. Doubtful: a change before could not be applied.
	States   *States
	Doubtful bool
}

// Operation is one of a JSON patch, as before and after.
type Operation struct {
	// Mark is added, removed, replaced, moved, copied or tested.
	Mark       string
	Path, From string
	// Before and After are nil if there was nothing. Unknown: nobody knows what was before.
	Before, After *Body
	Unknown       bool
}

// States are a state before and after.
type States struct {
	// Marked is the state after, with what changed marked.
	Marked        *Node
	Before, After *Body
}

// Whole is a state from first to last.
type Whole struct {
	ID string
	// States are nil if it cannot be shown what it became.
	States *States
	Start  *Body
	// By are the changes, in their order.
	By     []Step
	MoreBy int
	// Differs: what the changes lead to is not what the span says it was at last.
	Differs bool
}

// Step is a change of a state by some span.
type Step struct {
	Span    *span.Span
	Address string
	Offset  string
	Action  string
	// Paths are what it changed.
	Paths   []string
	Problem string
}

const (
	maxChanges   = 50
	maxStates    = 20
	maxSteps     = 200
	maxShownOps  = 100
	maxStepPaths = 5
)

// state is nil if the span has nothing to do with a state.
func (m *maker) state(history *History) *State {
	if history == nil {
		history = Follow([]span.Span{*m.span}, m.span.SpanID)
	}
	shown := &State{Incomplete: history.Incomplete}
	for _, s := range history.stores {
		if s.owner != nil && sameSpan(s.owner, m.span) {
			shown.Whole = append(shown.Whole, m.whole(s))
		}
		for _, t := range s.changes {
			if !sameSpan(t.by, m.span) {
				continue
			}
			if len(shown.Changes) == maxChanges || !m.piece() {
				shown.More++
				continue
			}
			shown.Changes = append(shown.Changes, m.change(t, len(shown.Changes)+1))
		}
	}
	if len(shown.Changes) == 0 && len(shown.Whole) == 0 {
		return nil
	}
	for _, o := range owned() {
		m.shown[o.start], m.shown[o.end] = true, true
	}
	return shown
}

// sameSpan tells whether two copies are of one span: ids may repeat in a trace.
func sameSpan(a, b *span.Span) bool {
	return a == b || a.SpanID == b.SpanID && a.TraceID == b.TraceID && a.Name == b.Name && a.StartTime.Equal(b.StartTime) && a.Events == b.Events
}

func (m *maker) change(t *transition, number int) Change {
	c := Change{Number: number, Action: cut(t.attributes.text(keyAction), 200), Store: cut(t.attributes.text(keyStoreName), 200), Doubtful: t.doubtful}
	if !t.at.IsZero() {
		c.Offset = signed(t.at.Sub(m.span.StartTime.Round(0)))
	}
	if t.problem != nil {
		c.Problem = t.problem.Error()
		if patch := t.attributes.get(keyPatch); patch != nil && len(t.patch) == 0 {
			text := patch.text
			if patch.isContainer() {
				text = patch.json(maxText)
			}
			c.Raw = m.fold(text)
		}
	}
	for i := range t.patch {
		if i == maxShownOps || !m.piece() {
			c.MoreOperations = len(t.patch) - i
			break
		}
		c.Operations = append(c.Operations, m.operation(&t.patch[i], t, i))
	}
	if t.before != nil && number <= maxStates && t.before != t.after {
		c.States = m.states(t.before, t.after)
	}
	return c
}

func (m *maker) operation(o *operation, t *transition, i int) Operation {
	shown := Operation{Path: cut(o.path, maxKey), From: cut(o.from, maxKey)}
	var e effect
	if i < len(t.effects) {
		e = t.effects[i]
	} else {
		e.after = o.value // what the patch itself says
	}
	switch o.op {
	case "add":
		shown.Mark = markAdded
		if e.before != nil {
			shown.Mark = markReplaced
		}
	case "remove":
		shown.Mark, shown.Unknown = markRemoved, !e.known
	case "replace":
		shown.Mark, shown.Unknown = markReplaced, !e.known
	case "move":
		shown.Mark, shown.Unknown = "moved", !e.known
	case "copy":
		shown.Mark, shown.Unknown = "copied", !e.known
	default:
		shown.Mark = "tested"
	}
	if e.before != nil && o.op != "test" {
		body := m.body(e.before, "")
		shown.Before = &body
	}
	if e.after != nil {
		body := m.body(e.after, "")
		shown.After = &body
	}
	return shown
}

func (m *maker) states(before, after *value) *States {
	t := m.tree()
	s := &States{Marked: t.diff("", before, after, 0)}
	s.Marked.Root, s.Marked.Open = true, true
	m.nodes = t.after()
	was, is := m.body(before, ""), m.body(after, "")
	s.Before, s.After = &was, &is
	return s
}

func (m *maker) whole(s *store) Whole {
	w := Whole{ID: cut(s.id, 200)}
	last := s.end
	for _, t := range s.changes {
		if len(w.By) == maxSteps || !m.piece() {
			w.MoreBy++
			continue
		}
		w.By = append(w.By, m.step(t))
	}
	switch {
	case last == nil && len(s.changes) == 0: // nobody says that anything changed
		body := m.body(s.start, "")
		w.Start = &body
		return w
	case last == nil:
		last = s.last
	default:
		w.Differs = !(&comparer{compareSteps}).equal(s.last, last, 0)
	}
	w.States = m.states(s.start, last)
	return w
}

func (m *maker) step(t *transition) Step {
	s := Step{Span: t.by, Address: Address(t.by.TraceID, t.by.SpanID), Action: cut(t.attributes.text(keyAction), 200),
		Offset: signed(t.at.Sub(m.span.StartTime.Round(0)))}
	if t.problem != nil {
		s.Problem = t.problem.Error()
	}
	for i := range t.patch {
		if i == maxStepPaths {
			s.Paths = append(s.Paths, "…")
			break
		}
		s.Paths = append(s.Paths, cut(t.patch[i].path, 100))
	}
	return s
}
