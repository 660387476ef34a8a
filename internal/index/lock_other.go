//go:build !unix

package index

import "context"

// lockHolder cannot ask on this system; a conflict shows when DuckDB opens the file.
func lockHolder(string, bool) (*LockedError, error) { return nil, nil }

// lockFolder cannot lock on this system.
func lockFolder(context.Context, string) (func(), error) { return func() {}, nil }
