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
	// partBytes of OTLP end a part early, since as text it is about as large again. Resource and scope count with each span,
	// which has a copy of them if its columns cannot say all of it.
	partBytes = 16 << 20
	// chunkBytes is how much memory is taken at once for requests. What one flush has taken the next one uses again: garbage of
	// the size of a file would keep the collector busy, whose limit is near.
	chunkBytes = 4 << 20
)

// batch is the spans of a flush. Its memory is used again for the next one.
type batch struct {
	// used are the chunks in which requests lie, the last one with room at its end; free are those of earlier flushes.
	used, free [][]byte
	spans      []otlpwire.Span
	// order has the spans by trace id, then start time, as indices.
	order     []int32
	converter otlpwire.Converter
	part      []span.Span
}

// keep copies the data of a request.
func (b *batch) keep(data []byte) []byte {
	last := len(b.used) - 1
	if last < 0 || cap(b.used[last])-len(b.used[last]) < len(data) {
		var chunk []byte
		switch n := len(b.free) - 1; {
		case len(data) > chunkBytes:
			chunk = make([]byte, 0, len(data))
		case n >= 0:
			chunk, b.free = b.free[n], b.free[:n]
		default:
			chunk = make([]byte, 0, chunkBytes)
		}
		b.used, last = append(b.used, chunk), last+1
	}
	begin := len(b.used[last])
	b.used[last] = append(b.used[last], data...)
	return b.used[last][begin:]
}

// load reads the spans of requests.
func (b *batch) load(requests iter.Seq2[span.Request, error]) error {
	for request, err := range requests {
		if err != nil {
			return err
		}
		for s, err := range otlpwire.Spans(b.keep(request.Data)) {
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
		s := &b.spans[i]
		if size += len(s.Span) + len(s.Resource) + len(s.Scope); size > partBytes && n > 0 {
			return n
		}
	}
	return len(order)
}

// forget lets go of the requests, and of the memory of those that were of unusual size.
func (b *batch) forget() {
	for _, chunk := range b.used {
		if cap(chunk) == chunkBytes {
			b.free = append(b.free, chunk[:0])
		}
	}
	clear(b.used)
	b.used = b.used[:0]
	clear(b.spans)
	clear(b.part[:cap(b.part)])
	b.spans, b.order = b.spans[:0], b.order[:0]
}
