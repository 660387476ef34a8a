package follow

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/spanlake/spanlake/internal/index"
	"github.com/spanlake/spanlake/internal/span"
)

// loop is what Run knows from one cycle to the next.
type loop struct {
	// whole: the next look has to be at the whole lake, since something was lost.
	whole bool
	// When the last looks were, and when the next files are due to be tried again; zero if none are.
	lastWhole, lastPoll, due time.Time
	lastRetired              time.Time
	// quiet is how long to wait after a look that found nothing to do.
	quiet time.Duration
	// waiting are the requests that the running cycle answers.
	waiting []*request
	// reopened counts how often in a row the database was opened again.
	reopened  int
	logged    string // the last failure that was logged
	retention string // the failure of retention that was logged
	absent    bool   // the lake folder is not there, and that was logged
}

// Run follows the lake until ctx ends. The transaction that is then under way is rolled back.
func (f *Follower) Run(ctx context.Context) {
	var watching sync.WaitGroup
	defer watching.Wait()
	if f.opts.Watcher != nil {
		watching.Go(func() { f.opts.Watcher.Run(ctx) })
	}
	f.loop.whole = true
	for ctx.Err() == nil {
		start := time.Now()
		err := f.cycle(ctx)
		if ctx.Err() != nil {
			break
		}
		if f.startsAnew(err) {
			continue
		}
		f.opts.Observer.Cycle(time.Since(start), err)
		if err == nil {
			f.noteSuccess()
		} else {
			f.noteFailure(err)
		}
		f.answer(err)
		f.sleep(ctx, err)
	}
	f.update(func(s *status) { s.stopped, s.current = true, nil })
	close(f.ended)
	f.answer(ErrStopped)
}

// startsAnew tells whether the listing was lost with the database's connection, which is no failure: what was committed
// stays. If that goes on without end, something else is wrong.
func (f *Follower) startsAnew(err error) bool {
	l := &f.loop
	if !errors.Is(err, index.ErrReopened) {
		l.reopened = 0
		return false
	}
	l.reopened++
	l.whole = true
	f.lake.Forget()
	for _, r := range l.waiting {
		r.looked = false
	}
	return l.reopened < maxReopened
}

func (f *Follower) update(change func(*status)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.status)
}

// answer ends the requests that the last cycle was for.
func (f *Follower) answer(err error) {
	for _, r := range f.loop.waiting {
		r.err = err
		close(r.done)
	}
	f.loop.waiting = nil
}

// sleep waits until there is something to do.
func (f *Follower) sleep(ctx context.Context, err error) {
	l := &f.loop
	if err == nil && !f.wait(ctx, l.quiet, nil) {
		return
	}
	wait := max(time.Until(l.lastPoll.Add(f.opts.Poll)), 0)
	if !l.due.IsZero() {
		wait = min(wait, max(time.Until(l.due), 0))
	}
	if err != nil {
		wait = f.backoff()
	}
	var wake <-chan struct{}
	// That the lake is back is an event as well.
	if f.opts.Watcher != nil && (err == nil || errors.Is(err, ErrLakeAbsent)) {
		wake = f.opts.Watcher.Wake()
	}
	f.wait(ctx, wait, wake)
}

// wait waits for a time, for wake, which may be nil, or for somebody who asks for something. It tells whether the time went
// by undisturbed.
func (f *Follower) wait(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-wake:
	case <-f.nudge:
		f.loop.due = time.Now()
	case r := <-f.requests:
		f.loop.waiting = append(f.loop.waiting, r)
	}
	return false
}

// backoff is how long to wait after the failed cycles so far.
func (f *Follower) backoff() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return min(firstBackoff<<min(f.status.failures-1, 16), lastBackoff)
}

// cycle looks at what may have changed and works until nothing is left to do.
func (f *Follower) cycle(ctx context.Context) error {
	start, did := time.Now(), span.Summary{}
	if err := f.look(ctx); err != nil {
		return err
	}
	steps := 0
	for {
		step, err := f.index.Work(ctx, index.WorkOptions{Settle: f.opts.Settle, Starting: func(files []string) {
			f.update(func(s *status) { s.current = files })
		}})
		f.update(func(s *status) { s.current = nil })
		f.observe(step, &did)
		if err != nil {
			return err
		}
		if step.Files > 0 || step.FilesRemoved > 0 {
			steps++
			f.noteSuccess() // however long the backlog is
		}
		if !step.More {
			break
		}
		// What came meanwhile may be newer than what waits.
		if err := f.lookAgain(ctx); err != nil {
			return err
		}
		// However long the backlog is, unfinished files get their turn, and old files have to make room.
		if f.loop.due.IsZero() {
			if err := f.findDue(ctx); err != nil {
				return err
			}
		}
		if err := f.retire(ctx); err != nil {
			return err
		}
	}
	f.loop.quiet = f.loop.nextQuiet(steps > 0)
	f.logDone(did, steps, time.Since(start))
	if err := f.findDue(ctx); err != nil {
		return err
	}
	return f.retire(ctx)
}

// nextQuiet is how long to wait after a cycle before the watcher may wake us again.
func (l *loop) nextQuiet(busy bool) time.Duration {
	if busy {
		return 0
	}
	return min(max(2*l.quiet, quietFirst), quietLast)
}

// observe counts a step, for the observer and for who asked for the cycle.
func (f *Follower) observe(step index.Step, did *span.Summary) {
	f.opts.Observer.Batch(step.Summary)
	for _, failure := range step.Failures {
		f.opts.Observer.Failed(string(failure.Type))
	}
	did.Add(step.Summary)
	for _, r := range f.loop.waiting {
		r.summary.Add(step.Summary)
	}
}

// logDone says when a backlog has been caught up with.
func (f *Follower) logDone(did span.Summary, steps int, took time.Duration) {
	switch {
	case steps > 1 && took > worthTelling:
		f.log.Info("caught up with the lake", "files_indexed", did.FilesIndexed, "files_removed", did.FilesRemoved,
			"spans_indexed", did.SpansIndexed, "took", took.Round(time.Millisecond))
	case steps > 0:
		f.log.Debug("indexed", "files_indexed", did.FilesIndexed, "files_removed", did.FilesRemoved, "spans_indexed", did.SpansIndexed,
			"took", took.Round(time.Millisecond))
	}
}

// lookAgain looks between two transactions, if there is reason to.
func (f *Follower) lookAgain(ctx context.Context) error {
	select {
	case r := <-f.requests:
		f.loop.waiting = append(f.loop.waiting, r)
		return f.look(ctx)
	default:
	}
	if f.opts.Watcher != nil {
		select {
		case <-f.opts.Watcher.Wake():
			return f.look(ctx)
		default:
		}
	}
	select {
	case <-f.nudge:
		f.loop.due = time.Now()
	default:
	}
	due := !f.loop.due.IsZero() && !time.Now().Before(f.loop.due)
	if due || time.Since(f.loop.lastPoll) >= f.opts.Poll {
		return f.look(ctx)
	}
	return nil
}

// findDue plans the next look at files that are due to be tried again.
func (f *Follower) findDue(ctx context.Context) error {
	paths, next, err := f.index.Due(ctx)
	if err != nil {
		return err
	}
	f.loop.due = next
	if len(paths) > 0 {
		// They became due in this moment, or what they lie in cannot be read.
		f.loop.due = time.Now().Add(dueAgain)
	}
	return nil
}

// retire deletes files that have become too old.
func (f *Follower) retire(ctx context.Context) error {
	if f.opts.Remove == nil || f.withheld() > 0 || time.Since(f.loop.lastRetired) < retireEvery {
		return nil
	}
	start := time.Now()
	f.loop.lastRetired = start
	for more := true; more; {
		retired, err := f.index.Retire(ctx, f.opts.Retention, f.opts.Remove)
		if retired.Files > 0 {
			f.opts.Observer.Retired(int(retired.Files), retired.Bytes)
			f.log.Info("deleted files by retention", "files", retired.Files, "bytes", retired.Bytes)
		}
		if errors.Is(err, index.ErrReopened) || ctx.Err() != nil {
			return err
		}
		if err != nil {
			// A file that cannot be deleted does not keep others from being indexed.
			if f.loop.retention != err.Error() {
				f.log.Error("retention fails, trying again every minute", "error", err)
			}
			f.loop.retention = err.Error()
			return nil
		}
		f.loop.retention = ""
		more = retired.More
		if more && time.Since(start) > retireSlice {
			f.loop.lastRetired = time.Time{} // goes on after a look
			f.wake()
			return nil
		}
	}
	return nil
}

// noteSuccess logs that failures are over.
func (f *Follower) noteSuccess() {
	var failures int64
	f.update(func(s *status) { failures, s.failures = s.failures, 0 })
	if failures > 0 {
		f.log.Info("the indexer works again", "failed_cycles", failures)
		f.loop.logged = ""
	}
}

// noteFailure logs a failure, but not again while it goes on, and has the next cycle look at the whole lake.
func (f *Follower) noteFailure(err error) {
	l := &f.loop
	l.whole = true
	f.lake.Forget()
	f.update(func(s *status) {
		s.failures++
		s.failure, s.failedAt = err.Error(), time.Now()
	})
	if l.logged != err.Error() {
		f.log.Error("the indexer fails, trying again with backoff", "error", err)
		l.logged = err.Error()
	}
}
