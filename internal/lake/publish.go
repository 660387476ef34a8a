package lake

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// publish makes the file of this name, relative to the root, whole or not at all, and returns its size. It is written under a name
// that the scanner passes over, made durable, and only then renamed.
//
// The temporary name is taken with O_EXCL and kept until after the rename, which is what makes it safe to look whether the
// final name is free: no other Writer can take that name meanwhile.
func (w *Writer) publish(name string, write func(io.Writer) error) (size int64, err error) {
	final, temporary, err := w.names(name)
	if err != nil {
		return 0, err
	}
	dir := filepath.Dir(final)
	if err := w.makeDurableDir(dir); err != nil {
		return 0, err
	}
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return 0, err
	}
	leftover := temporary
	defer func() {
		if leftover != "" {
			// Closing a second time fails and does not matter.
			_ = f.Close()
			if removeErr := os.Remove(leftover); removeErr != nil {
				err = fmt.Errorf("%w (and it stays there: %w)", err, removeErr)
			}
		}
	}()

	if err := errFree(final); err != nil {
		return 0, err
	}
	if err := write(f); err != nil {
		return 0, err
	}
	if size, err = f.Seek(0, io.SeekCurrent); err != nil {
		return 0, err
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	if err := f.Close(); err != nil {
		return 0, err
	}
	if err := os.Rename(temporary, final); err != nil {
		return 0, err
	}
	leftover = final
	if err := syncDir(dir); err != nil {
		return 0, err
	}
	leftover = ""
	return size, nil
}

// names are the full paths under which a file is published and, before that, written. A path at which the scanner would not find it,
// or that leads out of the lake, is refused.
func (w *Writer) names(name string) (final, temporary string, err error) {
	local, err := filepath.Localize(name)
	if err == nil && (skipsPart(path.Dir(name)) || !isLakeFile(path.Base(name))) {
		err = errors.New("is not a path of a span file")
	}
	if err != nil {
		return "", "", &fs.PathError{Op: "publish", Path: name, Err: err}
	}
	final = filepath.Join(w.root, local)
	return final, filepath.Join(filepath.Dir(final), "."+filepath.Base(final)+".tmp"), nil
}

// errFree is nil if nothing has the name.
func errFree(name string) error {
	switch _, err := os.Lstat(name); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	default:
		return &fs.PathError{Op: "publish", Path: name, Err: fs.ErrExist}
	}
}

// makeDurableDir makes dir with its parents and has every one of them on disk, also those that a crash may have left there
// a moment ago: a file in a folder that is lost is lost.
func (w *Writer) makeDurableDir(dir string) error {
	if _, err := os.Stat(dir); err == nil && dir == w.durableDir {
		return nil
	}
	top := filepath.Clean(w.root)
	for {
		if _, err := os.Stat(top); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		top = filepath.Dir(top)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	// From the month up to the folder that held, before, what there was of the root.
	for parent := dir; parent != top; {
		parent = filepath.Dir(parent)
		if err := syncDir(parent); err != nil {
			return err
		}
	}
	w.durableDir = dir
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		_ = d.Close()
		return fmt.Errorf("sync folder %s: %w", dir, err)
	}
	return d.Close()
}
