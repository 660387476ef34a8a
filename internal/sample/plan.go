package sample

import (
	"cmp"
	"math/rand/v2"
	"slices"
)

// tracePlan is what must be known of a trace before it is rendered: where it goes.
type tracePlan struct {
	// number counts the traces of the lake from 0; with the seed it decides all of the trace but its start.
	number uint64
	id     traceID
	// start is in nanoseconds since 1970.
	start int64
}

type traceID struct{ high, low uint64 }

// filePlan is one file: its traces in the order in which they are written, which is the order of their ids.
type filePlan struct {
	traces []tracePlan
	// last is the start of the trace that begins last, in nanoseconds since 1970, and service the one that began it.
	last    int64
	service string
	suffix  uint32
}

// planner lays out the lake file by file. Since a trace is decided by its number alone, it knows the ids and the number of
// spans of the traces without rendering them, and the files can then be made in any order, by any number of workers.
type planner struct {
	opts    Options
	catalog *catalog
	pcg     *rand.PCG
	rng     *rand.Rand
	shape   shape
	files   uint32
	traces  uint64
	spans   int64
}

func newPlanner(catalog *catalog, opts Options) *planner {
	pcg := new(rand.PCG)
	return &planner{opts: opts, catalog: catalog, pcg: pcg, rng: rand.New(pcg)}
}

// next plans the next file, or says that the lake is complete.
func (p *planner) next() (filePlan, bool) {
	plan := filePlan{suffix: suffix(p.opts.Seed, p.files)}
	for inFile := int64(0); inFile < p.opts.SpansPerFile && !p.done(); {
		id := beginTrace(p.pcg, p.opts.Seed, p.traces)
		p.shape.draw(p.rng)
		spans := int64(len(p.shape.nodes))
		trace := tracePlan{number: p.traces, id: id, start: p.start(spans)}
		plan.traces = append(plan.traces, trace)
		plan.last, plan.service = trace.start, p.catalog.roles[p.shape.nodes[0].role].services[0].name
		p.traces++
		p.spans += spans
		inFile += spans
	}
	p.files++
	slices.SortFunc(plan.traces, func(a, b tracePlan) int {
		return cmp.Or(cmp.Compare(a.id.high, b.id.high), cmp.Compare(a.id.low, b.id.low))
	})
	return plan, len(plan.traces) > 0
}

func (p *planner) done() bool {
	if p.opts.Traces > 0 {
		return p.traces >= uint64(p.opts.Traces)
	}
	return p.spans >= p.opts.Spans
}

// start spreads the traces over the time of the lake: each begins somewhere in its own share of it.
func (p *planner) start(spans int64) int64 {
	at, share, whole := float64(p.traces), 1.0, float64(p.opts.Traces)
	if p.opts.Traces == 0 {
		at, share, whole = float64(p.spans), float64(spans), float64(p.opts.Spans)
	}
	// The last trace may go beyond the number of spans that were asked for, but not beyond the time.
	part := min((at+share*p.rng.Float64())/whole, 1)
	return p.opts.Start.UnixNano() + int64(part*float64(p.opts.End.Sub(p.opts.Start)))
}

// beginTrace sets the generator to the beginning of a trace and draws its id.
func beginTrace(pcg *rand.PCG, seed, number uint64) traceID {
	pcg.Seed(scramble(seed), scramble(number))
	return traceID{high: pcg.Uint64(), low: pcg.Uint64()}
}
