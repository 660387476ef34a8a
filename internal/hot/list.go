package hot

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
)

// List lists spans, newest first.
func (s *Store) List(ctx context.Context, f span.Filter, rootsOnly bool, after span.Key, limit int) ([]span.Metadata, error) {
	if err := cmp.Or(checkLimit(limit), checkFilter(&f), checkKey(&after)); err != nil {
		return nil, err
	}
	c := newChooser(f)
	c.listing(rootsOnly, after)
	newest := &ranking{limit: limit, trimAt: limit}
	blocks := s.snapshot()
	in := c.in(blocks)
	unsure, err := newest.take(ctx, blocks, in)
	if err != nil {
		return nil, err
	}
	if err := s.takeUnsure(ctx, newest, blocks, in, unsure); err != nil {
		return nil, err
	}
	return newest.list(), ctx.Err()
}

// ranking keeps the best rows of all that it has seen, and those at the same place as the last of them.
type ranking struct {
	limit  int
	ranked []ranked
	// full: worst is at the place of the last one that counts, at least for now.
	full  bool
	worst ranked
	// trimAt is how many rows there may be before those that do not count go: sorting them now and then is faster than keeping them sorted.
	trimAt int
}

type ranked struct {
	micros int64 // of the row, where it can be compared without looking for it in memory
	row    *row
	block  *block
}

func rankedRow(r *row, b *block) ranked { return ranked{r.micros(), r, b} }

// place compares two rows by their place in a listing: negative if a comes before b.
func (a ranked) place(b ranked) int {
	if a.micros != b.micros {
		return cmp.Compare(b.micros, a.micros)
	}
	return cmp.Or(bytes.Compare(a.row.trace[:], b.row.trace[:]), bytes.Compare(a.row.id[:], b.row.id[:]))
}

// compare is place, and then as they were received.
func (a ranked) compare(b ranked) int {
	if c := a.place(b); c != 0 {
		return c
	}
	x, y := &a.block.requests[a.row.request].id, &b.block.requests[b.row.request].id
	return cmp.Or(bytes.Compare(x[:], y[:]), cmp.Compare(a.row.ordinal, b.row.ordinal))
}

func (r *ranking) add(one ranked) {
	if r.full && one.place(r.worst) > 0 {
		return
	}
	if r.ranked = append(r.ranked, one); len(r.ranked) >= r.trimAt {
		r.trim()
	}
}

// trim sorts the rows, and drops those that do not count.
func (r *ranking) trim() {
	slices.SortFunc(r.ranked, ranked.compare)
	n := len(r.ranked)
	if n >= r.limit {
		for n = r.limit; n < len(r.ranked) && r.ranked[n].place(r.ranked[r.limit-1]) == 0; n++ {
		}
		r.full, r.worst = true, r.ranked[r.limit-1]
	}
	clear(r.ranked[n:])
	r.ranked = r.ranked[:n]
	r.trimAt = 2*max(n, r.limit) + 16
}

// tooOld tells whether nothing counts that starts at a time, or before it.
func (r *ranking) tooOld(micros int64) bool { return r.full && micros < r.worst.micros }

// take ranks the rows that are chosen. unsure are the requests of which whole spans have to be looked at.
func (r *ranking) take(ctx context.Context, blocks []block, in []inBlock) (unsure []unread, err error) {
	for i := range slices.Backward(blocks) { // what came last started last, mostly
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !in[i].none {
			unsure = append(unsure, r.takeBlock(&blocks[i], i, &in[i])...)
		}
	}
	slices.SortFunc(unsure, func(a, b unread) int {
		return cmp.Or(cmp.Compare(b.newest, a.newest), cmp.Compare(b.block, a.block), cmp.Compare(b.request, a.request))
	})
	return unsure, nil
}

// takeBlock ranks the rows of a block.
func (r *ranking) takeBlock(b *block, number int, in *inBlock) []unread {
	var some unreadOf
	look := func(one *row) {
		switch chosen, sure := in.row(one); {
		case chosen && sure:
			r.add(rankedRow(one, b))
		case chosen:
			some.note(b, one)
		}
	}
	switch {
	case b.sealed == nil:
		for i := range b.rows {
			look(&b.rows[i])
		}
	case in.rootsOnly:
		for _, i := range b.sealed.roots {
			one := &b.rows[i]
			if one.start < in.from || r.tooOld(one.micros()) {
				break // all that follow started earlier
			}
			look(one)
		}
	case !r.tooOld(b.sealed.last / int64(time.Microsecond)):
		for i := range b.rows {
			look(&b.rows[i])
		}
	}
	return some.list(number)
}

// unread is a request of which whole spans have to be looked at.
type unread struct {
	block   uint32
	request uint16
	newest  int64 // microseconds: the start of the newest of these spans
}

// unreadOf collects the requests of a block.
type unreadOf struct {
	// newest are, by request, one more than the start of the newest span in microseconds; 0: there is none.
	newest []int64
}

func (u *unreadOf) note(b *block, r *row) {
	if u.newest == nil {
		u.newest = make([]int64, len(b.requests))
	}
	u.newest[r.request] = max(u.newest[r.request], r.micros()+1)
}

func (u *unreadOf) list(block int) (all []unread) {
	for i, newest := range u.newest {
		if newest > 0 {
			all = append(all, unread{uint32(block), uint16(i), newest - 1})
		}
	}
	return all
}

// takeUnsure ranks spans of which rows say too little, until the others that have to be read start too early to count.
func (s *Store) takeUnsure(ctx context.Context, newest *ranking, blocks []block, in []inBlock, requests []unread) error {
	var convert otlpwire.Converter
	for _, u := range requests {
		if newest.tooOld(u.newest) {
			return nil
		}
		b, in := &blocks[u.block], &in[u.block]
		err := s.readRequest(ctx, b.requests[u.request], func(ordinal uint32, one *otlpwire.Span) error {
			r := b.rowOf(u.request, ordinal, one)
			if r == nil {
				return notAcknowledged(b.requests[u.request].id)
			}
			if chosen, sure := in.row(r); chosen && !sure && !newest.tooOld(r.micros()) && in.whole(one, &convert) {
				newest.add(rankedRow(r, b))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// list is what was ranked, the best first.
func (r *ranking) list() []span.Metadata {
	r.trim()
	all := make([]span.Metadata, len(r.ranked))
	for i, one := range r.ranked {
		all[i] = one.row.metadata(one.block.names)
	}
	return all
}
