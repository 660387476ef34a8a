package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Service is a row of the catalogue of services.
type Service struct {
	Name string
	// FirstSeen and LastSeen are start times of spans.
	FirstSeen, LastSeen time.Time
	TotalSpans          int64
}

const servicesSQL = `SELECT service_name, first_seen, last_seen, total_spans FROM services ORDER BY service_name`

// Services lists all services by name.
func (x *Index) Services(ctx context.Context) ([]Service, error) {
	return list(ctx, x, "services", servicesSQL, func(rows *sql.Rows, s *Service) error {
		return rows.Scan(&s.Name, &s.FirstSeen, &s.LastSeen, &s.TotalSpans)
	})
}

// IndexedFile is a row of the registry.
type IndexedFile struct {
	ID   int32
	Path string
	// ServiceName is the service with most spans in the file, "" if it has none.
	ServiceName string
	// MinTime and MaxTime are start times of the spans that the index has of the file, nil if it has none.
	MinTime, MaxTime *time.Time
	RowCount         int64
	SizeBytes        int64
	IndexedAt        time.Time
	DuplicateCount   int64
	SkippedCount     int64
}

const filesSQL = `
SELECT file_id, file_path, coalesce(service_name, ''), min_time, max_time, row_count, size_bytes, indexed_at,
       duplicate_count, skipped_count
FROM parquet_files
ORDER BY indexed_at DESC, file_id DESC
LIMIT $1`

// Files lists indexed files, the ones indexed last first, at most limit of them.
func (x *Index) Files(ctx context.Context, limit int) ([]IndexedFile, error) {
	return list(ctx, x, "files", filesSQL, func(rows *sql.Rows, f *IndexedFile) error {
		return rows.Scan(&f.ID, &f.Path, &f.ServiceName, &f.MinTime, &f.MaxTime, &f.RowCount, &f.SizeBytes, &f.IndexedAt,
			&f.DuplicateCount, &f.SkippedCount)
	}, limit)
}

// FailedFile is a file that could not be indexed.
type FailedFile struct {
	Path       string
	Type       ErrorType
	Message    string
	Size       int64
	FailedAt   time.Time
	RetryCount int
	// Due: the next pass tries it again even if it has not changed.
	Due bool
}

const failedSQL = `
SELECT file_path, error_type, error_message, file_size, failed_at, retry_count, file_mtime IS NULL
FROM failed_parquet_files
ORDER BY file_path`

// Failed lists the files that could not be indexed.
func (x *Index) Failed(ctx context.Context) ([]FailedFile, error) {
	return list(ctx, x, "failed files", failedSQL, func(rows *sql.Rows, f *FailedFile) error {
		return rows.Scan(&f.Path, &f.Type, &f.Message, &f.Size, &f.FailedAt, &f.RetryCount, &f.Due)
	})
}

// list reads all rows of a query.
func list[T any](ctx context.Context, x *Index, what, query string, scan func(*sql.Rows, *T) error, args ...any) ([]T, error) {
	rows, err := x.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", what, err)
	}
	defer func() { _ = rows.Close() }()
	var all []T
	for rows.Next() {
		var one T
		if err := scan(rows, &one); err != nil {
			return nil, fmt.Errorf("list %s: %w", what, err)
		}
		all = append(all, one)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list %s: %w", what, err)
	}
	return all, nil
}

// ErrNotFailed says that a file is not among the failed ones.
var ErrNotFailed = errors.New("is not among the failed files: see `spanlake failed`")

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
		return fmt.Errorf("%s %w", path, ErrNotFailed)
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
	result, err := x.conn.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}
