package lake

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/spanlake/spanlake/internal/span"
)

// ErrNotFolder says that the path given as the lake is something else than a folder.
var ErrNotFolder = errors.New("the lake is not a folder")

var errNameNotUTF8 = errors.New("the name is not UTF-8: rename it, an index cannot hold it")

// Scan lists the Parquet files below root in lexical order of their paths, folder by folder, without holding the
// list in memory.
//
// It yields a *span.ScanError for each place that cannot be read and goes on; a root that does not exist is such a
// place ("." with fs.ErrNotExist), since nothing may have been flushed yet. Any other error ends the scan:
// ErrNotFolder, or the error of ctx.
//
// Only regular files named *.parquet are listed, and neither files nor folders that begin with '.' or '_' nor
// folders named tmp: writers keep unfinished work there. Links are not followed: a link that stays in the lake
// leads to a file that is listed under its own path, and one that leaves it or loops must not be followed. The
// walk goes through os.Root, so that a folder swapped for a link while it runs does not lead out either.
func Scan(ctx context.Context, root string) iter.Seq2[span.File, error] {
	return func(yield func(span.File, error) bool) {
		info, err := os.Stat(root)
		switch {
		case err != nil:
			yield(span.File{}, &span.ScanError{Path: ".", Err: err})
			return
		case !info.IsDir():
			yield(span.File{}, fmt.Errorf("%w: %s", ErrNotFolder, root))
			return
		}
		dir, err := os.OpenRoot(root)
		if err != nil {
			yield(span.File{}, &span.ScanError{Path: ".", Err: err})
			return
		}
		defer func() { _ = dir.Close() }() // nothing was written: there is nothing that closing could lose

		w := walker{yield: yield}
		err = fs.WalkDir(dir.FS(), ".", func(name string, entry fs.DirEntry, walkErr error) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return w.visit(name, entry, walkErr)
		})
		if err != nil && !w.stopped {
			yield(span.File{}, err)
		}
	}
}

type walker struct {
	yield   func(span.File, error) bool
	stopped bool
}

// visit is the fs.WalkDirFunc of a scan.
func (w *walker) visit(name string, entry fs.DirEntry, walkErr error) error {
	if walkErr != nil {
		if errors.Is(walkErr, fs.ErrNotExist) && name != "." {
			return nil // vanished between listing and reading
		}
		return w.emit(span.File{}, &span.ScanError{Path: strings.ToValidUTF8(name, "\uFFFD"), Err: walkErr})
	}
	if entry.IsDir() {
		if name != "." && skipFolder(entry.Name()) {
			return fs.SkipDir
		}
		return nil
	}
	if !entry.Type().IsRegular() || !isLakeFile(entry.Name()) {
		return nil
	}
	if !utf8.ValidString(name) {
		return w.emit(span.File{}, &span.ScanError{Path: strings.ToValidUTF8(name, "\uFFFD"), Unindexable: true, Err: errNameNotUTF8})
	}
	info, err := entry.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // vanished between listing and reading
	}
	if err != nil {
		return w.emit(span.File{}, &span.ScanError{Path: name, Err: err})
	}
	return w.emit(span.File{Path: name, Size: info.Size(), ModTime: info.ModTime()}, nil)
}

func (w *walker) emit(file span.File, err error) error {
	if !w.yield(file, err) {
		w.stopped = true
		return fs.SkipAll
	}
	return nil
}

// isLakeFile says whether a file of this name belongs to the lake.
func isLakeFile(name string) bool {
	return path.Ext(name) == ".parquet" && !hidden(name)
}

func skipFolder(name string) bool { return name == "tmp" || hidden(name) }

func hidden(name string) bool { return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") }
