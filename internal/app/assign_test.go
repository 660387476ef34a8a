package app

import (
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"testing"

	"github.com/spanlake/spanlake/internal/api"
	"github.com/spanlake/spanlake/internal/flush"
	"github.com/spanlake/spanlake/internal/hot"
	"github.com/spanlake/spanlake/internal/lake"
	"github.com/spanlake/spanlake/internal/query"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/wal"
)

// Unflushed spans are asked for in this process and in another one.
var (
	_ query.Hot = (*hot.Store)(nil)
	_ query.Hot = (*hot.Client)(nil)
)

// asking is a lake that looks around before a file is written.
type asking struct {
	files
	before func(path string)
}

func (a asking) Write(path string, parts iter.Seq2[[]span.Span, error]) (int64, error) {
	a.before(path)
	return a.files.Write(path, parts)
}

// whereSpansAre counts the unflushed spans by their file, "" for those that are in none.
func whereSpansAre(t *testing.T, store *hot.Store) (map[string]int64, string) {
	t.Helper()
	counts, err := store.Count(t.Context(), span.CountQuery{})
	if err != nil {
		t.Fatal(err)
	}
	spans := map[string]int64{}
	for _, c := range counts.Counts {
		spans[c.File] += c.Spans
	}
	return spans, counts.Generation
}

// inLake are the files of the lake by their path in it.
func (f flushing) inLake(t *testing.T) (paths []string) {
	t.Helper()
	if _, err := os.Stat(f.lake.Root); errors.Is(err, fs.ErrNotExist) {
		return nil // the first file makes it
	}
	for file := range f.files(t, ".parquet") {
		path, err := filepath.Rel(f.lake.Root, file)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, filepath.ToSlash(path))
	}
	return paths
}

// Wherever a process ends, from before a file can be seen until its spans are released, unflushed spans are known to be in it: whoever counts
// them and finds the file in the index leaves them out.
func TestUnflushedSpansAreKnownToBeInTheirFile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		step        string
		after, tear bool
		// written: the file was written before the crash; decided: its path was.
		written, decided bool
	}{
		"before the flush is noted":              {step: "begin"},
		"after the flush is noted":               {step: "begin", after: true},
		"before the path is noted":               {step: "path"},
		"after the path is noted":                {step: "path", after: true, decided: true},
		"while the file is written":              {step: "path", after: true, tear: true, decided: true},
		"after the file is there, but not noted": {step: "published", written: true, decided: true},
		"after all of it but telling":            {step: "published", after: true, written: true, decided: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFlushing(t, nil)
			f.crashWhileFlushing(t, c.step, c.after, c.written)
			f.process(t, func(log *wal.Log) {
				if c.tear {
					f.tear(t, log)
				}
				f.append(t, log, 50, 2) // for another file
				i := &ingest{app: f.app, log: log}
				metrics := api.NewMetrics()
				metrics.Ingest()
				if err := i.recover(t.Context(), Ingest, metrics); err != nil {
					t.Fatal(err)
				}
				spans, before := whereSpansAre(t, i.store)
				if inFile := 70 - spans[""]; c.decided != (inFile == 50) || !c.decided && inFile != 0 {
					t.Errorf("after the restart spans are in %v", spans)
				}
				for _, path := range f.inLake(t) {
					if spans[path] != 50 {
						t.Errorf("%s is there, while spans are in %v", path, spans)
					}
				}
				if _, err := i.flusher.Once(t.Context()); err != nil {
					t.Fatal(err)
				}
				spans, after := whereSpansAre(t, i.store)
				if files := f.inLake(t); len(spans) != len(files) || before == after {
					t.Errorf("spans are in %v, files are %v; the generation was %s and is %s", spans, files, before, after)
				}
				for _, path := range f.inLake(t) {
					if spans[path] == 0 {
						t.Errorf("%s is there, while spans are in %v", path, spans)
					}
				}
			})
		})
	}
}

// crashWhileFlushing ends a process with 50 spans at a step.
func (f flushing) crashWhileFlushing(t *testing.T, step string, after, written bool) {
	t.Helper()
	f.flushing(t, func(log logOf, store *hot.Store, into asking, wrote *bool) {
		flusher := flush.New(crashing{log, step, after}, into, store, flush.Options{Spans: 1000, Bytes: 1 << 20})
		if _, err := flusher.Once(t.Context()); !errors.Is(err, errCrash) || *wrote != written {
			t.Fatalf("Once() = %v, a file was written: %v; want the crash, and %v", err, *wrote, written)
		}
	})
}

// flushing calls with what flushes 50 spans. The lake fails the test if a file is written that its spans are not known to be in.
func (f flushing) flushing(t *testing.T, work func(log logOf, store *hot.Store, into asking, wrote *bool)) {
	t.Helper()
	var store *hot.Store
	log, err := f.app.openLog(t.Context(), func(requests []span.Request) { store.Add(requests) })
	if err != nil {
		t.Fatal(err)
	}
	store = hot.NewStore(logOf{log, f.app.Log}, hot.Options{})
	f.append(t, log, 0, 5)
	writer, err := lake.NewWriter(f.lake.Root)
	if err != nil {
		t.Fatal(err)
	}
	_, generation := whereSpansAre(t, store)
	wrote := false
	work(logOf{log, f.app.Log}, store, asking{files{writer}, func(path string) {
		wrote = true
		if spans, now := whereSpansAre(t, store); spans[path] != 50 || now == generation {
			t.Errorf("before %s is there, spans are in %v, and the generation is %s after %s", path, spans, now, generation)
		}
	}}, &wrote)
	if err := log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A path may be noted although the answer is an error: whoever tries again in the same process has to know of it.
func TestSpansAreAssignedWhenNotingThePathSeemedToFail(t *testing.T) {
	t.Parallel()
	f := newFlushing(t, nil)
	f.flushing(t, func(log logOf, store *hot.Store, into asking, wrote *bool) {
		options := flush.Options{Spans: 1000, Bytes: 1 << 20}
		if _, err := flush.New(crashing{log, "path", true}, into, store, options).Once(t.Context()); !errors.Is(err, errCrash) {
			t.Fatalf("Once() = %v, want that noting the path fails", err)
		}
		if spans, _ := whereSpansAre(t, store); spans[""] != 50 {
			t.Errorf("spans are in %v before the flush is tried again", spans)
		}
		if _, err := flush.New(log, into, store, options).Once(t.Context()); err != nil || !*wrote {
			t.Errorf("Once() = %v, a file was written: %v", err, *wrote)
		}
	})
}
