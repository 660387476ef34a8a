package span

import (
	"cmp"
	"strings"
	"time"
	"unicode/utf8"
)

// NameMatch says how the name of a span is compared with the one that is asked for, case and all.
type NameMatch int

// How names are compared.
const (
	NameExact NameMatch = iota
	NamePrefix
	NameContains
)

// Filter chooses spans. A field that is zero or nil chooses all.
type Filter struct {
	ServiceName string
	// Name is compared as NameMatch says; "" is any name.
	Name      string
	NameMatch NameMatch
	// From and Until bound the start time: From <= start < Until. Listings compare them in microseconds.
	From, Until time.Time
	// MinDuration and MaxDuration are inclusive; 0 is no bound.
	MinDuration, MaxDuration time.Duration
	StatusCode               *StatusCode
	Kind                     *Kind
	// Attributes must all hold of the same span. Metadata does not tell: see internal/attribute.
	Attributes []AttributeClause
}

// AttributeClause holds if one of its conditions does.
type AttributeClause []AttributeCondition

// AttributeCondition is about an attribute of the span or of its resource; one of both suffices. Keys are whole keys at the top level,
// such as http.response.status_code.
type AttributeCondition struct {
	Key string
	// Value is what the attribute equals: a string by its text, a bool as true or false, a number by its value. Nil: it is there,
	// whatever it is.
	Value *string
}

// Match tells whether the filter chooses a span by what its metadata tells: everything but attributes.
func (f *Filter) Match(m *Metadata) bool {
	return (f.ServiceName == "" || m.ServiceName == f.ServiceName) &&
		f.matchName(m.Name) &&
		(f.From.IsZero() || !m.StartTime.Before(f.From)) &&
		(f.Until.IsZero() || m.StartTime.Before(f.Until)) &&
		(f.MinDuration == 0 || m.Duration >= f.MinDuration) && (f.MaxDuration == 0 || m.Duration <= f.MaxDuration) &&
		(f.StatusCode == nil || m.StatusCode == *f.StatusCode) &&
		(f.Kind == nil || m.Kind == *f.Kind)
}

func (f *Filter) matchName(name string) bool {
	switch {
	case f.Name == "":
		return true
	case f.NameMatch == NamePrefix:
		return strings.HasPrefix(name, f.Name)
	case f.NameMatch == NameContains:
		return strings.Contains(name, f.Name)
	}
	return name == f.Name
}

// TraceFilter chooses traces by their root spans, and by what is in them.
type TraceFilter struct {
	// Root is what the root span must be. From and Until are those of the trace.
	Root Filter
	// Has are filters of which each must choose some span of the trace, the root or another. Their times are not used: looked at are
	// spans that start from TraceEarly before the range of Root to TraceLate after it.
	Has []Filter
}

const (
	// TraceEarly is how long before the range of a search spans of its traces are looked for: clocks differ.
	TraceEarly = time.Minute
	// TraceLate is how long after it.
	TraceLate = time.Hour
)

// HasLLMCall chooses spans that are a call of a language model, by OpenInference or by OpenTelemetry's conventions for generative AI.
func HasLLMCall() Filter {
	llm := "LLM"
	return Filter{Attributes: []AttributeClause{{
		{Key: "openinference.span.kind", Value: &llm},
		{Key: "gen_ai.operation.name"}, {Key: "gen_ai.provider.name"}, {Key: "gen_ai.system"},
	}}}
}

// IsWorkflow chooses spans that are a workflow.
func IsWorkflow() Filter {
	workflow := "workflow"
	return Filter{Attributes: []AttributeClause{{{Key: "junjo.span_type", Value: &workflow}}}}
}

// Key is where a span stands in a listing: newest first, then by trace id and span id. Spans that share all three stand at the same place:
// a listing has all of them or none, so it may be longer than its limit by those at its end.
type Key struct {
	// StartTime is in microseconds, since that is what the index knows.
	StartTime       time.Time
	TraceID, SpanID string
}

// Key is where the span stands.
func (m *Metadata) Key() Key {
	return Key{StartTime: m.StartTime.Truncate(time.Microsecond), TraceID: m.TraceID, SpanID: m.SpanID}
}

// Compare is negative if a comes before b in a listing.
func (a Key) Compare(b Key) int {
	return cmp.Or(b.StartTime.Compare(a.StartTime), strings.Compare(a.TraceID, b.TraceID), strings.Compare(a.SpanID, b.SpanID))
}

// IsZero tells whether it is no place at all.
func (a Key) IsZero() bool { return a == Key{} }

// MaxNameBytes is how much of a name is kept of unflushed spans for listings. Whole spans have the whole name.
const MaxNameBytes = 1 << 10

// CutName cuts a name to MaxNameBytes, between two characters.
func CutName(name string) string {
	if len(name) <= MaxNameBytes {
		return name
	}
	cut := MaxNameBytes
	for cut > 0 && !utf8.RuneStart(name[cut]) {
		cut--
	}
	return name[:cut]
}

// Identity is equal for two spans if one repeats the other (docs/formats/index.md, "Distinct"). Names are cut to MaxNameBytes
// and times to microseconds, which is what all places know of them.
type Identity struct {
	TraceID, SpanID, ServiceName, Name string
	Kind                               Kind
	StatusCode                         StatusCode
	// Start and End are microseconds since 1970.
	Start, End int64
}

// Identity is that of the span.
func (m *Metadata) Identity() Identity {
	return Identity{TraceID: m.TraceID, SpanID: m.SpanID, ServiceName: CutName(m.ServiceName), Name: CutName(m.Name), Kind: m.Kind,
		StatusCode: m.StatusCode, Start: m.StartTime.UnixMicro(), End: m.EndTime.UnixMicro()}
}

// Identity is that of the span.
func (s *Span) Identity() Identity {
	return Identity{TraceID: s.TraceID, SpanID: s.SpanID, ServiceName: CutName(s.ServiceName), Name: CutName(s.Name), Kind: s.Kind,
		StatusCode: s.StatusCode, Start: s.StartTime.UnixMicro(), End: s.EndTime.UnixMicro()}
}
