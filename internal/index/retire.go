package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// expiredSQL lists the files that a policy lets go, the oldest first. A file's day is the one of its partition, which its
// writer's clock has set, and not the times of its spans, which clients' clocks have: a client whose clock stands in 1970
// must not lose what it sends, nor one in 2262 keep it for ever. Parameter 1 is the time now, 2 the days (0: for ever), 3
// the bytes (0: no bound).
const expiredSQL = `
WITH listed AS (
    SELECT file_path, size_bytes, row_count, coalesce(mtime, indexed_at) AS mtime FROM parquet_files
    UNION ALL
    SELECT file_path, file_size, 0, coalesce(file_mtime, failed_at) FROM failed_parquet_files
    WHERE file_path NOT IN (SELECT file_path FROM parquet_files)
), dated AS (
    SELECT *, coalesce(TRY_CAST(regexp_replace(regexp_extract(file_path, '(^|/)year=\d{4}/month=\d{2}/day=\d{2}/'),
                                               '^.*year=(\d+)/month=(\d+)/day=(\d+)/$', '\1-\2-\3') AS DATE),
                       CAST(mtime AT TIME ZONE 'UTC' AS DATE)) AS day
    FROM listed
), ordered AS (
    SELECT *, sum(size_bytes) OVER (ORDER BY day DESC, mtime DESC, file_path DESC) AS kept_bytes FROM dated
)
SELECT file_path, CAST(day AS TIMESTAMP), size_bytes, row_count, epoch_us(mtime)
FROM ordered
WHERE ($2 > 0 AND day + 1 + CAST($2 AS INTEGER) <= CAST($1 AS TIMESTAMPTZ) AT TIME ZONE 'UTC')
   OR ($3 > 0 AND kept_bytes > $3)
ORDER BY day, mtime, file_path`

// Expired lists the files of the index that a policy lets go, the oldest first.
func (x *Index) Expired(ctx context.Context, policy span.RetentionPolicy) ([]span.RetiredFile, error) {
	var expired []expiredFile
	err := x.reading(ctx, func(db *sql.DB) (err error) {
		expired, err = x.expired(ctx, db, policy)
		return err
	})
	files := make([]span.RetiredFile, len(expired))
	for i, f := range expired {
		files[i] = f.RetiredFile
	}
	return files, err
}

// expiredFile is a file that a policy lets go, with its modification time as the index has it.
type expiredFile struct {
	span.RetiredFile
	mtime int64
}

func (x *Index) expired(ctx context.Context, db *sql.DB, policy span.RetentionPolicy) (files []expiredFile, err error) {
	if policy == (span.RetentionPolicy{}) {
		return nil, nil
	}
	err = x.patiently(ctx, func(ctx context.Context) (err error) {
		files, err = listOf(ctx, db, expiredSQL, func(rows *sql.Rows, f *expiredFile) error {
			err := rows.Scan(&f.Path, &f.Day, &f.SizeBytes, &f.RowCount, &f.mtime)
			f.Day = f.Day.UTC()
			return err
		}, x.now(), policy.Days, policy.Bytes)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list expired files: %w", err)
	}
	return files, nil
}

// Retired is what Retire did.
type Retired struct {
	Files, Bytes int64
	// More: there is more to do.
	More bool
}

// Retire takes the oldest files that a policy lets go out of the index, at most one transaction of them, and deletes them
// with remove, which says nil for a file that is not there or has changed.
//
// The rows go first and the same transaction notes the files, so that at no moment, whatever dies, rows are without their
// file; what is noted is deleted by the next call.
func (x *Index) Retire(ctx context.Context, policy span.RetentionPolicy, remove func(span.File) error) (Retired, error) {
	unlock, err := x.lockWriter(ctx)
	if err != nil {
		return Retired{}, err
	}
	defer unlock()
	done, err := x.deleteRetired(ctx, remove) // left by a process that died
	if err != nil {
		return done, err
	}
	items, more, err := x.nextExpired(ctx, policy)
	if err != nil || len(items) == 0 {
		return done, err
	}
	if _, err := x.runBatch(ctx, items); err != nil {
		return done, fmt.Errorf("retire files: %w", err)
	}
	// They may have been waiting to be tried again.
	x.backlog.done = append(x.backlog.done, paths(items)...)
	if err := x.patiently(ctx, x.dropDone); err != nil {
		return done, err
	}
	deleted, err := x.deleteRetired(ctx, remove)
	return Retired{Files: done.Files + deleted.Files, Bytes: done.Bytes + deleted.Bytes, More: more}, err
}

// retireSettle is WorkOptions.Settle for files that are read again since they repeat spans of a retired one.
const retireSettle = time.Minute

// nextExpired are the files of the next transaction of Retire, and whether there are more. One that has changed since it
// was indexed stays: it may be young, and the next look will see it.
func (x *Index) nextExpired(ctx context.Context, policy span.RetentionPolicy) (items []*item, more bool, err error) {
	expired, err := x.expired(ctx, x.db, policy)
	if err != nil {
		return nil, false, err
	}
	for _, known := range expired {
		if len(items) == x.opts.BatchSize {
			return items, true, nil
		}
		it := &item{file: span.File{Path: known.Path}, gone: true, retire: true, settle: retireSettle}
		it.file, err = x.stat(it)
		switch {
		case missing(err):
			it.retire = false // it is gone already
		case err != nil:
			x.log.Warn("cannot look at a file that is to be retired, going on with the others", "file", known.Path, "error", err)
			continue
		case it.file.Size != known.SizeBytes || it.file.ModTime.UnixMicro() != known.mtime:
			continue
		}
		items = append(items, it)
	}
	return items, false, nil
}

const recordRetiredSQL = `INSERT OR REPLACE INTO retired_files VALUES ($1, $2, $3)`

// recordRetired notes a file that is to be deleted.
func (b *batch) recordRetired(ctx context.Context, it *item) error {
	if _, err := b.tx.ExecContext(ctx, recordRetiredSQL, it.file.Path, it.file.Size, it.file.ModTime.UnixMicro()); err != nil {
		return fmt.Errorf("note %s as retired: %w", it.file.Path, err)
	}
	return nil
}

const (
	retiredSQL       = `SELECT file_path, size_bytes, mtime FROM retired_files ORDER BY file_path`
	forgetRetiredSQL = `DELETE FROM retired_files WHERE file_path IN (SELECT unnest($1::VARCHAR[]))`
)

// deleteRetired deletes the noted files. One that cannot be deleted stays noted, and the others go.
func (x *Index) deleteRetired(ctx context.Context, remove func(span.File) error) (Retired, error) {
	var files []span.File
	err := x.patiently(ctx, func(ctx context.Context) error {
		files = nil
		return x.eachRow(ctx, retiredSQL, func(scan func(...any) error) error {
			file, err := scanFile(scan)
			files = append(files, file)
			return err
		})
	})
	if err != nil {
		return Retired{}, fmt.Errorf("find retired files: %w", err)
	}
	var done Retired
	var deleted []string
	var failed error
	for _, file := range files {
		if err := remove(file); err != nil {
			failed = errors.Join(failed, fmt.Errorf("delete %s: %w", file.Path, err))
			continue
		}
		deleted = append(deleted, file.Path)
		done.Files++
		done.Bytes += file.Size
	}
	if len(deleted) == 0 {
		return done, failed
	}
	if _, err := x.execute(ctx, forgetRetiredSQL, deleted); err != nil {
		return done, errors.Join(failed, fmt.Errorf("forget retired files: %w", err))
	}
	return done, failed
}
