package follow

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spanlake/spanlake/internal/index"
	"github.com/spanlake/spanlake/internal/span"
)

// ErrLakeAbsent says that the lake folder is not there although the index knows files of it.
var ErrLakeAbsent = errors.New("the lake folder does not exist, the index keeps what it has: is it mounted?")

// look looks at as little of the lake as will do.
func (f *Follower) look(ctx context.Context) error {
	l := &f.loop
	var changed []string
	if f.opts.Watcher != nil {
		paths, lost := f.opts.Watcher.Take()
		changed = paths
		l.whole = l.whole || lost
	}
	now := time.Now()
	asked := slices.ContainsFunc(l.waiting, func(r *request) bool { return !r.looked })
	withheld := f.withheld() > 0
	switch {
	case l.whole || asked || now.Sub(l.lastWhole) >= f.opts.Relist || withheld && now.Sub(l.lastPoll) >= f.opts.Poll:
		return f.lookAtAll(ctx)
	case now.Sub(l.lastPoll) >= f.opts.Poll:
		if err := f.lookAtChanges(ctx); err != nil {
			return err
		}
	}
	if !l.due.IsZero() && !now.Before(l.due) {
		due, next, err := f.index.Due(ctx)
		if err != nil {
			return err
		}
		changed = append(changed, due...)
		l.due = next // those of now are looked at below; the end of the cycle plans anew
	}
	if len(changed) == 0 {
		return nil
	}
	_, err := f.take(ctx, f.lake.Paths(ctx, changed))
	return err
}

// lookAtAll looks at the whole lake, and names what is to be watched.
func (f *Follower) lookAtAll(ctx context.Context) error {
	l := &f.loop
	start := time.Now()
	found, err := f.take(ctx, f.lake.Whole(ctx))
	if err != nil {
		return err
	}
	l.whole, l.lastWhole, l.lastPoll = false, start, start
	f.noteWithheld(found.Withheld)
	backlog := f.index.Backlog()
	for _, r := range l.waiting {
		if r.looked {
			continue
		}
		r.looked = true
		r.summary.FilesFound, r.summary.FilesWaiting = found.Files, found.Waiting
		r.summary.FilesFailed = found.Waiting
		r.summary.FilesWithheld, r.summary.LakeAbsent = found.Withheld, found.Absent
		r.summary.FilesUnfinished = found.Unfinished
		r.summary.FilesUnchanged = found.Files - found.Waiting - found.Unfinished - backlog.Files - r.summary.FilesIndexed
	}
	f.update(func(s *status) { s.watermark, s.ready = start, true })
	if f.opts.Watcher == nil {
		return nil
	}
	f.opts.Watcher.Watch(f.lake.Folders())
	// What came after a folder was listed and before it was watched has changed the folder.
	return f.lookAtChanges(ctx)
}

// lookAtChanges looks at the folders that have changed.
func (f *Follower) lookAtChanges(ctx context.Context) error {
	start := time.Now()
	if _, err := f.take(ctx, f.lake.Changed(ctx)); err != nil {
		return err
	}
	f.loop.lastPoll = start
	f.update(func(s *status) { s.watermark = start })
	if f.opts.Watcher != nil {
		f.opts.Watcher.Watch(f.lake.Folders())
	}
	return nil
}

// take has the index take a listing in. Once somebody has confirmed that files are gone, that holds until the cycle is over:
// a look between two removals must not take it back.
func (f *Follower) take(ctx context.Context, listing span.Listing) (index.Found, error) {
	acceptMissing := slices.ContainsFunc(f.loop.waiting, func(r *request) bool { return r.acceptMissing })
	// While files are withheld, only a look at the whole lake can tell whether they are back.
	keep := !listing.Whole && f.withheld() > 0 && !acceptMissing
	found, err := f.index.Look(ctx, listing, index.LookOptions{KeepMissing: keep, AcceptMissing: acceptMissing})
	if err != nil {
		return found, err
	}
	if found.Withheld > 0 && !listing.Whole {
		f.noteWithheld(found.Withheld)
	}
	f.noteUnread(found.Unread, listing.Whole)
	return found, f.checkAbsent(ctx, found, acceptMissing)
}

func (f *Follower) withheld() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status.withheld
}

// noteWithheld logs when files begin and cease to be withheld.
func (f *Follower) noteWithheld(files int64) {
	before := f.withheld()
	f.update(func(s *status) { s.withheld = files })
	switch {
	case before == 0 && files > 0:
		f.log.Warn("more than half of the indexed files are gone from the lake, none is removed from the index: is it mounted? "+
			"`spanlake index --accept-missing` confirms that they are gone", "files_gone", files)
	case before > 0 && files == 0:
		f.log.Info("files are not missing any more", "files", before)
	}
}

// noteUnread logs when a place of the lake begins and ceases to be unreadable.
func (f *Follower) noteUnread(unread []*span.ScanError, whole bool) {
	f.mu.Lock()
	before := f.status.unread
	f.mu.Unlock()
	var now []string
	if !whole {
		now = slices.Clone(before) // what was not looked at stays as it is known
	}
	for _, u := range unread {
		if u.Path == "." {
			continue // checkAbsent
		}
		if !slices.Contains(now, u.Path) {
			now = append(now, u.Path)
		}
		if !slices.Contains(before, u.Path) {
			f.log.Warn("cannot read a place of the lake, going on with the rest", "path", u.Path, "error", u.Err)
		}
	}
	for _, place := range before {
		if !slices.Contains(now, place) {
			f.log.Info("a place of the lake can be read again", "path", place)
		}
	}
	f.update(func(s *status) { s.unread = now })
}

// checkAbsent is an error if the lake folder is gone; that it is not there yet is none.
func (f *Follower) checkAbsent(ctx context.Context, found index.Found, accepted bool) error {
	if !found.Absent {
		f.loop.absent = false
		return nil
	}
	totals, err := f.index.Totals(ctx)
	if err != nil {
		return err
	}
	if totals.Files > 0 && !accepted {
		return ErrLakeAbsent
	}
	if !f.loop.absent {
		f.loop.absent = true
		f.log.Info("the lake folder does not exist yet, waiting for it")
	}
	return nil
}
