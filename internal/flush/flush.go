// Package flush moves acknowledged spans from the write-ahead log into files of the lake.
//
// Each span gets there exactly once. A flush is first noted in the log with its requests, then with the path of its file; then
// the file is published, and that is noted. Whoever starts after a crash finds the note: a flush whose file is there was
// published, any other is done again, with the same requests and into the same file.
package flush

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// Log is the write-ahead log. What it is told is durable when it returns.
type Log interface {
	// Backlog is what is in no flush yet. It is asked often.
	Backlog() span.Backlog
	// Oldest is when the oldest request was received that is in no published file, zero if there is none.
	Oldest(ctx context.Context) (time.Time, error)
	// Flushes are those that were begun and not released, the oldest first.
	Flushes(ctx context.Context) ([]span.Flush, error)
	// BeginFlush begins a flush of the oldest requests that have at most so many spans and bytes of OTLP, but of one at least;
	// false if there are none.
	BeginFlush(ctx context.Context, maxSpans int, maxBytes int64) (span.Flush, bool, error)
	// SetPath says where the file of a flush will be.
	SetPath(ctx context.Context, flush int64, path string) error
	// Published says that the file is there.
	Published(ctx context.Context, flush int64) error
	// Requests yields those from first to last in order. The memory of their data is used again for the next one.
	Requests(ctx context.Context, first, last span.RequestID) iter.Seq2[span.Request, error]
}

// Lake takes files. One goroutine uses it.
type Lake interface {
	// Path names a file that does not exist.
	Path(service string, flush span.Flush) (string, error)
	// Recover tells whether a file was published, and if so makes sure that it stays; otherwise it removes what a writer that
	// crashed has left of it. size is in bytes.
	Recover(path string) (size int64, published bool, err error)
	// Write publishes a file of sorted parts, whole or not at all.
	Write(path string, parts iter.Seq2[[]span.Span, error]) (size int64, err error)
}

// Hot keeps unflushed spans.
type Hot interface {
	// Assign says in which file the spans of these requests will be, before that file can be seen.
	Assign(first, last span.RequestID, path string)
	// Publish says in which file the spans of these requests are now.
	Publish(first, last span.RequestID, path string)
}

// Observer counts what happens.
type Observer interface {
	// Flush is one file, or the attempt at one.
	Flush(took time.Duration, done span.Flushed, err error)
}

const (
	// After a failed flush the next one begins after firstBackoff, then twice as late each time, up to lastBackoff.
	firstBackoff = time.Second
	lastBackoff  = time.Minute
	// patience is how many times FlushMaxAge few spans wait for others.
	patience = 10
)

// Options say when spans are flushed. All must be given but Observer and Log.
type Options struct {
	// Spans and Bytes (of OTLP) are when a flush is due, and how much goes into one file: so much is in memory while it is
	// written.
	Spans int
	Bytes int64
	// MaxAge is when spans are flushed though they are few, MinSpans how few they may be for that: fewer wait ten times as long.
	MaxAge   time.Duration
	MinSpans int64
	// Interval is how often the age is looked at.
	Interval time.Duration
	Observer Observer
	Log      *slog.Logger
}

// Flusher flushes. Make it with New.
type Flusher struct {
	log      Log
	lake     Lake
	hot      Hot
	opts     Options
	requests chan *request
	nudge    chan struct{}
	ended    chan struct{} // closed when Run has ended

	batch batch // belongs to Run, then to Drain

	mu       sync.Mutex
	failures int64
	failure  error
}

// request is a call of Flush.
type request struct {
	flush func(*Flusher) (span.Flushed, error)
	done  chan answer
}

type answer struct {
	flushed span.Flushed
	err     error
}

// ErrEnded says that nothing is flushed anymore.
var ErrEnded = errors.New("the flusher has ended")

// New makes a Flusher. Nothing is flushed until Run is called.
func New(log Log, lake Lake, hot Hot, o Options) *Flusher {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Flusher{log: log, lake: lake, hot: hot, opts: o,
		requests: make(chan *request), nudge: make(chan struct{}, 1), ended: make(chan struct{})}
}

// Appended tells that there is more in the log. It never waits.
func (f *Flusher) Appended() {
	if f.full() {
		select {
		case f.nudge <- struct{}{}:
		default:
		}
	}
}

// full tells whether rows or bytes say that it is time.
func (f *Flusher) full() bool {
	b := f.log.Backlog()
	return b.Spans >= int64(f.opts.Spans) || b.Bytes >= f.opts.Bytes
}

// due tells whether there is a reason to flush.
func (f *Flusher) due(ctx context.Context) (bool, error) {
	backlog := f.log.Backlog()
	if backlog.Requests == 0 || f.full() {
		return backlog.Requests > 0, nil
	}
	oldest, err := f.log.Oldest(ctx)
	if err != nil || oldest.IsZero() {
		return false, err
	}
	age := time.Since(oldest)
	return age >= f.opts.MaxAge && backlog.Spans >= f.opts.MinSpans || age >= patience*f.opts.MaxAge, nil
}

// Failing is how often in a row flushing has failed, and how at last.
func (f *Flusher) Failing() (times int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failures, f.failure
}

// Flush moves everything that is in the log now into the lake, and waits for it.
func (f *Flusher) Flush(ctx context.Context) (span.Flushed, error) {
	r := &request{flush: func(f *Flusher) (span.Flushed, error) { return f.all(ctx) }, done: make(chan answer, 1)}
	select {
	case f.requests <- r:
	case <-ctx.Done():
		return span.Flushed{}, ctx.Err()
	case <-f.ended:
		return span.Flushed{}, ErrEnded
	}
	select {
	case a := <-r.done:
		return a.flushed, a.err
	case <-ctx.Done():
		return span.Flushed{}, ctx.Err()
	}
}

// Run flushes when it is due, until ctx ends. What is left then stays in the log: call Drain for it.
func (f *Flusher) Run(ctx context.Context) {
	defer close(f.ended)
	// What a crash has cut short is finished at once.
	f.cycle(ctx, true)
	tick := time.NewTicker(f.opts.Interval)
	defer tick.Stop()
	var retry <-chan time.Time
	var failed int64 // what retry was set for
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-f.requests:
			flushed, err := r.flush(f)
			r.done <- answer{flushed, err}
		case <-retry:
			f.cycle(ctx, true)
		case <-f.nudge:
			f.cycle(ctx, false)
		case <-tick.C:
			f.cycle(ctx, false)
		}
		n, _ := f.Failing()
		if n == failed {
			continue // ticks and requests that arrive do not put off the next attempt
		}
		if failed, retry = n, nil; n > 0 {
			retry = time.After(backoff(n))
		}
	}
}

func backoff(failures int64) time.Duration {
	wait := lastBackoff
	if failures < 7 {
		wait = firstBackoff << (failures - 1)
	}
	return min(wait, lastBackoff)
}

// write brings the file of a flush into the lake, unless it is there.
func (f *Flusher) write(ctx context.Context, flush *span.Flush) (span.Flushed, error) {
	if flush.Path != "" {
		f.hot.Assign(flush.First, flush.Last, flush.Path) // again: noting the path may have failed only in the answer
		size, ok, err := f.lake.Recover(flush.Path)
		if err != nil || ok {
			return span.Flushed{Files: 1, Spans: int64(flush.Spans), Bytes: size}, err
		}
	}
	defer f.batch.forget()
	if err := f.batch.load(f.log.Requests(ctx, flush.First, flush.Last)); err != nil {
		return span.Flushed{}, err
	}
	if len(f.batch.spans) == 0 {
		return span.Flushed{}, nil
	}
	if flush.Path == "" {
		path, err := f.lake.Path(f.batch.service(), *flush)
		if err != nil {
			return span.Flushed{}, err
		}
		// From here on the file has this name, whoever writes it.
		if err := f.log.SetPath(ctx, flush.ID, path); err != nil {
			return span.Flushed{}, err
		}
		flush.Path = path
		f.hot.Assign(flush.First, flush.Last, path)
	}
	size, err := f.lake.Write(flush.Path, f.batch.parts(ctx))
	return span.Flushed{Files: 1, Spans: int64(len(f.batch.spans)), Bytes: size}, err
}

// cycle flushes while it is due. While flushing fails, only its time to try again counts, not every request that arrives.
func (f *Flusher) cycle(ctx context.Context, again bool) {
	if n, _ := f.Failing(); n > 0 && !again {
		return
	}
	_, err := f.finish(ctx)
	for more := true; err == nil && more && ctx.Err() == nil; {
		if more, err = f.due(ctx); more && err == nil {
			_, _, more, err = f.one(ctx)
		}
	}
	_ = f.settle(ctx, err) // it was noted
}

// Drain moves everything that is in the log into the lake after Run has ended.
func (f *Flusher) Drain(ctx context.Context) (span.Flushed, error) {
	<-f.ended
	return f.all(ctx)
}

// Once moves everything that is in the log into the lake, without Run.
func (f *Flusher) Once(ctx context.Context) (span.Flushed, error) { return f.all(ctx) }

// all flushes what is in the log when it begins.
func (f *Flusher) all(ctx context.Context) (sum span.Flushed, err error) {
	sum, err = f.finish(ctx)
	// What arrives meanwhile may come along, but is not waited for.
	left := f.log.Backlog().Requests
	for more := true; err == nil && more && left > 0; {
		var flush span.Flush
		var done span.Flushed
		flush, done, more, err = f.one(ctx)
		sum.Add(done)
		left -= int64(flush.Requests)
	}
	return sum, f.settle(ctx, err)
}

// finish does the flushes that were begun and not published.
func (f *Flusher) finish(ctx context.Context) (sum span.Flushed, err error) {
	begun, err := f.log.Flushes(ctx)
	if err != nil {
		return sum, err
	}
	for _, flush := range begun {
		if flush.Published {
			continue
		}
		done, err := f.publish(ctx, flush)
		sum.Add(done)
		if err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// one flushes the oldest requests; more is false if there were none.
func (f *Flusher) one(ctx context.Context) (flush span.Flush, done span.Flushed, more bool, err error) {
	flush, more, err = f.log.BeginFlush(ctx, f.opts.Spans, f.opts.Bytes)
	if err != nil || !more {
		return flush, done, false, err
	}
	done, err = f.publish(ctx, flush)
	return flush, done, true, err
}

// publish brings a flush into the lake, wherever it was cut short before.
func (f *Flusher) publish(ctx context.Context, flush span.Flush) (done span.Flushed, err error) {
	began := time.Now()
	done, err = f.write(ctx, &flush)
	if err == nil {
		err = f.log.Published(ctx, flush.ID)
	}
	if f.opts.Observer != nil && ctx.Err() == nil {
		f.opts.Observer.Flush(time.Since(began), done, err)
	}
	if err != nil {
		return span.Flushed{}, fmt.Errorf("flush spans to the lake: %w", err)
	}
	f.hot.Publish(flush.First, flush.Last, flush.Path)
	return done, nil
}

// settle notes how flushing went, and logs the first failure in a row and the end of them.
func (f *Flusher) settle(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return err // told to stop
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err != nil && f.failures == 0:
		f.opts.Log.Error("spans cannot be moved into the lake; they stay in the write-ahead log, and it is tried again", "error", err)
	case err == nil && f.failures > 0:
		f.opts.Log.Info("spans are moved into the lake again", "failures", f.failures)
	}
	f.failure = err
	if f.failures++; err == nil {
		f.failures = 0
	}
	return err
}
