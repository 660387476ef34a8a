package index

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// List lists what f chooses, attributes aside, newest first and after a place: up to limit spans, and those that share the last one's
// place. Fewer than limit are all that there are. Each span is there once, also if a pending file repeats it.
func (x *Index) List(ctx context.Context, f span.Filter, rootsOnly bool, after span.Key, limit int, cold span.Cold) ([]span.Row, span.Seen, error) {
	var rows []span.Row
	seen, err := x.answer(ctx, "list spans", cold, func(ctx context.Context, s *snapshot) error {
		var err error
		rows, err = s.list(ctx, page{filter: f, rootsOnly: rootsOnly, after: after}, limit)
		return err
	})
	return rows, seen, err
}

// page says which spans a listing has.
type page struct {
	filter    span.Filter
	rootsOnly bool
	after     span.Key
}

// table is the smallest one that has them.
func (p *page) table() string {
	if p.rootsOnly {
		return "root_spans"
	}
	return "span_metadata"
}

func (p *page) conditions() conditions {
	var c conditions
	c.choose(&p.filter)
	if p.rootsOnly {
		c.and("is_root")
	}
	c.beyond(p.after)
	return c
}

func (s *snapshot) list(ctx context.Context, p page, limit int) ([]span.Row, error) {
	rows, err := s.listIndexed(ctx, p, limit)
	if err != nil || len(s.pending) == 0 {
		return rows, err
	}
	c := p.conditions()
	source, _ := s.source(len(c.args) + 1)
	pending, err := s.newest(ctx, "("+source.sql+")", c, source.args, limit)
	if err != nil {
		return nil, err
	}
	// Both have the first ones of what they have, so all of both has the first ones of all.
	rows = append(rows, pending...)
	sortRows(rows)
	return cutAt(distinctRows(rows), limit), nil
}

// newestSQL has the columns, the table, the conditions and the limit.
const newestSQL = `
SELECT %s
FROM %s%s
ORDER BY start_time DESC, trace_id, span_id
LIMIT %d`

// newest lists the first rows of a table or source that c chooses: limit distinct ones and those that share the place of the last, or all.
// more are the values of parameters after those of c.
func (s *snapshot) newest(ctx context.Context, table string, c conditions, more []any, limit int) ([]span.Row, error) {
	args := slices.Concat(c.args, more)
	for n := limit + 1; ; n *= 4 {
		rows, err := s.rows(ctx, fmt.Sprintf(newestSQL, rowColumns, table, c.where(), n), args...)
		if err != nil {
			return nil, err
		}
		all := len(rows) < n
		if !all {
			// More may stand at the last place.
			last := rows[len(rows)-1].Key()
			rows = slices.DeleteFunc(rows, func(r span.Row) bool { return r.Key() == last })
		}
		if rows = distinctRows(rows); all || len(rows) >= limit {
			return cutAt(rows, limit), nil
		}
	}
}

// cutAt cuts a listing at a limit, behind all that stand at the same place.
func cutAt(rows []span.Row, limit int) []span.Row {
	for i := limit; i < len(rows); i++ {
		if i > 0 && rows[i].Key() != rows[i-1].Key() {
			return rows[:i]
		}
	}
	return rows
}

func sortRows(rows []span.Row) {
	slices.SortStableFunc(rows, func(a, b span.Row) int { return a.Key().Compare(b.Key()) })
}

// distinctRows removes repeats: of equal spans the first one stays.
func distinctRows(rows []span.Row) []span.Row {
	seen := make(map[span.Identity]bool, len(rows))
	return slices.DeleteFunc(rows, func(r span.Row) bool {
		id := r.Identity()
		repeated := seen[id]
		seen[id] = true
		return repeated
	})
}

const (
	// The first window of a listing has about so many spans for each row that is asked for, if only some of them are chosen.
	spansPerRow = 20
	// Each window has from twice to sixteen times as many spans as the one before, as many as the rows that are still wanted seem to need.
	leastGrowth, blindGrowth, mostGrowth = 2, 8, 16
)

// firstWindow is about how many spans the first window has, of those that windows counts.
func (p *page) firstWindow(limit int) int64 {
	f := p.filter
	counted := f.StatusCode == nil || *f.StatusCode == span.StatusError && !p.rootsOnly
	if f.ServiceName == "" {
		counted = f.StatusCode == nil && !p.rootsOnly
	}
	if counted && f.Name == "" && f.MinDuration == 0 && f.MaxDuration == 0 && f.Kind == nil {
		return int64(limit) + int64(limit)/2 // nearly all of them are chosen
	}
	return int64(limit) * spansPerRow
}

// listIndexed lists spans of the index. DuckDB reads the spans of a time from the oldest on, all of them, so it is asked for one window of
// time after the other, back from the newest, each larger than the one before.
func (s *snapshot) listIndexed(ctx context.Context, p page, limit int) ([]span.Row, error) {
	if !p.after.IsZero() {
		if past := inMicros(p.after.StartTime).Add(time.Microsecond); p.filter.Until.IsZero() || past.Before(p.filter.Until) {
			p.filter.Until = past
		}
	}
	w := windows{snapshot: s, service: p.filter.ServiceName, rootsOnly: p.rootsOnly, from: p.filter.From, until: p.filter.Until, least: 1}
	w.errorsOnly = p.filter.StatusCode != nil && *p.filter.StatusCode == span.StatusError
	var rows []span.Row
	for want := p.firstWindow(limit); ; {
		from, until, more, err := w.next(ctx, want)
		if err != nil {
			return nil, err
		}
		if w.none {
			return nil, nil
		}
		p.filter.From, p.filter.Until = from, until
		found, err := s.newest(ctx, p.table(), p.conditions(), nil, limit-len(rows))
		if err != nil {
			return nil, err
		}
		rows = append(rows, found...)
		if !more || len(rows) >= limit {
			return rows, nil
		}
		growth := int64(blindGrowth)
		if len(found) > 0 {
			growth = min(max(int64((limit-len(rows))*3/2/len(found)), leastGrowth), mostGrowth)
		}
		want *= growth
	}
}

// windows cuts the time before the end of a range by what the registry says of files. Each window begins where the next one ends, so no span
// is passed over, whatever was guessed.
type windows struct {
	snapshot *snapshot
	// service is "" for all. Files that have no such spans are left out.
	service               string
	rootsOnly, errorsOnly bool
	// from and until are what is left of the range.
	from, until time.Time
	// least is of how many files the next window is at least.
	least int
	// ends are when the last spans of the next files start, the newest first, with how many such spans they have.
	ends []fileEnd
	// last is the last file that was read into ends, batch how many are read next.
	last  fileEnd
	batch int
	// earliest is when the first span of the files before ends starts.
	earliest time.Time
	// none: no file has such spans at all, read: all files were read into ends.
	none, read bool
}

type fileEnd struct {
	id          int32
	first, last time.Time
	spans       int64
}

// next is the next window, of about so many spans. more tells whether there is another one.
func (w *windows) next(ctx context.Context, spans int64) (from, until time.Time, more bool, err error) {
	until = w.until
	counted, files := int64(0), 0
	for {
		if len(w.ends) == 0 {
			if err := w.readEnds(ctx); err != nil {
				return from, until, false, err
			}
			if len(w.ends) == 0 {
				return lastTime(w.from, w.earliest), until, false, nil
			}
		}
		next := w.ends[0]
		// What the files so far have after this is all in the window.
		cut := next.last.Add(time.Microsecond)
		if counted >= spans && files >= w.least && (until.IsZero() || cut.Before(until)) {
			if !w.from.IsZero() && !cut.After(w.from) {
				return w.from, until, false, nil
			}
			w.until = cut
			w.least = 2 * files
			return cut, until, true, nil
		}
		counted, files, w.ends = counted+next.spans, files+1, w.ends[1:]
		w.earliest = firstTime(w.earliest, next.first)
	}
}

const (
	// endsSQL has the column of counts, the conditions and the limit.
	endsSQL = `
SELECT file_id, min_time, max_time, %s
FROM file_services%s
ORDER BY max_time DESC, file_id
LIMIT %d`

	// allEndsSQL is for all services: of what files there are few beside their services.
	allEndsSQL = `
SELECT file_id, min_time, max_time, %s
FROM parquet_files%s
ORDER BY max_time DESC, file_id
LIMIT %d`

	// endsBatch is how many files are looked at first, each time four times as many.
	endsBatch = 256
)

// readEnds reads the ends of the next files that have spans in the range.
func (w *windows) readEnds(ctx context.Context) error {
	if w.read {
		return nil
	}
	query, count := allEndsSQL, "row_count"
	var c conditions
	if w.service != "" {
		query, count = endsSQL, "span_count"
		c.and("service_name = %s", w.service)
		if w.errorsOnly {
			count = "error_count"
			c.and("error_count > 0")
		}
		if w.rootsOnly {
			count = "root_count"
			c.and("root_count > 0")
		}
	}
	if !w.until.IsZero() {
		c.and("min_time < %s", inMicros(w.until))
	}
	if !w.from.IsZero() {
		c.and("max_time >= %s", inMicros(w.from))
	}
	first := w.batch == 0
	if first {
		w.batch = endsBatch
		c.and("max_time IS NOT NULL")
	} else {
		w.batch *= 4
		c.and("max_time <= %s", w.last.last)
		c.and("(max_time < %s OR file_id > %s)", w.last.last, w.last.id)
	}
	err := w.snapshot.each(ctx, fmt.Sprintf(query, count, c.where(), w.batch), func(scan func(...any) error) error {
		var end fileEnd
		err := scan(&end.id, &end.first, &end.last, &end.spans)
		w.ends, w.last = append(w.ends, end), end
		return err
	}, c.args...)
	w.none = first && len(w.ends) == 0
	w.read = len(w.ends) < w.batch
	return err
}
