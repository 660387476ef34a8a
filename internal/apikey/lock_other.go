//go:build !unix

package apikey

import "os"

// lock has the system refuse a second holder: the file exists as long as it is held.
func lock(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return func() {
		_ = file.Close()    // nothing was written
		_ = os.Remove(path) // what cannot be removed is named by the next lock
	}, nil
}
