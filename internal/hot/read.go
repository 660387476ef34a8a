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

// Services lists the services of hot spans.
func (s *Store) Services(ctx context.Context) ([]span.Service, error) {
	blocks := s.snapshot()
	totals := make(map[string]serviceTotal)
	for i := range blocks {
		b := &blocks[i]
		for _, t := range b.countServices() {
			name := b.names[t.name]
			if sum, ok := totals[name]; ok {
				t.spans, t.first, t.last = t.spans+sum.spans, min(t.first, sum.first), max(t.last, sum.last)
			}
			totals[name] = t
		}
	}
	services := make([]span.Service, 0, len(totals))
	for name, t := range totals {
		services = append(services, span.Service{Name: name, FirstSeen: timeAt(t.first), LastSeen: timeAt(t.last), TotalSpans: t.spans})
	}
	slices.SortFunc(services, func(a, b span.Service) int { return cmp.Compare(a.Name, b.Name) })
	return services, ctx.Err()
}

// Stats counts what is kept.
func (s *Store) Stats(ctx context.Context) (span.HotStats, error) {
	var stats span.HotStats
	blocks := s.snapshot()
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
func (s *Store) Trace(ctx context.Context, traceID string) ([]span.Span, error) {
	q, err := parseQuery(traceID)
	if err != nil {
		return nil, err
	}
	return s.read(ctx, q)
}

// Span reads the spans with both ids.
func (s *Store) Span(ctx context.Context, traceID, spanID string) ([]span.Span, error) {
	q, err := parseQuery(traceID, spanID)
	if err != nil {
		return nil, err
	}
	return s.read(ctx, q)
}

func (s *Store) read(ctx context.Context, q query) ([]span.Span, error) {
	spans := []span.Span{}
	var convert otlpwire.Converter
	for one, err := range s.find(ctx, q) {
		if err != nil {
			return nil, err
		}
		spans = append(spans, convert.Span(one))
	}
	sortSpans(spans)
	return spans, nil
}

// find yields whole spans in the order in which they were received. It holds one request at a time.
func (s *Store) find(ctx context.Context, q query) iter.Seq2[*otlpwire.Span, error] {
	return func(yield func(*otlpwire.Span, error) bool) {
		for _, w := range wantedSpans(s.snapshot(), q) {
			err := s.readRequest(ctx, &w, q, yield)
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

// wanted are the spans that are wanted of a request, by their place in it.
type wanted struct {
	request  request
	ordinals []uint32
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
			last.ordinals = append(last.ordinals, r.ordinal)
		}
	}
	// Blocks that were split at a file's bounds are not in the order of their requests.
	slices.SortFunc(all, func(a, b wanted) int { return bytes.Compare(a.request.id[:], b.request.id[:]) })
	return all
}

// errEnough says that the caller wants no more.
var errEnough = errors.New("enough")

func (s *Store) readRequest(ctx context.Context, w *wanted, q query, yield func(*otlpwire.Span, error) bool) error {
	r, err := s.log.Request(ctx, w.request.id)
	if errors.Is(err, span.ErrReleased) {
		return nil // all of its spans left together
	}
	if err != nil {
		return fmt.Errorf("read request %x: %w", w.request.id, err)
	}
	ordinal, next := uint32(0), 0
	for one, err := range otlpwire.Spans(r.Data) {
		if err != nil {
			return fmt.Errorf("read request %x: %w", w.request.id, err)
		}
		if ordinal == w.ordinals[next] {
			if one.TraceID != q.trace || q.span != nil && one.SpanID != *q.span {
				return fmt.Errorf("read request %x: it is not what was acknowledged", w.request.id)
			}
			if !yield(one, nil) {
				return errEnough
			}
			if next++; next == len(w.ordinals) {
				return nil
			}
		}
		ordinal++
	}
	return fmt.Errorf("read request %x: it has %d spans, not the %d that were acknowledged", w.request.id, ordinal, w.request.spans)
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
