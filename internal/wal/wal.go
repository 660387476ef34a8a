// Package wal keeps acknowledged OTLP requests in a SQLite database until the lake has them.
package wal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

const (
	// readers is how many reads happen at a time.
	readers = 4
	// queueLength is how many requests wait for the committer before Append waits to hand over its own.
	queueLength = 1024
	// maxScratch is the largest buffer that is kept for compressing.
	maxScratch = 4 << 20
)

// Sync says what an acknowledged request survives.
type Sync int

// The two ways to make a request durable.
const (
	// Full syncs the file before each acknowledgement: requests survive power loss.
	Full Sync = iota
	// Normal leaves that to the system: requests survive kill -9, but those of the last seconds not power loss.
	Normal
)

// Options say where a log is and how much it may take.
type Options struct {
	// Path of the SQLite file. Its folder is made.
	Path string
	Sync Sync
	// MaxBytes bounds what the log takes on disk: the pages in use and SQLite's own journal beside them. 0 is no bound.
	MaxBytes int64
	// MinFreeDisk is how many bytes must stay free on the file system for a request to be taken. It is also the reserve from
	// which flushes are marked and released, so that a log which takes no more requests still empties: that takes 32 MiB at
	// most, and the file in the lake.
	MinFreeDisk int64
	// Committed gets the requests of a commit, in order, once they are durable, and before Append returns or BeginFlush sees
	// them. It must not call the log. Data is as it was given to Append.
	Committed func([]span.Request)
	// Log may be nil.
	Log *slog.Logger
}

// Log is an open write-ahead log. One process has it open at a time. Its methods may be called from several goroutines.
type Log struct {
	opts Options
	log  *slog.Logger
	path string // without symbolic links, as SQLite sees it
	// unlock lets other processes have the log.
	unlock func() error

	// writer has one connection, which only the committer uses; background another one, for checkpoints beside it.
	writer, background, reader *sql.DB
	// journalLimit is how long SQLite's journal may stay after a checkpoint, checkpointBytes how long it grows before one.
	journalLimit, checkpointBytes int64
	// keepFree is how many bytes of free pages the file keeps before it shrinks.
	keepFree int64

	queue       chan *pending
	jobs        chan job
	checkpoints chan struct{}
	compressing chan []byte // as many buffers as compress at a time
	// closing says that the log takes nothing more. sending is held, for reading, while something is handed to the committer.
	closing chan struct{}
	closed  sync.Once
	sending sync.RWMutex
	ended   bool // guarded by sending: nothing may be handed over any more
	// done says that the committer has ended; closeErr is what went wrong then.
	done     chan struct{}
	closeErr error

	// written is about how many bytes went into the journal since it last began anew; writtenBefore what it was at the last
	// tidy.
	written       atomic.Int64
	writtenBefore int64
	// vacuumFailures belong to the committer.
	vacuumFailures streak
	// nextCheckpoint is what written reaches before a checkpoint is made.
	nextCheckpoint atomic.Int64
	// queued is how many bytes of data wait for a commit.
	queued atomic.Int64
	// flushing is held while a flush begins, so that they begin one after the other.
	flushing sync.Mutex

	mu       sync.Mutex
	counters counters
}

// counters is what is known of the file without asking it. They are guarded by Log.mu.
type counters struct {
	// lastKey is the largest key ever given, announced the largest that Committed has been told of, flushed the largest that
	// is, or was, in a flush.
	lastKey, announced, flushed int64
	// What is in no flush. Damaged requests are not counted.
	requests, spans, bytes int64
	// flushes are in order.
	flushes []span.Flush
	damaged int64
	// liveBytes are the pages in use, freeBytes the others.
	liveBytes, freeBytes int64
}

// Open opens the log of o.Path, and makes it if it is not there.
//
// Errors: *LockedError, *UnusableError, or what the system says.
func Open(ctx context.Context, o Options) (*Log, error) {
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return nil, fmt.Errorf("write-ahead log %s: %w", o.Path, err)
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // its journal lies there, too
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Committed == nil {
		o.Committed = func([]span.Request) {}
	}
	l := &Log{
		opts: o, log: o.Log, path: path, checkpointBytes: checkpointBytes, keepFree: keepFree,
		queue: make(chan *pending, queueLength), jobs: make(chan job), checkpoints: make(chan struct{}, 1),
		compressing: make(chan []byte, runtime.GOMAXPROCS(0)),
		closing:     make(chan struct{}), done: make(chan struct{}),
	}
	for range cap(l.compressing) {
		l.compressing <- nil
	}
	if o.MaxBytes > 0 {
		l.checkpointBytes = min(l.checkpointBytes, o.MaxBytes/8)
	}
	l.journalLimit = 2 * l.checkpointBytes
	l.nextCheckpoint.Store(l.checkpointBytes)
	if err := prepareFolder(path); err != nil {
		return nil, fmt.Errorf("write-ahead log: %w", err)
	}
	if l.unlock, err = lock(path); err != nil {
		return nil, err
	}
	if err := l.connect(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("write-ahead log %s: %w", path, err), l.disconnect(), l.unlock())
	}
	go l.run()
	return l, nil
}

// connect opens the database and counts what is in it.
func (l *Log) connect(ctx context.Context) error {
	l.writer = l.openWriter()
	l.background = openDB(l.path, l.opts.Sync, false, l.journalLimit, 1)
	l.reader = openDB(l.path, l.opts.Sync, true, l.journalLimit, readers)
	if err := prepareSchema(ctx, l.writer, l.path); err != nil {
		return err
	}
	if err := l.count(ctx); err != nil {
		if corrupt(err) {
			return &UnusableError{Path: l.path, Reason: damagedFile, Err: err}
		}
		return err
	}
	// What a process left that was killed. Another program may be reading it: then it stays.
	if _, err := checkpoint(ctx, l.writer, truncatingCheckpoint); err != nil && !outOfSpace(err) {
		return err
	}
	return l.measure(ctx)
}

func (l *Log) openWriter() *sql.DB {
	return openDB(l.path, l.opts.Sync, false, l.journalLimit, 1)
}

// disconnect closes all connections that are open. The last one lets SQLite remove its journal.
func (l *Log) disconnect() error {
	var errs []error
	for _, db := range []*sql.DB{l.reader, l.background, l.writer} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// count fills the counters, reading every row but not its data.
func (l *Log) count(ctx context.Context) error {
	c := &l.counters
	flushes, err := readFlushes(ctx, l.writer)
	if err != nil {
		return fmt.Errorf("read flushes: %w", err)
	}
	c.flushes = flushes
	if len(flushes) > 0 {
		c.flushed = keyOf(flushes[len(flushes)-1].Last)
	}
	const stateSQL = `
SELECT max(last_key, coalesce((SELECT max(key) FROM requests), 0)), (SELECT count(*) FROM damaged) FROM state`
	if err := l.writer.QueryRowContext(ctx, stateSQL).Scan(&c.lastKey, &c.damaged); err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	c.lastKey = max(c.lastKey, c.flushed)
	c.announced = c.lastKey
	const countSQL = `
SELECT count(*), coalesce(sum(spans), 0), coalesce(sum(raw_bytes), 0) FROM requests
WHERE key > ? AND key NOT IN (SELECT key FROM damaged)`
	if err := l.writer.QueryRowContext(ctx, countSQL, c.flushed).Scan(&c.requests, &c.spans, &c.bytes); err != nil {
		return fmt.Errorf("count requests: %w", err)
	}
	return nil
}

// Close takes no more requests, makes durable what waits, and writes SQLite's journal into its file. What is not done when ctx
// ends is done at the next Open: nothing that was acknowledged is lost. Close may be called again, and waits then as well.
func (l *Log) Close(ctx context.Context) error {
	l.closed.Do(func() { close(l.closing) })
	select {
	case <-l.done:
		return l.closeErr
	case <-ctx.Done():
		return fmt.Errorf("close the write-ahead log %s: %w", l.path, ctx.Err())
	}
}

// usable tells whether the log is still open.
func (l *Log) usable() error {
	select {
	case <-l.closing:
		return ErrClosed
	default:
		return nil
	}
}

// keyOf is the key of a request in the database: the first 8 bytes of its id, which are its time in milliseconds and a
// counter. They fit an int64 until the year 6429; what does not is beyond every key.
func keyOf(id span.RequestID) int64 {
	var key uint64
	for _, b := range id[:8] {
		key = key<<8 | uint64(b)
	}
	return int64(min(key, math.MaxInt64))
}

// nextKey is the key for a request that is received now: never below the last one, though the clock was set back.
func nextKey(last int64, now time.Time) int64 {
	return max(now.UnixMilli()<<16, last+1)
}
