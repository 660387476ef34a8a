package span

import (
	"fmt"
	"iter"
	"time"
)

// File is a Parquet file of the lake, as the scanner lists it and the index registers it.
type File struct {
	// Path is relative to the root of the lake, with '/' on every system, so that a lake can be moved or
	// mounted elsewhere.
	Path string
	// Size is in bytes.
	Size int64
	// ModTime is the modification time. It is compared in microseconds, the resolution in which the index keeps it.
	ModTime time.Time
}

// Listing is what a look at the lake, or at parts of it, found.
type Listing struct {
	// Files yields the files that are there. An error is a *ScanError if the look went on without that place, or ends it.
	Files iter.Seq2[File, error]
	// Whole: what Files does not yield is not in the lake. Otherwise only what lies in Scope is known to be gone.
	Whole bool
	// Scope are the places that a listing which is not Whole looked at, relative to the root: files by their path, and
	// folders for the files directly in them. A folder that is gone is such a place as well. It is complete only after
	// Files has been read to its end.
	Scope func() []string
}

// WholeLake is a listing of all of a lake.
func WholeLake(files iter.Seq2[File, error]) Listing { return Listing{Files: files, Whole: true} }

// ScanError says that one place of the lake could not be read while the rest of the scan went on. What lies under
// Path is unknown, which is not the same as gone: nothing below it may be taken for deleted.
type ScanError struct {
	// Path is relative to the root of the lake, with '/'; "." is the root itself.
	Path string
	// Unindexable: no index can ever hold what is there, whatever the system allows to read.
	Unindexable bool
	Err         error
}

func (e *ScanError) Error() string { return fmt.Sprintf("scan %s: %v", e.Path, e.Err) }

func (e *ScanError) Unwrap() error { return e.Err }
