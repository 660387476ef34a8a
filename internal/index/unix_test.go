//go:build unix

package index

import (
	"fmt"
	"syscall"
	"testing"
)

func mkfifo(t *testing.T, path string) {
	t.Helper()
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
}

func peakOf(usage any) string {
	u, ok := usage.(*syscall.Rusage)
	if !ok {
		return "unknown"
	}
	return fmt.Sprintf("%d MB", u.Maxrss>>10)
}
