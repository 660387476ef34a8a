package index

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

const (
	// lookupKey makes a trace id of any shape a UUID: the 32 hex digits that OpenTelemetry prescribes as they are, others
	// by their MD5. Two ids may meet in one key, so span_metadata always decides by the trace id itself.
	lookupKey = `coalesce(TRY_CAST(trace_id AS UUID), CAST(md5(trace_id) AS UUID))`

	// lookupRun is how many rows of trace_lookup_tail make a sorted run of trace_lookup: about 4 row groups of DuckDB. A
	// look-up reads one row group of each run and all of the tail; sorting a run is the longest pause of the indexer
	// (docs/benchmarks.md).
	lookupRun = 500_000
)

const (
	tailRowsSQL = `SELECT count(*) FROM trace_lookup_tail`
	sortTailSQL = `INSERT INTO trace_lookup SELECT trace_id, file_id FROM trace_lookup_tail ORDER BY trace_id, file_id`
	dropTailSQL = `DELETE FROM trace_lookup_tail`
)

// sortLookup turns the tail of the trace lookup into a sorted run once it is long enough. It says how long that took.
func (x *Index) sortLookup(ctx context.Context) (time.Duration, error) {
	var rows int64
	err := x.patiently(ctx, func(ctx context.Context) error { return x.conn.QueryRowContext(ctx, tailRowsSQL).Scan(&rows) })
	if err != nil {
		return 0, fmt.Errorf("sort trace lookup: %w", err)
	}
	if rows < lookupRun {
		return 0, nil
	}
	start := time.Now()
	err = x.inTransaction(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, statement := range []string{sortTailSQL, dropTailSQL} {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("sort trace lookup: %w", err)
	}
	return time.Since(start), nil
}

// SpanSummary is a row of span_metadata.
type SpanSummary struct {
	TraceID, SpanID string
	// ParentSpanID is "" for a root.
	ParentSpanID      string
	ServiceName, Name string
	// StartTime and EndTime are exact to the microsecond; EndTime is zero if the file does not tell.
	StartTime, EndTime time.Time
	Duration           time.Duration
	StatusCode, Kind   int32
	IsRoot             bool
	// FilePath is where the whole span is, relative to the lake.
	FilePath string
}

const traceSpansSQL = `
SELECT s.trace_id, s.span_id, coalesce(s.parent_span_id, ''), s.service_name, s.name, s.start_time, s.end_time,
       coalesce(s.duration_ns, 0), s.status_code, s.span_kind, s.is_root, p.file_path
FROM span_metadata s
JOIN parquet_files p USING (file_id)
WHERE s.trace_id = $1
  AND s.file_id IN (SELECT file_id FROM trace_lookup WHERE trace_id = ` + boundKey + `
                    UNION ALL
                    SELECT file_id FROM trace_lookup_tail WHERE trace_id = ` + boundKey + `)
ORDER BY s.start_time, s.span_id`

// boundKey is lookupKey of parameter 1.
const boundKey = `coalesce(TRY_CAST($1 AS UUID), CAST(md5($1) AS UUID))`

// TraceSpans lists the spans of one trace by start time. A trace that is not in the index has none.
func (x *Index) TraceSpans(ctx context.Context, traceID string) ([]SpanSummary, error) {
	return list(ctx, x, fmt.Sprintf("spans of trace %q", traceID), traceSpansSQL, func(rows *sql.Rows, s *SpanSummary) error {
		var end *time.Time
		var duration int64
		if err := rows.Scan(&s.TraceID, &s.SpanID, &s.ParentSpanID, &s.ServiceName, &s.Name, &s.StartTime, &end, &duration,
			&s.StatusCode, &s.Kind, &s.IsRoot, &s.FilePath); err != nil {
			return err
		}
		if end != nil {
			s.EndTime = *end
		}
		s.Duration = time.Duration(duration)
		return nil
	}, traceID)
}
