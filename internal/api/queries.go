package api

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/span"
)

// Queries answers what is asked of spans, wherever they are. All methods may be called at the same time, and end soon after their context
// does. Errors: *span.InvalidError if the question is at fault, span.ErrNotFound, those of the context, or what went wrong.
type Queries interface {
	// Traces lists traces by their root spans, newest first; cursor is that of the page before, or "".
	Traces(ctx context.Context, f span.TraceFilter, cursor string, limit int) (span.TracePage, error)
	// RootSpans and Spans list whole spans, newest first.
	RootSpans(ctx context.Context, f span.TraceFilter, limit int) ([]span.Span, span.Completeness, error)
	Spans(ctx context.Context, f span.Filter, limit int) ([]span.Span, span.Completeness, error)
	// Trace lists the spans of a trace by start time. Span and SpanByID list those with an id, which is usually one.
	Trace(ctx context.Context, traceID string) ([]span.Span, span.Completeness, error)
	Span(ctx context.Context, traceID, spanID string) ([]span.Span, span.Completeness, error)
	SpanByID(ctx context.Context, spanID string) ([]span.Span, span.Completeness, error)
	// Services and Operations are by name.
	Services(ctx context.Context) ([]span.Service, span.Completeness, error)
	Operations(ctx context.Context, service string) ([]span.Operation, span.Completeness, error)
	Statistics(ctx context.Context, query span.CountQuery) ([]span.Statistics, span.Completeness, error)
	Dependencies(ctx context.Context, from, until time.Time) ([]span.Dependency, span.Completeness, error)
	// Tail calls yield with root spans that are new, the oldest first, until ctx ends or yield fails.
	Tail(ctx context.Context, f span.TraceFilter, yield func([]span.Metadata) error) error
	// Export yields every span once, in no order.
	Export(ctx context.Context, f span.Filter, yield func(span.Span) error) (span.Completeness, error)
	// Completeness says what an answer about spans that start at from or later would lack now.
	Completeness(ctx context.Context, from time.Time) (span.Completeness, error)
}

// answered is an answer of huma about spans, and what it lacks.
type answered[T any] struct {
	Completeness string `header:"Spanlake-Completeness" doc:"What the answer does not have, as JSON."`
	Body         T
}

// answeredList is one that is an array.
type answeredList[T any] struct {
	Completeness string `header:"Spanlake-Completeness" doc:"What the answer does not have, as JSON."`
	Body         []T    `nullable:"false"`
}

// asked calls a method of Queries within the time that a question may take.
func asked[I, T any](s *Server, ask func(context.Context, *I) (T, span.Completeness, error)) func(context.Context, *I) (*answered[T], error) {
	return func(ctx context.Context, in *I) (*answered[T], error) {
		ctx, cancel := context.WithTimeoutCause(ctx, s.queryTime, &queryTimeError{s.queryTime})
		defer cancel()
		body, complete, err := ask(ctx, in)
		if err != nil {
			return nil, s.incomplete(ctx, err, complete)
		}
		return &answered[T]{Completeness: wire.CompletenessText(complete), Body: body}, nil
	}
}

// askedList does the same where the answer is an array, which is never null.
func askedList[I, T any](s *Server, ask func(context.Context, *I) ([]T, span.Completeness, error)) func(context.Context, *I) (*answeredList[T], error) {
	return func(ctx context.Context, in *I) (*answeredList[T], error) {
		all, err := asked(s, ask)(ctx, in)
		if err != nil {
			return nil, err
		}
		if all.Body == nil {
			all.Body = []T{}
		}
		return &answeredList[T]{Completeness: all.Completeness, Body: all.Body}, nil
	}
}

// incomplete is the problem of a question that was not answered. That a span was not found may be since something is missing.
func (s *Server) incomplete(ctx context.Context, err error, complete span.Completeness) *problem {
	p := s.problemOf(ctx, err)
	if complete.Hot.State != "" {
		p.completeness = &complete
	}
	return p
}

// asks describes an operation that asks for spans. Parameters are checked by who reads them, so that each is refused once.
func asks(o huma.Operation, description string) huma.Operation {
	o.Description = description
	o.SkipValidateParams = true
	o.Tags = []string{"Traces"}
	return o
}

// What InvalidError calls what is in the path.
const (
	whatTrace   = "trace id"
	whatSpan    = "span id"
	pathService = "service name"
)

// invalid are the errors of huma for a parameter that is wrong.
func invalid(err error) []error {
	if e, ok := asInvalid(err); ok {
		return []error{invalidDetail(e)}
	}
	return nil
}
