//go:build unix

package apikey

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// lockPatience is how long another process may hold the lock, which takes a few milliseconds.
const lockPatience = 10 * time.Second

// lock waits until no other process holds the lock at path. The file stays: were it removed, two processes could each lock a
// file of the same name.
func lock(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	until := time.Now().Add(lockPatience)
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil // closing ends the lock; nothing was written
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) || time.Now().After(until) {
			_ = file.Close() // nothing was written
			return nil, &os.PathError{Op: "lock", Path: path, Err: err}
		}
		time.Sleep(5 * time.Millisecond)
	}
}
