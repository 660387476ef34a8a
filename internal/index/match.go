package index

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"github.com/spanlake/spanlake/internal/attribute"
	"github.com/spanlake/spanlake/internal/span"
)

// Matches finds the traces in which f chooses a span, those with the newest such span first. A limit of 0 is none.
//
// Metadata is in the index. Attributes are in the files: of those only the row groups are read that may have what is asked for
// (docs/adr/0013).
func (x *Index) Matches(ctx context.Context, f span.Filter, limit int, cold span.Cold) ([]span.TraceMatch, span.Seen, error) {
	if len(f.Attributes) == 0 {
		return x.matchRows(ctx, &f, limit, cold)
	}
	m := matching{index: x, filter: &f, limit: limit, newest: make(map[string]int64)}
	return m.find(ctx, cold)
}

// MatchesOf are those of some traces in which f chooses a span, those with the newest such span first. The files that have these traces are
// known, so it costs less than Matches of all that is in the same time.
func (x *Index) MatchesOf(ctx context.Context, f span.Filter, traceIDs []string, cold span.Cold) ([]span.TraceMatch, span.Seen, error) {
	if len(traceIDs) == 0 {
		return nil, span.Seen{}, nil
	}
	if len(f.Attributes) > 0 {
		m := matching{index: x, filter: &f, traces: traceIDs, newest: make(map[string]int64)}
		return m.find(ctx, cold)
	}
	rows, seen, err := x.TraceRows(ctx, traceIDs, cold)
	if err != nil {
		return nil, seen, err
	}
	m := matching{newest: make(map[string]int64)}
	for i := range rows {
		if f.Match(&rows[i].Metadata) {
			m.note(rows[i].TraceID, rows[i].StartTime.UnixMicro())
		}
	}
	return m.matches(), seen, nil
}

// find looks for attributes.
func (m *matching) find(ctx context.Context, cold span.Cold) ([]span.TraceMatch, span.Seen, error) {
	var files []*candidate
	seen, err := m.index.answer(ctx, "find attributes", cold, func(ctx context.Context, s *snapshot) (err error) {
		files, err = s.mayMatch(ctx, m.filter, m.traces...)
		return err
	})
	if err == nil {
		err = m.run(ctx, files)
	}
	if err != nil {
		return nil, span.Seen{}, err
	}
	seen.Unread += m.unread
	return m.matches(), seen, nil
}

const matchRowsSQL = `
SELECT trace_id, epoch_us(max(start_time)) AS newest
FROM (%s)
GROUP BY trace_id
ORDER BY newest DESC, trace_id
LIMIT %s`

// matchRows is Matches by metadata alone.
func (x *Index) matchRows(ctx context.Context, f *span.Filter, limit int, cold span.Cold) (matches []span.TraceMatch, seen span.Seen, err error) {
	seen, err = x.answer(ctx, "find traces", cold, func(ctx context.Context, s *snapshot) error {
		matches = nil // it may be called again
		var c conditions
		c.choose(f)
		rows := "SELECT trace_id, start_time FROM span_metadata" + c.where()
		if pending, ok := s.source(len(c.args) + 1); ok {
			rows += "\nUNION ALL\nSELECT trace_id, start_time FROM (" + pending.sql + ")" + c.where()
			c.args = append(c.args, pending.args...)
		}
		most := "NULL"
		if limit > 0 {
			most = c.bind(limit)
		}
		return s.each(ctx, fmt.Sprintf(matchRowsSQL, rows, most), func(scan func(...any) error) error {
			var m span.TraceMatch
			var start int64
			err := scan(&m.TraceID, &start)
			m.Start = time.UnixMicro(start).UTC()
			matches = append(matches, m)
			return err
		}, c.args...)
	})
	return matches, seen, err
}

// candidate is a file that may have spans with the attributes.
type candidate struct {
	path string
	// id is the number of the file in the index, negative if it is pending.
	id int32
	// size and mtime are those of the file that was indexed.
	size, mtime int64
	// latest is when its last span starts, in microseconds.
	latest int64
	// rows are its rows, duplicates how many of them repeat others.
	rows, duplicates int64
	// filtered: the index knows its row groups. may says which of them may have such spans.
	filtered bool
	may      []bool
}

// filtersOfFiles is of how many files the filters are in memory at once.
const filtersOfFiles = 16

const (
	candidatesSQL = `
SELECT p.file_id, p.file_path, p.size_bytes, coalesce(epoch_us(p.mtime), 0), epoch_us(max(s.max_time)) AS latest,
       p.row_count, p.duplicate_count
FROM parquet_files p
JOIN file_services s USING (file_id)%s
GROUP BY ALL
ORDER BY latest DESC, file_id DESC`

	filtersSQL = `
SELECT file_id, attributes FROM row_groups WHERE file_id IN (SELECT unnest($1::INTEGER[])) ORDER BY file_id, row_group`
)

// filesOfSQL chooses files that have spans of traces.
const filesOfSQL = `p.file_id IN (WITH keys AS MATERIALIZED (SELECT ` + lookupKey + ` AS key FROM (SELECT unnest(%s::VARCHAR[]) AS trace_id))
              SELECT file_id FROM trace_lookup WHERE trace_id IN (SELECT key FROM keys)
              UNION ALL
              SELECT file_id FROM trace_lookup_tail WHERE trace_id IN (SELECT key FROM keys))`

// mayMatch are the files that may have spans that the filter chooses, of these traces if there are any, the latest first.
func (s *snapshot) mayMatch(ctx context.Context, f *span.Filter, traceIDs ...string) ([]*candidate, error) {
	files, err := s.candidateFiles(ctx, f, traceIDs...)
	if err != nil || len(f.Attributes) == 0 {
		return files, err
	}
	if err := s.askFilters(ctx, f, files); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(files, func(c *candidate) bool { return c.filtered && !slices.Contains(c.may, true) }), nil
}

// candidateFiles are the files that may have such spans by their times and services, the latest first.
func (s *snapshot) candidateFiles(ctx context.Context, f *span.Filter, traceIDs ...string) ([]*candidate, error) {
	var files []*candidate
	for _, it := range s.pending {
		files = append(files, &candidate{path: it.file.Path, id: it.fileID, latest: maxMicros})
	}
	var c conditions
	if f.ServiceName != "" {
		c.and("s.service_name = %s", f.ServiceName)
	}
	if !f.From.IsZero() {
		c.and("s.max_time >= %s", inMicros(f.From))
	}
	if !f.Until.IsZero() {
		c.and("s.min_time < %s", inMicros(f.Until))
	}
	if len(traceIDs) > 0 {
		c.and(filesOfSQL, traceIDs)
	}
	err := s.each(ctx, fmt.Sprintf(candidatesSQL, c.where()), func(scan func(...any) error) error {
		var file candidate
		err := scan(&file.id, &file.path, &file.size, &file.mtime, &file.latest, &file.rows, &file.duplicates)
		files = append(files, &file)
		return err
	}, c.args...)
	return files, err
}

// askFilters finds out which row groups of files may have the attributes.
func (s *snapshot) askFilters(ctx context.Context, f *span.Filter, files []*candidate) error {
	byID := make(map[int32]*candidate)
	var ids []int32
	for _, file := range files {
		if file.id >= 0 {
			byID[file.id], ids = file, append(ids, file.id)
		}
	}
	for some := range slices.Chunk(ids, filtersOfFiles) {
		err := s.each(ctx, filtersSQL, func(scan func(...any) error) error {
			var id int32
			var filter []byte
			if err := scan(&id, &filter); err != nil {
				return err
			}
			file := byID[id]
			file.filtered = true
			file.may = append(file.may, attribute.Open(filter).MayMatch(f.Attributes))
			return nil
		}, some)
		if err != nil {
			return err
		}
	}
	return nil
}

// mostAsked is of how many files MayHave looks at the filters: some 10 MB of them.
const mostAsked = 64

// MayHave counts the row groups that may have spans with the attributes of f, in its time. ok is false if it is not known, since there are
// many files, or some whose writer does not tell.
func (x *Index) MayHave(ctx context.Context, f span.Filter) (rowGroups int, ok bool, err error) {
	_, err = x.answer(ctx, "look at filters", span.Cold{}, func(ctx context.Context, s *snapshot) error {
		rowGroups, ok = 0, false // it may be called again
		files, err := s.candidateFiles(ctx, &f)
		if err != nil || len(files) > mostAsked {
			return err
		}
		if err := s.askFilters(ctx, &f, files); err != nil {
			return err
		}
		for _, file := range files {
			if !file.filtered {
				return nil
			}
			for _, may := range file.may {
				if may {
					rowGroups++
				}
			}
		}
		ok = true
		return nil
	})
	return rowGroups, ok, err
}

// maxMicros is later than every time.
const maxMicros = 1<<63 - 1

// matching looks through files for attributes.
type matching struct {
	index  *Index
	filter *span.Filter
	limit  int
	// traces are those that are looked at; nil: all.
	traces []string

	mu sync.Mutex
	// newest is when the newest chosen span of a trace starts, in microseconds.
	newest map[string]int64
	// unread are the pending files that could not be read.
	unread int64
}

// run looks through files, the latest first, until no other can have a trace that is among the newest.
func (m *matching) run(ctx context.Context, files []*candidate) error {
	err := m.index.reading(ctx, func(db *sql.DB) error { return m.runOn(ctx, db, files) })
	if err != nil {
		return fmt.Errorf("find attributes: %w", explain(ctx, err))
	}
	return nil
}

func (m *matching) runOn(ctx context.Context, db *sql.DB, files []*candidate) error {
	m.unread = 0 // it may be called again; traces that were found once stay found
	// One row group is read by one thread of DuckDB, the one that asks: two can be read at once even where DuckDB has one thread, for want
	// of memory; decoding is what takes the time.
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(max(m.index.opts.Threads, min(2, runtime.GOMAXPROCS(0))))
	for some := range slices.Chunk(files, shapesAtOnce) {
		if m.enough(some[0].latest) || groupCtx.Err() != nil {
			break
		}
		if err := m.start(groupCtx, db, group, some); err != nil {
			group.Go(func() error { return err })
			break
		}
	}
	return group.Wait()
}

// start reads some files, a portion at a time.
func (m *matching) start(ctx context.Context, db *sql.DB, group *errgroup.Group, some []*candidate) error {
	byPath, names := make(map[string]*candidate), make([]string, len(some))
	for i, file := range some {
		byPath[file.path], names[i] = file, file.path
	}
	files, err := m.index.open(ctx, db, names, func(path string, err error) error { return m.failed(ctx, byPath[path], err) })
	if err != nil {
		return err
	}
	for _, w := range files {
		file := byPath[w.item.file.Path]
		if m.enough(file.latest) {
			return nil
		}
		for _, p := range w.portions(file.chosenGroups(w), m.index.matchBytes()) {
			group.Go(func() error {
				if err := m.read(ctx, db, w, p); err != nil {
					return m.failed(ctx, file, err)
				}
				return nil
			})
		}
	}
	return nil
}

// failed passes over a file that is gone, with its spans, and tells of one that is not indexed yet as unread.
func (m *matching) failed(ctx context.Context, file *candidate, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case refusing(err):
		return err
	case missing(err):
		return nil
	case file.id < 0:
		m.mu.Lock()
		defer m.mu.Unlock()
		m.unread++
		return nil
	}
	return err
}

// changed tells whether a file is not the one that was indexed.
func (c *candidate) changed(w *wholeFile) bool {
	return w.item.file.Size != c.size || w.item.file.ModTime.UnixMicro() != c.mtime
}

// chosenGroups are the row groups that are to be read. What the index knows of them counts for the file that was indexed.
func (c *candidate) chosenGroups(w *wholeFile) func(group int) bool {
	if !c.filtered || len(c.may) != len(w.groups) || c.changed(w) {
		return func(int) bool { return true }
	}
	return func(group int) bool { return c.may[group] }
}

const attributesSQL = `SELECT trace_id, epoch_us(start_time), attributes, resource_attributes FROM (%s)%s`

// read looks through a portion of a file. What is read in SQL beside the metadata is only what saves the reading of the rest.
func (m *matching) read(ctx context.Context, db *sql.DB, w *wholeFile, p portion) error {
	c := w.chosen(m.filter, p)
	if len(m.traces) > 0 {
		c.oneOf("trace_id", m.traces)
	}
	query := fmt.Sprintf(attributesSQL, w.layout.selectSQL(1, w.text("attributes"), w.text("resource_attributes")), c.where())
	rows, err := w.query(ctx, db, query, c.args)
	if err != nil {
		return w.explain(ctx, err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var trace string
		var start int64
		var own, resource sql.RawBytes
		if err := rows.Scan(&trace, &start, &own, &resource); err != nil {
			return w.explain(ctx, err)
		}
		if m.isNewer(trace, start) && attribute.Matches(m.filter.Attributes, string(own), string(resource)) {
			m.note(trace, start)
		}
	}
	return w.explain(ctx, rows.Err())
}

// chosen are the spans in a portion of the file that a filter may choose: its attributes are only looked at as far as SQL can tell.
func (w *wholeFile) chosen(f *span.Filter, p portion) conditions {
	c := w.conditions()
	c.choose(f)
	c.within(p)
	for _, clause := range f.Attributes {
		c.mayHold(clause)
	}
	return c
}

// mayHold adds what must be true if a clause holds: JSON has the texts as they are, or written with escapes.
func (c *conditions) mayHold(clause span.AttributeClause) {
	var ways []string
	escape := escapeOfASCII
	for _, condition := range clause {
		if !utf8.ValidString(condition.Key) || condition.Value != nil && !utf8.ValidString(*condition.Value) {
			return // DuckDB does not take it
		}
		has := []string{c.bind(`"` + condition.Key + `"`)}
		escape = escape[:min(len(escape), len(escapeOf(condition.Key)))] // each is the beginning of the next
		if condition.Value != nil {
			// A number may be written in other ways.
			if _, ok := attribute.Number(*condition.Value); !ok {
				has = append(has, c.bind(*condition.Value))
			}
			escape = escape[:min(len(escape), len(escapeOf(*condition.Value)))]
		}
		for _, column := range []string{"attributes", "resource_attributes"} {
			var all []string
			for _, text := range has {
				all = append(all, "contains("+column+", "+text+")")
			}
			ways = append(ways, strings.Join(all, " AND "))
		}
	}
	escaped := c.bind(escape)
	c.texts = append(c.texts, "("+strings.Join(ways, " OR ")+" OR contains(attributes, "+escaped+") OR contains(resource_attributes, "+escaped+"))")
}

// How JSON may write a character otherwise (RFC 8259, section 7): by its number, below 128 with zeros, and a few by an escape of their own.
const (
	escapeOfASCII = `\u00`
	escapeOfAny   = `\u`
	escapeOfSome  = `\`
)

// escapeOf is what is in each way of writing a text in JSON but the plain one.
func escapeOf(text string) string {
	escape := escapeOfASCII
	for _, r := range text {
		switch {
		case r < ' ', r == '"', r == '\\', r == '/':
			return escapeOfSome
		case r >= utf8.RuneSelf:
			escape = escapeOfAny
		}
	}
	return escape
}

// isNewer tells whether no span of the trace was chosen that starts as late.
func (m *matching) isNewer(trace string, start int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	newest, ok := m.newest[trace]
	return !ok || start > newest
}

func (m *matching) note(trace string, start int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if newest, ok := m.newest[trace]; !ok || start > newest {
		m.newest[trace] = start
	}
}

// enough tells whether a file whose last span starts at latest cannot have any of the newest traces.
func (m *matching) enough(latest int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.limit <= 0 || len(m.newest) < m.limit {
		return false
	}
	starts := slices.Sorted(maps.Values(m.newest))
	last := starts[len(starts)-m.limit]
	if len(starts) > 2*m.limit {
		maps.DeleteFunc(m.newest, func(_ string, start int64) bool { return start < last })
	}
	return latest < last
}

// matches are the newest traces.
func (m *matching) matches() []span.TraceMatch {
	all := make([]span.TraceMatch, 0, len(m.newest))
	for trace, start := range m.newest {
		all = append(all, span.TraceMatch{TraceID: trace, Start: time.UnixMicro(start).UTC()})
	}
	slices.SortFunc(all, func(a, b span.TraceMatch) int {
		return cmp.Or(b.Start.Compare(a.Start), strings.Compare(a.TraceID, b.TraceID))
	})
	if m.limit > 0 && len(all) > m.limit {
		all = all[:m.limit]
	}
	return all
}
