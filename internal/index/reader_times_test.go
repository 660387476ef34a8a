package index

import (
	"fmt"
	"math"
	"testing"

	"github.com/spanlake/spanlake/internal/testkit"
)

// Times that no clock shows arrive one day all the same. Each must cost no more than its file.
func TestExtremeTimesAreIndexed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		column, expr, want string
	}{
		"1970":                {"start_time", "TIMESTAMPTZ '1970-01-01 00:00:00Z'", "1970-01-01 00:00:00+00"},
		"before 1970":         {"start_time", "TIMESTAMPTZ '1969-12-31 23:59:59.999999Z'", "1969-12-31 23:59:59.999999+00"},
		"1678 in nanoseconds": {"start_time", "TIMESTAMP_NS '1678-01-01 00:00:00'", "1678-01-01 00:00:00+00"},
		"2262 in nanoseconds": {"start_time", "TIMESTAMP_NS '2262-04-11 23:47:15'", "2262-04-11 23:47:15+00"},
		"the year 9999":       {"start_time", "TIMESTAMPTZ '9999-12-31 23:59:59Z'", "9999-12-31 23:59:59+00"},
		"the year 290000":     {"start_time", "TIMESTAMPTZ '290000-01-01 00:00:00Z'", "290000-01-01 00:00:00+00"},
		"before Christ":       {"start_time", "TIMESTAMPTZ '4000-01-01 (BC) 00:00:00Z'", "4000-01-01 (BC) 00:00:00+00"},
		"an end at infinity":  {"end_time", "TIMESTAMPTZ 'infinity'", "NULL"},
		"an end in 1678":      {"end_time", "TIMESTAMP_NS '1678-01-01 00:00:00'", "1678-01-01 00:00:00+00"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			// With and without the duration, which is derived from the end, and with a repeat of it.
			f.lake.Table(t, "a.parquet", testkit.SpanTable(1).With(tc.column, tc.expr))
			f.lake.Table(t, "b.parquet", testkit.SpanTable(1).With(tc.column, tc.expr).Without("duration_ns"))
			f.lake.Table(t, "sound.parquet", testkit.SpanTable(2).With("trace_id", "printf('%032x', 77)"))
			if summary := f.sync(); summary.FilesIndexed != 3 || summary.SpansIndexed != 3 || summary.Duplicates != 1 {
				t.Errorf("Sync() = %+v\n%s", summary, f.logs)
			}
			f.expect("SELECT "+tc.column+"::VARCHAR FROM span_metadata WHERE trace_id = '"+testkit.TraceID(1)+"'", tc.want)
			// Once more in a later pass.
			f.lake.Table(t, "c.parquet", testkit.SpanTable(1).With(tc.column, tc.expr))
			if summary := f.sync(); summary.Duplicates != 1 {
				t.Errorf("the second Sync() = %+v\n%s", summary, f.logs)
			}
			spans, err := f.TraceSpans(t.Context(), testkit.TraceID(1))
			if err != nil || len(spans) != 1 {
				t.Errorf("TraceSpans() = %v, %v", spans, err)
			}
			if _, err := f.Services(t.Context()); err != nil {
				t.Error(err)
			}
			if _, err := f.Files(t.Context(), 10); err != nil {
				t.Error(err)
			}
		})
	}
}

// Without an end and with a start at the edge of time, the end cannot be told.
func TestAnEndThatCannotBeToldIsNull(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.lake.Table(t, "a.parquet", testkit.SpanTable(1).Without("end_time").
		With("start_time", "TIMESTAMPTZ '294246-01-01 00:00:00Z'").With("duration_ns", "9223372036854775807::BIGINT"))
	f.lake.Table(t, "b.parquet", testkit.SpanTable(1).Without("duration_ns").With("trace_id", "'b'").
		With("end_time", "TIMESTAMPTZ '294246-01-01 00:00:00Z'"))
	f.sync()
	f.expect("SELECT coalesce(end_time::VARCHAR, 'none') FROM span_metadata WHERE trace_id <> 'b'", "none")
	f.expect("SELECT coalesce(duration_ns::VARCHAR, 'none') FROM span_metadata WHERE trace_id = 'b'", "none")
}

// DuckDB takes the outermost 64-bit numbers for infinity, which is no time that a span can begin at. OTLP times are uint64,
// so they do arrive, in files of others: our own writer refuses them.
func TestAnInfiniteStartCostsItsRow(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		nanos   int64
		skipped int64
	}{
		"zero":                   {0, 0},
		"minus one":              {-1, 0},
		"the last whole second":  {math.MaxInt64/1e9*1e9 - 1, 0},
		"the second largest":     {math.MaxInt64 - 1, 0},
		"the largest":            {math.MaxInt64, 1},
		"the smallest but one":   {math.MinInt64 + 2, 0},
		"minus infinity":         {math.MinInt64 + 1, 1},
		"the smallest of 64 bit": {math.MinInt64, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			columns := append(testkit.MinimalColumns()[:2], testkit.Nanos("start_time", func(i int) int64 {
				return []int64{tc.nanos, testkit.Start.UnixNano()}[i]
			}))
			f.lake.Arrow(t, "a.parquet", 2, columns...)
			f.lake.Table(t, "sound.parquet", testkit.SpanTable(2).With("trace_id", "'sound'"))
			for range 2 {
				summary := f.sync()
				if summary.FilesIndexed+summary.FilesUnchanged != 2 || summary.FilesFailed != 0 {
					t.Errorf("Sync() = %+v\n%s", summary, f.logs)
				}
				f.expectSpans(4 - tc.skipped)
			}
			f.expect("SELECT skipped_count FROM parquet_files WHERE file_path = 'a.parquet'", fmt.Sprint(tc.skipped))
		})
	}
}
