package lake

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spanlake/spanlake/internal/span"
)

// entryChunk is how many entries of a folder are asked for at once. What the system tells of each is larger than what
// is kept of it.
const entryChunk = 256

// entry is a file of the lake, or a folder that may hold some.
type entry struct {
	name    string
	size    int64
	modTime time.Time
	folder  fs.FileInfo // nil for a file
}

// visit looks at a folder that is as info says.
func (l *look) visit(ctx context.Context, at string, f *folder, info fs.FileInfo) bool {
	if l.every || !f.unchanged(info) {
		return l.read(ctx, at, f)
	}
	return len(f.folders) == 0 || l.pass(ctx, at, f)
}

// pass looks at the folders in one that did not change. The folder is closed before any other is opened, so that a deep
// lake does not use up the file descriptors.
func (l *look) pass(ctx context.Context, at string, f *folder) bool {
	if l.ended(ctx) {
		return false
	}
	dir, err := l.root.OpenRoot(inside(at))
	if err != nil {
		return l.read(ctx, at, f) // which finds out what is wrong
	}
	if info, err := dir.Stat("."); err != nil || !os.SameFile(info, f.info) {
		_ = dir.Close()
		return l.read(ctx, at, f)
	}
	type change struct {
		folder *folder
		info   fs.FileInfo
		err    error
	}
	var changes []change
	for _, in := range f.folders {
		info, err := dir.Lstat(in.name)
		if err != nil || !info.IsDir() || len(in.folders) > 0 || !in.unchanged(info) {
			changes = append(changes, change{in, info, err})
		}
	}
	_ = dir.Close()
	for _, c := range changes {
		place := join(at, c.folder.name)
		goOn := true
		switch {
		case errors.Is(c.err, fs.ErrNotExist) || c.err == nil && !c.info.IsDir():
			l.gone(place, c.folder)
		case c.err != nil:
			goOn = l.fail(place, c.err)
		default:
			goOn = l.visit(ctx, place, c.folder, c.info)
		}
		if !goOn {
			return false
		}
	}
	f.sweep()
	return true
}

// read lists the files of a folder and looks at the folders in it.
func (l *look) read(ctx context.Context, at string, f *folder) bool {
	if l.ended(ctx) {
		return false
	}
	entries, err := l.entries(ctx, at, f)
	switch {
	case errors.Is(err, fs.ErrNotExist) && at != ".":
		l.gone(at, f)
		return true
	case l.ended(ctx):
		return false
	case err != nil:
		f.unread = true
		return l.fail(at, err)
	}
	l.keep(at, f, entries)
	for _, e := range entries {
		if l.ended(ctx) {
			return false
		}
		if e.folder == nil {
			if !l.file(join(at, e.name), e.size, e.modTime) {
				return false
			}
			continue
		}
		i, _ := f.find(e.name) // keep put it there
		if !l.visit(ctx, join(at, e.name), f.folders[i], e.folder) {
			return false
		}
	}
	f.sweep()
	l.looked(at)
	clear(entries)
	l.spare = entries
	return true
}

// entries reads the folder, and remembers when. A folder that is not there, or is none, is fs.ErrNotExist.
func (l *look) entries(ctx context.Context, at string, f *folder) ([]entry, error) {
	info, err := l.root.Lstat(at)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fs.ErrNotExist
	}
	dir, err := l.root.Open(inside(at))
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }() // nothing was written: there is nothing that closing could lose
	opened, err := dir.Stat()
	if err != nil {
		return nil, err
	}
	if !os.SameFile(info, opened) {
		return nil, errReplaced // maybe by a link to another folder of the lake
	}
	now := l.scanner.now()
	entries := l.spare[:0]
	l.spare = nil
	for {
		// A folder that was opened through os.Root asks for the state of each entry at once, relative to itself.
		chunk, err := dir.ReadDir(entryChunk)
		if errors.Is(err, io.EOF) {
			break
		}
		for _, one := range chunk {
			if err == nil {
				entries, err = appendEntry(entries, one)
			}
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	f.readAt(now, opened)
	return entries, nil
}

// appendEntry adds what belongs to the lake.
func appendEntry(entries []entry, one fs.DirEntry) ([]entry, error) {
	isFolder := one.IsDir() && !skipFolder(one.Name())
	if !isFolder && (!one.Type().IsRegular() || !isLakeFile(one.Name())) {
		return entries, nil
	}
	info, err := one.Info()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return entries, nil // vanished between listing and reading
	case err != nil:
		return entries, err
	case isFolder:
		return append(entries, entry{name: one.Name(), folder: info}), nil
	default:
		return append(entries, entry{name: one.Name(), size: info.Size(), modTime: info.ModTime()}), nil
	}
}

// keep remembers the folders in f: those that it had and still has, and new ones.
func (l *look) keep(at string, f *folder, entries []entry) {
	before := *f
	f.folders = nil
	for _, e := range entries {
		if e.folder == nil {
			continue
		}
		if i, ok := before.find(e.name); ok {
			f.folders = append(f.folders, before.folders[i])
		} else {
			f.folders = append(f.folders, &folder{name: e.name})
		}
	}
	for _, in := range before.folders {
		if _, ok := f.find(in.name); !ok {
			l.gone(join(at, in.name), in)
		}
	}
}

// gone says that there is no such folder, and so nothing of what was below it.
func (l *look) gone(at string, f *folder) {
	l.looked(at)
	l.unsure = l.unsure || f.unread
	for _, in := range f.folders {
		l.gone(join(at, in.name), in)
	}
	*f = folder{name: f.name, gone: true}
}

// looked adds a place to the scope. No index holds one whose name is not UTF-8.
func (l *look) looked(at string) {
	if !l.whole && utf8.ValidString(at) {
		l.scope = append(l.scope, at)
	}
}

// file lists a file.
func (l *look) file(at string, size int64, modTime time.Time) bool {
	if !utf8.ValidString(at) {
		return l.yield(span.File{}, &span.ScanError{Path: strings.ToValidUTF8(at, "\uFFFD"), Unindexable: true, Err: errNameNotUTF8})
	}
	return l.yield(span.File{Path: at, Size: size, ModTime: modTime}, nil)
}

// inside is the path by which a folder is opened: nothing but a folder has a "." in it, so that a pipe that took its
// place is not waited for.
func inside(folder string) string { return folder + "/." }
