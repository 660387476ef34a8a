package wal

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/dustin/go-humanize"
	"github.com/mattn/go-sqlite3"
	"github.com/oklog/ulid/v2"

	"github.com/spanlake/spanlake/internal/span"
)

var (
	// ErrClosed says that the log was closed.
	ErrClosed = errors.New("the write-ahead log is closed")
	// ErrNotFound says that a request is not in the log: it was released, or never there.
	ErrNotFound = errors.New("is not in the write-ahead log")
	// ErrUnknownFlush says that a flush is not in the log: it was released, or never begun.
	ErrUnknownFlush = errors.New("is not a flush of the write-ahead log")
)

// FullReason says in one word what there is not enough of.
type FullReason string

// The reasons of a FullError.
const (
	// WALSize: the log has reached Options.MaxBytes.
	WALSize FullReason = "wal_size"
	// Disk: less than Options.MinFreeDisk is free, or the system refused to write more.
	Disk FullReason = "disk"
)

// FullError says that there is no room for a request now. It was not taken, and may be sent again later.
type FullError struct {
	Path   string
	Reason FullReason
	// Setting is the flag that sets Limit.
	Setting string
	// Used is what the log takes, or with Disk what is free; Limit is what is allowed. In bytes.
	Used, Limit int64
	// Err is what the system said, if it refused.
	Err error
}

func (e *FullError) Error() string {
	switch {
	case e.Err != nil:
		return fmt.Sprintf("the disk of the write-ahead log %s is full: %v; free some space, and consider a larger %s", e.Path, e.Err, e.Setting)
	case e.Reason == Disk:
		return fmt.Sprintf("the disk of the write-ahead log %s has %s free, and %s must stay free (%s): free some space", e.Path,
			humanize.IBytes(uint64(max(e.Used, 0))), humanize.IBytes(uint64(e.Limit)), e.Setting)
	default:
		return fmt.Sprintf("the write-ahead log %s has %s of %s (%s): it empties as its spans are flushed to the lake and indexed", e.Path,
			humanize.IBytes(uint64(e.Used)), humanize.IBytes(uint64(e.Limit)), e.Setting)
	}
}

func (e *FullError) Unwrap() error { return e.Err }

// CommitError says that SQLite could not make something durable, for another reason than a full disk. Nothing of it is
// in the log, and it may be tried again: the log opens its connection anew.
type CommitError struct {
	Path string
	Err  error
}

func (e *CommitError) Error() string {
	return fmt.Sprintf("write to the write-ahead log %s: %v", e.Path, e.Err)
}

func (e *CommitError) Unwrap() error { return e.Err }

// LockedError says that another process has the log.
type LockedError struct {
	Path string
	// PID of the holder, or 0 if it is not known.
	PID int
}

func (e *LockedError) Error() string {
	holder := "another process"
	if e.PID != 0 {
		holder = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("the write-ahead log %s is in use by %s: stop it, or choose another path (--wal)", e.Path, holder)
}

// UnusableError says that what is at the path cannot serve as the log. Nothing of it was changed.
type UnusableError struct {
	Path string
	// Reason tells what is wrong and what to do.
	Reason string
	Err    error
}

func (e *UnusableError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s %s: %v", e.Path, e.Reason, e.Err)
	}
	return e.Path + " " + e.Reason
}

func (e *UnusableError) Unwrap() error { return e.Err }

// DamagedError says that the bytes of one request are not what was written. The request is set aside: it stays in the file,
// and later reads, flushes and releases pass over it.
type DamagedError struct {
	ID span.RequestID
	// Spans is how many spans it had, if that is still to be believed.
	Spans int
	Err   error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("request %s of the write-ahead log (%d spans) is damaged and set aside: %v", ulid.ULID(e.ID), e.Spans, e.Err)
}

func (e *DamagedError) Unwrap() error { return e.Err }

// outOfSpace tells whether the system refused to write for want of space.
func outOfSpace(err error) bool {
	lite, ok := errors.AsType[sqlite3.Error](err)
	if !ok {
		return false
	}
	if lite.Code == sqlite3.ErrFull {
		return true
	}
	switch lite.SystemErrno {
	case syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG:
		return true
	default:
		return false
	}
}

// corrupt tells whether SQLite found the file damaged.
func corrupt(err error) bool {
	lite, ok := errors.AsType[sqlite3.Error](err)
	return ok && (lite.Code == sqlite3.ErrCorrupt || lite.Code == sqlite3.ErrNotADB)
}
