package index

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/spanlake/spanlake/internal/span"
)

// LookOptions say what a look at the lake makes of files that are gone.
type LookOptions struct {
	// KeepMissing leaves the rows of files that are gone from the lake in the index.
	KeepMissing bool
	// AcceptMissing removes them even if they are more than half of all.
	AcceptMissing bool
}

// Found is what a look at the lake found.
type Found struct {
	// Files are those that the listing yielded.
	Files int64
	// Waiting are the ones among them that failed earlier, have not changed and are not due yet.
	Waiting int64
	// Unfinished are the ones among them that are still being written and not due yet.
	Unfinished int64
	// Gone are the indexed and failed files that are not in the lake any more and will be removed.
	Gone int64
	// Withheld are the indexed files that are gone, but stay in the index since they are more than half of all.
	Withheld int64
	// Absent: the lake folder does not exist.
	Absent bool
	// Unread are the places of the lake that could not be read.
	Unread []*span.ScanError
}

// Look takes a listing in: it notes what has to be indexed and what is gone, for Work to do. What an earlier look noted
// of the same places is forgotten.
func (x *Index) Look(ctx context.Context, listing span.Listing, o LookOptions) (Found, error) {
	unlock, err := x.lockWriter(ctx)
	if err != nil {
		return Found{}, err
	}
	defer unlock()
	return x.look(ctx, listing, o)
}

// uncancelled is for statements that are short anyway: one that is cancelled at the wrong moment leaves a reference to the
// database behind (duckdb-go 2.10506, seen in half of the restarts of a backend within a process), which then cannot be
// opened again. A listing ends with its own context.
func uncancelled(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }

// look is one look at the lake.
type look struct {
	index   *Index
	whole   bool
	options LookOptions
	found   Found
	// unfinished are the files among those that are still being written that are there.
	unfinished map[string]bool
}

func (x *Index) look(ctx context.Context, listing span.Listing, o LookOptions) (Found, error) {
	l := look{index: x, whole: listing.Whole, options: o, unfinished: make(map[string]bool)}
	if err := x.patiently(uncancelled(ctx), x.freeTemp); err != nil {
		return Found{}, err
	}
	if err := x.returnQueue(uncancelled(ctx)); err != nil {
		return Found{}, err
	}
	if err := errors.Join(l.list(uncancelled(ctx), listing), ctx.Err()); err != nil {
		return l.found, fmt.Errorf("list files: %w", err)
	}
	if err := l.noteAtOnce(uncancelled(ctx)); err != nil {
		return l.found, fmt.Errorf("find new files: %w", err)
	}
	return l.found, x.patiently(uncancelled(ctx), x.publish)
}

// noteAtOnce notes all of what was listed or, after an error, nothing: what was noted before is still to be done then.
func (l *look) noteAtOnce(ctx context.Context) error {
	x := l.index
	var size Backlog
	listed := l.found
	err := x.inTransaction(ctx, func(ctx context.Context, _ *sql.Tx) error {
		l.found = listed // it may be called again
		// The statements take the way past the transaction, on its connection.
		if err := l.note(ctx); err != nil {
			return err
		}
		var err error
		size, err = x.measure(ctx)
		return err
	})
	if err != nil {
		return err
	}
	x.setBacklog(size)
	if l.whole {
		x.backlog.lost = false
	}
	x.backlog.done = nil
	return nil
}

// list reads the listing into lake_scan and lake_scope.
func (l *look) list(ctx context.Context, listing span.Listing) error {
	err := l.index.patiently(ctx, func(ctx context.Context) error {
		_, err := l.index.conn.ExecContext(ctx, `DELETE FROM lake_scan; DELETE FROM lake_scope`)
		return err
	})
	if err != nil {
		return err
	}
	err = l.index.appendRows(ctx, "lake_scan", func(add func(...driver.Value) error) error {
		for file, err := range listing.Files {
			var unread *span.ScanError
			switch {
			case err == nil:
				l.found.Files++
				if l.index.backlog.unfinished[file.Path] != nil {
					l.unfinished[file.Path] = true
				}
				err = add(file.Path, file.Size, file.ModTime.UnixMicro())
			case errors.As(err, &unread):
				err = l.noteUnread(unread)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	var scope []string
	if !l.whole {
		scope = slices.Clone(listing.Scope())
	}
	for i, place := range scope {
		if place == "." {
			scope[i] = "" // the folder of files directly in the root
		}
	}
	l.forgetUnfinished(scope)
	return l.index.appendRows(ctx, "lake_scope", func(add func(...driver.Value) error) error {
		for _, place := range scope {
			if err := add(place); err != nil {
				return err
			}
		}
		return nil
	})
}

// noteUnread goes on without a place of the lake, unless that is all of it.
func (l *look) noteUnread(err *span.ScanError) error {
	l.found.Unread = append(l.found.Unread, err)
	if err.Path != "." {
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the lake cannot be read: %w", err.Err)
	}
	l.found.Absent = true
	return nil
}

// appendRows fills a temporary table of the connection that writes.
func (x *Index) appendRows(ctx context.Context, table string, fill func(add func(...driver.Value) error) error) error {
	return x.appendTo(ctx, x.conn, table, fill)
}

// appendedAtOnce is how many rows are appended at once. DuckDB writes them together when the appender is closed, all or none, since it would
// write a part only from 2,048 on.
const appendedAtOnce = 1000

// appendTo fills a temporary table of a connection.
func (x *Index) appendTo(ctx context.Context, conn *sql.Conn, table string, fill func(add func(...driver.Value) error) error) error {
	var rows [][]driver.Value
	flush := func() error {
		err := x.patiently(ctx, func(context.Context) error { return appendAtOnce(conn, table, rows) })
		rows = rows[:0]
		return err
	}
	err := fill(func(row ...driver.Value) error {
		if rows = append(rows, row); len(rows) < appendedAtOnce {
			return nil
		}
		return flush()
	})
	if err != nil || len(rows) == 0 {
		return err
	}
	return flush()
}

func appendAtOnce(conn *sql.Conn, table string, rows [][]driver.Value) error {
	return conn.Raw(func(conn any) error {
		appender, err := duckdb.NewAppender(conn.(driver.Conn), "temp", "main", table)
		if err != nil {
			return &appendError{err}
		}
		for _, row := range rows {
			if err := appender.AppendRow(row...); err != nil {
				return &appendError{errors.Join(err, appender.Close())}
			}
		}
		if err := appender.Close(); err != nil {
			return &appendError{err}
		}
		return nil
	})
}

// known tells whether the listing says what became of path: below a place that could not be read it does not. That the
// lake folder does not exist is believed if somebody confirms it.
func (l *look) known(path string) bool {
	for _, unread := range l.found.Unread {
		place := unread.Path
		if place == "." && l.found.Absent && l.options.AcceptMissing {
			continue
		}
		if place == "." || path == place || strings.HasPrefix(path, place+"/") {
			return false
		}
	}
	return true
}

const (
	// inScope are the paths that a listing of parts of the lake says something about.
	inScope = `(path IN (SELECT place FROM lake_scope) OR parse_dirpath(path, 'forward_slash') IN (SELECT place FROM lake_scope))`

	forgetAllSQL  = `DELETE FROM lake_pending`
	forgetSeenSQL = `DELETE FROM lake_pending WHERE path IN (SELECT path FROM lake_scan) OR ` + inScope

	// dueSQL keeps the files s that are not in the index as they are now. One that failed and has not changed since waits
	// until it is due; one that retention lets go is as good as gone.
	dueSQL = `
LEFT JOIN parquet_files p ON p.file_path = s.path
LEFT JOIN failed_parquet_files f ON f.file_path = s.path
LEFT JOIN retired_files r ON r.file_path = s.path AND r.size_bytes = s.size AND r.mtime = s.mtime
WHERE (p.file_path IS NULL OR p.size_bytes <> s.size OR epoch_us(p.mtime) IS DISTINCT FROM s.mtime)
  AND (f.file_path IS NULL OR f.file_size <> s.size OR epoch_us(f.file_mtime) IS DISTINCT FROM s.mtime OR f.retry_at <= $1)
  AND r.file_path IS NULL`

	fillPendingSQL = `
INSERT INTO lake_pending
SELECT s.path, max(s.size), max(s.mtime), false
FROM lake_scan s` + dueSQL + `
GROUP BY s.path` // a file that is renamed while its folder is read may be listed twice

	waitingSQL = `
SELECT count(*)
FROM lake_scan s
JOIN failed_parquet_files f ON f.file_path = s.path
WHERE f.file_size = s.size AND epoch_us(f.file_mtime) = s.mtime AND (f.retry_at IS NULL OR f.retry_at > $1)`
)

// note brings lake_pending up to what was listed.
func (l *look) note(ctx context.Context) error {
	conn, now := l.index.conn, l.index.now()
	forget := forgetSeenSQL
	if l.whole {
		forget = forgetAllSQL
	}
	if _, err := conn.ExecContext(ctx, dropPendingSQL, l.index.backlog.done); err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, forget); err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, fillPendingSQL, now); err != nil {
		return err
	}
	if err := conn.QueryRowContext(ctx, waitingSQL, now).Scan(&l.found.Waiting); err != nil {
		return err
	}
	if err := l.forgetFinished(ctx); err != nil {
		return err
	}
	if err := l.skipUnfinished(ctx, now); err != nil {
		return err
	}
	if l.options.KeepMissing {
		return nil
	}
	return l.noteGone(ctx)
}

const (
	listedSQL = `SELECT path, registered
FROM (SELECT file_path AS path, true AS registered FROM parquet_files
      UNION ALL
      SELECT file_path, false FROM failed_parquet_files WHERE file_path NOT IN (SELECT file_path FROM parquet_files))
WHERE path NOT IN (SELECT path FROM lake_scan)`

	gonePartSQL   = listedSQL + ` AND ` + inScope
	countFilesSQL = `SELECT count(*) FROM parquet_files`
)

// noteGone notes the files of the index that are gone from the lake. When they are more than half of all, the lake is
// more likely not mounted than emptied: then they stay until somebody confirms it.
func (l *look) noteGone(ctx context.Context) error {
	query := gonePartSQL
	if l.whole {
		query = listedSQL
	}
	var gone []string
	registered := int64(0)
	err := l.index.eachRow(ctx, query, func(scan func(...any) error) error {
		var path string
		var indexed bool
		if err := scan(&path, &indexed); err != nil {
			return err
		}
		if l.known(path) {
			gone = append(gone, path)
			if indexed {
				registered++
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	var files int64
	if err := l.index.conn.QueryRowContext(ctx, countFilesSQL).Scan(&files); err != nil {
		return err
	}
	if 2*registered > files && !l.options.AcceptMissing {
		l.found.Withheld = registered
		return nil
	}
	l.found.Gone = int64(len(gone))
	return l.index.appendRows(ctx, "lake_pending", func(add func(...driver.Value) error) error {
		for _, path := range gone {
			if err := add(path, int64(0), int64(0), true); err != nil {
				return err
			}
		}
		return nil
	})
}

// eachRow calls row for each row of a query on the connection that writes.
func (x *Index) eachRow(ctx context.Context, query string, row func(scan func(...any) error) error, args ...any) error {
	return eachRowOf(ctx, x.conn, query, row, args...)
}

// querier is the database, a connection or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// eachRowOf calls row for each row of a query.
func eachRowOf(ctx context.Context, conn querier, query string, row func(scan func(...any) error) error, args ...any) error {
	rows, err := conn.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Backlog is what waits to be done.
type Backlog struct {
	// Files and Bytes are to be indexed, Gone is how many files are to be removed.
	Files, Bytes, Gone int64
	// Oldest is the modification time of the oldest file to be indexed, zero if there is none.
	Oldest time.Time
	// Unfinished are files that are still being written.
	Unfinished int64
}
