package lake

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/fsnotify/fsnotify"
)

const (
	// maxWatches is how many folders a caller can have watched. Small machines allow a user 8192 watches for all programs.
	maxWatches = 2000
	// spareWatches are for folders that appear between two calls of Watch.
	spareWatches = 500
	// maxPlaces is how many changed places are kept until somebody takes them. Looking at more costs as much as looking at
	// everything.
	maxPlaces = 10_000
)

// Watcher tells of changes in a lake as they happen. It is fast but not sure: a network file system tells nothing of what
// other machines do, and neither does a folder that is not watched. So it goes with a Scanner, which finds the rest.
//
// Told are files of the lake that appear, are written, renamed, removed or get other permissions, and folders that
// appear, which are watched with all that are in them, or go. Names that Scan passes over are not.
//
// Beside the lake, the folder that it lies in is watched (if the root is not there, the nearest one above it that is), to
// notice that the root goes or comes: all must be looked at then. A lake that moves since a folder further up was
// renamed, or one that something is mounted over, is noticed by the next Watch.
//
// A root that is a link is resolved. Its methods can be used by many goroutines.
type Watcher struct {
	given   string // the root, absolute, before links are resolved
	log     *slog.Logger
	events  *fsnotify.Watcher
	add     func(folder string) error // events.Add
	changes *changes
	drained chan struct{} // closed after the last error

	// stale: the folders that are watched may have moved without notice.
	stale atomic.Bool

	mu       sync.Mutex
	limit    int
	root     string
	rootInfo fs.FileInfo         // nil: the root is not there
	outer    string              // the watched folder that the root lies in, or ""
	watched  map[string]struct{} // relative to the root; "." is the root
	appeared map[string]struct{} // those of them that appeared since the last call of Watch
	warned   bool
}

// NewWatcher watches the lake at root, as many folders as allowed, the newest first. What changes from now on is told, so
// that nothing is missed by a caller that lists the lake afterwards.
//
// It holds descriptors and goroutines, which Run releases: it must be called, even with a context that has ended. If the
// system does not let a program watch, the error says what to do; the lake can be polled all the same.
func NewWatcher(root string, log *slog.Logger) (*Watcher, error) {
	given, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("watch the lake: %w", err)
	}
	events, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, watchError(err)
	}
	w := newWatcher(given, log, events)
	go w.drainErrors()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settle()
	clear(w.appeared) // the caller lists the lake from now on, and so sees them all
	return w, nil
}

func newWatcher(given string, log *slog.Logger, events *fsnotify.Watcher) *Watcher {
	return &Watcher{
		given: given, log: log, events: events, add: events.Add, changes: newChanges(), drained: make(chan struct{}),
		limit: maxWatches, watched: map[string]struct{}{}, appeared: map[string]struct{}{},
	}
}

// watchError says what to do if the system refuses to tell of changes at all.
func watchError(err error) error {
	if errors.Is(err, syscall.EMFILE) {
		return fmt.Errorf("watch the lake: %w: raise fs.inotify.max_user_instances, or the limit of open files", err)
	}
	return fmt.Errorf("watch the lake: %w", err)
}

// Run collects changes until ctx ends, and releases all that the Watcher holds.
func (w *Watcher) Run(ctx context.Context) {
	defer func() {
		if err := w.events.Close(); err != nil {
			w.log.Debug("cannot stop watching the lake", "error", err)
		}
		<-w.drained
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case event := <-w.events.Events:
			w.handle(event)
		}
	}
}

// drainErrors takes the errors of fsnotify. It must not wait for anything else: fsnotify holds, while it tells an error,
// a lock that adding and removing watches needs.
func (w *Watcher) drainErrors() {
	defer close(w.drained)
	for err := range w.events.Errors {
		if errors.Is(err, syscall.EINVAL) {
			continue // a folder that was moved away is removed by now, and the system has dropped its watch already
		}
		w.log.Debug("changes of the lake were lost", "error", err)
		w.stale.Store(true)
		w.changes.lose()
	}
}

// Wake has an element when there is something to take.
func (w *Watcher) Wake() <-chan struct{} { return w.changes.wake }

// Take is what changed since the last call: places relative to the root, with '/', each once, a folder standing for all
// that is below it. They are to be looked at, and may not be there any more. If lost is true, any place may have changed.
func (w *Watcher) Take() (paths []string, lost bool) { return w.changes.take() }

// Watch sets which folders are watched, relative to the root, the most important first. The first 2000 are, or as many as
// the system allows, together with the root and those that appeared since the last call, which the caller may not have
// seen yet. A change in a folder that is watched only from now on is told if it comes after this call: look, with
// Scanner.Changed, for what came before.
func (w *Watcher) Watch(folders []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.moved() {
		w.reset()
	}
	if w.rootInfo == nil {
		return
	}
	// What appeared is new, and so comes first.
	appeared := slices.Collect(maps.Keys(w.appeared))
	clear(w.appeared)
	ordered := []string{"."}
	wanted := map[string]struct{}{".": {}}
	for _, folder := range slices.Concat(appeared, folders) {
		if _, ok := wanted[folder]; ok || !isPlace(folder) {
			continue
		}
		if len(ordered) >= w.limit {
			break
		}
		wanted[folder] = struct{}{}
		ordered = append(ordered, folder)
	}
	stale := w.stale.Swap(false)
	active := w.active()
	for folder := range w.watched {
		_, isWanted := wanted[folder]
		if _, isActive := active[w.full(folder)]; stale || !isActive || !isWanted {
			w.drop(folder)
		}
	}
	last := len(ordered) - 1
	for i, folder := range ordered {
		for _, ok := w.watched[folder]; !ok && !w.watch(folder); last-- {
			if last <= i {
				return
			}
			w.drop(ordered[last]) // it matters less
		}
	}
}

// handle takes in one event.
func (w *Watcher) handle(event fsnotify.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	place, ok := w.relative(event.Name)
	switch {
	case ok && place != ".":
		w.handleInside(place, event)
	case ok || isBelow(w.root, event.Name):
		w.handleRoot(event)
	}
}

// handleRoot takes in what happened to the root, or to a folder above it. Even if the root is there again already, the
// system may have dropped the watches, or may keep them on what was moved away.
func (w *Watcher) handleRoot(event fsnotify.Event) {
	_, watched := w.watched["."]
	if event.Has(fsnotify.Create) || event.Has(fsnotify.Remove) || event.Has(fsnotify.Rename) || event.Has(fsnotify.Chmod) && !watched {
		w.reset()
	}
}

// handleInside takes in what happened to a place in a watched folder, or to a watched folder.
func (w *Watcher) handleInside(place string, event fsnotify.Event) {
	name := path.Base(place)
	_, isFolder := w.watched[place]
	if _, ok := w.watched[path.Dir(place)]; !ok && !isFolder || skipFolder(name) {
		return // it is about a folder that is watched no more, for one
	}
	went := event.Has(fsnotify.Remove) || event.Has(fsnotify.Rename)
	switch {
	case event.Has(fsnotify.Create) || event.Has(fsnotify.Chmod) && !isFolder && !isLakeFile(name):
		// After a change of permissions it may be a folder that could not be watched before.
		if isFolder {
			w.dropBelow(place) // that was another one of this name
		}
		if info, err := os.Lstat(w.full(place)); err == nil && info.IsDir() {
			w.watchBelow(place)
			isFolder = true
		}
	case went && isFolder:
		w.dropBelow(place)
		if event.Has(fsnotify.Rename) {
			w.restore()
		}
	case isFolder:
		return // what changes in it is told by itself
	}
	if isFolder || isLakeFile(name) {
		w.changes.add(place) // after the folder is watched, so that nothing in it is missed
	}
}

// relative is the path of a place in the lake, and "." for the root.
func (w *Watcher) relative(name string) (place string, ok bool) {
	if name == w.root {
		return ".", true
	}
	if !isBelow(name, w.root) {
		return "", false
	}
	return filepath.ToSlash(strings.TrimPrefix(strings.TrimPrefix(name, w.root), string(filepath.Separator))), true
}

// full is the path of a place for the system.
func (w *Watcher) full(place string) string { return filepath.Join(w.root, filepath.FromSlash(place)) }

// isBelow says whether a path leads to something in a folder. Both are absolute and clean.
func isBelow(name, folder string) bool {
	rest, ok := strings.CutPrefix(name, folder)
	separator := string(filepath.Separator)
	return ok && rest != "" && (strings.HasPrefix(rest, separator) || strings.HasSuffix(folder, separator))
}
