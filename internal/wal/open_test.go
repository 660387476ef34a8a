package wal

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOneProcessAtATime(t *testing.T) {
	path := testPath(t)
	pid, end := hold(t, path)
	_, err := Open(t.Context(), Options{Path: path})
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != pid {
		t.Errorf("while process %d has it: %v", pid, err)
	}
	end()
	f := openFixture(t, path)
	if _, err := Open(t.Context(), Options{Path: path}); !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Errorf("while this process has it: %v", err)
	}
	f.append(1, 1, 100)
}

func TestOtherProgramsMayReadIt(t *testing.T) {
	f := newFixture(t)
	f.append(1, 3, 100)
	db := openDB(f.path, Full, true, 0, 1)
	tx, err := db.BeginTx(t.Context(), nil)
	f.must(err)
	count := func() (n int) {
		f.must(tx.QueryRowContext(t.Context(), "SELECT count(*) FROM requests").Scan(&n))
		return n
	}
	if n := count(); n != 3 {
		t.Errorf("another program sees %d requests", n)
	}
	f.append(4, 6, 100) // while it reads
	f.must(f.do(t.Context(), f.finishCheckpoint))
	if n := count(); n != 3 {
		t.Errorf("in its transaction another program sees %d requests", n)
	}
	f.must(errors.Join(tx.Rollback(), db.Close()))
}

func TestWhatIsNoLogIsRefusedAndLeftAlone(t *testing.T) {
	for name, tc := range map[string]struct {
		make func(f *fixture) // of a closed log with one request
		want string
	}{
		"garbage": {func(f *fixture) {
			f.must(os.WriteFile(f.path, []byte(strings.Repeat("garbage ", 1000)), 0o644))
		}, "is no SQLite database"},
		"a damaged first page": {func(f *fixture) {
			content, err := os.ReadFile(f.path)
			f.must(err)
			for i := 100; i < 4096; i++ {
				content[i] ^= 0xff
			}
			f.must(os.WriteFile(f.path, content, 0o644))
		}, "damaged"},
		"a cut file": {func(f *fixture) { f.must(os.Truncate(f.path, 2*pageSize)) }, "damaged"},
		"a folder": {func(f *fixture) {
			f.must(os.Remove(f.path))
			f.must(os.Mkdir(f.path, 0o755))
		}, "is not a file"},
		"a newer one":     {func(f *fixture) { f.exec("PRAGMA user_version = 99") }, "newer program (schema version 99"},
		"an older one":    {func(f *fixture) { f.exec("PRAGMA user_version = 0") }, "older program"},
		"somebody else's": {func(f *fixture) { f.exec("PRAGMA application_id = 1") }, "no write-ahead log of Spanlake"},
		"a journal alone": {func(f *fixture) { f.orphan(func() error { return os.Remove(f.path) }) }, "is missing or empty while"},
		"an emptied file": {func(f *fixture) { f.orphan(func() error { return os.Truncate(f.path, 0) }) }, "is missing or empty while"},
		"a header alone":  {func(f *fixture) { f.must(os.WriteFile(f.path, []byte("SQLite format 3\x00"), 0o644)) }, "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.append(1, 1, 100)
			f.close()
			tc.make(f)
			before, _ := os.ReadFile(f.path) // nothing if it is none
			l, err := Open(t.Context(), Options{Path: f.path})
			if err == nil {
				_ = l.Close(context.Background())
			}
			var unusable *UnusableError
			if !errors.As(err, &unusable) || unusable.Path != f.path || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if after, _ := os.ReadFile(f.path); string(after) != string(before) {
				t.Error("the file was changed")
			}
		})
	}
}

// orphan leaves a journal as a killed process does, and then takes the database away from it.
func (f *fixture) orphan(remove func() error) {
	f.must(os.WriteFile(f.path+"-wal", []byte("what SQLite wrote there"), 0o644))
	f.must(remove())
}

func TestAnEmptyFileBecomesALog(t *testing.T) {
	path := testPath(t)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	f := openFixture(t, path)
	f.append(1, 1, 100)
	if got := f.reopen().spans(); len(got) != 1 {
		t.Errorf("there are %v", got)
	}
}

func TestANewFileWhoseTablesWereNotMade(t *testing.T) {
	path := testPath(t)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	db := openDB(path, Full, false, 0, 1)
	for _, statement := range []string{"PRAGMA page_size = 32768", "PRAGMA auto_vacuum = INCREMENTAL", "PRAGMA journal_mode = WAL"} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	openFixture(t, path).append(1, 1, 100)
}

// copyLog copies an open log with its journal, as it is found after a crash.
func (f *fixture) copyLog() string {
	f.t.Helper()
	path := testPath(f.t)
	f.must(os.MkdirAll(filepath.Dir(path), 0o755))
	for _, suffix := range []string{"", "-wal", "-shm"} {
		content, err := os.ReadFile(f.path + suffix)
		f.must(err)
		f.must(os.WriteFile(path+suffix, content, 0o644))
	}
	return path
}

func TestAJournalThatACrashLeft(t *testing.T) {
	f := newFixture(t)
	f.append(1, 20, 10_000)
	for name, tc := range map[string]struct {
		damage func(journal []byte) []byte
		least  int
	}{
		"as it is":        {func(j []byte) []byte { return j }, 20},
		"cut at its end":  {func(j []byte) []byte { return j[:len(j)-100] }, 19},
		"cut to a half":   {func(j []byte) []byte { return j[:len(j)/2] }, 8},
		"half of it zero": {func(j []byte) []byte { return append(j[:len(j)/2:len(j)/2], make([]byte, len(j)/2)...) }, 8},
		"no header":       {func(j []byte) []byte { return j[:20] }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			path := f.copyLog()
			journal, err := os.ReadFile(path + "-wal")
			f.must(err)
			f.must(os.WriteFile(path+"-wal", tc.damage(journal), 0o644))
			g := openFixture(t, path)
			got := g.spans()
			if len(got) < tc.least || len(got) < 20 && tc.least == 20 {
				t.Errorf("there are %v, want at least %d", got, tc.least)
			}
			for i, n := range got {
				if n != i+1 {
					t.Errorf("there are %v", got)
					break
				}
			}
			g.append(21, 22, 100)
		})
	}
}

func TestNamesThatURLsDoNotLike(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b?c#d%41&e;f", "wal ü?mode=ro.db")
	f := openFixture(t, path)
	f.append(1, 1, 100)
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

func TestALinkToALog(t *testing.T) {
	f := newFixture(t)
	f.append(1, 1, 100)
	f.close()
	link := filepath.Join(t.TempDir(), "link.db")
	f.must(os.Symlink(f.path, link))
	g := openFixture(t, link)
	if got := g.spans(); len(got) != 1 {
		t.Errorf("there are %v", got)
	}
	if _, err := Open(t.Context(), Options{Path: f.path}); err == nil {
		t.Error("a log is opened twice, by its name and by a link")
	}
}
