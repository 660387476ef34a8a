package wal

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

const (
	// Release deletes at most so many requests, or so many bytes of their data, in one transaction, so that no commit waits long.
	maxReleaseRequests = 2000
	maxReleaseBytes    = 32 << 20
)

// Flushes are those that are begun, or published and not released, in order.
func (l *Log) Flushes(context.Context) ([]span.Flush, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.counters.flushes), nil
}

// BeginFlush begins a flush of the oldest requests that are in none: as many as have at most maxSpans spans and maxBytes bytes
// of protobuf, but at least one. It is false if there is none. The flush is durable.
func (l *Log) BeginFlush(ctx context.Context, maxSpans int, maxBytes int64) (span.Flush, bool, error) {
	l.flushing.Lock()
	defer l.flushing.Unlock()
	if err := l.usable(); err != nil {
		return span.Flush{}, false, err
	}
	f, err := l.oldest(ctx, maxSpans, maxBytes)
	if err != nil || f.Requests == 0 {
		return span.Flush{}, false, err
	}
	f.ID = keyOf(f.First)
	f.Started = time.Now()
	const beginSQL = `
INSERT INTO flushes (id, first_id, last_id, requests, spans, raw_bytes, started_at, path) VALUES (?, ?, ?, ?, ?, ?, ?, '')`
	err = l.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(context.Background(), beginSQL, f.ID, f.First[:], f.Last[:], f.Requests, f.Spans, f.Bytes, f.Started.UnixNano())
		return err
	}, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		c := &l.counters
		c.flushed = keyOf(f.Last)
		c.flushes = append(c.flushes, f)
		c.requests -= int64(f.Requests)
		c.spans -= int64(f.Spans)
		c.bytes -= f.Bytes
	})
	if err != nil {
		return span.Flush{}, false, fmt.Errorf("begin a flush: %w", err)
	}
	return f, true, nil
}

// oldest is the range of the oldest requests that are in no flush, cut at the bounds.
func (l *Log) oldest(ctx context.Context, maxSpans int, maxBytes int64) (f span.Flush, err error) {
	l.mu.Lock()
	flushed, announced := l.counters.flushed, l.counters.announced
	l.mu.Unlock()
	const oldestSQL = `
SELECT key, id, coalesce(CAST(spans AS INTEGER), 0), coalesce(CAST(raw_bytes AS INTEGER), 0) FROM requests
WHERE key > ? AND key <= ? AND key NOT IN (SELECT key FROM damaged) ORDER BY key`
	// Without a goroutine of the driver for each row: see part.
	rows, err := l.reader.QueryContext(context.WithoutCancel(ctx), oldestSQL, flushed, announced)
	if err != nil {
		return f, fmt.Errorf("look for requests to flush: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err says what went wrong
	for rows.Next() {
		var id sql.RawBytes
		var spans int
		var key, bytes int64
		if err := rows.Scan(&key, &id, &spans, &bytes); err != nil {
			return f, fmt.Errorf("look for requests to flush: %w", err)
		}
		if f.Requests > 0 && (f.Spans+spans > maxSpans || f.Bytes+bytes > maxBytes) {
			break
		}
		f.Last = rowID(key, id)
		if f.Requests == 0 {
			f.First = f.Last
		}
		f.Requests++
		f.Spans += spans
		f.Bytes += bytes
	}
	if err := rows.Err(); err != nil {
		return f, fmt.Errorf("look for requests to flush: %w", err)
	}
	return f, nil
}

// SetPath says, durable, where the file of a flush is going to be.
func (l *Log) SetPath(ctx context.Context, id int64, path string) error {
	return l.mark(ctx, id, "note the file of a flush", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(context.Background(), "UPDATE flushes SET path = ? WHERE id = ?", path, id)
		return err
	}, func(f *span.Flush) { f.Path = path })
}

// Published says, durable, that the file of a flush is in the lake. A flush of which nothing is left to write has no path and
// is released as "".
func (l *Log) Published(ctx context.Context, id int64) error {
	return l.mark(ctx, id, "note that a flush is published", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(context.Background(), "UPDATE flushes SET published_at = ? WHERE id = ?", time.Now().UnixNano(), id)
		return err
	}, func(f *span.Flush) { f.Published = true })
}

// mark changes one flush, in the file and in memory.
func (l *Log) mark(ctx context.Context, id int64, what string, change func(*sql.Tx) error, after func(*span.Flush)) error {
	err := l.write(ctx, func(tx *sql.Tx) error {
		if l.flushIndex(id) < 0 {
			return ErrUnknownFlush
		}
		return change(tx)
	}, func() {
		i := l.flushIndex(id)
		l.mu.Lock()
		defer l.mu.Unlock()
		after(&l.counters.flushes[i])
	})
	if err != nil {
		return fmt.Errorf("%s: %d: %w", what, id, err)
	}
	return nil
}

// flushIndex is where a flush is in the counters, or -1.
func (l *Log) flushIndex(id int64) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.IndexFunc(l.counters.flushes, func(f span.Flush) bool { return f.ID == id })
}

// Release deletes the requests of published flushes, whose files are at paths. A path that no published flush has is passed
// over. What was deleted before an error stays deleted, and the rest may be released again.
func (l *Log) Release(ctx context.Context, paths []string) error {
	flushes, err := l.Flushes(ctx)
	if err != nil {
		return err
	}
	for i := range flushes {
		f := &flushes[i]
		if !f.Published || !slices.Contains(paths, f.Path) {
			continue
		}
		for done := false; !done; {
			if err := ctx.Err(); err != nil {
				return err
			}
			if done, err = l.releasePart(ctx, f); err != nil {
				return fmt.Errorf("release %s from the write-ahead log: %w", f.Path, err)
			}
		}
	}
	return nil
}

// releasePart deletes the next requests of a flush, and with the last of them the flush.
func (l *Log) releasePart(ctx context.Context, f *span.Flush) (done bool, err error) {
	last := keyOf(f.Last)
	until, err := l.partEnd(ctx, keyOf(f.First), last)
	if err != nil {
		return false, err
	}
	done = until == last
	err = l.write(ctx, func(tx *sql.Tx) error {
		ctx := context.Background()
		const deleteSQL = "DELETE FROM requests WHERE key BETWEEN ? AND ? AND key NOT IN (SELECT key FROM damaged)"
		if _, err := tx.ExecContext(ctx, deleteSQL, keyOf(f.First), until); err != nil || !done {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE state SET last_key = max(last_key, ?)", last); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM flushes WHERE id = ?", f.ID)
		return err
	}, func() {
		l.wrote(2 * commitOverhead)
		if !done {
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.counters.flushes = slices.DeleteFunc(l.counters.flushes, func(other span.Flush) bool { return other.ID == f.ID })
	})
	return done, err
}

// partEnd is the key up to which one transaction may delete.
func (l *Log) partEnd(ctx context.Context, first, last int64) (int64, error) {
	const sizesSQL = `
SELECT key, length(data) FROM requests
WHERE key BETWEEN ? AND ? AND key NOT IN (SELECT key FROM damaged) ORDER BY key LIMIT ?`
	rows, err := l.reader.QueryContext(context.WithoutCancel(ctx), sizesSQL, first, last, maxReleaseRequests)
	if err != nil {
		return 0, err
	}
	defer func() { _ = rows.Close() }() // Err says what went wrong
	end, count, total := last, 0, int64(0)
	for rows.Next() {
		var size int64
		if err := rows.Scan(&end, &size); err != nil {
			return 0, err
		}
		count++
		if total += size; total >= maxReleaseBytes {
			return end, rows.Err()
		}
	}
	if count < maxReleaseRequests {
		end = last
	}
	return end, rows.Err()
}

// readFlushes are the flushes in the file, in order.
func readFlushes(ctx context.Context, db *sql.DB) (flushes []span.Flush, err error) {
	const flushesSQL = `
SELECT id, first_id, last_id, requests, spans, raw_bytes, started_at, path, published_at IS NOT NULL FROM flushes ORDER BY id`
	rows, err := db.QueryContext(ctx, flushesSQL)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err says what went wrong
	for rows.Next() {
		var f span.Flush
		var first, last sql.RawBytes
		var started int64
		if err := rows.Scan(&f.ID, &first, &last, &f.Requests, &f.Spans, &f.Bytes, &started, &f.Path, &f.Published); err != nil {
			return nil, err
		}
		copy(f.First[:], first)
		copy(f.Last[:], last)
		f.Started = time.Unix(0, started)
		flushes = append(flushes, f)
	}
	return flushes, rows.Err()
}
