//go:build !unix

package main

// peakRSS cannot be asked for on this system.
func peakRSS() int64 { return 0 }
