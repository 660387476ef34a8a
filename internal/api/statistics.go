package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/span"
)

const (
	// rateTime is the range of rates unless another one is asked for.
	rateTime = time.Hour
	// maxSteps bounds how often the range may be divided, and chosenSteps how often it is if nobody says.
	maxSteps, chosenSteps = 1000, 60
	// maxRates bounds the rows of an answer, which are as many as steps times names.
	maxRates = 100_000
)

// statisticsOperations registers what is counted.
func (s *Server) statisticsOperations(api huma.API) {
	huma.Register(api, withExample(asks(operation("daily-statistics", http.MethodGet, "/stats/daily", "Spans, errors and durations by service and day"),
		"Days are in UTC. Quantiles are within 1 %. Days without spans are left out."), exampleDaily()), asked(s, s.daily))
	huma.Register(api, withExample(asks(operation("red-statistics", http.MethodGet, "/stats/red", "Rate, errors and durations by service, span name and step of time"),
		"Without times: the last hour. Steps begin at multiples of `step` since 1970; the rate of one that the range cuts is of the part in the range. Quantiles are within 1 %. "+
			"Steps without spans are left out."), exampleRates()), asked(s, s.rates))
}

type dailyInput struct {
	TimeRange
	Service string `query:"service" doc:"The name of one service." example:"chat-api"`
}

func (s *Server) daily(ctx context.Context, in *dailyInput) (wire.Daily, span.Completeness, error) {
	query := span.CountQuery{ServiceName: in.Service, From: in.from, Until: in.until, Step: 24 * time.Hour}
	all, complete, err := s.statistics(ctx, query)
	if all == nil {
		all = []span.Statistics{}
	}
	return wire.Daily{Statistics: all, Completeness: complete}, complete, err
}

// statistics are those of the query, whose texts are checked.
func (s *Server) statistics(ctx context.Context, query span.CountQuery) ([]span.Statistics, span.Completeness, error) {
	for name, text := range map[string]string{wire.ParamService: query.ServiceName, wire.ParamName: query.Name} {
		if err := wire.CheckText(name, text); err != nil {
			return nil, span.Completeness{}, err
		}
	}
	all, complete, err := s.spans.Statistics(ctx, query)
	for i := range all {
		all[i].Start = inUTC(all[i].Start)
	}
	return all, complete, err
}

type ratesInput struct {
	TimeRange
	Service string `query:"service" doc:"The name of one service." example:"chat-api"`
	Name    string `query:"name" doc:"The name of one kind of span." example:"POST /chat"`
	Step    string `query:"step" doc:"How long a step is; without it one that makes at most 60. At most 1000 may be asked for." example:"5m"`
}

func (s *Server) rates(ctx context.Context, in *ratesInput) (wire.Rates, span.Completeness, error) {
	in.since(rateTime)
	step, err := stepOf(in.Step, in.until.Sub(in.from))
	if err != nil {
		return wire.Rates{}, span.Completeness{}, err
	}
	query := span.CountQuery{ServiceName: in.Service, Name: in.Name, From: in.from, Until: in.until, Step: step, ByName: true}
	all, complete, err := s.statistics(ctx, query)
	if err == nil && len(all) > maxRates {
		err = &span.InvalidError{What: wire.ParamStep, Value: step.String(),
			Problem: fmt.Sprintf("makes %d rows, and at most %d are sent: take a longer step, a shorter range, or one service", len(all), maxRates)}
	}
	if err != nil {
		return wire.Rates{}, complete, err
	}
	out := wire.Rates{From: in.from, Until: in.until, StepSeconds: step.Seconds(), Statistics: make([]wire.Rate, 0, len(all)), Completeness: complete}
	for _, one := range all {
		out.Statistics = append(out.Statistics, wire.RateOf(one, in.from, in.until, step))
	}
	return out, complete, nil
}

// stepOf is the step that was asked for, or one that divides the range well.
func stepOf(text string, length time.Duration) (time.Duration, error) {
	if text == "" {
		for _, step := range []time.Duration{time.Second, 5 * time.Second, 15 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute,
			time.Hour, 6 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour} {
			if length <= chosenSteps*step {
				return step, nil
			}
		}
		days := int64(length/(24*time.Hour))/chosenSteps + 1
		return time.Duration(days * int64(24*time.Hour)), nil
	}
	step, err := wire.ParseDuration(wire.ParamStep, text)
	switch {
	case err != nil:
		return 0, err
	case step < time.Millisecond:
		return 0, &span.InvalidError{What: wire.ParamStep, Value: text, Problem: "must be a millisecond or longer"}
	case length/maxSteps > step:
		return 0, &span.InvalidError{What: wire.ParamStep, Value: text, Problem: fmt.Sprintf("divides the range more than %d times: take a step of %s or longer",
			maxSteps, (length/maxSteps + 1).Round(time.Millisecond))}
	}
	return step, nil
}
