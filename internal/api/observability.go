package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/spanlake/spanlake/internal/span"
)

// observabilityOperations registers what the front end of Junjo AI Studio asks, answered as it expects.
func (s *Server) observabilityOperations(api huma.API) {
	at := func(id, path, summary string, example any) huma.Operation {
		o := asks(operation("observability-"+id, http.MethodGet, "/observability"+path, summary), "As the front end of Junjo AI Studio expects it.")
		o.Tags = []string{"Observability"}
		return withExample(o, example)
	}
	spans := []observed{exampleObserved()}
	huma.Register(api, at("services", "/services", "The names of all services", []string{"chat-api", "web-frontend"}),
		askedList(s, func(ctx context.Context, _ *struct{}) ([]string, span.Completeness, error) {
			services, complete, err := s.spans.Services(ctx)
			names := make([]string, 0, len(services))
			for i := range services {
				names = append(names, services[i].Name)
			}
			return names, complete, err
		}))
	huma.Register(api, at("spans", "/services/{service}/spans", "The newest spans of a service", spans),
		askedList(s, func(ctx context.Context, in *serviceSpansInput) ([]observed, span.Completeness, error) {
			return observeAll(s.spans.Spans(ctx, span.Filter{ServiceName: in.Service}, in.Limit))
		}))
	huma.Register(api, at("roots", "/services/{service}/spans/root", "The newest root spans of a service", spans), askedList(s, s.observeRoots))
	huma.Register(api, at("workflows", "/services/{service}/workflows", "The newest spans of a service that are a workflow", spans),
		askedList(s, func(ctx context.Context, in *serviceSpansInput) ([]observed, span.Completeness, error) {
			f := span.IsWorkflow()
			f.ServiceName = in.Service
			return observeAll(s.spans.Spans(ctx, f, in.Limit))
		}))
	huma.Register(api, at("trace", "/traces/{trace_id}/spans", "All spans of a trace, newest first", spans),
		askedList(s, func(ctx context.Context, in *TraceInput) ([]observed, span.Completeness, error) {
			spans, complete, err := s.spans.Trace(ctx, in.TraceID)
			slices.SortStableFunc(spans, newestFirst)
			return observeAll(spans, complete, err)
		}))
	huma.Register(api, at("span", "/traces/{trace_id}/spans/{span_id}", "One span", spans[0]), asked(s, s.observeSpan))
}

func newestFirst(a, b span.Span) int {
	return cmp.Or(b.StartTime.Compare(a.StartTime), strings.Compare(a.SpanID, b.SpanID))
}

func observeAll(spans []span.Span, complete span.Completeness, err error) ([]observed, span.Completeness, error) {
	all := make([]observed, 0, len(spans))
	for i := range spans {
		all = append(all, observe(&spans[i]))
	}
	return all, complete, err
}

type serviceSpansInput struct {
	ServiceInput
	ListLimit
}

type rootSpansInput struct {
	ServiceInput
	ListLimit
	HasLLM bool `query:"has_llm" default:"false" doc:"true: only those of traces with a call of a language model."`
}

func (s *Server) observeRoots(ctx context.Context, in *rootSpansInput) ([]observed, span.Completeness, error) {
	f := span.TraceFilter{Root: span.Filter{ServiceName: in.Service}}
	if in.HasLLM {
		f.Has = []span.Filter{span.HasLLMCall()}
	}
	return observeAll(s.spans.RootSpans(ctx, f, in.Limit))
}

type traceSpanInput struct {
	TraceInput
	SpanInput
}

// observeSpan answers with one span. Of several with the same ids, which differ, the first one is shown: the trace has all.
func (s *Server) observeSpan(ctx context.Context, in *traceSpanInput) (observed, span.Completeness, error) {
	spans, complete, err := s.spans.Span(ctx, in.TraceID, in.SpanID)
	if err != nil {
		return observed{}, complete, err
	}
	return observe(&spans[0]), complete, nil
}
