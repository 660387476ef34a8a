package spanview

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// stateEvent is the event of a change of a workflow's state.
const stateEvent = "set_state"

const (
	keyPatch     = "junjo.state_json_patch"
	keyStoreID   = "junjo.store.id"
	keyStoreName = "junjo.store.name"
	keyAction    = "junjo.store.action"
	keySequence  = "junjo.store.transition.sequence"
)

// owned are the attributes by which a span says that it began a state, what it was and what it became.
func owned() []struct{ id, start, end string } {
	return []struct{ id, start, end string }{
		{"junjo.workflow.store.id", "junjo.workflow.state.start", "junjo.workflow.state.end"},
		{"junjo.agent.store.id", "junjo.agent.state.start", "junjo.agent.state.end"},
		{"junjo.agent.application_store.id", "junjo.agent.application_state.start", "junjo.agent.application_state.end"},
	}
}

// HasState tells whether a span changed the state of a workflow, or has one of its own: then the history of its trace says more.
func HasState(s *span.Span) bool {
	// The texts are long and mostly have nothing of the kind, which is seen at once.
	if strings.Contains(s.Events, stateEvent) && containsEvent(s.Events) {
		return true
	}
	if !strings.Contains(s.Attributes, "state.start") {
		return false
	}
	a, err := readAttributes(s.Attributes)
	if err != nil {
		return false
	}
	for _, o := range owned() {
		if a.get(o.start) != nil {
			return true
		}
	}
	return false
}

func containsEvent(events string) bool {
	all, _ := readEvents(events) // what comes before damage counts
	return slices.ContainsFunc(all, func(e event) bool { return e.name == stateEvent })
}

// store is the state of a workflow or an agent, through a trace.
type store struct {
	owner *span.Span
	id    string
	// start and end are what the owner says it was at first and at last; nil: it says nothing.
	start, end *value
	// last is what the changes lead to.
	last    *value
	changes []*transition
}

// transition is a change of a state.
type transition struct {
	by *span.Span
	at time.Time
	// sequence is its number if the client counts them, or -1.
	sequence   int64
	attributes *attributes
	patch      []operation
	// problem is why there is no patch, or why it does not fit the state.
	problem error
	// before and after are the states, nil if they are not known. doubtful: a change before could not be applied.
	before, after *value
	doubtful      bool
	effects       []effect
}

// effect is what an operation did at its path.
type effect struct {
	before, after *value
	// known: before and after are what they were, even if nil, which is nothing.
	known bool
}

// History is what happened to the states of workflows in a trace.
type History struct {
	stores []*store
	// Incomplete: not all spans of the trace are known, or there are more changes than are followed.
	Incomplete bool
	// room is how many members may still be copied.
	room int
}

// maxTransitions bounds the changes of a trace that are followed.
const maxTransitions = 5_000

// maxCopies bounds what applying changes takes: each copies the containers on its path.
const maxCopies = 20_000_000

// Follow finds the states of workflows in the spans of a trace, and applies all changes to them in their order. What the state was before
// and after a change is kept of the spans with one id only.
func Follow(spans []span.Span, spanID string) *History {
	h := &History{room: maxCopies}
	parents := make(map[string]string, len(spans))
	owners := make(map[string][]*store)
	byID := make(map[string]*store)
	for i := range spans {
		s := &spans[i]
		parents[s.SpanID] = s.ParentSpanID
		for _, o := range ownedBy(s) {
			h.stores = append(h.stores, o)
			owners[s.SpanID] = append(owners[s.SpanID], o)
			if o.id != "" && byID[o.id] == nil {
				byID[o.id] = o
			}
		}
	}
	n := 0
	for i := range spans {
		s := &spans[i]
		for _, t := range transitionsOf(s) {
			if n++; n > maxTransitions {
				h.Incomplete = true
				break
			}
			id := t.attributes.text(keyStoreID)
			to := byID[id]
			if to == nil {
				to = nearest(s.SpanID, id, parents, owners)
			}
			if to == nil { // nobody says what it was at first
				to = &store{id: id}
				h.stores = append(h.stores, to)
				if id != "" {
					byID[id] = to
				}
			}
			to.changes = append(to.changes, t)
		}
	}
	for _, s := range h.stores {
		s.replay(h, spanID)
	}
	return h
}

// ownedBy are the states that a span began.
func ownedBy(s *span.Span) (all []*store) {
	if !strings.Contains(s.Attributes, "state.start") {
		return nil
	}
	a, err := readAttributes(s.Attributes)
	if err != nil {
		return nil
	}
	for _, o := range owned() {
		if start := a.get(o.start); start != nil {
			all = append(all, &store{owner: s, id: a.text(o.id), start: opened(start), end: opened(a.get(o.end))})
		}
	}
	return all
}

// nearest is the state of the nearest span above that has one. Clients that do not name the state of a change mean that one.
func nearest(id, storeID string, parents map[string]string, owners map[string][]*store) *store {
	for range 200 {
		for _, o := range owners[id] {
			if o.id == "" || storeID == "" {
				return o
			}
		}
		parent, ok := parents[id]
		if !ok || parent == "" {
			return nil
		}
		id = parent
	}
	return nil
}

func transitionsOf(s *span.Span) (all []*transition) {
	if !strings.Contains(s.Events, stateEvent) {
		return nil
	}
	events, _ := readEvents(s.Events) // what comes before damage counts
	for i := range events {
		e := &events[i]
		if e.name != stateEvent {
			continue
		}
		t := &transition{by: s, at: s.StartTime, attributes: e.attributes, sequence: -1}
		if at, ok := e.time(); ok {
			t.at = at
		}
		if n, err := strconv.ParseInt(e.attributes.text(keySequence), 10, 64); err == nil {
			t.sequence = n
		}
		patch := e.attributes.get(keyPatch)
		switch {
		case patch == nil:
			t.problem = &PatchError{-1, "it has no " + keyPatch}
		case patch.kind == kindString:
			t.patch, t.problem = readPatch(patch.text)
		default:
			t.patch, t.problem = readPatch(patch.json(maxParse))
		}
		all = append(all, t)
	}
	return all
}

// replay applies the changes in their order.
func (s *store) replay(h *History, spanID string) {
	slices.SortStableFunc(s.changes, func(a, b *transition) int {
		if a.sequence >= 0 && b.sequence >= 0 {
			return cmp.Compare(a.sequence, b.sequence)
		}
		return a.at.Compare(b.at)
	})
	s.last = s.start
	doubtful := false
	for _, t := range s.changes {
		t.doubtful = doubtful
		if s.last == nil || t.problem != nil {
			doubtful = doubtful || t.problem != nil
			continue
		}
		next, effects, err := t.apply(s.last, h)
		if err != nil {
			t.problem, doubtful = err, true
			continue
		}
		if t.by.SpanID == spanID {
			t.before, t.after, t.effects = s.last, next, effects
		}
		s.last = next
	}
}

// apply applies a patch: all of it, or nothing.
func (t *transition) apply(state *value, h *History) (*value, []effect, error) {
	effects := make([]effect, 0, len(t.patch))
	for i := range t.patch {
		if h.room -= state.width(t.patch[i].path) + state.width(t.patch[i].from); h.room < 0 {
			h.Incomplete = true
			return nil, nil, &PatchError{i, "the changes of this trace are too many to be followed"}
		}
		next, before, after, err := t.patch[i].apply(state)
		if err != nil {
			return nil, nil, &PatchError{i, err.Error()}
		}
		effects = append(effects, effect{before, after, true})
		state = next
	}
	return state, effects, nil
}

// width is how many members the containers on a path have.
func (v *value) width(path string) (n int) {
	segments, err := pointer(path)
	if err != nil {
		return 0
	}
	for _, segment := range segments {
		n += len(v.items)
		i, err := v.place(segment, false)
		if err != nil {
			break
		}
		v = v.items[i]
	}
	return n
}
