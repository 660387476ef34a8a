package wire

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spanlake/spanlake/internal/span"
)

// The query parameters of a filter, and those of a listing.
const (
	ParamService     = "service"
	ParamName        = "name"
	ParamNameMatch   = "name_match"
	ParamFrom        = "from"
	ParamUntil       = "until"
	ParamMinDuration = "min_duration"
	ParamMaxDuration = "max_duration"
	ParamStatus      = "status"
	ParamKind        = "kind"
	// ParamAttribute is the only one that may be there several times.
	ParamAttribute = "attribute"
	ParamHasLLM    = "has_llm"
	ParamWorkflow  = "workflow"
	ParamLimit     = "limit"
	ParamCursor    = "cursor"
	ParamStep      = "step"
)

// MaxAttributes is how many attributes one question may name: each is looked for by itself.
const MaxAttributes = 16

// TraceQuery is how traces are asked for that f chooses. ParseTraceQuery reads it. Of f.Has it can say what ParseTraceQuery makes; the
// error is a *span.InvalidError.
func TraceQuery(f span.TraceFilter) (url.Values, error) {
	var clauses []span.AttributeClause
	for i := range f.Has {
		has := f.Has[i]
		attributes := has.Attributes
		has.Attributes = nil
		if len(attributes) != 1 || !isZero(&has) {
			return nil, &span.InvalidError{What: "filter of traces", Value: has.Name, Problem: "cannot be asked over HTTP: one attribute may be asked of any span"}
		}
		clauses = append(clauses, attributes[0])
	}
	if len(f.Root.Attributes) > 0 {
		return nil, &span.InvalidError{What: "filter of traces", Value: f.Root.Attributes[0][0].Key, Problem: "cannot be asked over HTTP of the root alone"}
	}
	f.Root.Attributes = clauses
	return SpanQuery(f.Root)
}

func isZero(f *span.Filter) bool {
	return f.ServiceName == "" && f.Name == "" && f.From.IsZero() && f.Until.IsZero() && f.MinDuration == 0 && f.MaxDuration == 0 &&
		f.StatusCode == nil && f.Kind == nil && len(f.Attributes) == 0
}

// ParseTraceQuery reads the filter of traces of a query: attributes are asked of any span of the trace, the rest of its root. Other
// parameters are left alone. The error is a *span.InvalidError, whose What is the parameter.
func ParseTraceQuery(query url.Values) (span.TraceFilter, error) {
	root, err := ParseSpanQuery(query)
	if err != nil {
		return span.TraceFilter{}, err
	}
	f := span.TraceFilter{Root: root}
	for _, clause := range root.Attributes {
		f.Has = append(f.Has, span.Filter{Attributes: []span.AttributeClause{clause}})
	}
	f.Root.Attributes = nil
	return f, nil
}

// SpanQuery is how spans are asked for that f chooses. ParseSpanQuery reads it. The error is a *span.InvalidError.
func SpanQuery(f span.Filter) (url.Values, error) {
	query := url.Values{}
	var wrong error
	set := func(name, value string, there bool) {
		if there {
			query.Set(name, value)
		}
	}
	set(ParamService, f.ServiceName, f.ServiceName != "")
	set(ParamName, f.Name, f.Name != "")
	set(ParamNameMatch, NameMatchText(f.NameMatch), f.Name != "" && f.NameMatch != span.NameExact)
	set(ParamFrom, f.From.UTC().Format(time.RFC3339Nano), !f.From.IsZero())
	set(ParamUntil, f.Until.UTC().Format(time.RFC3339Nano), !f.Until.IsZero())
	set(ParamMinDuration, f.MinDuration.String(), f.MinDuration != 0)
	set(ParamMaxDuration, f.MaxDuration.String(), f.MaxDuration != 0)
	if f.StatusCode != nil {
		query.Set(ParamStatus, f.StatusCode.String())
	}
	if f.Kind != nil {
		query.Set(ParamKind, f.Kind.String())
	}
	for _, clause := range f.Attributes {
		switch {
		case slices.EqualFunc(clause, span.HasLLMCall().Attributes[0], sameCondition):
			query.Set(ParamHasLLM, "true")
		case len(clause) == 1:
			text, err := attributeText(clause[0])
			wrong = cmp.Or(wrong, err)
			query.Add(ParamAttribute, text)
		default:
			wrong = cmp.Or[error](wrong, &span.InvalidError{What: ParamAttribute, Problem: "cannot be asked over HTTP: one of several conditions"})
		}
	}
	if wrong != nil {
		return nil, wrong
	}
	// What cannot be said is what cannot be read again.
	_, err := ParseSpanQuery(query)
	return query, err
}

func sameCondition(a, b span.AttributeCondition) bool {
	return a.Key == b.Key && (a.Value == nil) == (b.Value == nil) && (a.Value == nil || *a.Value == *b.Value)
}

// ParseSpanQuery reads the filter of spans of a query. Other parameters are left alone. The error is a *span.InvalidError, whose What
// is the parameter.
func ParseSpanQuery(query url.Values) (span.Filter, error) {
	p := parser{query: query}
	f := span.Filter{ServiceName: p.text(ParamService), Name: p.text(ParamName), From: p.time(ParamFrom), Until: p.time(ParamUntil),
		MinDuration: p.duration(ParamMinDuration), MaxDuration: p.duration(ParamMaxDuration)}
	if text := p.text(ParamNameMatch); text != "" {
		match, err := ParseNameMatch(text)
		p.fail(err)
		f.NameMatch = match
		if f.Name == "" {
			p.fail(&span.InvalidError{What: ParamNameMatch, Value: text, Problem: "says how " + ParamName + " is compared, which is not given"})
		}
	}
	if text := p.text(ParamStatus); text != "" {
		status, err := ParseStatus(text)
		p.fail(err)
		f.StatusCode = &status
	}
	if text := p.text(ParamKind); text != "" {
		kind, err := ParseKind(text)
		p.fail(err)
		f.Kind = &kind
	}
	if !f.From.IsZero() && !f.Until.IsZero() && !f.From.Before(f.Until) {
		p.fail(&span.InvalidError{What: ParamUntil, Value: p.text(ParamUntil), Problem: "must be later than " + ParamFrom})
	}
	if f.MaxDuration != 0 && f.MinDuration > f.MaxDuration {
		p.fail(&span.InvalidError{What: ParamMaxDuration, Value: p.text(ParamMaxDuration), Problem: "must not be shorter than " + ParamMinDuration})
	}
	f.Attributes = p.attributes()
	if p.err != nil {
		return span.Filter{}, p.err
	}
	return f, nil
}

// parser reads parameters and keeps the first error.
type parser struct {
	query url.Values
	err   error
}

func (p *parser) fail(err error) { p.err = cmp.Or(p.err, err) }

// text is the value of a parameter, "" if it is not there.
func (p *parser) text(name string) string {
	text := p.query.Get(name)
	p.fail(CheckText(name, text))
	return text
}

// CheckText refuses what is no text anywhere else: no span has such a name, and databases take offence. name is that of the parameter.
func CheckText(name, text string) error {
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return &span.InvalidError{What: name, Value: text, Problem: "must be UTF-8 without the character 0"}
	}
	return nil
}

func (p *parser) time(name string) time.Time {
	text := p.text(name)
	if text == "" {
		return time.Time{}
	}
	t, err := ParseTime(name, text)
	p.fail(err)
	return t
}

func (p *parser) duration(name string) time.Duration {
	text := p.text(name)
	if text == "" {
		return 0
	}
	d, err := ParseDuration(name, text)
	p.fail(err)
	return d
}

// truth is false if the parameter is not there.
func (p *parser) truth(name string) bool {
	text := p.text(name)
	if text != "" && text != "true" && text != "false" {
		p.fail(&span.InvalidError{What: name, Value: text, Problem: "must be true or false"})
	}
	return text == "true"
}

func (p *parser) attributes() (clauses []span.AttributeClause) {
	if all := p.query[ParamAttribute]; len(all) > MaxAttributes {
		p.fail(&span.InvalidError{What: ParamAttribute, Value: all[MaxAttributes], Problem: "is one too many: at most " + strconv.Itoa(MaxAttributes) + " may be given"})
	}
	for _, text := range p.query[ParamAttribute] {
		p.fail(CheckText(ParamAttribute, text))
		condition, err := ParseAttribute(text)
		p.fail(err)
		clauses = append(clauses, span.AttributeClause{condition})
	}
	if p.truth(ParamHasLLM) {
		clauses = append(clauses, span.HasLLMCall().Attributes...)
	}
	if p.truth(ParamWorkflow) {
		clauses = append(clauses, span.IsWorkflow().Attributes...)
	}
	return clauses
}
