// Package otlpwire reads OTLP trace requests where they lie, in their protobuf encoding: it checks and repairs them, iterates
// over their spans and turns spans into span.Span and back. docs/adr/0009 tells why it builds no objects.
package otlpwire

import (
	"errors"
	"fmt"
)

// ErrMalformed says that bytes are not a protobuf message of OTLP: sending them again will not help.
var ErrMalformed = errors.New("not an OTLP trace request in protobuf")

// maxDepth is the most that Limits.Depth may be: each level takes stack.
const maxDepth = 1000

// Limits bound what one span may bring. A number that is not positive stands for the default.
type Limits struct {
	// AttributeBytes bounds a string or bytes value, and the encoding of an array or map, where each element counts
	// elementBytes on top of its own. What is longer is cut at the end.
	AttributeBytes int
	// Attributes bounds the attributes of a span, an event, a link, a scope or a resource each. Later ones are dropped.
	Attributes int
	// Events and Links bound those of a span. Later ones are dropped.
	Events, Links int
	// SharedBytes bounds the encoding of a resource, of a scope, and the URL of a schema: each of a million spans in a
	// request may be stored with them. What of a resource or scope is over it is left out, a URL is cut at the end.
	SharedBytes int
	// Depth bounds how deep values nest: a plain value has depth 1, an element of an array 2. A deeper one becomes empty.
	// It cannot be more than 1,000.
	Depth int
}

// DefaultLimits are the limits unless somebody sets others.
func DefaultLimits() Limits {
	return Limits{AttributeBytes: 8 << 20, Attributes: 1024, Events: 65_536, Links: 65_536, SharedBytes: 64 << 10, Depth: 32}
}

func (l Limits) orDefaults() Limits {
	d := DefaultLimits()
	for _, of := range []struct{ limit, standard *int }{
		{&l.AttributeBytes, &d.AttributeBytes}, {&l.Attributes, &d.Attributes},
		{&l.Events, &d.Events}, {&l.Links, &d.Links},
		{&l.SharedBytes, &d.SharedBytes}, {&l.Depth, &d.Depth},
	} {
		if *of.limit <= 0 {
			*of.limit = *of.standard
		}
	}
	l.Depth = min(l.Depth, maxDepth)
	return l
}

// Report says what Clean found and did.
type Report struct {
	// Accepted spans are in the cleaned request, Rejected ones are not.
	Accepted, Rejected int
	// Reason says what is wrong with the first rejected span, "" if there is none.
	Reason string
	// RepairedStrings were not UTF-8: U+FFFD stands for each run of bad bytes.
	RepairedStrings int64
	// TruncatedValues were longer than Limits.AttributeBytes, or are what Limits.SharedBytes took of a resource or scope
	// beside attributes.
	TruncatedValues int64
	// DroppedAttributes, DroppedEvents and DroppedLinks were over a limit, or links with ids of a wrong length. Where OTLP
	// has a count of them in the message, it was raised.
	DroppedAttributes, DroppedEvents, DroppedLinks int64
	// CutValues were nested deeper than Limits.Depth and are empty now.
	CutValues int64
}

// Clean checks a whole ExportTraceServiceRequest, which is encoded as a TracesData is. What it refuses with ErrMalformed is
// what the protobuf library refuses, but for strings that are not UTF-8, which are repaired, and for values that are nested
// too deep, which become empty unread. Spans without valid ids are left out and told in the report.
//
// The result is request itself when nothing had to be changed, and else a copy in which also no singular field occurs twice.
// Unknown fields stay. Memory for the copy is at most about twice the request and twice again while a slice grows.
func Clean(request []byte, limits Limits) ([]byte, Report, error) {
	s := scanner{schema: schema(), limits: limits.orDefaults()}
	if err := s.message(messageRequest, request, 0); err != nil {
		return nil, Report{}, err
	}
	if !s.change && !s.repeats {
		return request, Report{Accepted: s.spans}, nil
	}
	r := rewriter{
		schema: s.schema, limits: s.limits, repeats: s.repeats,
		out:       make([]byte, 0, len(request)),
		mergeLeft: max(1<<20, 2*len(request)),
	}
	if err := r.message(messageRequest, request, 0); err != nil {
		return nil, Report{}, err
	}
	return r.out, r.report, nil
}

// malformed says in which message what is wrong.
func malformed(m messageType, err error) error {
	return fmt.Errorf("%w: %s: %w", ErrMalformed, m, err)
}
