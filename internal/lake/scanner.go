package lake

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// settleTime is how long after a folder's modification time the next change of it is sure to give it another one. Times
// of folders are as coarse as a tick of the kernel's clock, or two seconds on FAT.
const settleTime = 2 * time.Second

// Scanner lists what changed in a lake without reading the folders again that did not change. It remembers the folders,
// not the files. One goroutine uses it, and reads each listing to its end before it asks for the next.
//
// All its listings follow the rules of Scan.
type Scanner struct {
	root string
	top  *folder // nil: nothing is remembered
	now  func() time.Time
}

// folder is what is remembered of a folder.
type folder struct {
	name string
	// info is of the time when the folder was last read; nil if it never was.
	info fs.FileInfo
	// since is when this modification time was first seen, by the clock of this process.
	since time.Time
	// settled: a change after the folder was read shows in its modification time.
	settled bool
	// unread: the last attempt to read it failed, and what is in it is unknown.
	unread  bool
	gone    bool
	folders []*folder // the folders in it, by name
}

// NewScanner is for the lake at root, which need not exist yet.
func NewScanner(root string) *Scanner { return &Scanner{root: root, now: time.Now} }

// Whole lists everything, in the order of Scan.
func (s *Scanner) Whole(ctx context.Context) span.Listing {
	return span.WholeLake(func(yield func(span.File, error) bool) {
		l := look{scanner: s, yield: yield, whole: true, every: true}
		l.run(func() bool {
			if !s.remembers(l.info) {
				s.top = &folder{name: "."}
			}
			return l.visit(ctx, ".", s.top, l.info)
		})
	})
}

// Changed lists the folders whose modification time is another one than when they were last read, with all files
// directly in them: those in which a file was added, removed or renamed. A folder that is gone is in the scope with
// all that were below it.
//
// Everything is listed if nothing is remembered, or if the root is another folder than it was: mounted, unmounted or
// replaced.
//
// A folder that was read less than two seconds after its modification time is read again by the next call, since a
// change in the same tick of the clock does not show (git calls such an entry racy). A time in the future, of a file
// server with another clock, is trusted as soon as it stood still for these two seconds, so that such a folder is not
// read forever: by then that server's clock, too, has moved on. What this cannot see is a change in the same tick as
// another one that was just read, where the clock of the server is behind by more than two seconds.
//
// That, and a file that is rewritten in place, which does not touch the time of its folder, is what Whole now and then,
// and Paths with what a Watcher saw, are for.
func (s *Scanner) Changed(ctx context.Context) span.Listing {
	if s.top == nil || s.top.info == nil {
		return s.Whole(ctx)
	}
	if info, err := os.Stat(s.root); err == nil && !s.remembers(info) {
		return s.Whole(ctx)
	}
	l := &look{scanner: s}
	return span.Listing{
		Files: func(yield func(span.File, error) bool) {
			*l = look{scanner: s, yield: yield}
			l.run(func() bool {
				if !s.remembers(l.info) {
					l.fail(".", errReplaced)
					return false
				}
				return l.visit(ctx, ".", s.top, l.info)
			})
		},
		Scope: func() []string { return l.scope },
	}
}

// remembers says whether the folder that info tells of is the root that was read.
func (s *Scanner) remembers(info fs.FileInfo) bool {
	return s.top != nil && s.top.info != nil && os.SameFile(s.top.info, info)
}

// Forget makes the next Changed list everything: for a caller that could not take in what was listed. A listing that is
// not read to its end, or that its context ended, makes the Scanner forget by itself.
func (s *Scanner) Forget() { s.top = nil }

// Folders are the remembered folders, relative to the root with '/': each before those in it, so that what appears in it
// is noticed, and of those in it the last by name first, which is the newest partition.
func (s *Scanner) Folders() []string {
	if s.top == nil {
		return nil
	}
	return appendFolders(nil, ".", s.top)
}

func appendFolders(all []string, at string, f *folder) []string {
	all = append(all, at)
	for _, in := range slices.Backward(f.folders) {
		all = appendFolders(all, join(at, in.name), in)
	}
	return all
}

// unchanged says whether reading the folder, which is now as info says, would find what it found last time.
func (f *folder) unchanged(info fs.FileInfo) bool {
	return f.settled && !f.unread && f.info.ModTime().Equal(info.ModTime()) && os.SameFile(f.info, info)
}

// readAt remembers that the folder is about to be read.
func (f *folder) readAt(now time.Time, info fs.FileInfo) {
	if f.info == nil || !f.info.ModTime().Equal(info.ModTime()) || !os.SameFile(f.info, info) {
		f.since = now
	}
	f.info, f.unread = info, false
	f.settled = now.Sub(info.ModTime()) >= settleTime || now.Sub(f.since) >= settleTime
}

// find is the folder of this name directly in f, or the index at which it would stand.
func (f *folder) find(name string) (int, bool) {
	return slices.BinarySearchFunc(f.folders, name, func(in *folder, name string) int { return strings.Compare(in.name, name) })
}

// sweep forgets the folders in f that are gone.
func (f *folder) sweep() {
	f.folders = slices.DeleteFunc(f.folders, func(in *folder) bool { return in.gone })
}

// look is one look at the lake or at parts of it. Its methods say whether to go on.
type look struct {
	scanner *Scanner
	yield   func(span.File, error) bool
	whole   bool // the listing is of the whole lake, and needs no scope
	every   bool // folders are read even if they did not change
	root    *os.Root
	info    fs.FileInfo // of the root
	scope   []string
	spare   []entry // for the next folder
	// unsure: a folder is gone of which it was not known what was in it.
	unsure bool
}

// run opens the root and looks. What a look did not tell to its end must not count as seen, and so all is forgotten then.
func (l *look) run(look func() bool) {
	done := false
	defer func() {
		if !done || l.unsure && !l.whole {
			l.scanner.Forget()
		}
	}()
	opened, done := l.open()
	if !opened {
		return
	}
	// Nothing was written: there is nothing that closing could lose.
	defer func() { _ = l.root.Close() }()
	done = look()
}

// open opens the root. A root that cannot be opened is told; done says that it may be there later as it is remembered.
func (l *look) open() (opened, done bool) {
	s := l.scanner
	info, err := os.Stat(s.root)
	if err == nil && !info.IsDir() {
		l.yield(span.File{}, fmt.Errorf("%w: %s", ErrNotFolder, s.root))
		return false, false
	}
	if err == nil {
		l.root, err = os.OpenRoot(s.root)
	}
	if err != nil {
		return false, l.fail(".", err)
	}
	if l.info, err = l.root.Stat("."); err != nil {
		_ = l.root.Close()
		return false, l.fail(".", err)
	}
	return true, false
}

// fail tells of a place that could not be read.
func (l *look) fail(at string, err error) bool {
	return l.yield(span.File{}, &span.ScanError{Path: strings.ToValidUTF8(at, "\uFFFD"), Err: err})
}

// ended tells the error of ctx, if it has one.
func (l *look) ended(ctx context.Context) bool {
	err := ctx.Err()
	if err != nil {
		l.yield(span.File{}, err)
	}
	return err != nil
}
