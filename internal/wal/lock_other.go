//go:build !unix

package wal

import (
	"errors"
	"os"
)

// lock takes the log at path for this process, where the system lets nobody remove an open file.
func lock(path string) (unlock func() error, err error) {
	name := path + ".lock"
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, &LockedError{Path: path}
	}
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return nil, &LockedError{Path: path}
	}
	if err != nil {
		return nil, err
	}
	return file.Close, nil
}
