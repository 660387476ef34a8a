package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanlake/spanlake/internal/config"
	"github.com/spanlake/spanlake/internal/flush"
	"github.com/spanlake/spanlake/internal/lake"
	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
	"github.com/spanlake/spanlake/internal/wal"
)

// errCrash is where a test lets a process end.
var errCrash = errors.New("crash")

// crashing is a log whose process ends at one step, before or after it has taken effect.
type crashing struct {
	logOf
	step  string
	after bool
}

func (c crashing) at(step string, do func() error) error {
	if step != c.step {
		return do()
	}
	if c.after {
		if err := do(); err != nil {
			return err
		}
	}
	return errCrash
}

func (c crashing) BeginFlush(ctx context.Context, spans int, bytes int64) (f span.Flush, ok bool, err error) {
	err = c.at("begin", func() (err error) { f, ok, err = c.Log.BeginFlush(ctx, spans, bytes); return err })
	return f, ok, err
}

func (c crashing) SetPath(ctx context.Context, id int64, path string) error {
	return c.at("path", func() error { return c.Log.SetPath(ctx, id, path) })
}

func (c crashing) Published(ctx context.Context, id int64) error {
	return c.at("published", func() error { return c.Log.Published(ctx, id) })
}

// flushing is a lake and a log on disk, which processes of a test open one after the other.
type flushing struct {
	app  App
	lake testkit.Lake
}

func newFlushing(t *testing.T, flags map[string]string) flushing {
	t.Helper()
	l := testkit.NewLake(t)
	settings := map[string]string{"lake": l.Root, "wal": filepath.Join(t.TempDir(), "wal.db"), "min-free-disk": "0"}
	maps.Copy(settings, flags)
	c, err := config.Load(settings, func(string) (string, bool) { return "", false }, filepath.Join(t.TempDir(), ".env"))
	if err != nil {
		t.Fatal(err)
	}
	return flushing{New(c, slog.New(slog.DiscardHandler)), l}
}

// process opens the log, as a process does, until work is done.
func (f flushing) process(t *testing.T, work func(*wal.Log)) {
	t.Helper()
	log, err := f.app.openLog(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	work(log)
	if err := log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// append acknowledges requests with the spans from first on, ten in each.
func (f flushing) append(t *testing.T, log *wal.Log, first, requests int) {
	t.Helper()
	for i := range requests {
		var data []byte
		for j := range 10 {
			s := testkit.Span(first+10*i+j, first+10*i+j)
			one, err := otlpwire.Encode(&s)
			if err != nil {
				t.Fatal(err)
			}
			data = append(data, one...) // messages that follow each other are one with all their spans
		}
		if err := log.Append(t.Context(), data, 10); err != nil {
			t.Fatal(err)
		}
	}
}

// spans counts the spans of the lake by id.
func (f flushing) spans(t *testing.T) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for path := range f.files(t, ".parquet") {
		for _, s := range testkit.ReadSpans(t, path) {
			counts[s.TraceID+s.SpanID]++
		}
	}
	return counts
}

func (f flushing) files(t *testing.T, suffix string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	if err := filepath.WalkDir(f.lake.Root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, suffix) {
			found[path] = true
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

// each is n spans from first on, each of them once.
func each(first, n int) map[string]int {
	counts := map[string]int{}
	for i := range n {
		s := testkit.Span(first+i, first+i)
		counts[s.TraceID+s.SpanID] = 1
	}
	return counts
}

// Wherever a process ends while it flushes, the next one brings each acknowledged span into the lake exactly once.
func TestAFlushThatWasCutShortIsFinished(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		step  string
		after bool
		// tear leaves what the writer of the file leaves behind when it ends half-way.
		tear bool
	}{
		"before the flush is noted":              {step: "begin"},
		"after the flush is noted":               {step: "begin", after: true},
		"before the path is noted":               {step: "path"},
		"after the path is noted":                {step: "path", after: true},
		"while the file is written":              {step: "path", after: true, tear: true},
		"after the file is there, but not noted": {step: "published"},
		"after all of it":                        {step: "published", after: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFlushing(t, nil)
			f.process(t, func(log *wal.Log) {
				f.append(t, log, 0, 5)
				flusher, err := f.app.newFlusher(Ingest, crashing{logOf{log, f.app.Log}, c.step, c.after}, nobody{}, nil)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := flusher.Once(t.Context()); !errors.Is(err, errCrash) {
					t.Fatalf("Once() = %v, want the crash", err)
				}
			})
			f.process(t, func(log *wal.Log) {
				if c.tear {
					f.tear(t, log)
				}
				// What arrives after the crash belongs to another flush.
				f.append(t, log, 50, 5)
			})
			if _, err := f.app.FlushHere(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(each(0, 100), f.spans(t)); diff != "" {
				t.Error(diff)
			}
			if left := f.files(t, ".tmp"); len(left) > 0 {
				t.Errorf("unfinished files are left: %v", left)
			}
			if again, err := f.app.FlushHere(t.Context()); err != nil || again != (span.Flushed{}) {
				t.Errorf("flushing again: %+v, %v; want nothing", again, err)
			}
		})
	}
}

// tear puts the beginning of a file where the flush was about to write it.
func (f flushing) tear(t *testing.T, log *wal.Log) {
	t.Helper()
	flushes, err := log.Flushes(t.Context())
	if err != nil || len(flushes) != 1 || flushes[0].Path == "" {
		t.Fatalf("Flushes() = %+v, %v; want one with a path", flushes, err)
	}
	final := f.lake.Path(flushes[0].Path)
	if err := os.MkdirAll(filepath.Dir(final), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(final), "."+filepath.Base(final)+".tmp"), []byte("PAR1 and no more"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A lake that cannot be written keeps nobody from sending spans, and loses none.
func TestSpansWaitUntilTheLakeCanBeWritten(t *testing.T) {
	t.Parallel()
	f := newFlushing(t, nil)
	if err := os.RemoveAll(f.lake.Root); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.lake.Root, []byte("not a folder"), 0o644); err != nil {
		t.Fatal(err)
	}
	f.process(t, func(log *wal.Log) { f.append(t, log, 0, 3) })
	for range 2 {
		if _, err := f.app.FlushHere(t.Context()); err == nil {
			t.Fatal("FlushHere() into a file = nil")
		}
	}
	if err := os.Remove(f.lake.Root); err != nil {
		t.Fatal(err)
	}
	f.process(t, func(log *wal.Log) { f.append(t, log, 30, 1) })
	if flushed, err := f.app.FlushHere(t.Context()); err != nil || flushed.Spans != 40 {
		t.Fatalf("FlushHere() = %+v, %v; want 40 spans", flushed, err)
	}
	if diff := cmp.Diff(each(0, 40), f.spans(t)); diff != "" {
		t.Error(diff)
	}
}

// Rows and bytes say how much goes into one file, but a request is never divided.
func TestBoundsOfAFile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		flags map[string]string
		want  int64 // files of ten requests with ten spans each
	}{
		"all in one":                    {nil, 1},
		"rows":                          {map[string]string{"flush-max-rows": "40"}, 3},
		"rows that no request keeps to": {map[string]string{"flush-max-rows": "5"}, 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFlushing(t, c.flags)
			f.process(t, func(log *wal.Log) { f.append(t, log, 0, 10) })
			if flushed, err := f.app.FlushHere(t.Context()); err != nil || flushed.Files != c.want || flushed.Spans != 100 {
				t.Errorf("FlushHere() = %+v, %v; want %d files of 100 spans", flushed, err, c.want)
			}
			if diff := cmp.Diff(each(0, 100), f.spans(t)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Two files of the same second and service have different names, as long as they hold different requests.
func TestNamesOfFiles(t *testing.T) {
	t.Parallel()
	f := newFlushing(t, map[string]string{"flush-max-rows": "10"})
	f.process(t, func(log *wal.Log) { f.append(t, log, 0, 20) })
	if _, err := f.app.FlushHere(t.Context()); err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC()
	if got := f.files(t, ".parquet"); len(got) != 20 {
		t.Errorf("%d files, want 20", len(got))
	} else {
		for path := range got {
			if day := fmt.Sprintf("year=%d", now.Year()); !strings.Contains(path, day) {
				t.Errorf("%s is not in the folder of the day on which it was written", path)
			}
		}
	}
}

// Rows, bytes and age make a flush due; age waits for enough spans, though not for ever.
func TestWhenAFlushIsDue(t *testing.T) {
	t.Parallel()
	never := flush.Options{Spans: 1e9, Bytes: 1e18, MaxAge: time.Hour, MinSpans: 0, Interval: 10 * time.Millisecond}
	for name, c := range map[string]struct {
		change func(*flush.Options)
		due    bool
	}{
		"nothing":                  {func(*flush.Options) {}, false},
		"rows":                     {func(o *flush.Options) { o.Spans = 30 }, true},
		"not enough rows":          {func(o *flush.Options) { o.Spans = 31 }, false},
		"bytes":                    {func(o *flush.Options) { o.Bytes = 100 }, true},
		"age":                      {func(o *flush.Options) { o.MaxAge = time.Millisecond }, true},
		"age of few spans":         {func(o *flush.Options) { o.MaxAge, o.MinSpans = 20*time.Second, 31 }, false},
		"ten times the age of few": {func(o *flush.Options) { o.MaxAge, o.MinSpans = time.Millisecond, 31 }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFlushing(t, nil)
			f.process(t, func(log *wal.Log) {
				f.append(t, log, 0, 3)
				writer, err := lake.NewWriter(f.lake.Root)
				if err != nil {
					t.Fatal(err)
				}
				o := never
				c.change(&o)
				flusher := flush.New(logOf{log, f.app.Log}, files{writer}, nobody{}, o)
				ctx, cancel := context.WithCancel(t.Context())
				var running sync.WaitGroup
				running.Go(func() { flusher.Run(ctx) })
				defer running.Wait()
				defer cancel()
				flusher.Appended()
				for until := time.Now().Add(5 * time.Second); c.due && log.Backlog().Requests > 0 && time.Now().Before(until); {
					time.Sleep(5 * time.Millisecond)
				}
				if !c.due {
					time.Sleep(100 * time.Millisecond)
				}
				if flushed := log.Backlog().Requests == 0; flushed != c.due {
					t.Errorf("flushed: %v, want %v", flushed, c.due)
				}
			})
		})
	}
}
