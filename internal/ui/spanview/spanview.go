// Package spanview turns a span into what a page shows of it: attributes by namespace, conversations with language models, JSON as trees,
// changes of a workflow's state as before and after.
//
// Whatever a span says, what it becomes is bounded: in depth, in values and in bytes. Nothing here is HTML; templates escape all of it.
package spanview

import (
	"net/url"
	"strconv"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// View is a span as its page shows it.
type View struct {
	Span *span.Span
	// Start and End are exact to the nanosecond.
	Start, End Moment
	Duration   time.Duration
	// Message is that of the status, nil if it has none.
	Message *Text
	// Parent leads to the parent span, "" if it has none.
	Parent string

	Model      *Model
	Tool       *Tool
	Exceptions []Exception
	// Input and Output are what was said to a model and by it, or what went into an operation and came out.
	Input, Output Talk
	Offered       []Offer
	Documents     []Document
	State         *State

	Attributes Attributes
	Events     []Event
	// MoreEvents and MoreLinks are those that are not shown.
	MoreEvents, MoreLinks int
	Links                 []Link
	Resource, Scope       Attributes
	// Problems are columns that are not what they must be, as files of other writers may have them.
	Problems []Problem
	// API is where the whole span is.
	API string
}

// Moment is a time in two forms: for browsers, and in UTC with all its digits.
type Moment struct{ ISO, Exact string }

// Problem is a text that could not be read.
type Problem struct {
	What, Why string
	Text      *Text
}

// moment is a time. Browsers know times to the microsecond.
func moment(t time.Time) Moment {
	t = t.UTC()
	return Moment{ISO: t.Format("2006-01-02T15:04:05.000000Z"), Exact: t.Format("2006-01-02 15:04:05.000000000 UTC")}
}

// maker makes a view. Its parts are in the order of how much they matter: what comes first has the most room.
type maker struct {
	span *span.Span
	room
	attributes *attributes
	events     []event
	// shown are keys of attributes that are shown as something better than an attribute.
	shown map[string]bool
}

// Of is the view of a span. history is that of the trace it belongs to, nil if it is not known.
func Of(s *span.Span, history *History) *View {
	api := "/api/v1/spans/" + url.PathEscape(s.SpanID)
	m := &maker{span: s, room: newRoom(api), shown: make(map[string]bool)}
	v := &View{Span: s, Start: moment(s.StartTime), End: moment(s.EndTime), Duration: s.Duration(), API: api}
	if s.StatusMessage != "" {
		v.Message = m.fold(s.StatusMessage)
	}
	if s.ParentSpanID != "" {
		v.Parent = Address(s.TraceID, s.ParentSpanID)
	}
	var err error
	if m.attributes, err = readAttributes(s.Attributes); err != nil {
		v.problem(m, "Attributes", s.Attributes, err)
	}
	if m.events, err = readEvents(s.Events); err != nil {
		v.problem(m, "Events", s.Events, err)
	}
	v.Exceptions = m.exceptions()
	v.Model = m.model()
	v.Tool = m.tool()
	m.conversation(v)
	v.Offered = m.offered()
	v.Documents = m.documents()
	v.State = m.state(history)
	v.Attributes = m.groups(m.attributes, s.DroppedAttributesCount)
	v.Events, v.MoreEvents = m.listEvents()
	m.links(v)
	m.origin(v)
	return v
}

// origin is the resource and the scope.
func (m *maker) origin(v *View) {
	s := m.span
	m.shown = nil
	resource, err := readAttributes(s.ResourceAttributes)
	if err != nil {
		v.problem(m, "Resource", s.ResourceAttributes, err)
	}
	scope, err := readAttributes(s.ScopeAttributes)
	if err != nil {
		v.problem(m, "Scope", s.ScopeAttributes, err)
	}
	v.Resource = m.groups(resource, s.ResourceDroppedAttributesCount)
	v.Scope = m.groups(scope, s.ScopeDroppedAttributesCount)
}

func (v *View) problem(m *maker, what, text string, err error) {
	v.Problems = append(v.Problems, Problem{what, err.Error(), m.fold(text)})
}

// Address is the page of a span.
func Address(traceID, spanID string) string {
	address := "/traces/" + url.PathEscape(traceID)
	if spanID != "" {
		address += "?span=" + url.QueryEscape(spanID)
	}
	return address
}

// Flags are W3C's trace flags and OpenTelemetry's bits above them, "" if none is set.
func (v *View) Flags() string {
	if v.Span.Flags == 0 {
		return ""
	}
	return "0x" + strconv.FormatUint(uint64(v.Span.Flags), 16)
}
