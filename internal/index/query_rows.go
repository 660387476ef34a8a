package index

import (
	"context"
	"math"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// rowColumns are those that scanRow reads, of span_metadata or of a snapshot's source.
const rowColumns = `trace_id, span_id, coalesce(parent_span_id, ''), service_name, name, span_kind, start_time, end_time,
	coalesce(duration_ns, 0), status_code, file_id`

// scanRow reads rowColumns. The path of the file is filled in by name.
func scanRow(scan func(...any) error) (row span.Row, fileID int32, err error) {
	var kind, status int32
	var end *time.Time
	var duration int64
	if err := scan(&row.TraceID, &row.SpanID, &row.ParentSpanID, &row.ServiceName, &row.Name, &kind, &row.StartTime, &end, &duration,
		&status, &fileID); err != nil {
		return row, 0, err
	}
	row.StartTime, row.Duration = row.StartTime.UTC(), time.Duration(duration)
	if end != nil {
		row.EndTime = end.UTC()
	}
	row.Kind = kindOf(kind)
	row.StatusCode = span.StatusCode(max(math.MinInt8, min(status, math.MaxInt8)))
	return row, fileID, nil
}

// kindOf keeps numbers that OpenTelemetry does not define, as files of other writers may have them, undefined ones.
func kindOf(kind int32) span.Kind { return span.Kind(max(math.MinInt8, min(kind, math.MaxInt8))) }

// rows reads rows of span_metadata or of pending files: a query of rowColumns.
func (s *snapshot) rows(ctx context.Context, query string, args ...any) ([]span.Row, error) {
	var rows []span.Row
	var files []int32
	err := s.each(ctx, query, func(scan func(...any) error) error {
		row, file, err := scanRow(scan)
		rows, files = append(rows, row), append(files, file)
		return err
	}, args...)
	if err != nil {
		return nil, err
	}
	return rows, s.name(ctx, rows, files)
}

const pathsSQL = `SELECT file_id, file_path FROM parquet_files WHERE file_id IN (SELECT unnest($1::INTEGER[]))`

// name fills in the paths of the files that rows are in.
func (s *snapshot) name(ctx context.Context, rows []span.Row, files []int32) error {
	paths := make(map[int32]string)
	var unknown []int32
	for _, id := range files {
		if _, ok := paths[id]; ok {
			continue
		}
		paths[id] = ""
		if id < 0 {
			paths[id] = s.path(id)
		} else {
			unknown = append(unknown, id)
		}
	}
	if len(unknown) > 0 {
		err := s.each(ctx, pathsSQL, func(scan func(...any) error) error {
			var id int32
			var path string
			err := scan(&id, &path)
			paths[id] = path
			return err
		}, unknown)
		if err != nil {
			return err
		}
	}
	for i := range rows {
		rows[i].File = paths[files[i]]
	}
	return nil
}
