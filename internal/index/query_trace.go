package index

import (
	"context"
	"fmt"
	"slices"

	"github.com/spanlake/spanlake/internal/span"
)

const (
	// traceRowsSQL and tracesRowsSQL find the files by the trace lookup: of each of its sorted runs one row group is read.
	traceRowsSQL = `
SELECT ` + rowColumns + `
FROM span_metadata
WHERE trace_id = $1
  AND file_id IN (SELECT file_id FROM trace_lookup WHERE trace_id = ` + boundKey + `
                  UNION ALL
                  SELECT file_id FROM trace_lookup_tail WHERE trace_id = ` + boundKey + `)`

	tracesRowsSQL = `
WITH wanted AS (SELECT unnest($1::VARCHAR[]) AS trace_id),
     keys AS MATERIALIZED (SELECT ` + lookupKey + ` AS key FROM wanted)
SELECT ` + rowColumns + `
FROM span_metadata
WHERE trace_id IN (SELECT trace_id FROM wanted)
  AND file_id IN (SELECT file_id FROM trace_lookup WHERE trace_id IN (SELECT key FROM keys)
                  UNION ALL
                  SELECT file_id FROM trace_lookup_tail WHERE trace_id IN (SELECT key FROM keys))`
)

// TraceRows lists the spans of traces, in the order of a listing. Spans of pending files may be repeats.
func (x *Index) TraceRows(ctx context.Context, traceIDs []string, cold span.Cold) ([]span.Row, span.Seen, error) {
	var rows []span.Row
	seen, err := x.answer(ctx, "look traces up", cold, func(ctx context.Context, s *snapshot) error {
		var c conditions
		query := tracesRowsSQL
		if len(traceIDs) == 1 {
			query = traceRowsSQL
			c.and("trace_id = %s", traceIDs[0])
		} else {
			c.and("trace_id IN (SELECT unnest(%s::VARCHAR[]))", traceIDs)
		}
		var err error
		if rows, err = s.rows(ctx, query, c.args...); err != nil {
			return err
		}
		rows, err = s.withPending(ctx, rows, c)
		return err
	})
	sortRows(rows)
	return rows, seen, err
}

const (
	// traceFilesSQL looks into the trace lookup alone: a key is of one trace, but for ids that are no OpenTelemetry ids and meet in it.
	traceFilesSQL = `
SELECT file_path
FROM parquet_files
WHERE file_id IN (SELECT file_id FROM trace_lookup WHERE trace_id = ` + boundKey + `
                  UNION ALL
                  SELECT file_id FROM trace_lookup_tail WHERE trace_id = ` + boundKey + `)
ORDER BY file_id`

	// pendingFilesSQL has the pending files.
	pendingFilesSQL = `SELECT DISTINCT file_id FROM (%s) WHERE trace_id = $1`
)

// TraceFiles are the files that have spans of a trace, and perhaps some that have none.
func (x *Index) TraceFiles(ctx context.Context, traceID string, cold span.Cold) ([]string, span.Seen, error) {
	var files []string
	seen, err := x.answer(ctx, "look a trace up", cold, func(ctx context.Context, s *snapshot) error {
		files = nil // it may be called again
		err := s.each(ctx, traceFilesSQL, func(scan func(...any) error) error {
			var path string
			err := scan(&path)
			files = append(files, path)
			return err
		}, traceID)
		source, ok := s.source(2)
		if err != nil || !ok {
			return err
		}
		return s.each(ctx, fmt.Sprintf(pendingFilesSQL, source.sql), func(scan func(...any) error) error {
			var id int32
			if err := scan(&id); err != nil {
				return err
			}
			files = append(files, s.path(id))
			return nil
		}, slices.Concat([]any{traceID}, source.args)...)
	})
	return files, seen, err
}

// RootsOf lists the root spans of traces that f chooses, attributes aside, in the order of a listing. Spans of pending files may be repeats.
func (x *Index) RootsOf(ctx context.Context, f span.Filter, traceIDs []string, cold span.Cold) ([]span.Row, span.Seen, error) {
	var rows []span.Row
	seen, err := x.answer(ctx, "find root spans", cold, func(ctx context.Context, s *snapshot) error {
		var c conditions
		c.choose(&f)
		c.and("is_root")
		c.and("trace_id IN (SELECT unnest(%s::VARCHAR[]))", traceIDs)
		var err error
		if rows, err = s.rows(ctx, fmt.Sprintf(chosenSQL, rowColumns, "root_spans", c.where()), c.args...); err != nil {
			return err
		}
		rows, err = s.withPending(ctx, rows, c)
		return err
	})
	sortRows(rows)
	return rows, seen, err
}

// chosenSQL has the columns, the table and the conditions.
const chosenSQL = `
SELECT %s
FROM %s%s`

// withPending adds the rows of pending files that c chooses.
func (s *snapshot) withPending(ctx context.Context, rows []span.Row, c conditions) ([]span.Row, error) {
	source, ok := s.source(len(c.args) + 1)
	if !ok {
		return rows, nil
	}
	pending, err := s.rows(ctx, fmt.Sprintf(chosenSQL, rowColumns, "("+source.sql+")", c.where()), slices.Concat(c.args, source.args)...)
	return append(rows, pending...), err
}

const (
	// maxTracesOf bounds the traces that share a span id: OpenTelemetry's are random, those of other writers may all be the same.
	maxTracesOf = 1000

	tracesOfSQL = `
SELECT DISTINCT trace_id
FROM %s
WHERE span_id = $1
LIMIT %d`
)

// TracesOf lists the traces that have a span with an id, at most 1,000 of them. It looks through all spans.
func (x *Index) TracesOf(ctx context.Context, spanID string, cold span.Cold) ([]string, span.Seen, error) {
	var traces []string
	seen, err := x.answer(ctx, "find the trace of a span", cold, func(ctx context.Context, s *snapshot) error {
		traces = nil
		add := func(scan func(...any) error) error {
			var id string
			err := scan(&id)
			traces = append(traces, id)
			return err
		}
		if err := s.each(ctx, fmt.Sprintf(tracesOfSQL, "span_metadata", maxTracesOf), add, spanID); err != nil {
			return err
		}
		source, ok := s.source(2)
		if !ok {
			return nil
		}
		return s.each(ctx, fmt.Sprintf(tracesOfSQL, "("+source.sql+")", maxTracesOf), add, slices.Concat([]any{spanID}, source.args)...)
	})
	slices.Sort(traces)
	traces = slices.Compact(traces)
	return traces[:min(len(traces), maxTracesOf)], seen, err
}
