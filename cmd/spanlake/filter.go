package main

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/span"
)

// filterFlags are the flags that choose traces or spans, named as the parameters of the REST API.
type filterFlags struct {
	service, name, nameMatch, since, from, until, minDuration, maxDuration, status, kind string
	attributes                                                                           []string
	hasLLM, workflow                                                                     bool
}

// add adds the flags. what is what they choose: "root span", of which the trace has the attributes, or "span".
func (f *filterFlags) add(cmd *cobra.Command, what, having string) {
	flags := cmd.Flags()
	flags.StringVar(&f.service, "service", "", "service of the "+what)
	flags.StringVar(&f.name, "name", "", "name of the "+what)
	flags.StringVar(&f.nameMatch, "name-match", "", "how --name is compared: "+strings.Join(wire.NameMatches(), ", ")+" (default exact)")
	flags.StringVar(&f.since, "since", "", "started this long ago or later, such as 15m, 1h or 7d")
	flags.StringVar(&f.from, "from", "", "started at this time or later, such as 2026-11-29T08:00:00Z, '2026-11-29 08:00' or 2026-11-29 (UTC)")
	flags.StringVar(&f.until, "until", "", "started before this time")
	flags.StringVar(&f.minDuration, "min-duration", "", "took at least so long, such as 250ms or 1.5s")
	flags.StringVar(&f.maxDuration, "max-duration", "", "took at most so long")
	flags.StringVar(&f.status, "status", "", "status of the "+what+": "+strings.Join(wire.Statuses(), ", "))
	flags.StringVar(&f.kind, "kind", "", "kind of the "+what+": "+strings.Join(wire.Kinds(), ", "))
	flags.StringArrayVar(&f.attributes, "attr", nil, having+" with this attribute, key=value or key for any value; may be repeated, all must hold")
	flags.BoolVar(&f.hasLLM, "has-llm", false, having+" that is a call of a language model")
	flags.BoolVar(&f.workflow, "workflow", false, having+" that is a workflow (junjo.span_type = workflow)")
	cmd.MarkFlagsMutuallyExclusive("since", "from")
}

// query is the filter as the parameters of the REST API, which are read in one way everywhere.
func (f *filterFlags) query(now time.Time) (url.Values, error) {
	query := url.Values{}
	for name, value := range map[string]string{
		wire.ParamService: f.service, wire.ParamName: f.name, wire.ParamNameMatch: f.nameMatch, wire.ParamMinDuration: f.minDuration,
		wire.ParamMaxDuration: f.maxDuration, wire.ParamStatus: f.status, wire.ParamKind: f.kind,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if f.since != "" {
		ago, err := parseSince(f.since)
		if err != nil {
			return nil, err
		}
		query.Set(wire.ParamFrom, now.Add(-ago).UTC().Format(time.RFC3339Nano))
	}
	for name, value := range map[string]string{wire.ParamFrom: f.from, wire.ParamUntil: f.until} {
		if value == "" {
			continue
		}
		at, err := parseTime("--"+name, value)
		if err != nil {
			return nil, err
		}
		query.Set(name, at.UTC().Format(time.RFC3339Nano))
	}
	if len(f.attributes) > 0 {
		query[wire.ParamAttribute] = f.attributes
	}
	for name, on := range map[string]bool{wire.ParamHasLLM: f.hasLLM, wire.ParamWorkflow: f.workflow} {
		if on {
			query.Set(name, "true")
		}
	}
	return query, nil
}

// traces is the filter of traces. The error is of usage.
func (f *filterFlags) traces(now time.Time) (span.TraceFilter, error) {
	query, err := f.query(now)
	if err != nil {
		return span.TraceFilter{}, err
	}
	filter, err := wire.ParseTraceQuery(query)
	return filter, named(err)
}

// spans is the filter of spans. The error is of usage.
func (f *filterFlags) spans(now time.Time) (span.Filter, error) {
	query, err := f.query(now)
	if err != nil {
		return span.Filter{}, err
	}
	filter, err := wire.ParseSpanQuery(query)
	return filter, named(err)
}

// parseSince reads a duration, which may also be in days.
func parseSince(text string) (time.Duration, error) {
	const day, most = 24 * time.Hour, 36_500 // days: a hundred years
	if digits, ok := strings.CutSuffix(text, "d"); ok {
		if days, err := strconv.ParseFloat(digits, 64); err == nil && days > 0 && days <= most {
			return time.Duration(days * float64(day)), nil
		}
	} else if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return d, nil
	}
	return 0, &span.InvalidError{What: "--since", Value: text, Problem: "must be a duration longer than 0, such as 15m, 1h or 7d"}
}

// parseTime reads a time as people write it: without a zone it is in UTC.
func parseTime(flag, text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	return time.Time{}, &span.InvalidError{What: flag, Value: text, Problem: "must be a time such as 2026-11-29T08:00:00Z, '2026-11-29 08:00' or 2026-11-29"}
}

// only tells whether the filter chooses by nothing but service.
func (f *filterFlags) onlyService() bool {
	return fmt.Sprint(filterFlags{service: f.service}) == fmt.Sprint(*f)
}
