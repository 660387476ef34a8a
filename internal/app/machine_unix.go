//go:build unix

package app

import (
	"fmt"
	"syscall"
)

// diskOf tells which file system a folder is on, how many bytes this process may still write there, and how many there are in all.
func diskOf(folder string) (device uint64, free, total int64, err error) {
	var on syscall.Stat_t
	if err := syscall.Stat(folder, &on); err != nil {
		return 0, 0, 0, fmt.Errorf("disk of %s: %w", folder, err)
	}
	var stat syscall.Statfs_t
	if err := syscall.Statfs(folder, &stat); err != nil {
		return 0, 0, 0, fmt.Errorf("disk of %s: %w", folder, err)
	}
	size := int64(stat.Bsize)                                                        //nolint:unconvert // the types differ from system to system
	return uint64(on.Dev), int64(stat.Bavail) * size, int64(stat.Blocks) * size, nil //nolint:unconvert // as above
}
