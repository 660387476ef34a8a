package index

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// listedPending is how many of the newest files that are not indexed yet are told.
const listedPending = 200

// Pending lists the newest files that Look has noted and that are to be indexed or still being written, and says how many there are in
// all. A file stays in the list until a transaction with it has been committed, so one may be indexed already. It waits for nobody.
func (x *Index) Pending() (newest []span.File, total int64) {
	x.backlog.mu.Lock()
	defer x.backlog.mu.Unlock()
	return x.backlog.listed, x.backlog.listedTotal
}

const newestPendingSQL = `
SELECT path, size, mtime FROM lake_pending WHERE NOT gone ORDER BY mtime DESC, path LIMIT $1`

// publish brings what Pending tells up to what is to be done now, when no transaction is under way.
func (x *Index) publish(ctx context.Context) error {
	files := make(map[string]span.File)
	for _, p := range x.backlog.queue {
		if !p.gone {
			files[p.file.Path] = p.file
		}
	}
	// The queue has newer files than the table.
	if len(files) < listedPending && x.backlog.rest > 0 {
		err := x.eachRow(ctx, newestPendingSQL, func(scan func(...any) error) error {
			file, err := scanFile(scan)
			files[file.Path] = file
			return err
		}, listedPending)
		if err != nil {
			return fmt.Errorf("list the backlog: %w", err)
		}
	}
	waiting := int64(0)
	for path, seen := range x.backlog.unfinished {
		if _, ok := files[path]; !ok {
			files[path] = seen.file
			waiting++
		}
	}
	newest := newestFiles(slices.Collect(maps.Values(files)))
	x.backlog.mu.Lock()
	defer x.backlog.mu.Unlock()
	// Of files that are still being written and due, and beyond the newest, nobody knows here that they are counted twice.
	x.backlog.listed, x.backlog.listedTotal = newest, max(x.backlog.size.Files+waiting, int64(len(newest)))
	return nil
}

// newestFiles cuts a list to the newest files.
func newestFiles(files []span.File) []span.File {
	slices.SortFunc(files, func(a, b span.File) int {
		return cmp.Or(b.ModTime.Compare(a.ModTime), strings.Compare(a.Path, b.Path))
	})
	return slices.Clip(slices.Clone(files[:min(len(files), listedPending)]))
}

// missingSQL are files that are neither indexed nor have failed nor are let go by retention, as they are.
const missingSQL = `
SELECT s.path, s.size, s.mtime
FROM (SELECT unnest($1::VARCHAR[]) AS path, unnest($2::BIGINT[]) AS size, unnest($3::BIGINT[]) AS mtime) s
LEFT JOIN parquet_files p ON p.file_path = s.path
LEFT JOIN failed_parquet_files f ON f.file_path = s.path
LEFT JOIN retired_files r ON r.file_path = s.path AND r.size_bytes = s.size AND r.mtime = s.mtime
WHERE (p.file_path IS NULL OR p.size_bytes <> s.size OR epoch_us(p.mtime) IS DISTINCT FROM s.mtime)
  AND (f.file_path IS NULL OR f.file_size <> s.size OR epoch_us(f.file_mtime) IS DISTINCT FROM s.mtime)
  AND r.file_path IS NULL`

// filesAtOnce is how many files of a listing are compared with the registry by one query.
const filesAtOnce = 10_000

// Unindexed compares a listing of the lake with the registry, without writing: the newest files that are not indexed as they are, and how
// many there are in all. Files that failed and have not changed are not among them.
func (x *Index) Unindexed(ctx context.Context, listing span.Listing) (newest []span.File, total int64, err error) {
	var some []span.File
	compare := func() error {
		names, sizes, mtimes := make([]string, len(some)), make([]int64, len(some)), make([]int64, len(some))
		for i, file := range some {
			names[i], sizes[i], mtimes[i] = file.Path, file.Size, file.ModTime.UnixMicro()
		}
		some = some[:0]
		missing, err := list(ctx, x, "files that are not indexed", missingSQL, func(rows *sql.Rows, file *span.File) (err error) {
			*file, err = scanFile(rows.Scan)
			return err
		}, names, sizes, mtimes)
		newest, total = newestFiles(append(newest, missing...)), total+int64(len(missing))
		return err
	}
	for file, err := range listing.Files {
		var unread *span.ScanError
		switch {
		case errors.As(err, &unread) && (unread.Path != "." || errors.Is(err, fs.ErrNotExist)):
			continue // the rest is there all the same; a lake that is not there yet has no files
		case err != nil:
			return nil, 0, fmt.Errorf("list files: %w", err)
		}
		if some = append(some, file); len(some) < filesAtOnce {
			continue
		}
		if err := compare(); err != nil {
			return nil, 0, err
		}
	}
	err = compare()
	return newest, total, err
}

// scanFile reads a path, a size and a modification time in microseconds.
func scanFile(scan func(...any) error) (span.File, error) {
	var file span.File
	var mtime int64
	err := scan(&file.Path, &file.Size, &mtime)
	file.ModTime = time.UnixMicro(mtime)
	return file, err
}
