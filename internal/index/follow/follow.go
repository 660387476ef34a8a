// Package follow keeps an index equal to a lake that others write to: it looks when something changes, and now and then.
package follow

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/spanlake/spanlake/internal/index"
	"github.com/spanlake/spanlake/internal/span"
)

// Lake lists a lake. One goroutine uses it.
type Lake interface {
	// Whole lists everything, Changed the folders that changed since they were listed, Paths only these places, whatever
	// they are and however often they are named.
	Whole(ctx context.Context) span.Listing
	Changed(ctx context.Context) span.Listing
	Paths(ctx context.Context, paths []string) span.Listing
	// Forget makes the next Changed list everything: what was listed was not taken in.
	Forget()
	// Folders are those that are known, in the order in which they are worth watching.
	Folders() []string
}

// Watcher tells of changes of a lake as they happen.
type Watcher interface {
	// Run watches until ctx ends.
	Run(ctx context.Context)
	// Watch names the folders to watch.
	Watch(folders []string)
	// Wake receives when there is something to take.
	Wake() <-chan struct{}
	// Take returns the places that changed since the last call; lost says that there are others, nobody knows which.
	Take() (paths []string, lost bool)
}

// Observer counts what happens.
type Observer interface {
	Cycle(took time.Duration, err error)
	Batch(done span.Summary)
	Failed(errorType string)
	Retired(files int, bytes int64)
}

const (
	// relist is how often the whole lake is listed, whatever seems to have changed: a file that is rewritten in place where
	// nothing can be watched changes no folder.
	relist = 10 * time.Minute
	// settle is how long a file without a footer must not have changed until it is recorded as failed.
	settle = time.Minute
	// retireEvery is how often files are looked for that have become too old.
	retireEvery = time.Minute
	// retireSlice is how long files are deleted until it is the turn of looks and requests again.
	retireSlice = time.Second
	// After a failed cycle the next one begins after firstBackoff, then twice as late each time, up to lastBackoff.
	firstBackoff = time.Second
	lastBackoff  = time.Minute
	// Looks that find nothing to do, as while a file is written slowly, come no closer together than quietFirst, then
	// twice as far each time, up to quietLast: what is published meanwhile has to be found soon.
	quietFirst = 5 * time.Millisecond
	quietLast  = 80 * time.Millisecond
	// dueAgain is the least time between two looks at the files that are due to be tried again.
	dueAgain = 2 * time.Second
	// maxReopened is how often in a row a cycle may begin anew since the database had to be opened again.
	maxReopened = 100
	// worthTelling is how long catching up with a backlog takes when an operator wants to know.
	worthTelling = time.Second
)

// Options say how a lake is followed.
type Options struct {
	// Poll is how often the lake is looked through. It must be given; the other durations have the defaults above.
	Poll, Relist, Settle time.Duration
	// Retention may be zero: then no file is ever deleted.
	Retention span.RetentionPolicy
	// Remove deletes a file of the lake that retention lets go.
	Remove func(span.File) error
	// List lists the whole lake, for whoever compares it with the index.
	List func(context.Context) iter.Seq2[span.File, error]
	// Watcher may be nil: then changes are found by polling alone.
	Watcher  Watcher
	Observer Observer
	Log      *slog.Logger
}

// Follower follows a lake.
type Follower struct {
	index *index.Index
	lake  Lake
	opts  Options
	log   *slog.Logger

	requests chan *request
	// nudge wakes the loop to look at what is due.
	nudge chan struct{}
	ended chan struct{} // closed when Run has ended

	loop loop // belongs to Run

	mu     sync.Mutex
	status status
}

// status is what Status tells that the index does not know.
type status struct {
	current   []string
	started   time.Time
	ready     bool // the whole lake has been looked at
	stopped   bool
	withheld  int64
	unread    []string
	watermark time.Time
	failures  int64
	failure   string
	failedAt  time.Time
}

// request asks for a pass over the whole lake.
type request struct {
	acceptMissing bool
	looked        bool // the whole lake was looked at for it
	done          chan struct{}
	summary       span.Summary
	err           error
}

// New makes a follower of a lake into an index. Run follows.
func New(x *index.Index, lake Lake, o Options) *Follower {
	if o.Relist == 0 {
		o.Relist = relist
	}
	if o.Settle == 0 {
		o.Settle = settle
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Observer == nil {
		o.Observer = unobserved{}
	}
	f := &Follower{index: x, lake: lake, opts: o, log: o.Log, requests: make(chan *request), nudge: make(chan struct{}, 1),
		ended: make(chan struct{})}
	f.status.started = time.Now()
	return f
}

// unobserved is an Observer for who wants none.
type unobserved struct{}

// Cycle counts nothing.
func (unobserved) Cycle(time.Duration, error) {}

// Batch counts nothing.
func (unobserved) Batch(span.Summary) {}

// Failed counts nothing.
func (unobserved) Failed(string) {}

// Retired counts nothing.
func (unobserved) Retired(int, int64) {}

// ErrStopped says that the follower does not run any more.
var ErrStopped = errors.New("the indexer was stopped")

// IndexNow looks at the whole lake and waits until all that it found is done. acceptMissing confirms that files are gone.
func (f *Follower) IndexNow(ctx context.Context, acceptMissing bool) (span.Summary, error) {
	start := time.Now()
	r := &request{acceptMissing: acceptMissing, done: make(chan struct{})}
	select {
	case f.requests <- r:
	case <-f.ended:
		return span.Summary{}, ErrStopped
	case <-ctx.Done():
		return span.Summary{}, ctx.Err()
	}
	select {
	case <-r.done:
		r.summary.Elapsed = time.Since(start)
		return r.summary, r.err
	case <-ctx.Done():
		return span.Summary{}, ctx.Err() // it goes on without us
	}
}

// Retry lets a failed file be tried again at once, although it has not changed.
func (f *Follower) Retry(ctx context.Context, path string) error {
	defer f.wake()
	return f.index.Retry(ctx, path)
}

// RetryAll is Retry for all failed files. It says how many there are.
func (f *Follower) RetryAll(ctx context.Context) (int64, error) {
	defer f.wake()
	return f.index.RetryAll(ctx)
}

// Verify compares the index with the lake. What is still to be done is no difference.
func (f *Follower) Verify(ctx context.Context, found func(span.Difference)) (int, error) {
	defer f.wake() // it may have found files
	return f.index.Verify(ctx, f.opts.List(ctx), index.VerifyOptions{Following: true}, found)
}

// Pending lists the newest files that are known and not indexed yet, and says how many there are in all. Those that have failed are not
// among them; one that is indexed in this moment is. It waits for nobody.
func (f *Follower) Pending(context.Context) (newest []span.File, total int64, err error) {
	newest, total = f.index.Pending()
	return newest, total, nil
}

func (f *Follower) wake() {
	select {
	case f.nudge <- struct{}{}:
	default: // it is about to wake anyway
	}
}

// Status says what the follower is doing.
func (f *Follower) Status(ctx context.Context) (span.IndexerStatus, error) {
	totals, err := f.index.Totals(ctx)
	backlog := f.index.Backlog()
	f.mu.Lock()
	defer f.mu.Unlock()
	s := span.IndexerStatus{
		State: f.status.state(backlog), CurrentFiles: append([]string{}, f.status.current...),
		PendingFiles: backlog.Files, PendingBytes: backlog.Bytes, OldestPending: known(backlog.Oldest), UnfinishedFiles: backlog.Unfinished,
		WithheldFiles: f.status.withheld, UnreadPlaces: append([]string{}, f.status.unread...),
		FailedFiles: totals.Failed, IndexedFiles: totals.Files, IndexedSpans: totals.Spans,
		Watermark: known(f.status.watermark), Watching: f.opts.Watcher != nil,
		LastError: f.status.failure, LastErrorAt: known(f.status.failedAt), Failures: f.status.failures, StartedAt: f.status.started.UTC(),
	}
	if err != nil && s.State == span.IndexerFailing {
		err = nil // it says so
	}
	return s, err
}

func (s *status) state(backlog index.Backlog) span.IndexerState {
	switch {
	case s.stopped:
		return span.IndexerStopped
	case s.failures > 0:
		return span.IndexerFailing
	case !s.ready:
		return span.IndexerStarting
	case backlog.Files+backlog.Gone > 0:
		return span.IndexerIndexing
	case s.withheld > 0:
		return span.IndexerWithholding
	default:
		return span.IndexerIdle
	}
}

// known is a time in UTC, or nil if it is not known.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
