package sample

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/testkit"
)

// The lakes of these tests are of three days.
var (
	testStart = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	testEnd   = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
)

func TestTheSameSeedMakesTheSameLake(t *testing.T) {
	lakeOf := func(opts Options) map[string][]byte {
		root := t.TempDir()
		generate(t, root, opts)
		return contents(t, root)
	}
	opts := Options{Spans: 6_000, SpansPerFile: 1_000, Seed: 7, Workers: 1, Start: testStart, End: testEnd}
	want := lakeOf(opts)
	if len(want) < 4 {
		t.Fatalf("%d files, want at least 4", len(want))
	}
	for name, tc := range map[string]struct {
		change func(*Options)
		same   bool
	}{
		"once more":                 {func(*Options) {}, true},
		"with any number of hands":  {func(o *Options) { o.Workers = 3 }, true},
		"but not with another seed": {func(o *Options) { o.Seed = 8 }, false},
		"nor at another time":       {func(o *Options) { o.End = o.End.Add(time.Second) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			opts := opts
			tc.change(&opts)
			got := lakeOf(opts)
			equal := len(got) == len(want)
			for path, content := range want {
				equal = equal && bytes.Equal(got[path], content)
			}
			if equal != tc.same {
				t.Errorf("the same lake: %v, want %v", equal, tc.same)
			}
		})
	}
}

func TestHowMuchIsMade(t *testing.T) {
	t.Run("so many traces", func(t *testing.T) {
		root := t.TempDir()
		made := generate(t, root, Options{Traces: 123, SpansPerFile: 300})
		traces := readTraces(t, root)
		if made.Traces != 123 || len(traces) != 123 {
			t.Errorf("made %+v, read %d traces", made, len(traces))
		}
	})
	t.Run("so many spans, and the last trace whole", func(t *testing.T) {
		const spans = 3_000
		root := t.TempDir()
		made := generate(t, root, Options{Spans: spans})
		var read, last int64
		var lastStart time.Time
		for _, trace := range readTraces(t, root) {
			read += int64(len(trace))
			if trace[0].StartTime.After(lastStart) {
				last, lastStart = int64(len(trace)), trace[0].StartTime
			}
		}
		if made.Spans != read || read < spans || read-last >= spans {
			t.Errorf("made %+v, read %d spans of which %d are of the last trace", made, read, last)
		}
	})
	t.Run("what is told on the way adds up", func(t *testing.T) {
		root := t.TempDir()
		var told []Summary
		made := generate(t, root, Options{Spans: 5_000, SpansPerFile: 1_000, Progress: func(s Summary) { told = append(told, s) }})
		var bytes int64
		for _, content := range contents(t, root) {
			bytes += int64(len(content))
		}
		if len(told) != int(made.Files) || told[len(told)-1] != made || made.Bytes != bytes {
			t.Errorf("made %+v of %d bytes, told %+v", made, bytes, told)
		}
	})
}

func TestFilesFollowEachOtherInTime(t *testing.T) {
	root := t.TempDir()
	generate(t, root, Options{Spans: 12_000, SpansPerFile: 1_000})
	type roots struct{ first, last time.Time }
	var files []roots
	days := map[string]bool{}
	for path := range contents(t, root) {
		var file roots
		for _, s := range testkit.ReadSpans(t, filepath.Join(root, path)) {
			if s.IsRoot() {
				if file.first.IsZero() || s.StartTime.Before(file.first) {
					file.first = s.StartTime
				}
				if s.StartTime.After(file.last) {
					file.last = s.StartTime
				}
			}
		}
		files = append(files, file)
		days[filepath.Dir(path)] = true
		if want := file.last.Format("year=2006/month=01/day=02/"); !strings.HasPrefix(path, want) {
			t.Errorf("%s holds what began up to %s", path, file.last)
		}
	}
	slices.SortFunc(files, func(a, b roots) int { return a.first.Compare(b.first) })
	for i, file := range files {
		if file.first.Before(testStart) || file.last.After(testEnd) {
			t.Errorf("file %d holds what began from %s to %s", i, file.first, file.last)
		}
		if i > 0 && file.first.Before(files[i-1].last) {
			t.Errorf("file %d begins at %s, before %s", i, file.first, files[i-1].last)
		}
	}
	if len(days) != 4 {
		t.Errorf("three days from noon to noon are on %d days", len(days))
	}
}

func TestNamesOfFilesAreNeverTakenTwice(t *testing.T) {
	seen := make(map[uint32]bool)
	for file := range uint32(100_000) {
		seen[suffix(42, file)] = true
	}
	if len(seen) != 100_000 {
		t.Errorf("100,000 files share %d suffixes", len(seen))
	}
}

func TestARunThatIsStopped(t *testing.T) {
	t.Run("keeps its whole files and no others", func(t *testing.T) {
		root := t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		made, err := Generate(ctx, root, Options{Spans: 1_000_000_000, SpansPerFile: 1_000, Start: testStart, End: testEnd,
			Progress: func(s Summary) {
				if s.Files == 3 {
					cancel()
				}
			}})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Generate() = %v, want context.Canceled", err)
		}
		files := contents(t, root)
		if made.Files < 3 || made.Files > 6 || int(made.Files) != len(files) {
			t.Errorf("made %+v, the lake holds %d files", made, len(files))
		}
	})
	t.Run("cannot be taken up over its files", func(t *testing.T) {
		root := t.TempDir()
		generate(t, root, Options{Traces: 5})
		_, err := Generate(t.Context(), root, Options{Traces: 5, Start: testStart, End: testEnd})
		if !errors.Is(err, fs.ErrExist) {
			t.Errorf("Generate() = %v, want fs.ErrExist", err)
		}
	})
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	good := Options{Traces: 1, Start: testStart, End: testEnd}
	for name, tc := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"nothing to make":       {func(o *Options) { o.Traces = 0 }, "one of traces and spans"},
		"two goals":             {func(o *Options) { o.Spans = 5 }, "one of traces and spans"},
		"a goal below nothing":  {func(o *Options) { o.Traces, o.Spans = -1, 5 }, "below 0"},
		"files below nothing":   {func(o *Options) { o.SpansPerFile = -1 }, "below 0"},
		"workers below nothing": {func(o *Options) { o.Workers = -1 }, "below 0"},
		"an end before start":   {func(o *Options) { o.Start, o.End = o.End, o.Start }, "is not before"},
		"no time at all":        {func(o *Options) { o.End = o.Start }, "is not before"},
		"no start":              {func(o *Options) { o.Start = time.Time{} }, "is longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			opts := good
			tc.change(&opts)
			root := filepath.Join(t.TempDir(), "lake")
			if _, err := Generate(t.Context(), root, opts); err == nil || !regexp.MustCompile(tc.want).MatchString(err.Error()) {
				t.Errorf("Generate() = %v, want ...%s...", err, tc.want)
			}
			if _, err := os.Stat(root); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the lake was made: %v", err)
			}
		})
	}
}

// generate makes a lake of the three days of these tests if the options name no others.
func generate(t *testing.T, root string, opts Options) Summary {
	t.Helper()
	if opts.End.IsZero() {
		opts.Start, opts.End = testStart, testEnd
	}
	made, err := Generate(t.Context(), root, opts)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// contents has every file of a lake by its path, and fails for what is no span file.
func contents(t *testing.T, root string) map[string][]byte {
	t.Helper()
	files := make(map[string][]byte)
	name := regexp.MustCompile(`^year=2026/month=11/day=2\d/[a-z-]+_\d{10}_[0-9a-f]{8}\.parquet$`)
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if !name.MatchString(path) {
			t.Errorf("not a name of a span file: %s", path)
		}
		files[path], err = os.ReadFile(filepath.Join(root, path))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
