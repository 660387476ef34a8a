package index

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strings"
	"time"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/spanlake/spanlake/internal/span"
)

// SyncOptions say how a pass treats what it finds.
type SyncOptions struct {
	// KeepMissing leaves the rows of files that are gone from the lake in the index.
	KeepMissing bool
	// Progress is called after each transaction, and once before the first. It may be nil.
	Progress func(Progress)
}

// Progress is how far a pass is.
type Progress struct {
	FilesDone, FilesTotal int64
	BytesDone, BytesTotal int64
	SpansIndexed          int64
}

// Summary is what a pass found and did.
type Summary struct {
	// FilesFound are the files in the lake: the sum of indexed, unchanged, failed and those that vanished meanwhile.
	FilesFound, FilesUnchanged int64
	// LakeAbsent: the lake folder does not exist, which is no failure: nothing may have been written yet.
	LakeAbsent bool
	// FilesWaiting are the files among FilesFailed that failed earlier and were not tried again, since they have not changed.
	FilesWaiting int64
	BatchResult
	// LongestSort is the longest pause for sorting the trace lookup.
	LongestSort time.Duration
	Elapsed     time.Duration
}

// Sync makes the index equal to the lake as listing shows it: new and changed files are indexed, files that are gone
// are removed. After an error, or when ctx ends, what was committed stays, and the next pass goes on from there.
func (x *Index) Sync(ctx context.Context, listing iter.Seq2[span.File, error], o SyncOptions) (Summary, error) {
	start := time.Now()
	p := pass{index: x, options: o}
	err := errRevived
	for errors.Is(err, errRevived) {
		err = p.run(ctx, listing) // ends: each time another file has been recorded as failed
	}
	p.summary.FilesFailed += int(p.summary.FilesWaiting)
	p.summary.Elapsed = time.Since(start)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx) // DuckDB only says that it was interrupted
	}
	if err != nil {
		return p.summary, fmt.Errorf("index lake: %w", err)
	}
	return p.summary, nil
}

type pass struct {
	index   *Index
	options SyncOptions
	summary Summary
	// unread are the places of the lake that could not be listed.
	unread   []string
	progress Progress
	// revived is what the index counted when the listing was made.
	revived int
}

// errRevived says that a pass has to begin anew, since the database was opened again and has lost the listing.
var errRevived = errors.New("the index was opened again")

func (p *pass) run(ctx context.Context, listing iter.Seq2[span.File, error]) error {
	p.revived, p.unread, p.summary.FilesFound, p.progress = p.index.revived, nil, 0, Progress{}
	if err := p.list(ctx, listing); err != nil {
		return err
	}
	if !p.options.KeepMissing {
		if err := p.removeGone(ctx); err != nil {
			return err
		}
	}
	return p.indexPending(ctx)
}

// list reads the listing of the lake into lake_scan.
func (p *pass) list(ctx context.Context, listing iter.Seq2[span.File, error]) error {
	x := p.index
	if _, err := x.conn.ExecContext(ctx, `DELETE FROM lake_scan`); err != nil {
		return fmt.Errorf("list files: %w", err)
	}
	return x.conn.Raw(func(conn any) error {
		appender, err := duckdb.NewAppender(conn.(driver.Conn), "temp", "main", "lake_scan")
		if err != nil {
			return fmt.Errorf("list files: %w", err)
		}
		for file, err := range listing {
			var unread *span.ScanError
			switch {
			case err == nil:
				p.summary.FilesFound++
				err = appender.AppendRow(file.Path, file.Size, file.ModTime.UnixMicro())
			case errors.As(err, &unread):
				err = p.noteUnread(ctx, unread)
			}
			if err != nil {
				return errors.Join(fmt.Errorf("list files: %w", err), appender.Close())
			}
		}
		if err := appender.Close(); err != nil {
			return fmt.Errorf("list files: %w", err)
		}
		return nil
	})
}

// noteUnread goes on without a place of the lake, unless that is all of it.
func (p *pass) noteUnread(ctx context.Context, err *span.ScanError) error {
	p.unread = append(p.unread, err.Path)
	switch {
	case err.Path == "." && errors.Is(err, fs.ErrNotExist):
		p.summary.LakeAbsent = true
		return p.warnAbsent(ctx)
	case err.Path == ".":
		return fmt.Errorf("the lake cannot be read: %w", err.Err)
	}
	p.index.log.Warn("cannot read a place of the lake, going on with the rest", "path", err.Path, "error", err.Err)
	return nil
}

const countFilesSQL = `SELECT count(*) FROM parquet_files`

// warnAbsent tells of a lake folder that should be there.
func (p *pass) warnAbsent(ctx context.Context) error {
	var files int64
	// Not on the pinned connection, which is taken while the listing is read.
	if err := p.index.db.QueryRowContext(ctx, countFilesSQL).Scan(&files); err != nil {
		return err
	}
	if files > 0 {
		p.index.log.Warn("the lake folder does not exist, the index keeps what it has: is it mounted?", "lake", p.index.lake, "files", files)
	}
	return nil
}

// known tells whether the listing says what became of path: below a place that could not be read it does not.
func (p *pass) known(path string) bool {
	for _, place := range p.unread {
		if place == "." || path == place || strings.HasPrefix(path, place+"/") {
			return false
		}
	}
	return true
}

const (
	gonePathsSQL = `
SELECT file_path FROM parquet_files WHERE file_path NOT IN (SELECT path FROM lake_scan)
UNION
SELECT file_path FROM failed_parquet_files WHERE file_path NOT IN (SELECT path FROM lake_scan)
ORDER BY ALL`
)

// removeGone takes the files out of the index that are gone from the lake.
func (p *pass) removeGone(ctx context.Context) error {
	gone, err := p.index.queryStrings(ctx, gonePathsSQL)
	if err != nil {
		return fmt.Errorf("find removed files: %w", err)
	}
	var items []*item
	for _, path := range gone {
		if p.known(path) {
			items = append(items, &item{file: span.File{Path: path}, gone: true})
		}
	}
	for len(items) > 0 {
		n := min(p.index.opts.BatchSize, len(items))
		if err := p.runBatch(ctx, items[:n]); err != nil {
			return err
		}
		items = items[n:]
	}
	return nil
}

const (
	clearPendingSQL = `DELETE FROM lake_pending`

	// dueSQL keeps the files s that are not in the index as they are now. One that failed and has not changed since waits.
	dueSQL = `
LEFT JOIN parquet_files p ON p.file_path = s.path
LEFT JOIN failed_parquet_files f ON f.file_path = s.path
WHERE (p.file_path IS NULL OR p.size_bytes <> s.size OR epoch_us(p.mtime) IS DISTINCT FROM s.mtime)
  AND (f.file_path IS NULL OR f.file_size <> s.size OR epoch_us(f.file_mtime) IS DISTINCT FROM s.mtime)`

	fillPendingSQL = `
INSERT INTO lake_pending
SELECT row_number() OVER (ORDER BY s.path), s.path, s.size, s.mtime
FROM lake_scan s` + dueSQL + `
ORDER BY s.path`

	countPendingSQL = `SELECT count(*), CAST(coalesce(sum(size), 0) AS BIGINT) FROM lake_pending`

	waitingSQL = `
SELECT count(*)
FROM lake_scan s
JOIN failed_parquet_files f ON f.file_path = s.path
WHERE f.file_size = s.size AND epoch_us(f.file_mtime) = s.mtime`

	// A file may have been done before its turn: see withAgain.
	nextPendingSQL = `SELECT s.path, s.size, s.mtime FROM lake_pending s` + dueSQL + ` AND s.seq BETWEEN $1 AND $2 ORDER BY s.seq`
)

// indexPending indexes what is new or has changed.
func (p *pass) indexPending(ctx context.Context) error {
	x := p.index
	for _, statement := range []string{clearPendingSQL, fillPendingSQL} {
		if _, err := x.conn.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("find new files: %w", err)
		}
	}
	if err := x.conn.QueryRowContext(ctx, countPendingSQL).Scan(&p.progress.FilesTotal, &p.progress.BytesTotal); err != nil {
		return fmt.Errorf("find new files: %w", err)
	}
	if err := x.conn.QueryRowContext(ctx, waitingSQL).Scan(&p.summary.FilesWaiting); err != nil {
		return fmt.Errorf("find new files: %w", err)
	}
	// What this pass has done so far was done for files that stood in the way of removing others.
	p.summary.FilesWaiting -= int64(p.summary.FilesFailed)
	p.summary.FilesUnchanged = p.summary.FilesFound - p.progress.FilesTotal - p.summary.FilesWaiting -
		int64(p.summary.FilesIndexed+p.summary.FilesFailed)
	p.report()
	size := int64(x.opts.BatchSize)
	for first := int64(1); first <= p.progress.FilesTotal; first += size {
		items, err := p.nextPending(ctx, first, first+size-1)
		if err != nil {
			return err
		}
		if err := p.runBatch(ctx, items); err != nil {
			return err
		}
		for _, it := range items {
			p.progress.BytesDone += it.file.Size
		}
		p.progress.FilesDone = min(first+size-1, p.progress.FilesTotal)
		p.progress.SpansIndexed = p.summary.SpansIndexed
		p.report()
	}
	return nil
}

func (p *pass) report() {
	if p.options.Progress != nil {
		p.options.Progress(p.progress)
	}
}

func (p *pass) nextPending(ctx context.Context, first, last int64) ([]*item, error) {
	rows, err := p.index.conn.QueryContext(ctx, nextPendingSQL, first, last)
	if err != nil {
		return nil, fmt.Errorf("find new files: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var items []*item
	for rows.Next() {
		var it item
		var mtime int64
		if err := rows.Scan(&it.file.Path, &it.file.Size, &mtime); err != nil {
			return nil, fmt.Errorf("find new files: %w", err)
		}
		it.file.ModTime = time.UnixMicro(mtime)
		items = append(items, &it)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("find new files: %w", err)
	}
	return items, nil
}

// runBatch takes items in, and keeps the trace lookup sorted and the daily statistics merged.
func (p *pass) runBatch(ctx context.Context, items []*item) error {
	if len(items) == 0 {
		return nil
	}
	result, err := p.index.runBatch(ctx, items)
	p.summary.add(result)
	if err != nil {
		return err
	}
	took, err := p.index.sortLookup(ctx)
	p.summary.LongestSort = max(p.summary.LongestSort, took)
	if err == nil {
		err = p.index.mergeDaily(ctx)
	}
	if err == nil && p.revived != p.index.revived {
		return errRevived
	}
	return err
}

// queryStrings reads a column of text.
func (x *Index) queryStrings(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := x.conn.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var values []string
	for rows.Next() {
		var value string
		if err := rows.Scan(&value); err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, rows.Err()
}
