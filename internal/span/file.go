package span

import (
	"fmt"
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
