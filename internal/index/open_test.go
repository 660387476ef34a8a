package index

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spanlake/spanlake/internal/lake"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

func TestAnIndexOfAnotherVersionSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ change, says string }{
		"older":   {fmt.Sprintf("UPDATE schema_version SET version = %d", schemaVersion-1), "made by an older program"},
		"newer":   {fmt.Sprintf("UPDATE schema_version SET version = %d", schemaVersion+1), "made by a newer program"},
		"unknown": {"DELETE FROM schema_version", "has no schema version"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := testkit.NewLake(t)
			l.Spans(t, "a.parquet", testkit.Spans(1, 5)...)
			o := builtIndex(t, l)
			tamper(t, o, tc.change)
			for _, readOnly := range []bool{false, true} {
				o.ReadOnly = readOnly
				_, err := Open(t.Context(), o)
				unusable, ok := asUnusable(err)
				if !ok || !unusable.Rebuildable || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), "spanlake rebuild") {
					t.Errorf("Open(read only: %t) = %v", readOnly, err)
				}
			}
			o.ReadOnly = false
			rebuild(t, o)
		})
	}
}

// tamper changes a closed index behind its back.
func tamper(t *testing.T, o Options, statement string) {
	t.Helper()
	name := fmt.Sprintf("tampered_%d", os.Getpid()) + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r
		}
		return '_'
	}, t.Name())
	testkit.Exec(t, fmt.Sprintf("ATTACH %s AS %s; USE %s; %s; USE memory; DETACH %s", testkit.Quote(o.Path), name, name, statement, name))
}

func TestOpenForReadingNeedsAnIndex(t *testing.T) {
	t.Parallel()
	l := testkit.NewLake(t)
	o := testOptions(t, l, quiet, func(o *Options) { o.ReadOnly = true })
	if _, err := Open(t.Context(), o); !errors.Is(err, ErrNoIndex) {
		t.Errorf("Open() = %v, want ErrNoIndex", err)
	}
	if exists(filepath.Dir(o.Path)) {
		t.Error("Open() made a folder")
	}
}

// Who may hold what at the same time.
func TestAnIndexThatAnotherProcessHolds(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	t.Parallel()
	for _, tc := range []struct {
		name, role       string
		readOnly, locked bool
	}{
		{"a writer keeps writers out", childHold, false, true},
		{"a writer keeps readers out", childHold, true, true},
		{"a reader keeps writers out", childHoldReadOnly, false, true},
		{"a reader lets readers in", childHoldReadOnly, true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			l := testkit.NewLake(t)
			l.Spans(t, "a.parquet", testkit.Spans(1, 5)...)
			o := builtIndex(t, l)
			pid := holdIndex(t, tc.role, o)
			o.ReadOnly = tc.readOnly
			x, err := Open(t.Context(), o)
			if !tc.locked {
				if err != nil {
					t.Fatalf("Open() = %v", err)
				}
				if err := x.Close(); err != nil {
					t.Error(err)
				}
				return
			}
			assertLocked(t, err, pid, o.Path)
			o.ReadOnly = false
			if tc.role == childHoldReadOnly {
				rebuild(t, o) // in another file: the reader goes on with the old one
				return
			}
			before, _ := os.ReadFile(o.Path)
			_, err = Rebuild(t.Context(), o, lake.Scan(t.Context(), l.Root), SyncOptions{})
			assertLocked(t, err, pid, o.Path)
			if after, _ := os.ReadFile(o.Path); !slices.Equal(before, after) || exists(o.Path+rebuildSuffix) {
				t.Error("Rebuild() touched an index that is in use")
			}
		})
	}
}

func assertLocked(t *testing.T, err error, pid int, path string) {
	t.Helper()
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != pid || !strings.Contains(locked.Command, filepath.Base(os.Args[0])) || locked.Path != path {
		t.Errorf("got %v, want a *LockedError that names process %d", err, pid)
		return
	}
	if strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), fmt.Sprint(pid)) {
		t.Errorf("it is not one clear line: %q", err)
	}
}

// When a rebuild is already running, the second one leaves it alone.
func TestTwoRebuildsAtATime(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	t.Parallel()
	l := testkit.NewLake(t)
	l.Spans(t, "a.parquet", testkit.Spans(1, 5)...)
	o := builtIndex(t, l)
	other := o
	other.Path += rebuildSuffix
	pid := holdIndex(t, childHold, other)
	_, err := Rebuild(t.Context(), o, lake.Scan(t.Context(), l.Root), SyncOptions{})
	assertLocked(t, err, pid, other.Path)
	if !exists(other.Path) {
		t.Error("the file of the other rebuild is gone")
	}
}

func TestRebuildKeepsTheOldIndexWhenItFails(t *testing.T) {
	t.Parallel()
	l := testkit.NewLake(t)
	l.Spans(t, "day=1/a.parquet", testkit.Spans(1, 5)...)
	o := builtIndex(t, l)
	before, err := os.ReadFile(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	notMounted := filepath.Join(t.TempDir(), "not mounted")
	aFile := l.Path("day=1/a.parquet")
	for name, root := range map[string]string{"the lake is not there": notMounted, "the lake is a file": aFile} {
		t.Run(name, func(t *testing.T) {
			_, err := Rebuild(t.Context(), o, lake.Scan(t.Context(), root), SyncOptions{})
			if err == nil || !strings.Contains(err.Error(), "the old index stays") {
				t.Errorf("Rebuild() = %v", err)
			}
		})
	}
	t.Run("a part of the lake cannot be read", func(t *testing.T) {
		// Root can read every folder, so the scanner's word for one that it cannot read has to do.
		listing := func(yield func(span.File, error) bool) {
			yield(span.File{}, &span.ScanError{Path: "day=1", Err: fs.ErrPermission})
		}
		_, err := Rebuild(t.Context(), o, listing, SyncOptions{})
		if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "the old index stays") {
			t.Errorf("Rebuild() = %v", err)
		}
	})
	after, err := os.ReadFile(o.Path)
	if err != nil || !slices.Equal(before, after) || exists(o.Path+rebuildSuffix) {
		t.Errorf("the old index was touched: %v", err)
	}
	rebuild(t, o)
}

// No index can hold a name that is not UTF-8, the old one neither: it is no reason to keep that.
func TestANameThatNoIndexCanHoldDoesNotStopARebuild(t *testing.T) {
	t.Parallel()
	l := testkit.NewLake(t)
	l.Spans(t, "a.parquet", testkit.Spans(1, 5)...)
	o := builtIndex(t, l)
	writeFile(t, l.Path("\xff.parquet"), "x")
	if _, err := Rebuild(t.Context(), o, lake.Scan(t.Context(), l.Root), SyncOptions{}); err != nil {
		t.Errorf("Rebuild() = %v", err)
	}
}

func TestRebuildWithoutAnIndexMakesOne(t *testing.T) {
	t.Parallel()
	l := busyLake(t)
	rebuild(t, testOptions(t, l, quiet))
}

// One table of ours does not make an index: what else is in such a database is somebody's, and a rebuild would replace it.
func TestADatabaseThatOnlyLooksLikeAnIndexIsLeftAlone(t *testing.T) {
	t.Parallel()
	for _, version := range []int{schemaVersion, schemaVersion + 6} {
		l := testkit.NewLake(t)
		l.Spans(t, "a.parquet", testkit.Spans(1, 5)...)
		o := testOptions(t, l, quiet)
		if err := os.MkdirAll(filepath.Dir(o.Path), 0o755); err != nil {
			t.Fatal(err)
		}
		tamper(t, o, fmt.Sprintf("CREATE TABLE schema_version AS SELECT %d AS version; CREATE TABLE precious AS SELECT 1 AS i", version))
		before, err := os.ReadFile(o.Path)
		if err != nil {
			t.Fatal(err)
		}
		var unusable *UnusableError
		if _, err := Open(t.Context(), o); !errors.As(err, &unusable) || unusable.Rebuildable {
			t.Errorf("version %d: Open() = %v, want an *UnusableError that forbids a rebuild", version, err)
		}
		if _, err := Rebuild(t.Context(), o, lake.Scan(t.Context(), l.Root), SyncOptions{}); !errors.As(err, &unusable) {
			t.Errorf("version %d: Rebuild() = %v, want an *UnusableError", version, err)
		}
		if after, err := os.ReadFile(o.Path); err != nil || !slices.Equal(before, after) {
			t.Errorf("version %d: the database was touched: %v", version, err)
		}
	}
}
