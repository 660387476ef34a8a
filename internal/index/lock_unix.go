//go:build unix

package index

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// lockHolder looks whether another process holds a lock on the database at path that conflicts with opening it for
// writing, or for reading if readOnly. It asks the kernel for the lock that DuckDB takes, since DuckDB's own error
// tells of the conflict only in its text.
//
// It must not run while this process has the database open: POSIX drops all locks of a process on a file when the
// process closes any descriptor of it.
func lockHolder(path string, readOnly bool) (*LockedError, error) {
	mode := os.O_RDWR // tells as well whether we may write at all
	if readOnly {
		mode = os.O_RDONLY
	}
	file, err := os.OpenFile(path, mode, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // nothing was written
	lock := syscall.Flock_t{Type: syscall.F_WRLCK}
	if readOnly {
		lock.Type = syscall.F_RDLCK
	}
	if err := syscall.FcntlFlock(file.Fd(), syscall.F_GETLK, &lock); err != nil {
		return nil, fmt.Errorf("ask who holds %s: %w", path, err)
	}
	if lock.Type == syscall.F_UNLCK {
		return nil, nil
	}
	held := &LockedError{Path: path, PID: int(lock.Pid)}
	// Only Linux has this file; elsewhere the number has to do.
	if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", lock.Pid)); err == nil {
		held.Command = string(bytes.TrimSpace(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
	}
	return held, nil
}

// lockFolder waits until no other process makes a database in the folder. The lock leaves no file behind and ends with
// the process. Where a file system has no such locks there is none.
func lockFolder(ctx context.Context, path string) (unlock func(), err error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	unlock = func() { _ = dir.Close() } // nothing was written
	for {
		err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return unlock, nil
		}
		select {
		case <-ctx.Done():
			unlock()
			return nil, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}
