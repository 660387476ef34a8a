package follow_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/spanlake/spanlake/internal/index"
	"github.com/spanlake/spanlake/internal/index/follow"
	"github.com/spanlake/spanlake/internal/lake"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
	"github.com/spanlake/spanlake/internal/testkit/output"
)

// TestMain checks that nothing of a follower outlives its context. The database that writes the files of tests stays open.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"))
}

// observer counts what a follower tells.
type observer struct {
	mu             sync.Mutex
	cycles, failed int
	batches        []span.Summary
}

func (o *observer) Cycle(_ time.Duration, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.cycles++
	if err != nil {
		o.failed++
	}
}

func (o *observer) Batch(done span.Summary) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.batches = append(o.batches, done)
}

func (o *observer) Failed(string)      {}
func (o *observer) Retired(int, int64) {}

func (o *observer) counts() (cycles, failed int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.cycles, o.failed
}

// fixture is a follower that runs.
type fixture struct {
	*follow.Follower
	t        *testing.T
	index    *index.Index
	lake     testkit.Lake
	logs     *output.Buffer
	observer *observer
}

// newFixture follows a lake; edits change how.
func newFixture(t *testing.T, l testkit.Lake, edits ...func(*follow.Options)) *fixture {
	t.Helper()
	f := &fixture{t: t, lake: l, logs: &output.Buffer{}, observer: &observer{}}
	log := slog.New(slog.NewTextHandler(f.logs, nil))
	x, err := index.Open(t.Context(), index.Options{Path: filepath.Join(t.TempDir(), "x.duckdb"), Lake: l.Root, Memory: 200 << 20,
		Threads: 1, BatchSize: 2, Limits: index.DefaultLimits(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	o := follow.Options{Poll: 50 * time.Millisecond, Observer: f.observer, Log: log,
		List: func(ctx context.Context) iter.Seq2[span.File, error] { return lake.Scan(ctx, l.Root) }}
	for _, edit := range edits {
		edit(&o)
	}
	f.index, f.Follower = x, follow.New(x, lake.NewScanner(l.Root), o)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		if err := x.Close(); err != nil {
			t.Error(err)
		}
		if _, err := f.IndexNow(context.Background(), false); !errors.Is(err, follow.ErrStopped) {
			t.Errorf("IndexNow() after the end = %v, want ErrStopped", err)
		}
	})
	return f
}

// eventually waits until the status is as it should be.
func (f *fixture) eventually(what string, done func(span.IndexerStatus) bool) {
	f.t.Helper()
	var last span.IndexerStatus
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		var err error
		if last, err = f.Status(f.t.Context()); err != nil {
			f.t.Fatal(err)
		}
		if done(last) {
			return
		}
	}
	f.t.Fatalf("waited for %s, but the status is %+v\n%s", what, last, f.logs)
}

func (f *fixture) assertSound() {
	f.t.Helper()
	n, err := f.Verify(f.t.Context(), func(d span.Difference) { f.t.Errorf("Verify(): %s: %s %s", d.Check, d.Subject, d.Problem) })
	if err != nil || n != 0 {
		f.t.Errorf("Verify() = %d, %v", n, err)
	}
}

// Where nothing can be watched, as on many network file systems, polling alone finds everything.
func TestPollingAloneFindsEverything(t *testing.T) {
	t.Parallel()
	f := newFixture(t, testkit.NewLake(t))
	for i := range 5 {
		f.lake.Spans(t, fmt.Sprintf("day=%d/%d.parquet", i%2, i), testkit.Spans(10*i, 3)...)
	}
	f.eventually("new files", func(s span.IndexerStatus) bool { return s.IndexedFiles == 5 && s.IndexedSpans == 15 })
	f.lake.Remove(t, "day=0/0.parquet")
	f.lake.Spans(t, "day=2/5.parquet", testkit.Spans(100, 7)...)
	f.eventually("changes", func(s span.IndexerStatus) bool { return s.IndexedFiles == 5 && s.IndexedSpans == 19 })
	f.assertSound()
}

// A failure is told once, and once more when it is over, however many cycles fail between.
func TestAFailureIsLoggedOnceAndItsEndOnce(t *testing.T) {
	t.Parallel()
	l := testkit.NewLake(t)
	f := newFixture(t, l)
	l.Spans(t, "a.parquet", testkit.Spans(1, 3)...)
	f.eventually("a file", func(s span.IndexerStatus) bool { return s.IndexedSpans == 3 })
	// The lake is moved away, and something else stands in its place.
	away := l.Root + ".away"
	if err := errors.Join(os.Rename(l.Root, away), os.WriteFile(l.Root, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	f.eventually("several failures", func(s span.IndexerStatus) bool {
		return s.State == span.IndexerFailing && s.Failures >= 2 && strings.Contains(s.LastError, "not a folder")
	})
	if err := errors.Join(os.Remove(l.Root), os.Rename(away, l.Root)); err != nil {
		t.Fatal(err)
	}
	f.eventually("the end of it", func(s span.IndexerStatus) bool { return s.State == span.IndexerIdle && s.Failures == 0 })
	if _, failed := f.observer.counts(); failed < 2 {
		t.Errorf("%d failed cycles were counted", failed)
	}
	if begun, over := strings.Count(f.logs.String(), "the indexer fails"), strings.Count(f.logs.String(), "the indexer works again"); begun != 1 || over != 1 {
		t.Errorf("the failure was logged %d times and its end %d times:\n%s", begun, over, f.logs)
	}
	f.eventually("what was there before", func(s span.IndexerStatus) bool { return s.IndexedSpans == 3 })
	f.assertSound()
}

// More than half of the files gone at once is taken for a lake that is not mounted, until somebody confirms it.
func TestManyMissingFilesAreWithheldUntilConfirmed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, testkit.NewLake(t))
	for i := range 4 {
		f.lake.Spans(t, fmt.Sprintf("%d.parquet", i), testkit.Spans(10*i, 1)...)
	}
	f.eventually("new files", func(s span.IndexerStatus) bool { return s.IndexedFiles == 4 })
	away := f.lake.Root + ".away"
	if err := errors.Join(os.Rename(f.lake.Root, away), os.Mkdir(f.lake.Root, 0o755)); err != nil {
		t.Fatal(err)
	}
	f.eventually("the files to be withheld", func(s span.IndexerStatus) bool {
		return s.State == span.IndexerWithholding && s.WithheldFiles == 4 && s.IndexedSpans == 4
	})
	if err := errors.Join(os.Remove(f.lake.Root), os.Rename(away, f.lake.Root)); err != nil {
		t.Fatal(err)
	}
	f.eventually("the files to be back", func(s span.IndexerStatus) bool { return s.State == span.IndexerIdle && s.IndexedSpans == 4 })

	for i := range 3 {
		f.lake.Remove(t, fmt.Sprintf("%d.parquet", i))
	}
	if _, err := f.IndexNow(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	summary, err := f.IndexNow(t.Context(), true)
	if err != nil || summary.FilesRemoved > 3 || summary.FilesWithheld != 0 {
		t.Errorf("IndexNow() = %+v, %v", summary, err)
	}
	f.eventually("only one file", func(s span.IndexerStatus) bool { return s.IndexedFiles == 1 && s.WithheldFiles == 0 })
	f.assertSound()
}

// IndexNow tells what became of every file.
func TestIndexNowWaitsForAllThatIsThere(t *testing.T) {
	t.Parallel()
	f := newFixture(t, testkit.NewLake(t), func(o *follow.Options) { o.Poll = time.Hour })
	f.eventually("the first look", func(s span.IndexerStatus) bool { return s.State == span.IndexerIdle })
	for i := range 7 {
		f.lake.Spans(t, fmt.Sprintf("%d.parquet", i), testkit.Spans(10*i, 2)...)
	}
	f.lake.Put(t, "bad.parquet", []byte("no Parquet"))
	summary, err := f.IndexNow(t.Context(), false)
	if err != nil || summary.FilesFound != 8 || summary.FilesIndexed != 7 || summary.FilesFailed != 1 || summary.SpansIndexed != 14 {
		t.Errorf("IndexNow() = %+v, %v", summary, err)
	}
	again, err := f.IndexNow(t.Context(), false)
	if err != nil || again.FilesFound != 8 || again.FilesUnchanged != 7 || again.FilesIndexed != 0 || again.FilesWaiting != 1 {
		t.Errorf("a second IndexNow() = %+v, %v", again, err)
	}
}

// That a lake is gone for good can be confirmed while it is followed, whether its folder is empty or gone as well.
func TestAMissingLakeCanBeConfirmed(t *testing.T) {
	t.Parallel()
	// At once: of files that are deleted one after the other, the first ones are taken for deleted.
	for what, remove := range map[string]func(root string) error{
		"the folder is gone": func(root string) error { return os.Rename(root, root+".gone") },
		"the folder is empty": func(root string) error {
			return errors.Join(os.Rename(root, root+".gone"), os.Mkdir(root, 0o755))
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			l := testkit.NewLake(t)
			for i := range 5 {
				l.Spans(t, fmt.Sprintf("day=1/%d.parquet", i), testkit.Spans(10*i, 1)...)
			}
			f := newFixture(t, l, func(o *follow.Options) {
				watcher, err := lake.NewWatcher(l.Root, o.Log)
				if err != nil {
					t.Fatal(err)
				}
				o.Watcher = watcher
			})
			f.eventually("new files", func(s span.IndexerStatus) bool { return s.IndexedFiles == 5 && s.State == span.IndexerIdle })
			if err := remove(l.Root); err != nil {
				t.Fatal(err)
			}
			f.eventually("that they are missed", func(s span.IndexerStatus) bool {
				return s.IndexedFiles == 5 && (s.State == span.IndexerFailing || s.State == span.IndexerWithholding)
			})
			if summary, err := f.IndexNow(t.Context(), true); err != nil || summary.FilesRemoved != 5 {
				t.Errorf("IndexNow() = %+v, %v", summary, err)
			}
			f.eventually("an empty index", func(s span.IndexerStatus) bool { return s.IndexedFiles == 0 && s.State == span.IndexerIdle })
		})
	}
}
