//go:build !linux

package app

// limitMalloc does nothing where the C library is not known to keep what is freed.
func limitMalloc() {}
