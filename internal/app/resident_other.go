//go:build !linux

package app

// residentBytes cannot be asked for on this system without another program.
func residentBytes() int64 { return 0 }
