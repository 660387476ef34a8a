//go:build unix

package wal

import "syscall"

// freeDisk is how many bytes this process may still write on the file system of a folder.
func freeDisk(folder string) (int64, error) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(folder, &stat); err != nil {
		return 0, err
	}
	return int64(stat.Bavail) * int64(stat.Bsize), nil //nolint:unconvert // the types differ from system to system
}
