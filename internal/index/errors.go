package index

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/duckdb/duckdb-go/v2"
)

// ErrorType says in one word why a file could not be indexed. The set is closed: people and alerts count by it.
type ErrorType string

// The types of errors of files.
const (
	// NotParquet: the file does not begin as a Parquet file does.
	NotParquet ErrorType = "not_parquet"
	// Truncated: it begins as one but does not end as one.
	Truncated ErrorType = "truncated"
	// MissingColumn: a column without which a row is no span is not there.
	MissingColumn ErrorType = "missing_column"
	// WrongType: a column has a type that cannot be read as what it should be.
	WrongType ErrorType = "wrong_type"
	// Unreadable: the system refuses to read the file, or its content is damaged.
	Unreadable ErrorType = "unreadable"
	// TooLarge: one of Limits is exceeded.
	TooLarge ErrorType = "too_large"
	// Internal: the file can be read, and yet DuckDB could not take it in.
	Internal ErrorType = "internal"
)

// FileError says why one file of the lake could not be indexed.
type FileError struct {
	Path string
	Type ErrorType
	// Size of the file in bytes.
	Size int64
	Err  error
}

func (e *FileError) Error() string {
	return fmt.Sprintf("%s (%d bytes): %s: %v", e.Path, e.Size, e.Type, e.Err)
}

func (e *FileError) Unwrap() error { return e.Err }

// LockedError says that another process holds the index.
type LockedError struct {
	Path string
	// PID of the holder, or 0 if the system does not tell.
	PID int
	// Command line of the holder, or "" if the system does not tell.
	Command string
}

func (e *LockedError) Error() string {
	holder := "another process"
	if e.PID != 0 {
		holder = fmt.Sprintf("process %d", e.PID)
	}
	if e.Command != "" {
		holder += " (" + e.Command + ")"
	}
	return fmt.Sprintf("the index %s is in use by %s: wait until it ends, or stop it", e.Path, holder)
}

// UnusableError says that a file is there but cannot serve as the index. Nothing in it was changed.
type UnusableError struct {
	Path string
	// Reason tells what it is instead and what to do.
	Reason string
	// Rebuildable: it is, or was, an index, so that a rebuild may replace it.
	Rebuildable bool
	Err         error
}

func (e *UnusableError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s %s: %v", e.Path, e.Reason, e.Err)
	}
	return e.Path + " " + e.Reason
}

func (e *UnusableError) Unwrap() error { return e.Err }

// ErrNoIndex says that there is no index yet.
var ErrNoIndex = errors.New("there is no index yet: run `spanlake index` first")

// databaseFault tells an error that the database or the machine caused, after which no file may be blamed, from one
// that the content of a file may have caused.
func databaseFault(err error) bool {
	var duck *duckdb.Error
	if !errors.As(err, &duck) {
		return true
	}
	switch duck.Type {
	case duckdb.ErrorTypeIO, duckdb.ErrorTypeFatal, duckdb.ErrorTypeTransaction, duckdb.ErrorTypeConnection,
		duckdb.ErrorTypePermission, duckdb.ErrorTypeInterrupt:
		return true
	default:
		return false
	}
}

// missing tells whether the file is gone, which is no failure: it vanished between listing and reading.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
