package app

import (
	"bytes"
	"os"
	"strconv"
)

// residentBytes is how much memory the process has resident now, or 0 if the system does not tell.
func residentBytes() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	const resident = 1 // after the size: proc(5)
	fields := bytes.Fields(text)
	if len(fields) <= resident {
		return 0
	}
	pages, err := strconv.ParseInt(string(fields[resident]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
