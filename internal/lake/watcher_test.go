package lake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// patience is how long a test waits for what must come. A change is told within milliseconds; the rest is for a machine
// that does much else.
const patience = 30 * time.Second

// follower knows the files of a lake from what a Watcher tells alone.
type follower struct {
	*Watcher
	t       *testing.T
	scanner *Scanner
	files   map[string]bool
	taken   []string // all places that were ever told
	lost    int      // how often everything had to be looked at
	log     *bytes.Buffer
}

func follow(t *testing.T, root string) *follower {
	t.Helper()
	log := &bytes.Buffer{}
	w, err := NewWatcher(root, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	f := &follower{Watcher: w, t: t, scanner: NewScanner(root), log: log}
	f.take(f.scanner.Whole(t.Context()))
	f.run()
	return f
}

func (f *follower) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		f.Run(ctx)
		close(done)
	}()
	f.t.Cleanup(func() {
		cancel()
		<-done
	})
}

// take takes a listing in as an index does.
func (f *follower) take(listing span.Listing) {
	f.t.Helper()
	found := map[string]bool{}
	for file, err := range listing.Files {
		var place *span.ScanError
		switch {
		case errors.As(err, &place) && place.Path == ".", errors.Is(err, ErrNotFolder):
			return // nothing is known of any file
		case errors.As(err, &place):
		case err != nil:
			f.t.Fatal(err)
		default:
			found[file.Path] = true
		}
	}
	if listing.Whole {
		f.files = found
		return
	}
	scope := map[string]bool{}
	for _, place := range listing.Scope() {
		scope[place] = true
	}
	maps.DeleteFunc(f.files, func(file string, _ bool) bool { return scope[file] || scope[path.Dir(file)] })
	maps.Copy(f.files, found)
}

// look looks at what was told.
func (f *follower) look() {
	f.t.Helper()
	places, lost := f.Take()
	f.taken = append(f.taken, places...)
	if lost {
		f.lost++
		f.take(f.scanner.Whole(f.t.Context()))
		return
	}
	f.take(f.scanner.Paths(f.t.Context(), places))
}

// until waits for what a change must lead to.
func (f *follower) until(what string, ok func() bool) {
	f.t.Helper()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-f.Wake():
			f.look()
		case <-deadline:
			f.t.Fatalf("timed out: %s; known are %d files, told %d times that all may have changed", what, len(f.files), f.lost)
		}
	}
}

// expect waits until these are the files that are known.
func (f *follower) expect(files ...string) {
	f.t.Helper()
	slices.Sort(files)
	f.until(fmt.Sprintf("want %d files: %.200q", len(files), files), func() bool {
		return len(f.files) == len(files) && slices.Equal(slices.Sorted(maps.Keys(f.files)), files)
	})
}

// publish is how a file comes into a lake.
func publish(t *testing.T, root, file string) {
	t.Helper()
	temporary := path.Join(path.Dir(file), "."+path.Base(file)+".tmp")
	put(t, root, temporary, "x")
	rename(t, filepath.Join(root, temporary), filepath.Join(root, file))
}

func makeFolder(t *testing.T, folder string) {
	t.Helper()
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestAWatcherTellsOf(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(t *testing.T, root string)
		want   []string
	}{
		"a file that is published":   {func(t *testing.T, root string) { publish(t, root, "y/d/b.parquet") }, []string{"y/d/a.parquet", "y/d/b.parquet"}},
		"a file that is written":     {func(t *testing.T, root string) { put(t, root, "b.parquet", "x") }, []string{"b.parquet", "y/d/a.parquet"}},
		"a file that is removed":     {func(t *testing.T, root string) { remove(t, root+"/y/d/a.parquet") }, nil},
		"a file that is renamed":     {func(t *testing.T, root string) { rename(t, root+"/y/d/a.parquet", root+"/y/d/b.parquet") }, []string{"y/d/b.parquet"}},
		"a file that is moved":       {func(t *testing.T, root string) { rename(t, root+"/y/d/a.parquet", root+"/a.parquet") }, []string{"a.parquet"}},
		"a file that is moved out":   {func(t *testing.T, root string) { rename(t, root+"/y/d/a.parquet", root+"/../a.parquet") }, nil},
		"a file in new folders":      {func(t *testing.T, root string) { publish(t, root, "1/2/3/4/5/b.parquet") }, []string{"1/2/3/4/5/b.parquet", "y/d/a.parquet"}},
		"folders that are removed":   {func(t *testing.T, root string) { remove(t, root+"/y") }, nil},
		"folders that are renamed":   {func(t *testing.T, root string) { rename(t, root+"/y", root+"/z") }, []string{"z/d/a.parquet"}},
		"folders that are moved out": {func(t *testing.T, root string) { rename(t, root+"/y", root+"/../y") }, nil},
		"folders that are moved in": {func(t *testing.T, root string) {
			put(t, root, "../out/d/b.parquet", "x")
			put(t, root, "../out/d/c.parquet", "x")
			rename(t, root+"/../out", root+"/y/out")
		}, []string{"y/d/a.parquet", "y/out/d/b.parquet", "y/out/d/c.parquet"}},
		"folders that are moved in, then removed": {func(t *testing.T, root string) {
			put(t, root, "../out/d/b.parquet", "x")
			rename(t, root+"/../out", root+"/y/out")
			remove(t, root+"/y")
		}, nil},
		"folders that are replaced": {func(t *testing.T, root string) {
			put(t, root, "../out/d/b.parquet", "x")
			rename(t, root+"/y", root+"/../y")
			rename(t, root+"/../out", root+"/y")
			publish(t, root, "y/d/c.parquet")
			publish(t, root, "../y/d/not.parquet")
		}, []string{"y/d/b.parquet", "y/d/c.parquet"}},
		"folders that are renamed and written to": {func(t *testing.T, root string) {
			rename(t, root+"/y", root+"/z")
			publish(t, root, "z/d/b.parquet")
			rename(t, root+"/z", root+"/y")
			publish(t, root, "y/d/c.parquet")
			rename(t, root+"/y", root+"/z")
			publish(t, root, "z/d/d.parquet")
		}, []string{"z/d/a.parquet", "z/d/b.parquet", "z/d/c.parquet", "z/d/d.parquet"}},
		"folders that are removed and made again": {func(t *testing.T, root string) {
			for i := range 20 {
				remove(t, root+"/y")
				publish(t, root, fmt.Sprintf("y/d/%d.parquet", i))
			}
		}, []string{"y/d/19.parquet"}},
		"a folder with the name of a file": {func(t *testing.T, root string) {
			publish(t, root, "x.parquet/a.parquet")
			publish(t, root, "x.parquet/b.parquet")
		}, []string{"x.parquet/a.parquet", "x.parquet/b.parquet", "y/d/a.parquet"}},
		"a folder that becomes a file": {func(t *testing.T, root string) {
			publish(t, root, "x.parquet/a.parquet")
			remove(t, root+"/x.parquet")
			publish(t, root, "x.parquet")
			remove(t, root+"/y")
			publish(t, root, "y")
		}, []string{"x.parquet"}},
		"odd names": {func(t *testing.T, root string) {
			publish(t, root, "... [*]\\\n{a,b}/ é 東京 %s.parquet")
			publish(t, root, "... [*]/.. /\xff/a.parquet")
			publish(t, root, "x \xff.parquet")
			publish(t, root, "[*]/.../no.parquet")
			publish(t, root, "[*]/x...parquet")
		}, []string{"[*]/x...parquet", "y/d/a.parquet"}},
	} {
		t.Run(name, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "lake")
			put(t, root, "y/d/a.parquet", "x")
			f := follow(t, root)
			tc.change(t, root)
			f.expect(tc.want...)
			// Folders are still watched, or watched by now.
			publish(t, root, "later/d/a.parquet")
			f.expect(append(slices.Clone(tc.want), "later/d/a.parquet")...)
			if f.lost > 0 {
				t.Errorf("told %d times that anything may have changed", f.lost)
			}
		})
	}
}

func TestAWatcherTellsOfAFileAsItGrows(t *testing.T) {
	root := t.TempDir()
	f := follow(t, root)
	file, err := os.Create(filepath.Join(root, "a.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for i := range 5 {
		if _, err := file.WriteString("x"); err != nil {
			t.Fatal(err)
		}
		before := len(f.taken)
		f.until(fmt.Sprintf("write %d", i), func() bool { return len(f.taken) > before })
	}
	before := len(f.taken)
	if err := file.Chmod(0o600); err != nil {
		t.Fatal(err)
	}
	f.until("permissions", func() bool { return len(f.taken) > before })
}

// Others come in order, and so what was not told before the last file is not told at all.
func TestNamesThatAreNoFilesOfTheLakeWakeNobody(t *testing.T) {
	root := filepath.Join(t.TempDir(), "lake")
	put(t, root, "d/a.parquet", "x")
	put(t, root, "tmp/a.parquet", "x")
	f := follow(t, root)
	for _, name := range []string{".hidden.parquet", "_hidden.parquet", "d/.b.parquet.tmp", "a.txt", "d/b.parquet.tmp", "../lake2/a.parquet", "../a.parquet",
		"tmp/b.parquet", "_temporary/0/b.parquet", ".git/b.parquet", "d/tmp/b.parquet"} {
		put(t, root, name, "x")
		if err := os.Chmod(filepath.Join(root, name), 0o600); err != nil {
			t.Fatal(err)
		}
		rename(t, filepath.Join(root, name), filepath.Join(root, name+"~"))
		remove(t, filepath.Join(root, name+"~"))
	}
	select {
	case <-f.Wake():
		t.Error("woken")
	default:
	}
	publish(t, root, "d/z.parquet")
	f.expect("d/a.parquet", "d/z.parquet")
	if !slices.Equal(slices.Compact(f.taken), []string{"d/z.parquet"}) || f.lost > 0 {
		t.Errorf("told %q, and %d times that anything may have changed", f.taken, f.lost)
	}
}

// A folder may have files before anybody can watch it.
func TestNoFileInANewFolderIsMissed(t *testing.T) {
	root := t.TempDir()
	f := follow(t, root)
	var want []string
	for i := range 200 {
		file := fmt.Sprintf("year=%d/month=%d/day=%d/a.parquet", i/50, i/5, i)
		publish(t, root, file)
		want = append(want, file)
	}
	f.expect(want...)
	t.Run("while they are moved in", func(t *testing.T) {
		outside := t.TempDir()
		for i := range 100 {
			put(t, outside, fmt.Sprintf("%d/h/a.parquet", i), "x")
			rename(t, fmt.Sprintf("%s/%d", outside, i), fmt.Sprintf("%s/in=%d", root, i))
			publish(t, root, fmt.Sprintf("in=%d/h/b.parquet", i))
			want = append(want, fmt.Sprintf("in=%d/h/a.parquet", i), fmt.Sprintf("in=%d/h/b.parquet", i))
		}
		f.expect(want...)
	})
}

func TestABurstIsToldInFullOrAsLost(t *testing.T) {
	const files = 20_000
	root := t.TempDir()
	makeFolder(t, root+"/d")
	f := follow(t, root)
	want := make([]string, files)
	for i := range want {
		want[i] = fmt.Sprintf("d/%05d.parquet", i)
		if err := os.WriteFile(filepath.Join(root, want[i]), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f.expect(want...)
	if f.lost == 0 && len(f.taken) < files {
		t.Errorf("only %d places were told", len(f.taken))
	}
}

func TestTooManyPlacesCountAsLost(t *testing.T) {
	c := newChanges()
	c.limit = 3
	for i := range 3 {
		c.add(fmt.Sprint(i % 2))
		c.add("2")
	}
	if places, lost := c.take(); !slices.Equal(places, []string{"0", "1", "2"}) || lost {
		t.Errorf("take() = %q, %v", places, lost)
	}
	for i := range 5 {
		c.add(fmt.Sprint(i))
	}
	if places, lost := c.take(); len(places) > 0 || !lost {
		t.Errorf("take() = %q, %v", places, lost)
	}
	if places, lost := c.take(); len(places) > 0 || lost {
		t.Errorf("take() = %q, %v", places, lost)
	}
}
