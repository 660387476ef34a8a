package index

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

const (
	// A file that is still being written is looked at again after firstLook, then twice as late each time, up to lastLook.
	firstLook = 250 * time.Millisecond
	lastLook  = 10 * time.Second
)

// unfinishedFile is a file without a footer that changed a moment ago: its writer has probably not finished it.
type unfinishedFile struct {
	file span.File
	// since is when it was first seen as it is now, by our own clock: that of a file server may be wrong.
	since time.Time
	// next is when it is looked at again, wait how long after the last time.
	next time.Time
	wait time.Duration
}

// looksUnfinished tells whether a failure may be that of a file whose writer has not finished it.
func looksUnfinished(failure *FileError) bool {
	return failure != nil && (failure.Type == Truncated || failure.Type == NotParquet)
}

// setUnfinishedAside takes the files that may still be being written out of the batch: nothing is recorded of them.
func (x *Index) setUnfinishedAside(items []*item) {
	now := x.now()
	for _, it := range items {
		if it.again || it.settle == 0 || !looksUnfinished(it.failure) {
			continue
		}
		seen := x.backlog.unfinished[it.file.Path]
		changed := seen != nil && !sameFile(seen.file, it.file)
		settled := seen != nil && !changed && now.Sub(seen.since) >= it.settle
		// What was old when we first saw it, as a file that was moved in is, will not change any more.
		settled = settled || seen == nil && now.Sub(it.file.ModTime) >= it.settle
		if !settled {
			it.failure, it.unfinished = nil, true
		}
	}
}

// noteUnfinished remembers after a batch which of its files are still being written, and forgets the others.
func (x *Index) noteUnfinished(items []*item, summary *span.Summary) {
	now := x.now()
	for _, it := range items {
		seen := x.backlog.unfinished[it.file.Path]
		switch {
		case !it.unfinished:
			delete(x.backlog.unfinished, it.file.Path)
			continue
		case seen == nil:
			if x.backlog.unfinished == nil {
				x.backlog.unfinished = make(map[string]*unfinishedFile)
			}
			seen = &unfinishedFile{file: it.file, since: now, wait: firstLook}
			x.backlog.unfinished[it.file.Path] = seen
		case !sameFile(seen.file, it.file):
			seen.file, seen.since, seen.wait = it.file, now, firstLook
		default:
			seen.wait = min(2*seen.wait, lastLook)
		}
		seen.next = now.Add(seen.wait)
		summary.FilesUnfinished++
	}
}

// sameFile tells whether a file is as it was, as far as the system tells.
func sameFile(a, b span.File) bool {
	return a.Size == b.Size && a.ModTime.UnixMicro() == b.ModTime.UnixMicro()
}

// forgetUnfinished forgets the files that are not there any more.
func (l *look) forgetUnfinished(scope []string) {
	covered := make(map[string]bool, len(scope))
	for _, place := range scope {
		covered[place] = true
	}
	for name := range l.index.backlog.unfinished {
		folder := path.Dir(name)
		if folder == "." {
			folder = ""
		}
		if !l.unfinished[name] && (l.whole || covered[name] || covered[folder]) && l.known(name) {
			delete(l.index.backlog.unfinished, name)
		}
	}
}

// forgetFinished forgets the files that are there and need no work, such as those that another file's transaction took in
// or that somebody has put back as they were.
func (l *look) forgetFinished(ctx context.Context) error {
	if len(l.unfinished) == 0 {
		return nil
	}
	pending, err := l.index.queryStrings(ctx, `SELECT path FROM lake_pending WHERE path IN (SELECT unnest($1::VARCHAR[]))`,
		slices.Collect(maps.Keys(l.unfinished)))
	if err != nil {
		return err
	}
	for name := range l.unfinished {
		if !slices.Contains(pending, name) {
			delete(l.index.backlog.unfinished, name)
		}
	}
	return nil
}

// skipUnfinished leaves the files that are still being written out of the backlog until it is their time, however often
// their writer wakes us.
func (l *look) skipUnfinished(ctx context.Context, now time.Time) error {
	var early []string
	for path, seen := range l.index.backlog.unfinished {
		if seen.next.After(now) {
			early = append(early, path)
			if l.unfinished[path] {
				l.found.Unfinished++
			}
		}
	}
	if len(early) == 0 {
		return nil
	}
	if _, err := l.index.conn.ExecContext(ctx, dropPendingSQL, early); err != nil {
		return fmt.Errorf("leave unfinished files out: %w", err)
	}
	return nil
}

const (
	dueFailedSQL = `
SELECT file_path FROM failed_parquet_files WHERE file_mtime IS NULL OR retry_at <= $1 ORDER BY file_path LIMIT 1000`

	nextRetrySQL = `SELECT min(retry_at) FROM failed_parquet_files WHERE retry_at > $1`
)

// Due says which files have to be looked at again although nothing may have happened to them, since they were still being
// written or have failed, and when the next ones will be; next is zero if there are none.
func (x *Index) Due(ctx context.Context) (paths []string, next time.Time, err error) {
	unlock, err := x.lockWriter(ctx)
	if err != nil {
		return nil, next, err
	}
	defer unlock()
	ctx = uncancelled(ctx)
	now := x.now()
	var retry *time.Time
	err = x.patiently(ctx, func(ctx context.Context) (err error) {
		if paths, err = x.queryStrings(ctx, dueFailedSQL, now); err != nil {
			return err
		}
		return x.conn.QueryRowContext(ctx, nextRetrySQL, now).Scan(&retry)
	})
	if err != nil {
		return nil, next, fmt.Errorf("find files to try again: %w", err)
	}
	if retry != nil {
		next = *retry
	}
	for path, seen := range x.backlog.unfinished {
		if !seen.next.After(now) {
			paths = append(paths, path)
			continue
		}
		if next.IsZero() || seen.next.Before(next) {
			next = seen.next
		}
	}
	return paths, next, nil
}
