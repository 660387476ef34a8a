package api

import (
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/span"
)

// withExample describes what an operation answers by an example.
func withExample(o huma.Operation, example any) huma.Operation {
	o.Responses = map[string]*huma.Response{"200": {Content: map[string]*huma.MediaType{wire.JSONType: {Example: example}}}}
	return o
}

// exampleStart is when the spans of examples start.
func exampleStart() time.Time { return time.Date(2026, 11, 29, 8, 0, 0, 123_456_000, time.UTC) }

func exampleCompleteness() span.Completeness {
	return span.Completeness{Hot: span.HotSource{State: span.HotLocal}}
}

func exampleTraces() wire.TracePage {
	next := "eyJ0IjoxNzk1OTM5MjAwMTIzNDU2LCJ0cmFjZSI6IjRiZjkyZjM1NzdiMzRkYTZhM2NlOTI5ZDBlMGU0NzM2In0"
	return wire.TracePage{
		Traces: []wire.Trace{{
			TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", SpanID: "00f067aa0ba902b7", ServiceName: "chat-api", Name: "POST /chat", Kind: "server",
			StartTime: exampleStart(), EndTime: exampleStart().Add(250 * time.Millisecond), DurationNS: 250_000_000, StatusCode: "ok",
		}},
		NextCursor: &next, Completeness: exampleCompleteness(),
	}
}

func exampleServices() []span.Service {
	return []span.Service{{Name: "chat-api", FirstSeen: exampleStart().Add(-time.Hour), LastSeen: exampleStart(), TotalSpans: 4096}}
}

func exampleOperations() wire.Operations {
	return wire.Operations{Operations: []wire.Operation{{Name: "POST /chat", Kind: "server"}}, Completeness: exampleCompleteness()}
}

func exampleDependencies() wire.Dependencies {
	return wire.Dependencies{
		From: exampleStart().Add(-dependencyTime), Until: exampleStart(), Dependencies: []wire.Dependency{{Parent: "web-frontend", Child: "chat-api", Calls: 512}},
		Completeness: exampleCompleteness(),
	}
}

func exampleStatistics() span.Statistics {
	average, median, most, nearlyAll := 240e6, int64(220e6), int64(610e6), int64(980e6)
	return span.Statistics{
		ServiceName: "chat-api", Start: exampleStart().Truncate(24 * time.Hour), SpanCount: 4096, ErrorCount: 12,
		AvgDuration: &average, P50: &median, P95: &most, P99: &nearlyAll,
	}
}

func exampleDaily() wire.Daily {
	return wire.Daily{Statistics: []span.Statistics{exampleStatistics()}, Completeness: exampleCompleteness()}
}

func exampleRates() wire.Rates {
	const step = time.Minute
	s := exampleStatistics()
	s.Name, s.Start, s.SpanCount, s.ErrorCount = "POST /chat", exampleStart().Truncate(step), 90, 3
	from, until := s.Start, s.Start.Add(time.Hour)
	return wire.Rates{From: from, Until: until, StepSeconds: step.Seconds(), Statistics: []wire.Rate{wire.RateOf(s, from, until, step)}, Completeness: exampleCompleteness()}
}

func exampleObserved() observed {
	return observe(&span.Span{
		TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", SpanID: "00f067aa0ba902b7", ServiceName: "chat-api", Name: "POST /chat", Kind: span.KindServer,
		StartTime: exampleStart(), EndTime: exampleStart().Add(250 * time.Millisecond), StatusCode: span.StatusOK,
		Attributes: `{"http.request.method":"POST","junjo.span_type":"workflow"}`,
		Events:     `[{"name":"set_state","time_nanos":1795939200200000000,"attributes":{"id":"1"}}]`,
		Links:      `[]`, Flags: 1,
	})
}
