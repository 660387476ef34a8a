package index

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

const (
	// maxTries is how often a file is read without success, while it does not change, until it is in quarantine.
	maxTries = 5
	// firstRetry is after how long it is read for the second time; each later time is twice as long.
	firstRetry = time.Minute
)

// worthRetrying tells whether a file may be readable later although it does not change: the machine, its load or a
// permission may have been the cause.
func (t ErrorType) worthRetrying() bool { return t == Unreadable || t == Internal || t == TooLarge }

const (
	triesSQL = `
SELECT tries FROM failed_parquet_files WHERE file_path = $1 AND file_size = $2 AND epoch_us(file_mtime) = $3`

	recordFailureSQL = `
INSERT INTO failed_parquet_files VALUES ($1, $2, $3, $4, $5, 0, make_timestamp($6::BIGINT), $7, $8)
ON CONFLICT (file_path) DO UPDATE SET error_type = excluded.error_type, error_message = excluded.error_message,
	file_size = excluded.file_size, failed_at = excluded.failed_at, retry_count = retry_count + 1,
	file_mtime = excluded.file_mtime, retry_at = excluded.retry_at, tries = excluded.tries`
)

// recordFailure notes that a file cannot be indexed, and when to try again. A file that has changed, or that somebody
// asked to retry, begins anew.
func (b *batch) recordFailure(ctx context.Context, it *item) error {
	now := b.index.now()
	tries := 0
	err := b.tx.QueryRowContext(ctx, triesSQL, it.file.Path, it.file.Size, it.file.ModTime.UnixMicro()).Scan(&tries)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	tries++
	var retryAt *time.Time
	if it.failure.Type.worthRetrying() && tries < maxTries {
		at := now.Add(firstRetry << (tries - 1))
		retryAt = &at
	}
	_, err = b.tx.ExecContext(ctx, recordFailureSQL, it.file.Path, string(it.failure.Type), it.failure.Err.Error(),
		it.file.Size, now, it.file.ModTime.UnixMicro(), retryAt, tries)
	return err
}
