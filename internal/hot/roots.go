package hot

import (
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"math"
	"slices"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// Roots lists root spans.
func (s *Store) Roots(ctx context.Context, filter span.Filter, limit int) ([]span.Metadata, error) {
	if err := checkRoots(&filter, limit); err != nil {
		return nil, err
	}
	blocks := s.snapshot()
	newest := &ranking{limit: limit}
	for i := range blocks {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if m, ok := newMatcher(&filter, &blocks[i]); ok {
			newest.take(&blocks[i], m)
		}
	}
	return newest.list(), ctx.Err()
}

// ranking keeps the best rows of all that it has seen, as a heap whose first is the worst of them.
type ranking struct {
	limit int
	heap  []ranked
}

type ranked struct {
	row   *row
	block *block
}

func (a ranked) request() *span.RequestID { return &a.block.requests[a.row.request].id }

// compare is negative if a comes before b in the listing.
func (a ranked) compare(b ranked) int {
	if a.row.start != b.row.start {
		return cmp.Compare(b.row.start, a.row.start)
	}
	return cmp.Or(bytes.Compare(a.row.trace[:], b.row.trace[:]), bytes.Compare(a.row.id[:], b.row.id[:]),
		bytes.Compare(a.request()[:], b.request()[:]), cmp.Compare(a.row.ordinal, b.row.ordinal))
}

func (r *ranking) Len() int           { return len(r.heap) }
func (r *ranking) Less(i, j int) bool { return r.heap[i].compare(r.heap[j]) > 0 }
func (r *ranking) Swap(i, j int)      { r.heap[i], r.heap[j] = r.heap[j], r.heap[i] }

// Push is for package heap.
func (r *ranking) Push(x any) { r.heap = append(r.heap, x.(ranked)) }

// Pop is for package heap.
func (r *ranking) Pop() any {
	last := r.heap[len(r.heap)-1]
	r.heap = r.heap[:len(r.heap)-1]
	return last
}

// take ranks the roots of a block that match.
func (r *ranking) take(b *block, m matcher) {
	if b.sealed == nil {
		for i := range b.rows {
			if one := &b.rows[i]; one.isRoot() && m.match(one) {
				r.add(ranked{one, b})
			}
		}
		return
	}
	for _, i := range b.sealed.roots {
		one := &b.rows[i]
		if one.start < m.from || len(r.heap) == r.limit && one.start < r.heap[0].row.start {
			return // all that follow started earlier
		}
		if m.match(one) {
			r.add(ranked{one, b})
		}
	}
}

func (r *ranking) add(one ranked) {
	switch {
	case len(r.heap) < r.limit:
		heap.Push(r, one)
	case one.compare(r.heap[0]) < 0:
		r.heap[0] = one
		heap.Fix(r, 0)
	}
}

// list is what was ranked, the best first.
func (r *ranking) list() []span.Metadata {
	slices.SortFunc(r.heap, ranked.compare)
	all := make([]span.Metadata, len(r.heap))
	for i, one := range r.heap {
		all[i] = one.row.metadata(one.block.names)
	}
	return all
}

// matcher is a span.Filter in the terms of the rows of one block. It says what Filter.Match says, without making a span.Metadata
// for each row.
type matcher struct {
	service, name    uint32
	anyService       bool
	anyName          bool
	from, until      int64         // from <= start < until
	minimum, maximum time.Duration // 0: any
	status           *span.StatusCode
	kind             *span.Kind
}

// newMatcher is false if nothing in the block can match.
func newMatcher(f *span.Filter, b *block) (m matcher, ok bool) {
	m = matcher{
		anyService: f.ServiceName == "", anyName: f.Name == "", until: math.MaxInt64, minimum: f.MinDuration, maximum: f.MaxDuration,
		status: f.StatusCode, kind: f.Kind,
	}
	if !m.anyService {
		if m.service, ok = b.find(f.ServiceName); !ok {
			return m, false
		}
	}
	if !m.anyName {
		if m.name, ok = b.find(f.Name); !ok {
			return m, false
		}
	}
	if !f.From.IsZero() {
		m.from = nanosAt(f.From)
	}
	if !f.Until.IsZero() {
		m.until = nanosAt(f.Until)
	}
	return m, true
}

// find is the number of a name.
func (b *block) find(name string) (uint32, bool) {
	i := slices.Index(b.names, cutName(name))
	return uint32(max(i, 0)), i >= 0
}

func (m *matcher) match(r *row) bool {
	if !m.anyService && r.service != m.service || !m.anyName && r.name != m.name || r.start < m.from || r.start >= m.until {
		return false
	}
	if m.status != nil && r.status != int8(*m.status) || m.kind != nil && r.kind != int8(*m.kind) {
		return false
	}
	d := time.Duration(r.end - r.start)
	return (m.minimum == 0 || d >= m.minimum) && (m.maximum == 0 || d <= m.maximum)
}

// nanosAt is a time in nanoseconds since 1970, or the nearest that a row can have.
func nanosAt(t time.Time) int64 {
	switch {
	case t.Before(time.Unix(0, 0)):
		return 0
	case t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	}
	return t.UnixNano()
}
