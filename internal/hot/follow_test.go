package hot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fakeIndex has indexed some files, and may be broken.
type fakeIndex struct {
	mu      sync.Mutex
	indexed []string
	broken  error
	asked   int
}

func (x *fakeIndex) set(broken error, indexed ...string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.indexed, x.broken = indexed, broken
}

func (x *fakeIndex) Indexed(_ context.Context, paths []string) ([]string, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.asked++
	if x.broken != nil {
		return nil, x.broken
	}
	return slices.DeleteFunc(slices.Clone(paths), func(path string) bool { return !slices.Contains(x.indexed, path) }), nil
}

// unsteady are spans that cannot be reached now and then.
type unsteady struct {
	Spans
	mu  sync.Mutex
	err error
}

func (u *unsteady) set(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.err = err
}

func (u *unsteady) Published(ctx context.Context) ([]string, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err != nil {
		return nil, u.err
	}
	return u.Spans.Published(ctx)
}

func runFollower(t *testing.T, f *Follower) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); f.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
}

func TestIndexedFilesAreReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, index := newFixture(t, Options{}), &fakeIndex{}
		follower := NewFollower(f.store, index, f.store.logger)
		runFollower(t, follower)
		f.publishOne()
		f.publishOne()
		time.Sleep(3 * time.Second)
		f.expectPublished("1.parquet", "2.parquet")
		index.set(nil, "2.parquet")
		time.Sleep(time.Second)
		f.expectPublished("1.parquet")
		index.set(nil, "2.parquet", "1.parquet")
		follower.Wake()
		f.expectPublished()
		asked := index.asked
		time.Sleep(time.Hour)
		synctest.Wait()
		if index.asked != asked {
			t.Error("the index is asked although nothing is published")
		}
		if logs := f.logs.all(); len(logs) != 0 {
			t.Errorf("logged %q", logs)
		}
		if s := follower.State(); !s.Reachable || s.Err != nil || s.Since.IsZero() {
			t.Errorf("State() = %+v", s)
		}
	})
}

func TestFollowingOutlivesWhatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, index := newFixture(t, Options{}), &fakeIndex{}
		spans := &unsteady{Spans: f.store, err: fmt.Errorf("%w: refused", ErrUnreachable)}
		follower := NewFollower(spans, index, f.store.logger)
		if s := follower.State(); s.Reachable || !s.Since.IsZero() {
			t.Errorf("State() = %+v before the first look", s)
		}
		began := time.Now()
		runFollower(t, follower)
		f.publishOne()
		expect := func(reachable bool, since time.Time, err error, logged ...string) {
			t.Helper()
			synctest.Wait()
			if s := follower.State(); s.Reachable != reachable || !s.Since.Equal(since) || !errors.Is(s.Err, err) {
				t.Errorf("State() = %+v, want %v since %v, %v", s, reachable, since, err)
			}
			logs := f.logs.all()
			if len(logs) != len(logged) {
				t.Fatalf("logged %q, want %q", logs, logged)
			}
			for i, want := range logged {
				if !strings.Contains(logs[i], want) {
					t.Errorf("logged %q, want %q", logs[i], want)
				}
			}
		}
		lines := []string{"cannot be read"}
		expect(false, began, ErrUnreachable, lines...)
		time.Sleep(10 * time.Minute)
		expect(false, began, ErrUnreachable, lines...)
		spans.set(nil)
		time.Sleep(maxWait)
		back := follower.State().Since
		lines = append(lines, "can be read again")
		expect(true, back, nil, lines...)

		broken := errors.New("index on fire")
		index.set(broken)
		time.Sleep(10 * time.Minute)
		lines = append(lines, "index on fire")
		expect(true, back, broken, lines...)
		index.set(nil, "1.parquet")
		time.Sleep(maxWait)
		lines = append(lines, "are let go again")
		expect(true, back, nil, lines...)
		f.expectPublished()
	})
}

// The same over gRPC: the ingest service restarts with what its log has, and the backend goes on.
func TestFollowingARestartedService(t *testing.T) {
	f, index := newFixture(t, Options{}), &fakeIndex{}
	target, stop := serve(t, f.store, "")
	follower := NewFollower(dial(t, target), index, f.store.logger)
	follower.every = 5 * time.Millisecond
	runFollower(t, follower)
	f.publishOne()
	eventually(t, "the service is reachable", func() bool { return follower.State().Reachable })
	stop()
	eventually(t, "the service is unreachable", func() bool { s := follower.State(); return !s.Reachable && errors.Is(s.Err, ErrUnreachable) })
	index.set(nil, "1.parquet")
	_, _ = serve(t, f.store, target)
	eventually(t, "the file is released", func() bool { paths, err := f.store.Published(t.Context()); return err == nil && len(paths) == 0 })
	eventually(t, "the service is reachable again", func() bool { return follower.State().Reachable })
}
