package lake

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

func TestSpansComeBackAsTheyWentIn(t *testing.T) {
	// Nanoseconds that no microsecond or float64 holds.
	start := time.Unix(1_795_461_163, 123_456_789).UTC()
	want := []span.Span{
		{
			TraceID: "0a", SpanID: "01", ServiceName: "tool runner/é", Name: "a root", Kind: span.KindServer,
			StartTime: start, EndTime: start.Add(1), StatusCode: span.StatusOK,
			Attributes: `{"input.value":"\"quoted\" 東京 🚀"}`, Events: `[{"name":"exception"}]`, ResourceAttributes: `{"service.name":"é"}`,
		},
		{
			TraceID: "0a", SpanID: "02", ParentSpanID: "01", ServiceName: "chat-api", Name: "an error", Kind: span.KindClient,
			StartTime: start.Add(1), EndTime: start.Add(time.Hour), StatusCode: span.StatusError, StatusMessage: "rate limited",
			Attributes: `{}`, Events: `[]`, ResourceAttributes: `{}`,
		},
		{
			TraceID: "0b", SpanID: "03", ServiceName: "", Name: "", Kind: 17, StatusCode: -3,
			StartTime: time.Unix(0, -1).UTC(), EndTime: time.Unix(-5, 7).UTC(), // ends before it begins
			Attributes: `{}`, Events: `[]`, ResourceAttributes: `{}`,
		},
		{
			TraceID: "0c", SpanID: "04", StartTime: time.Unix(-maxSeconds+1, 1).UTC(), EndTime: time.Unix(maxSeconds-1, 999_999_999).UTC(),
			Attributes: `{}`, Events: `[]`, ResourceAttributes: `{}`,
		},
	}
	root := t.TempDir()
	got, err := newWriter(t, root).Write(Path("chat-api", start, 1), want)
	if err != nil {
		t.Fatal(err)
	}
	if got.Rows != 4 || got.Repaired != 0 || got.Bytes != sizeOf(t, root, got.Path) {
		t.Errorf("Write() = %+v", got)
	}
	table := readTable(t, root, got.Path)
	if spans := testkit.ReadSpans(t, filepath.Join(root, got.Path)); !slices.Equal(spans, want) {
		t.Errorf("got  %+v\nwant %+v", spans, want)
	}

	durations := columnOf[*array.Int64](t, table, "duration_ns").Int64Values()
	if want := []int64{1, int64(time.Hour) - 1, -4_999_999_992, math.MaxInt64}; !slices.Equal(durations, want) {
		t.Errorf("duration_ns = %d, want %d", durations, want)
	}
	for column, want := range map[string]string{
		"parent_span_id": "[(null) \"01\" (null) (null)]", "status_message": "[(null) \"rate limited\" (null) (null)]",
	} {
		if got := columnOf[arrow.Array](t, table, column).String(); got != want {
			t.Errorf("%s = %s, want %s", column, got, want)
		}
	}
}

func TestSchemaIsTheContractOfTheLake(t *testing.T) {
	root := t.TempDir()
	path := write(t, root, makeSpans(1, 1))
	utcNanos := &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "UTC"}
	want := []arrow.Field{
		{Name: "span_id", Type: arrow.BinaryTypes.String},
		{Name: "trace_id", Type: arrow.BinaryTypes.String},
		{Name: "parent_span_id", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "service_name", Type: arrow.BinaryTypes.String},
		{Name: "name", Type: arrow.BinaryTypes.String},
		{Name: "span_kind", Type: arrow.PrimitiveTypes.Int8},
		{Name: "start_time", Type: utcNanos},
		{Name: "end_time", Type: utcNanos},
		{Name: "duration_ns", Type: arrow.PrimitiveTypes.Int64},
		{Name: "status_code", Type: arrow.PrimitiveTypes.Int8},
		{Name: "status_message", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "attributes", Type: arrow.BinaryTypes.String},
		{Name: "events", Type: arrow.BinaryTypes.String},
		{Name: "resource_attributes", Type: arrow.BinaryTypes.String},
		{Name: "links", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "trace_state", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "trace_flags", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "dropped_attributes_count", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "dropped_events_count", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "dropped_links_count", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "scope_name", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "scope_version", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "scope_attributes", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "scope_schema_url", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "scope_dropped_attributes_count", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "resource_schema_url", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "resource_dropped_attributes_count", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "otlp", Type: arrow.BinaryTypes.Binary, Nullable: true},
		{Name: "start_time_remainder", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	}
	got := readTable(t, root, path).Schema().Fields()
	if !slices.EqualFunc(got, want, func(a, b arrow.Field) bool {
		return a.Name == b.Name && arrow.TypeEqual(a.Type, b.Type) && a.Nullable == b.Nullable
	}) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestRowsAreSortedIntoRowGroupsOfWholeTraces(t *testing.T) {
	const traces, each = 5_000, 7
	spans := makeSpans(traces, each)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(spans), func(i, j int) { spans[i], spans[j] = spans[j], spans[i] })
	root := t.TempDir()
	path := write(t, root, spans)

	got := testkit.ReadSpans(t, filepath.Join(root, path))
	if len(got) != traces*each {
		t.Fatalf("%d rows, want %d", len(got), traces*each)
	}
	if !slices.IsSortedFunc(got, func(a, b span.Span) int {
		return cmp.Or(strings.Compare(a.TraceID, b.TraceID), a.StartTime.Compare(b.StartTime))
	}) {
		t.Error("rows are not in the order of trace id, then start time")
	}
	from := 0
	for i, group := range rowGroups(t, root, path) {
		rows := int(group.NumRows())
		if last := from+rows == len(got); rows > maxRowGroupRows || rows < RowGroupRows && !last {
			t.Errorf("row group %d has %d rows", i, rows)
		}
		if from > 0 && got[from].TraceID == got[from-1].TraceID {
			t.Errorf("trace %s is in the row groups %d and %d", got[from].TraceID, i-1, i)
		}
		from += rows
	}
}

func TestReadersCanSkipRowGroups(t *testing.T) {
	root := t.TempDir()
	path := write(t, root, makeSpans(5_000, 5))
	var last string
	for i, group := range rowGroups(t, root, path) {
		for c := range group.NumColumns() {
			chunk, err := group.ColumnChunk(c)
			if err != nil {
				t.Fatal(err)
			}
			if chunk.Compression() != compress.Codecs.Zstd {
				t.Errorf("column %s is compressed with %s", chunk.PathInSchema(), chunk.Compression())
			}
			if chunk.PathInSchema().String() != "trace_id" {
				continue
			}
			statistics, err := chunk.Statistics()
			if err != nil {
				t.Fatal(err)
			}
			ids := statistics.(*metadata.ByteArrayStatistics)
			if first := string(ids.Min()); !ids.HasMinMax() || first <= last {
				t.Errorf("row group %d begins with trace %q, the one before ends with %q", i, first, last)
			}
			last = string(ids.Max())
		}
		if sorting := group.SortingColumns(); len(sorting) != 2 || sorting[0].ColumnIdx != 1 || sorting[1].ColumnIdx != 6 {
			t.Errorf("sorting columns = %v, want trace_id (1) and start_time (6)", sorting)
		}
	}
}

func TestRowGroupEnd(t *testing.T) {
	ofTrace := func(trace string, count, bytes int) []*span.Span {
		return slices.Repeat([]*span.Span{{TraceID: trace, Attributes: strings.Repeat("x", bytes)}}, count)
	}
	large := strings.Repeat("x", 2<<20-1<<10)
	for name, tc := range map[string]struct {
		rows []*span.Span
		want int
	}{
		"few rows":                              {ofTrace("a", 3, 0), 3},
		"a small rest is taken along":           {slices.Concat(ofTrace("a", 10_000, 0), ofTrace("b", 2_000, 0)), 12_000},
		"a trace that begins later":             {slices.Concat(ofTrace("a", 9_990, 0), ofTrace("b", 500, 0), ofTrace("c", 9_000, 0)), 10_490},
		"a trace that ends exactly there":       {slices.Concat(ofTrace("a", 10_000, 0), ofTrace("b", 9_000, 0)), 10_000},
		"a trace too large for one row group":   {ofTrace("a", 30_000, 0), 10_000},
		"large texts make smaller row groups":   {ofTrace("a", 100, 1<<20), 32},
		"a text larger than the bound is alone": {ofTrace("a", 3, 33<<20), 1},
		"a large resource counts once":          {slices.Repeat([]*span.Span{{ResourceAttributes: large}}, 100), 100},
		"each of different ones counts":         {slices.Repeat([]*span.Span{{ResourceAttributes: large}, {}}, 50), 32},
	} {
		t.Run(name, func(t *testing.T) {
			if got := rowGroupEnd(tc.rows); got != tc.want {
				t.Errorf("rowGroupEnd() = %d, want %d", got, tc.want)
			}
		})
	}
}

func TestStringsThatAreNotUTF8AreRepaired(t *testing.T) {
	spans := makeSpans(1, 2)
	spans[0].Attributes = "{\"a\":\"\xff\xfe!\"}"
	spans[0].StatusMessage = "\xed\xa0\x80" // half of a surrogate pair
	spans[1].Name = "nul \x00 is fine"
	root := t.TempDir()
	got, err := newWriter(t, root).Write(testFile, spans)
	if err != nil || got.Repaired != 2 {
		t.Fatalf("Write() = %+v, %v; want 2 repaired strings", got, err)
	}
	read := testkit.ReadSpans(t, filepath.Join(root, got.Path))
	if read[0].Attributes != "{\"a\":\"\uFFFD!\"}" || read[0].StatusMessage != "\uFFFD" || read[1].Name != spans[1].Name {
		t.Errorf("read %q, %q and %q", read[0].Attributes, read[0].StatusMessage, read[1].Name)
	}
}

func TestEmptyTextsOfJSONColumnsBecomeJSON(t *testing.T) {
	spans := makeSpans(1, 1)
	spans[0].Attributes, spans[0].Events, spans[0].ResourceAttributes = "", "", ""
	root := t.TempDir()
	read := testkit.ReadSpans(t, filepath.Join(root, write(t, root, spans)))
	if got := read[0].Attributes + read[0].Events + read[0].ResourceAttributes; got != "{}[]{}" {
		t.Errorf("read %s", got)
	}
}

func TestTimesOutsideOf64BitNanoseconds(t *testing.T) {
	good := time.Unix(1_795_461_163, 0)
	for name, tc := range map[string]struct {
		start, end time.Time
		column     string
	}{
		"no time at all":                    {time.Time{}, good, "start_time"},
		"a sender's 2^64-1":                 {good, time.Unix(math.MaxUint64/1_000_000_000, 0), "end_time"},
		"what DuckDB takes for infinity":    {good, time.Unix(0, math.MaxInt64), "end_time"},
		"and for the infinity on the left":  {time.Unix(0, -math.MaxInt64), good, "start_time"},
		"the least number of 64 bits there": {time.Unix(0, math.MinInt64), good, "start_time"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			spans := append(makeSpans(3, 3), span.Span{TraceID: "fe", SpanID: "0b", StartTime: tc.start, EndTime: tc.end})
			_, err := newWriter(t, root).Write(Path("svc", good, 1), spans)
			var outside *TimeRangeError
			if !errors.As(err, &outside) || outside.Column != tc.column || outside.TraceID != "fe" || outside.SpanID != "0b" {
				t.Errorf("Write() = %v", err)
			}
			if files := filesIn(t, root); len(files) > 0 {
				t.Errorf("left behind: %v", files)
			}
		})
	}
}

func TestWriteSortedTakesPartsThatReuseTheirMemory(t *testing.T) {
	want := makeSpans(30, 10)
	part := make([]span.Span, 0, 100)
	parts := func(yield func([]span.Span, error) bool) {
		for chunk := range slices.Chunk(want, cap(part)) {
			clear(part)
			if part = append(part[:0], chunk...); !yield(part, nil) {
				return
			}
		}
	}
	root := t.TempDir()
	got, err := newWriter(t, root).WriteSorted(testFile, parts)
	if err != nil {
		t.Fatal(err)
	}
	if read := testkit.ReadSpans(t, filepath.Join(root, got.Path)); !slices.Equal(read, want) {
		t.Errorf("read %d spans, not the %d that were written", len(read), len(want))
	}
	if groups := rowGroups(t, root, got.Path); len(groups) != 3 {
		t.Errorf("%d row groups, want one for each of 3 parts", len(groups))
	}
}

func TestWriteSortedFails(t *testing.T) {
	spans := makeSpans(4, 2)
	stop := errors.New("the source is gone")
	for name, tc := range map[string]struct {
		parts iter.Seq2[[]span.Span, error]
		want  error
	}{
		"when there is nothing to write":       {partsOf(nil), ErrNoSpans},
		"when a part has traces in disorder":   {partsOf(nil, spans[4:], spans[:4]), ErrUnsorted},
		"when a trace has times in disorder":   {partsOf(nil, spans[1:2], spans[:1]), ErrUnsorted},
		"when the source fails after one part": {partsOf(stop, spans), stop},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			got, err := newWriter(t, root).WriteSorted(testFile, tc.parts)
			if !errors.Is(err, tc.want) || got != (Written{}) {
				t.Errorf("WriteSorted() = %+v, %v; want %v", got, err, tc.want)
			}
			if !strings.Contains(fmt.Sprint(err), "day=01/svc_0_00000001.parquet") {
				t.Errorf("the error does not name the file: %v", err)
			}
			if files := filesIn(t, root); len(files) > 0 {
				t.Errorf("left behind: %v", files)
			}
		})
	}
}

func TestAWriterThatIsReusedWritesTheSameBytes(t *testing.T) {
	root, spans := t.TempDir(), makeSpans(50, 20)
	writer := newWriter(t, root)
	var files [][]byte
	for i, s := range [][]span.Span{spans, makeSpans(2_000, 9), spans} {
		got, err := writer.Write(Path("svc", time.Unix(0, 0), uint32(i)), s)
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(filepath.Join(root, got.Path))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, content)
	}
	if !bytes.Equal(files[0], files[2]) {
		t.Error("the same spans gave two different files")
	}
}

// fullDisk takes so many bytes and no more.
type fullDisk struct{ left int }

var errFullDisk = errors.New("no space left on device")

func (d *fullDisk) Write(p []byte) (int, error) {
	if len(p) > d.left {
		n := d.left
		d.left = 0
		return n, errFullDisk
	}
	d.left -= len(p)
	return len(p), nil
}

func TestADiskThatFillsUpAnywhereIsAnError(t *testing.T) {
	spans := makeSpans(40, 5)
	writer := newWriter(t, t.TempDir())
	rows := func(yield func([]*span.Span, error) bool) {
		_ = yield(pointers(nil, spans[:100]), nil) && yield(pointers(nil, spans[100:]), nil)
	}
	var whole bytes.Buffer
	if _, err := writer.encode(&whole, rows); err != nil {
		t.Fatal(err)
	}
	for size := 0; size < whole.Len(); size += 37 {
		if _, err := writer.encode(&fullDisk{left: size}, rows); !errors.Is(err, errFullDisk) {
			t.Fatalf("a disk with %d bytes: %v", size, err)
		}
	}
	if _, err := writer.encode(&fullDisk{left: whole.Len()}, rows); err != nil {
		t.Errorf("a disk with just enough bytes: %v", err)
	}
}

// makeSpans makes traces of so many spans each, in the order of a file.
func makeSpans(traces, each int) []span.Span {
	start := time.Date(2026, 11, 23, 0, 0, 0, 1, time.UTC)
	spans := make([]span.Span, 0, traces*each)
	for trace := range traces {
		for i := range each {
			s := span.Span{
				TraceID: fmt.Sprintf("%032x", trace+1), SpanID: fmt.Sprintf("%016x", len(spans)+1),
				ServiceName: "chat-api", Name: "chat gpt-4o", Kind: span.KindClient,
				StartTime: start.Add(time.Duration(i) * time.Millisecond), EndTime: start.Add(time.Second),
				Attributes:         fmt.Sprintf(`{"gen_ai.operation.name":"chat","gen_ai.usage.input_tokens":%d}`, 17*len(spans)),
				Events:             `[]`,
				ResourceAttributes: `{"service.name":"chat-api"}`,
			}
			if i > 0 {
				s.ParentSpanID = fmt.Sprintf("%016x", len(spans))
			}
			spans = append(spans, s)
		}
	}
	return spans
}

// partsOf yields the parts, then the error if there is one.
func partsOf(err error, parts ...[]span.Span) iter.Seq2[[]span.Span, error] {
	return func(yield func([]span.Span, error) bool) {
		for _, part := range parts {
			if !yield(part, nil) {
				return
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

func newWriter(t testing.TB, root string) *Writer {
	t.Helper()
	writer, err := NewWriter(root)
	if err != nil {
		t.Fatal(err)
	}
	return writer
}

func write(t *testing.T, root string, spans []span.Span) (path string) {
	t.Helper()
	got, err := newWriter(t, root).Write(testFile, spans)
	if err != nil {
		t.Fatal(err)
	}
	return got.Path
}

func sizeOf(t *testing.T, root, path string) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func openParquet(t *testing.T, root, path string) *file.Reader {
	t.Helper()
	reader, err := file.OpenParquetFile(filepath.Join(root, path), false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reader.Close() })
	return reader
}

func rowGroups(t *testing.T, root, path string) (groups []*metadata.RowGroupMetaData) {
	t.Helper()
	reader := openParquet(t, root, path)
	for i := range reader.NumRowGroups() {
		groups = append(groups, reader.MetaData().RowGroup(i))
	}
	return groups
}

func readTable(t *testing.T, root, path string) arrow.Table {
	t.Helper()
	reader, err := pqarrow.NewFileReader(openParquet(t, root, path), pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	table, err := reader.ReadTable(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func columnOf[A arrow.Array](t *testing.T, table arrow.Table, name string) A {
	t.Helper()
	column := table.Column(table.Schema().FieldIndices(name)[0])
	joined, err := array.Concatenate(column.Data().Chunks(), memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	return joined.(A)
}
