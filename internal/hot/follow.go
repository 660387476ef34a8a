package hot

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"
)

const (
	// lookEvery is how long published spans wait, at most, until it is asked whether they are indexed.
	lookEvery = time.Second
	// maxWait bounds the wait between two looks that fail.
	maxWait = 5 * time.Second
	// releaseAtOnce is for how many files one Release asks: the log deletes their requests, up to 64 MiB for each of them.
	releaseAtOnce = 10
)

// Index says which files are indexed.
type Index interface {
	// Indexed is the part of paths that the index has taken in.
	Indexed(ctx context.Context, paths []string) ([]string, error)
}

// Follower releases spans when the files that they are published in are indexed, and knows whether they can be reached.
type Follower struct {
	spans  Spans
	index  Index
	logger *slog.Logger
	every  time.Duration
	wake   chan struct{}

	mu    sync.Mutex
	state State
}

// State says whether hot spans can be reached.
type State struct {
	Reachable bool
	// Since is when that began, zero before the first look.
	Since time.Time
	// Err is why the last look failed, nil if it succeeded. The index may be the reason, while spans are reachable.
	Err error
}

// NewFollower makes a follower of a Store or a Client. It does nothing until Run is called.
func NewFollower(spans Spans, index Index, logger *slog.Logger) *Follower {
	return &Follower{spans: spans, index: index, logger: logger, every: lookEvery, wake: make(chan struct{}, 1)}
}

// State says whether hot spans can be reached. Run keeps it up to date to a second, or to five while they cannot.
func (f *Follower) State() State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state
}

// Wake makes Run look at once: files have been indexed.
func (f *Follower) Wake() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Run looks every second, or when it is woken, until ctx ends. While it fails it waits longer, up to 5 seconds.
func (f *Follower) Run(ctx context.Context) {
	failures := 0
	for {
		reached, err := f.look(ctx)
		if ctx.Err() != nil {
			return
		}
		f.note(reached, err)
		wait, wake := f.every, f.wake
		if failures++; err == nil {
			failures = 0
		} else {
			// Whoever wakes us knows of the index, not of what fails.
			wait, wake = min(f.every<<min(failures, 8), maxWait), nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-wake:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// look releases what is indexed. reached: an error is not that of the spans.
func (f *Follower) look(ctx context.Context) (reached bool, err error) {
	paths, err := f.spans.Published(ctx)
	if err != nil || len(paths) == 0 {
		return err == nil, err
	}
	indexed, err := f.index.Indexed(ctx, paths)
	if err != nil || len(indexed) == 0 {
		return true, err
	}
	// Few at a time, so that a long list makes progress even if each call has a deadline.
	for part := range slices.Chunk(indexed, releaseAtOnce) {
		if err := f.spans.Release(ctx, part); err != nil {
			return !errors.Is(err, ErrUnreachable), err
		}
	}
	return true, nil
}

// note keeps the state, and logs a failure when it begins and when it ends.
func (f *Follower) note(reached bool, err error) {
	f.mu.Lock()
	before := f.state
	now := State{Reachable: reached, Since: before.Since, Err: err}
	if before.Since.IsZero() || before.Reachable != reached {
		now.Since = time.Now()
	}
	f.state = now
	f.mu.Unlock()
	first := before.Since.IsZero()
	switch {
	case !reached && (first || before.Reachable):
		f.logger.Warn("spans that are not flushed cannot be read, trying again: answers lack them (--internal-server off if there is nobody to ask)", "error", err)
		return
	case reached && !first && !before.Reachable:
		f.logger.Info("spans that are not flushed can be read again", "missing_for", now.Since.Sub(before.Since).Round(time.Millisecond))
	}
	switch {
	case reached && err != nil && (before.Err == nil || !before.Reachable):
		f.logger.Error("spans of indexed files cannot be let go, trying again", "error", err)
	case err == nil && before.Err != nil && before.Reachable:
		f.logger.Info("spans of indexed files are let go again")
	}
}
