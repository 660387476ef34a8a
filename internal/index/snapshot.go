package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/spanlake/spanlake/internal/span"
)

const (
	// One answer reads at most so many files that are not indexed yet, the newest first; what is beyond is told as unread. It is about
	// what is written while a transaction of the indexer runs; who catches up with a whole lake has more.
	pendingFiles = 100
	pendingRows  = 500_000
	pendingBytes = 256 << 20
	// keptInspections is how many files' footers are remembered.
	keptInspections = 1000
)

// snapshot is one moment of the index, and the files that it has not at that moment. It belongs to one goroutine.
type snapshot struct {
	index *Index
	conn  *sql.Conn
	tx    *sql.Tx
	// pending are the files that are read beside the index. Their fileIDs are negative, so that they are none of the index.
	pending []*item
	seen    span.Seen
}

// answer calls read with a snapshot. If there was no memory left, or a pending file turns out to be bad, read is called again, and has to begin
// anew, in the latter case with a snapshot that is without the file; such a file is told as unread. read must neither keep the snapshot nor call methods of the index that read.
//
// An error of read that is not DuckDB's ends it at once.
func (x *Index) answer(ctx context.Context, what string, cold span.Cold, read func(context.Context, *snapshot) error) (seen span.Seen, err error) {
	err = x.reading(ctx, func(db *sql.DB) (err error) {
		seen, err = x.answerFrom(ctx, db, x.patiently, cold, read)
		return err
	})
	if err != nil {
		return span.Seen{}, fmt.Errorf("%s: %w", what, explain(ctx, err))
	}
	return seen, nil
}

// patience does something again that found no memory.
type patience func(ctx context.Context, do func(context.Context) error) error

func (x *Index) answerFrom(ctx context.Context, db *sql.DB, patiently patience, cold span.Cold,
	read func(context.Context, *snapshot) error,
) (span.Seen, error) {
	left := int64(0) // files that were given up
	for {
		var s *snapshot
		err := patiently(ctx, func(ctx context.Context) (err error) {
			if s, err = x.snapshot(ctx, db, cold); err != nil {
				return err
			}
			defer s.close()
			return read(ctx, s)
		})
		if err == nil {
			s.seen.Unread += left
			return s.seen, nil
		}
		if s == nil || len(s.pending) == 0 || ctx.Err() != nil || refusing(err) {
			return span.Seen{}, err
		}
		if _, ok := errors.AsType[*duckdb.Error](err); !ok {
			return span.Seen{}, err
		}
		bad := x.badFiles(ctx, db, s.pending)
		if len(bad) == 0 {
			bad = paths(s.pending) // each can be read alone, but together they are too much
		}
		before := len(cold.Pending)
		cold.Pending = slices.DeleteFunc(slices.Clone(cold.Pending), func(f span.File) bool { return slices.Contains(bad, f.Path) })
		left += int64(before - len(cold.Pending))
	}
}

// explain says that it was the context if it was: DuckDB only says that it was interrupted. And DuckDB's advice for more memory is for those who
// can change its settings.
func explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var failure *FileError
	if outOfMemory(err) && !errors.As(err, &failure) {
		return fmt.Errorf("there is not enough memory, raise --memory (SPANLAKE_MEMORY): %w", err)
	}
	return err
}

// snapshot begins a transaction that reads. Files are inspected before it, since an error within would end it.
func (x *Index) snapshot(ctx context.Context, db *sql.DB, cold span.Cold) (*snapshot, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	s := &snapshot{index: x, conn: conn}
	candidates, err := s.candidates(ctx, cold.Pending)
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("inspect files that are not indexed yet: %w", err)
	}
	// Not with a context that ends: database/sql would then close the connection in the middle.
	if s.tx, err = conn.BeginTx(context.WithoutCancel(ctx), nil); err != nil {
		discard(conn)
		return nil, err
	}
	if err = s.findPending(ctx, cold.Pending, candidates); err == nil {
		err = s.findHotFiles(ctx, cold.HotFiles)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// close ends the transaction and gives the connection back, unless it could not be ended, for want of memory: then the next one on this
// connection would be the same, which has failed.
func (s *snapshot) close() {
	if err := s.tx.Rollback(); err != nil {
		discard(s.conn)
		return
	}
	_ = s.conn.Close()
}

// candidates are the files that can be read, within the limits, by path.
func (s *snapshot) candidates(ctx context.Context, files []span.File) (map[string]*item, error) {
	if len(files) == 0 {
		return nil, nil
	}
	known := &s.index.inspections
	items := make([]*item, 0, min(len(files), pendingFiles))
	var fresh []*item
	for _, file := range files[:min(len(files), pendingFiles)] {
		it := &item{file: file}
		items = append(items, it)
		if !known.recall(it) {
			fresh = append(fresh, it)
			continue
		}
		// Looked at all the same: it may be gone, or something else by now.
		if now, err := s.index.stat(it); err != nil {
			it.fail(err)
		} else if !sameFile(it.file, now) {
			it.layout, it.failure = layout{}, nil
			fresh = append(fresh, it)
		}
	}
	in := inspector{index: s.index, conn: func() *sql.Conn { return s.conn }, recover: func(ctx context.Context) error {
		_, err := s.conn.ExecContext(ctx, "SELECT 1")
		return err
	}}
	if len(fresh) > 0 {
		if err := in.inspect(ctx, fresh); err != nil {
			return nil, err
		}
		known.note(fresh)
	}
	return withinLimits(items), nil
}

// withinLimits chooses from the files that can be read, in their order.
func withinLimits(items []*item) map[string]*item {
	chosen := make(map[string]*item, len(items))
	rows, bytes := int64(0), int64(0)
	for _, it := range items {
		if !it.readable() || rows+it.layout.rows > pendingRows || bytes+it.file.Size > pendingBytes {
			continue
		}
		rows, bytes = rows+it.layout.rows, bytes+it.file.Size
		chosen[it.file.Path] = it
	}
	return chosen
}

// stateSQL says of files that somebody took for pending whether the registry has them in any version, in this one, and whether this
// version could not be indexed.
const stateSQL = `
SELECT w.path,
       p.file_path IS NOT NULL,
       coalesce(p.size_bytes = w.size AND epoch_us(p.mtime) = w.mtime, false),
       f.file_path IS NOT NULL
FROM (SELECT unnest($1::VARCHAR[]) AS path, unnest($2::BIGINT[]) AS size, unnest($3::BIGINT[]) AS mtime) w
LEFT JOIN parquet_files p ON p.file_path = w.path
LEFT JOIN failed_parquet_files f ON f.file_path = w.path AND f.file_size = w.size AND epoch_us(f.file_mtime) = w.mtime`

// findPending sorts out which files are read. Of a file that was indexed and has changed since, the index still has the spans: they are
// left in the answer, and the file as it is now is not read until they are replaced. Otherwise spans that stayed would be there twice.
func (s *snapshot) findPending(ctx context.Context, files []span.File, candidates map[string]*item) error {
	if len(files) == 0 {
		return nil
	}
	names, sizes, mtimes := make([]string, len(files)), make([]int64, len(files)), make([]int64, len(files))
	for i, file := range files {
		names[i], sizes[i], mtimes[i] = file.Path, file.Size, file.ModTime.UnixMicro()
		if it := candidates[file.Path]; it != nil {
			sizes[i], mtimes[i] = it.file.Size, it.file.ModTime.UnixMicro() // as it was inspected
		}
	}
	return s.each(ctx, stateSQL, func(scan func(...any) error) error {
		var path string
		var registered, indexed, failed bool
		if err := scan(&path, &registered, &indexed, &failed); err != nil {
			return err
		}
		it := candidates[path]
		switch {
		case indexed, failed: // failed files are counted as such
		case registered || it == nil:
			s.seen.Unread++
		default:
			it.fileID = -int32(len(s.pending) + 1)
			s.pending = append(s.pending, it)
		}
		return nil
	}, names, sizes, mtimes)
}

const registeredSQL = `SELECT file_path FROM parquet_files WHERE file_path IN (SELECT unnest($1::VARCHAR[]))`

func (s *snapshot) findHotFiles(ctx context.Context, files []string) error {
	if len(files) == 0 {
		return nil
	}
	return s.each(ctx, registeredSQL, func(scan func(...any) error) error {
		var path string
		err := scan(&path)
		s.seen.Indexed = append(s.seen.Indexed, path)
		return err
	}, files)
}

// each calls row for each row of a query at the moment of the snapshot.
func (s *snapshot) each(ctx context.Context, query string, row func(scan func(...any) error) error, args ...any) error {
	return eachRowOf(ctx, s.tx, query, row, args...)
}

// source is a SELECT over the rows of the pending files, in the columns of span_metadata and file_row_number, with the values of its
// parameters, which are numbered from first. ok is false if there are no such files. Repeats are among the rows.
func (s *snapshot) source(first int) (rows source, ok bool) {
	if len(s.pending) == 0 {
		return source{}, false
	}
	return s.index.newSourceFrom(s.pending, first), true
}

// path is that of a pending file, relative to the lake.
func (s *snapshot) path(fileID int32) string { return s.pending[-fileID-1].file.Path }

// probeSQL reads all light columns of a file.
const probeSQL = `SELECT count(*), bit_xor(hash(` + spanColumns + `)) FROM (%s)`

// badFiles finds the pending files that cannot be read, and remembers those that will be bad as long as they do not change.
func (x *Index) badFiles(ctx context.Context, db *sql.DB, pending []*item) (bad []string) {
	for _, it := range pending {
		source := x.newSource([]*item{it})
		err := x.patiently(ctx, func(ctx context.Context) error {
			var rows, hash any
			return db.QueryRowContext(ctx, fmt.Sprintf(probeSQL, source.sql), source.args...).Scan(&rows, &hash)
		})
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return bad
		}
		bad = append(bad, it.file.Path)
		if outOfMemory(err) || refusing(err) {
			continue
		}
		if now, statErr := x.stat(it); statErr == nil && sameFile(it.file, now) {
			it.fail(err)
			x.inspections.note([]*item{it})
			x.log.Debug("cannot read a file that is not indexed yet", "file", it.file.Path, "error", err)
		}
	}
	return bad
}

// inspections remembers what was found in files that are not indexed yet: many answers ask for the same ones.
type inspections struct {
	mu    sync.Mutex
	known map[fileVersion]inspection
}

// fileVersion is a file as it was at one time.
type fileVersion struct {
	path        string
	size, mtime int64
}

type inspection struct {
	layout  layout
	failure *FileError
}

func versionOf(f span.File) fileVersion { return fileVersion{f.Path, f.Size, f.ModTime.UnixMicro()} }

// recall fills in what is known of the file.
func (n *inspections) recall(it *item) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	found, ok := n.known[versionOf(it.file)]
	it.layout, it.failure = found.layout, found.failure
	return ok
}

func (n *inspections) note(items []*item) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known == nil || len(n.known) > keptInspections {
		n.known = make(map[fileVersion]inspection)
	}
	for _, it := range items {
		if !it.vanished {
			n.known[versionOf(it.file)] = inspection{it.layout, it.failure}
		}
	}
}
