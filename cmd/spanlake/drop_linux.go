package main

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// dropCaches has the system forget what it keeps in memory of the files below a folder, and tells whether it can. What was not written to
// the disk yet is written first, for such pages stay.
func dropCaches(folder string) (dropped bool, err error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return false, err
	}
	err = fs.WalkDir(root.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		file, err := root.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the server has removed it
		}
		if err != nil {
			return err
		}
		return errors.Join(unix.Fdatasync(int(file.Fd())), unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED), file.Close())
	})
	err = errors.Join(err, root.Close())
	return err == nil, err
}
