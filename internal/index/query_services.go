package index

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

const (
	// maxCuts bounds the times that Boundaries tells.
	maxCuts = 4000

	// boundariesSQL has the table, its column of counts and the conditions, and as parameters the spans of a window. Files are taken in the order in which
	// they end, so a window has the spans of whole files, but for what overlaps.
	boundariesSQL = `
SELECT max(max_time) AS cut
FROM (SELECT max_time,
             (sum(spans) OVER (ORDER BY max_time DESC, file_id ROWS UNBOUNDED PRECEDING) - spans)
             // greatest(CAST(%[1]s AS BIGINT), sum(spans) OVER () // %[2]d + 1) AS part
      FROM (SELECT file_id, max_time, %[3]s AS spans FROM %[4]s%[5]s))
WHERE part > 0
GROUP BY part
ORDER BY cut DESC
LIMIT %[2]d`
)

// Boundaries are times, newest first, that cut a range into windows of about so many spans of a service, or of all if it is "". They are
// where files end, so a window is not smaller than a file. There are at most 4,000; windows are larger then.
func (x *Index) Boundaries(ctx context.Context, service string, from, until time.Time, spans int64) ([]time.Time, error) {
	var c conditions
	c.and("max_time IS NOT NULL")
	table, count := "parquet_files", "row_count"
	if service != "" {
		table, count = "file_services", "span_count"
		c.and("service_name = %s", service)
	}
	if !from.IsZero() {
		c.and("max_time >= %s", inMicros(from))
	}
	if !until.IsZero() {
		c.and("min_time < %s", inMicros(until))
	}
	size := c.bind(max(spans, 1))
	var cuts []time.Time
	_, err := x.answer(ctx, "divide time", span.Cold{}, func(ctx context.Context, s *snapshot) error {
		return s.each(ctx, fmt.Sprintf(boundariesSQL, size, maxCuts, count, table, c.where()), func(scan func(...any) error) error {
			var cut time.Time
			if err := scan(&cut); err != nil {
				return err
			}
			cut = cut.UTC().Add(time.Microsecond) // the span that starts then belongs to the next window
			if (from.IsZero() || cut.After(from)) && (until.IsZero() || cut.Before(until)) {
				cuts = append(cuts, cut)
			}
			return nil
		}, c.args...)
	})
	return cuts, err
}

// failedSinceSQL: files are written after their spans have started. One that somebody asked to retry has no time of its own any more.
const failedSinceSQL = `SELECT count(*) FROM failed_parquet_files WHERE coalesce(file_mtime, failed_at) >= $1`

// clockSlack is how far the clocks of those who make spans may be ahead of those who write files.
const clockSlack = time.Hour

// FailedSince counts the files that could not be indexed and may have spans that start at from or later: those written since an hour
// before. A time that is zero is none: all are counted.
func (x *Index) FailedSince(ctx context.Context, from time.Time) (int64, error) {
	since := time.Time{}
	if !from.IsZero() {
		since = inMicros(from).Add(-clockSlack)
	}
	counts, err := list(ctx, x, "failed files", failedSinceSQL, func(rows *sql.Rows, n *int64) error { return rows.Scan(n) }, since)
	if err != nil {
		return 0, err
	}
	return counts[0], nil
}

const (
	// operationSpans is about how many of the newest spans of a service are looked at for their names.
	operationSpans = 1_000_000
	// maxOperations bounds the names that are listed.
	maxOperations = 10_000

	operationsSQL = `
SELECT name, span_kind
FROM span_metadata%s
GROUP BY name, span_kind
ORDER BY name, span_kind
LIMIT %d`
)

// Operations lists the names of the spans of a service, or of all if it is "", with their kinds. Looked at are about the newest million
// spans of the service, and at most 10,000 names are listed.
func (x *Index) Operations(ctx context.Context, service string) ([]span.Operation, error) {
	var all []span.Operation
	_, err := x.answer(ctx, "list operations", span.Cold{}, func(ctx context.Context, s *snapshot) error {
		all = nil // it may be called again
		w := windows{snapshot: s, service: service, least: 1}
		from, _, _, err := w.next(ctx, operationSpans)
		if err != nil || w.none {
			return err
		}
		var c conditions
		c.choose(&span.Filter{ServiceName: service, From: from})
		return s.each(ctx, fmt.Sprintf(operationsSQL, c.where(), maxOperations), func(scan func(...any) error) error {
			var name string
			var kind int32
			err := scan(&name, &kind)
			all = append(all, span.Operation{Name: name, Kind: kindOf(kind)})
			return err
		}, c.args...)
	})
	return all, err
}

// dependenciesSQL has the conditions of the child, and of the parent. Spans are joined by 64 bits of a hash of their ids, and services by
// numbers: with the ids themselves DuckDB could not swap enough in 72 MB, its share of a budget of 256 MB. Two of ten million spans and
// their parents meet by chance in one of a hundred thousand answers.
const dependenciesSQL = `
WITH numbered AS MATERIALIZED (SELECT service_name, CAST(row_number() OVER () AS INTEGER) AS number FROM services),
     calls AS (SELECT p.number AS parent, c.number AS child, count(*) AS calls
               FROM (SELECT hash(trace_id, parent_span_id) AS id, number
                     FROM span_metadata JOIN numbered USING (service_name)%s) c
               JOIN (SELECT hash(trace_id, span_id) AS id, number
                     FROM span_metadata JOIN numbered USING (service_name)%s) p USING (id)
               WHERE p.number <> c.number
               GROUP BY ALL)
SELECT p.service_name, c.service_name, calls
FROM calls JOIN numbered p ON p.number = parent JOIN numbered c ON c.number = child
ORDER BY ALL`

// parentEarly is how long before its child a parent may have started, and parentLate how long after it, if clocks differ.
const (
	parentEarly = 24 * time.Hour
	parentLate  = time.Hour
)

// Dependencies counts calls from service to service: spans that start in a range and whose parent, which started within the day before, is
// of another service. DuckDB swaps what does not fit into its memory.
func (x *Index) Dependencies(ctx context.Context, from, until time.Time) ([]span.Dependency, error) {
	var c conditions
	c.and("parent_span_id IS NOT NULL")
	c.between(from, until)
	children := c.where()
	c.texts = nil
	if !from.IsZero() {
		from = from.Add(-parentEarly)
	}
	if !until.IsZero() {
		until = until.Add(parentLate)
	}
	c.between(from, until)
	var all []span.Dependency
	_, err := x.answer(ctx, "find dependencies", span.Cold{}, func(ctx context.Context, s *snapshot) error {
		all = nil // it may be called again
		return s.each(ctx, fmt.Sprintf(dependenciesSQL, children, c.where()), func(scan func(...any) error) error {
			var d span.Dependency
			err := scan(&d.Parent, &d.Child, &d.Calls)
			all = append(all, d)
			return err
		}, c.args...)
	})
	return all, err
}
