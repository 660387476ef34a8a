package api

import (
	"cmp"
	"errors"

	"github.com/danielgtaylor/huma/v2"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/span"
)

// FilterInput is a filter as huma describes it. What it means is read by package wire, which clients use as well.
type FilterInput struct {
	Service     string   `query:"service" doc:"The name of the service." example:"chat-api"`
	Name        string   `query:"name" doc:"The name of the span; name_match says how it is compared, case and all." example:"POST /chat"`
	NameMatch   string   `query:"name_match" enum:"exact,prefix,contains" doc:"How the name is compared; without it: exact." example:"prefix"`
	From        string   `query:"from" format:"date-time" doc:"The earliest start time." example:"2026-10-31T00:00:00Z"`
	Until       string   `query:"until" format:"date-time" doc:"Start times are before it." example:"2026-11-02T00:00:00Z"`
	MinDuration string   `query:"min_duration" doc:"The shortest duration." example:"250ms"`
	MaxDuration string   `query:"max_duration" doc:"The longest duration." example:"1m30s"`
	Status      string   `query:"status" enum:"unset,ok,error" doc:"The status code." example:"error"`
	Kind        string   `query:"kind" enum:"unspecified,internal,server,client,producer,consumer" doc:"The kind of the span." example:"server"`
	Attribute   []string `query:"attribute,explode" maxItems:"16" doc:"An attribute of the span or its resource: key=value, or key for any value. May be given several times: all must hold. The key ends at the first =." example:"[\"gen_ai.request.model=gpt-4o\"]"`
	HasLLM      string   `query:"has_llm" enum:"true,false" doc:"true: there is a call of a language model; false says nothing." example:"true"`
	Workflow    string   `query:"workflow" enum:"true,false" doc:"true: there is a workflow (junjo.span_type=workflow); false says nothing." example:"true"`

	spans  span.Filter
	traces span.TraceFilter
}

// Resolve implements huma.Resolver.
func (f *FilterInput) Resolve(ctx huma.Context) []error {
	asked := ctx.URL()
	query := asked.Query() // checkQuery has seen that it can be read
	var err, other error
	f.spans, err = wire.ParseSpanQuery(query)
	f.traces, other = wire.ParseTraceQuery(query)
	return invalid(cmp.Or(err, other))
}

func asInvalid(err error) (*span.InvalidError, bool) { return errors.AsType[*span.InvalidError](err) }

// TraceInput is a trace in the path.
type TraceInput struct {
	TraceID string `path:"trace_id" doc:"The id of the trace: 32 hex digits, or what the file of another writer has." example:"4bf92f3577b34da6a3ce929d0e0e4736"`
}

// Resolve implements huma.Resolver.
func (in *TraceInput) Resolve(huma.Context) []error {
	return invalid(wire.CheckText(whatTrace, in.TraceID))
}

// SpanInput is a span in the path.
type SpanInput struct {
	SpanID string `path:"span_id" doc:"The id of the span: 16 hex digits, or what the file of another writer has." example:"00f067aa0ba902b7"`
}

// Resolve implements huma.Resolver.
func (in *SpanInput) Resolve(huma.Context) []error {
	return invalid(wire.CheckText(whatSpan, in.SpanID))
}

// ServiceInput is a service in the path.
type ServiceInput struct {
	Service string `path:"service" doc:"The name of the service; a / in it is written %2F." example:"chat-api"`
}

// Resolve implements huma.Resolver.
func (in *ServiceInput) Resolve(huma.Context) []error {
	return invalid(wire.CheckText(pathService, in.Service))
}

// ListLimit is how many spans front ends may ask for.
type ListLimit struct {
	Limit int `query:"limit" minimum:"1" maximum:"10000" default:"500" doc:"How many spans at most. Spans with the same start time and ids as the last one come with it."`
}
