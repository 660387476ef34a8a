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
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

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

func TestTheRootMayGoAndComeBack(t *testing.T) {
	root := filepath.Join(t.TempDir(), "lake")
	put(t, root, "d/a.parquet", "x")
	f := follow(t, root)
	goAway := func(to string) {
		t.Helper()
		before := f.lost
		rename(t, root, to)
		f.until("the root is gone", func() bool { return f.lost > before })
	}
	goAway(root + ".away")
	publish(t, root+".away", "d/moved.parquet")
	rename(t, root+".away", root)
	f.expect("d/a.parquet", "d/moved.parquet")
	publish(t, root, "d/b.parquet")
	f.expect("d/a.parquet", "d/b.parquet", "d/moved.parquet")

	goAway(root + ".away")
	for i := range 10 { // nobody is told of what happens where the lake is not
		publish(t, root+".away", fmt.Sprintf("d/away%d.parquet", i))
		publish(t, root+".away", fmt.Sprintf("new%d/away.parquet", i))
	}
	publish(t, root, "d/c.parquet")
	f.expect("d/c.parquet")
	publish(t, root, "d/d.parquet")
	f.expect("d/c.parquet", "d/d.parquet")
	for _, place := range f.taken {
		if strings.Contains(place, "away") || strings.HasPrefix(place, "new") {
			t.Errorf("told of %s, which is not in the lake", place)
		}
	}

	for i := range 20 { // quickly
		remove(t, root)
		publish(t, root, fmt.Sprintf("d/%d.parquet", i))
	}
	f.expect("d/19.parquet")
	publish(t, root, "e/a.parquet")
	f.expect("d/19.parquet", "e/a.parquet")

	for range 10 { // the same folder, so that nothing but its watch changes
		rename(t, root, root+".away2")
		rename(t, root+".away2", root)
	}
	publish(t, root, "e/b.parquet")
	f.expect("d/19.parquet", "e/a.parquet", "e/b.parquet")

	before := f.lost
	rename(t, filepath.Dir(root), filepath.Dir(root)+".away")
	t.Cleanup(func() { remove(t, filepath.Dir(root)+".away") })
	f.until("the folder above is gone", func() bool { return f.lost > before })
	publish(t, root, "d/f.parquet")
	f.expect("d/f.parquet")
}

func TestTheRootMayComeLater(t *testing.T) {
	for _, missing := range []string{"lake", "a/lake", "a/b/c/lake"} {
		t.Run(missing, func(t *testing.T) {
			for range 20 { // to catch each of its parts at any moment
				root := filepath.Join(t.TempDir(), missing)
				f := follow(t, root)
				publish(t, root, "y/d/a.parquet")
				f.expect("y/d/a.parquet")
				publish(t, root, "y/d/b.parquet")
				f.expect("y/d/a.parquet", "y/d/b.parquet")
				if f.lost == 0 {
					t.Error("it was not told that the root is there")
				}
			}
		})
	}
}

func TestAFileMayBecomeTheRoot(t *testing.T) {
	root := filepath.Join(t.TempDir(), "lake")
	put(t, root, "../lake", "a file")
	f := follow(t, root)
	remove(t, root)
	publish(t, root, "a.parquet")
	f.expect("a.parquet")
}

func TestTheRootMayBeALink(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "real/d/a.parquet", "x")
	put(t, dir, "other/d/o.parquet", "x")
	link := filepath.Join(dir, "links", "lake")
	symlink(t, filepath.Join(dir, "real"), link)
	f := follow(t, link)
	publish(t, link, "d/b.parquet")
	f.expect("d/a.parquet", "d/b.parquet")
	rename(t, filepath.Join(dir, "real"), filepath.Join(dir, "away"))
	f.until("the root is gone", func() bool { return f.lost > 0 })
	rename(t, filepath.Join(dir, "away"), filepath.Join(dir, "real"))
	publish(t, link, "d/c.parquet")
	f.expect("d/a.parquet", "d/b.parquet", "d/c.parquet")

	remove(t, link)
	symlink(t, filepath.Join(dir, "other"), link)
	f.Watch([]string{".", "d"})
	publish(t, link, "d/p.parquet")
	f.expect("d/o.parquet", "d/p.parquet")
}

func TestLinksInTheLakeAreNotWatched(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "outside/d/a.parquet", "x")
	root := filepath.Join(dir, "lake")
	symlink(t, "../outside", filepath.Join(root, "before"))
	f := follow(t, root)
	symlink(t, "../outside", filepath.Join(root, "after"))
	f.Watch([]string{".", "before", "after", "before/d"})
	put(t, dir, "outside/b.parquet", "x")
	put(t, dir, "outside/d/b.parquet", "x")
	publish(t, root, "z.parquet")
	f.expect("z.parquet")
	for _, place := range f.taken {
		if place != "z.parquet" {
			t.Errorf("told of %s", place)
		}
	}
}

func TestWatchSetsTheFolders(t *testing.T) {
	root := t.TempDir()
	for _, folder := range []string{"a", "b", "c", "tmp"} {
		makeFolder(t, filepath.Join(root, folder))
	}
	f := follow(t, root)
	f.Watch([]string{"a", "b", "a", "../b", "/", "tmp", ".", "", "none"})
	publish(t, root, "c/1.parquet")
	publish(t, root, "a/1.parquet")
	publish(t, root, "b/1.parquet")
	f.expect("a/1.parquet", "b/1.parquet")
	f.Watch([]string{"c"})
	publish(t, root, "a/2.parquet")
	publish(t, root, "c/2.parquet")
	f.expect("a/1.parquet", "b/1.parquet", "c/2.parquet")

	publish(t, root, "new/1.parquet")
	f.until("the new folder", func() bool { return f.files["new/1.parquet"] })
	f.Watch(nil) // by a caller who did not see the new folder yet
	publish(t, root, "c/3.parquet")
	publish(t, root, "new/2.parquet")
	f.expect("a/1.parquet", "b/1.parquet", "c/2.parquet", "new/1.parquet", "new/2.parquet")
	f.Watch(nil)
	publish(t, root, "new/3.parquet")
	publish(t, root, "4.parquet")
	f.expect("4.parquet", "a/1.parquet", "b/1.parquet", "c/2.parquet", "new/1.parquet", "new/2.parquet")
}

// A folder is known to the system by what it is, and may be watched by its old name when it comes under a new one.
func TestAFolderMovesAwayFromAFolderThatIsNotWatched(t *testing.T) {
	for range 20 {
		root := t.TempDir()
		put(t, root, "y/d/e/a.parquet", "x")
		f := follow(t, root)
		f.Watch([]string{"y/d", "y/d/e"})
		rename(t, root+"/y/d", root+"/d")
		f.until("the folder is there", func() bool { return f.files["d/e/a.parquet"] })
		publish(t, root, "d/e/b.parquet")
		f.until("the file is there", func() bool { return f.files["d/e/b.parquet"] })
	}
}

func TestOnlyTheFirstFoldersAreWatched(t *testing.T) {
	root := t.TempDir()
	var folders []string
	for i := range 10 {
		folders = append(folders, fmt.Sprint(i))
		makeFolder(t, filepath.Join(root, folders[i]))
	}
	f := follow(t, root)
	f.mu.Lock()
	f.limit = 5
	f.mu.Unlock()
	f.Watch(folders)
	f.mu.Lock()
	got := slices.Sorted(maps.Keys(f.watched))
	f.mu.Unlock()
	if want := []string{".", "0", "1", "2", "3"}; !slices.Equal(got, want) {
		t.Errorf("watched are %q, want %q", got, want)
	}
}

func TestARefusalOfTheSystemIsWarnedOfOnce(t *testing.T) {
	root := t.TempDir()
	for _, folder := range []string{"a", "b", "c"} {
		makeFolder(t, filepath.Join(root, folder))
	}
	log := &bytes.Buffer{}
	events, err := fsnotify.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	w := newWatcher(root, slog.New(slog.NewTextHandler(log, nil)), events)
	go w.drainErrors()
	w.add = func(folder string) error {
		if len(w.watched) == 2 {
			return fmt.Errorf("inotify_add_watch: %w", syscall.ENOSPC)
		}
		return events.Add(folder)
	}
	w.mu.Lock()
	w.settle()
	w.mu.Unlock()
	f := &follower{Watcher: w, t: t, scanner: NewScanner(root), files: map[string]bool{}, log: log}
	f.run()
	f.Watch([]string{".", "b", "a", "c"})
	f.Watch([]string{".", "b", "a", "c"})
	publish(t, root, "a/a.parquet")
	publish(t, root, "b/a.parquet")
	f.expect("b/a.parquet")
	publish(t, root, "new/a.parquet") // cannot be watched, but is told
	f.expect("b/a.parquet", "new/a.parquet")
	if n := strings.Count(log.String(), "fs.inotify.max_user_watches"); n != 1 {
		t.Errorf("warned %d times:\n%s", n, log)
	}
}

func TestARefusalToWatchAtAllSaysWhatToDo(t *testing.T) {
	if err := watchError(os.NewSyscallError("inotify_init1", syscall.EMFILE)); !strings.Contains(err.Error(), "fs.inotify.max_user_instances") || !errors.Is(err, syscall.EMFILE) {
		t.Errorf("the error is %v", err)
	}
	if err := watchError(syscall.ENOSYS); strings.Contains(err.Error(), "instances") || !errors.Is(err, syscall.ENOSYS) {
		t.Errorf("the error is %v", err)
	}
}

// When events were lost, a folder may have been replaced without notice.
func TestLostEventsRenewTheWatches(t *testing.T) {
	root := t.TempDir()
	put(t, root, "d/a.parquet", "x")
	f := follow(t, root)
	f.events.Errors <- fsnotify.ErrEventOverflow
	f.until("the loss is told", func() bool { return f.lost == 1 })
	if err := f.events.Remove(filepath.Join(root, "d")); err != nil { // as if the folder had gone and come
		t.Fatal(err)
	}
	f.Watch(f.scanner.Folders())
	publish(t, root, "d/b.parquet")
	f.expect("d/a.parquet", "d/b.parquet")
}

// Everything at once, as the caller does it; the end must be seen, and nothing may hang.
func TestWatchWhileTheLakeChanges(t *testing.T) {
	root := filepath.Join(t.TempDir(), "lake")
	makeFolder(t, root)
	f := follow(t, root)
	var group sync.WaitGroup
	group.Go(func() {
		for i := range 200 {
			publish(t, root, fmt.Sprintf("d%d/e/a.parquet", i%5))
			switch i % 4 {
			case 0:
				remove(t, fmt.Sprintf("%s/d%d", root, i%5))
			case 1: // moved, and gone before it can be looked at
				rename(t, fmt.Sprintf("%s/d%d", root, i%5), root+"/../trash")
				remove(t, root+"/../trash")
			case 2:
				remove(t, root+"/x")
				rename(t, fmt.Sprintf("%s/d%d", root, i%5), root+"/x")
			}
		}
	})
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		s := NewScanner(root)
		for {
			select {
			case <-stop:
				return
			default:
				for _, err := range s.Changed(t.Context()).Files {
					var place *span.ScanError
					if err != nil && !errors.As(err, &place) {
						t.Error(err)
					}
				}
				f.Watch(s.Folders())
			}
		}
	})
	group.Wait()
	close(stop)
	watching.Wait()
	// As the caller does after Watch.
	f.take(f.scanner.Whole(t.Context()))
	f.Watch(f.scanner.Folders())
	f.take(f.scanner.Whole(t.Context()))
	want, _ := scanned(t, root)
	f.expect(want...)
	publish(t, root, "end/e/a.parquet")
	f.expect(append(want, "end/e/a.parquet")...)
}

func TestAWatcherThatHasEndedDoesNothing(t *testing.T) {
	root := t.TempDir()
	log := &bytes.Buffer{}
	w, err := NewWatcher(root, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.Run(ctx)
	w.Watch([]string{".", "none"})
	if places, lost := w.Take(); len(places) > 0 || lost {
		t.Errorf("Take() = %q, %v", places, lost)
	}
	if log.Len() > 0 {
		t.Errorf("it logged %s", log)
	}
}
