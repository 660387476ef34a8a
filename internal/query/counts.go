package query

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// recounts is how often spans are counted again because some of them were moved into a file meanwhile. Files are written at most a
// few times a second and counting takes milliseconds, so the second time is nearly always the last.
const recounts = 100

var errMoving = errors.New("spans move into files faster than they can be counted: ask again")

// Services lists all services by name.
func (q *Queries) Services(ctx context.Context) ([]span.Service, span.Completeness, error) {
	counts, complete, err := q.counted(ctx, span.CountQuery{})
	services := make([]span.Service, 0, len(counts))
	for i := range counts {
		c := &counts[i]
		services = append(services, span.Service{Name: c.ServiceName, FirstSeen: micros(c.First), LastSeen: micros(c.Last), TotalSpans: c.Spans})
	}
	return services, complete, err
}

// Statistics counts spans, errors and durations by service, by name if the query says so, and by step of time, in this order.
func (q *Queries) Statistics(ctx context.Context, query span.CountQuery) ([]span.Statistics, span.Completeness, error) {
	query.Durations = true
	query.From, query.Until = query.From.Truncate(time.Microsecond), query.Until.Truncate(time.Microsecond)
	counts, complete, err := q.counted(ctx, query)
	all := make([]span.Statistics, 0, len(counts))
	for i := range counts {
		all = append(all, statistics(&counts[i]))
	}
	return all, complete, err
}

func statistics(c *span.Count) span.Statistics {
	s := span.Statistics{ServiceName: c.ServiceName, Name: c.Name, Start: c.Start, SpanCount: c.Spans, ErrorCount: c.Errors}
	timed := int64(0)
	for _, n := range c.Durations {
		timed += n
	}
	if timed > 0 {
		average := c.DurationSum / float64(timed)
		s.AvgDuration = &average
	}
	for share, at := range map[float64]**int64{0.5: &s.P50, 0.95: &s.P95, 0.99: &s.P99} {
		if ns, ok := span.Quantile(c.Durations, share); ok {
			*at = &ns
		}
	}
	return s
}

// counted counts spans wherever they are, each once.
func (q *Queries) counted(ctx context.Context, query span.CountQuery) ([]span.Count, span.Completeness, error) {
	leave, err := q.enter(ctx)
	if err != nil {
		return nil, span.Completeness{}, err
	}
	defer leave()
	for range recounts {
		a := q.ask()
		counts, stable, err := a.countOnce(ctx, query)
		if err != nil {
			return nil, span.Completeness{}, err
		}
		if stable {
			complete, err := a.done(ctx, query.From)
			return counts, complete, err
		}
	}
	return nil, span.Completeness{}, errMoving
}

// countOnce counts unflushed spans, then indexed ones. Those that are in a file or will be are left out if the index has the file; those
// that were in none are in none that the index could have, if none was begun meanwhile: else the counting is not stable.
func (a *asking) countOnce(ctx context.Context, query span.CountQuery) (counts []span.Count, stable bool, err error) {
	var hot span.HotCounts
	if a.reachable() {
		hot, err = a.opts.Hot.Count(ctx, query)
		if err := a.hotError(ctx, err); err != nil {
			return nil, false, err
		}
	}
	cold := span.Cold{}
	if a.opts.Pending != nil {
		files, total, err := a.opts.Pending(ctx)
		if err != nil {
			return nil, false, err
		}
		cold = a.without(files, total, hot.Files)
	}
	cold.HotFiles = hot.Files
	counts, seen, err := a.opts.Catalog.Counts(ctx, query, cold)
	if err != nil {
		return nil, false, err
	}
	a.saw(seen)
	if len(hot.Counts) > 0 {
		stats, err := a.opts.Hot.Stats(ctx)
		if err := a.hotError(ctx, err); err != nil {
			return nil, false, err
		}
		if err == nil && stats.Generation != hot.Generation {
			return nil, false, nil
		}
	}
	for i := range hot.Counts {
		if c := &hot.Counts[i]; c.File == "" || !slices.Contains(seen.Indexed, c.File) {
			counts = append(counts, *c)
		}
	}
	return sum(counts), true, nil
}

// sum adds counts of the same thing.
func sum(counts []span.Count) []span.Count {
	type key struct {
		service, name string
		start         int64
	}
	sums := make(map[key]*span.Count)
	for i := range counts {
		c := counts[i]
		k := key{c.ServiceName, c.Name, c.Start.UnixMicro()}
		s := sums[k]
		if s == nil {
			s = &span.Count{ServiceName: c.ServiceName, Name: c.Name, Start: c.Start, First: c.First, Last: c.Last, Durations: make(map[int16]int64)}
			sums[k] = s
		}
		s.Spans, s.Errors, s.DurationSum = s.Spans+c.Spans, s.Errors+c.Errors, s.DurationSum+c.DurationSum
		s.First, s.Last = first(s.First, c.First), last(s.Last, c.Last)
		for bucket, n := range c.Durations {
			s.Durations[bucket] += n
		}
	}
	all := make([]span.Count, 0, len(sums))
	for _, s := range sums {
		all = append(all, *s)
	}
	slices.SortFunc(all, func(a, b span.Count) int {
		return cmp.Or(strings.Compare(a.ServiceName, b.ServiceName), strings.Compare(a.Name, b.Name), a.Start.Compare(b.Start))
	})
	return all
}

func first(a, b time.Time) time.Time {
	if b.IsZero() || !a.IsZero() && a.Before(b) {
		return a
	}
	return b
}

func last(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Operations lists the names of a service's spans, with their kinds, by name.
func (q *Queries) Operations(ctx context.Context, service string) ([]span.Operation, span.Completeness, error) {
	leave, err := q.enter(ctx)
	if err != nil {
		return nil, span.Completeness{}, err
	}
	defer leave()
	a := q.ask()
	var all []span.Operation
	if a.reachable() {
		rows, err := a.opts.Hot.List(ctx, span.Filter{ServiceName: service}, false, span.Key{}, MaxLimit)
		if err := a.hotError(ctx, err); err != nil {
			return nil, span.Completeness{}, err
		}
		for i := range rows {
			all = append(all, span.Operation{Name: rows[i].Name, Kind: rows[i].Kind})
		}
	}
	indexed, err := a.opts.Catalog.Operations(ctx, service)
	if err != nil {
		return nil, span.Completeness{}, err
	}
	all = append(all, indexed...)
	slices.SortFunc(all, func(x, y span.Operation) int {
		return cmp.Or(strings.Compare(x.Name, y.Name), cmp.Compare(x.Kind, y.Kind))
	})
	complete, err := a.done(ctx, time.Time{})
	return slices.Compact(all), complete, err
}

// Dependencies counts calls from service to service, of indexed spans.
func (q *Queries) Dependencies(ctx context.Context, from, until time.Time) ([]span.Dependency, span.Completeness, error) {
	leave, err := q.enter(ctx)
	if err != nil {
		return nil, span.Completeness{}, err
	}
	defer leave()
	a := q.ask()
	all, err := a.opts.Catalog.Dependencies(ctx, from, until)
	if err != nil {
		return nil, span.Completeness{}, err
	}
	complete, err := a.done(ctx, from)
	return all, complete, err
}
