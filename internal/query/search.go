package query

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

const (
	// windowSpans is how many spans the next steps look through; each one after it twice as many, up to maxWindows times that.
	windowSpans = 100_000
	maxWindows  = 8
	// maxCandidates bounds the traces that a search remembers while it looks for their roots. Traces whose root was never sent stay
	// among them.
	maxCandidates = 500_000
	// The first step of a search looks through firstCandidates times as many spans as are asked for, the next one through moreCandidates times
	// that.
	firstCandidates = 4
	moreCandidates  = 8
	// fewRowGroups are read in a fraction of a second.
	fewRowGroups = 16
	// rootsAtOnce is how many traces the catalog is asked for at once.
	rootsAtOnce = 20_000
)

// search lists root spans of traces that have certain spans. It goes back through time window by window: first it finds the traces that
// have such spans in the window, then their roots, which start in it.
func (a *asking) search(ctx context.Context, f span.TraceFilter, after span.Key, limit int) (listing, span.Key, error) {
	s := searching{asking: a, filter: f, after: after, limit: limit, deadline: time.Now().Add(a.opts.SearchTime)}
	if !after.IsZero() {
		if past := after.StartTime.Add(time.Microsecond); f.Root.Until.IsZero() || past.Before(f.Root.Until) {
			s.filter.Root.Until = past
		}
	}
	if err := s.findHot(ctx); err != nil {
		return listing{}, span.Key{}, err
	}
	windows, err := s.allWindows(ctx)
	if err != nil {
		return listing{}, span.Key{}, err
	}
	for i, w := range windows {
		if err := s.step(ctx, w); err != nil {
			return listing{}, span.Key{}, err
		}
		if len(s.found) >= limit {
			return s.page(limit, i < len(windows)-1, w)
		}
		if i == len(windows)-1 {
			break
		}
		if time.Now().After(s.deadline) {
			a.truncate("the search took longer than " + a.opts.SearchTime.String() + ": next_cursor goes on where it stopped, a shorter time range is faster")
			return listing{s.found, true}, startOf(w), nil
		}
		if s.candidates() > maxCandidates {
			a.truncate("more than " + strconv.Itoa(maxCandidates) + " traces without a root match: ask for a shorter time range")
			return listing{s.found, true}, startOf(w), nil
		}
	}
	return listing{rows: s.found}, span.Key{}, nil
}

// startOf is the place in a listing after everything that starts in a window.
func startOf(w window) span.Key { return span.Key{StartTime: micros(w.from).Add(-time.Microsecond)} }

// window is a part of a search: from <= start < until, where zero is no bound.
type window struct {
	from, until time.Time
	// few: hardly more spans are in it than firstWindows asked for.
	few bool
}

// windows cut the range of time of a search for so many spans, the newest first. The first one has no end, and the last one no beginning, if
// the range has none. Who asks for what many spans have finds enough among the newest, so the first windows have so many that f chooses by
// what the index knows; who asks for what is rare goes on through windows that grow.
func (a *asking) windows(ctx context.Context, f *span.Filter, rootsOnly bool, limit int) ([]window, error) {
	all, err := a.firstWindows(ctx, f, rootsOnly, limit)
	if err != nil {
		return nil, err
	}
	from, end := f.From, f.Until
	if len(all) > 0 {
		end = all[len(all)-1].from
	}
	cuts, err := a.opts.Catalog.Boundaries(ctx, "", from, end, windowSpans)
	if err != nil {
		return nil, err
	}
	size := 1
	for i := 0; i < len(cuts); i += size {
		if i > 0 {
			size = min(2*size, maxWindows)
		}
		cut := micros(cuts[i])
		if !from.IsZero() && !cut.After(from) {
			break
		}
		if end.IsZero() || cut.Before(end) {
			all = append(all, window{from: cut, until: end})
			end = cut
		}
	}
	if end.IsZero() || from.IsZero() || from.Before(end) {
		all = append(all, window{from: from, until: end})
	}
	return all, nil
}

// allWindows are those of a search for traces: only one if what one of the filters asks for is rare.
func (s *searching) allWindows(ctx context.Context) ([]window, error) {
	from, until := s.filter.Root.From, s.filter.Root.Until
	for i := range s.filter.Has {
		has := s.filter.Has[i]
		has.From, has.Until = widened(from, until)
		if rare, err := s.rare(ctx, &has); err != nil || rare {
			return []window{{from: from, until: until}}, err
		}
	}
	return s.windows(ctx, &s.filter.Root, true, s.limit)
}

// spanWindows are those of a search for spans: only one if what is asked for is rare.
func (a *asking) spanWindows(ctx context.Context, f *span.Filter, limit int) ([]window, error) {
	if rare, err := a.rare(ctx, f); err != nil || rare {
		return []window{{from: f.From, until: f.Until}}, err
	}
	return a.windows(ctx, f, false, limit)
}

// rare tells whether the attributes of a filter are known to be in a few row groups only, which are read at once sooner than window by window.
func (a *asking) rare(ctx context.Context, f *span.Filter) (bool, error) {
	if len(f.Attributes) == 0 {
		return false, nil
	}
	groups, ok, err := a.opts.Catalog.MayHave(ctx, *f)
	return ok && groups <= fewRowGroups, err
}

// firstWindows begin the windows: with the newest spans that f chooses, attributes aside, a few times as many as are asked for, then with some more.
func (a *asking) firstWindows(ctx context.Context, f *span.Filter, rootsOnly bool, limit int) (all []window, err error) {
	some := *f
	some.Attributes = nil
	for n := firstCandidates * limit; n <= MaxLimit; n *= moreCandidates {
		rows, _, err := a.opts.Catalog.List(ctx, some, rootsOnly, span.Key{}, n, span.Cold{})
		if err != nil {
			return nil, err
		}
		if len(rows) < n {
			return all, nil // the rest is not much
		}
		if from := rows[n-1].StartTime; some.Until.IsZero() || from.Before(some.Until) {
			all = append(all, window{from, some.Until, true})
			some.Until = from
		}
	}
	return all, nil
}

// searching is a search under way.
type searching struct {
	*asking
	filter   span.TraceFilter
	after    span.Key
	limit    int
	deadline time.Time
	// has are, for each filter of filter.Has, the traces in which it chose a span so far.
	has []map[string]bool
	// low is where the spans that were looked at begin.
	low   time.Time
	begun bool
	found []span.Row
}

// findHot finds the traces with unflushed spans that are asked for, of all times.
func (s *searching) findHot(ctx context.Context) error {
	for i := range s.filter.Has {
		has := s.filter.Has[i]
		traces := make(map[string]bool)
		s.has = append(s.has, traces)
		if !s.reachable() {
			continue
		}
		has.From, has.Until = widened(s.filter.Root.From, s.filter.Root.Until)
		matches, err := s.opts.Hot.Matches(ctx, has)
		if err := s.hotError(ctx, err); err != nil {
			return err
		}
		for _, m := range matches {
			traces[m.TraceID] = true
		}
	}
	return nil
}

// widened is the range in which spans of traces are looked for that start in a range.
func widened(from, until time.Time) (time.Time, time.Time) {
	if !from.IsZero() {
		from = from.Add(-span.TraceEarly)
	}
	if !until.IsZero() {
		until = until.Add(span.TraceLate)
	}
	return from, until
}

// step finds the roots that start in a window. Windows come from the newest to the oldest, so only spans before those that the last step
// has seen are looked at.
func (s *searching) step(ctx context.Context, w window) error {
	// The catalog is asked second, unflushed roots before it.
	roots, err := s.hotRoots(ctx, w)
	if err != nil {
		return err
	}
	cold, err := s.cold(ctx)
	if err != nil {
		return err
	}
	if w.few {
		if done, err := s.stepOfFew(ctx, w, roots, cold); done || err != nil {
			return err
		}
	}
	low, high := widened(w.from, w.until)
	if s.begun {
		high = s.low
	}
	s.low, s.begun = low, true
	for i := range s.filter.Has {
		has := s.filter.Has[i]
		has.From, has.Until = low, high
		matches, seen, err := s.opts.Catalog.Matches(ctx, has, 0, cold)
		if err != nil {
			return err
		}
		s.saw(seen)
		for _, m := range matches {
			s.has[i][m.TraceID] = true
		}
	}
	traces := s.traces()
	rows := slices.DeleteFunc(roots, func(r span.Row) bool { return !traces[r.TraceID] })
	f := s.rootsIn(w)
	for ids := range slices.Chunk(slices.Sorted(maps.Keys(traces)), rootsAtOnce) {
		more, seen, err := s.opts.Catalog.RootsOf(ctx, f, ids, cold)
		if err != nil {
			return err
		}
		s.saw(seen)
		rows = append(rows, more...)
	}
	s.take(rows)
	return nil
}

// stepOfFew is step where few roots start in the window: they are listed, and only their traces are looked at. done is false if they are
// not few anymore, since others have come.
func (s *searching) stepOfFew(ctx context.Context, w window, roots []span.Row, cold span.Cold) (done bool, err error) {
	rows, seen, err := s.opts.Catalog.List(ctx, s.rootsIn(w), true, span.Key{}, MaxLimit, cold)
	if err != nil || len(roots)+len(rows) >= MaxLimit {
		return false, err
	}
	s.saw(seen)
	rows = slices.Concat(roots, rows)
	traces := make([]string, len(rows))
	for i := range rows {
		traces[i] = rows[i].TraceID
	}
	slices.Sort(traces)
	traces = slices.Compact(traces)
	for i := range s.filter.Has {
		has := s.filter.Has[i]
		has.From, has.Until = widened(w.from, w.until)
		matches, seen, err := s.opts.Catalog.MatchesOf(ctx, has, traces, cold)
		if err != nil {
			return false, err
		}
		s.saw(seen)
		for _, m := range matches {
			s.has[i][m.TraceID] = true
		}
	}
	match := s.traces()
	s.take(slices.DeleteFunc(rows, func(r span.Row) bool { return !match[r.TraceID] }))
	return true, nil
}

// rootsIn chooses the roots that start in a window.
func (s *searching) rootsIn(w window) span.Filter {
	f := s.filter.Root
	f.From, f.Until = w.from, w.until
	return f
}

// take adds the roots of a window to what was found.
func (s *searching) take(rows []span.Row) {
	slices.SortStableFunc(rows, func(a, b span.Row) int { return a.Key().Compare(b.Key()) })
	rows = distinct(rows)
	for i := range rows {
		if s.after.IsZero() || rows[i].Key().Compare(s.after) > 0 {
			s.found = append(s.found, rows[i])
		}
	}
}

// hotRoots are all unflushed roots that start in a window.
func (s *searching) hotRoots(ctx context.Context, w window) ([]span.Row, error) {
	if !s.reachable() {
		return nil, nil
	}
	f := s.rootsIn(w)
	var all []span.Row
	for after := (span.Key{}); ; {
		rows, err := s.opts.Hot.List(ctx, f, true, after, MaxLimit)
		if err := s.hotError(ctx, err); err != nil {
			return nil, err
		}
		for i := range rows {
			all = append(all, span.Row{Metadata: inMicros(rows[i])})
		}
		if len(rows) < MaxLimit {
			return all, nil
		}
		after = rows[len(rows)-1].Key()
	}
}

// traces are those that have all that is asked for.
func (s *searching) traces() map[string]bool {
	all := make(map[string]bool)
	for id := range s.has[0] {
		if !slices.ContainsFunc(s.has[1:], func(other map[string]bool) bool { return !other[id] }) {
			all[id] = true
		}
	}
	return all
}

func (s *searching) candidates() (n int) {
	for _, traces := range s.has {
		n += len(traces)
	}
	return n
}

// page cuts what was found to a page.
func (s *searching) page(limit int, windowsLeft bool, last window) (listing, span.Key, error) {
	page := merge(limit, listing{rows: s.found})
	if page.more {
		return page, page.rows[len(page.rows)-1].Key(), nil
	}
	return listing{page.rows, windowsLeft}, startOf(last), nil
}

// TraceIDs lists the traces in which f chooses a span, those with the newest such span first. limit is from 1 to MaxLimit.
func (q *Queries) TraceIDs(ctx context.Context, f span.Filter, limit int) ([]string, span.Completeness, error) {
	if err := checkLimit(limit); err != nil {
		return nil, span.Completeness{}, err
	}
	f = filterInMicros(f)
	leave, err := q.enter(ctx)
	if err != nil {
		return nil, span.Completeness{}, err
	}
	defer leave()
	a := q.ask()
	matches, err := a.matches(ctx, f, limit)
	if err != nil {
		return nil, span.Completeness{}, err
	}
	ids := make([]string, len(matches))
	for i, m := range matches {
		ids[i] = m.TraceID
	}
	complete, err := a.done(ctx, f.From)
	return ids, complete, err
}

// matches finds the traces in which f chooses a span, the newest first.
func (a *asking) matches(ctx context.Context, f span.Filter, limit int) ([]span.TraceMatch, error) {
	newest := make(map[string]time.Time)
	var hot []span.TraceMatch
	if a.reachable() {
		var err error
		hot, err = a.opts.Hot.Matches(ctx, f)
		if err := a.hotError(ctx, err); err != nil {
			return nil, err
		}
	}
	windows, err := a.spanWindows(ctx, &f, limit)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(a.opts.SearchTime)
	note := func(m span.TraceMatch) {
		if start := micros(m.Start); start.After(newest[m.TraceID]) {
			newest[m.TraceID] = start
		}
	}
	for i, w := range windows {
		for _, m := range hot {
			if inWindow(micros(m.Start), w) {
				note(m)
			}
		}
		cold, err := a.cold(ctx)
		if err != nil {
			return nil, err
		}
		f.From, f.Until = w.from, w.until
		found, seen, err := a.opts.Catalog.Matches(ctx, f, limit, cold)
		if err != nil {
			return nil, err
		}
		a.saw(seen)
		for _, m := range found {
			note(m)
		}
		if len(newest) >= limit {
			break
		}
		if i < len(windows)-1 && time.Now().After(deadline) {
			a.truncate("the search took longer than " + a.opts.SearchTime.String() + ": ask for a shorter time range")
			break
		}
	}
	all := make([]span.TraceMatch, 0, len(newest))
	for id, start := range newest {
		all = append(all, span.TraceMatch{TraceID: id, Start: start})
	}
	slices.SortFunc(all, func(x, y span.TraceMatch) int {
		return span.Key{StartTime: x.Start, TraceID: x.TraceID}.Compare(span.Key{StartTime: y.Start, TraceID: y.TraceID})
	})
	return all[:min(limit, len(all))], nil
}

func inWindow(t time.Time, w window) bool {
	return (w.from.IsZero() || !t.Before(w.from)) && (w.until.IsZero() || t.Before(w.until))
}
