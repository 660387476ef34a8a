package index

import (
	"context"
	"fmt"
)

// A span repeats another when these columns are all equal (design, "The index"). They are compared as the index keeps
// them: times in microseconds, and empty or NULL names as the defaults that stand for them.
const (
	keyColumns = `trace_id, span_id, service_name, name, span_kind, start_time, end_time, status_code`
	sameKey    = `n.trace_id = o.trace_id AND n.span_id = o.span_id AND n.service_name = o.service_name AND n.name = o.name
	AND n.span_kind = o.span_kind AND n.start_time = o.start_time AND n.end_time IS NOT DISTINCT FROM o.end_time
	AND n.status_code = o.status_code`
)

// tempTablesSQL makes what a batch works with.
const tempTablesSQL = `
CREATE TEMP TABLE lake_scan (path VARCHAR, size BIGINT, mtime BIGINT);
CREATE TEMP TABLE lake_scope (place VARCHAR);
CREATE TEMP TABLE lake_pending (path VARCHAR, size BIGINT, mtime BIGINT, gone BOOLEAN);
CREATE TEMP TABLE batch_traces (trace_id VARCHAR, file_id INTEGER, lookup_key UUID);
CREATE TEMP TABLE repeated_traces (trace_id VARCHAR);
CREATE TEMP TABLE dropped_spans (file_id INTEGER, first_file_id INTEGER, span_count BIGINT);
CREATE TEMP TABLE ranked_spans AS
	SELECT *, CAST(0 AS BIGINT) AS rank, CAST(0 AS INTEGER) AS first_file_id FROM span_metadata LIMIT 0;
CREATE TEMP TABLE merged_durations AS FROM daily_durations LIMIT 0;
`

// dropRepeats leaves one row for each distinct span, the first one: the one in the file with the lower number, and in
// one file the upper row. It tells whether there was anything to drop.
//
// All rows of the batch have been inserted at this point. Repeats are rare, so the common case pays for two cheap
// looks only: does anything that repeats must have in common occur twice in the batch, and does an older file that
// overlaps in time have one of its traces? (Repeats have equal start times.)
func (b *batch) dropRepeats(ctx context.Context, source source, loaded loadedRows) (bool, error) {
	if err := b.exec(ctx, "forget the last batch", `DELETE FROM dropped_spans`); err != nil {
		return false, err
	}
	within, err := b.repeatsWithin(ctx)
	if err != nil {
		return false, err
	}
	if within {
		if err := b.rewriteRepeated(ctx, source); err != nil {
			return false, err
		}
	}
	shared, err := b.tracesShared(ctx, loaded)
	if err != nil {
		return false, err
	}
	if shared {
		if err := b.dropKnown(ctx, loaded); err != nil {
			return false, err
		}
	}
	return b.noteRepeats(ctx)
}

const (
	maybeRepeatsSQL = `
SELECT count(*) - count(DISTINCT hash(start_time, end_time)) FROM span_metadata WHERE file_id BETWEEN $1 AND $2`

	repeatedTracesSQL = `
INSERT INTO repeated_traces
SELECT DISTINCT trace_id
FROM span_metadata
WHERE file_id BETWEEN $1 AND $2
  AND hash(` + keyColumns + `) IN (SELECT hash(` + keyColumns + `) FROM span_metadata WHERE file_id BETWEEN $1 AND $2
                                   GROUP BY 1 HAVING count(*) > 1)`
)

// repeatsWithin puts the traces in which a span may be there twice in this batch into repeated_traces.
func (b *batch) repeatsWithin(ctx context.Context) (bool, error) {
	var repeats int64
	if err := b.tx.QueryRowContext(ctx, maybeRepeatsSQL, b.first, b.last).Scan(&repeats); err != nil {
		return false, fmt.Errorf("look for repeats: %w", err)
	}
	if repeats == 0 {
		return false, nil
	}
	return b.fillRepeatedTraces(ctx, repeatedTracesSQL, b.first, b.last)
}

// fillRepeatedTraces makes repeated_traces anew with a statement, and tells whether it found any.
func (b *batch) fillRepeatedTraces(ctx context.Context, statement string, args ...any) (bool, error) {
	if err := b.exec(ctx, "forget the last traces", `DELETE FROM repeated_traces`); err != nil {
		return false, err
	}
	result, err := b.tx.ExecContext(ctx, statement, args...)
	if err != nil {
		return false, fmt.Errorf("find repeats: %w", err)
	}
	count, err := result.RowsAffected()
	if err != nil {
		return false, fmt.Errorf("find repeats: %w", err)
	}
	return count > 0, nil
}

const (
	rankSQL = `
INSERT INTO ranked_spans
SELECT ` + spanColumns + `,
       row_number() OVER same,
       first_value(file_id) OVER same
FROM (%s)
WHERE trace_id IN (SELECT trace_id FROM repeated_traces)
WINDOW same AS (PARTITION BY ` + keyColumns + ` ORDER BY file_id, file_row_number)`

	dropRankedSQL = `
INSERT INTO dropped_spans
SELECT file_id, first_file_id, count(*) FROM ranked_spans WHERE rank > 1 GROUP BY file_id, first_file_id`

	deleteRankedSQL = `
DELETE FROM span_metadata
WHERE file_id BETWEEN $1 AND $2 AND trace_id IN (SELECT trace_id FROM repeated_traces)`

	insertRankedSQL = `
INSERT INTO span_metadata SELECT ` + spanColumns + ` FROM ranked_spans WHERE rank = 1`
)

// rewriteRepeated reads the traces of repeated_traces once more, now with the numbers of the rows, which the table
// does not keep, and replaces them by their first rows.
func (b *batch) rewriteRepeated(ctx context.Context, source source) error {
	if err := b.exec(ctx, "forget the last batch", `DELETE FROM ranked_spans`); err != nil {
		return err
	}
	if err := b.exec(ctx, "rank repeats", fmt.Sprintf(rankSQL, source.sql), source.args...); err != nil {
		return err
	}
	if err := b.exec(ctx, "note repeats", dropRankedSQL); err != nil {
		return err
	}
	if err := b.exec(ctx, "take repeated traces out", deleteRankedSQL, b.first, b.last); err != nil {
		return err
	}
	if err := b.exec(ctx, "put first spans in", insertRankedSQL); err != nil {
		return err
	}
	return b.exec(ctx, "free memory", `DELETE FROM ranked_spans`)
}

const (
	// olderSQL are the rows of files that overlap in time with the batch. The registry does not have the files of the
	// batch yet.
	olderSQL = `o.file_id IN (SELECT file_id FROM parquet_files WHERE min_time <= $2 AND max_time >= $1)
	AND o.start_time BETWEEN $1 AND $2`

	overlapSQL = `SELECT count(*) > 0 FROM parquet_files WHERE min_time <= $2 AND max_time >= $1`

	sharedTracesSQL = `
INSERT INTO repeated_traces
SELECT DISTINCT o.trace_id
FROM span_metadata o
WHERE ` + olderSQL + `
  AND o.trace_id IN (SELECT trace_id FROM batch_traces)`
)

// tracesShared puts the traces of this batch of which an older file has spans in the same time into repeated_traces.
func (b *batch) tracesShared(ctx context.Context, loaded loadedRows) (bool, error) {
	var overlap bool
	if err := b.tx.QueryRowContext(ctx, overlapSQL, loaded.first, loaded.last).Scan(&overlap); err != nil {
		return false, fmt.Errorf("look for older files: %w", err)
	}
	if !overlap {
		return false, nil
	}
	return b.fillRepeatedTraces(ctx, sharedTracesSQL, loaded.first, loaded.last)
}

const (
	knownSQL = `n.file_id BETWEEN $3 AND $4
  AND n.trace_id IN (SELECT trace_id FROM repeated_traces)
  AND o.trace_id IN (SELECT trace_id FROM repeated_traces)
  AND ` + olderSQL + `
  AND ` + sameKey

	noteKnownSQL = `
INSERT INTO dropped_spans
SELECT n.file_id, o.file_id, count(*)
FROM span_metadata n, span_metadata o
WHERE ` + knownSQL + `
GROUP BY n.file_id, o.file_id`

	deleteKnownSQL = `DELETE FROM span_metadata n USING span_metadata o WHERE ` + knownSQL
)

// dropKnown takes the spans that older files have out of the batch. On both sides each span is there once.
func (b *batch) dropKnown(ctx context.Context, loaded loadedRows) error {
	result, err := b.tx.ExecContext(ctx, noteKnownSQL, loaded.first, loaded.last, b.first, b.last)
	if err != nil {
		return fmt.Errorf("find known spans: %w", err)
	}
	if count, err := result.RowsAffected(); err != nil || count == 0 {
		return err // traces that go on over several files are no repeats
	}
	return b.exec(ctx, "drop known spans", deleteKnownSQL, loaded.first, loaded.last, b.first, b.last)
}

const (
	droppedByFileSQL = `SELECT file_id, CAST(sum(span_count) AS BIGINT) FROM dropped_spans GROUP BY file_id`

	rememberRepeatsSQL = `
INSERT INTO file_repeats
SELECT file_id, first_file_id, sum(span_count)
FROM dropped_spans
WHERE file_id <> first_file_id
GROUP BY file_id, first_file_id`

	renumberFirstSQL = `UPDATE file_repeats SET first_file_id = $2 WHERE first_file_id = $1`
)

// noteRepeats counts what was dropped, and remembers whose spans the dropped ones repeat.
func (b *batch) noteRepeats(ctx context.Context) (dropped bool, err error) {
	for _, it := range b.readable {
		if it.again {
			if err := b.exec(ctx, "renumber repeats", renumberFirstSQL, it.oldID, it.fileID); err != nil {
				return false, err
			}
		}
	}
	byFile := make(map[int32]int64)
	rows, err := b.tx.QueryContext(ctx, droppedByFileSQL)
	if err != nil {
		return false, fmt.Errorf("count repeats: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id int32
		var count int64
		if err := rows.Scan(&id, &count); err != nil {
			return false, fmt.Errorf("count repeats: %w", err)
		}
		byFile[id] = count
	}
	if err := rows.Err(); err != nil {
		return false, fmt.Errorf("count repeats: %w", err)
	}
	for _, it := range b.readable {
		it.duplicates = byFile[it.fileID]
	}
	if len(byFile) == 0 {
		return false, nil
	}
	return true, b.exec(ctx, "remember repeats", rememberRepeatsSQL)
}

// exec runs one statement; what says for what.
func (b *batch) exec(ctx context.Context, what, statement string, args ...any) error {
	if _, err := b.tx.ExecContext(ctx, statement, args...); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
