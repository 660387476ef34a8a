package wal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/mattn/go-sqlite3"
)

// job is something else than a request that the committer does, between two commits.
type job struct {
	do   func() error
	done chan error
}

// run is the committer: all that writes happens here, one after the other.
func (l *Log) run() {
	defer close(l.done)
	background := make(chan struct{})
	go func() {
		defer close(background)
		l.checkpointLoop()
	}()
	tidy := time.NewTicker(tidyInterval)
	defer tidy.Stop()
	for {
		select {
		case p := <-l.queue:
			l.commit(l.batch(p))
		case j := <-l.jobs:
			j.done <- j.do()
		case <-tidy.C:
			l.tidy()
		case <-l.closing:
			l.finish(background)
			return
		}
	}
}

// finish ends the log.
func (l *Log) finish(background <-chan struct{}) {
	// Whoever hands something over now sees closing, or its request is in the queue when we have the lock.
	l.sending.Lock()
	l.ended = true
	l.sending.Unlock()
	for len(l.queue) > 0 {
		l.commit(l.batch(<-l.queue))
	}
	<-background
	_, err := checkpoint(context.Background(), l.writer, truncatingCheckpoint)
	if outOfSpace(err) {
		err = nil // the journal stays, with all that is in it, as when the process is killed
	}
	if err = errors.Join(err, l.disconnect(), l.unlock()); err != nil {
		l.closeErr = fmt.Errorf("close the write-ahead log %s: %w", l.path, err)
	}
}

// do lets the committer do something. It is done to its end once it was taken, whatever becomes of ctx.
func (l *Log) do(ctx context.Context, what func() error) error {
	j := job{do: what, done: make(chan error, 1)}
	select {
	case l.jobs <- j:
		return <-j.done
	case <-l.closing:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// write lets the committer do something in a transaction, and after if that was committed. It survives power loss whatever
// Options.Sync says: without its flush, a file of the lake would hold what the log takes for unflushed.
func (l *Log) write(ctx context.Context, what func(*sql.Tx) error, after func()) error {
	return l.do(ctx, func() error {
		if l.opts.Sync == Normal {
			if err := l.synchronous("FULL"); err != nil {
				return err
			}
		}
		err := l.transact(what)
		if l.opts.Sync == Normal {
			_ = l.synchronous("NORMAL") // more is synced than has to be if that fails
		}
		if err != nil {
			return err
		}
		after()
		return nil
	})
}

// synchronous sets what the connection of the committer syncs.
func (l *Log) synchronous(how string) error {
	if _, err := l.writer.ExecContext(context.Background(), "PRAGMA synchronous = "+how); err != nil {
		return l.failed(err)
	}
	return nil
}

// transact does something in a transaction. Only the committer may call it. If SQLite fails, the connection is opened anew, so
// that whatever state it is in does not outlast the failure.
func (l *Log) transact(what func(*sql.Tx) error) error {
	ctx := context.Background()
	tx, err := l.writer.BeginTx(ctx, nil)
	if err != nil {
		return l.failed(err)
	}
	if err := what(tx); err != nil {
		_ = tx.Rollback() // SQLite may have done it; a new connection does it in any case
		return l.failed(err)
	}
	if err := tx.Commit(); err != nil {
		return l.failed(err)
	}
	_ = l.measure(ctx) // the next commit measures again; this one stands
	return nil
}

// failed says what a failure of SQLite means. Other errors are handed through.
func (l *Log) failed(err error) error {
	if _, ok := errors.AsType[sqlite3.Error](err); !ok {
		return err
	}
	_ = l.writer.Close() // it has failed already
	l.writer = l.openWriter()
	if outOfSpace(err) {
		l.wantCheckpoint() // makes room in the journal
		return &FullError{Path: l.path, Reason: Disk, Setting: "--min-free-disk", Limit: l.opts.MinFreeDisk, Err: err}
	}
	return &CommitError{Path: l.path, Err: err}
}
