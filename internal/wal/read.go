package wal

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/oklog/ulid/v2"

	"github.com/spanlake/spanlake/internal/span"
)

const (
	// readBytes is how much compressed data is read at once. Between two such reads no transaction is open: it would keep SQLite
	// from beginning its journal anew for as long as the caller takes.
	readBytes = 1 << 20

	requestsSQL = `
SELECT key, id, received_at, spans, raw_bytes, crc32c, data FROM requests
WHERE key BETWEEN ? AND ? AND key NOT IN (SELECT key FROM damaged) ORDER BY key`
	damagedFile = "is damaged: move it away with its -wal, keep both, and try `sqlite3 FILE .recover`"
)

// stored is a row.
type stored struct {
	key      int64
	request  span.Request // without data
	rawBytes int64
	crc      int64
	packed   []byte
}

// Requests are those from first to last, both included, in order. Those that are released meanwhile may be missing. A request
// that is damaged is set aside and yielded as a *DamagedError, and the rest follows; any other error ends them.
//
// The memory of Data is used again for the next request: who keeps it copies it.
func (l *Log) Requests(ctx context.Context, first, last span.RequestID) iter.Seq2[span.Request, error] {
	return func(yield func(span.Request, error) bool) {
		next, end := keyOf(first), keyOf(last)
		var buffer []byte
		for next <= end {
			part, readErr := l.part(ctx, next, end)
			for i := range part {
				next = part[i].key + 1
				r, err := l.unpack(ctx, &part[i], buffer)
				buffer = r.Data
				if !yield(r, err) || err != nil && !isDamaged(err) {
					return
				}
			}
			if isRowDamage(readErr) {
				next, readErr = l.findDamage(ctx, next, end, readErr)
			}
			if readErr != nil {
				if !isDamaged(readErr) {
					readErr = fmt.Errorf("read the write-ahead log: %w", readErr)
				}
				if !yield(span.Request{}, readErr) || !isDamaged(readErr) {
					return
				}
			} else if len(part) == 0 {
				return
			}
		}
	}
}

// Request is one of them.
//
// Errors: ErrNotFound, *DamagedError.
func (l *Log) Request(ctx context.Context, id span.RequestID) (span.Request, error) {
	for r, err := range l.Requests(ctx, id, id) {
		if err != nil || r.ID == id {
			return r, err
		}
	}
	return span.Request{}, fmt.Errorf("request %s: %w", ulid.ULID(id), ErrNotFound)
}

// part reads rows until there is enough of them. Those that were read before an error are returned with it. It cannot be
// interrupted, since it is short, and since the driver would start a goroutine for each row.
func (l *Log) part(ctx context.Context, first, last int64) (part []stored, err error) {
	if err := errors.Join(ctx.Err(), l.usable()); err != nil {
		return nil, err
	}
	rows, err := l.reader.QueryContext(context.WithoutCancel(ctx), requestsSQL, first, last)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err says what went wrong
	for total := 0; total < readBytes && rows.Next(); {
		var s stored
		var id sql.RawBytes
		var received int64
		if err := rows.Scan(&s.key, &id, &received, &s.request.Spans, &s.rawBytes, &s.crc, &s.packed); err != nil {
			return part, errors.Join(errRow, err)
		}
		s.request.ID = rowID(s.key, id)
		s.request.Received = time.Unix(0, received)
		part = append(part, s)
		total += len(s.packed) + rowOverhead
	}
	return part, rows.Err()
}

// unpack makes a request of a row, its data in the buffer if it is large enough, or sets it aside.
func (l *Log) unpack(ctx context.Context, s *stored, buffer []byte) (span.Request, error) {
	data, err := decode(s, buffer)
	if err != nil {
		return span.Request{}, l.setAside(ctx, s.key, &s.request, s.rawBytes, err)
	}
	r := s.request
	r.Data = data
	return r, nil
}

var (
	errLength   = errors.New("the length is not what was written")
	errChecksum = errors.New("the checksum is not what was written")
	errRow      = errors.New("the columns are not what was written")
)

func decode(s *stored, buffer []byte) ([]byte, error) {
	// Before memory is taken for what damaged bytes say.
	if n, err := s2.DecodedLen(s.packed); err != nil || int64(n) != s.rawBytes {
		return nil, errors.Join(errLength, err)
	}
	data, err := s2.Decode(buffer[:cap(buffer)], s.packed)
	if err != nil {
		return nil, err
	}
	if int64(checksum(data)) != s.crc {
		return nil, errChecksum
	}
	return data, nil
}

// findDamage sets aside the first request from key first on, which SQLite could not read, and returns the key after it. If it
// can be read after all, there is no error.
func (l *Log) findDamage(ctx context.Context, first, last int64, cause error) (next int64, err error) {
	const keySQL = `
SELECT key FROM requests
WHERE key BETWEEN ? AND ? AND key NOT IN (SELECT key FROM damaged) ORDER BY key LIMIT 1`
	var key int64
	switch err := l.reader.QueryRowContext(ctx, keySQL, first, last).Scan(&key); {
	case errors.Is(err, sql.ErrNoRows):
		return first, nil // released, or set aside by another reader
	case err != nil:
		// Not one request but the tree that they are in.
		return first, &UnusableError{Path: l.path, Reason: damagedFile, Err: errors.Join(cause, err)}
	}
	if _, err := l.part(ctx, key, key); !isRowDamage(err) {
		return key, err
	}
	return key + 1, l.setAside(ctx, key, &span.Request{ID: rowID(key, nil)}, 0, cause)
}

// setAside notes that a request is damaged. Its row stays as it is, for people to look at. Until that is durable, nobody may
// pass over the request: then the error is no *DamagedError.
func (l *Log) setAside(ctx context.Context, key int64, r *span.Request, rawBytes int64, cause error) error {
	damage := &DamagedError{ID: r.ID, Spans: r.Spans, Err: cause}
	// No flush begins meanwhile, so that the request is counted either among its requests or not at all.
	l.flushing.Lock()
	defer l.flushing.Unlock()
	inserted := int64(0)
	err := l.write(ctx, func(tx *sql.Tx) error {
		const damagedSQL = "INSERT OR IGNORE INTO damaged (key, found_at, problem) VALUES (?, ?, ?)"
		result, err := tx.ExecContext(context.Background(), damagedSQL, key, time.Now().UnixNano(), cause.Error())
		if err != nil {
			return err
		}
		inserted, err = result.RowsAffected()
		return err
	}, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		c := &l.counters
		c.damaged += inserted
		if key > c.flushed {
			c.requests -= inserted
			c.spans -= inserted * int64(r.Spans)
			c.bytes -= inserted * rawBytes
		}
	})
	if err != nil {
		return fmt.Errorf("set aside the damaged request %s (%w): %w", ulid.ULID(r.ID), cause, err)
	}
	if inserted > 0 {
		l.log.Error("a request of the write-ahead log is damaged and set aside", "path", l.path, "request", ulid.ULID(r.ID).String(),
			"spans", r.Spans, "error", cause)
	}
	return damage
}

// rowID is the id of a row. If its bytes are damaged, it is made of the key, so that ranges stay right.
func rowID(key int64, stored []byte) (id span.RequestID) {
	if copy(id[:], stored) < len(id) || keyOf(id) != key {
		id = span.RequestID{}
		binary.BigEndian.PutUint64(id[:8], uint64(key))
	}
	return id
}

// isRowDamage tells an error that a damaged row causes from others.
func isRowDamage(err error) bool {
	return corrupt(err) || errors.Is(err, errRow)
}

func isDamaged(err error) bool {
	_, ok := errors.AsType[*DamagedError](err)
	return ok
}
