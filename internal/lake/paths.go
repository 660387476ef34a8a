package lake

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spanlake/spanlake/internal/span"
)

// Paths looks only at the named places, relative to the root with '/': a file by itself, a folder with all that is below
// it, which is remembered like what Changed reads. The names may be anything, as they come from outside: one that no file
// of the lake can have, or that leads through a folder that is passed over, is ignored, and what is reached through a
// link is not there.
//
// The scope has each place that could be a file of the lake, whether it is there or not, and the folders that were read
// or that were remembered and are gone. If the root is not there, or is another folder than the one that is remembered,
// nothing is known of any place, and the listing is that error alone.
func (s *Scanner) Paths(ctx context.Context, paths []string) span.Listing {
	l := &look{scanner: s}
	return span.Listing{
		Files: func(yield func(span.File, error) bool) {
			*l = look{scanner: s, yield: yield, every: true}
			l.run(func() bool {
				top := s.top
				switch {
				case top == nil:
					top = &folder{name: "."} // the next Changed lists everything anyway
				case top.info != nil && !s.remembers(l.info):
					l.fail(".", errReplaced)
					return false
				}
				n := named{look: l, top: top, folders: map[string]fs.FileInfo{}, read: map[string]bool{}}
				defer n.leave()
				return n.visit(ctx, paths)
			})
		},
		Scope: func() []string { return l.scope },
	}
}

// named is a look at places that have been named.
type named struct {
	*look
	top     *folder
	folders map[string]fs.FileInfo // those on the way to the places
	read    map[string]bool        // the folders that were named and read, with all below them
	// The folder of the last place is kept open, as the next one is most often in the same.
	at  string
	dir *os.Root
}

func (n *named) visit(ctx context.Context, paths []string) bool {
	paths = slices.Clone(paths)
	slices.Sort(paths) // a folder comes before what is in it, and files of the same folder stand together
	for _, place := range slices.Compact(paths) {
		if !isPlace(place) || n.wasRead(place) {
			continue
		}
		if n.ended(ctx) || !n.place(ctx, place) {
			return false
		}
	}
	return true
}

// isPlace says whether a file of the lake, or a folder with some, can have this path.
func isPlace(name string) bool {
	return filepath.IsLocal(filepath.FromSlash(name)) && path.Clean(name) == name && !strings.Contains(name, "\x00") && !skipsPart(name)
}

// wasRead says whether the place lies in a folder that was read.
func (n *named) wasRead(place string) bool {
	if len(n.read) == 0 {
		return false
	}
	for at := place; at != "."; at = path.Dir(at) {
		if n.read[at] {
			return true
		}
	}
	return n.read["."]
}

func (n *named) place(ctx context.Context, place string) bool {
	info, err := n.lstat(place)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return n.fail(place, err)
	}
	if err == nil && info.IsDir() {
		n.read[place] = true
		goOn := n.look.visit(ctx, place, n.top.add(place), info)
		n.top.below(path.Dir(place)).sweep()
		return goOn
	}
	if f := n.top.below(place); f != nil {
		n.gone(place, f)
		n.top.below(path.Dir(place)).sweep()
	}
	if !isLakeFile(path.Base(place)) {
		return true
	}
	if err == nil && info.Mode().IsRegular() && !n.file(place, info.Size(), info.ModTime()) {
		return false
	}
	n.looked(place)
	return true
}

// lstat is of a place to which no link leads.
func (n *named) lstat(place string) (fs.FileInfo, error) {
	if place == "." {
		return n.root.Lstat(place)
	}
	if err := n.enter(path.Dir(place)); err != nil {
		return nil, err
	}
	return n.dir.Lstat(path.Base(place))
}

// enter opens the folder at, each part of which must be a folder.
func (n *named) enter(at string) error {
	if n.dir != nil && n.at == at {
		return nil
	}
	n.leave()
	info, err := n.folder(at)
	if err != nil {
		return err
	}
	dir, err := n.root.OpenRoot(inside(at))
	if err != nil {
		return err
	}
	opened, err := dir.Stat(".")
	if err == nil && !os.SameFile(info, opened) {
		err = errReplaced // maybe by a link to another folder of the lake
	}
	if err != nil {
		_ = dir.Close()
		return err
	}
	n.at, n.dir = at, dir
	return nil
}

func (n *named) leave() {
	if n.dir != nil {
		_ = n.dir.Close()
		n.dir = nil
	}
}

// folder is the state of a folder on the way to a place. Anything else than a folder is fs.ErrNotExist.
func (n *named) folder(at string) (fs.FileInfo, error) {
	if info, ok := n.folders[at]; ok {
		return info, nil
	}
	if at != "." {
		if _, err := n.folder(path.Dir(at)); err != nil {
			return nil, err
		}
	}
	info, err := n.root.Lstat(at)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fs.ErrNotExist
	}
	n.folders[at] = info
	return info, nil
}

// below is the remembered folder at the place, or nil.
func (f *folder) below(place string) *folder {
	if place == "." {
		return f
	}
	for name := range strings.SplitSeq(place, "/") {
		i, ok := f.find(name)
		if !ok {
			return nil
		}
		f = f.folders[i]
	}
	return f
}

// add remembers the folder at the place, and those on the way to it as not read yet.
func (f *folder) add(place string) *folder {
	if place == "." {
		return f
	}
	for name := range strings.SplitSeq(place, "/") {
		i, ok := f.find(name)
		if !ok {
			f.folders = slices.Insert(f.folders, i, &folder{name: name})
		}
		f = f.folders[i]
	}
	return f
}
