package wal

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// refuse lets the database fail when a row is inserted, as SQLite does for many reasons.
func (f *fixture) refuse(table, when string) *fixture {
	f.close()
	f.exec("CREATE TRIGGER refusal BEFORE INSERT ON " + table + " WHEN " + when + " BEGIN SELECT RAISE(ABORT, 'as the test wants'); END")
	return openFixture(f.t, f.path)
}

func TestACommitThatFailsIsWhole(t *testing.T) {
	f := newFixture(t).refuse("requests", "NEW.spans = 13")
	f.append(1, 12, 100)
	for range 3 {
		var failed *CommitError
		if err := f.Append(t.Context(), message(13, 100), 13); !errors.As(err, &failed) {
			t.Errorf("got %v", err)
		}
	}
	f.append(14, 15, 100)
	for _, f := range []func() *fixture{func() *fixture { return f }, func() *fixture { return f.reopen() }} {
		f := f()
		if got, want := f.spans(), append(numbers(1, 12), 14, 15); !slices.Equal(got, want) {
			t.Errorf("there are %v, want %v", got, want)
		}
		if s := f.stats(); s.Requests != 14 {
			t.Errorf("stats %+v", s)
		}
	}
}

func TestAFlushThatCannotBeginHasNotBegun(t *testing.T) {
	f := newFixture(t).refuse("flushes", "NEW.requests > 2")
	f.append(1, 3, 100)
	if _, ok, err := f.BeginFlush(t.Context(), 100, manyBytes); ok || err == nil {
		t.Errorf("it began: %v", err)
	}
	if s := f.stats(); s.PendingRequests != 3 {
		t.Errorf("stats %+v", s)
	}
	if flush := f.begin(3, manyBytes); flush.Requests != 2 {
		t.Errorf("the next one is %+v", flush)
	}
}

// What is damaged is passed over only when that is durable: otherwise its rows would be released as if they were in a file.
func TestDamageThatCannotBeNotedHoldsAFlush(t *testing.T) {
	f := damagedLog(t, 1000, func(f *fixture, _ span.RequestID) { f.flip([]byte("request 3 "), 2) }).refuse("damaged", "true")
	var got []int
	var last error
	for r, err := range f.Requests(t.Context(), span.RequestID{}, lastID) {
		if last != nil {
			t.Errorf("it goes on after %v", last)
		}
		if last = err; err == nil {
			got = append(got, r.Spans)
		}
	}
	if last == nil || isDamaged(last) || !slices.Equal(got, []int{1, 2}) {
		t.Errorf("got %v, and %v", got, last)
	}
	f.close()
	f.exec("DROP TRIGGER refusal")
	if got, want := openFixture(t, f.path).spans(), []int{1, 2, -3, 4, 5}; !slices.Equal(got, want) {
		t.Errorf("when it can be noted: %v, want %v", got, want)
	}
}

func TestBetweenCommitAndAnnouncement(t *testing.T) {
	reached, blocked := make(chan struct{}), make(chan struct{})
	f := newFixture(t, func(o *Options) {
		o.Committed = func([]span.Request) {
			reached <- struct{}{}
			<-blocked
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	appended := make(chan error)
	go func() { appended <- f.Append(ctx, message(1, 100), 1) }()
	<-reached
	if _, ok, err := f.BeginFlush(t.Context(), 100, manyBytes); ok || err != nil {
		t.Errorf("a flush has a request that was not announced: %v", err)
	}
	if err := <-appended; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Append waits longer than it may: %v", err)
	}
	close(blocked)
	for f.stats().Requests == 0 {
		time.Sleep(time.Millisecond)
	}
	if flush := f.begin(100, manyBytes); flush.Spans != 1 {
		t.Errorf("what was appended too late for its caller is not flushed: %+v", flush)
	}
}

func FuzzDecode(f *testing.F) {
	packed := []byte{5, 16, 'h', 'e', 'l', 'l', 'o'}
	f.Add(packed, int64(5), int64(checksum([]byte("hello"))))
	f.Add([]byte{}, int64(0), int64(0))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0}, int64(1<<32-1), int64(0))
	f.Fuzz(func(t *testing.T, packed []byte, rawBytes, crc int64) {
		if rawBytes > 1<<20 {
			rawBytes >>= 20 // a length that is damaged in both places is taken for true, and takes memory
		}
		data, err := decode(&stored{packed: packed, rawBytes: rawBytes, crc: crc}, nil)
		if err == nil && (int64(len(data)) != rawBytes || int64(checksum(data)) != crc) {
			t.Errorf("%d bytes with checksum %d, want %d and %d", len(data), checksum(data), rawBytes, crc)
		}
	})
}

func TestOnlyTheFirstFailureIsNews(t *testing.T) {
	var s streak
	failure := errors.New("no")
	for i, tc := range []struct {
		err  error
		news bool
	}{{nil, false}, {failure, true}, {failure, false}, {nil, false}, {failure, true}} {
		if got := s.begin(tc.err); got != tc.news {
			t.Errorf("%d: %v is news: %v", i, tc.err, got)
		}
	}
}

// A disk that stalls: clients give up and send the same again, and what they gave up must neither stay in memory nor be kept.
func TestWhatIsGivenUpWhileItWaitsIsNotKept(t *testing.T) {
	f := newFixture(t)
	busy, release := make(chan struct{}), make(chan struct{})
	var stalled sync.WaitGroup
	stalled.Go(func() {
		f.must(f.do(context.Background(), func() error {
			close(busy)
			<-release
			return nil
		}))
	})
	<-busy
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		before := len(f.queue)
		var waiting sync.WaitGroup
		waiting.Go(func() {
			if err := f.Append(ctx, message(1, 1000), 1); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
		for len(f.queue) == before {
			time.Sleep(time.Millisecond)
		}
		cancel()
		waiting.Wait()
	}
	if n := f.queued.Load(); n != 0 {
		t.Errorf("%d bytes count as waiting", n)
	}
	close(release)
	stalled.Wait()
	f.append(2, 3, 1000)
	if got := f.spans(); !slices.Equal(got, numbers(2, 3)) {
		t.Errorf("there are %v", got)
	}
}
