package index

import (
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// sound is what the index has of the three spans of soundTable.
var sound = []string{
	"(0000000000000001, 00000000000000000000000000000001, NULL, svc, op 0, '2026-11-23 12:00:00+00', '2026-11-23 12:00:00.005+00', 5000000, 1, 2, true)",
	"(0000000000000002, 00000000000000000000000000000001, 0000000000000001, svc, op 1, '2026-11-23 12:00:00.001+00', '2026-11-23 12:00:00.006+00', 5000000, 1, 2, false)",
	"(0000000000000003, 00000000000000000000000000000001, 0000000000000001, svc, op 2, '2026-11-23 12:00:00.002+00', '2026-11-23 12:00:00.007+00', 5000000, 1, 2, false)",
}

const spansSQL = `
SELECT (span_id, trace_id, parent_span_id, service_name, name, start_time, end_time, duration_ns, status_code, span_kind, is_root)::VARCHAR
FROM span_metadata ORDER BY span_id`

// All of these files say the same, so the index must have the same of all of them.
func TestFilesThatSayTheSameInOtherWays(t *testing.T) {
	t.Parallel()
	for name, table := range map[string]*testkit.Table{
		"as our format has it":           testkit.SpanTable(3),
		"columns in another order":       testkit.SpanTable(3).Reversed(),
		"heavy columns missing":          testkit.SpanTable(3).Without("attributes", "events", "resource_attributes", "status_message"),
		"heavy columns of another type":  testkit.SpanTable(3).With("attributes", "{'name': i, 'trace_id': [i]}").With("events", "i"),
		"names of columns in upper case": testkit.SpanTable(3).Without("trace_id", "name").With("TRACE_ID", "printf('%032x', 1)").With("Name", "'op ' || i"),
		"duration missing":               testkit.SpanTable(3).Without("duration_ns"),
		"end missing":                    testkit.SpanTable(3).Without("end_time"),
		"wide integers":                  testkit.SpanTable(3).With("span_kind", "2::BIGINT").With("status_code", "1::INTEGER"),
		"unsigned integers":              testkit.SpanTable(3).With("span_kind", "2::UTINYINT").With("status_code", "1::UBIGINT").With("duration_ns", "5000000::UBIGINT"),
		"narrow integers":                testkit.SpanTable(3).With("duration_ns", "5000000::INTEGER"),
		"times without a zone": testkit.SpanTable(3).With("start_time", "TIMESTAMP '2026-11-23 12:00:00' + to_milliseconds(i)").
			With("end_time", "TIMESTAMP '2026-11-23 12:00:00' + to_milliseconds(i + 5)"),
		"nanoseconds without a zone": testkit.SpanTable(3).With("start_time", "(TIMESTAMP '2026-11-23 12:00:00' + to_milliseconds(i))::TIMESTAMP_NS"),
		"milliseconds":               testkit.SpanTable(3).With("start_time", "(TIMESTAMP '2026-11-23 12:00:00' + to_milliseconds(i))::TIMESTAMP_MS"),
		"version 2 pages":            testkit.SpanTable(3).Options("PARQUET_VERSION v2"),
		"not compressed":             testkit.SpanTable(3).Options("CODEC uncompressed"),
		"gzip":                       testkit.SpanTable(3).Options("CODEC gzip"),
		"columns with the names of DuckDB's own": testkit.SpanTable(3).With("filename", "'other.parquet'").With("file_row_number", "7").
			With("rowid", "9"),
		"a column file_index":        testkit.SpanTable(3).With("file_index", "41"),
		"columns of our own tables":  testkit.SpanTable(3).With("file_id", "99").With("is_root", "false").With("file_path", "'x'"),
		"a column with an odd name":  testkit.SpanTable(3).With(`a "quoted", 'column' \ `, "1"),
		"an empty parent for a root": testkit.SpanTable(3).With("parent_span_id", "CASE WHEN i > 0 THEN printf('%016x', 1) ELSE '' END"),
		"nested columns with our names": testkit.SpanTable(3).With("resource", "{'service_name': 'wrong', 'name': {'span_id': 'wrong'}}").
			With("links", "[{'trace_id': 'wrong', 'span_id': 'wrong', 'start_time': 'wrong'}]").With("map", "MAP {'name': 'wrong'}"),
		"nested columns first": testkit.SpanTable(3).With("resource", "{'start_time': {'trace_id': 1}, 'b': [{'c': 1}]}").Reversed(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.lake.Table(t, "a.parquet", table)
			if summary := f.sync(); summary.FilesIndexed != 1 || summary.RowsSkipped != 0 {
				t.Errorf("Sync() = %+v\n%s", summary, f.logs)
			}
			f.expect(spansSQL, sound...)
		})
	}
}

// What a file does not say has OpenTelemetry's default.
func TestWhatAFileDoesNotSay(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		table *testkit.Table
		query string
		want  string
	}{
		"no column service_name": {testkit.SpanTable(1).Without("service_name"), "SELECT service_name FROM span_metadata", "unknown_service"},
		"null service_name":      {testkit.SpanTable(1).With("service_name", "NULL::VARCHAR"), "SELECT service_name FROM services", "unknown_service"},
		"empty service_name":     {testkit.SpanTable(1).With("service_name", "''"), "SELECT service_name FROM parquet_files", "unknown_service"},
		"no column name":         {testkit.SpanTable(1).Without("name"), "SELECT name FROM span_metadata", ""},
		"null name":              {testkit.SpanTable(1).With("name", "NULL::VARCHAR"), "SELECT name FROM span_metadata", ""},
		"no column span_kind":    {testkit.SpanTable(1).Without("span_kind"), "SELECT span_kind FROM span_metadata", "0"},
		"null span_kind":         {testkit.SpanTable(1).With("span_kind", "NULL::TINYINT"), "SELECT span_kind FROM span_metadata", "0"},
		"a span_kind that no column can hold": {testkit.SpanTable(1).With("span_kind", "18446744073709551615::UBIGINT"),
			"SELECT span_kind FROM span_metadata", "0"},
		"no column status_code": {testkit.SpanTable(1).Without("status_code"), "SELECT status_code FROM span_metadata", "0"},
		"null status_code":      {testkit.SpanTable(1).With("status_code", "NULL::TINYINT"), "SELECT status_code FROM span_metadata", "0"},
		"no column parent_span_id": {testkit.SpanTable(1).Without("parent_span_id"),
			"SELECT (parent_span_id, is_root)::VARCHAR FROM span_metadata", "(NULL, true)"},
		"a parent of zeros": {testkit.SpanTable(1).With("parent_span_id", "'0000000000000000'"), "SELECT is_root FROM span_metadata", "true"},
		"null end_time": {testkit.SpanTable(1).With("end_time", "NULL::TIMESTAMPTZ"),
			"SELECT (end_time, duration_ns)::VARCHAR FROM span_metadata", "(NULL, 5000000)"},
		"null duration_ns": {testkit.SpanTable(1).With("duration_ns", "NULL::BIGINT"),
			"SELECT coalesce(duration_ns::VARCHAR, 'none') FROM span_metadata", "none"},
		"a duration that no column can hold": {testkit.SpanTable(1).With("duration_ns", "18446744073709551615::UBIGINT"),
			"SELECT coalesce(duration_ns::VARCHAR, 'none') FROM span_metadata", "none"},
		"a negative duration": {testkit.SpanTable(1).With("duration_ns", "-5::BIGINT"), "SELECT duration_ns FROM span_metadata", "-5"},
		"neither end nor duration": {testkit.SpanTable(1).Without("end_time", "duration_ns"),
			"SELECT (end_time, duration_ns)::VARCHAR FROM span_metadata", "(NULL, NULL)"},
		"nothing but what a span must have": {testkit.SpanTable(1).Without("parent_span_id", "service_name", "name", "span_kind", "end_time",
			"duration_ns", "status_code", "status_message", "attributes", "events", "resource_attributes"),
			"SELECT (span_id, service_name, is_root)::VARCHAR FROM span_metadata", "(0000000000000001, unknown_service, true)"},
		"a text with everything": {testkit.SpanTable(1).With("name", `'東京 🚀 "''\' || chr(10) || chr(0) || 'x'`),
			"SELECT replace(replace(name, chr(0), '<0>'), chr(10), '<10>') FROM span_metadata", `東京 🚀 "'\<10><0>x`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.lake.Table(t, "a.parquet", tc.table)
			if summary := f.sync(); summary.FilesIndexed != 1 || summary.SpansIndexed != 1 {
				t.Errorf("Sync() = %+v\n%s", summary, f.logs)
			}
			f.expect(tc.query, tc.want)
		})
	}
}

// Typed with Arrow's null, a column has no Parquet type that could be read.
func TestColumnsOfTheTypeNull(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	columns := testkit.MinimalColumns()
	for _, name := range []string{"parent_span_id", "service_name", "name", "end_time", "duration_ns", "status_code", "span_kind", "attributes"} {
		columns = append(columns, testkit.Null(name))
	}
	f.lake.Arrow(t, "a.parquet", 2, columns...)
	f.sync()
	f.expect("SELECT (service_name, name, end_time, duration_ns, status_code, span_kind, is_root)::VARCHAR FROM span_metadata",
		"(unknown_service, '', NULL, NULL, 0, 0, true)", "(unknown_service, '', NULL, NULL, 0, 0, true)")
}

func TestNanosecondsOfOtherWriters(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	columns := append(testkit.MinimalColumns()[:2],
		testkit.Nanos("start_time", func(i int) int64 { return testkit.Start.UnixNano() + int64(i)*1_000_999 }),
		testkit.Column{Name: "span_kind", Type: arrow.PrimitiveTypes.Int8, Append: func(b array.Builder, i int) { b.(*array.Int8Builder).Append(int8(i)) }})
	f.lake.Arrow(t, "a.parquet", 2, columns...)
	f.sync()
	// The index keeps microseconds.
	f.expect("SELECT (start_time, span_kind)::VARCHAR FROM span_metadata ORDER BY span_id",
		"('2026-11-23 12:00:00+00', 0)", "('2026-11-23 12:00:00.001+00', 1)")
}

func TestFilesOfOurOwnWriter(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	written := writeWithLake(t, f.lake, testkit.Spans(1, 20_000)...)
	summary := f.sync()
	if summary.SpansIndexed != 20_000 || summary.FilesFailed != 0 {
		t.Errorf("Sync() = %+v", summary)
	}
	f.expect("SELECT file_path FROM parquet_files", written.Path)
}

func TestFilesWithoutRows(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.lake.Table(t, "no-rows.parquet", testkit.SpanTable(0))
	f.lake.Arrow(t, "no-row-groups.parquet", 0, testkit.MinimalColumns()...)
	if summary := f.sync(); summary.FilesIndexed != 2 || summary.SpansIndexed != 0 {
		t.Errorf("Sync() = %+v", summary)
	}
	f.expect("SELECT (file_path, row_count, service_name, min_time)::VARCHAR FROM parquet_files ORDER BY 1",
		"(no-row-groups.parquet, 0, NULL, NULL)", "(no-rows.parquet, 0, NULL, NULL)")
	if summary := f.sync(); summary.FilesUnchanged != 2 {
		t.Errorf("the second Sync() = %+v", summary)
	}
}

func TestRowsThatCannotBeASpanAreLeftOutAndCounted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	// In each file the first of three rows lacks something, in the last file all do.
	for i, lacks := range []struct{ column, expr string }{
		{"trace_id", "CASE WHEN i > 0 THEN printf('%032x', 100) END"},
		{"trace_id", "CASE WHEN i > 0 THEN printf('%032x', 101) ELSE '' END"},
		{"span_id", "CASE WHEN i > 0 THEN printf('%016x', 100 + i) END"},
		{"span_id", "CASE WHEN i > 0 THEN printf('%016x', 200 + i) ELSE '' END"},
		{"start_time", "CASE WHEN i > 0 THEN TIMESTAMPTZ '2026-11-23 13:00:00Z' END"},
		{"start_time", "NULL::TIMESTAMPTZ"},
	} {
		f.lake.Table(t, fmt.Sprintf("%d.parquet", i), testkit.SpanTable(3).With(lacks.column, lacks.expr))
	}
	summary := f.sync()
	if summary.FilesIndexed != 6 || summary.RowsSkipped != 5+3 || summary.SpansIndexed != 5*2 {
		t.Errorf("Sync() = %+v", summary)
	}
	f.expect("SELECT skipped_count FROM parquet_files ORDER BY file_path", "1", "1", "1", "1", "1", "3")
	if n := strings.Count(f.logs.String(), "left out rows"); n != 6 {
		t.Errorf("the log tells of %d files with rows left out:\n%s", n, f.logs)
	}
}

// A batch may have files of many shapes: each is read in its own way, and each span gets to its own file.
func TestSeveralLayoutsInOneBatch(t *testing.T) {
	t.Parallel()
	f := newFixture(t, batchSize(100))
	shapes := []*testkit.Table{
		testkit.SpanTable(1), testkit.SpanTable(1).Reversed(), testkit.SpanTable(1).With("span_kind", "2::BIGINT"),
		testkit.SpanTable(1).Without("end_time"), testkit.SpanTable(1).With("x", "{'name': 1}"), testkit.SpanTable(1),
		testkit.SpanTable(1).Without("service_name"), testkit.SpanTable(1).With("span_kind", "2::USMALLINT"),
	}
	for i, table := range shapes {
		f.lake.Table(t, fmt.Sprintf("%d.parquet", i), table.With("trace_id", fmt.Sprintf("printf('%%032x', %d)", i)).
			With("name", fmt.Sprintf("'of %d.parquet'", i)))
	}
	if summary := f.sync(); summary.FilesIndexed != int64(len(shapes)) || summary.SpansIndexed != int64(len(shapes)) {
		t.Errorf("Sync() = %+v", summary)
	}
	f.expect("SELECT count(*) FROM span_metadata JOIN parquet_files USING (file_id) WHERE name <> 'of ' || file_path", "0")
}

// Files whose own columns have the names of DuckDB's virtual columns must not be taken for other files.
func TestColumnsNamedLikeVirtualOnesDoNotMisleadABatch(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for i := range 3 {
		span := testkit.SpanTable(2).With("trace_id", fmt.Sprintf("printf('%%032x', %d)", i)).With("name", fmt.Sprintf("'of %d.parquet'", i))
		f.lake.Table(t, fmt.Sprintf("%d.parquet", i), span.With("file_index", "1").With("file_row_number", "1").With("filename", "'1.parquet'"))
	}
	// A repeat makes the indexer ask for the numbers of rows.
	f.lake.Table(t, "3.parquet", testkit.SpanTable(2).With("trace_id", "printf('%032x', 0)").With("name", "'of 0.parquet'"))
	summary := f.sync()
	if summary.SpansIndexed != 6 || summary.Duplicates != 2 {
		t.Errorf("Sync() = %+v\n%s", summary, f.logs)
	}
	f.expect("SELECT DISTINCT name || ' in ' || file_path FROM span_metadata JOIN parquet_files USING (file_id) ORDER BY 1",
		"of 0.parquet in 0.parquet", "of 1.parquet in 1.parquet", "of 2.parquet in 2.parquet")
}

func TestAFileHoldsSeveralServices(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	service := func(name string) func(*span.Span) { return func(s *span.Span) { s.ServiceName = name } }
	f.lake.Spans(t, "named-after-nobody.parquet", testkit.Span(1, 1, service("a")), testkit.Span(1, 2, service("b/é")), testkit.Span(1, 3, service("b/é")))
	f.lake.Spans(t, "other.parquet", testkit.Span(2, 9, service("a")))
	f.sync()
	f.expect("SELECT file_path || ': ' || service_name FROM parquet_files ORDER BY 1", "named-after-nobody.parquet: b/é", "other.parquet: a")
	f.expect("SELECT (service_name, total_spans, first_seen, last_seen)::VARCHAR FROM services ORDER BY 1",
		"(a, 2, '2026-11-23 12:00:00.001+00', '2026-11-23 12:00:00.009+00')",
		"(b/é, 2, '2026-11-23 12:00:00.002+00', '2026-11-23 12:00:00.003+00')")
}
