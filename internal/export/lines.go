package export

import (
	"bufio"

	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
)

const (
	// lineSpans and lineBytes end a line though its trace goes on: who reads it holds a line in memory.
	lineSpans = 1000
	lineBytes = 1 << 20
)

// lines writes a line for each run of spans of one trace.
type lines struct {
	out     *bufio.Writer
	count   *counter
	written Written
	run     []span.Span
	bytes   int
}

// Add keeps the span until its line is whole.
func (l *lines) Add(s span.Span) error {
	if len(l.run) > 0 && (l.run[0].TraceID != s.TraceID || len(l.run) >= lineSpans || l.bytes >= lineBytes) {
		if err := l.line(); err != nil {
			return err
		}
	}
	l.run = append(l.run, s)
	l.bytes += textBytes(&s)
	return nil
}

// textBytes is about how long the texts of a span are.
func textBytes(s *span.Span) int {
	return len(s.Attributes) + len(s.Events) + len(s.Links) + len(s.ResourceAttributes) + len(s.ScopeAttributes) + len(s.StatusMessage) + len(s.OTLP)
}

func (l *lines) line() error {
	data, left := otlpwire.Join(l.run)
	if len(left) > 0 {
		l.written.Left += int64(len(left))
		l.written.Why = left[0]
	}
	spans := len(l.run) - len(left)
	clear(l.run)
	l.run, l.bytes = l.run[:0], 0
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
	if err := l.line(); err != nil {
		return l.written, err
	}
	err := l.out.Flush()
	l.written.Bytes = l.count.bytes
	return l.written, err
}
