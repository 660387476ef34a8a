package wal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// Stats is what there is in a log.
type Stats struct {
	// Requests, Spans and Bytes (of protobuf, uncompressed) are in no published file.
	Requests, Spans, Bytes int64
	// Pending are those of them that are in no flush, either.
	PendingRequests, PendingSpans, PendingBytes int64
	// PublishedRequests and PublishedSpans are in published files, and not released.
	PublishedRequests, PublishedSpans int64
	// Damaged requests are set aside; they are in none of the other counts.
	Damaged int64
	// Oldest is when the oldest request of Requests was received, zero if there is none.
	Oldest time.Time
	// LiveBytes is what counts against Options.MaxBytes, FileBytes what the files take on disk.
	LiveBytes, FileBytes int64
}

// Stats says what there is in the log.
func (l *Log) Stats(ctx context.Context) (Stats, error) {
	l.mu.Lock()
	c := &l.counters
	s := Stats{
		Requests: c.requests, Spans: c.spans, Bytes: c.bytes,
		PendingRequests: c.requests, PendingSpans: c.spans, PendingBytes: c.bytes,
		Damaged: c.damaged, LiveBytes: c.liveBytes + l.written.Load(),
	}
	oldest := c.flushed + 1
	for i := len(c.flushes) - 1; i >= 0; i-- {
		f := &c.flushes[i]
		if f.Published {
			s.PublishedRequests += int64(f.Requests)
			s.PublishedSpans += int64(f.Spans)
			continue
		}
		s.Requests += int64(f.Requests)
		s.Spans += int64(f.Spans)
		s.Bytes += f.Bytes
		oldest = f.ID
	}
	l.mu.Unlock()
	var err error
	if s.FileBytes, err = l.fileBytes(); err != nil {
		return s, fmt.Errorf("size of the write-ahead log: %w", err)
	}
	if s.Requests == 0 {
		return s, nil
	}
	const oldestSQL = `
SELECT received_at FROM requests WHERE key >= ? AND key NOT IN (SELECT key FROM damaged) ORDER BY key LIMIT 1`
	var received int64
	err = l.reader.QueryRowContext(ctx, oldestSQL, oldest).Scan(&received)
	if errors.Is(err, sql.ErrNoRows) {
		return s, nil // released in this moment
	}
	if err != nil {
		return s, fmt.Errorf("oldest request of the write-ahead log: %w", err)
	}
	s.Oldest = time.Unix(0, received)
	return s, nil
}

// Backlog counts what is in no flush, from memory.
func (l *Log) Backlog() span.Backlog {
	l.mu.Lock()
	defer l.mu.Unlock()
	return span.Backlog{Requests: l.counters.requests, Spans: l.counters.spans, Bytes: l.counters.bytes}
}
