package query

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"

	"github.com/spanlake/spanlake/internal/attribute"
	"github.com/spanlake/spanlake/internal/span"
)

// lookups is how often spans are looked up whose file has gone meanwhile: it was replaced, and indexed anew.
const lookups = 5

const tooLarge = "the spans are larger than one answer may be: ask for fewer, or export them"

// Spans lists whole spans that f chooses, newest first. limit is from 1 to MaxLimit.
func (q *Queries) Spans(ctx context.Context, f span.Filter, limit int) ([]span.Span, span.Completeness, error) {
	f = filterInMicros(f)
	return q.whole(ctx, f.From, limit, func(a *asking) ([]span.Row, error) {
		if len(f.Attributes) > 0 {
			return a.withAttributes(ctx, f, limit)
		}
		found, err := a.list(ctx, f, false, span.Key{}, limit)
		return found.rows, err
	})
}

// RootSpans lists the whole root spans of traces, newest first. limit is from 1 to MaxLimit.
func (q *Queries) RootSpans(ctx context.Context, f span.TraceFilter, limit int) ([]span.Span, span.Completeness, error) {
	f.Root = filterInMicros(f.Root)
	return q.whole(ctx, f.Root.From, limit, func(a *asking) ([]span.Row, error) {
		found, _, err := a.traces(ctx, f, "", limit)
		return found.rows, err
	})
}

// whole lists rows and reads their spans.
func (q *Queries) whole(ctx context.Context, from time.Time, limit int, list func(*asking) ([]span.Row, error)) ([]span.Span, span.Completeness, error) {
	if err := checkLimit(limit); err != nil {
		return nil, span.Completeness{}, err
	}
	leave, err := q.enter(ctx)
	if err != nil {
		return nil, span.Completeness{}, err
	}
	defer leave()
	a := q.ask()
	rows, err := list(a)
	if err != nil {
		return nil, span.Completeness{}, err
	}
	spans, err := a.spansOf(ctx, rows)
	if err != nil {
		return nil, span.Completeness{}, err
	}
	complete, err := a.done(ctx, from)
	return spans, complete, err
}

// spansOf reads the whole spans of rows, in their order, until they have Options.WholeBytes.
func (a *asking) spansOf(ctx context.Context, rows []span.Row) ([]span.Span, error) {
	whole := make(map[span.Identity]span.Span, len(rows))
	room, full := a.opts.WholeBytes, false
	note := func(spans []span.Span, truncated bool) {
		for i := range spans {
			id := spans[i].Identity()
			if _, ok := whole[id]; !ok {
				whole[id] = spans[i]
				room -= spans[i].Bytes()
			}
		}
		full = full || truncated
	}
	left := rows
	for try := 0; try < lookups && len(left) > 0 && !full; try++ {
		if try > 0 {
			var err error
			if left, err = a.again(ctx, left); err != nil {
				return nil, err
			}
		}
		if hot := refs(left, true); len(hot) > 0 && a.reachable() {
			spans, truncated, err := a.opts.Hot.Get(ctx, hot, room)
			if err := a.hotError(ctx, err); err != nil {
				return nil, err
			}
			note(spans, truncated)
		}
		if cold := refs(left, false); len(cold) > 0 {
			spans, truncated, err := a.opts.Catalog.Whole(ctx, cold, room)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			note(spans, truncated)
		}
		left = slices.DeleteFunc(slices.Clone(left), func(r span.Row) bool {
			_, ok := whole[r.Identity()]
			return ok
		})
	}
	if full {
		a.truncate(tooLarge)
	}
	spans := make([]span.Span, 0, len(rows))
	for i := range rows {
		if s, ok := whole[rows[i].Identity()]; ok {
			spans = append(spans, s)
		}
	}
	return spans, nil
}

// again looks rows up whose spans were not where they had been: they have been indexed meanwhile, or indexed anew.
func (a *asking) again(ctx context.Context, rows []span.Row) ([]span.Row, error) {
	wanted := make(map[span.Identity]bool, len(rows))
	var traces []string
	for i := range rows {
		wanted[rows[i].Identity()] = true
		traces = append(traces, rows[i].TraceID)
	}
	slices.Sort(traces)
	cold, err := a.cold(ctx)
	if err != nil {
		return nil, err
	}
	found, seen, err := a.opts.Catalog.TraceRows(ctx, slices.Compact(traces), cold)
	a.saw(seen)
	return slices.DeleteFunc(found, func(r span.Row) bool { return !wanted[r.Identity()] }), err
}

// refs are where spans are, unflushed or in files.
func refs(rows []span.Row, hot bool) []span.Ref {
	var all []span.Ref
	for i := range rows {
		if r := &rows[i]; (r.File == "") == hot {
			all = append(all, span.Ref{TraceID: r.TraceID, SpanID: r.SpanID, File: r.File})
		}
	}
	return all
}

// withAttributes lists the newest spans that have attributes: first the traces that have such spans are found, then the spans in them.
func (a *asking) withAttributes(ctx context.Context, f span.Filter, limit int) ([]span.Row, error) {
	var found []span.Row
	windows, err := a.spanWindows(ctx, &f, limit)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(a.opts.SearchTime)
	for i, w := range windows {
		f.From, f.Until = w.from, w.until
		rows, err := a.attributesIn(ctx, f, limit-len(found))
		if err != nil {
			return nil, err
		}
		found = append(found, rows...)
		if len(found) >= limit || i == len(windows)-1 {
			break
		}
		if time.Now().After(deadline) {
			a.truncate("the search took longer than " + a.opts.SearchTime.String() + ": ask for a shorter time range")
			break
		}
	}
	return merge(limit, listing{rows: found}).rows, nil
}

// attributesIn lists the newest spans of a window that have attributes.
func (a *asking) attributesIn(ctx context.Context, f span.Filter, limit int) ([]span.Row, error) {
	var rows []span.Row
	if a.reachable() {
		// Unflushed spans are matched where they are.
		hot, err := a.opts.Hot.List(ctx, f, false, span.Key{}, limit)
		if err := a.hotError(ctx, err); err != nil {
			return nil, err
		}
		for i := range hot {
			rows = append(rows, span.Row{Metadata: inMicros(hot[i])})
		}
	}
	cold, err := a.cold(ctx)
	if err != nil {
		return nil, err
	}
	// Each trace has one such span or more, so the newest of so many traces are enough.
	matches, seen, err := a.opts.Catalog.Matches(ctx, f, limit, cold)
	if err != nil {
		return nil, err
	}
	a.saw(seen)
	for some := range slices.Chunk(matches, attributesAtOnce) {
		ids := make([]string, len(some))
		for i, m := range some {
			ids[i] = m.TraceID
		}
		candidates, seen, err := a.opts.Catalog.TraceRows(ctx, ids, cold)
		if err != nil {
			return nil, err
		}
		a.saw(seen)
		candidates = slices.DeleteFunc(candidates, func(r span.Row) bool { return !f.Match(&r.Metadata) })
		spans, err := a.spansOf(ctx, candidates)
		if err != nil {
			return nil, err
		}
		has := make(map[span.Identity]bool)
		for i := range spans {
			has[spans[i].Identity()] = attribute.Matches(f.Attributes, spans[i].Attributes, spans[i].ResourceAttributes)
		}
		rows = append(rows, slices.DeleteFunc(candidates, func(r span.Row) bool { return !has[r.Identity()] })...)
	}
	slices.SortStableFunc(rows, func(x, y span.Row) int { return x.Key().Compare(y.Key()) })
	return distinct(rows), nil
}

// attributesAtOnce is of how many traces whole spans are read at once to look at their attributes.
const attributesAtOnce = 100
