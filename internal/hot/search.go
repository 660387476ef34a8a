package hot

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"iter"
	"maps"
	"slices"

	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
)

// Matches lists the traces in which a span is chosen.
func (s *Store) Matches(ctx context.Context, f span.Filter) ([]span.TraceMatch, error) {
	if err := checkFilter(&f); err != nil {
		return nil, err
	}
	c := newChooser(f)
	newest := make(map[[16]byte]int64)
	note := func(trace *[16]byte, start int64) {
		if known, ok := newest[*trace]; !ok || start > known {
			newest[*trace] = start
		}
	}
	blocks := s.snapshot()
	requests, err := requestsWith(ctx, blocks, c.in(blocks), func(r *row, sure bool) bool {
		if sure {
			note(&r.trace, r.start)
		}
		return !sure
	})
	if err != nil {
		return nil, err
	}
	var convert otlpwire.Converter
	for _, request := range requests {
		if err := s.readRequest(ctx, request, func(_ uint32, one *otlpwire.Span) error {
			start := otlpwire.StorableNanos(one.StartNanos)
			if known, ok := newest[one.TraceID]; (!ok || start > known) && c.whole(one, &convert) {
				newest[one.TraceID] = start
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	matches := make([]span.TraceMatch, 0, len(newest))
	for trace, start := range newest {
		matches = append(matches, span.TraceMatch{TraceID: hex.EncodeToString(trace[:]), Start: timeAt(start)})
	}
	slices.SortFunc(matches, func(a, b span.TraceMatch) int {
		return cmp.Or(b.Start.Compare(a.Start), cmp.Compare(a.TraceID, b.TraceID))
	})
	return matches, ctx.Err()
}

// requestsWith are the requests of rows that are chosen and wanted, in their order.
func requestsWith(ctx context.Context, blocks []block, in []inBlock, wanted func(r *row, sure bool) bool) (all []request, err error) {
	for i := range blocks {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if in[i].none {
			continue
		}
		b := &blocks[i]
		var some unreadOf
		for n := range b.rows {
			if chosen, sure := in[i].row(&b.rows[n]); chosen && wanted(&b.rows[n], sure) {
				some.note(b, &b.rows[n])
			}
		}
		for _, u := range some.list(i) {
			all = append(all, b.requests[u.request])
		}
	}
	// Blocks that were split at a file's bounds are not in the order of their requests.
	slices.SortFunc(all, func(a, b request) int { return bytes.Compare(a.id[:], b.id[:]) })
	return all, nil
}

// selected yields the whole spans that are chosen, in the order in which they were received. It holds one request at a time.
func (s *Store) selected(ctx context.Context, f span.Filter) iter.Seq2[*otlpwire.Span, error] {
	return func(yield func(*otlpwire.Span, error) bool) {
		if err := checkFilter(&f); err != nil {
			yield(nil, err)
			return
		}
		c := newChooser(f)
		blocks := s.snapshot()
		requests, err := requestsWith(ctx, blocks, c.in(blocks), func(*row, bool) bool { return true })
		var convert otlpwire.Converter
		for _, request := range requests {
			err = s.readRequest(ctx, request, func(_ uint32, one *otlpwire.Span) error {
				if c.whole(one, &convert) && !yield(one, nil) {
					return errEnough
				}
				return nil
			})
			if errors.Is(err, errEnough) {
				return
			}
			if err != nil {
				break
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// TracesOf lists the traces that have a span with an id.
func (s *Store) TracesOf(ctx context.Context, spanID string) ([]string, error) {
	id, err := span.ParseSpanID(spanID)
	if err != nil {
		return nil, err
	}
	traces := make(map[string]bool)
	blocks := s.snapshot()
	for n := range blocks {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for i := range blocks[n].rows {
			if r := &blocks[n].rows[i]; r.id == id {
				traces[hex.EncodeToString(r.trace[:])] = true
			}
		}
	}
	ids := slices.AppendSeq([]string{}, maps.Keys(traces))
	slices.Sort(ids)
	return ids, ctx.Err()
}
