package wire

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/spanlake/spanlake/internal/span"
)

// CompletenessHeader says what an answer about spans lacks, as the JSON of a span.Completeness. An export has it as a trailer.
const CompletenessHeader = "Spanlake-Completeness"

// Trace is a trace in a listing: what is known of its root span. Times are exact to the microsecond.
type Trace struct {
	TraceID     string    `json:"trace_id"`
	SpanID      string    `json:"span_id"`
	ServiceName string    `json:"service_name"`
	Name        string    `json:"name"`
	Kind        string    `json:"kind"`
	StartTime   time.Time `json:"start_time"`
	EndTime     time.Time `json:"end_time"`
	DurationNS  int64     `json:"duration_ns"`
	StatusCode  string    `json:"status_code"`
}

// FromMetadata is how a root span is sent.
func FromMetadata(m span.Metadata) Trace {
	return Trace{TraceID: m.TraceID, SpanID: m.SpanID, ServiceName: m.ServiceName, Name: m.Name, Kind: m.Kind.String(),
		StartTime: m.StartTime.UTC(), EndTime: m.EndTime.UTC(), DurationNS: int64(m.Duration), StatusCode: m.StatusCode.String()}
}

// Span is the root span that was sent.
func (t *Trace) Span() (span.Metadata, error) {
	kind, err := number[span.Kind]("kind", t.Kind, Kinds())
	if err != nil {
		return span.Metadata{}, fmt.Errorf("trace %s: %w", t.TraceID, err)
	}
	status, err := number[span.StatusCode]("status", t.StatusCode, Statuses())
	if err != nil {
		return span.Metadata{}, fmt.Errorf("trace %s: %w", t.TraceID, err)
	}
	return span.Metadata{TraceID: t.TraceID, SpanID: t.SpanID, ServiceName: t.ServiceName, Name: t.Name, Kind: kind, StartTime: t.StartTime,
		EndTime: t.EndTime, Duration: time.Duration(t.DurationNS), StatusCode: status}, nil
}

// TracePage is a part of a listing of traces, newest first.
type TracePage struct {
	Traces []Trace `json:"traces" nullable:"false"`
	// NextCursor asks for the next page; null if there is none.
	NextCursor   *string           `json:"next_cursor" doc:"Asks for the next page; null if there is none."`
	Completeness span.Completeness `json:"completeness"`
}

// FromTracePage is how a page is sent.
func FromTracePage(p span.TracePage) TracePage {
	out := TracePage{Traces: make([]Trace, len(p.Roots)), Completeness: p.Completeness}
	for i := range p.Roots {
		out.Traces[i] = FromMetadata(p.Roots[i])
	}
	if p.Next != "" {
		out.NextCursor = &p.Next
	}
	return out
}

// Span is the page that was sent.
func (p *TracePage) Span() (span.TracePage, error) {
	page := span.TracePage{Roots: make([]span.Metadata, len(p.Traces)), Completeness: p.Completeness}
	for i := range p.Traces {
		root, err := p.Traces[i].Span()
		if err != nil {
			return span.TracePage{}, err
		}
		page.Roots[i] = root
	}
	if p.NextCursor != nil {
		page.Next = *p.NextCursor
	}
	return page, nil
}

// CompletenessText is the value of CompletenessHeader. It is ASCII, since what else a header may hold is read in different ways.
func CompletenessText(c span.Completeness) string {
	text, err := json.Marshal(c)
	if err != nil {
		return "{}" // it is made of strings and numbers
	}
	var out strings.Builder
	for _, r := range string(text) {
		switch {
		case r < 0x7f:
			out.WriteRune(r)
		case r <= 0xffff:
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, high, low)
		}
	}
	return out.String()
}

// ParseCompleteness reads the value of CompletenessHeader.
func ParseCompleteness(text string) (c span.Completeness, err error) {
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return span.Completeness{}, fmt.Errorf("read the header %s: %w", CompletenessHeader, err)
	}
	return c, nil
}
