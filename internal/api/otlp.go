package api

import (
	"cmp"
	"context"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
)

// maxWhole is how many answers in OTLP are made at once, others wait: one that is as large as it may be is in memory as spans, as a message
// and as JSON for a moment.
const maxWhole = 4

// otlpOutput is an answer in OTLP.
type otlpOutput struct {
	ContentType  string `header:"Content-Type"`
	Vary         string `header:"Vary"`
	Completeness string `header:"Spanlake-Completeness" doc:"What the answer does not have, as JSON."`
	Body         []byte
}

// AcceptInput is the media type that is asked for.
type AcceptInput struct {
	Accept string `header:"Accept" doc:"application/json (OTLP in JSON, the default) or application/x-protobuf." example:"application/json"`
}

// otlpAnswer describes an answer in OTLP.
func otlpAnswer(o huma.Operation) huma.Operation {
	o = asks(o, "A TracesData message of OTLP: in JSON, or in protobuf with `Accept: application/x-protobuf`. Spans that the file of another writer holds and OTLP cannot say, "+
		"such as one whose id has no hex digits, are left out, which the header Spanlake-Completeness says; the routes under `/observability` have them.")
	o.Responses = map[string]*huma.Response{"200": {
		Description: "TracesData",
		Content: map[string]*huma.MediaType{
			wire.JSONType:     {Schema: tracesDataSchema(), Example: tracesDataExample()},
			wire.ProtobufType: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
		},
	}}
	return o
}

func tracesDataSchema() *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, Description: "opentelemetry.proto.trace.v1.TracesData: ids are hex digits, enums are numbers, numbers of 64 bits are strings.",
		Properties: map[string]*huma.Schema{"resourceSpans": {Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeObject}}}}
}

func tracesDataExample() any {
	type object = map[string]any
	attributes := func(key, value string) []any { return []any{object{"key": key, "value": object{"stringValue": value}}} }
	return object{"resourceSpans": []any{object{
		"resource": object{"attributes": attributes("service.name", "chat-api")},
		"scopeSpans": []any{object{"scope": object{}, "spans": []any{object{
			"traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "spanId": "00f067aa0ba902b7", "name": "POST /chat", "kind": 2,
			"startTimeUnixNano": "1795939200000000000", "endTimeUnixNano": "1795939200250000000",
			"attributes": attributes("http.request.method", "POST"), "status": object{"code": 1},
		}}}},
	}}}
}

type traceInput struct {
	TraceInput
	AcceptInput
}

func (s *Server) getTrace(ctx context.Context, in *traceInput) (*otlpOutput, error) {
	return s.inOTLP(ctx, in.Accept, func(ctx context.Context) ([]span.Span, span.Completeness, error) {
		return s.spans.Trace(ctx, in.TraceID)
	})
}

type spanInput struct {
	SpanInput
	AcceptInput
}

func (s *Server) getSpan(ctx context.Context, in *spanInput) (*otlpOutput, error) {
	return s.inOTLP(ctx, in.Accept, func(ctx context.Context) ([]span.Span, span.Completeness, error) {
		return s.spans.SpanByID(ctx, in.SpanID)
	})
}

// inOTLP answers with spans.
func (s *Server) inOTLP(ctx context.Context, accept string, ask func(context.Context) ([]span.Span, span.Completeness, error)) (*otlpOutput, error) {
	media, p := accepted(accept, wire.JSONType, wire.ProtobufType)
	if p != nil {
		return nil, p
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.queryTime, &queryTimeError{s.queryTime})
	defer cancel()
	select {
	case s.whole <- struct{}{}:
		defer func() { <-s.whole }()
	case <-ctx.Done():
		return nil, s.problemOf(ctx, ctx.Err())
	}
	spans, complete, err := ask(ctx)
	if err != nil {
		return nil, s.incomplete(ctx, err, complete)
	}
	data, left := otlpwire.Join(spans)
	if len(left) > 0 {
		if len(left) == len(spans) {
			p := newProblem(http.StatusUnprocessableEntity, wire.TypeUnsayable, "%v: GET %s/observability/traces/{trace_id}/spans shows what the file has", left[0], wire.Prefix)
			p.completeness = &complete
			return nil, p
		}
		leftOut(&complete, len(left), left[0])
	}
	if media == wire.JSONType {
		if data, err = otlpwire.JSON(data); err != nil {
			return nil, s.incomplete(ctx, err, complete)
		}
	}
	return &otlpOutput{ContentType: media, Vary: "Accept", Completeness: wire.CompletenessText(complete), Body: data}, nil
}

// leftOut notes spans that OTLP cannot say.
func leftOut(c *span.Completeness, n int, why error) {
	c.Reason = strings.TrimPrefix(c.Reason+"; "+strconv.Itoa(n)+" spans were left out, such as: "+why.Error(), "; ")
	c.Truncated = true
}

// accepted is the first of the media types that has the highest weight in a header Accept, which may be empty.
func accepted(accept string, types ...string) (string, *problem) {
	if strings.TrimSpace(accept) == "" {
		return types[0], nil
	}
	best, weight := "", 0.0
	for _, media := range types {
		if w := weightOf(accept, media); w > weight {
			best, weight = media, w
		}
	}
	if best == "" {
		return "", newProblem(http.StatusNotAcceptable, "", "Accept %q cannot be answered: allowed are %s", accept, strings.Join(types, " and "))
	}
	return best, nil
}

// weightOf is how much a media type is wanted: of the ranges that have it the most specific one says (RFC 9110, section 12.5.1).
func weightOf(accept, media string) float64 {
	kind, _, _ := strings.Cut(media, "/")
	weight, specific := 0.0, 0
	for one := range strings.SplitSeq(accept, ",") {
		name, parameters, err := mime.ParseMediaType(one)
		if err != nil {
			continue
		}
		specificity := map[string]int{"*/*": 1, kind + "/*": 2, media: 3}[name]
		if specificity <= specific {
			continue
		}
		q, err := strconv.ParseFloat(cmp.Or(parameters["q"], "1"), 64)
		if err != nil {
			continue
		}
		weight, specific = q, specificity
	}
	return weight
}
