package wal

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"hash/crc32"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/spanlake/spanlake/internal/span"
)

const (
	// A commit takes at most so many requests, or so many bytes of compressed data, whatever waits.
	maxBatchRequests = 1024
	maxBatchBytes    = 8 << 20
	// rowOverhead is about what a row takes beside its data, commitOverhead what a commit writes beside its rows: the pages at
	// the ends of lists and trees.
	rowOverhead    = 64
	commitOverhead = 3 * pageSize
)

// pending is a request that waits for the committer.
type pending struct {
	data   []byte
	spans  int
	crc    uint32
	packed []byte
	done   chan error
	// decided is set by whoever comes first: the committer that takes the request, or Append that gives it up.
	decided atomic.Bool
}

// Append makes a request durable: data is a protobuf TracesData message with so many spans, and belongs to the log from now on.
// Requests that wait at the same time share a commit. When ctx ends first, its error is returned, and the request may be kept
// nevertheless.
//
// Errors: *FullError and *CommitError, after which the same request may be appended again; ErrClosed.
func (l *Log) Append(ctx context.Context, data []byte, spans int) error {
	if err := l.room(0); err != nil { // before it takes time
		return err
	}
	p, err := l.pack(ctx, data, spans)
	if err != nil {
		return err
	}
	size := int64(len(p.packed)) + rowOverhead
	if err := l.room(size); err != nil {
		return err
	}
	l.queued.Add(size)
	if err := l.handOver(ctx, p); err != nil {
		l.queued.Add(-size)
		return err
	}
	select {
	case err := <-p.done:
		return err
	case <-ctx.Done():
	}
	if p.decided.CompareAndSwap(false, true) {
		// Nobody accounts for its memory any more, and a disk that stalls makes many clients give up and send the same again.
		p.data, p.packed = nil, nil
		l.queued.Add(-size)
	}
	return ctx.Err()
}

// pack compresses a request, in the goroutine of its caller so that the committer only writes.
func (l *Log) pack(ctx context.Context, data []byte, spans int) (*pending, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var scratch []byte
	select {
	case scratch = <-l.compressing:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	scratch = s2.Encode(scratch[:cap(scratch)], data)
	packed := scratch
	if cap(scratch) > maxScratch {
		scratch = nil
	} else {
		packed = bytes.Clone(scratch) // a quarter of what is set aside for the worst case
	}
	l.compressing <- scratch
	return &pending{data: data, spans: spans, crc: checksum(data), packed: packed, done: make(chan error, 1)}, nil
}

// checksum is what says that data is what was written: CRC-32C, which processors compute.
func checksum(data []byte) uint32 { return crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)) }

// handOver gives a request to the committer.
func (l *Log) handOver(ctx context.Context, p *pending) error {
	l.sending.RLock()
	defer l.sending.RUnlock()
	if l.ended {
		return ErrClosed
	}
	select {
	case l.queue <- p:
		return nil
	case <-l.closing:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// room refuses a request for which there is none.
func (l *Log) room(size int64) error {
	size += l.queued.Load()
	if l.opts.MaxBytes > 0 {
		l.mu.Lock()
		written := l.written.Load()
		used := l.counters.liveBytes + written
		l.mu.Unlock()
		// Until the next checkpoint it takes room in the journal as well.
		if used+2*size+commitOverhead+pageSize > l.opts.MaxBytes {
			if written > 0 {
				l.wantCheckpoint() // empties the journal
			}
			return &FullError{Path: l.path, Reason: WALSize, Setting: "--max-wal-size", Used: used, Limit: l.opts.MaxBytes}
		}
	}
	if l.opts.MinFreeDisk > 0 {
		free, err := freeDisk(l.folder())
		if err == nil && free-size < l.opts.MinFreeDisk {
			return &FullError{Path: l.path, Reason: Disk, Setting: "--min-free-disk", Used: free, Limit: l.opts.MinFreeDisk}
		}
	}
	return nil
}

// batch takes what waits, beginning with p, into one commit. What was given up is left out, so that there may be nothing.
func (l *Log) batch(p *pending) (batch []*pending) {
	for total := 0; ; {
		if p.decided.CompareAndSwap(false, true) {
			batch = append(batch, p)
			total += len(p.packed)
		}
		if len(batch) == maxBatchRequests || total >= maxBatchBytes {
			return batch
		}
		select {
		case p = <-l.queue:
		default:
			return batch
		}
	}
}

// commit makes requests durable, tells Committed, and lets Append return.
func (l *Log) commit(batch []*pending) {
	if len(batch) == 0 {
		return
	}
	requests := make([]span.Request, len(batch))
	l.mu.Lock()
	key := l.counters.lastKey
	l.mu.Unlock()
	var size int64
	err := l.transact(func(tx *sql.Tx) error {
		const insertSQL = "INSERT INTO requests (key, id, received_at, spans, raw_bytes, crc32c, data) VALUES (?, ?, ?, ?, ?, ?, ?)"
		ctx := context.Background() // nobody may interrupt what others wait for
		for i, p := range batch {
			now := time.Now()
			key = nextKey(key, now)
			r := span.Request{ID: newID(key), Received: now, Spans: p.spans, Data: p.data}
			if _, err := tx.ExecContext(ctx, insertSQL, key, r.ID[:], now.UnixNano(), p.spans, len(p.data), int64(p.crc), p.packed); err != nil {
				return err
			}
			requests[i] = r
			size += int64(len(p.packed)) + rowOverhead
		}
		return nil
	})
	if err == nil {
		l.wrote(size + commitOverhead)
		l.opts.Committed(requests)
		l.announce(key, requests)
	}
	for _, p := range batch {
		l.queued.Add(-int64(len(p.packed)) - rowOverhead)
		p.done <- err
	}
}

// announce counts what was committed.
func (l *Log) announce(key int64, requests []span.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &l.counters
	c.lastKey, c.announced = key, key
	for i := range requests {
		c.requests++
		c.spans += int64(requests[i].Spans)
		c.bytes += int64(len(requests[i].Data))
	}
}

// newID is a ULID that begins with key: 48 bits of milliseconds, a counter of 16, and 64 random ones, by which it differs
// from those of all other logs.
func newID(key int64) (id span.RequestID) {
	binary.BigEndian.PutUint64(id[:8], uint64(key))
	_, _ = rand.Read(id[8:]) // never fails
	return id
}
