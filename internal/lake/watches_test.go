package lake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/fsnotify/fsnotify"

	"github.com/spanlake/spanlake/internal/span"
)

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
