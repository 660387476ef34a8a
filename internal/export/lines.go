package export

import (
	"bufio"
	"slices"
	"strings"

	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
)

const (
	// windowSpans and windowBytes are how many spans are held to bring those of one trace together: they may come by resource.
	windowSpans = 1000
	windowBytes = 1 << 20
)

// lines writes a line for the spans of a trace that come near each other.
type lines struct {
	out     *bufio.Writer
	count   *counter
	written Written
	window  []span.Span
	bytes   int
	joiner  otlpwire.Joiner
}

// Add keeps the span until the window is full.
func (l *lines) Add(s span.Span) error {
	l.window = append(l.window, s)
	if l.bytes += textBytes(&s); len(l.window) < windowSpans && l.bytes < windowBytes {
		return nil
	}
	return l.flush()
}

// flush writes what the window has.
func (l *lines) flush() error {
	slices.SortStableFunc(l.window, func(a, b span.Span) int { return strings.Compare(a.TraceID, b.TraceID) })
	for left := l.window; len(left) > 0; {
		n := 1
		for n < len(left) && left[n].TraceID == left[0].TraceID {
			n++
		}
		if err := l.line(left[:n]); err != nil {
			return err
		}
		left = left[n:]
	}
	clear(l.window)
	l.window, l.bytes = l.window[:0], 0
	return nil
}

// textBytes is about how long the texts of a span are.
func textBytes(s *span.Span) int {
	return len(s.Attributes) + len(s.Events) + len(s.Links) + len(s.ResourceAttributes) + len(s.ScopeAttributes) + len(s.StatusMessage) + len(s.OTLP)
}

func (l *lines) line(run []span.Span) error {
	data, left := l.joiner.Join(run)
	if len(left) > 0 {
		l.written.Left += int64(len(left))
		l.written.Why = left[0]
	}
	spans := len(run) - len(left)
	if spans == 0 {
		return nil
	}
	text, err := otlpwire.JSON(data)
	if err != nil {
		return err
	}
	l.written.Spans += int64(spans)
	if _, err := l.out.Write(append(text, '\n')); err != nil {
		return err
	}
	return nil
}

// Finish writes the last line.
func (l *lines) Finish() (Written, error) {
	if err := l.flush(); err != nil {
		return l.written, err
	}
	err := l.out.Flush()
	l.written.Bytes = l.count.bytes
	return l.written, err
}
