package lake

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// Path is where Write puts a file, relative to the root and with '/'.
func Path(service string, at time.Time, suffix uint32) string { return filePath(service, at, suffix) }

// WriteAgain is WriteSorted to a path that the caller has noted before, so that after a crash it can write the same file
// again: it removes what a writer left there that did not get as far as publishing. Nobody else may write to that path.
func (w *Writer) WriteAgain(path string, parts iter.Seq2[[]span.Span, error]) (Written, error) {
	final := filepath.Join(w.root, filepath.FromSlash(path))
	if err := os.Remove(temporaryOf(final)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Written{}, fmt.Errorf("write span file %s: %w", path, err)
	}
	return w.publishRows(path, func(yield func([]*span.Span, error) bool) {
		for part, err := range parts {
			w.rows = pointers(w.rows[:0], part)
			if !yield(w.rows, err) {
				return
			}
		}
	})
}

// Published tells whether the file at a path was published, and if so makes sure that it stays: whoever renamed it may have
// crashed before its folder was on disk. size is in bytes.
func (w *Writer) Published(path string) (size int64, ok bool, err error) {
	final := filepath.Join(w.root, filepath.FromSlash(path))
	info, err := os.Lstat(final)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err == nil {
		err = w.makeDurableDir(filepath.Dir(final))
	}
	if err == nil {
		err = syncDir(filepath.Dir(final))
	}
	if err != nil {
		return 0, false, fmt.Errorf("make sure of span file %s: %w", path, err)
	}
	return info.Size(), true, nil
}
