package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/tidwall/gjson"

	"github.com/spanlake/spanlake/internal/api/client"
	"github.com/spanlake/spanlake/internal/span"
)

const (
	// pageTraces is how many traces a page of a listing has.
	pageTraces = 50
	// deepTraces is how many traces come before a deep page; deepPage of them are listed at once to get there.
	deepTraces, deepPage = 10_000, 1_000
	// benchValues is how many values that are rare are asked for.
	benchValues = 20
)

// question is one that is measured, over HTTP as everybody asks.
type question struct {
	name string
	// goal is what the 99th percentile of a warm server should be under, 0 if nothing was said.
	goal time.Duration
	ask  func(ctx context.Context, q client.Queries, n int) (span.Completeness, error)
}

// material is what questions are about: it is taken from the sample.
type material struct {
	services, traces []string
	// deep are cursors after deepTraces traces of each service, "" if it has fewer.
	deep []string
	// rare are values of gen_ai.response.id, which one span has each; common is one of gen_ai.request.model, which many have.
	rare        []string
	common      string
	from, until time.Time
}

// benchIDsSQL are traces from all over the index, the same ones each time.
const benchIDsSQL = `
SELECT trace_id FROM (SELECT DISTINCT trace_id FROM span_metadata USING SAMPLE reservoir(5000 ROWS) REPEATABLE (1)) ORDER BY hash(trace_id) LIMIT 500`

// benchCallsSQL are traces of the last day that call a model.
const benchCallsSQL = `
SELECT trace_id FROM span_metadata
WHERE service_name = 'llm-gateway' AND name LIKE 'chat %' AND start_time >= (SELECT max(last_seen) - INTERVAL 1 DAY FROM services)
ORDER BY hash(trace_id) LIMIT 20`

// newMaterial reads what questions are about from a server that has the sample. end is when its newest trace starts.
func newMaterial(ctx context.Context, c *client.Client, end time.Time) (*material, error) {
	m := &material{from: end.Add(-24 * time.Hour), until: end}
	q := c.Queries()
	services, _, err := q.Services(ctx)
	if err != nil {
		return nil, err
	}
	for _, service := range services {
		page, err := q.Traces(ctx, span.TraceFilter{Root: span.Filter{ServiceName: service.Name}}, "", 1)
		if err != nil {
			return nil, err
		}
		if len(page.Roots) == 0 {
			continue // it is only called by others
		}
		m.services = append(m.services, service.Name)
		cursor, err := deepCursor(ctx, q, service.Name)
		if err != nil {
			return nil, err
		}
		m.deep = append(m.deep, cursor)
	}
	if m.traces, err = texts(ctx, c, benchIDsSQL); err != nil {
		return nil, err
	}
	calls, err := texts(ctx, c, benchCallsSQL)
	if err != nil {
		return nil, err
	}
	for _, id := range calls {
		if err := m.readValues(ctx, q, id); err != nil {
			return nil, err
		}
	}
	if len(m.services) == 0 || len(m.traces) == 0 || len(m.rare) == 0 || m.common == "" {
		return nil, errors.New("the sample is too small: it has no root span, or no call of a model in its last day")
	}
	return m, nil
}

// deepCursor is where a listing goes on after deepTraces traces of a service, or "" if there are not so many.
func deepCursor(ctx context.Context, q client.Queries, service string) (cursor string, err error) {
	for range deepTraces / deepPage {
		page, err := q.Traces(ctx, span.TraceFilter{Root: span.Filter{ServiceName: service}}, cursor, deepPage)
		if err != nil || page.Next == "" {
			return "", err
		}
		cursor = page.Next
	}
	return cursor, nil
}

// readValues notes values of attributes that calls of a model in a trace have.
func (m *material) readValues(ctx context.Context, q client.Queries, traceID string) error {
	spans, _, err := q.Trace(ctx, traceID)
	if err != nil {
		return err
	}
	for i := range spans {
		values := gjson.GetMany(spans[i].Attributes, `gen_ai\.response\.id`, `gen_ai\.request\.model`)
		if id := values[0].String(); id != "" && len(m.rare) < benchValues && !spans[i].StartTime.Before(m.from) {
			m.rare = append(m.rare, id)
		}
		if m.common == "" {
			m.common = values[1].String()
		}
	}
	return nil
}

// texts are the values of the only column of a query.
func texts(ctx context.Context, c *client.Client, query string) (all []string, err error) {
	err = c.Select(ctx, query, span.FormText, func([]string) error { return nil }, func(row []*string) error {
		all = append(all, text(row[0], ""))
		return nil
	})
	return all, err
}

// questions are those that the benchmark asks. n chooses what each is about.
func (m *material) questions() []question {
	latest := func(f span.TraceFilter) func(context.Context, client.Queries, int) (span.Completeness, error) {
		return func(ctx context.Context, q client.Queries, n int) (span.Completeness, error) {
			one := f
			one.Root.ServiceName = m.services[n%len(m.services)]
			page, err := q.Traces(ctx, one, "", pageTraces)
			return page.Completeness, err
		}
	}
	failed := span.StatusError
	day := span.Filter{From: m.from, Until: m.until}
	all := []question{
		{"services", 5 * time.Millisecond, func(ctx context.Context, q client.Queries, _ int) (span.Completeness, error) {
			_, complete, err := q.Services(ctx)
			return complete, err
		}},
		{"latest 50 traces of a service", 25 * time.Millisecond, latest(span.TraceFilter{})},
		{"... that took 2s or longer", 50 * time.Millisecond, latest(span.TraceFilter{Root: span.Filter{MinDuration: 2 * time.Second}})},
		{"... that failed", 50 * time.Millisecond, latest(span.TraceFilter{Root: span.Filter{StatusCode: &failed}})},
		{"latest 50 traces with an LLM call", 0, func(ctx context.Context, q client.Queries, _ int) (span.Completeness, error) {
			page, err := q.Traces(ctx, span.TraceFilter{Has: []span.Filter{span.HasLLMCall()}}, "", pageTraces)
			return page.Completeness, err
		}},
		{"a trace with all attributes", 30 * time.Millisecond, func(ctx context.Context, q client.Queries, n int) (span.Completeness, error) {
			_, complete, err := q.Trace(ctx, m.traces[n%len(m.traces)])
			return complete, err
		}},
		{"attribute = rare value, one day", 500 * time.Millisecond, func(ctx context.Context, q client.Queries, n int) (span.Completeness, error) {
			page, err := q.Traces(ctx, attributeIs(day, "gen_ai.response.id", m.rare[n%len(m.rare)]), "", pageTraces)
			if err == nil && len(page.Roots) == 0 && page.Complete() {
				err = fmt.Errorf("no trace was found that has gen_ai.response.id = %s", m.rare[n%len(m.rare)])
			}
			return page.Completeness, err
		}},
		{"attribute = value of no span, one day", 500 * time.Millisecond, func(ctx context.Context, q client.Queries, n int) (span.Completeness, error) {
			page, err := q.Traces(ctx, attributeIs(day, "gen_ai.response.id", fmt.Sprintf("none-%d", n)), "", pageTraces)
			return page.Completeness, err
		}},
		{"attribute = common value, one day", 500 * time.Millisecond, func(ctx context.Context, q client.Queries, _ int) (span.Completeness, error) {
			page, err := q.Traces(ctx, attributeIs(day, "gen_ai.request.model", m.common), "", pageTraces)
			return page.Completeness, err
		}},
	}
	if slices.ContainsFunc(m.deep, func(cursor string) bool { return cursor != "" }) {
		all = append(all, question{"latest 50 traces of a service after 10,000 others", 0, m.deepPage})
	}
	return all
}

// deepPage lists a page far back.
func (m *material) deepPage(ctx context.Context, q client.Queries, n int) (span.Completeness, error) {
	at := n % len(m.services)
	for i := range m.services { // some may not have so many
		if next := (at + i) % len(m.services); m.deep[next] != "" {
			at = next
			break
		}
	}
	page, err := q.Traces(ctx, span.TraceFilter{Root: span.Filter{ServiceName: m.services[at]}}, m.deep[at], pageTraces)
	return page.Completeness, err
}

func attributeIs(root span.Filter, key, value string) span.TraceFilter {
	condition := span.AttributeCondition{Key: key, Value: &value}
	return span.TraceFilter{Root: root, Has: []span.Filter{{Attributes: []span.AttributeClause{{condition}}}}}
}

// errIncomplete says that an answer lacks something, so that its time is of something else.
var errIncomplete = errors.New("the answer is not complete")

// timed asks once and says how long the answer took.
func (q *question) timed(ctx context.Context, of client.Queries, n int) (time.Duration, error) {
	start := time.Now()
	complete, err := q.ask(ctx, of, n)
	took := time.Since(start)
	if err == nil && !complete.Complete() {
		err = fmt.Errorf("%w: %+v", errIncomplete, complete)
	}
	if err != nil {
		return took, fmt.Errorf("%s: %w", q.name, err)
	}
	return took, nil
}

// shuffledQuestions is an order in which questions are asked: the first one has to wait for more than the others.
func shuffledQuestions(n int, round uint64) []int {
	return rand.New(rand.NewPCG(1, round)).Perm(n) // #nosec G404 -- the same order each time
}
