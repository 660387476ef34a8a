package ui

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/spanlake/spanlake/internal/span"
)

// sqlTable is a table that queries see.
type sqlTable struct {
	Name, About string
	Columns     []sqlColumn
	// Internal: it may change with any version.
	Internal bool
}

type sqlColumn struct{ Name, Type string }

const (
	// sqlSpansView is there only while a query names it, so it is described by itself.
	sqlSpansView    = "spans"
	sqlSpansColumns = `SELECT '` + sqlSpansView + `', column_name, column_type FROM (DESCRIBE ` + sqlSpansView + `)`
	sqlIndexColumns = `
SELECT table_name, column_name, data_type
FROM duckdb_columns()
WHERE NOT internal AND schema_name = 'main' AND database_name = current_database()
ORDER BY table_name, column_index`
)

// sqlTables are the tables that queries see, the ones that are asked for most first.
func (u *UI) sqlTables(ctx context.Context) ([]sqlTable, error) {
	var tables []sqlTable
	for _, query := range []string{sqlSpansColumns, sqlIndexColumns} {
		err := u.Catalog.Select(ctx, query, span.FormText, func([]string) error { return nil }, func(row []*string) error {
			name, column, kind := textOf(row[0]), textOf(row[1]), textOf(row[2])
			if n := len(tables); n == 0 || tables[n-1].Name != name {
				tables = append(tables, sqlTable{Name: name})
			}
			last := &tables[len(tables)-1]
			last.Columns = append(last.Columns, sqlColumn{column, shortType(kind)})
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("list the tables: %w", err)
		}
	}
	known := describedTables()
	place := func(t sqlTable) int {
		at := slices.IndexFunc(known, func(k sqlTable) bool { return k.Name == t.Name })
		if at < 0 {
			return len(known)
		}
		return at
	}
	for i := range tables {
		tables[i].Internal = true
		if at := place(tables[i]); at < len(known) {
			tables[i].About, tables[i].Internal = known[at].About, known[at].Internal
		}
	}
	slices.SortStableFunc(tables, func(a, b sqlTable) int { return cmp.Compare(place(a), place(b)) })
	return tables, nil
}

func textOf(value *string) string {
	if value == nil {
		return ""
	}
	return *value
}

// shortType is the name of a type as people write it.
func shortType(name string) string {
	if name == "TIMESTAMP WITH TIME ZONE" {
		return "TIMESTAMPTZ"
	}
	return name
}

// describedTables say what the tables are for.
func describedTables() []sqlTable {
	return []sqlTable{
		{Name: "span_metadata", About: "One row for each span: who, what, when, how long. Fast: ask this one first."},
		{Name: sqlSpansView, About: "The same spans whole, with attributes and events as JSON, read from the Parquet files."},
		{Name: "services", About: "The services, and when they were seen."},
		{Name: "daily_stats", About: "Spans, errors and durations of each service by UTC day."},
		{Name: "parquet_files", About: "The indexed files of the lake."},
		{Name: "file_services", About: "Which services are in which file."},
		{Name: "failed_parquet_files", About: "Files that could not be indexed, and why."},
		{Name: "schema_version", About: "Which version of the tables this is.", Internal: true},
		{Name: "root_spans", About: "The roots of span_metadata once more.", Internal: true},
		{Name: "trace_lookup", About: "Which files have a trace.", Internal: true},
		{Name: "trace_lookup_tail", About: "The same of what was indexed last.", Internal: true},
		{Name: "daily_durations", About: "What daily_stats is made of.", Internal: true},
		{Name: "daily_durations_tail", About: "The same of what was indexed last.", Internal: true},
		{Name: "file_repeats", About: "How many spans a file repeats of another.", Internal: true},
		{Name: "row_groups", About: "Which attributes the parts of a file may have.", Internal: true},
		{Name: "retired_files", About: "Files that retention is about to delete.", Internal: true},
	}
}
