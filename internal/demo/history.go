package demo

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/spanlake/spanlake/internal/lake"
	"github.com/spanlake/spanlake/internal/span"
)

// History is the traffic before the demo began, cut into files as a server would have written them.
type History struct {
	traffic *Traffic
	writer  *lake.Writer
	root    string
	now     time.Time
	files   uint32
	// begins are the starts of traces, the earliest first. What is still to be written ends before next.
	begins []time.Time
	// running are the spans of traces that had begun and not ended when the demo began.
	running []span.Span
}

const (
	// tracesPerFile keeps the spans of a file within some ten megabytes.
	tracesPerFile = 600
	// firstTraces are in the file for which the pages wait.
	firstTraces = 200
)

// NewHistory plans the history of the last day for the lake in the folder root.
func NewHistory(root string, seed uint64, now time.Time) (*History, error) {
	traffic, err := NewTraffic(seed, now)
	if err != nil {
		return nil, err
	}
	writer, err := lake.NewWriter(root)
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	h := &History{traffic: traffic, writer: writer, root: root, now: now}
	for at := now.Add(-day); ; {
		at = at.Add(traffic.wait(rate(at, now)))
		if !at.Before(now) {
			return h, nil
		}
		h.begins = append(h.begins, at)
	}
}

// wait is how long it is until the next of events that come independently of each other.
func (t *Traffic) wait(perSecond float64) time.Duration {
	return time.Duration(t.rng.ExpFloat64() / perSecond * float64(time.Second))
}

// Next writes the newest file that is not written yet, and tells whether there are more.
func (h *History) Next() (more bool, err error) {
	most := tracesPerFile
	if h.files == 0 {
		most = firstTraces
	}
	from := max(0, len(h.begins)-most)
	h.traffic.published = nil // files are written from the newest on, and links lead back
	var spans []span.Span
	for _, at := range h.begins[from:] {
		trace := h.traffic.Trace(at)
		if slices.ContainsFunc(trace, func(s span.Span) bool { return s.EndTime.After(h.now) }) {
			h.running = append(h.running, trace...)
			continue
		}
		spans = append(spans, trace...)
	}
	if len(spans) > 0 {
		last := h.begins[len(h.begins)-1]
		slices.SortFunc(spans, func(a, b span.Span) int {
			return cmp.Or(cmp.Compare(a.TraceID, b.TraceID), a.StartTime.Compare(b.StartTime))
		})
		h.files++
		path := lake.Path("web-frontend", last, h.files)
		if _, err := h.writer.WriteSorted(path, one(spans)); err != nil {
			return false, fmt.Errorf("demo: write the history: %w", err)
		}
	}
	h.begins = h.begins[:from]
	return from > 0, nil
}

// Rest writes what is left.
func (h *History) Rest(ctx context.Context) error {
	for more := true; more && ctx.Err() == nil; {
		var err error
		if more, err = h.Next(); err != nil {
			return err
		}
	}
	return nil
}

// Running are the spans of traces that had begun before now and end after it, as far as files were written: those of the live traffic.
func (h *History) Running() []span.Span { return h.running }

// one is a sequence of one part.
func one(spans []span.Span) iter.Seq2[[]span.Span, error] {
	return func(yield func([]span.Span, error) bool) { yield(spans, nil) }
}
