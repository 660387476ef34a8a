package testkit

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/duckdb/duckdb-go/v2" // the driver

	"github.com/spanlake/spanlake/internal/span"
)

// Table describes a Parquet file as SQL expressions, one for each column, over rows numbered i from 0.
type Table struct {
	names   []string
	exprs   map[string]string
	rows    int
	from    string
	options string
}

// SpanTable is a sound file of a number of rows, four spans to the trace, in the columns of the format.
func SpanTable(rows int) *Table {
	t := &Table{exprs: make(map[string]string), rows: rows, from: fmt.Sprintf("range(%d) AS r(i)", rows)}
	return t.
		With("span_id", "printf('%016x', i + 1)").
		With("trace_id", "printf('%032x', i // 4 + 1)").
		With("parent_span_id", "CASE WHEN i % 4 > 0 THEN printf('%016x', i - i % 4 + 1) END").
		With("service_name", "'svc'").
		With("name", "'op ' || i").
		With("span_kind", "2::TINYINT").
		With("start_time", utc(Start)+" + to_milliseconds(i)").
		With("end_time", utc(Start)+" + to_milliseconds(i + 5)").
		With("duration_ns", "5000000::BIGINT").
		With("status_code", "1::TINYINT").
		With("status_message", "NULL::VARCHAR").
		With("attributes", "'{\"n\": ' || i || '}'").
		With("events", "'[]'").
		With("resource_attributes", "'{}'")
}

// SpansTable is a file with these spans, in their order. A zero EndTime becomes null.
func SpansTable(spans ...span.Span) *Table {
	var values []string
	for i, s := range spans {
		values = append(values, fmt.Sprintf("(%d, %s, %s, %s, %s, %s, %d, %s, %s, %d, %d)", i, Quote(s.SpanID), Quote(s.TraceID),
			Quote(s.ParentSpanID), Quote(s.ServiceName), Quote(s.Name), s.Kind, utc(s.StartTime), utc(s.EndTime),
			s.Duration().Nanoseconds(), s.StatusCode))
	}
	if len(values) == 0 {
		return SpanTable(0)
	}
	t := SpanTable(len(spans))
	t.from = "(VALUES " + strings.Join(values, ",\n") + ") AS v(i, span, trace, parent, service, span_name, kind, t0, t1, took, code)"
	return t.
		With("span_id", "span").With("trace_id", "trace").With("parent_span_id", "parent").With("service_name", "service").
		With("name", "span_name").With("span_kind", "kind::TINYINT").With("start_time", "t0").With("end_time", "t1").
		With("duration_ns", "took::BIGINT").With("status_code", "code::TINYINT")
}

// With replaces a column, or appends it.
func (t *Table) With(name, expr string) *Table {
	if _, ok := t.exprs[name]; !ok {
		t.names = append(t.names, name)
	}
	t.exprs[name] = expr
	return t
}

// Without leaves columns out.
func (t *Table) Without(names ...string) *Table {
	t.names = slices.DeleteFunc(t.names, func(name string) bool { return slices.Contains(names, name) })
	return t
}

// Reversed turns the order of the columns round.
func (t *Table) Reversed() *Table {
	slices.Reverse(t.names)
	return t
}

// Options adds options of COPY, such as "ROW_GROUP_SIZE 2048".
func (t *Table) Options(options string) *Table {
	t.options += ", " + options
	return t
}

func (t *Table) write(tb testing.TB, path string) {
	tb.Helper()
	columns := make([]string, len(t.names))
	for i, name := range t.names {
		columns[i] = t.exprs[name] + ` AS "` + strings.ReplaceAll(name, `"`, `""`) + `"`
	}
	// Written under a plain name, since DuckDB reads patterns and schemes into others.
	plain := filepath.Join(tb.TempDir(), "written.parquet")
	Exec(tb, fmt.Sprintf("COPY (SELECT %s FROM %s) TO %s (FORMAT parquet%s)", strings.Join(columns, ", "), t.from, Quote(plain), t.options))
	content, err := os.ReadFile(plain)
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		tb.Fatal(err)
	}
}

// Exec runs statements in a DuckDB of the test process that holds no data.
func Exec(t testing.TB, statements string) {
	t.Helper()
	if _, err := scratch().Exec(statements); err != nil {
		t.Fatalf("%v\n%.300s", err, statements)
	}
}

// Query returns the rows of a query in a DuckDB of its own, each a list of values as text, null being "NULL".
func Query(t testing.TB, query string) (texts [][]string) {
	t.Helper()
	db, err := sql.Open("duckdb", scratchSettings)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatalf("%v\n%.300s", err, query)
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values, to := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range values {
			to[i] = &values[i]
		}
		if err := rows.Scan(to...); err != nil {
			t.Fatal(err)
		}
		row := make([]string, len(columns))
		for i, value := range values {
			if row[i] = "NULL"; value.Valid {
				row[i] = value.String
			}
		}
		texts = append(texts, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return texts
}

const scratchSettings = "?threads=1&memory_limit=1GB"

var scratch = sync.OnceValue(func() *sql.DB {
	db, err := sql.Open("duckdb", scratchSettings)
	if err != nil {
		panic(err)
	}
	return db
})

// Quote makes text an SQL literal.
func Quote(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// utc is t as an SQL expression of type TIMESTAMPTZ.
func utc(t time.Time) string {
	if t.IsZero() {
		return "NULL::TIMESTAMPTZ"
	}
	return "to_timestamp(0) + to_microseconds(" + strconv.FormatInt(t.UnixMicro(), 10) + ")"
}
