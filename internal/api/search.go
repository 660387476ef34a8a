package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/span"
)

// searchOperations registers what is asked of spans, beside what front ends ask.
func (s *Server) searchOperations(api huma.API) {
	huma.Register(api, withExample(asks(operation("list-traces", http.MethodGet, "/traces", "Traces, newest first"),
		"Filters are about the root span, but for `attribute`, `has_llm` and `workflow`, which any span of the trace may have. `next_cursor` asks for the next page, "+
			"with the same filters: no trace is left out or comes twice while others arrive."), exampleTraces()), asked(s, s.listTraces))
	huma.Register(api, otlpAnswer(operation("get-trace", http.MethodGet, "/traces/{trace_id}", "All spans of a trace, in OTLP")), s.getTrace)
	huma.Register(api, otlpAnswer(operation("get-span", http.MethodGet, "/spans/{span_id}", "A span whose trace is not known, in OTLP")), s.getSpan)
	huma.Register(api, withExample(asks(operation("list-services", http.MethodGet, "/services", "The services that sent spans"), "By name."), exampleServices()),
		askedList(s, func(ctx context.Context, _ *struct{}) ([]span.Service, span.Completeness, error) {
			services, complete, err := s.spans.Services(ctx)
			for i := range services {
				services[i] = serviceInUTC(services[i])
			}
			return services, complete, err
		}))
	huma.Register(api, withExample(asks(operation("list-operations", http.MethodGet, "/services/{service}/operations", "The names of a service's spans"),
		"With their kinds, by name."), exampleOperations()), asked(s, s.listOperations))
	huma.Register(api, withExample(asks(operation("list-dependencies", http.MethodGet, "/dependencies", "How often services call each other"),
		"Counted are indexed spans whose parent is a span of another service. Without times: the last 24 hours."), exampleDependencies()), asked(s, s.listDependencies))
	s.exportOperation(api)
	s.tailOperation(api)
}

type tracesInput struct {
	FilterInput
	Limit  int    `query:"limit" minimum:"1" maximum:"10000" default:"50" doc:"How many traces at most. Root spans with the same start time and ids as the last one come with it."`
	Cursor string `query:"cursor" doc:"The next_cursor of the page before, unchanged."`
}

func (s *Server) listTraces(ctx context.Context, in *tracesInput) (wire.TracePage, span.Completeness, error) {
	page, err := s.spans.Traces(ctx, in.traces, in.Cursor, in.Limit)
	if err != nil {
		return wire.TracePage{}, page.Completeness, err
	}
	return tracesInUTC(wire.FromTracePage(page)), page.Completeness, nil
}

func tracesInUTC(page wire.TracePage) wire.TracePage {
	for i := range page.Traces {
		page.Traces[i] = traceInUTC(page.Traces[i])
	}
	return page
}

func traceInUTC(t wire.Trace) wire.Trace {
	t.StartTime, t.EndTime = inUTC(t.StartTime), inUTC(t.EndTime)
	return t
}

func (s *Server) listOperations(ctx context.Context, in *ServiceInput) (wire.Operations, span.Completeness, error) {
	all, complete, err := s.spans.Operations(ctx, in.Service)
	out := wire.Operations{Operations: make([]wire.Operation, 0, len(all)), Completeness: complete}
	for _, one := range all {
		out.Operations = append(out.Operations, wire.Operation{Name: one.Name, Kind: one.Kind.String()})
	}
	return out, complete, err
}

// TimeRange is a range of start times.
type TimeRange struct {
	From  string `query:"from" format:"date-time" doc:"The earliest start time." example:"2026-10-31T00:00:00Z"`
	Until string `query:"until" format:"date-time" doc:"Start times are before it." example:"2026-11-02T00:00:00Z"`

	from, until time.Time
}

// Resolve implements huma.Resolver.
func (r *TimeRange) Resolve(ctx huma.Context) []error {
	asked := ctx.URL()
	f, err := wire.ParseSpanQuery(timesOf(asked.Query()))
	r.from, r.until = f.From, f.Until
	return invalid(err)
}

// timesOf are the times of a query, so that what is wrong with others is told by who reads them.
func timesOf(query map[string][]string) map[string][]string {
	return map[string][]string{wire.ParamFrom: query[wire.ParamFrom], wire.ParamUntil: query[wire.ParamUntil]}
}

// since fills in the times that were not given: the range ends now, and is so long.
func (r *TimeRange) since(length time.Duration) {
	if r.until.IsZero() {
		r.until = time.Now().UTC()
		if !r.from.IsZero() && !r.from.Before(r.until) {
			r.until = r.from.Add(length)
		}
	}
	if r.from.IsZero() {
		r.from = r.until.Add(-length)
	}
}

// dependencyTime is the range in which calls are counted unless another one is asked for.
const dependencyTime = 24 * time.Hour

func (s *Server) listDependencies(ctx context.Context, in *TimeRange) (wire.Dependencies, span.Completeness, error) {
	in.since(dependencyTime)
	all, complete, err := s.spans.Dependencies(ctx, in.from, in.until)
	out := wire.Dependencies{From: in.from, Until: in.until, Dependencies: make([]wire.Dependency, 0, len(all)), Completeness: complete}
	for _, one := range all {
		out.Dependencies = append(out.Dependencies, wire.Dependency(one))
	}
	return out, complete, err
}
