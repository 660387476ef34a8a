package wal

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

const (
	// checkpointBytes is how much goes into SQLite's journal before it is written into the database.
	checkpointBytes = 16 << 20
	// tidyInterval is how often free pages are given back to the system, if there are more than keepFree bytes of them and
	// than is in use: vacuumSteps times vacuumPages, as long as no request waits. One step takes 2 to 15 ms.
	tidyInterval = time.Second
	keepFree     = 64 << 20
	vacuumPages  = 64
	vacuumSteps  = 8

	// The ways to checkpoint. The first waits for nobody and stops nobody; the second waits for readers and empties the journal.
	gentleCheckpoint     = "PRAGMA wal_checkpoint(PASSIVE)"
	truncatingCheckpoint = "PRAGMA wal_checkpoint(TRUNCATE)"
)

// checkpoint writes SQLite's journal into the database. It is complete if the next commit may begin the journal anew.
func checkpoint(ctx context.Context, db *sql.DB, how string) (complete bool, err error) {
	var busy, frames, done int64
	if err := db.QueryRowContext(ctx, how).Scan(&busy, &frames, &done); err != nil {
		return false, err
	}
	return busy == 0 && frames == done, nil
}

// wantCheckpoint asks for a checkpoint soon.
func (l *Log) wantCheckpoint() {
	select {
	case l.checkpoints <- struct{}{}:
	default: // somebody has asked already
	}
}

// checkpointLoop makes checkpoints beside the committer, which goes on meanwhile. The journal begins anew only when all of it
// is in the database and nobody is about to write, and under load there is always something new: so the committer itself does
// the little that is left.
func (l *Log) checkpointLoop() {
	ctx := context.Background()
	var failures streak
	for {
		select {
		case <-l.checkpoints:
		case <-l.closing:
			return
		}
		_, err := checkpoint(ctx, l.background, gentleCheckpoint)
		if err == nil {
			err = l.do(ctx, l.finishCheckpoint)
		}
		if errors.Is(err, ErrClosed) {
			return
		}
		if failures.begin(err) {
			l.log.Warn("the journal of the write-ahead log cannot be written into it; it grows until it can", "path", l.path, "error", err)
		}
	}
}

// finishCheckpoint does what is left of a checkpoint while nobody writes.
func (l *Log) finishCheckpoint() error {
	complete, err := checkpoint(context.Background(), l.writer, gentleCheckpoint)
	if err != nil {
		return l.failed(err)
	}
	if complete {
		l.written.Store(0)
		l.nextCheckpoint.Store(l.checkpointBytes)
		return nil
	}
	// Somebody reads, and must not be asked for at every commit.
	l.nextCheckpoint.Store(l.written.Load() + l.checkpointBytes/2)
	return nil
}

// measure asks how many pages are in use.
func (l *Log) measure(ctx context.Context) error {
	const pagesSQL = "SELECT page_count, freelist_count, page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
	var pages, free, size int64
	if err := l.writer.QueryRowContext(ctx, pagesSQL).Scan(&pages, &free, &size); err != nil {
		return err
	}
	l.mu.Lock()
	l.counters.liveBytes, l.counters.freeBytes = (pages-free)*size, free*size
	l.mu.Unlock()
	return nil
}

// tidy gives free pages back to the system when nobody waits, and sees that an idle log has nothing in its journal.
func (l *Log) tidy() {
	if len(l.queue) > 0 {
		return
	}
	written := l.written.Load()
	if written > 0 && written == l.writtenBefore {
		l.wantCheckpoint()
	}
	for range vacuumSteps {
		l.mu.Lock()
		tooMuch := l.counters.freeBytes > max(l.keepFree, l.counters.liveBytes)
		l.mu.Unlock()
		if !tooMuch || len(l.queue) > 0 {
			break
		}
		err := l.vacuum(context.Background())
		if l.vacuumFailures.begin(err) {
			l.log.Warn("the write-ahead log cannot give space back", "path", l.path, "error", err)
		}
		if err != nil {
			break
		}
	}
	l.writtenBefore = written
}

// vacuum moves some pages from the end of the file to free ones and cuts it. The file shrinks with the next checkpoint.
func (l *Log) vacuum(ctx context.Context) error {
	// Each page is a row of the result: all have to be asked for.
	rows, err := l.writer.QueryContext(ctx, "PRAGMA incremental_vacuum("+strconv.Itoa(vacuumPages)+")")
	if err != nil {
		return l.failed(err)
	}
	defer func() { _ = rows.Close() }() // Err says what went wrong
	moved := int64(0)
	for rows.Next() {
		moved++
	}
	if err := rows.Err(); err != nil {
		return l.failed(err)
	}
	l.wrote(moved * pageSize)
	return l.measure(ctx)
}

// wrote counts what went into SQLite's journal.
func (l *Log) wrote(bytes int64) {
	if l.written.Add(bytes) >= l.nextCheckpoint.Load() {
		l.wantCheckpoint()
	}
}

// folder is where the log lies.
func (l *Log) folder() string { return filepath.Dir(l.path) }

// fileBytes is what the log takes on disk, with its journal.
func (l *Log) fileBytes() (total int64, err error) {
	for _, name := range []string{l.path, l.path + "-wal"} {
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, err
		}
		total += info.Size()
	}
	return total, nil
}

// streak is a run of failures, of which only the first is news.
type streak struct{ failing bool }

// begin notes how something went, and tells whether a streak begins with it.
func (s *streak) begin(err error) bool {
	news := err != nil && !s.failing
	s.failing = err != nil
	return news
}
