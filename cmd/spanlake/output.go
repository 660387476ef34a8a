package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spanlake/spanlake/internal/terminal"
)

// printer writes text and remembers the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// count is a number with its noun.
func count(n int64, noun string) string { return terminal.Count(n, noun) }

// countAre is count with its verb.
func countAre(n int64, noun string) string {
	if n == 1 {
		return count(n, noun) + " is"
	}
	return count(n, noun) + " are"
}

// timeText is a time for people, in UTC, to the second.
func timeText(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }
