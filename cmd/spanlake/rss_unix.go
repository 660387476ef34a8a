//go:build unix

package main

import (
	"runtime"
	"syscall"
)

// peakRSS is the most memory that the process has had resident, in bytes, or 0 if the system does not tell.
func peakRSS() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	if runtime.GOOS == "darwin" || runtime.GOOS == "ios" {
		return int64(usage.Maxrss) //nolint:unconvert // bytes there, kilobytes elsewhere (getrusage(2)); 32 bits on some systems
	}
	return int64(usage.Maxrss) * 1024 //nolint:unconvert // as above
}
