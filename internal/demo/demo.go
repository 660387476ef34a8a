// Package demo makes what `spanlake demo` shows: the traces of a made-up company that runs assistants, as a history of the last day and
// live, with conversations that can be read, and the folder in which all of it lies for as long as the demo runs.
//
// The same seed makes the same traces for the same starts. Package sample makes lakes to measure with; here the texts matter.
package demo

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// Traffic makes traces. It serves one goroutine.
type Traffic struct {
	catalogue *catalogue
	// now is when the demo began: what goes wrong, and when, is told from there.
	now time.Time
	rng *rand.Rand
	// published are messages on the queue that somebody will process in a trace of their own.
	published []message
}

// message is what was put on the queue, and by which span.
type message struct {
	traceID, spanID string
	usage           usage
}

// usage is what a conversation took of a model.
type usage struct {
	Model  string `json:"model"`
	Input  int    `json:"input_tokens"`
	Output int    `json:"output_tokens"`
}

// NewTraffic makes traffic of a demo that begins now.
func NewTraffic(seed uint64, now time.Time) (*Traffic, error) {
	c, err := newCatalogue()
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	return &Traffic{catalogue: c, now: now, rng: rand.New(rand.NewPCG(seed, 0x5eed))}, nil //nolint:gosec // nothing here is a secret
}

// Trace makes a trace whose first span begins at start. Its spans are in the order of their start.
func (t *Traffic) Trace(start time.Time) []span.Span {
	b := &trace{catalogue: t.catalogue, traffic: t, rng: t.rng, mood: moodAt(start.Sub(t.now)), at: start.UTC()}
	b.id = b.hex() + b.hex()
	switch p := t.rng.IntN(1000); {
	case p < 90:
		b.probe()
	case p < 260:
		b.page()
	case p < 400 && len(t.published) > 0:
		next := t.published[0]
		t.published = t.published[1:]
		b.consume(next)
	case p < 408:
		b.batch()
	default:
		b.conversation()
	}
	return b.spans()
}

// trace is a trace that is being made.
type trace struct {
	*catalogue
	traffic *Traffic
	rng     *rand.Rand
	mood    mood
	id      string
	// at is where the clock of what runs one after the other stands.
	at  time.Time
	ops []*op
	// used is what the models took.
	used usage
}

// op is a span that is being made.
type op struct {
	trace      *trace
	program    *program
	span       span.Span
	attributes map[string]any
	events     []event
	links      []link
}

type event struct {
	Name       string         `json:"name"`
	TimeNanos  int64          `json:"time_nanos"`
	Attributes map[string]any `json:"attributes"`
}

type link struct {
	TraceID    string         `json:"trace_id"`
	SpanID     string         `json:"span_id"`
	TraceState string         `json:"trace_state"`
	Attributes map[string]any `json:"attributes"`
}

// failure is what went wrong in a span: the type and message of an exception.
type failure struct{ kind, message string }

const (
	flagSampled   = 0x001
	flagHasRemote = 0x100
	flagIsRemote  = 0x200
)

// begin begins a span; parent is nil for the root.
func (t *trace) begin(parent *op, service, scope string, kind span.Kind, name string) *op {
	p := t.programs[service]
	o := &op{trace: t, program: p, attributes: make(map[string]any)}
	o.span = span.Span{TraceID: t.id, SpanID: t.hex(), ServiceName: service, Name: name, Kind: kind, StartTime: t.at, ResourceAttributes: p.resource,
		ScopeName: scope, ScopeVersion: t.scopes[scope], Flags: flagSampled | flagHasRemote}
	if parent != nil {
		o.span.ParentSpanID = parent.span.SpanID
		if parent.span.ServiceName != service {
			o.span.Flags |= flagIsRemote
		}
	}
	t.ops = append(t.ops, o)
	return o
}

// set adds attributes: keys and values in turn.
func (o *op) set(pairs ...any) {
	for i := 0; i+1 < len(pairs); i += 2 {
		o.attributes[pairs[i].(string)] = pairs[i+1] //nolint:forcetypeassert // keys are constants of this package
	}
}

// happen adds an event at the time of the clock.
func (o *op) happen(name string, pairs ...any) {
	e := event{Name: name, TimeNanos: o.trace.at.UnixNano(), Attributes: make(map[string]any)}
	for i := 0; i+1 < len(pairs); i += 2 {
		e.Attributes[pairs[i].(string)] = pairs[i+1] //nolint:forcetypeassert // keys are constants of this package
	}
	o.events = append(o.events, e)
}

// throw has the span fail by an exception of its own.
func (o *op) throw(f *failure) *failure {
	o.happen("exception", "exception.type", f.kind, "exception.message", f.message, "exception.stacktrace", o.program.stack(o.trace, f))
	o.span.StatusCode, o.span.StatusMessage = span.StatusError, f.message
	o.set("error.type", f.kind)
	return f
}

// end ends the span now. A failure of something below makes it one of the span.
func (o *op) end(f *failure) *failure {
	o.span.EndTime = o.trace.at
	if f != nil && o.span.StatusCode != span.StatusError {
		o.span.StatusCode, o.span.StatusMessage = span.StatusError, f.message
	}
	return f
}

// spend lets time pass: about median, now and then much more.
func (t *trace) spend(median time.Duration, spread float64) {
	t.at = t.at.Add(time.Duration(float64(median)*math.Exp(spread*t.rng.NormFloat64())) + time.Duration(1+t.rng.IntN(999)))
}

// parallel does n things with as many at a time as there are workers.
func (t *trace) parallel(n, workers int, do func(int)) {
	free := make([]time.Time, min(n, workers))
	for i := range free {
		free[i] = t.at.Add(time.Duration(i) * 90 * time.Microsecond)
	}
	end := t.at
	for i := range n {
		next := slices.MinFunc(free, time.Time.Compare)
		at := slices.IndexFunc(free, next.Equal)
		t.at = next
		do(i)
		free[at] = t.at
		if t.at.After(end) {
			end = t.at
		}
	}
	t.at = end
}

// spans are those of the trace.
func (t *trace) spans() []span.Span {
	all := make([]span.Span, 0, len(t.ops))
	for _, o := range t.ops {
		o.span.Attributes, o.span.Events, o.span.Links = jsonText(o.attributes), "[]", ""
		if len(o.events) > 0 {
			o.span.Events = jsonText(o.events)
		}
		if len(o.links) > 0 {
			o.span.Links = jsonText(o.links)
		}
		all = append(all, o.span)
	}
	slices.SortStableFunc(all, func(a, b span.Span) int { return a.StartTime.Compare(b.StartTime) })
	return all
}

// jsonText is the JSON of what this package makes, which always has one.
func jsonText(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// hex is a random id of 16 digits.
func (t *trace) hex() string { return fmt.Sprintf("%016x", t.rng.Uint64()|1) }

// chance is true with a probability.
func (t *trace) chance(p float64) bool { return t.rng.Float64() < p }

// pick chooses one of a few.
func pick[T any](t *trace, from ...T) T { return from[t.rng.IntN(len(from))] }
