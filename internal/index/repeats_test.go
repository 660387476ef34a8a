package index

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// parent makes a repeat that can be told from the first one: the parent is not a part of the key.
func parent(id string) func(*span.Span) { return func(s *span.Span) { s.ParentSpanID = id } }

func noEnd(s *span.Span) { s.EndTime = time.Time{} }

// Two spans that differ in one of these columns are two spans, whatever their ids say.
func TestSpansThatDifferInAKeyColumnAreAllKept(t *testing.T) {
	t.Parallel()
	for name, other := range map[string]func(*span.Span){
		"trace_id":            func(s *span.Span) { s.TraceID = testkit.TraceID(2) },
		"trace_id, in case":   func(s *span.Span) { s.TraceID = "0000000000000000000000000000000A" },
		"span_id":             func(s *span.Span) { s.SpanID = "00000000000000ff" },
		"service_name":        func(s *span.Span) { s.ServiceName = "SVC" },
		"name":                func(s *span.Span) { s.Name = "op " },
		"span_kind":           func(s *span.Span) { s.Kind = span.KindClient },
		"start_time":          func(s *span.Span) { s.StartTime = s.StartTime.Add(time.Microsecond) },
		"end_time":            func(s *span.Span) { s.EndTime = s.EndTime.Add(time.Microsecond) },
		"end_time to no end":  noEnd,
		"status_code":         func(s *span.Span) { s.StatusCode = span.StatusError },
		"start_time by years": func(s *span.Span) { s.StartTime = s.StartTime.AddDate(-3, 0, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base := func(*span.Span) {}
			if name == "trace_id, in case" {
				base = func(s *span.Span) { s.TraceID = "0000000000000000000000000000000a" }
			}
			first, second := testkit.Span(1, 1, base), testkit.Span(1, 1, base, other)
			f := newFixture(t)
			// Within a file, across files of a batch, and across passes.
			f.lake.Spans(t, "a.parquet", first, second)
			f.lake.Spans(t, "b.parquet", second, first)
			if summary := f.sync(); summary.SpansIndexed != 2 || summary.Duplicates != 2 {
				t.Errorf("Sync() = %+v", summary)
			}
			f.lake.Spans(t, "c.parquet", first, second, testkit.Span(1, 2))
			if summary := f.sync(); summary.SpansIndexed != 1 || summary.Duplicates != 2 {
				t.Errorf("the second Sync() = %+v", summary)
			}
		})
	}
}

// Columns that are not in the key do not make another span, and the first one's stay.
func TestTheFirstOfRepeatsWins(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*span.Span){"with an end": func(*span.Span) {}, "without an end": noEnd} {
		for _, tc := range []struct {
			how   string
			batch int
			files [][]span.Span
		}{
			{"within a file", 10, [][]span.Span{{testkit.Span(1, 1, end, parent("first")), testkit.Span(1, 1, end, parent("second")), testkit.Span(1, 1, end)}}},
			{"across files of a batch", 10, [][]span.Span{
				{testkit.Span(1, 1, end, parent("first"))}, {testkit.Span(1, 1, end, parent("second"))}, {testkit.Span(1, 1, end)}}},
			{"across batches", 1, [][]span.Span{
				{testkit.Span(1, 1, end, parent("first"))}, {testkit.Span(1, 1, end, parent("second"))}, {testkit.Span(1, 1, end)}}},
			{"within and across", 2, [][]span.Span{
				{testkit.Span(1, 1, end, parent("first")), testkit.Span(1, 1, end, parent("second"))}, {testkit.Span(1, 1, end)}}},
		} {
			t.Run(name+" "+tc.how, func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, batchSize(tc.batch))
				for i, spans := range slices.Backward(tc.files) { // the newest batch goes first
					f.lake.Spans(t, string(rune('a'+i))+".parquet", append(spans, testkit.Span(50+i, 50+i))...)
				}
				if summary := f.sync(); summary.Duplicates != 2 || summary.SpansIndexed != 1+int64(len(tc.files)) {
					t.Errorf("Sync() = %+v", summary)
				}
				f.expect("SELECT parent_span_id FROM span_metadata WHERE trace_id = '"+testkit.TraceID(1)+"'", "first")
			})
		}
	}
}

func TestTheUpperOfManyRepeatsWins(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	// 10,000 spans, each twice: the second one far below the first, in another row group.
	f.lake.Table(t, "a.parquet", testkit.SpanTable(20_000).Options("ROW_GROUP_SIZE 2048").With("span_id", "printf('%016x', i % 10000)").
		With("name", "'op'").With("trace_id", "printf('%032x', i % 10000 // 10)").
		With("start_time", "TIMESTAMPTZ '2026-11-23 12:00:00Z' + to_milliseconds(i % 10000)").
		With("end_time", "NULL::TIMESTAMPTZ").With("parent_span_id", "CASE WHEN i < 10000 THEN 'upper' ELSE 'lower' END"))
	if summary := f.sync(); summary.SpansIndexed != 10_000 || summary.Duplicates != 10_000 {
		t.Errorf("Sync() = %+v", summary)
	}
	f.expect("SELECT DISTINCT parent_span_id FROM span_metadata", "upper")
}

// What stands for nothing is nothing: such spans are equal in the index, and so repeats.
func TestRepeatsAreComparedAsTheIndexKeepsThem(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.lake.Table(t, "a.parquet", testkit.SpanTable(1).With("service_name", "NULL::VARCHAR").With("name", "NULL::VARCHAR").With("span_kind", "0"))
	f.lake.Table(t, "b.parquet", testkit.SpanTable(1).With("service_name", "''").With("name", "''").With("span_kind", "NULL::TINYINT"))
	f.lake.Table(t, "c.parquet", testkit.SpanTable(1).Without("service_name", "name", "span_kind"))
	if summary := f.sync(); summary.SpansIndexed != 1 || summary.Duplicates != 2 {
		t.Errorf("Sync() = %+v", summary)
	}
}

func TestAFileUnderTwoNames(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.lake.Table(t, "a.parquet", testkit.SpanTable(5000))
	f.lake.Put(t, "copy.parquet", f.lake.Read(t, "a.parquet"))
	if summary := f.sync(); summary.SpansIndexed != 5000 || summary.Duplicates != 5000 {
		t.Errorf("Sync() = %+v", summary)
	}
	f.expect("SELECT service_name || ' ' || row_count || ' ' || duplicate_count FROM parquet_files WHERE file_path = 'a.parquet'", "svc 5000 0")
	f.expect("SELECT coalesce(service_name, 'none') || ' ' || row_count || ' ' || duplicate_count FROM parquet_files WHERE file_path = 'copy.parquet'",
		"none 5000 5000")
}

func TestChangedFilesAreIndexedAnew(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.lake.Spans(t, "a.parquet", testkit.Spans(1, 10)...)
	f.lake.Spans(t, "b.parquet", testkit.Spans(11, 10)...)
	f.sync()
	t.Run("with other content", func(t *testing.T) {
		f.lake.Spans(t, "a.parquet", testkit.Spans(100, 3)...)
		if summary := f.sync(); summary.FilesIndexed != 1 || summary.FilesUnchanged != 1 || summary.SpansIndexed != 3 {
			t.Errorf("Sync() = %+v", summary)
		}
		f.expectSpans(13)
	})
	t.Run("with another time only", func(t *testing.T) {
		testkit.Touch(t, f.lake.Path("a.parquet"))
		if summary := f.sync(); summary.FilesIndexed != 1 || summary.SpansIndexed != 3 || summary.Duplicates != 0 {
			t.Errorf("Sync() = %+v", summary)
		}
		f.expectSpans(13)
	})
	t.Run("twice in a row", func(t *testing.T) {
		for i := range 2 {
			f.lake.Spans(t, "a.parquet", testkit.Spans(200, 1+i)...)
			f.sync()
			f.expectSpans(int64(11 + i))
		}
	})
	t.Run("into one without rows", func(t *testing.T) {
		f.lake.Spans(t, "a.parquet")
		f.sync()
		f.expectSpans(10)
	})
}

func TestFilesThatAreGone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.lake.Spans(t, "day=1/a.parquet", testkit.Spans(1, 10)...)
	f.lake.Spans(t, "day=2/b.parquet", testkit.Spans(11, 5)...)
	f.lake.Put(t, "day=1/bad.parquet", []byte("no Parquet"))
	f.sync()
	f.lake.Remove(t, "day=1")
	if summary := f.syncWith(SyncOptions{LookOptions: LookOptions{KeepMissing: true}}); summary.FilesRemoved != 0 || summary.FilesFound != 1 {
		t.Errorf("Sync() that keeps what is missing = %+v", summary)
	}
	f.expectSpans(15)
	if summary := f.sync(); summary.FilesRemoved != 1 || summary.FilesFound != 1 {
		t.Errorf("Sync() = %+v", summary)
	}
	f.expectSpans(5)
	f.expect("SELECT file_path FROM parquet_files UNION ALL SELECT file_path FROM failed_parquet_files", "day=2/b.parquet")
	f.lake.Remove(t, "day=2/b.parquet")
	f.sync()
	f.expectSpans(0)
	f.expect("SELECT service_name FROM services")
}

// A lake that is not there may be a disk that is not mounted: nothing of it is taken for deleted.
func TestALakeThatIsNotThereDeletesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.lake.Spans(t, "a.parquet", testkit.Spans(1, 10)...)
	f.sync()
	f.lake.Remove(t, ".")
	if _, err := f.Sync(t.Context(), f.scan(), SyncOptions{}); err != nil {
		t.Errorf("Sync() = %v", err)
	}
	f.expectSpans(10)
}

// Spans that were left out as repeats come back when the file that had them first does not have them any more.
func TestRepeatsOutliveTheirFirst(t *testing.T) {
	t.Parallel()
	for name, goes := range map[string]func(*fixture){
		"removed":     func(f *fixture) { f.lake.Remove(f.t, "a.parquet") },
		"rewritten":   func(f *fixture) { f.lake.Spans(f.t, "a.parquet", testkit.Spans(1000, 2)...) },
		"damaged":     func(f *fixture) { f.lake.Put(f.t, "a.parquet", []byte("PAR1 but no more")) },
		"without row": func(f *fixture) { f.lake.Spans(f.t, "a.parquet") },
	} {
		for _, batch := range []int{1, 10} {
			t.Run(fmt.Sprintf("%s in batches of %d", name, batch), func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, batchSize(batch))
				f.lake.Spans(t, "a.parquet", testkit.Spans(1, 10)...)
				f.lake.Spans(t, "b.parquet", testkit.Spans(5, 10)...) // 6 of them are in a
				f.lake.Spans(t, "c.parquet", testkit.Spans(1, 20)...) // all of a and b
				f.sync()
				f.expectSpans(20)
				goes(f)
				f.sync()
				f.expect("SELECT count(*) FROM span_metadata WHERE start_time < TIMESTAMPTZ '2026-11-23 12:00:00.100Z'", "20")
				f.lake.Remove(t, "b.parquet")
				f.sync()
				f.expect("SELECT count(*) FROM span_metadata WHERE start_time < TIMESTAMPTZ '2026-11-23 12:00:00.100Z'", "20")
				f.lake.Remove(t, "c.parquet")
				f.sync()
				f.expect("SELECT count(*) FROM span_metadata WHERE start_time < TIMESTAMPTZ '2026-11-23 12:00:00.100Z'", "0")
			})
		}
	}
}

// Compaction writes the spans of several files into one, and then removes them. At no commit are spans missing.
func TestCompaction(t *testing.T) {
	t.Parallel()
	f := newFixture(t, batchSize(1))
	f.lake.Spans(t, "a.parquet", testkit.Spans(1, 10)...)
	f.lake.Spans(t, "b.parquet", testkit.Spans(11, 10)...)
	f.sync()
	f.lake.Spans(t, "compact.parquet", testkit.Spans(1, 20)...)
	f.sync()
	f.expectSpans(20)
	f.lake.Remove(t, "a.parquet")
	f.lake.Remove(t, "b.parquet")
	f.sync()
	f.expectSpans(20)
	f.expect("SELECT DISTINCT file_path FROM span_metadata JOIN parquet_files USING (file_id)", "compact.parquet")
}

// The file that a repeat hangs on may be away for a moment while it has to be read again. What it misses is made up for
// as soon as it is there, although it has not changed.
func TestARepeatThatIsAwayWhenItsFirstGoes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.lake.Spans(t, "a.parquet", testkit.Spans(1, 10)...)
	f.lake.Spans(t, "b.parquet", testkit.Spans(1, 15)...)
	f.sync()
	f.lake.Remove(t, "a.parquet")
	// The listing was made while b was still there.
	var listed []span.File
	for file, err := range f.scan() {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, file)
	}
	rename(t, f.lake.Path("b.parquet"), f.lake.Path("b.away"))
	if _, err := f.Sync(t.Context(), listing(listed...), SyncOptions{}); err != nil {
		t.Fatal(err)
	}
	rename(t, f.lake.Path("b.away"), f.lake.Path("b.parquet"))
	f.sync()
	f.expectSpans(15)
}

// Repeats across a file whose spans lie in another time must not be looked for by time alone, nor be missed by it.
func TestRepeatsAreFoundWhateverTimesTheirFilesCover(t *testing.T) {
	t.Parallel()
	f := newFixture(t, batchSize(1))
	at := func(offset time.Duration) func(*span.Span) {
		return func(s *span.Span) {
			s.StartTime, s.EndTime = testkit.Start.Add(offset), testkit.Start.Add(offset+time.Second)
		}
	}
	f.lake.Spans(t, "a-wide.parquet", testkit.Span(1, 1, at(-10*365*24*time.Hour)), testkit.Span(1, 2, at(0)), testkit.Span(1, 3, at(365*24*time.Hour)))
	f.lake.Spans(t, "b-point.parquet", testkit.Span(1, 2, at(0)))
	f.lake.Spans(t, "c-before.parquet", testkit.Span(1, 4, at(-20*365*24*time.Hour)))
	f.lake.Spans(t, "d-edge.parquet", testkit.Span(1, 3, at(365*24*time.Hour)), testkit.Span(1, 5, at(800*24*time.Hour)))
	f.lake.Spans(t, "e-edge.parquet", testkit.Span(1, 1, at(-10*365*24*time.Hour)))
	if summary := f.sync(); summary.SpansIndexed != 5 || summary.Duplicates != 3 {
		t.Errorf("Sync() = %+v", summary)
	}
}
