package query

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// MaxLimit is the most that one listing has.
const MaxLimit = 10_000

func checkLimit(limit int) error {
	if limit < 1 || limit > MaxLimit {
		return &span.InvalidError{What: "limit", Value: strconv.Itoa(limit), Problem: fmt.Sprintf("must be from 1 to %d", MaxLimit)}
	}
	return nil
}

// listing is a part of a listing: rows, newest first.
type listing struct {
	rows []span.Row
	// more: there may be rows after the last one.
	more bool
}

// list merges unflushed and indexed spans. Attributes are not looked at.
func (a *asking) list(ctx context.Context, f span.Filter, rootsOnly bool, after span.Key, limit int) (listing, error) {
	var sources []listing
	if a.reachable() {
		hot, err := a.opts.Hot.List(ctx, f, rootsOnly, after, limit)
		if err := a.hotError(ctx, err); err != nil {
			return listing{}, err
		}
		rows := make([]span.Row, len(hot))
		for i := range hot {
			rows[i].Metadata = inMicros(hot[i])
		}
		sources = append(sources, listing{rows, len(hot) >= limit})
	}
	cold, err := a.cold(ctx)
	if err != nil {
		return listing{}, err
	}
	rows, seen, err := a.opts.Catalog.List(ctx, f, rootsOnly, after, limit, cold)
	if err != nil {
		return listing{}, err
	}
	a.saw(seen)
	return merge(limit, append(sources, listing{rows, len(rows) >= limit})...), nil
}

// inMicros rounds times as the index does, so that a span looks the same before and after it is indexed.
func inMicros(m span.Metadata) span.Metadata {
	m.StartTime, m.EndTime = micros(m.StartTime), micros(m.EndTime)
	return m
}

func micros(t time.Time) time.Time { return time.UnixMicro(t.UnixMicro()).UTC() }

// filterInMicros cuts the times of a filter to microseconds, which is what all places compare: a span is chosen alike wherever it is. Zero
// stays zero.
func filterInMicros(f span.Filter) span.Filter {
	f.From, f.Until = f.From.Truncate(time.Microsecond), f.Until.Truncate(time.Microsecond)
	return f
}

// merge makes one listing of several, without repeats: of those the first one counts. It ends where the first listing does that has
// more to come, since what follows there is not known.
func merge(limit int, sources ...listing) listing {
	var all listing
	var end span.Key
	for _, s := range sources {
		all.rows = append(all.rows, s.rows...)
		if !s.more || len(s.rows) == 0 {
			continue
		}
		all.more = true
		if last := s.rows[len(s.rows)-1].Key(); end.IsZero() || last.Compare(end) < 0 {
			end = last
		}
	}
	slices.SortStableFunc(all.rows, func(a, b span.Row) int { return a.Key().Compare(b.Key()) })
	all.rows = distinct(all.rows)
	for i := range all.rows {
		key := all.rows[i].Key()
		beyond := !end.IsZero() && key.Compare(end) > 0
		full := i >= limit && key != all.rows[i-1].Key()
		if beyond || full {
			return listing{all.rows[:i], true}
		}
	}
	return all
}

// distinct removes repeats: of equal spans the first one stays.
func distinct(rows []span.Row) []span.Row {
	seen := make(map[span.Identity]bool, len(rows))
	return slices.DeleteFunc(rows, func(r span.Row) bool {
		id := r.Identity()
		repeated := seen[id]
		seen[id] = true
		return repeated
	})
}

// Traces lists traces by their root spans, newest first. limit is from 1 to MaxLimit; cursor is that of the page before, or "".
func (q *Queries) Traces(ctx context.Context, f span.TraceFilter, cursor string, limit int) (span.TracePage, error) {
	f.Root = filterInMicros(f.Root)
	leave, err := q.enter(ctx)
	if err != nil {
		return span.TracePage{}, err
	}
	defer leave()
	a := q.ask()
	found, next, err := a.traces(ctx, f, cursor, limit)
	if err != nil {
		return span.TracePage{}, err
	}
	page := span.TracePage{Roots: make([]span.Metadata, len(found.rows))}
	for i := range found.rows {
		page.Roots[i] = found.rows[i].Metadata
	}
	if found.more {
		page.Next = encodeCursor(next)
	}
	page.Completeness, err = a.done(ctx, f.Root.From)
	return page, err
}

// traces lists root spans. next is where the listing goes on, if there is more.
func (a *asking) traces(ctx context.Context, f span.TraceFilter, cursor string, limit int) (found listing, next span.Key, err error) {
	if err := checkLimit(limit); err != nil {
		return listing{}, span.Key{}, err
	}
	after, err := decodeCursor(cursor)
	if err != nil {
		return listing{}, span.Key{}, err
	}
	if len(f.Root.Attributes) > 0 {
		// What the root has is looked for like what any span has; that it is the root is checked by whoever has whole spans.
		return listing{}, span.Key{}, &span.InvalidError{What: "filter of roots", Value: "attributes", Problem: "must be asked of any span of the trace"}
	}
	if len(f.Has) == 0 {
		found, err = a.list(ctx, f.Root, true, after, limit)
		if len(found.rows) > 0 {
			next = found.rows[len(found.rows)-1].Key()
		}
		return found, next, err
	}
	return a.search(ctx, f, after, limit)
}
