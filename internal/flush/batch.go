package flush

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
)

const (
	// partSpans is how many spans make a row group, and so how many there are as text at a time: as many as the writer of
	// the lake likes best, and up to maxPartSpans for a trace to stay in one of them.
	partSpans, maxPartSpans = 10_000, 12_000
	// partBytes of OTLP end a part early, since as text it is about as large again.
	partBytes = 8 << 20
)

// batch is the spans of a flush. Its memory is used again for the next one.
type batch struct {
	spans []otlpwire.Span
	// order has the spans by trace id, then start time, as indices.
	order     []int32
	converter otlpwire.Converter
	part      []span.Span
}

// load reads the spans of requests. They stay as they lie in the requests.
func (b *batch) load(requests iter.Seq2[span.Request, error]) error {
	for request, err := range requests {
		if err != nil {
			return err
		}
		for s, err := range otlpwire.Spans(request.Data) {
			if err != nil {
				return fmt.Errorf("request %x of the write-ahead log: %w", request.ID, err)
			}
			b.spans = append(b.spans, *s)
		}
	}
	for i := range b.spans {
		b.order = append(b.order, int32(i))
	}
	// Span ids make the order, and so the file, the same each time it is written.
	slices.SortFunc(b.order, func(i, j int32) int {
		x, y := &b.spans[i], &b.spans[j]
		if c := bytes.Compare(x.TraceID[:], y.TraceID[:]); c != 0 {
			return c
		}
		return cmp.Or(cmp.Compare(x.StartNanos, y.StartNanos), bytes.Compare(x.SpanID[:], y.SpanID[:]), cmp.Compare(i, j))
	})
	return nil
}

// service is the one with most spans, and of equal ones the first by name.
func (b *batch) service() (most string) {
	counts := make(map[string]int)
	for i := range b.spans {
		counts[b.spans[i].ServiceName]++
	}
	for name, n := range counts {
		if n > counts[most] || n == counts[most] && name < most {
			most = name
		}
	}
	return most
}

// parts yields the spans in order, a row group at a time.
func (b *batch) parts(ctx context.Context) iter.Seq2[[]span.Span, error] {
	return func(yield func([]span.Span, error) bool) {
		for rest := b.order; len(rest) > 0; {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			n := b.partEnd(rest)
			b.part = b.part[:0]
			for _, i := range rest[:n] {
				b.part = append(b.part, b.converter.Span(&b.spans[i]))
			}
			if !yield(b.part, nil) {
				return
			}
			rest = rest[n:]
		}
	}
}

// partEnd is how many of the ordered spans make the next part.
func (b *batch) partEnd(order []int32) int {
	size := 0
	for n, i := range order {
		if n >= partSpans && len(order) > maxPartSpans && (n == maxPartSpans || b.spans[i].TraceID != b.spans[order[n-1]].TraceID) {
			return n
		}
		if size += len(b.spans[i].Span); size > partBytes && n > 0 {
			return n
		}
	}
	return len(order)
}

// forget lets go of the requests, and of what was needed for one of unusual size.
func (b *batch) forget() {
	clear(b.spans)
	clear(b.part[:cap(b.part)])
	b.spans, b.order = b.spans[:0], b.order[:0]
}
