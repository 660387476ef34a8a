package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/spanlake/spanlake/internal/span"
)

// ErrClosed says that the database is not open: it was closed, or could not be opened again after an error.
var ErrClosed = errors.New("the index is not open")

// freeTemp gives the memory of deleted rows of the temporary tables free, which DuckDB does in no other way: without it
// an index that follows its lake would grow with each look and each batch.
//
// If that fails, DuckDB refuses all further work on these tables, and on nothing else: they are made anew then, and are empty.
func (x *Index) freeTemp(ctx context.Context) error {
	x.makeRoom(ctx)
	_, err := x.conn.ExecContext(ctx, "CHECKPOINT temp")
	if err == nil {
		return nil
	}
	x.log.Warn("cannot free the memory of temporary tables, making them anew and looking at the whole lake again", "error", err)
	x.backlog.lost = true
	conn, err := writingConn(ctx, x.db)
	if err != nil {
		return err
	}
	discard(x.conn)
	x.conn = conn
	return nil
}

// reader is the database for one thing that only reads. It stays open until release is called.
func (x *Index) reader() (db *sql.DB, release func(), err error) {
	x.handles.RLock()
	if x.db == nil {
		x.handles.RUnlock()
		return nil, nil, ErrClosed
	}
	return x.db, x.handles.RUnlock, nil
}

// lockWriter waits for its turn to write, and opens the database again if an earlier error has closed it.
func (x *Index) lockWriter(ctx context.Context) (unlock func(), err error) {
	x.writing.Lock()
	if x.closed {
		x.writing.Unlock()
		return nil, ErrClosed
	}
	// Whatever made DuckDB refuse further work, a query of a user included, the next writer mends it. Opening is not given up
	// with ctx: a database that opens after we have gone would stay open.
	ctx = uncancelled(ctx)
	if x.conn == nil {
		err = x.reopen(ctx)
	} else {
		err = x.revive(ctx)
	}
	if err != nil {
		x.writing.Unlock()
		return nil, err
	}
	return x.writing.Unlock, nil
}

// revive opens the database again if an error has made DuckDB refuse all further work on it, as internal errors do. What
// was committed is there again; the transaction that failed and the temporary tables are not.
func (x *Index) revive(ctx context.Context) error {
	err := x.patiently(ctx, func(ctx context.Context) error {
		// Of a temporary table, since those may be what is broken.
		_, err := x.conn.ExecContext(ctx, "SELECT count(*) FROM lake_scope")
		return err
	})
	var duck *duckdb.Error
	if err == nil || !errors.As(err, &duck) || outOfMemory(err) {
		return err
	}
	x.log.Warn("DuckDB stopped working on the index after an error, opening it again", "index", x.opts.Path, "error", err)
	return x.reopen(ctx)
}

// reopen closes what is still open and opens the database anew. If that fails, the index is closed until the next writer
// tries again: readers get ErrClosed, and nobody works on half of it.
func (x *Index) reopen(ctx context.Context) error {
	x.handles.Lock() // waits for readers, whose queries fail at once on a database that refuses to work
	defer x.handles.Unlock()
	_ = x.closeHandles() // reports the error that brought us here
	if err := x.connect(ctx); err != nil {
		return fmt.Errorf("open the index again: %w", err)
	}
	x.backlog.lost = true
	return nil
}

func (x *Index) closeHandles() error {
	var err error
	if x.conn != nil {
		err = x.conn.Close()
	}
	if x.db != nil {
		err = errors.Join(err, x.db.Close())
	}
	x.db, x.conn = nil, nil
	return err
}

// Close writes what is left in the write-ahead log into the database and gives the file free. It waits for what reads
// and writes.
func (x *Index) Close() error {
	x.writing.Lock()
	defer x.writing.Unlock()
	x.handles.Lock()
	defer x.handles.Unlock()
	x.closed = true
	if err := x.closeHandles(); err != nil {
		return fmt.Errorf("close index %s: %w", x.opts.Path, err)
	}
	return nil
}

// memorySQL: DuckDB accounts for its buffers by purpose.
const memorySQL = `
SELECT CAST(coalesce(sum(memory_usage_bytes), 0) AS BIGINT), CAST(coalesce(sum(temporary_storage_bytes), 0) AS BIGINT)
FROM duckdb_memory()`

// Size says what the index takes on the disk and in memory.
func (x *Index) Size(ctx context.Context) (span.IndexSize, error) {
	var size span.IndexSize
	err := x.reading(ctx, func(db *sql.DB) error {
		return x.patiently(ctx, func(ctx context.Context) error {
			return db.QueryRowContext(ctx, memorySQL).Scan(&size.MemoryBytes, &size.SpilledBytes)
		})
	})
	if err != nil {
		return size, fmt.Errorf("size of the index: %w", err)
	}
	size.MemoryWaits = x.memory.waits.Load()
	// Looked up by name only: opening and closing the file would drop DuckDB's lock on it, see lockHolder.
	for path, bytes := range map[string]*int64{x.opts.Path: &size.FileBytes, x.opts.Path + ".wal": &size.WALBytes} {
		if info, err := os.Stat(path); err == nil {
			*bytes = info.Size()
		}
	}
	return size, nil
}
