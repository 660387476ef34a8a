package lake

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrNotWhole says that a file under a published name does not end as a Parquet file does. Publishing never leaves such a file: a
// disk, or somebody, has damaged it since.
var ErrNotWhole = errors.New("is not a whole Parquet file")

// Recover settles what a crash left of writing the file at path: it says whether the file was published, and its size in bytes. If
// it was, its name is made durable, for the crash may have come between the renaming and that. If it was not, what there is of the
// unfinished file is removed, so that the path can be written again.
//
// Nobody else may be writing to that path: what looks like a leftover would be theirs.
func (w *Writer) Recover(path string) (size int64, published bool, err error) {
	final, temporary, err := w.names(path)
	if err == nil {
		size, published, err = w.recoverFile(final, temporary)
	}
	if err != nil {
		return 0, false, fmt.Errorf("recover span file %s: %w", path, err)
	}
	return size, published, nil
}

func (w *Writer) recoverFile(final, temporary string) (size int64, published bool, err error) {
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, false, err
	}
	f, err := os.Open(final)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	defer func() { _ = f.Close() }() // it was only read
	if size, err = wholeSize(f); err != nil {
		return 0, false, err
	}
	if err := f.Sync(); err != nil {
		return 0, false, err
	}
	dir := filepath.Dir(final)
	if err := w.makeDurableDir(dir); err != nil {
		return 0, false, err
	}
	return size, true, syncDir(dir)
}

// wholeSize is the size of a file that ends as a Parquet file does: with the length of its footer and "PAR1".
func wholeSize(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	const magic = "PAR1"
	var tail [4 + len(magic)]byte
	_, err = f.ReadAt(tail[:], max(0, info.Size()-int64(len(tail))))
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	footer := int64(binary.LittleEndian.Uint32(tail[:4]))
	if string(tail[4:]) != magic || footer+int64(len(tail)+len(magic)) > info.Size() {
		return 0, &fs.PathError{Op: "read", Path: f.Name(), Err: ErrNotWhole}
	}
	return info.Size(), nil
}
