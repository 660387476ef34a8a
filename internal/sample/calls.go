package sample

import (
	"math/rand/v2"
	"strings"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// Calls makes spans of one size, as measuring asks for: calls of a language model with ten attributes, one of them a prompt of
// about 300 bytes, in traces of ten spans. The same seed makes the same spans. It serves one goroutine.
type Calls struct {
	rng    *rand.Rand
	words  words
	models []model
	text   text
	// trace is the trace that is being made, session and user what all its spans say.
	trace struct {
		id, session string
		user        int64
		start       time.Time
		spans       []string
	}
}

const (
	callsPerTrace = 10
	promptBytes   = 300
	callsResource = `{"deployment.environment.name":"production","host.name":"api-7d9f4c","service.name":"chat-api",` +
		`"service.version":"1.14.0","telemetry.sdk.language":"python"}`
)

// NewCalls returns a maker of spans for a seed.
func NewCalls(seed uint64) *Calls {
	return &Calls{rng: rand.New(rand.NewPCG(seed, 1)), models: newModels(), words: append(newWords(1), strings.Fields(moreWords)...)}
}

// Append appends n spans, whose traces begin from start on, a millisecond after each other. Traces come one after the other, and
// the last one goes on with the next call.
func (c *Calls) Append(to []span.Span, n int, start time.Time) []span.Span {
	for i := range n {
		if len(c.trace.spans) == 0 || len(c.trace.spans) == callsPerTrace {
			c.begin(start.Add(time.Duration(i/callsPerTrace) * time.Millisecond))
		}
		to = append(to, c.span())
	}
	return to
}

func (c *Calls) begin(start time.Time) {
	begin := c.text.begin()
	c.text.hex(c.rng.Uint64())
	c.text.hex(c.rng.Uint64())
	c.trace.id = c.text.since(begin)
	begin = c.text.begin()
	c.text.hex(c.rng.Uint64())
	c.trace.session = c.text.since(begin)
	c.trace.user = c.rng.Int64N(1000)
	c.trace.start = start.UTC()
	c.trace.spans = c.trace.spans[:0]
}

func (c *Calls) span() span.Span {
	var parent string
	if made := len(c.trace.spans); made > 0 {
		parent = c.trace.spans[c.rng.IntN(made)]
	}
	begin := c.text.begin()
	c.text.hex(c.rng.Uint64())
	id := c.text.since(begin)
	c.trace.spans = append(c.trace.spans, id)
	// Nanoseconds that look like a clock's: no two alike, no digit always 0.
	c.trace.start = c.trace.start.Add(time.Duration(1 + c.rng.Int64N(int64(200*time.Millisecond))))
	model := &c.models[c.rng.IntN(len(c.models))]
	s := span.Span{
		TraceID: c.trace.id, SpanID: id, ParentSpanID: parent, ServiceName: "chat-api", Name: model.spanName, Kind: span.KindClient,
		StartTime: c.trace.start, EndTime: c.trace.start.Add(time.Duration(1 + c.rng.Int64N(int64(3*time.Second)))),
		Attributes: c.attributes(model.name), Events: `[]`, ResourceAttributes: callsResource,
		Flags: 0x101, ScopeName: "opentelemetry.instrumentation.openai_v2", ScopeVersion: "2.3.0",
	}
	if parent == "" {
		s.Kind, s.Name = span.KindServer, "POST /v1/chat"
	}
	if c.rng.IntN(50) == 0 {
		s.StatusCode, s.StatusMessage = span.StatusError, "rate limited: retry after 2s"
	}
	return s
}

func (c *Calls) attributes(model string) string {
	begin := c.text.begin()
	c.text.add(`{"gen_ai.operation.name":"chat","gen_ai.request.model":"`, model, `","gen_ai.usage.input_tokens":`)
	c.text.int(150 + c.rng.Int64N(6_000))
	c.text.add(`,"gen_ai.usage.output_tokens":`)
	c.text.int(c.rng.Int64N(900))
	c.text.add(`,"http.request.method":"POST","http.route":"/v1/chat","input.value":"`)
	c.text.prose(c.rng, c.words, promptBytes)
	c.text.add(`","openinference.span.kind":"LLM","session.id":"`, c.trace.session, `","user.id":"user-`)
	c.text.int(c.trace.user)
	c.text.add(`"}`)
	return c.text.since(begin)
}

// moreWords make the vocabulary one of 600 words: with fewer, texts would compress better than people's do.
const moreWords = `above across add ahead along already among anyone apply area argue arrive article artist assume available away benefit
beyond bill black board break bright bring broad brother build building call camera capital car care center charge check
child citizen civil clear coach coat code coffee cold college color concern conference consider consumer continue control
country cover create culture cup current cut data daughter deal debate decade deep degree design different director discuss
disease dog dream east economy education either energy enough entire environment evening everyone evidence eye face factor
family fast father find fine finger firm five floor food force forget former front full gas general government guy half hand
hear heart history hit home identify include inside instead job keep key kitchen lead leader learn left leg legal light
likely line listen lose loss lot love main maintain majority material mean memory mention method middle military mind miss
moment money morning mouth myself name nature nearly next nice none number occur office officer oil option others page paper
pattern pay peace perhaps period picture place play point police population positive present pretty private probably problem
process product program public pull push quickly quite race rather ready reality really receive recent recognize record
relate remain remember remove represent resource respond return rich rock rule run safe say school scientist score sea
second security senior series serve service set seven several short shoulder sign sing six size skill small society somebody
something son sound southern space speak specific spend spring staff stage stand star stock stop strong student stuff style
successful suddenly summer surface task technology tend theory thought throughout together tough trade traditional travel
treat tree trust truth try type understand until value wait wall watch wear white whom why wide wife win woman wonder word
yeah`
