package index

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

const servicesSQL = `SELECT service_name, first_seen, last_seen, total_spans FROM services ORDER BY service_name`

// Services lists all services by name.
func (x *Index) Services(ctx context.Context) ([]span.Service, error) {
	return list(ctx, x, "services", servicesSQL, func(rows *sql.Rows, s *span.Service) error {
		err := rows.Scan(&s.Name, &s.FirstSeen, &s.LastSeen, &s.TotalSpans)
		s.FirstSeen, s.LastSeen = s.FirstSeen.UTC(), s.LastSeen.UTC()
		return err
	})
}

const filesSQL = `
SELECT file_id, file_path, coalesce(service_name, ''), min_time, max_time, row_count, size_bytes, indexed_at,
       duplicate_count, skipped_count
FROM parquet_files
ORDER BY indexed_at DESC, file_id DESC
LIMIT $1`

// Files lists indexed files, the ones indexed last first, at most limit of them.
func (x *Index) Files(ctx context.Context, limit int) ([]span.IndexedFile, error) {
	return list(ctx, x, "files", filesSQL, func(rows *sql.Rows, f *span.IndexedFile) error {
		err := rows.Scan(&f.ID, &f.Path, &f.ServiceName, &f.MinTime, &f.MaxTime, &f.RowCount, &f.SizeBytes, &f.IndexedAt,
			&f.DuplicateCount, &f.SkippedCount)
		f.MinTime, f.MaxTime, f.IndexedAt = utc(f.MinTime), utc(f.MaxTime), f.IndexedAt.UTC()
		return err
	}, limit)
}

const failedSQL = `
SELECT file_path, error_type, error_message, file_size, failed_at, retry_count, file_mtime IS NULL, retry_at
FROM failed_parquet_files
ORDER BY file_path`

// Failed lists the files that could not be indexed.
func (x *Index) Failed(ctx context.Context) ([]span.FailedFile, error) {
	return list(ctx, x, "failed files", failedSQL, func(rows *sql.Rows, f *span.FailedFile) error {
		err := rows.Scan(&f.Path, &f.ErrorType, &f.Message, &f.Size, &f.FailedAt, &f.RetryCount, &f.Due, &f.RetryAt)
		f.FailedAt, f.RetryAt = f.FailedAt.UTC(), utc(f.RetryAt)
		return err
	})
}

// Totals are what the index holds.
type Totals struct {
	Files, Spans int64
	// Failed counts failed files by error type.
	Failed map[string]int64
}

const (
	totalsSQL = `
SELECT count(*), CAST(coalesce(sum(row_count - duplicate_count - skipped_count), 0) AS BIGINT) FROM parquet_files`
	failedTotalsSQL = `SELECT error_type, count(*) FROM failed_parquet_files GROUP BY error_type`
)

// Totals counts what the index holds.
func (x *Index) Totals(ctx context.Context) (Totals, error) {
	totals := Totals{Failed: make(map[string]int64)}
	rows, err := list(ctx, x, "totals", totalsSQL, func(rows *sql.Rows, t *Totals) error { return rows.Scan(&t.Files, &t.Spans) })
	if err != nil {
		return totals, err
	}
	totals.Files, totals.Spans = rows[0].Files, rows[0].Spans
	_, err = list(ctx, x, "totals", failedTotalsSQL, func(rows *sql.Rows, _ *struct{}) error {
		var kind string
		var files int64
		err := rows.Scan(&kind, &files)
		totals.Failed[kind] = files
		return err
	})
	return totals, err
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	inUTC := t.UTC()
	return &inUTC
}

// list reads all rows of a query.
func list[T any](ctx context.Context, x *Index, what, query string, scan func(*sql.Rows, *T) error, args ...any) ([]T, error) {
	var all []T
	err := x.reading(ctx, func(db *sql.DB) error {
		return x.patiently(ctx, func(ctx context.Context) (err error) {
			all, err = listOf(ctx, db, query, scan, args...)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", what, explain(ctx, err))
	}
	return all, nil
}

func listOf[T any](ctx context.Context, db *sql.DB, query string, scan func(*sql.Rows, *T) error, args ...any) ([]T, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	all := []T{}
	for rows.Next() {
		var one T
		if err := scan(rows, &one); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return all, nil
}

const (
	retrySQL    = `UPDATE failed_parquet_files SET file_mtime = NULL WHERE file_path = $1`
	retryAllSQL = `UPDATE failed_parquet_files SET file_mtime = NULL`
)

// Retry lets the next pass try the failed file at path again, although it has not changed.
func (x *Index) Retry(ctx context.Context, path string) error {
	count, err := x.update(ctx, retrySQL, path)
	if err != nil {
		return fmt.Errorf("retry %s: %w", path, err)
	}
	if count == 0 {
		return fmt.Errorf("%s %w", path, span.ErrNotFailed)
	}
	return nil
}

// RetryAll is Retry for all failed files. It says how many there are.
func (x *Index) RetryAll(ctx context.Context) (int64, error) {
	count, err := x.update(ctx, retryAllSQL)
	if err != nil {
		return 0, fmt.Errorf("retry all files: %w", err)
	}
	return count, nil
}

func (x *Index) update(ctx context.Context, statement string, args ...any) (int64, error) {
	unlock, err := x.lockWriter(ctx)
	if err != nil {
		return 0, err
	}
	defer unlock()
	return x.execute(ctx, statement, args...)
}

// execute runs a statement that changes the index, and says how many rows it changed.
func (x *Index) execute(ctx context.Context, statement string, args ...any) (int64, error) {
	var count int64
	err := x.patiently(ctx, func(ctx context.Context) error {
		result, err := x.conn.ExecContext(ctx, statement, args...)
		if err != nil {
			return err
		}
		count, err = result.RowsAffected()
		return err
	})
	return count, err
}
