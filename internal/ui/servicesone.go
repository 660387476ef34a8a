package ui

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/span"
)

// serviceBody is the page of one service.
type serviceBody struct {
	Service string
	Period  period
	Periods []choice
	All     string // the page of all services
	// Traces are those that begin in the service, TakesPart those that have any span of it, Errors its spans with an error.
	Traces, TakesPart, Errors string
	// Totals are of the period; Steps those with spans, newest first.
	Totals numbers
	Steps  []stepRow
	Step   string
	Charts serviceCharts
	// Newest is set if the service has no spans in the period, Unknown: it has none at all.
	Newest     time.Time
	NewestLink string
	Unknown    bool
	// OperationsLink and MapLink are parts of the page that take longer.
	OperationsLink, MapLink string
	Completeness            span.Completeness
}

// takesPart chooses the traces that have a span of a service, whatever they begin with.
func takesPart(service string) string { return "service.name=" + service }

// sqlText is a text in SQL.
func sqlText(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// spansLink is a query for the newest spans of a period, which are looked for whatever their traces begin with.
func spansLink(p period, condition string) string {
	return sqlAddress(fmt.Sprintf(`SELECT start_time, name, duration_ns / 1e6 AS ms, status_code, trace_id, span_id
FROM span_metadata
WHERE %s
  AND start_time >= TIMESTAMPTZ '%s' AND start_time < TIMESTAMPTZ '%s'
ORDER BY start_time DESC
LIMIT 100`, condition, p.From.UTC().Format(time.RFC3339), p.Until.UTC().Format(time.RFC3339)))
}

type stepRow struct {
	numbers
	Start time.Time
}

// serviceCharts is what the module draws. Times are milliseconds since 1970, durations nanoseconds; a step without spans has null.
type serviceCharts struct {
	From  int64   `json:"from"`
	Until int64   `json:"until"`
	Step  int64   `json:"step"`
	Times []int64 `json:"times"`
	// Rate and ErrorRate are per second, Share is that of errors from 0 to 1.
	Spans     []int64    `json:"spans"`
	Errors    []int64    `json:"errors"`
	Rate      []float64  `json:"rate"`
	ErrorRate []float64  `json:"errorRate"`
	Share     []*float64 `json:"share"`
	P50       []*int64   `json:"p50"`
	P95       []*int64   `json:"p95"`
	P99       []*int64   `json:"p99"`
	// Traces is the page of the traces of the service without its times.
	Traces string `json:"traces"`
}

func (u *UI) showService(w http.ResponseWriter, r *http.Request, p period, service string) error {
	ctx, query := r.Context(), r.URL.Query()
	body := &serviceBody{Service: service, Period: p, Periods: periodChoices("/services", query, p), All: with("/services", p.query(), nil)}
	link := p.query()
	link.Set(wire.ParamService, service)
	body.Traces = "/?" + link.Encode()
	body.TakesPart = with("/", p.query(), map[string]string{wire.ParamAttribute: takesPart(service)})
	body.Errors = spansLink(p, "service_name = "+sqlText(service)+"\n  AND status_code = 2")
	body.OperationsLink, body.MapLink = with("/services/operations", query, nil), "/services/map?"+link.Encode()
	// Spans of up to eight days are counted one by one, longer periods by what is kept of each day.
	step := p.stepFor(100, 15*time.Second, time.Minute, 5*time.Minute, 15*time.Minute, time.Hour, 2*time.Hour, day)
	body.Step = stepText(step)
	totals, complete, err := u.Queries.Statistics(ctx, span.CountQuery{ServiceName: service, From: p.From, Until: p.Until})
	if err != nil {
		return err
	}
	body.Completeness = complete
	if len(totals) == 0 {
		if err := u.silent(r, body); err != nil {
			return err
		}
	} else {
		body.Totals = numbersOf(totals[0], p.length())
		counts, _, err := u.Queries.Statistics(ctx, span.CountQuery{ServiceName: service, From: p.From, Until: p.Until, Step: step})
		if err != nil {
			return err
		}
		body.Charts = chartsOf(p, step, counts)
		body.Charts.Traces = "/?" + url.Values{wire.ParamAttribute: {takesPart(service)}}.Encode()
		for _, c := range slices.Backward(counts) {
			body.Steps = append(body.Steps, stepRow{numbersOf(c, clipped(p, c.Start, step)), c.Start})
		}
	}
	u.showServicesPage(w, r, service, servicesPage{One: body})
	return nil
}

// silent says when a service was seen that has no spans in the period.
func (u *UI) silent(r *http.Request, body *serviceBody) error {
	all, complete, err := u.Queries.Services(r.Context())
	if err != nil {
		return err
	}
	body.Completeness, body.Unknown = complete, true
	for _, s := range all {
		if s.Name == body.Service {
			var link string
			body.Newest, link = newestOf([]span.Service{s}, "/services", time.Now())
			body.NewestLink, body.Unknown = link+"&"+url.Values{wire.ParamService: {s.Name}}.Encode(), false
		}
	}
	return nil
}

// clipped is how much of a step is in the period.
func clipped(p period, start time.Time, step time.Duration) time.Duration {
	end := start.Add(step)
	if end.After(p.Until) {
		end = p.Until
	}
	if start.Before(p.From) {
		start = p.From
	}
	return max(end.Sub(start), 0)
}

func chartsOf(p period, step time.Duration, counts []span.Statistics) serviceCharts {
	of := make(map[int64]span.Statistics, len(counts))
	for _, c := range counts {
		of[c.Start.UnixMicro()] = c
	}
	charts := serviceCharts{From: p.From.UnixMilli(), Until: p.Until.UnixMilli(), Step: step.Milliseconds()}
	for _, start := range p.steps(step) {
		c := of[start.UnixMicro()]
		c.Start = start
		rate := wire.RateOf(c, p.From, p.Until, step)
		charts.Times = append(charts.Times, start.UnixMilli())
		charts.Spans, charts.Errors = append(charts.Spans, c.SpanCount), append(charts.Errors, c.ErrorCount)
		charts.Rate, charts.ErrorRate = append(charts.Rate, rate.Rate), append(charts.ErrorRate, rate.ErrorRate)
		var share *float64
		if c.SpanCount > 0 {
			share = &rate.ErrorShare
		}
		charts.Share = append(charts.Share, share)
		charts.P50, charts.P95, charts.P99 = append(charts.P50, c.P50), append(charts.P95, c.P95), append(charts.P99, c.P99)
	}
	return charts
}

// operationsBody is the table of what a service does.
type operationsBody struct {
	Service string
	Columns []column
	Rows    []operationRow
	Hidden  int
}

// operationRow is a name of spans in the table.
type operationRow struct {
	numbers
	Name string
	// total is the time that all its spans took, Share its part of that of all operations.
	total float64
	Share string
	// Width is the share as the width of a bar, of 100.
	Width string
	// Traces are those that begin with it, Bad those of them with an error, Query is one for all its spans.
	Traces, Bad, Query string
}

// showOperations is a part of the page of a service, which takes seconds if it has many spans in a long period.
func (u *UI) showOperations(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	p, service, err := readServiceQuery(query)
	if err != nil {
		return err
	}
	all, _, err := u.Queries.Statistics(r.Context(), span.CountQuery{ServiceName: service, From: p.From, Until: p.Until, ByName: true})
	if err != nil {
		return err
	}
	body := operationsOf(all, p, query)
	body.Service = service
	if wantsPart(r) {
		u.showPart(w, "services", "operations", body)
		return nil
	}
	u.showServicesPage(w, r, "Operations of "+service, servicesPage{Part: &servicesPart{Service: service, Back: with("/services", query, nil), Operations: body}})
	return nil
}

// servicesPart is a part as a page of its own, for browsers without modules.
type servicesPart struct {
	Service, Back string
	Operations    *operationsBody
	Map           *mapBody
}

func operationsOf(all []span.Statistics, p period, query url.Values) *operationsBody {
	body := &operationsBody{}
	whole := 0.0
	for _, s := range all {
		row := operationRow{numbers: numbersOf(s, p.length()), Name: s.Name}
		if s.AvgDuration != nil {
			row.total = max(*s.AvgDuration, 0) * float64(s.SpanCount)
		}
		whole += row.total
		row.Query = spansLink(p, "service_name = "+sqlText(s.ServiceName)+" AND name = "+sqlText(s.Name))
		if s.Name != "" {
			link := p.query()
			link.Set(wire.ParamService, s.ServiceName)
			link.Set(wire.ParamName, s.Name)
			row.Traces = "/?" + link.Encode()
			row.Bad = with("/", link, map[string]string{wire.ParamStatus: "error"})
		}
		body.Rows = append(body.Rows, row)
	}
	for i := range body.Rows {
		row := &body.Rows[i]
		row.Share = shareText(row.total, whole)
		if whole > 0 {
			row.Width = pixels(100 * row.total / whole)
		}
	}
	share := func(r *operationRow) float64 { return float64(r.Errors) / float64(max(r.Spans, 1)) }
	body.Columns = sortRows(body.Rows, "/services", query, 7, []sortKey[operationRow]{
		{"name", "Operation", false, func(a, b *operationRow) int { return strings.Compare(a.Name, b.Name) }},
		{"spans", "Spans", true, func(a, b *operationRow) int { return cmp.Compare(a.Spans, b.Spans) }},
		{"rate", "Rate", true, func(a, b *operationRow) int { return cmp.Compare(a.Spans, b.Spans) }},
		{"errors", "Errors", true, func(a, b *operationRow) int { return cmp.Compare(share(a), share(b)) }},
		{"p50", "p50", true, func(a, b *operationRow) int { return compareDurations(a.P50, b.P50) }},
		{"p95", "p95", true, func(a, b *operationRow) int { return compareDurations(a.P95, b.P95) }},
		{"p99", "p99", true, func(a, b *operationRow) int { return compareDurations(a.P99, b.P99) }},
		{"time", "Time", true, func(a, b *operationRow) int { return cmp.Compare(a.total, b.total) }},
	})
	if body.Hidden = max(len(body.Rows)-mostOperations, 0); body.Hidden > 0 {
		body.Rows = body.Rows[:mostOperations]
	}
	return body
}
