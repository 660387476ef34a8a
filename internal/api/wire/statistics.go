package wire

import (
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// Operation is a name that spans of a service have, with their kind.
type Operation struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
}

// Operations are those of a service.
type Operations struct {
	Operations   []Operation       `json:"operations" nullable:"false"`
	Completeness span.Completeness `json:"completeness"`
}

// Span are the operations that were sent.
func (o *Operations) Span() ([]span.Operation, error) {
	all := make([]span.Operation, 0, len(o.Operations))
	for _, one := range o.Operations {
		kind, err := number[span.Kind]("kind", one.Kind, Kinds())
		if err != nil {
			return nil, err
		}
		all = append(all, span.Operation{Name: one.Name, Kind: kind})
	}
	return all, nil
}

// Dependency counts the calls from one service to another.
type Dependency struct {
	Parent string `json:"parent" doc:"The service that calls."`
	Child  string `json:"child" doc:"The service that is called."`
	Calls  int64  `json:"calls" doc:"How many of its spans have a parent in the other."`
}

// Dependencies are those of a range of time.
type Dependencies struct {
	From         time.Time         `json:"from"`
	Until        time.Time         `json:"until"`
	Dependencies []Dependency      `json:"dependencies" nullable:"false"`
	Completeness span.Completeness `json:"completeness"`
}

// Daily are the statistics of services by day.
type Daily struct {
	Statistics   []span.Statistics `json:"statistics" nullable:"false"`
	Completeness span.Completeness `json:"completeness"`
}

// Rate is how often and how fast the spans of one name of a service ran in one step of time.
type Rate struct {
	span.Statistics
	// Rate and ErrorRate are spans per second of that part of the step that was asked for, ErrorShare is between 0 and 1.
	Rate       float64 `json:"rate_per_second" doc:"Spans per second of that part of the step that was asked for."`
	ErrorRate  float64 `json:"errors_per_second" doc:"Those of them whose status is error."`
	ErrorShare float64 `json:"error_share" doc:"How many of all are errors, from 0 to 1."`
}

// Rates are the rates of a range of time. A step without spans is not among them.
type Rates struct {
	From         time.Time         `json:"from"`
	Until        time.Time         `json:"until"`
	StepSeconds  float64           `json:"step_seconds"`
	Statistics   []Rate            `json:"statistics" nullable:"false"`
	Completeness span.Completeness `json:"completeness"`
}

// RateOf is the rate of statistics in a step of a range.
func RateOf(s span.Statistics, from, until time.Time, step time.Duration) Rate {
	begin, end := s.Start, s.Start.Add(step)
	if begin.Before(from) {
		begin = from
	}
	if end.After(until) {
		end = until
	}
	rate := Rate{Statistics: s}
	if seconds := end.Sub(begin).Seconds(); seconds > 0 {
		rate.Rate, rate.ErrorRate = float64(s.SpanCount)/seconds, float64(s.ErrorCount)/seconds
	}
	if s.SpanCount > 0 {
		rate.ErrorShare = float64(s.ErrorCount) / float64(s.SpanCount)
	}
	return rate
}
