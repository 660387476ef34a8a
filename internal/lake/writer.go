// Package lake is the folder tree of Parquet span files: it names, writes, publishes and finds them.
package lake

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/schema"

	"github.com/spanlake/spanlake/internal/attribute"
	"github.com/spanlake/spanlake/internal/span"
)

const (
	// RowGroupRows is how many rows a row group has when there are more to come: it ends with the first trace that ends
	// from there on, so that one trace is read from one row group, but at maxRowGroupRows at the latest.
	RowGroupRows    = 10_000
	maxRowGroupRows = 12_000
	// maxRowGroupBytes of text end a row group early: finding one trace means to decompress its row group.
	maxRowGroupBytes = 32 << 20
	// pageBytes is the uncompressed size at which a page ends, and so about what a reader must hold. Pages that fit into the
	// cache of a processor are written 10 % faster than those of 1 MiB, and compress 1 % worse.
	pageBytes = 256 << 10
)

// maxFilterBytes bounds what the footer has of attributes. A file with more, which has some 300,000 spans or more, has no filters: readers
// bound footers, and take them into memory whole.
const maxFilterBytes = 768 << 10

var (
	// ErrNoSpans says that there was nothing to write.
	ErrNoSpans = errors.New("no spans to write")
	// ErrUnsorted says that spans did not come in the order of trace id, then start time.
	ErrUnsorted = errors.New("spans are not in the order of trace id, then start time")
)

// maxSeconds from 1970 bound the times of a lake in both directions. The last, incomplete second of 64-bit nanoseconds stays
// free: DuckDB takes the outermost numbers for infinity and rejects a file that holds one.
const maxSeconds = math.MaxInt64 / int64(time.Second)

// TimeRangeError says that a span has a time that a lake cannot hold: 64 bits of nanoseconds go from 1677 to 2262.
type TimeRangeError struct {
	TraceID, SpanID string
	// Column is start_time or end_time.
	Column string
	Time   time.Time
}

func (e *TimeRangeError) Error() string {
	return fmt.Sprintf("%s %s of span %s in trace %s is not between the years 1677 and 2262",
		e.Column, e.Time.UTC().Format(time.RFC3339Nano), e.SpanID, e.TraceID)
}

// Written is a file that was written and published.
type Written struct {
	// Path is relative to the root of the lake, with '/'.
	Path string
	Rows int64
	// Bytes is the size of the file.
	Bytes int64
	// Repaired counts the strings that were not UTF-8, in which U+FFFD now stands for each run of bad bytes.
	Repaired int64
}

// Writer writes files into one lake and reuses its buffers from one file to the next. It serves one goroutine; any number of
// Writers may write into the same lake.
type Writer struct {
	root       string
	columns    []column
	schema     *schema.GroupNode
	properties *parquet.WriterProperties
	// durableDir is the folder whose chain up to the root this Writer has made durable.
	durableDir string

	sink     *bufio.Writer
	rows     []*span.Span
	values   []parquet.ByteArray
	levels   []int16
	int32s   []int32
	int64s   []int64
	repaired int64

	attributes attribute.Builder
	// filters are those of the row groups that are written, filterBytes how many bytes they are.
	filters     []attribute.RowGroup
	filterBytes int
}

// NewWriter returns a Writer for the lake at root, a folder that need not exist yet.
func NewWriter(root string) (*Writer, error) {
	if errCodec != nil {
		return nil, errCodec
	}
	columns := spanColumns()
	node, err := parquetSchema(columns)
	if err != nil {
		return nil, fmt.Errorf("declare the columns of a span file: %w", err)
	}
	return &Writer{
		root: root, columns: columns, schema: node, properties: writerProperties(columns),
		sink: bufio.NewWriterSize(nil, 256<<10),
	}, nil
}

// Write publishes one file with the spans, in whatever order they come, at the path that Path gave. A name that exists, or that
// another Writer is at, is an error (fs.ErrExist) and nothing is overwritten; after any error no file is there.
func (w *Writer) Write(path string, spans []span.Span) (Written, error) {
	w.sort(spans)
	return w.publishRows(path, func(yield func([]*span.Span, error) bool) {
		yield(w.rows, nil)
	})
}

// WriteSorted publishes one file like Write, from parts that come one after the other in the order of trace id, then start
// time, so that only one part is in memory. Each part begins a new row group: RowGroupRows is a good size for it. A part is
// not used after the next one is asked for. An error that the sequence yields ends the writing and is returned.
func (w *Writer) WriteSorted(path string, parts iter.Seq2[[]span.Span, error]) (Written, error) {
	return w.publishRows(path, func(yield func([]*span.Span, error) bool) {
		for part, err := range parts {
			w.rows = pointers(w.rows[:0], part)
			if !yield(w.rows, err) {
				return
			}
		}
	})
}

// sort fills the rows with the spans in the order of a file.
func (w *Writer) sort(spans []span.Span) {
	type key struct {
		// prefix is the beginning of the trace id, by which almost all traces differ: comparing numbers that lie beside each other
		// takes a third of the time that comparing the ids of spans somewhere in memory does.
		prefix uint64
		start  int64
		span   *span.Span
	}
	keys := make([]key, len(spans))
	for i := range spans {
		s := &spans[i]
		var prefix [8]byte
		copy(prefix[:], s.TraceID)
		keys[i] = key{binary.BigEndian.Uint64(prefix[:]), s.StartTime.UnixNano(), s}
	}
	slices.SortFunc(keys, func(a, b key) int {
		// Step by step, for cmp.Or would compare everything each time.
		if c := cmp.Compare(a.prefix, b.prefix); c != 0 {
			return c
		}
		if c := strings.Compare(a.span.TraceID, b.span.TraceID); c != 0 {
			return c
		}
		if c := cmp.Compare(a.start, b.start); c != 0 {
			return c
		}
		return strings.Compare(a.span.SpanID, b.span.SpanID)
	})
	w.rows = w.rows[:0]
	for _, k := range keys {
		w.rows = append(w.rows, k.span)
	}
}

func pointers(to []*span.Span, spans []span.Span) []*span.Span {
	for i := range spans {
		to = append(to, &spans[i])
	}
	return to
}

func (w *Writer) publishRows(path string, parts iter.Seq2[[]*span.Span, error]) (Written, error) {
	defer w.forget()
	w.repaired = 0
	var rows int64
	size, err := w.publish(path, func(f io.Writer) (err error) {
		w.sink.Reset(f)
		if rows, err = w.encode(w.sink, parts); err != nil {
			return err
		}
		return w.sink.Flush()
	})
	if err != nil {
		return Written{}, fmt.Errorf("write span file %s: %w", path, err)
	}
	return Written{Path: path, Rows: rows, Bytes: size, Repaired: w.repaired}, nil
}

// forget lets go of the spans and their texts.
func (w *Writer) forget() {
	clear(w.rows[:cap(w.rows)])
	clear(w.values[:cap(w.values)])
}

// encode writes a whole Parquet file to sink and returns its rows.
func (w *Writer) encode(sink io.Writer, parts iter.Seq2[[]*span.Span, error]) (rows int64, err error) {
	out, err := file.NewParquetWriterWithError(sink, w.schema, file.WithWriterProps(w.properties))
	if err != nil {
		return 0, err
	}
	w.filters, w.filterBytes = w.filters[:0], 0
	lastTrace, lastStart := "", int64(math.MinInt64)
	for part, err := range parts {
		if err != nil {
			return 0, err
		}
		for _, s := range part {
			if err := checkTimes(s); err != nil {
				return 0, err
			}
			start := s.StartTime.UnixNano()
			if s.TraceID < lastTrace || s.TraceID == lastTrace && start < lastStart {
				return 0, fmt.Errorf("%w: span %s in trace %s", ErrUnsorted, s.SpanID, s.TraceID)
			}
			lastTrace, lastStart = s.TraceID, start
		}
		// Copied, because the memory of a part is not ours once the next one is asked for.
		lastTrace = strings.Clone(lastTrace)
		rows += int64(len(part))
		for len(part) > 0 {
			n := rowGroupEnd(part)
			if err := w.writeRowGroup(out, part[:n]); err != nil {
				return 0, err
			}
			part = part[n:]
		}
	}
	if rows == 0 {
		return 0, ErrNoSpans
	}
	if w.filterBytes <= maxFilterBytes {
		if err := out.AppendKeyValueMetadata(attribute.MetadataKey, attribute.Encode(w.filters)); err != nil {
			return 0, err
		}
	}
	return rows, out.Close()
}

func checkTimes(s *span.Span) error {
	if !storable(s.StartTime) {
		return &TimeRangeError{TraceID: s.TraceID, SpanID: s.SpanID, Column: "start_time", Time: s.StartTime}
	}
	if !storable(s.EndTime) {
		return &TimeRangeError{TraceID: s.TraceID, SpanID: s.SpanID, Column: "end_time", Time: s.EndTime}
	}
	return nil
}

func storable(t time.Time) bool { return -maxSeconds < t.Unix() && t.Unix() < maxSeconds }

// rowGroupEnd is how many of the sorted rows go into the next row group.
func rowGroupEnd(rows []*span.Span) int {
	size := 0
	for i, s := range rows {
		if i >= RowGroupRows && len(rows) > maxRowGroupRows && s.TraceID != rows[i-1].TraceID {
			return i
		}
		if i == maxRowGroupRows {
			return RowGroupRows
		}
		size += len(s.Attributes) + len(s.Events) + len(s.Links) + len(s.OTLP) + len(s.StatusMessage)
		// What repeats is stored once.
		if i == 0 || s.ResourceAttributes != rows[i-1].ResourceAttributes {
			size += len(s.ResourceAttributes)
		}
		if i == 0 || s.ScopeAttributes != rows[i-1].ScopeAttributes {
			size += len(s.ScopeAttributes)
		}
		if size > maxRowGroupBytes && i > 0 {
			return i
		}
	}
	return len(rows)
}

func (w *Writer) writeRowGroup(out *file.Writer, rows []*span.Span) error {
	group, err := out.AppendRowGroupChecked()
	if err != nil {
		return err
	}
	for i := range w.columns {
		c := &w.columns[i]
		chunk, err := group.NextColumn()
		if err != nil {
			return err
		}
		switch chunk := chunk.(type) {
		case *file.ByteArrayColumnChunkWriter:
			err = w.writeTexts(chunk, c, rows)
		case *file.Int32ColumnChunkWriter:
			w.int32s = numbers(w.int32s[:0], c, rows)
			_, err = chunk.WriteBatch(w.int32s, nil, nil)
		case *file.Int64ColumnChunkWriter:
			w.int64s = numbers(w.int64s[:0], c, rows)
			var levels []int16
			if c.nullable {
				w.int64s, w.levels = nonZero(w.int64s, w.levels[:0])
				levels = w.levels
			}
			_, err = chunk.WriteBatch(w.int64s, levels, nil)
		default:
			err = fmt.Errorf("no writer for %T", chunk)
		}
		if err != nil {
			return fmt.Errorf("column %s: %w", c.name, err)
		}
		// Closed here, for the buffers are about to be reused for the next column.
		if err := chunk.Close(); err != nil {
			return fmt.Errorf("column %s: %w", c.name, err)
		}
	}
	w.addFilter(rows)
	return group.Close()
}

// addFilter notes which attributes the spans of a row group have.
func (w *Writer) addFilter(rows []*span.Span) {
	if w.filterBytes > maxFilterBytes {
		return // the file will have none
	}
	for _, s := range rows {
		w.attributes.Add(s.Attributes, s.ResourceAttributes)
	}
	g := attribute.RowGroup{FirstTraceID: strings.Clone(rows[0].TraceID), LastTraceID: strings.Clone(rows[len(rows)-1].TraceID), Filter: w.attributes.Filter()}
	w.filters = append(w.filters, g)
	w.filterBytes += len(g.Filter)
}

func numbers[T int32 | int64](to []T, c *column, rows []*span.Span) []T {
	for _, s := range rows {
		to = append(to, T(c.number(s)))
	}
	return to
}

// nonZero leaves the numbers that are not 0, and says with a level of 1 which these are.
func nonZero(numbers []int64, levels []int16) (left []int64, _ []int16) {
	left = numbers[:0]
	for _, n := range numbers {
		if n == 0 {
			levels = append(levels, 0)
			continue
		}
		left, levels = append(left, n), append(levels, 1)
	}
	return left, levels
}

// writeTexts writes a string column in batches of about a page, so that long texts neither make pages that a reader cannot hold
// nor dictionaries that fill the memory here.
func (w *Writer) writeTexts(chunk *file.ByteArrayColumnChunkWriter, c *column, rows []*span.Span) error {
	w.values, w.levels = w.values[:0], w.levels[:0]
	size, last := 0, ""
	for i, s := range rows {
		text := c.text(s)
		if text == "" {
			text = c.empty
		}
		if c.nullable && text == "" {
			w.levels = append(w.levels, 0)
		} else {
			// Scopes, resources and names repeat from row to row, and comparing is faster than looking at each character.
			repeats := text == last
			if !repeats && !c.binary && !utf8.ValidString(text) {
				text = strings.ToValidUTF8(text, "\uFFFD")
				w.repaired++
			} else {
				last = text
			}
			if !repeats || !c.dictionary {
				size += len(text)
			}
			w.values, w.levels = append(w.values, bytesOf(text)), append(w.levels, 1)
		}
		if size < pageBytes && i < len(rows)-1 {
			continue
		}
		// A column that is not nullable has no levels, which must then be absent.
		levels := w.levels
		if !c.nullable {
			levels = nil
		}
		if _, err := chunk.WriteBatch(w.values, levels, nil); err != nil {
			return err
		}
		w.values, w.levels, size = w.values[:0], w.levels[:0], 0
	}
	return nil
}

// bytesOf is the text itself as the Parquet writer takes it, without a copy. It only reads them: pages and statistics have
// copies of their own.
func bytesOf(text string) parquet.ByteArray {
	return unsafe.Slice(unsafe.StringData(text), len(text)) //nolint:gosec // as above
}
