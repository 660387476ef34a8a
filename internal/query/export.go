package query

import (
	"context"
	"fmt"
	"hash/maphash"

	"github.com/spanlake/spanlake/internal/span"
)

// Export yields every whole span that f chooses once, in no order. It holds a hash of each unflushed span that it has yielded.
func (q *Queries) Export(ctx context.Context, f span.Filter, yield func(span.Span) error) (span.Completeness, error) {
	f = filterInMicros(f)
	leave, err := takeTurn(ctx, q.exports)
	if err != nil {
		return span.Completeness{}, err
	}
	defer leave()
	a := q.ask()
	once := newOnce()
	if a.reachable() {
		for s, err := range a.opts.Hot.Select(ctx, f) {
			if err != nil {
				if err := a.hotError(ctx, err); err != nil {
					return a.Completeness, err
				}
				break
			}
			if once.first(&s) {
				if err := yield(s); err != nil {
					return a.Completeness, err
				}
			}
		}
	}
	cold, err := a.cold(ctx)
	if err != nil {
		return a.Completeness, err
	}
	seen, err := a.opts.Catalog.Export(ctx, f, cold, func(s span.Span) error {
		if once.has(&s) {
			return nil
		}
		return yield(s)
	})
	if err != nil {
		return a.Completeness, fmt.Errorf("export: %w", err)
	}
	a.saw(seen)
	return a.done(ctx, f.From)
}

// once remembers spans by 128 bits of a hash of their identity: two of a billion spans meet by chance in one of 10^20 exports.
type once struct {
	seeds [2]maphash.Seed
	seen  map[[2]uint64]struct{}
}

func newOnce() *once {
	return &once{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, seen: make(map[[2]uint64]struct{})}
}

func (o *once) key(s *span.Span) [2]uint64 {
	id := s.Identity()
	return [2]uint64{maphash.Comparable(o.seeds[0], id), maphash.Comparable(o.seeds[1], id)}
}

func (o *once) has(s *span.Span) bool {
	if len(o.seen) == 0 {
		return false
	}
	_, ok := o.seen[o.key(s)]
	return ok
}

// first tells whether the span was not seen before, and remembers it.
func (o *once) first(s *span.Span) bool {
	key := o.key(s)
	_, ok := o.seen[key]
	o.seen[key] = struct{}{}
	return !ok
}
