//go:build !unix

package main

import "os"

// peakRSS cannot be asked for on this system.
func peakRSS() int64 { return 0 }

// peakOfEnded neither.
func peakOfEnded(*os.ProcessState) int64 { return 0 }
