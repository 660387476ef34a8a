package index

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

const (
	day = 24 * time.Hour
	// maxCounted bounds what one answer counts apart: services, names, steps and, if durations are asked for, buckets of them.
	maxCounted = 500_000
)

// Counts counts the spans of the index and of pending files; a span of a pending file that repeats another one is counted once more until
// the file is indexed. What is zero in q, and so counts all there is by service, is read from the catalogue of services and has no errors.
// Counts of whole days have neither First nor Last.
//
// The error is a *span.InvalidError if q counts too many things apart.
func (x *Index) Counts(ctx context.Context, q span.CountQuery, cold span.Cold) ([]span.Count, span.Seen, error) {
	if q.Step < 0 || q.Step > 0 && q.Step < time.Microsecond {
		return nil, span.Seen{}, &span.InvalidError{What: "step", Value: q.Step.String(), Problem: "must be at least a microsecond"}
	}
	var counts []span.Count
	seen, err := x.answer(ctx, "count spans", cold, func(ctx context.Context, s *snapshot) error {
		c := counting{snapshot: s, query: q, groups: make(map[group]*span.Count)}
		if err := c.run(ctx); err != nil {
			return err
		}
		counts = c.counts()
		return nil
	})
	return counts, seen, err
}

// counting is one Counts.
type counting struct {
	*snapshot
	query  span.CountQuery
	groups map[group]*span.Count
	rows   int
}

// group is what is counted apart. start is in microseconds since 1970.
type group struct {
	service, name string
	start         int64
}

func (c *counting) run(ctx context.Context) error {
	if err := c.countIndexed(ctx); err != nil {
		return err
	}
	where := c.conditions(c.query.From, c.query.Until)
	source, ok := c.source(len(where.args) + 1)
	if !ok {
		return nil
	}
	return c.countSpans(ctx, "("+source.sql+")", where, source.args)
}

// countIndexed counts by what the index keeps of services and days, and counts the spans of what is left.
func (c *counting) countIndexed(ctx context.Context) error {
	q := c.query
	if q == (span.CountQuery{}) {
		return c.countServices(ctx)
	}
	first, end := firstDay(q.From), lastDay(q.Until)
	ofDays := q.Durations && !q.ByName && q.Name == "" && q.Step%day == 0
	if !ofDays || !q.From.IsZero() && !q.Until.IsZero() && !first.Before(end) {
		return c.countSpans(ctx, "span_metadata", c.conditions(q.From, q.Until), nil)
	}
	if err := c.countDays(ctx, first, end); err != nil {
		return err
	}
	if !q.From.IsZero() && inMicros(q.From).Before(first) {
		if err := c.countSpans(ctx, "span_metadata", c.conditions(q.From, first), nil); err != nil {
			return err
		}
	}
	if !q.Until.IsZero() && end.Before(inMicros(q.Until)) {
		return c.countSpans(ctx, "span_metadata", c.conditions(end, q.Until), nil)
	}
	return nil
}

// firstDay is the first day in UTC that begins at t or later; zero if t is.
func firstDay(t time.Time) time.Time {
	start := lastDay(t)
	if t.IsZero() || start.Equal(inMicros(t)) {
		return start
	}
	return start.Add(day)
}

// lastDay is the day in UTC that t is in, and so the end of the days before it; zero if t is.
func lastDay(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	year, month, date := inMicros(t).Date()
	return time.Date(year, month, date, 0, 0, 0, 0, time.UTC)
}

func (c *counting) conditions(from, until time.Time) conditions {
	var where conditions
	where.choose(&span.Filter{ServiceName: c.query.ServiceName, Name: c.query.Name, From: from, Until: until})
	return where
}

const catalogueSQL = `SELECT service_name, total_spans, first_seen, last_seen FROM services`

func (c *counting) countServices(ctx context.Context) error {
	return c.each(ctx, catalogueSQL, func(scan func(...any) error) error {
		var n span.Count
		if err := scan(&n.ServiceName, &n.Spans, &n.First, &n.Last); err != nil {
			return err
		}
		return c.add(group{service: n.ServiceName}, &n, nil)
	})
}

const (
	// countSQL has the columns by which is grouped, the table, the conditions and the limit.
	countSQL = `
SELECT %s, count(*), count(*) FILTER (status_code = 2), min(start_time), max(start_time), CAST(coalesce(sum(duration_ns), 0) AS DOUBLE)
FROM %s%s
GROUP BY 1, 2, 3, 4
LIMIT %d`

	daysSQL = `
SELECT service_name, '', %s, bucket, CAST(sum(span_count) AS BIGINT), CAST(sum(error_count) AS BIGINT), NULL, NULL,
       CAST(sum(duration_sum) AS DOUBLE)
FROM (FROM daily_durations UNION ALL FROM daily_durations_tail)%s
GROUP BY 1, 2, 3, 4
HAVING sum(span_count) <> 0
LIMIT %d`
)

// countSpans counts the spans of a table or source that are chosen. more are the values of parameters after those of where.
func (c *counting) countSpans(ctx context.Context, table string, where conditions, more []any) error {
	name, bucket := "''", "CAST(NULL AS SMALLINT)"
	if c.query.ByName {
		name = "name"
	}
	if c.query.Durations {
		bucket = "duration_bucket(duration_ns)"
	}
	columns := strings.Join([]string{"service_name", name, c.stepOf("epoch_us(start_time)"), bucket}, ", ")
	return c.count(ctx, fmt.Sprintf(countSQL, columns, table, where.where(), c.limit()), slices.Concat(where.args, more))
}

// countDays counts the days from first until before end by what is kept of them.
func (c *counting) countDays(ctx context.Context, first, end time.Time) error {
	var where conditions
	if c.query.ServiceName != "" {
		where.and("service_name = %s", c.query.ServiceName)
	}
	if !first.IsZero() {
		where.and("day >= CAST(%s AS DATE)", first.Format(time.DateOnly))
	}
	if !end.IsZero() {
		where.and("day < CAST(%s AS DATE)", end.Format(time.DateOnly))
	}
	return c.count(ctx, fmt.Sprintf(daysSQL, c.stepOf("epoch_us(CAST(day AS TIMESTAMP))"), where.where(), c.limit()), where.args)
}

// stepOf is the beginning of the step that a time in microseconds is in. (DuckDB's // rounds towards zero.)
func (c *counting) stepOf(micros string) string {
	step := c.query.Step.Microseconds()
	if step == 0 {
		return "CAST(0 AS BIGINT)"
	}
	return fmt.Sprintf("%[1]s - ((%[1]s %% %[2]d) + %[2]d) %% %[2]d", micros, step)
}

// limit is one more than what may still be counted apart.
func (c *counting) limit() int { return maxCounted - c.rows + 1 }

// count adds what a query has counted.
func (c *counting) count(ctx context.Context, query string, args []any) error {
	return c.each(ctx, query, func(scan func(...any) error) error {
		var key group
		var n span.Count
		var bucket *int16
		var first, last *time.Time
		if err := scan(&key.service, &key.name, &key.start, &bucket, &n.Spans, &n.Errors, &first, &last, &n.DurationSum); err != nil {
			return err
		}
		if first != nil && last != nil {
			n.First, n.Last = *first, *last
		}
		return c.add(key, &n, bucket)
	}, args...)
}

// add counts spans of a group. bucket is that of their durations, nil if they have none or durations are not asked for.
func (c *counting) add(key group, n *span.Count, bucket *int16) error {
	if c.rows++; c.rows > maxCounted {
		return &span.InvalidError{What: "statistics", Value: strconv.Itoa(maxCounted),
			Problem: "things counted apart are not enough: ask for a larger step, a shorter time, or one service"}
	}
	sum := c.groups[key]
	if sum == nil {
		sum = &span.Count{ServiceName: key.service, Name: key.name, First: n.First, Last: n.Last}
		if c.query.Step > 0 {
			sum.Start = time.UnixMicro(key.start).UTC()
		}
		c.groups[key] = sum
	}
	sum.Spans, sum.Errors = sum.Spans+n.Spans, sum.Errors+n.Errors
	sum.First, sum.Last = firstTime(sum.First, n.First), lastTime(sum.Last, n.Last)
	if !c.query.Durations {
		return nil
	}
	sum.DurationSum += n.DurationSum
	if bucket != nil {
		if sum.Durations == nil {
			sum.Durations = make(map[int16]int64)
		}
		sum.Durations[*bucket] += n.Spans
	}
	return nil
}

// firstTime is the first of two times. A time that is zero is not known.
func firstTime(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b.UTC()
	}
	return a.UTC()
}

// lastTime is the last of two times.
func lastTime(a, b time.Time) time.Time {
	if b.After(a) {
		return b.UTC()
	}
	return a.UTC()
}

// counts are in no order.
func (c *counting) counts() []span.Count {
	all := make([]span.Count, 0, len(c.groups))
	for _, n := range c.groups {
		all = append(all, *n)
	}
	return all
}
