package index

import (
	"context"
	"database/sql"
	"fmt"
)

// daily_stats is read from sketches that are kept as files come and go. Each batch says in daily_durations_tail what it
// adds to the buckets of each service and day, and what it takes away. The counts are integers and the bucket of a
// duration depends on nothing else, so what is there in the end is what the spans in the index are, in whatever order
// files came, changed and went: docs/adr/0005.

const (
	// dailyTail is how many rows of daily_durations_tail are merged at once. A query reads them all, which takes a few
	// milliseconds.
	dailyTail = 100_000

	// dailyTailShare: the tail is not merged before it is this part of what is merged already, either. Files that add a
	// little to each of very many days would make each merge rewrite everything otherwise. So at most this many rows are
	// rewritten for each one that is added.
	dailyTailShare = 4

	// dailyPart is about how many rows are merged in one transaction. Half a million was more than DuckDB can group in
	// 72 MB, its share of a budget of 256 MB, beside the table that it groups them into.
	dailyPart = 100_000
)

const (
	// dailyKey are the columns by which durations are counted.
	dailyKey = `service_name, utc_day(start_time) AS day, duration_bucket(duration_ns) AS bucket`

	dailyAddSQL = `
INSERT INTO daily_durations_tail
SELECT ` + dailyKey + `, count(*), count(*) FILTER (status_code = 2), coalesce(sum(duration_ns), 0)
FROM span_metadata
WHERE file_id BETWEEN $1 AND $2
GROUP BY ALL`

	dailySubtractSQL = `
INSERT INTO daily_durations_tail
SELECT ` + dailyKey + `, -count(*), -count(*) FILTER (status_code = 2), -coalesce(sum(duration_ns), 0)
FROM span_metadata
WHERE file_id IN (SELECT unnest($1::INTEGER[]))
GROUP BY ALL`
)

const (
	dailyDueSQL = `
SELECT tail >= $1 AND tail * $2 >= merged
FROM (SELECT count(*) AS tail FROM daily_durations_tail), (SELECT count(*) AS merged FROM daily_durations)`

	// dailyPartsSQL are the first days and services of parts of the days of which the tail has something.
	dailyPartsSQL = `
SELECT CAST(min(day) AS VARCHAR), arg_min(service_name, (day, service_name))
FROM (SELECT day, service_name, sum(count(*)) OVER (ORDER BY day, service_name) // $1 AS part
      FROM (SELECT day, service_name FROM daily_durations WHERE ` + dailyTouched + `
            UNION ALL
            SELECT day, service_name FROM daily_durations_tail)
      GROUP BY day, service_name)
GROUP BY part
ORDER BY part`

	// dailyTouched are the rows of days of which the tail has something. Days and not services, since of a day most
	// services are touched, and days lie together.
	dailyTouched = `day IN (SELECT day FROM daily_durations_tail)`
)

// mergeDaily merges the tail of the daily durations once it is long enough.
func (x *Index) mergeDaily(ctx context.Context) error {
	var starts []serviceDay
	err := x.patiently(ctx, func(ctx context.Context) (err error) {
		var due bool
		if err := x.conn.QueryRowContext(ctx, dailyDueSQL, x.dailyTail, int64(dailyTailShare)).Scan(&due); err != nil || !due {
			return err
		}
		starts, err = x.dailyParts(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("merge daily statistics: %w", err)
	}
	for i, from := range starts {
		to := serviceDay{day: "infinity"}
		if i+1 < len(starts) {
			to = starts[i+1]
		}
		if err := x.mergeDays(ctx, from, to); err != nil {
			return fmt.Errorf("merge daily statistics from %s, %s: %w", from.day, from.service, err)
		}
	}
	return nil
}

// serviceDay is a place in the order of daily_durations.
type serviceDay struct{ day, service string }

// dailyParts are where the parts start in which the tail is merged.
func (x *Index) dailyParts(ctx context.Context) ([]serviceDay, error) {
	rows, err := x.conn.QueryContext(ctx, dailyPartsSQL, x.dailyPart)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var starts []serviceDay
	for rows.Next() {
		var start serviceDay
		if err := rows.Scan(&start.day, &start.service); err != nil {
			return nil, err
		}
		starts = append(starts, start)
	}
	return starts, rows.Err()
}

const (
	// mergePartSQL are the rows of a part. That the day is compared alone as well lets row groups be skipped. (DuckDB 1.5.6
	// makes a BETWEEN of two comparisons of rows, and then refuses it.)
	mergePartSQL = `day BETWEEN CAST($1 AS DATE) AND CAST($3 AS DATE)
  AND (day > CAST($1 AS DATE) OR service_name >= $2) AND (day < CAST($3 AS DATE) OR service_name < $4)`

	clearMergedSQL = `DELETE FROM merged_durations`

	// A bucket that has nothing any more is not kept.
	mergeDaysSQL = `
INSERT INTO merged_durations
SELECT service_name, day, bucket, sum(span_count), sum(error_count), sum(duration_sum)
FROM (FROM daily_durations WHERE ` + mergePartSQL + ` AND ` + dailyTouched + `
      UNION ALL
      FROM daily_durations_tail WHERE ` + mergePartSQL + `)
GROUP BY ALL
HAVING sum(span_count) <> 0 OR sum(error_count) <> 0 OR sum(duration_sum) <> 0`

	dropUnmergedSQL = `DELETE FROM daily_durations WHERE ` + mergePartSQL + ` AND ` + dailyTouched

	// In this order a query for a day reads the row groups of the day only.
	keepMergedSQL = `INSERT INTO daily_durations FROM merged_durations ORDER BY day, service_name, bucket`

	dropDailyTailSQL = `DELETE FROM daily_durations_tail WHERE ` + mergePartSQL
)

// mergeDays merges the tail from one place up to another, in a transaction.
func (x *Index) mergeDays(ctx context.Context, from, to serviceDay) error {
	part := []any{from.day, from.service, to.day, to.service}
	statements := []struct {
		sql  string
		args []any
	}{
		{clearMergedSQL, nil},
		{mergeDaysSQL, part},
		{dropUnmergedSQL, part},
		{keepMergedSQL, nil},
		{dropDailyTailSQL, part},
		{clearMergedSQL, nil},
	}
	return x.inTransaction(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, statement := range statements {
			if _, err := tx.ExecContext(ctx, statement.sql, statement.args...); err != nil {
				return err
			}
		}
		return nil
	})
}

const (
	// dayStartsSQL makes parts of whole days: the sums of a bucket can only be compared when they are complete. How much
	// memory a part takes is a matter of its buckets, whatever the number of its spans.
	dayStartsSQL = `
SELECT DISTINCT CAST(utc_day(min(min_time)) AS VARCHAR) AS start
FROM (SELECT min_time, sum(row_count) OVER (ORDER BY min_time) // $1 AS part FROM parquet_files WHERE min_time IS NOT NULL)
GROUP BY part
ORDER BY CAST(start AS DATE)`

	dayPartSQL = `day >= CAST($1 AS DATE) AND day < CAST($2 AS DATE)`

	dailyCheckSQL = `
WITH counted AS (
    SELECT ` + dailyKey + `, count(*) AS spans, count(*) FILTER (status_code = 2) AS errors,
           coalesce(sum(duration_ns), 0) AS duration, 0 AS kept_spans, 0 AS kept_errors, 0 AS kept_duration
    FROM span_metadata WHERE ` + timePartSQL + ` GROUP BY ALL
    UNION ALL
    SELECT service_name, day, bucket, 0, 0, 0, span_count, error_count, duration_sum
    FROM (FROM daily_durations UNION ALL FROM daily_durations_tail) WHERE ` + dayPartSQL + `
), buckets AS (
    SELECT service_name, day, bucket, sum(spans) AS spans, sum(errors) AS errors, sum(duration) AS duration,
           sum(kept_spans) AS kept_spans, sum(kept_errors) AS kept_errors, sum(kept_duration) AS kept_duration,
           (sum(spans), sum(errors), sum(duration)) <> (sum(kept_spans), sum(kept_errors), sum(kept_duration)) AS differs
    FROM counted
    GROUP BY ALL
)
SELECT service_name || ' on ' || day,
       'has ' || sum(spans) || ' spans, ' || sum(errors) || ' errors and ' || sum(duration) || ' ns, daily_durations says '
       || sum(kept_spans) || ', ' || sum(kept_errors) || ' and ' || sum(kept_duration) || ' ns; '
       || count(*) FILTER (differs) || ' of ' || count(*) || ' buckets differ'
FROM buckets
GROUP BY service_name, day
HAVING bool_or(differs)
ORDER BY ALL`
)
