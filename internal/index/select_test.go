package index

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// selected runs a query and returns its columns, and its rows with a bar between values.
func (f *fixture) selected(query string, form span.Form) (columns, rows []string, err error) {
	f.t.Helper()
	err = f.Select(f.t.Context(), query, form, func(names []string) error { columns = slices.Clone(names); return nil },
		func(values []*string) error {
			texts := make([]string, len(values))
			for i, v := range values {
				texts[i] = "NULL"
				if v != nil {
					texts[i] = strings.Clone(*v)
				}
			}
			rows = append(rows, strings.Join(texts, "|"))
			return nil
		})
	return columns, rows, err
}

// queryable is an index as `spanlake sql` opens it.
func queryable(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, lake: testkit.NewLake(t), logs: &strings.Builder{}}
	f.lake.Spans(t, "day=1/a.parquet", testkit.Span(1, 1), testkit.Span(1, 2, parent("x"), noEnd), testkit.Span(2, 3, func(s *span.Span) { s.ServiceName = "b" }))
	o := testOptions(t, f.lake, quiet)
	x, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.Sync(t.Context(), f.scan(), SyncOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	o.ReadOnly = true
	if f.Index, err = Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func TestSelectAnswers(t *testing.T) {
	t.Parallel()
	f := queryable(t)
	file := testkit.Quote(f.lake.Path("day=1/a.parquet"))
	for name, tc := range map[string]struct {
		query         string
		columns, rows []string
	}{
		"a number and null":           {"SELECT 1 AS a, NULL AS b", []string{"a", "b"}, []string{"1|NULL"}},
		"nothing":                     {"SELECT 1 AS a WHERE false", []string{"a"}, nil},
		"a semicolon":                 {"SELECT 1 AS a;", []string{"a"}, []string{"1"}},
		"many semicolons":             {"SELECT 1 AS a ; ;\n;", []string{"a"}, []string{"1"}},
		"a comment":                   {"SELECT 1 AS a -- a comment", []string{"a"}, []string{"1"}},
		"a comment with a semicolon":  {"SELECT 1 AS a -- first; second;", []string{"a"}, []string{"1"}},
		"a comment first":             {"-- what is it?\nSELECT 1 AS a", []string{"a"}, []string{"1"}},
		"a comment after a semicolon": {"SELECT 1 AS a; -- done", []string{"a"}, []string{"1"}},
		"a block comment at the end":  {"SELECT 1 AS a; /* done */", []string{"a"}, []string{"1"}},
		"a semicolon in a text":       {"SELECT ';' AS a", []string{"a"}, []string{";"}},
		"a text that ends in one":     {`SELECT 1 AS "a;"`, []string{"a;"}, []string{"1"}},
		"a parenthesis in a text":     {"SELECT ') FROM x' AS a", []string{"a"}, []string{") FROM x"}},
		"WITH":                        {"WITH t AS (SELECT 7 AS a) SELECT * FROM t", []string{"a"}, []string{"7"}},
		"FROM first":                  {"FROM services SELECT service_name ORDER BY 1", []string{"service_name"}, []string{"b", "svc"}},
		"VALUES":                      {"VALUES (1), (2)", []string{"col0"}, []string{"1", "2"}},
		"parentheses":                 {"(SELECT 1 AS a) UNION ALL (SELECT 2) ORDER BY a DESC", []string{"a"}, []string{"2", "1"}},
		"a table":                     {"SELECT service_name, total_spans FROM services ORDER BY 1", []string{"service_name", "total_spans"}, []string{"b|1", "svc|2"}},
		"names that are equal":        {"SELECT 1 AS a, 2 AS a", nil, []string{"1|2"}},
		"a column named columns":      {`SELECT 1 AS "columns", 2 AS "t", 3 AS "select"`, []string{"columns", "t", "select"}, []string{"1|2|3"}},
		"times in UTC":                {"SELECT min(start_time) AS a FROM span_metadata", []string{"a"}, []string{"2026-11-23 12:00:00.001+00"}},
		"nested values":               {"SELECT {'a': [1, NULL]} AS s", []string{"s"}, []string{"{'a': [1, NULL]}"}},
		"files of the lake":           {"SELECT count(*) AS n FROM read_parquet(" + file + ")", []string{"n"}, []string{"3"}},
		"files of the lake by name":   {"SELECT count(*) AS n FROM " + file, []string{"n"}, []string{"3"}},
		"all files of the lake":       {"SELECT count(*) AS n FROM read_parquet('" + f.lake.Root + "/*/*.parquet')", []string{"n"}, []string{"3"}},
		"attributes of a span": {"SELECT p.attributes AS a FROM span_metadata s JOIN read_parquet(" + file + ") p USING (trace_id, span_id) WHERE s.service_name = 'b'",
			[]string{"a"}, []string{`{"n": 2}`}},
	} {
		t.Run(name, func(t *testing.T) {
			columns, rows, err := f.selected(tc.query, span.FormText)
			if err != nil || tc.columns != nil && !slices.Equal(columns, tc.columns) || !slices.Equal(rows, tc.rows) {
				t.Errorf("Select(%s) = %q, %q, %v", tc.query, columns, rows, err)
			}
			_, objects, err := f.selected(tc.query, span.FormJSON)
			if err != nil || len(objects) != len(tc.rows) {
				t.Errorf("Select(%s) as JSON = %q, %v", tc.query, objects, err)
			}
			for _, object := range objects {
				if !json.Valid([]byte(object)) || !strings.HasPrefix(object, "{") {
					t.Errorf("Select(%s) as JSON = %s", tc.query, object)
				}
			}
		})
	}
	for _, query := range []string{"DESCRIBE services", "SHOW TABLES", "SUMMARIZE services", "DESCRIBE SELECT 1"} {
		if columns, rows, err := f.selected(query, span.FormText); err != nil || len(rows) == 0 || len(columns) == 0 {
			t.Errorf("Select(%s) = %q, %q, %v", query, columns, rows, err)
		}
	}
}

// The order that a query asks for survives the rendering, whatever the number of rows and threads.
func TestSelectKeepsTheOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(o *Options) { o.Threads = 4 })
	last, n := -1, 0
	err := f.Select(t.Context(), "SELECT i::BIGINT AS i FROM range(1000000) r(i) ORDER BY i", span.FormText, func([]string) error { return nil }, func(values []*string) error {
		var at int
		if err := json.Unmarshal([]byte(*values[0]), &at); err != nil {
			return err
		}
		if at != last+1 {
			t.Errorf("%d comes after %d", at, last)
			return errors.New("enough")
		}
		last, n = at, n+1
		return nil
	})
	if err != nil || n != 1_000_000 {
		t.Errorf("Select() = %d rows, %v", n, err)
	}
}

// What would write, or look at what is not of the lake, is refused, and nothing is made.
func TestSelectRefuses(t *testing.T) {
	t.Parallel()
	f := queryable(t)
	outside := filepath.Join(t.TempDir(), "secret.csv")
	if err := os.WriteFile(outside, []byte("a\nsecret\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	inside := f.lake.Path("made")
	neighbour := testkit.Lake{Root: f.lake.Root + "2"}
	neighbour.Spans(t, "a.parquet", testkit.Span(1, 1))
	if err := os.Symlink(outside, f.lake.Path("link.csv")); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		query string
		is    error // nil: any *span.QueryError
	}{
		"copy into the lake":           {"COPY (SELECT 1) TO '" + inside + "'", ErrNotSelect},
		"copy elsewhere":               {"COPY (SELECT 1) TO '" + outside + ".made'", nil},
		"export":                       {"EXPORT DATABASE '" + inside + "'", ErrNotSelect},
		"attach":                       {"ATTACH '" + inside + "' AS x", ErrNotSelect},
		"attach a lake file":           {"ATTACH ':memory:' AS x", ErrNotSelect},
		"use":                          {"USE temp", ErrNotSelect},
		"set":                          {"SET memory_limit = '100GB'", ErrNotSelect},
		"reset":                        {"RESET memory_limit", ErrNotSelect},
		"pragma":                       {"PRAGMA database_list", nil},
		"pragma that sets":             {"PRAGMA threads = 100", ErrNotSelect},
		"install":                      {"INSTALL httpfs", ErrNotSelect},
		"load":                         {"LOAD '" + inside + "'", ErrNotSelect},
		"call":                         {"CALL enable_logging()", ErrNotSelect},
		"checkpoint":                   {"CHECKPOINT", ErrNotSelect},
		"insert":                       {"INSERT INTO services VALUES ('x', now(), now(), 1)", ErrNotSelect},
		"insert and return":            {"INSERT INTO services VALUES ('x', now(), now(), 1) RETURNING *", ErrNotSelect},
		"insert within":                {"WITH x AS (INSERT INTO services VALUES ('x', now(), now(), 1) RETURNING *) SELECT * FROM x", nil},
		"update":                       {"UPDATE services SET total_spans = 0", ErrNotSelect},
		"delete":                       {"DELETE FROM services", ErrNotSelect},
		"drop":                         {"DROP TABLE services", ErrNotSelect},
		"create":                       {"CREATE TABLE x (a INTEGER)", ErrNotSelect},
		"create temporary":             {"CREATE TEMP TABLE x (a INTEGER)", ErrNotSelect},
		"create as":                    {"CREATE TABLE x AS SELECT 1", ErrNotSelect},
		"select into":                  {"SELECT 1 INTO x", nil},
		"begin":                        {"BEGIN", ErrNotSelect},
		"prepare":                      {"PREPARE p AS DELETE FROM services", ErrNotSelect},
		"execute":                      {"EXECUTE p", nil},
		"explain and do":               {"EXPLAIN ANALYZE DELETE FROM services", ErrNotSelect},
		"two statements":               {"SELECT 1; SELECT 2", ErrNotSelect},
		"select, then delete":          {"SELECT 1; DELETE FROM services", ErrNotSelect},
		"delete, then select":          {"DELETE FROM services; SELECT 1", ErrNotSelect},
		"out of the parentheses":       {"SELECT 1) AS t; DELETE FROM services; --", nil},
		"out of them within one":       {"SELECT 1) AS t UNION ALL SELECT * FROM (SELECT 2", nil},
		"nothing":                      {"", nil},
		"only a comment":               {"-- nothing", nil},
		"only a semicolon":             {";", nil},
		"no SQL":                       {"hello", nil},
		"a table that is not there":    {"SELECT * FROM nothing", nil},
		"a parameter":                  {"SELECT $1", nil},
		"a question mark":              {"SELECT ?", nil},
		"a failure while it runs":      {"SELECT error('boom')", nil},
		"a cast that fails":            {"SELECT CAST('x' AS INTEGER)", nil},
		"a file out of the lake":       {"SELECT * FROM read_csv('" + outside + "')", nil},
		"a file by its name":           {"SELECT * FROM '" + outside + "'", nil},
		"as text":                      {"SELECT * FROM read_text('" + outside + "')", nil},
		"as bytes":                     {"SELECT * FROM read_blob('/etc/passwd')", nil},
		"a look at its shape":          {"SELECT * FROM sniff_csv('" + outside + "')", nil},
		"a list of files":              {"SELECT * FROM glob('/etc/*')", nil},
		"around the corner":            {"SELECT * FROM read_text('" + f.lake.Root + "/../../" + filepath.Base(filepath.Dir(outside)) + "/secret.csv')", nil},
		"a neighbour of the lake":      {"SELECT * FROM read_parquet('" + neighbour.Root + "/*.parquet')", nil},
		"the footer of a neighbour":    {"SELECT * FROM parquet_metadata('" + neighbour.Path("a.parquet") + "')", nil},
		"over a link out of the lake":  {"SELECT * FROM read_csv('" + f.lake.Path("link.csv") + "')", nil},
		"the web":                      {"SELECT * FROM read_parquet('https://localhost:1/x.parquet')", nil},
		"a number of the next file":    {"SELECT nextval('file_ids')", nil},
		"a query in a query":           {"SELECT * FROM query('DELETE FROM services')", nil},
		"a file in a query in a query": {"SELECT * FROM query('FROM read_text(''/etc/passwd'')')", nil},
		"a table named at run time":    {"SELECT * FROM query_table('/etc/passwd')", nil},
		"a zero byte":                  {"SELECT 1\x00; DELETE FROM services", nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, form := range []span.Form{span.FormText, span.FormJSON} {
				_, rows, err := f.selected(tc.query, form)
				if _, ok := errors.AsType[*span.QueryError](err); !ok {
					t.Errorf("Select(%s) = %.200q, %v; want a *span.QueryError", tc.query, rows, err)
				}
				if tc.is != nil && !errors.Is(err, tc.is) {
					t.Errorf("Select(%s) = %v; want %v", tc.query, err, tc.is)
				}
				if len(rows) > 0 {
					t.Errorf("Select(%s) gave %.200q", tc.query, rows)
				}
			}
			if exists(inside) || exists(outside+".made") {
				t.Errorf("Select(%s) made a file", tc.query)
				f.lake.Remove(t, "made")
			}
		})
	}
	if _, rows, err := f.selected("SELECT count(*) FROM services", span.FormText); err != nil || !slices.Equal(rows, []string{"2"}) {
		t.Errorf("afterwards: %q, %v", rows, err)
	}
}

// Functions that do something are called in a SELECT like others.
func TestSelectDoesNotCallWhatWrites(t *testing.T) {
	t.Parallel()
	for name, query := range map[string]string{
		"a log":                "SELECT * FROM enable_logging('FileSystem', storage := 'file', storage_config := {'path': '%s'})",
		"a log, in a query":    "SELECT * FROM query('FROM enable_logging(''FileSystem'', storage := ''file'', storage_config := {''path'': ''%s''})')",
		"a profile":            "SELECT * FROM enable_profiling(format := 'json', save_location := '%s')",
		"a log, by its schema": "SELECT * FROM system.main.enable_logging('FileSystem', storage := 'file', storage_config := {'path': '%s'})",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := queryable(t)
			inside := f.lake.Path("made")
			_, rows, err := f.selected(fmt.Sprintf(query, inside), span.FormText)
			if wrong := (*span.QueryError)(nil); !errors.As(err, &wrong) {
				t.Errorf("Select() = %q, %v; want a *span.QueryError", rows, err)
			}
			_, _, _ = f.selected("FROM glob('"+f.lake.Root+"/*')", span.FormText) // something to be logged
			if exists(inside) {
				t.Error("a log is in the lake")
			}
		})
	}
}

func TestSelectStopsWhenToldTo(t *testing.T) {
	t.Parallel()
	f := queryable(t)
	enough := errors.New("enough")
	ignore := func([]string) error { return nil }
	if err := f.Select(t.Context(), "FROM range(1000000)", span.FormText, func([]string) error { return enough }, func([]*string) error { return nil }); !errors.Is(err, enough) {
		t.Errorf("when header returns an error: %v", err)
	}
	if err := f.Select(t.Context(), "FROM range(1000000)", span.FormText, ignore, func([]*string) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("when row returns an error: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := f.Select(ctx, "FROM range(5000000) r(i) SELECT hash(i)", span.FormText, ignore, func([]*string) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("when the context ends: %v", err)
	}
	// It goes on answering.
	if _, rows, err := f.selected("SELECT 1", span.FormText); err != nil || !slices.Equal(rows, []string{"1"}) {
		t.Errorf("afterwards: %q, %v", rows, err)
	}
}

// An index that answers queries goes on indexing.
func TestSelectDoesNotKeepTheIndexFromIndexing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.lake.Spans(t, "a.parquet", testkit.Spans(1, 5)...)
	f.sync()
	for i := range 3 {
		if _, rows, err := f.selected("SELECT count(*) FROM span_metadata", span.FormText); err != nil || len(rows) != 1 {
			t.Fatalf("Select() = %q, %v", rows, err)
		}
		f.lake.Spans(t, "a.parquet", testkit.Spans(1, 6+i)...)
		f.sync()
	}
}

// A reader who looks at the past, for as long as it likes, does not keep files from being indexed anew.
func TestALongReadDoesNotDisturbAPass(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.lake.Spans(t, "a.parquet", testkit.Spans(1, 5)...)
	f.lake.Put(t, "bad.parquet", []byte("no Parquet"))
	f.sync()
	reader, err := f.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Rollback() }()
	count := func() (n int) {
		if err := reader.QueryRowContext(t.Context(), "SELECT count(*) FROM span_metadata, (SELECT count(*) FROM parquet_files), (SELECT count(*) FROM failed_parquet_files)").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := count()
	for i := range 3 {
		f.lake.Spans(t, "a.parquet", testkit.Spans(1, 6+i)...)
		f.lake.Put(t, "bad.parquet", []byte("still no Parquet"))
		f.sync()
	}
	f.lake.Remove(t, "bad.parquet")
	f.sync()
	if after := count(); before != 5 || after != 5 {
		t.Errorf("the reader saw %d spans, then %d", before, after)
	}
	f.expectSpans(8)
}

// spans is the lake: all columns of all indexed files, whatever they have, and nothing of others.
func TestSelectSeesTheLakeAsAView(t *testing.T) {
	t.Parallel()
	f := queryable(t)
	for query, want := range map[string][]string{
		"SELECT count(*), count(attributes), count(otlp) FROM spans":                                                                {"3|3|0"},
		"SELECT attributes, file_path FROM spans WHERE service_name = 'b'":                                                          {`{"n": 2}|day=1/a.parquet`},
		"SELECT count(*) FROM SPANS WHERE file_path = 'day=1/a.parquet'":                                                            {"3"},
		"SELECT count(*) FROM spans JOIN parquet_files USING (file_path)":                                                           {"3"},
		"SELECT count(*) FROM span_metadata JOIN spans USING (trace_id, span_id)":                                                   {"3"},
		"WITH spans AS (SELECT 1 AS a) FROM spans":                                                                                  {"1"},
		"SELECT count(*) FROM main.spans":                                                                                           {"3"},
		"SELECT count(*) FROM (DESCRIBE spans)":                                                                                     {"30"},
		"SELECT (SELECT max(s.name) FROM spans s WHERE s.span_id = m.span_id) FROM (FROM span_metadata ORDER BY span_id LIMIT 1) m": {"op"},
	} {
		if _, rows, err := f.selected(query, span.FormText); err != nil || !slices.Equal(rows, want) {
			t.Errorf("Select(%s) = %q, %v; want %q", query, rows, err, want)
		}
	}
	// It is there for the query that names it only.
	if _, rows, err := f.selected("SELECT view_name FROM duckdb_views() WHERE view_name = 'spans'", span.FormText); err != nil || len(rows) > 0 {
		t.Errorf("views afterwards: %q, %v", rows, err)
	}
}

// Files of all shapes are in the view, beside each other; failed ones, and ones that are gone, are not.
func TestTheViewOfSpansTakesFilesAsTheyAre(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	count := func() string {
		t.Helper()
		_, rows, err := f.selected("SELECT count(*) || ' ' || count(attributes) || ' ' || count(start_time_remainder) || ' ' || coalesce(sum(span_kind), 0) FROM spans", span.FormText)
		if err != nil || len(rows) != 1 {
			t.Fatalf("Select() = %q, %v", rows, err)
		}
		return rows[0]
	}
	f.sync()
	if got := count(); got != "0 0 0 0" {
		t.Errorf("an empty lake: %s", got)
	}
	writeWithLake(t, f.lake, fullSpan(1, 1))
	f.lake.Spans(t, "it's [a] *.parquet", testkit.Span(2, 2))
	f.lake.Arrow(t, "minimal.parquet", 4, append(testkit.MinimalColumns(), testkit.Null("attributes"), testkit.Null("name"))...)
	f.lake.Table(t, "other.parquet", testkit.SpanTable(2).Reversed().With("start_time", "TIMESTAMP_NS '2026-11-23 12:00:00.123456789'").
		With("attributes", "{'a': i}").With("span_kind", "3::UBIGINT").With("more", "'x'").Without("events", "name").With("NAME", "'upper'"))
	f.lake.Put(t, "bad.parquet", []byte("PAR1 no Parquet PAR1"))
	f.sync()
	if got := count(); got != "8 4 1 10" {
		t.Errorf("files of several writers: %s", got)
	}
	if _, rows, err := f.selected("SELECT DISTINCT name FROM spans WHERE file_path = 'other.parquet'", span.FormText); err != nil || !slices.Equal(rows, []string{"upper"}) {
		t.Errorf("a name in capitals: %q, %v", rows, err)
	}
	f.lake.Remove(t, "it's [a] *.parquet")
	if got := count(); got != "7 3 1 8" {
		t.Errorf("after a file has gone: %s", got)
	}
}
