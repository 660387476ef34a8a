package hot

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spanlake/spanlake/internal/attribute"
	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
)

// chooser chooses spans as span.Filter.Match does, and looks at attributes. Rows are told apart by what they have, without making
// a span.Metadata for each, whole spans by all of it.
type chooser struct {
	filter           span.Filter // with times in microseconds
	from, until      int64       // nanoseconds since 1970: from <= start < until
	minimum, maximum time.Duration
	status           *span.StatusCode
	kind             *span.Kind
	rootsOnly        bool
	after            *span.Key // nil: from the beginning
	afterMicros      int64
	// marks are, for each clause of the filter, what its conditions leave in OTLP.
	marks [][]mark
}

func newChooser(f span.Filter) *chooser {
	f.From, f.Until = f.From.Truncate(time.Microsecond), f.Until.Truncate(time.Microsecond)
	c := &chooser{filter: f, until: math.MaxInt64, minimum: f.MinDuration, maximum: f.MaxDuration, status: f.StatusCode, kind: f.Kind}
	if !f.From.IsZero() {
		c.from = nanosAt(f.From)
	}
	if !f.Until.IsZero() {
		c.until = nanosAt(f.Until)
	}
	for _, clause := range f.Attributes {
		marks := make([]mark, len(clause))
		for i := range clause {
			marks[i] = markOf(&clause[i])
		}
		c.marks = append(c.marks, marks)
	}
	return c
}

// listing makes it choose for a listing.
func (c *chooser) listing(rootsOnly bool, after span.Key) {
	c.rootsOnly = rootsOnly
	if !after.IsZero() {
		c.after, c.afterMicros = &after, nanosAt(after.StartTime)/int64(time.Microsecond)
		if after.StartTime.Before(time.Unix(0, 0)) {
			c.afterMicros = -1 // before any row
		}
	}
}

// nanosAt is a time in nanoseconds since 1970, or the nearest that a row can have.
func nanosAt(t time.Time) int64 {
	switch {
	case t.Before(time.Unix(0, 0)):
		return 0
	case t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	}
	return t.UnixNano()
}

// micros is the start of a row as listings compare it.
func (r *row) micros() int64 { return r.start / int64(time.Microsecond) }

// inBlock is a chooser for the rows of one block.
type inBlock struct {
	*chooser
	none bool // can be chosen
	// services and names tell which names of the block are chosen, nil if all are. unsure are those of which too little is kept, nil if none.
	services, names, unsure nameSet
}

// nameSet has some of the names of a block, by their numbers.
type nameSet []bool

// orAll tells whether a name is in the set, which has all of them if it is nil.
func (s nameSet) orAll(n uint32) bool { return len(s) == 0 || s[n] }

// orNone tells whether a name is in the set, which has none of them if it is nil.
func (s nameSet) orNone(n uint32) bool { return len(s) > 0 && s[n] }

// in are choosers for blocks.
func (c *chooser) in(blocks []block) []inBlock {
	all := make([]inBlock, len(blocks))
	for i := range blocks {
		all[i] = c.inOne(&blocks[i])
	}
	return all
}

func (c *chooser) inOne(b *block) inBlock {
	in, some := inBlock{chooser: c}, true
	if s := b.sealed; s != nil && (s.last < c.from || s.first >= c.until) {
		return inBlock{none: true}
	}
	if c.filter.ServiceName != "" {
		if in.services, some = in.match(b, c.filter.ServiceName, span.NameExact); !some {
			return inBlock{none: true}
		}
	}
	if c.filter.Name != "" {
		in.names, some = in.match(b, c.filter.Name, c.filter.NameMatch)
	}
	in.none = !some
	return in
}

// match tells which names of the block are what is asked for; of those that were cut, which may be.
func (in *inBlock) match(b *block, asked string, how span.NameMatch) (chosen nameSet, some bool) {
	chosen = make(nameSet, len(b.names))
	for i, name := range b.names {
		if len(name) > span.MaxNameBytes-utf8.UTFMax {
			if in.unsure == nil {
				in.unsure = make(nameSet, len(b.names))
			}
			in.unsure[i] = true
			chosen[i] = how == span.NameContains || strings.HasPrefix(name, span.CutName(asked))
		} else {
			chosen[i] = how == span.NameExact && name == asked || how == span.NamePrefix && strings.HasPrefix(name, asked) ||
				how == span.NameContains && strings.Contains(name, asked)
		}
		some = some || chosen[i]
	}
	return chosen, some
}

// row tells whether a row is chosen; sure is false if the whole span has to be looked at.
func (in *inBlock) row(r *row) (chosen, sure bool) {
	if r.start < in.from || r.start >= in.until || !in.services.orAll(r.service) || !in.names.orAll(r.name) {
		return false, true
	}
	if in.status != nil && r.status != int8(*in.status) || in.kind != nil && r.kind != int8(*in.kind) || in.rootsOnly && !r.isRoot() {
		return false, true
	}
	d := time.Duration(r.end - r.start)
	if in.minimum != 0 && d < in.minimum || in.maximum != 0 && d > in.maximum || in.after != nil && !in.isAfter(r) {
		return false, true
	}
	unsure := len(in.marks) > 0 || in.services != nil && in.unsure.orNone(r.service) || in.names != nil && in.unsure.orNone(r.name)
	return true, !unsure
}

// isAfter tells whether a row comes after the place in a listing, whose ids may be any text.
func (c *chooser) isAfter(r *row) bool {
	if m := r.micros(); m != c.afterMicros {
		return m < c.afterMicros
	}
	return cmp.Or(strings.Compare(hex.EncodeToString(r.trace[:]), c.after.TraceID), strings.Compare(hex.EncodeToString(r.id[:]), c.after.SpanID)) > 0
}

// whole tells whether a whole span is chosen, but for what only listings ask.
func (c *chooser) whole(s *otlpwire.Span, convert *otlpwire.Converter) bool {
	start, end := otlpwire.StorableNanos(s.StartNanos), otlpwire.StorableNanos(s.EndNanos)
	m := span.Metadata{
		ServiceName: s.ServiceName, Name: string(s.Name), Kind: span.Kind(otlpwire.Tiny(s.Kind)), StatusCode: span.StatusCode(otlpwire.Tiny(s.StatusCode)),
		StartTime: timeAt(start).Truncate(time.Microsecond), Duration: time.Duration(end - start),
	}
	if !c.filter.Match(&m) || !c.mayHave(s) {
		return false
	}
	if len(c.marks) == 0 {
		return true
	}
	whole := convert.Span(s)
	return attribute.Matches(c.filter.Attributes, whole.Attributes, whole.ResourceAttributes)
}

// mark is what an attribute that is asked for leaves in OTLP: its key, and one of values unless there are none. Most spans need not be made
// into JSON, which takes ten times as long.
type mark struct {
	key    []byte
	values [][]byte
}

func markOf(c *span.AttributeCondition) mark {
	t := mark{key: []byte(c.Key)}
	if c.Value == nil {
		return t
	}
	switch _, isNumber := attribute.Number(*c.Value); {
	case isNumber, slices.Contains([]string{"true", "false", "NaN", "Infinity", "-Infinity"}, *c.Value):
		return t // not as text in OTLP, or not only
	}
	t.values = [][]byte{[]byte(*c.Value)}
	if data, err := base64.StdEncoding.DecodeString(*c.Value); err == nil {
		t.values = append(t.values, data) // bytes are base64 in JSON
	}
	return t
}

// in tells whether an encoded message can have the attribute.
func (t *mark) in(message []byte) bool {
	has := func(part []byte) bool { return bytes.Contains(message, part) }
	return has(t.key) && (t.values == nil || slices.ContainsFunc(t.values, has))
}

// mayHave tells whether a span can have the attributes.
func (c *chooser) mayHave(s *otlpwire.Span) bool {
	for _, marks := range c.marks {
		if !slices.ContainsFunc(marks, func(t mark) bool { return t.in(s.Span) || t.in(s.Resource) }) {
			return false
		}
	}
	return true
}
