package app

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
	"time"

	"github.com/spanlake/spanlake/internal/lake"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/wal"
)

// logOf is the write-ahead log as the other parts want it.
type logOf struct {
	*wal.Log
	log interface{ Error(string, ...any) }
}

// Oldest is when the oldest request was received that is in no published file.
func (l logOf) Oldest(ctx context.Context) (time.Time, error) {
	stats, err := l.Stats(ctx)
	return stats.Oldest, err
}

// Requests passes over those that are damaged: they stay in the log and hold nothing up.
func (l logOf) Requests(ctx context.Context, first, last span.RequestID) iter.Seq2[span.Request, error] {
	return func(yield func(span.Request, error) bool) {
		for request, err := range l.Log.Requests(ctx, first, last) {
			if damaged := (*wal.DamagedError)(nil); errors.As(err, &damaged) {
				l.log.Error("spans are lost to the reader: the disk gave back other bytes than were written", "error", err)
				continue
			}
			if !yield(request, err) {
				return
			}
		}
	}
}

// Request is one of them.
func (l logOf) Request(ctx context.Context, id span.RequestID) (span.Request, error) {
	request, err := l.Log.Request(ctx, id)
	if errors.Is(err, wal.ErrNotFound) {
		err = fmt.Errorf("%w: %w", span.ErrReleased, err)
	}
	return request, err
}

// files is the lake as the flusher wants it.
type files struct{ *lake.Writer }

// Write publishes a file.
func (f files) Write(path string, parts iter.Seq2[[]span.Span, error]) (int64, error) {
	written, err := f.WriteSorted(path, parts)
	return written.Bytes, err
}

// Path names a file that does not exist: the suffix is what a crash between two flushes of a second must not repeat.
func (f files) Path(service string, flush span.Flush) (string, error) {
	sum := crc32.ChecksumIEEE(append(flush.First[:], flush.Last[:]...))
	for try := range uint32(100) {
		path := lake.Path(service, flush.Started, sum+try)
		if _, taken, err := f.Recover(path); err != nil || !taken {
			return path, err
		}
	}
	return "", fmt.Errorf("no name is free in the lake for a file of %s", service)
}

// nobody is shown unflushed spans.
type nobody struct{}

// Assign shows nothing.
func (nobody) Assign(span.RequestID, span.RequestID, string) {}

// Publish shows nothing.
func (nobody) Publish(span.RequestID, span.RequestID, string) {}
