//go:build unix

package wal

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// lock takes the log at path for this process. The lock is on a file of its own, since SQLite's locks on the database drop
// when anybody in the process closes a descriptor of it, and since people may then still look into the database with
// sqlite3. The kernel drops it with the process; the file stays, because removing it would let two processes lock two files.
func lock(path string) (unlock func() error, err error) {
	file, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		held := &LockedError{Path: path}
		if text, err := os.ReadFile(file.Name()); err == nil {
			held.PID, _ = strconv.Atoi(strings.TrimSpace(string(text))) // 0 if there is no number
		}
		return nil, errors.Join(held, file.Close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", file.Name(), err), file.Close())
	}
	// For the message of another process only: a full disk is no reason not to open the log.
	if file.Truncate(0) == nil {
		_, _ = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return file.Close, nil
}
