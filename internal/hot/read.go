package hot

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
)

// Stats counts what is kept.
func (s *Store) Stats(ctx context.Context) (span.HotStats, error) {
	blocks, generation := s.moment()
	stats := span.HotStats{Generation: generation}
	oldest := int64(0)
	for i := range blocks {
		b := &blocks[i]
		stats.Requests += int64(len(b.requests))
		stats.Spans += int64(len(b.rows))
		stats.Bytes += b.bytes
		switch {
		case b.file != nil:
			stats.PublishedSpans += int64(len(b.rows))
		case len(b.requests) > 0 && (stats.Oldest.IsZero() || b.oldest < oldest):
			oldest, stats.Oldest = b.oldest, time.Unix(0, b.oldest).UTC()
		}
	}
	return stats, ctx.Err()
}

// Trace reads the spans of a trace.
func (s *Store) Trace(ctx context.Context, traceID string, maxBytes int64) (spans []span.Span, truncated bool, err error) {
	q, err := parseQuery(traceID)
	if err != nil {
		return nil, false, err
	}
	spans, truncated, err = wholeSpans(s.find(ctx, q), maxBytes)
	sortSpans(spans)
	return spans, truncated, err
}

// Span reads the spans with both ids.
func (s *Store) Span(ctx context.Context, traceID, spanID string, maxBytes int64) (spans []span.Span, truncated bool, err error) {
	q, err := parseQuery(traceID, spanID)
	if err != nil {
		return nil, false, err
	}
	spans, truncated, err = wholeSpans(s.find(ctx, q), maxBytes)
	sortSpans(spans)
	return spans, truncated, err
}

// Get reads the spans with certain ids.
func (s *Store) Get(ctx context.Context, refs []span.Ref, maxBytes int64) (spans []span.Span, truncated bool, err error) {
	return wholeSpans(s.get(ctx, refs), maxBytes)
}

// Select reads all spans that are chosen.
func (s *Store) Select(ctx context.Context, f span.Filter) iter.Seq2[span.Span, error] {
	return func(yield func(span.Span, error) bool) {
		var convert otlpwire.Converter
		for one, err := range s.selected(ctx, f) {
			if err != nil {
				yield(span.Span{}, err)
				return
			}
			if !yield(convert.Span(one), nil) {
				return
			}
		}
	}
}

// wholeSpans are spans that are read until they have maxBytes.
func wholeSpans(read iter.Seq2[*otlpwire.Span, error], maxBytes int64) (spans []span.Span, truncated bool, err error) {
	spans = []span.Span{}
	truncated, err = within(read, maxBytes, func(_ *otlpwire.Span, whole *span.Span) error {
		spans = append(spans, *whole)
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	return spans, truncated, nil
}

// within visits spans that are read until they have maxBytes, and says whether there are more.
func within(read iter.Seq2[*otlpwire.Span, error], maxBytes int64, visit func(*otlpwire.Span, *span.Span) error) (truncated bool, err error) {
	var convert otlpwire.Converter
	for one, err := range read {
		if err != nil {
			return false, err
		}
		whole := convert.Span(one)
		if whole.Bytes() > maxBytes {
			return true, nil
		}
		maxBytes -= whole.Bytes()
		if err := visit(one, &whole); err != nil {
			return false, err
		}
	}
	return false, nil
}

// find yields the whole spans of a trace in the order in which they were received. It holds one request at a time.
func (s *Store) find(ctx context.Context, q query) iter.Seq2[*otlpwire.Span, error] {
	return s.readWanted(ctx, func() []wanted { return wantedSpans(s.snapshot(), q) })
}

// get yields the whole spans with certain ids, those of the request that was received last first. It holds one request at a time.
func (s *Store) get(ctx context.Context, refs []span.Ref) iter.Seq2[*otlpwire.Span, error] {
	ids := make(map[spanKey]bool, len(refs))
	for _, ref := range refs {
		q, err := parseQuery(ref.TraceID, ref.SpanID)
		if err != nil {
			return func(yield func(*otlpwire.Span, error) bool) { yield(nil, err) }
		}
		ids[spanKey{q.trace, *q.span}] = true
	}
	return s.readWanted(ctx, func() []wanted {
		all := wantedIDs(s.snapshot(), ids)
		slices.Reverse(all)
		return all
	})
}

// readWanted yields the spans that are wanted, and whole requests one after the other.
func (s *Store) readWanted(ctx context.Context, look func() []wanted) iter.Seq2[*otlpwire.Span, error] {
	return func(yield func(*otlpwire.Span, error) bool) {
		for _, w := range look() {
			err := s.readRequest(ctx, w.request, func(ordinal uint32, one *otlpwire.Span) error {
				if len(w.spans) == 0 || ordinal != w.spans[0].ordinal {
					return nil
				}
				if w.spans[0].trace != one.TraceID || w.spans[0].id != one.SpanID {
					return notAcknowledged(w.request.id)
				}
				if w.spans = w.spans[1:]; !yield(one, nil) {
					return errEnough
				}
				if len(w.spans) == 0 {
					return errNext
				}
				return nil
			})
			switch {
			case errors.Is(err, errEnough):
				return
			case err != nil:
				yield(nil, err)
				return
			}
		}
	}
}

// spanKey are the ids of a span.
type spanKey struct {
	trace [16]byte
	id    [8]byte
}

// wanted are the spans that are wanted of a request, in their order in it.
type wanted struct {
	request request
	spans   []*row
}

// wantedIDs are the places of all spans with these ids, in the order in which they were received.
func wantedIDs(blocks []block, ids map[spanKey]bool) (all []wanted) {
	traces := make(map[[16]byte]bool, len(ids))
	for id := range ids {
		traces[id.trace] = true
	}
	for i := range blocks {
		b := &blocks[i]
		var rows []*row
		note := func(r *row) {
			if ids[spanKey{r.trace, r.id}] {
				rows = append(rows, r)
			}
		}
		if b.sealed == nil {
			for r := range b.rows {
				note(&b.rows[r])
			}
		} else {
			for trace := range traces {
				for r := range b.traceRows(&trace) {
					note(r)
				}
			}
		}
		slices.SortFunc(rows, func(x, y *row) int {
			return cmp.Or(cmp.Compare(x.request, y.request), cmp.Compare(x.ordinal, y.ordinal))
		})
		for len(rows) > 0 {
			n := 1
			for n < len(rows) && rows[n].request == rows[0].request {
				n++
			}
			all = append(all, wanted{b.requests[rows[0].request], rows[:n]})
			rows = rows[n:]
		}
	}
	sortWanted(all)
	return all
}

// sortWanted puts requests into their order: blocks that were split at a file's bounds are not in it.
func sortWanted(all []wanted) {
	slices.SortFunc(all, func(a, b wanted) int { return bytes.Compare(a.request.id[:], b.request.id[:]) })
}

// wantedSpans are the places of all spans that are asked for, in the order in which they were received.
func wantedSpans(blocks []block, q query) (all []wanted) {
	for i := range blocks {
		b := &blocks[i]
		from := len(all)
		for r := range b.traceRows(&q.trace) {
			if q.span != nil && r.id != *q.span {
				continue
			}
			// The rows of a trace are in the order of the requests.
			if len(all) == from || all[len(all)-1].request.id != b.requests[r.request].id {
				all = append(all, wanted{request: b.requests[r.request]})
			}
			last := &all[len(all)-1]
			last.spans = append(last.spans, r)
		}
	}
	sortWanted(all)
	return all
}

var (
	// errEnough says that the caller wants no more.
	errEnough = errors.New("enough")
	// errNext says that the caller wants no more of a request.
	errNext = errors.New("next")
)

// readRequest visits the spans of a request that were acknowledged. If it has left the log, there are none: all of them left together.
func (s *Store) readRequest(ctx context.Context, asked request, visit func(ordinal uint32, one *otlpwire.Span) error) error {
	r, err := s.log.Request(ctx, asked.id)
	if errors.Is(err, span.ErrReleased) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read request %x: %w", asked.id, err)
	}
	ordinal := uint32(0)
	for one, err := range otlpwire.Spans(r.Data) {
		if ordinal == asked.spans {
			return nil // what follows was damaged when it was taken in
		}
		if err != nil {
			return fmt.Errorf("read request %x: %w", asked.id, err)
		}
		if err := visit(ordinal, one); errors.Is(err, errNext) {
			return nil
		} else if err != nil {
			return err
		}
		ordinal++
	}
	if ordinal < asked.spans {
		return fmt.Errorf("read request %x: it has %d spans, not the %d that were acknowledged", asked.id, ordinal, asked.spans)
	}
	return nil
}

func notAcknowledged(id span.RequestID) error {
	return fmt.Errorf("read request %x: it is not what was acknowledged", id)
}

// metadata is a row as listings show it.
func (r *row) metadata(names []string) span.Metadata {
	m := span.Metadata{
		TraceID: hex.EncodeToString(r.trace[:]), SpanID: hex.EncodeToString(r.id[:]),
		ServiceName: names[r.service], Name: names[r.name], Kind: span.Kind(r.kind), StatusCode: span.StatusCode(r.status),
		StartTime: timeAt(r.start), EndTime: timeAt(r.end), Duration: time.Duration(r.end - r.start),
	}
	if !r.isRoot() {
		m.ParentSpanID = hex.EncodeToString(r.parent[:])
	}
	return m
}

func timeAt(nanos int64) time.Time { return time.Unix(0, nanos).UTC() }
