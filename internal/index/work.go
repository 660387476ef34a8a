package index

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// queueLength is how many files are taken out of lake_pending at once: enough that finding the newest files costs nothing
// beside indexing them, and few enough to be put back when a look finds newer ones.
const queueLength = 1000

// backlog is what Look noted and Work has not done yet: a queue of the next files, and the rest in lake_pending. The
// temporary table is lost when the database is opened again; a whole look makes it anew.
type backlog struct {
	queue []pendingFile
	// rest are the rows of lake_pending.
	rest int64
	// unfinished are the files that are still being written, by path.
	unfinished map[string]*unfinishedFile
	// done are paths that a transaction dealt with beside its own.
	done []string
	// lost: the database was opened again, and no look has been at the whole lake since.
	lost bool

	mu   sync.Mutex // guards what follows, which anybody may ask for
	size Backlog
	// listed and listedTotal are what Pending tells.
	listed      []span.File
	listedTotal int64
}

type pendingFile struct {
	file span.File
	gone bool
}

// Backlog says what waits to be done.
func (x *Index) Backlog() Backlog {
	x.backlog.mu.Lock()
	defer x.backlog.mu.Unlock()
	return x.backlog.size
}

// changeBacklog keeps the measure of the backlog.
func (x *Index) changeBacklog(change func(*Backlog)) {
	x.backlog.mu.Lock()
	defer x.backlog.mu.Unlock()
	change(&x.backlog.size)
	x.backlog.size.Unfinished = int64(len(x.backlog.unfinished))
	if x.backlog.size.Files == 0 {
		x.backlog.size.Oldest = time.Time{}
	}
}

const measureSQL = `
SELECT count(*) FILTER (NOT gone), CAST(coalesce(sum(size) FILTER (NOT gone), 0) AS BIGINT), count(*) FILTER (gone),
       coalesce(min(mtime) FILTER (NOT gone), 0)
FROM lake_pending`

// measure counts lake_pending, when all of the backlog is in it.
func (x *Index) measure(ctx context.Context) (Backlog, error) {
	var size Backlog
	var oldest int64
	err := x.conn.QueryRowContext(ctx, measureSQL).Scan(&size.Files, &size.Bytes, &size.Gone, &oldest)
	size.Oldest = time.UnixMicro(oldest)
	return size, err
}

// setBacklog takes over what measure has counted.
func (x *Index) setBacklog(size Backlog) {
	x.backlog.rest = size.Files + size.Gone
	x.changeBacklog(func(b *Backlog) { *b = size })
}

// returnQueue puts the queue back into lake_pending, where a look compares it with what it found.
func (x *Index) returnQueue(ctx context.Context) error {
	if len(x.backlog.queue) == 0 {
		return nil
	}
	err := x.appendRows(ctx, "lake_pending", func(add func(...driver.Value) error) error {
		for _, p := range x.backlog.queue {
			if err := add(p.file.Path, p.file.Size, p.file.ModTime.UnixMicro(), p.gone); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("return files to the backlog: %w", err)
	}
	x.backlog.rest += int64(len(x.backlog.queue))
	x.backlog.queue = nil
	return nil
}

const (
	// The newest files go first, so that recent traces show up while history is caught up. What is gone goes before them:
	// it is quick, and frees space.
	nextFilesSQL = `
SELECT path, size, mtime, gone FROM lake_pending ORDER BY gone DESC, mtime DESC, path LIMIT $1`

	dropPendingSQL = `DELETE FROM lake_pending WHERE path IN (SELECT unnest($1::VARCHAR[]))`
)

// fillQueue takes the next files out of lake_pending.
func (x *Index) fillQueue(ctx context.Context) error {
	if len(x.backlog.queue) > 0 || x.backlog.rest == 0 {
		return nil
	}
	var queue []pendingFile
	var paths []string
	err := x.eachRow(ctx, nextFilesSQL, func(scan func(...any) error) error {
		var p pendingFile
		var mtime int64
		if err := scan(&p.file.Path, &p.file.Size, &mtime, &p.gone); err != nil {
			return err
		}
		p.file.ModTime = time.UnixMicro(mtime)
		queue, paths = append(queue, p), append(paths, p.file.Path)
		return nil
	}, queueLength)
	if err != nil {
		return fmt.Errorf("find the next files: %w", err)
	}
	if _, err := x.conn.ExecContext(ctx, dropPendingSQL, paths); err != nil {
		return fmt.Errorf("find the next files: %w", err)
	}
	x.backlog.queue = queue
	x.backlog.rest -= int64(len(queue))
	return nil
}

// nextItems takes the files of the next transaction from the queue: files that are gone, or files to be indexed.
func (x *Index) nextItems(ctx context.Context) ([]*item, error) {
	if err := x.fillQueue(ctx); err != nil {
		return nil, err
	}
	var items []*item
	queue := x.backlog.queue
	for len(items) < x.opts.BatchSize && len(queue) > 0 && queue[0].gone == x.backlog.queue[0].gone {
		items = append(items, &item{file: queue[0].file, gone: queue[0].gone})
		queue = queue[1:]
	}
	x.backlog.queue = queue
	// Of repeats within a batch the one in the first path stays, in whatever order files are taken.
	slices.SortFunc(items, func(a, b *item) int { return strings.Compare(a.file.Path, b.file.Path) })
	return items, nil
}

// WorkOptions say how Work treats files.
type WorkOptions struct {
	// Settle is how long a file without a footer must not have changed until it is recorded as failed; before that it may
	// still be being written. 0 records it at once.
	Settle time.Duration
	// Starting is called with the files of the transaction before it begins. It may be nil.
	Starting func(files []string)
}

// Step is what one call of Work did.
type Step struct {
	span.Summary
	// Files and Bytes were to be indexed in this step; what became of them is in Summary.
	Files, Bytes int64
	// Failures are the files that could not be indexed.
	Failures []*FileError
	// More: there is more to do.
	More bool
}

// ErrReopened says that the database was opened again and has forgotten what the last looks found: look at the whole lake.
var ErrReopened = errors.New("the index was opened again")

// Work does one transaction of what Look found: removals first, then the newest files. After an error, what was committed
// stays, and the files of the transaction are still to be done; it says ErrReopened until a whole look has come.
func (x *Index) Work(ctx context.Context, o WorkOptions) (Step, error) {
	unlock, err := x.lockWriter(ctx)
	if err != nil {
		return Step{}, err
	}
	defer unlock()
	if x.backlog.lost {
		return Step{}, ErrReopened
	}
	if err := ctx.Err(); err != nil {
		return Step{}, err
	}
	var items []*item
	err = x.patiently(uncancelled(ctx), func(ctx context.Context) error {
		if err := x.freeTemp(ctx); err != nil {
			return err
		}
		if x.backlog.lost {
			return ErrReopened
		}
		items, err = x.nextItems(ctx)
		return err
	})
	if err != nil || len(items) == 0 {
		return Step{}, err
	}
	if o.Starting != nil {
		o.Starting(paths(items))
	}
	step := Step{}
	work := append([]*item(nil), items...)
	for _, it := range items {
		it.settle = o.Settle
		if !it.gone {
			step.Files++
			step.Bytes += it.file.Size
		}
	}
	step.Summary, err = x.runBatch(ctx, work)
	if err != nil {
		err = errors.Join(err, ctx.Err()) // DuckDB only says that it was interrupted
		// They come before what is left.
		for _, it := range slices.Backward(items) {
			x.backlog.queue = slices.Insert(x.backlog.queue, 0, pendingFile{file: it.file, gone: it.gone})
		}
		return step, err
	}
	for _, it := range items {
		if it.failure != nil {
			step.Failures = append(step.Failures, it.failure)
		}
	}
	x.noteUnfinished(items, &step.Summary)
	if x.backlog.lost {
		return step, ErrReopened
	}
	x.countDone(step, len(items))
	if err := x.patiently(uncancelled(ctx), x.dropDone); err != nil {
		return step, err
	}
	if err := x.patiently(uncancelled(ctx), x.publish); err != nil {
		return step, err
	}
	if step.LongestSort, err = x.sortLookup(ctx); err != nil {
		return step, err
	}
	if err := x.mergeDaily(ctx); err != nil {
		return step, err
	}
	step.More = len(x.backlog.queue) > 0 || x.backlog.rest > 0
	return step, nil
}

// noteDone notes files that a transaction has brought up to date although it was not their turn.
func (x *Index) noteDone(items []*item) {
	for _, it := range items {
		if !it.again && !it.vanished && !it.unfinished {
			x.backlog.done = append(x.backlog.done, it.file.Path)
		}
	}
}

func paths(items []*item) []string {
	all := make([]string, len(items))
	for i, it := range items {
		all[i] = it.file.Path
	}
	return all
}

// countDone takes what a step did out of the measure of the backlog.
func (x *Index) countDone(step Step, items int) {
	gone := int64(0)
	if step.Files == 0 {
		gone = int64(items)
	}
	x.changeBacklog(func(b *Backlog) {
		b.Files -= step.Files
		b.Bytes -= step.Bytes
		b.Gone -= gone
	})
}

// dropDone takes out of the backlog what transactions did beside their own: files that were read since they repeat spans
// of removed ones may have been waiting themselves.
func (x *Index) dropDone(ctx context.Context) error {
	if len(x.backlog.done) == 0 {
		return nil
	}
	if err := x.returnQueue(ctx); err != nil {
		return err
	}
	if _, err := x.conn.ExecContext(ctx, dropPendingSQL, x.backlog.done); err != nil {
		return fmt.Errorf("drop files from the backlog: %w", err)
	}
	size, err := x.measure(ctx)
	if err != nil {
		return fmt.Errorf("drop files from the backlog: %w", err)
	}
	x.setBacklog(size)
	x.backlog.done = nil
	return nil
}
