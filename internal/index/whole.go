package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"slices"
	"sort"
	"strings"

	"github.com/spanlake/spanlake/internal/span"
)

const (
	// maxDirectBytes is how large row groups, uncompressed, may be that one statement reads spans from: a result is in memory as a whole.
	maxDirectBytes = 48 << 20
	// listedValues is how many values stand in a statement one by one. More are joined with.
	listedValues = 50
	// apart is how many traces one statement looks for one by one. An equality lets DuckDB skip pages of a row group, which a list of values
	// does not: that is worth it as long as there are not more than tracesInGroup of them in a row group.
	apart         = 8
	tracesInGroup = 2
)

// Whole reads the whole spans that refs stand for, repeats included, until they have maxBytes; then truncated is true. An error
// that wraps fs.ErrNotExist says that a file is gone, and spans are those of the other files; other errors of files are *FileError.
func (x *Index) Whole(ctx context.Context, refs []span.Ref, maxBytes int64) (spans []span.Span, truncated bool, err error) {
	var paths []string
	wanted := make(map[string]*wantedSpans)
	for _, ref := range refs {
		want := wanted[ref.File]
		if want == nil {
			want = &wantedSpans{ids: make(map[spanKey]bool)}
			wanted[ref.File] = want
			paths = append(paths, ref.File)
		}
		want.ids[spanKey{ref.TraceID, ref.SpanID}] = true
		want.traces, want.spans = append(want.traces, ref.TraceID), append(want.spans, ref.SpanID)
	}
	return x.whole(ctx, paths, func(path string) *wantedSpans { return wanted[path] }, maxBytes)
}

// WholeTrace reads the whole spans of a trace from files like Whole.
func (x *Index) WholeTrace(ctx context.Context, traceID string, files []string, maxBytes int64) (spans []span.Span, truncated bool, err error) {
	return x.whole(ctx, files, func(string) *wantedSpans { return &wantedSpans{traces: []string{traceID}} }, maxBytes)
}

type spanKey struct{ trace, span string }

// wantedSpans are wanted of one file: those of traces or, if there are ids, these of them.
type wantedSpans struct {
	traces, spans []string
	ids           map[spanKey]bool
}

func (x *Index) whole(ctx context.Context, paths []string, wanted func(path string) *wantedSpans, maxBytes int64) ([]span.Span, bool, error) {
	if len(paths) == 0 {
		return nil, false, nil
	}
	var r wholeReader
	err := x.reading(ctx, func(db *sql.DB) error {
		r = wholeReader{db: db, left: maxBytes}
		files, err := x.open(ctx, db, paths, r.missing)
		if err != nil {
			return err
		}
		for _, file := range files {
			err := r.file(ctx, file, wanted(file.item.file.Path))
			if errors.Is(err, errFull) {
				return err
			}
			if err != nil {
				err = r.missing(file.item.file.Path, err)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, errFull) {
		return nil, false, fmt.Errorf("read whole spans: %w", err)
	}
	return r.spans, err != nil, r.gone
}

// directBytes is maxDirectBytes, or less if DuckDB may not have as much.
func (x *Index) directBytes() int64 { return min(maxDirectBytes, x.opts.Memory/2) }

// errFull ends reading.
var errFull = errors.New("the answer is as large as it may be")

// wholeReader collects whole spans.
type wholeReader struct {
	db    *sql.DB
	spans []span.Span
	// left is how many bytes of text may still come.
	left int64
	// gone is the first error of a file that is not there.
	gone error
}

// missing notes a file that is gone, and goes on with the others.
func (r *wholeReader) missing(_ string, err error) error {
	if !missing(err) {
		return err
	}
	if r.gone == nil {
		r.gone = fmt.Errorf("read whole spans: %w", err)
	}
	return nil
}

// file reads what is wanted of a file, so that no result is too large to be in memory.
func (r *wholeReader) file(ctx context.Context, w *wholeFile, want *wantedSpans) error {
	traces := slices.Compact(slices.Sorted(slices.Values(want.traces)))
	groups, bytes := w.touched(traces)
	switch {
	case bytes <= w.index.directBytes() && len(traces) <= groups*tracesInGroup:
		for some := range slices.Chunk(traces, apart) {
			if err := r.apart(ctx, w, some, want); err != nil {
				return err
			}
		}
		return nil
	case bytes <= w.index.directBytes():
		return r.read(ctx, w, want, w.allOf(traces, want))
	case len(traces) > 1 && w.sorted():
		for len(traces) > 0 {
			n := w.fitting(traces)
			some := &wantedSpans{traces: traces[:n], spans: want.spans, ids: want.ids}
			if err := r.file(ctx, w, some); err != nil {
				return err
			}
			traces = traces[n:]
		}
		return nil
	}
	return r.measured(ctx, w, want)
}

// touched are the row groups that may have spans of the traces, which are sorted: how many there are and their size.
func (w *wholeFile) touched(traces []string) (groups int, bytes int64) {
	for i := range w.groups {
		g := &w.groups[i]
		at := sort.SearchStrings(traces, g.first)
		if !g.bounded || at < len(traces) && g.mayHave(traces[at]) {
			groups, bytes = groups+1, bytes+g.bytes
		}
	}
	return groups, bytes
}

// sorted tells whether the row groups follow each other in the order of trace ids.
func (w *wholeFile) sorted() bool {
	for i := range w.groups {
		if !w.groups[i].bounded || i > 0 && w.groups[i].first < w.groups[i-1].last {
			return false
		}
	}
	return true
}

// fitting is how many of the traces, from the first one on, are in row groups that one statement may read; at least one.
func (w *wholeFile) fitting(traces []string) int {
	return max(1, sort.Search(len(traces), func(n int) bool {
		_, bytes := w.touched(traces[:n+1])
		return bytes > w.index.directBytes()
	}))
}

// oneOf adds that a column has one of some values.
func (c *conditions) oneOf(column string, values []string) {
	values = slices.Compact(slices.Sorted(slices.Values(values)))
	switch {
	case len(values) == 1:
		c.and(column+" = %s", values[0])
	case len(values) <= listedValues:
		list := make([]string, len(values))
		for i, value := range values {
			list[i] = c.bind(value)
		}
		c.texts = append(c.texts, column+" IN ("+strings.Join(list, ", ")+")")
	default:
		c.and(column+" IN (SELECT unnest(%s::VARCHAR[]))", values)
	}
}

// allOf chooses spans of all the traces at once.
func (w *wholeFile) allOf(traces []string, want *wantedSpans) conditions {
	c := w.conditions()
	c.oneOf("trace_id", traces)
	if want.ids != nil {
		c.oneOf("span_id", want.spans)
	}
	return c
}

// apart reads the spans of traces, each chosen by a condition of its own.
func (r *wholeReader) apart(ctx context.Context, w *wholeFile, traces []string, want *wantedSpans) error {
	c := w.conditions()
	var selects []string
	for _, trace := range traces {
		c.texts = nil
		c.oneOf("trace_id", []string{trace})
		if want.ids != nil {
			var ids []string
			for key := range want.ids {
				if key.trace == trace {
					ids = append(ids, key.span)
				}
			}
			c.oneOf("span_id", ids)
		}
		selects = append(selects, w.wholeSQL(c.where()))
	}
	return w.read(ctx, r.db, strings.Join(selects, "\nUNION ALL\n"), c.args, r.taking(want))
}

func (r *wholeReader) read(ctx context.Context, w *wholeFile, want *wantedSpans, c conditions) error {
	return w.read(ctx, r.db, w.wholeSQL(c.where()), c.args, r.taking(want))
}

// taking collects wanted spans until there are enough.
func (r *wholeReader) taking(want *wantedSpans) func(*wholeScanner) error {
	return func(scanned *wholeScanner) error {
		s := &scanned.s
		if want.ids != nil && !want.ids[spanKey{s.TraceID, s.SpanID}] {
			return nil
		}
		if r.left -= scanned.bytes(); r.left < 0 {
			return errFull
		}
		r.spans = append(r.spans, *s)
		return nil
	}
}

// measured reads spans from large row groups: first how large each span is, then those for which there is room.
func (r *wholeReader) measured(ctx context.Context, w *wholeFile, want *wantedSpans) error {
	c := w.allOf(want.traces, want)
	if w.layout.shadowed {
		// Its rows cannot be told apart: it is read as it is, which is bounded by how few files have such a column.
		return r.read(ctx, w, want, c)
	}
	numbers, full, err := w.rowsWithin(ctx, r.db, c, r.left)
	if err != nil {
		return err
	}
	if len(numbers) > 0 {
		some := w.conditions()
		some.and("file_row_number BETWEEN %s AND %s", slices.Min(numbers), slices.Max(numbers))
		some.and("file_row_number IN (SELECT unnest(%s::BIGINT[]))", numbers)
		if err := r.read(ctx, w, want, some); err != nil {
			return err
		}
	}
	if full {
		return errFull
	}
	return nil
}

const rowsWithinSQL = `SELECT file_row_number, bytes FROM (%s)%s`

// rowsWithin are the numbers of the rows that a condition chooses, until they have as many bytes as there is room for; full says that
// there are more.
func (w *wholeFile) rowsWithin(ctx context.Context, db *sql.DB, c conditions, room int64) (numbers []int64, full bool, err error) {
	var lengths []string
	for _, column := range wholeColumns() {
		if column.text != nil {
			lengths = append(lengths, column.length(w.shape))
		}
	}
	query := fmt.Sprintf(rowsWithinSQL, w.layout.selectSQL(1, strings.Join(lengths, " + ")+" AS bytes"), c.where())
	rows, err := w.query(ctx, db, query, c.args)
	if err != nil {
		return nil, false, w.explain(ctx, err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var number, bytes int64
		if err := rows.Scan(&number, &bytes); err != nil {
			return nil, false, w.explain(ctx, err)
		}
		if room -= bytes; room < 0 {
			return numbers, true, nil
		}
		numbers = append(numbers, number)
	}
	return numbers, false, w.explain(ctx, rows.Err())
}
