package sample

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// renderer makes the spans of traces. It serves one goroutine.
type renderer struct {
	catalog *catalog
	seed    uint64
	pcg     *rand.PCG
	rng     *rand.Rand
	shape   shape
	timing  []timing
	text    text
	// traceState is that of the trace.
	traceState string
	// spans are those rendered since the caller last emptied it.
	spans []span.Span
}

// timing is what is worked out for each node before its span is made; times are in nanoseconds.
type timing struct {
	// own is the time beside the children, inner the time in which they run.
	own, inner int64
	// start is absolute; next is where the next child begins.
	start, next int64
	children    int32
	// failed is 0, 1 + the index of the span's own failure, or failedChild.
	failed int8
}

const failedChild = -1

func newRenderer(catalog *catalog, seed uint64) *renderer {
	pcg := new(rand.PCG)
	return &renderer{catalog: catalog, seed: seed, pcg: pcg, rng: rand.New(pcg)}
}

// trace appends the spans of a trace in the order of their start, which is the order of the nodes: what runs at the same time
// has no children.
func (r *renderer) trace(plan tracePlan) {
	id := beginTrace(r.pcg, r.seed, plan.number)
	r.shape.draw(r.rng)
	r.time(plan.start)

	begin := r.text.begin()
	r.text.hex(id.high)
	r.text.hex(id.low)
	traceID := r.text.since(begin)

	r.traceState = ""
	if id.low%16 == 0 {
		r.traceState = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
	}

	first := len(r.spans)
	r.spans = slices.Grow(r.spans, len(r.shape.nodes))
	for i, n := range r.shape.nodes {
		var parent *span.Span
		if n.parent >= 0 {
			parent = &r.spans[first+int(n.parent)]
		}
		r.span(n, &r.timing[i], traceID, parent)
	}
}

// time gives each node its time, inside that of its parent, and its failure.
func (r *renderer) time(start int64) {
	nodes := r.shape.nodes
	r.timing = append(r.timing[:0], make([]timing, len(nodes))...)
	// From the leaves up: how long it takes, and whether it fails.
	for i := len(nodes) - 1; i >= 0; i-- {
		n, t := nodes[i], &r.timing[i]
		look := &r.catalog.roles[n.role]
		t.own = int64(look.median*math.Exp(look.spread*r.rng.NormFloat64())) + 1
		if r.rng.Float64() < look.errorRate {
			t.failed = int8(1 + r.rng.IntN(len(look.failures)))
		}
		if n.parent < 0 {
			continue
		}
		parent := &r.timing[n.parent]
		parent.children++
		passedOn := 0.45
		if nodes[n.parent].fanOut {
			// A batch gets by without a few of its parts.
			passedOn = 0.002
			parent.inner = max(parent.inner, t.own+t.inner)
		} else {
			parent.inner += t.own + t.inner
		}
		if t.failed != 0 && parent.failed == 0 && r.rng.Float64() < passedOn {
			parent.failed = failedChild
		}
	}
	// From the root down: when it begins. The parent's own time lies before, between and after its children.
	for i, n := range nodes {
		t := &r.timing[i]
		t.start = start
		if n.parent >= 0 {
			parent := &r.timing[n.parent]
			t.start = parent.next
			parent.next += parent.own / int64(parent.children+1)
			if !nodes[n.parent].fanOut {
				parent.next += t.own + t.inner
			}
		}
		t.next = t.start + t.own/int64(t.children+1)
	}
}

// span appends the span of a node; parent is nil for the root.
func (r *renderer) span(n node, t *timing, traceID string, parent *span.Span) {
	look := &r.catalog.roles[n.role]
	service := look.services[0]
	if len(look.services) > 1 {
		service = look.services[r.rng.IntN(len(look.services))]
	}
	begin := r.text.begin()
	r.text.hex(r.rng.Uint64())
	s := span.Span{
		TraceID: traceID, SpanID: r.text.since(begin),
		ServiceName: service.name, Kind: look.kind,
		StartTime: time.Unix(0, t.start).UTC(), EndTime: time.Unix(0, t.start+t.own+t.inner).UTC(),
		ResourceAttributes: service.resource,
	}
	if parent != nil {
		s.ParentSpanID = parent.SpanID
	}
	if len(look.names) > 0 {
		s.Name = look.names[r.rng.IntN(len(look.names))]
	}
	r.attributes(n.role, t, &s)
	r.status(n.role, t, &s)
	r.events(n.role, t, &s)
	r.context(n.role, &s, parent)
	r.spans = append(r.spans, s)
}
