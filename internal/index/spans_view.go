package index

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// spansView is the name under which a query sees the files of the lake.
const spansView = "spans"

// viewColumn is a column of the view, with the type that it has whatever the files have.
type viewColumn struct{ name, duckType string }

// viewColumns are the columns of a lake, in the order of docs/formats/lake.md.
func viewColumns() []viewColumn {
	var columns []viewColumn
	for _, c := range lightColumns() {
		duckType := map[columnFamily]string{textFamily: "VARCHAR", integerFamily: "BIGINT", timeFamily: "TIMESTAMPTZ"}[c.family]
		columns = append(columns, viewColumn{c.name, duckType})
	}
	for _, c := range wholeColumns() {
		duckType := "VARCHAR"
		switch c.kind {
		case countKind:
			duckType = "BIGINT"
		case bytesKind:
			duckType = "BLOB"
		}
		columns = append(columns, viewColumn{c.name, duckType})
	}
	return append(columns, viewColumn{"start_time_remainder", "BIGINT"})
}

const (
	registeredPathsSQL = `SELECT file_path FROM parquet_files ORDER BY min_time`

	dropViewSQL = `DROP VIEW IF EXISTS temp.` + spansView
)

// withSpans gives a connection the view, for a query that names it. forget takes it away again.
//
// DuckDB is told the columns, so that it reads the footer of a file when it reads the file and not before: a lake may have many.
func (x *Index) withSpans(ctx context.Context, conn *sql.Conn) (forget func(), err error) {
	var patterns []string
	err = eachRowOf(ctx, conn, registeredPathsSQL, func(scan func(...any) error) error {
		var path string
		if err := scan(&path); err != nil {
			return err
		}
		// One that is gone, and that the index has yet to hear of, would fail the query.
		if info, err := os.Lstat(x.fullPath(path)); err == nil && info.Mode().IsRegular() {
			patterns = append(patterns, quote(literalPattern(x.fullPath(path))))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if _, err := conn.ExecContext(ctx, x.spansViewSQL(patterns)); err != nil {
		return nil, err
	}
	return func() {
		// The connection goes back to the pool.
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), dropViewSQL)
	}, nil
}

// spansViewSQL makes the view. A view cannot have parameters: paths are quoted.
func (x *Index) spansViewSQL(patterns []string) string {
	var names, schema, empty []string
	for _, c := range viewColumns() {
		names = append(names, c.name)
		schema = append(schema, fmt.Sprintf("'%s': {name: '%s', type: '%s', default_value: NULL}", c.name, c.name, c.duckType))
		empty = append(empty, "CAST(NULL AS "+c.duckType+")")
	}
	create := "CREATE OR REPLACE TEMP VIEW " + spansView + " (" + strings.Join(append(names, "file_path"), ", ") + ") AS\n"
	if len(patterns) == 0 {
		return create + "SELECT " + strings.Join(empty, ", ") + ", '' WHERE false"
	}
	// What stands before the path within the lake, and the slash after it.
	path := "substring(filename, " + strconv.Itoa(len([]rune(x.fullPath(".")))+2) + ")"
	return create + "SELECT " + strings.Join(names, ", ") + ", " + path + "\nFROM read_parquet([" + strings.Join(patterns, ", ") +
		"], schema = MAP {" + strings.Join(schema, ", ") + "})"
}

// mentionsSpans tells whether a parsed statement reads a table of the name of the view.
func mentionsSpans(node any) bool {
	switch node := node.(type) {
	case []any:
		return slices.ContainsFunc(node, mentionsSpans)
	case map[string]any:
		if name, ok := node["table_name"].(string); ok && strings.EqualFold(name, spansView) {
			return true
		}
		for _, child := range node {
			if mentionsSpans(child) {
				return true
			}
		}
	}
	return false
}
