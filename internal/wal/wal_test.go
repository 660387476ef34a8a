package wal

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

func TestWhatWasAppendedIsReadBackInOrder(t *testing.T) {
	start := time.Now()
	f := newFixture(t)
	f.append(1, 50, 100)
	f.append(51, 60, 200_000) // more than is read at once
	for range 2 {
		n, before := 0, span.RequestID{}
		for r, err := range f.Requests(t.Context(), span.RequestID{}, lastID) {
			f.must(err)
			n++
			size := 100
			if n > 50 {
				size = 200_000
			}
			if r.Spans != n || !bytes.Equal(r.Data, message(n, size)) {
				t.Errorf("request %d has %d spans and %d bytes", n, r.Spans, len(r.Data))
			}
			if bytes.Compare(r.ID[:], before[:]) <= 0 {
				t.Errorf("request %d has id %x after %x", n, r.ID, before)
			}
			if r.Received.Before(start) || r.Received.After(time.Now()) {
				t.Errorf("request %d was received at %v", n, r.Received)
			}
			before = r.ID
			one, err := f.Request(t.Context(), r.ID)
			f.must(err)
			if one.ID != r.ID || one.Spans != r.Spans || !one.Received.Equal(r.Received) || !bytes.Equal(one.Data, r.Data) {
				t.Errorf("request %d asked for alone is %x with %d spans", n, one.ID, one.Spans)
			}
		}
		if n != 60 {
			t.Errorf("%d requests", n)
		}
		f = f.reopen()
	}
}

func TestRequestsOfARange(t *testing.T) {
	f := newFixture(t)
	f.append(1, 5, 100)
	var ids []span.RequestID
	for r, err := range f.Requests(t.Context(), span.RequestID{}, lastID) {
		f.must(err)
		ids = append(ids, r.ID)
	}
	var got []int
	for r, err := range f.Requests(t.Context(), ids[1], ids[3]) {
		f.must(err)
		got = append(got, r.Spans)
	}
	if want := []int{2, 3, 4}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	ids[2][15]++
	if _, err := f.Request(t.Context(), ids[2]); !errors.Is(err, ErrNotFound) {
		t.Errorf("an id that was never given: %v", err)
	}
}

func TestRequestsAreAnnouncedOnceInOrderBeforeTheyAreAcknowledged(t *testing.T) {
	var mu sync.Mutex
	seen := map[int]bool{}
	var ids []span.RequestID
	f := newFixture(t, func(o *Options) {
		o.Committed = func(requests []span.Request) {
			mu.Lock()
			defer mu.Unlock()
			for _, r := range requests {
				if seen[r.Spans] || !bytes.Equal(r.Data, message(r.Spans, 300)) {
					t.Errorf("request %d is announced again, or with other data", r.Spans)
				}
				seen[r.Spans] = true
				ids = append(ids, r.ID)
			}
		}
	})
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			for i := range 40 {
				id := 1 + n*40 + i
				if err := f.Append(t.Context(), message(id, 300), id); err != nil {
					t.Error(err)
				}
				mu.Lock()
				if !seen[id] {
					t.Errorf("request %d is acknowledged and not announced", id)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	var stored []span.RequestID
	for r, err := range f.Requests(t.Context(), span.RequestID{}, lastID) {
		f.must(err)
		stored = append(stored, r.ID)
	}
	if !slices.Equal(ids, stored) || len(stored) != 320 {
		t.Errorf("%d announced, %d stored", len(ids), len(stored))
	}
}

func TestAppendAfterTheContextEnded(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Append(ctx, message(1, 100), 1); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestIDsNeverGoBack(t *testing.T) {
	now := time.Now()
	key := nextKey(0, now)
	if got := nextKey(key, now); got != key+1 {
		t.Errorf("in the same millisecond: %d after %d", got, key)
	}
	if got := nextKey(key, now.Add(-time.Hour)); got != key+1 {
		t.Errorf("with the clock set back: %d after %d", got, key)
	}
	if got := nextKey(key, now.Add(time.Millisecond)); got != now.UnixMilli()<<16+1<<16 {
		t.Errorf("a millisecond later: %d after %d", got, key)
	}
	if got := nextKey(key|0xffff, now); got>>16 != now.UnixMilli()+1 {
		t.Errorf("after 65,536 in one millisecond: %d after %d", got, key|0xffff)
	}
	if key := keyOf(newID(key)); key != nextKey(0, now) {
		t.Errorf("the key of an id is %d", key)
	}

	// The last id of an emptied file is one from the future: the clock was set back.
	f := newFixture(t)
	future := time.Now().Add(time.Hour).UnixMilli() << 16
	f.counters.lastKey = future
	f.append(1, 1, 100)
	flush := f.begin(1, 1)
	f.publish(flush, "a")
	f.must(f.Release(t.Context(), []string{"a"}))
	f = f.reopen()
	f.append(2, 2, 100)
	if next := f.begin(1, 1); keyOf(next.First) != future+2 {
		t.Errorf("the id after %d is %d", future+1, keyOf(next.First))
	}
}

func TestClosing(t *testing.T) {
	f := newFixture(t)
	var all sync.WaitGroup
	var acknowledged sync.Map
	for n := range 20 {
		all.Go(func() {
			for i := 0; ; i++ {
				id := n*1000 + i
				err := f.Append(context.Background(), message(id, 1000), id)
				if errors.Is(err, ErrClosed) {
					return
				}
				if err != nil {
					t.Error(err)
				}
				acknowledged.Store(id, true)
			}
		})
	}
	time.Sleep(30 * time.Millisecond)
	f.close()
	all.Wait()
	f.close() // again
	for _, suffix := range []string{"-wal", "-shm"} {
		if _, err := os.Stat(f.path + suffix); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", suffix, err)
		}
	}
	if _, _, err := f.BeginFlush(t.Context(), 1, 1); !errors.Is(err, ErrClosed) {
		t.Errorf("a flush in a closed log: %v", err)
	}
	if _, err := f.Request(t.Context(), lastID); !errors.Is(err, ErrClosed) {
		t.Errorf("a request of a closed log: %v", err)
	}
	if err := f.Published(t.Context(), 1); !errors.Is(err, ErrClosed) {
		t.Errorf("a mark in a closed log: %v", err)
	}
	f = openFixture(t, f.path)
	stored := f.spans()
	acknowledged.Range(func(id, _ any) bool {
		if !slices.Contains(stored, id.(int)) {
			t.Errorf("%d was acknowledged and is not there", id)
		}
		return true
	})
	if len(stored) == 0 {
		t.Error("nothing was appended")
	}
}

func TestClosingHasADeadline(t *testing.T) {
	reached, blocked := make(chan struct{}), make(chan struct{})
	f := newFixture(t, func(o *Options) {
		o.Committed = func([]span.Request) {
			close(reached)
			<-blocked
		}
	})
	appended := make(chan error)
	go func() { appended <- f.Append(context.Background(), message(1, 100), 1) }()
	<-reached
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := f.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	close(blocked)
	if err := <-appended; err != nil {
		t.Error(err)
	}
}

func TestWhatIsSynced(t *testing.T) {
	const full, normal = 2, 1
	for sync, want := range map[Sync]int{Full: full, Normal: normal} {
		f := newFixture(t, func(o *Options) { o.Sync = sync })
		got := func(tx *sql.Tx) (is int) {
			f.must(tx.QueryRowContext(t.Context(), "PRAGMA synchronous").Scan(&is))
			return is
		}
		for range 2 { // a flush changes nothing for the requests after it
			f.must(f.do(t.Context(), func() error {
				return f.transact(func(tx *sql.Tx) error {
					if is := got(tx); is != want {
						t.Errorf("with %v requests are written with synchronous = %d", sync, is)
					}
					return nil
				})
			}))
			f.must(f.write(t.Context(), func(tx *sql.Tx) error {
				if is := got(tx); is != full {
					t.Errorf("with %v flushes are written with synchronous = %d", sync, is)
				}
				return nil
			}, func() {}))
		}
	}
}
