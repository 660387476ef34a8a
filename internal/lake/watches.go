package lake

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/fsnotify/fsnotify"
)

const (
	// maxSettling is how often the root may come and go while it is being looked for.
	maxSettling = 10
	// maxLinks is how many links to the root may lead to each other.
	maxLinks = 10
)

// reset watches everything anew, and tells that anything may have changed, even if the root is not there now as it was not
// before: it may have been there in between, and have been listed.
func (w *Watcher) reset() {
	w.settle()
	w.changes.lose()
}

// settle watches the folder that the root lies in, or the nearest one above it that is there, and all of the lake.
func (w *Watcher) settle() {
	for range maxSettling {
		for folder := range w.watched {
			w.drop(folder)
		}
		w.remove(w.outer)
		w.root, w.outer, w.rootInfo = resolve(w.given, maxLinks), "", nil
		clear(w.appeared)
		for above := filepath.Dir(w.root); w.outer == "" && above != w.root; above = filepath.Dir(above) {
			if info, err := os.Stat(above); err == nil && info.IsDir() && w.add(above) == nil {
				w.outer = above
			}
			if above == filepath.Dir(above) {
				break
			}
		}
		if info, err := os.Stat(w.root); err == nil && info.IsDir() {
			w.rootInfo = info
			w.watchBelow(".")
		}
		// What came or went before the watch above was there is not told.
		if !w.moved() && (w.rootInfo != nil || !w.nearer()) {
			return
		}
	}
}

// moved says whether the root is another folder than the one that is watched.
func (w *Watcher) moved() bool {
	if resolve(w.given, maxLinks) != w.root {
		return true
	}
	info, err := os.Stat(w.root)
	if err != nil || !info.IsDir() {
		return w.rootInfo != nil
	}
	return w.rootInfo == nil || !os.SameFile(info, w.rootInfo)
}

// nearer says whether there is, by now, a folder above the root below the one that is watched.
func (w *Watcher) nearer() bool {
	if w.outer == "" {
		return false
	}
	next, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(w.root, w.outer), string(filepath.Separator)), string(filepath.Separator))
	info, err := os.Stat(filepath.Join(w.outer, next))
	return err == nil && info.IsDir()
}

// resolve follows the links in a path, of which the last parts, or what the links lead to, need not be there.
func resolve(name string, links int) string {
	if resolved, err := filepath.EvalSymlinks(name); err == nil {
		return resolved
	}
	parent := filepath.Dir(name)
	if parent == name {
		return name
	}
	name = filepath.Join(resolve(parent, links), filepath.Base(name))
	target, err := os.Readlink(name)
	if err != nil || links == 0 {
		return name
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(name), target)
	}
	return resolve(target, links-1)
}

// watchBelow watches a folder and all that are in it. Each is watched before it is read, so that a folder that is made
// meanwhile is told or found.
func (w *Watcher) watchBelow(folder string) bool {
	if !w.watch(folder) {
		return false
	}
	if _, ok := w.watched[folder]; !ok {
		return true // it is gone, or may not be read
	}
	w.appeared[folder] = struct{}{}
	entries, err := os.ReadDir(w.full(folder))
	if err != nil {
		return true
	}
	for _, one := range slices.Backward(entries) { // the last by name is the newest
		if one.IsDir() && !skipFolder(one.Name()) && !w.watchBelow(join(folder, one.Name())) {
			return false
		}
	}
	return true
}

// watch watches one folder, and says whether more can be.
func (w *Watcher) watch(folder string) bool {
	if len(w.watched) >= w.limit+spareWatches {
		return false
	}
	if !w.isFolder(folder) {
		return true
	}
	err := w.add(w.full(folder))
	switch {
	case err == nil:
		w.watched[folder] = struct{}{}
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EMFILE):
		if !w.warned {
			w.warned = true
			w.log.Warn("the system does not let all folders of the lake be watched: changes in the others are found by polling; "+
				"raise fs.inotify.max_user_watches to see them at once", "watched", len(w.watched), "error", err)
		}
		return false
	case errors.Is(err, fsnotify.ErrClosed):
		return false
	case !errors.Is(err, fs.ErrNotExist):
		w.log.Debug("cannot watch a folder of the lake", "folder", folder, "error", err)
	}
	return true
}

// isFolder says whether a folder is there, and no link leads to it.
func (w *Watcher) isFolder(folder string) bool {
	if folder != "." && !w.isFolder(path.Dir(folder)) {
		return false
	}
	info, err := os.Lstat(w.full(folder))
	return err == nil && info.IsDir()
}

// dropBelow watches a folder no more, nor those in it.
func (w *Watcher) dropBelow(folder string) {
	for one := range w.watched {
		if one == folder || strings.HasPrefix(one, folder+"/") {
			w.drop(one)
		}
	}
}

func (w *Watcher) drop(folder string) {
	w.remove(w.full(folder))
	delete(w.watched, folder)
	delete(w.appeared, folder)
}

// remove takes back a watch. That the system has dropped it already is no problem.
func (w *Watcher) remove(name string) {
	if name == "" {
		return
	}
	if err := w.events.Remove(name); err != nil && !errors.Is(err, fsnotify.ErrNonExistentWatch) && !errors.Is(err, syscall.EINVAL) {
		w.log.Debug("cannot stop watching a folder", "folder", name, "error", err)
	}
}

// active are the folders of which the system does tell changes.
func (w *Watcher) active() map[string]struct{} {
	active := map[string]struct{}{}
	for _, name := range w.events.WatchList() {
		active[name] = struct{}{}
	}
	return active
}

// restore watches again what lost its watch with a folder that was moved: the system knows folders by what they are, not
// by their names, and so one that was moved within the lake may have been watched by its old name.
func (w *Watcher) restore() {
	active := w.active()
	for _, folder := range slices.Collect(maps.Keys(w.watched)) {
		if _, ok := active[w.full(folder)]; ok || folder == "." {
			continue // an event of its own tells of the root
		}
		w.drop(folder)
		w.watch(folder)
		w.changes.add(folder)
	}
}
