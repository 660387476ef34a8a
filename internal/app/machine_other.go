//go:build !unix

package app

import "errors"

// diskOf cannot ask on this system.
func diskOf(string) (device uint64, free, total int64, err error) {
	return 0, 0, 0, errors.ErrUnsupported
}
