package otlp

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"
)

var errTest = errors.New("the test says so")

// enter is a request whose interruption the test sees.
func enter(b *budget) (s *share, interrupted func() bool) {
	signal := make(chan struct{}, 10)
	s = b.enter(func() { signal <- struct{}{} })
	return s, func() bool { return len(signal) == 1 }
}

func mustTake(t *testing.T, s *share, n int64) {
	t.Helper()
	if err := s.take(t.Context(), n); err != nil {
		t.Fatal(err)
	}
}

// reasonOf is that of a refusal.
func reasonOf(err error) string {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.reason
	}
	return ""
}

func TestTheLargestRequestMakesRoom(t *testing.T) {
	b := newBudget(100)
	small, smallInterrupted := enter(b)
	large, largeInterrupted := enter(b)
	kept, keptInterrupted := enter(b)
	mustTake(t, small, 10)
	mustTake(t, large, 40)
	mustTake(t, kept, 50)
	if err := kept.keep(); err != nil {
		t.Fatal(err)
	}
	// The one that is the largest of those being read goes, even though it is not the one that asks.
	taken := make(chan error, 1)
	go func() { taken <- small.take(t.Context(), 10) }()
	eventually(t, "the large request is interrupted", largeInterrupted)
	select {
	case err := <-taken:
		t.Fatalf("memory was given before there was some: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	if err := large.take(t.Context(), 1); reasonOf(err) != "memory" {
		t.Errorf("the large one goes on: %v", err)
	}
	large.leave()
	if err := <-taken; err != nil {
		t.Errorf("the small one: %v", err)
	}
	if smallInterrupted() || keptInterrupted() {
		t.Error("others were interrupted")
	}
	// Now the one that asks would be the largest: what has been read cannot be ended.
	if err := small.take(t.Context(), 40); reasonOf(err) != "memory" {
		t.Errorf("more than there is: %v", err)
	}
	small.leave()
	kept.leave()
	if b.inUse() != 0 || b.leaving != 0 {
		t.Errorf("%d bytes are in use, %d leaving", b.inUse(), b.leaving)
	}
}

func TestARequestThatNeverFits(t *testing.T) {
	b := newBudget(100)
	s, _ := enter(b)
	defer s.leave()
	mustTake(t, s, 60)
	if err := s.take(t.Context(), 41); reasonOf(err) != "too_large" {
		t.Errorf("got %v, want an answer that is final", err)
	}
}

func TestWaitingForMemoryEnds(t *testing.T) {
	b := newBudget(100)
	leaving, _ := enter(b)
	mustTake(t, leaving, 90)
	for name, tc := range map[string]struct {
		end  func(s *share, cancel context.CancelFunc)
		want error
	}{
		"the request is ended": {func(s *share, _ context.CancelFunc) { s.end(errTest) }, errTest},
		"its context ends":     {func(_ *share, cancel context.CancelFunc) { cancel() }, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := enter(b)
			defer s.leave()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			taken := make(chan error, 1)
			go func() { taken <- s.take(ctx, 20) }() // ends the first one, which never leaves
			time.Sleep(5 * time.Millisecond)
			tc.end(s, cancel)
			if err := <-taken; !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
	leaving.leave()
}

func TestEndIsForRequestsThatAreBeingRead(t *testing.T) {
	b := newBudget(100)
	kept, keptInterrupted := enter(b)
	if err := kept.keep(); err != nil {
		t.Fatal(err)
	}
	gone, goneInterrupted := enter(b)
	gone.leave()
	gone.end(errTest)
	read, readInterrupted := enter(b)
	b.endAll(errTest)
	b.endAll(errTest)
	if keptInterrupted() || goneInterrupted() || !readInterrupted() {
		t.Error("the wrong requests were interrupted")
	}
	if err := read.keep(); !errors.Is(err, errTest) {
		t.Errorf("keep: %v", err)
	}
	if err := read.cause(context.Canceled); !errors.Is(err, errTest) {
		t.Errorf("cause: %v", err)
	}
	if err := kept.cause(context.Canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("cause: %v", err)
	}
	kept.leave()
	read.leave()
}

// TestManyRequests has many requests grow, wait and leave at random: the limit holds at every moment and everybody ends.
func TestManyRequests(t *testing.T) {
	const limit = 500
	b := newBudget(limit)
	var running sync.WaitGroup
	var mu sync.Mutex
	done, crowded := 0, 0
	for worker := range 20 {
		running.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(worker)))
			for range 300 {
				s := b.enter(func() {})
				var err error
				for range random.IntN(8) {
					runtime.Gosched()
					if err = s.take(t.Context(), random.Int64N(70)); err != nil {
						break
					}
					if used := b.inUse(); used > limit {
						t.Errorf("%d bytes are in use", used)
					}
				}
				if err == nil {
					err = s.keep()
				}
				s.leave()
				mu.Lock()
				if err == nil {
					done++
				} else if reasonOf(err) == "memory" {
					crowded++
				} else {
					t.Error(err)
				}
				mu.Unlock()
			}
		})
	}
	running.Wait()
	if b.inUse() != 0 || b.leaving != 0 || len(b.shares) != 0 {
		t.Errorf("%d bytes are in use, %d leaving, %d requests there", b.inUse(), b.leaving, len(b.shares))
	}
	if done == 0 || crowded == 0 {
		t.Errorf("%d ended well, %d had to go: the test is of no use", done, crowded)
	}
}
