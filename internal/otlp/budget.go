package otlp

import (
	"context"
	"sync"
)

// budget bounds the memory of all requests that are being read or stored. When there is no more, the largest of those that
// are still being read is ended, so that a few large or slow uploads never keep out the many small ones.
type budget struct {
	mu sync.Mutex
	// leaving is the part of used that is held by requests which were ended and are about to give it back.
	limit, used, leaving int64
	shares               map[*share]struct{}
	// freed is closed, and replaced, whenever something was given back.
	freed chan struct{}
}

func newBudget(limit int64) *budget {
	return &budget{limit: limit, shares: map[*share]struct{}{}, freed: make(chan struct{})}
}

// share is what one request holds of a budget. One goroutine uses it, except for end.
type share struct {
	budget *budget
	// interrupt makes a read that waits for the client return.
	interrupt func()
	held      int64
	// reading: it may still be ended.
	reading bool
	// ended is why it was ended, or nil; done is closed then.
	ended error
	done  chan struct{}
}

// enter begins a request. Interrupt must not block and not use the budget; it is called once at most, and not after leave.
func (b *budget) enter(interrupt func()) *share {
	s := &share{budget: b, interrupt: interrupt, reading: true, done: make(chan struct{})}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shares[s] = struct{}{}
	return s
}

// inUse is what all requests hold, in bytes.
func (b *budget) inUse() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// endAll ends all requests that are being read.
func (b *budget) endAll(why error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.shares {
		s.endLocked(why)
	}
}

// take adds n bytes to what the request holds. The error is why the request has to end.
func (s *share) take(ctx context.Context, n int64) error {
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		switch {
		case s.ended != nil:
			return s.ended
		case b.used+n <= b.limit:
			b.used += n
			s.held += n
			return nil
		case s.held+n > b.limit:
			return errNeedsMore(s.held+n, b.limit)
		case b.used-b.leaving+n > b.limit:
			// Not enough is about to come back. Whoever would be the largest has to go: the one that asks as well.
			largest := b.largestLocked()
			if largest == nil || largest == s || largest.held <= s.held+n {
				return errCrowded()
			}
			largest.endLocked(errCrowded())
			continue
		}
		freed := b.freed
		b.mu.Unlock()
		select {
		case <-freed:
		case <-s.done:
		case <-ctx.Done():
		}
		b.mu.Lock()
		if err := ctx.Err(); err != nil && s.ended == nil {
			return err
		}
	}
}

// largestLocked is the request that holds most of those that may be ended, or nil.
func (b *budget) largestLocked() *share {
	var largest *share
	for s := range b.shares {
		if s.reading && s.ended == nil && (largest == nil || s.held > largest.held) {
			largest = s
		}
	}
	return largest
}

// give returns n bytes.
func (s *share) give(n int64) {
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	s.giveLocked(n)
}

// shrink returns all but size bytes.
func (s *share) shrink(size int64) { s.give(s.held - size) }

func (s *share) giveLocked(n int64) {
	b := s.budget
	b.used -= n
	s.held -= n
	if s.ended != nil {
		b.leaving -= n
	}
	close(b.freed)
	b.freed = make(chan struct{})
}

// end ends the request if it is still being read.
func (s *share) end(why error) {
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	s.endLocked(why)
}

func (s *share) endLocked(why error) {
	if !s.reading || s.ended != nil {
		return
	}
	s.ended = why
	s.budget.leaving += s.held
	close(s.done)
	// With the lock held, so that it cannot come after leave, when the connection may serve the next request.
	s.interrupt()
}

// keep says that the request has been read: from now on it is not ended anymore. The error is why it was, a moment ago.
func (s *share) keep() error {
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	s.reading = false
	return s.ended
}

// leave gives everything back.
func (s *share) leave() {
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	s.giveLocked(s.held)
	s.reading = false
	delete(s.budget.shares, s)
}

// cause is why the request was ended, or err if it was not.
func (s *share) cause(err error) error {
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	if s.ended != nil {
		return s.ended
	}
	return err
}
