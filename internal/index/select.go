package index

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/spanlake/spanlake/internal/span"
)

// ErrNotSelect says that a statement does more than read.
var ErrNotSelect = errors.New("only one statement that reads is allowed: SELECT, FROM, WITH, VALUES, DESCRIBE, SHOW or SUMMARIZE")

// renderSQL renders the rows of a query that is known to be a single SELECT. DuckDB's function query parses it on its own,
// so that a comment or a semicolon at its end means what it always does.
func renderSQL(form span.Form, query string, columns []string) string {
	if form == span.FormJSON {
		row := "whole_row"
		for slices.ContainsFunc(columns, func(c string) bool { return strings.EqualFold(c, row) }) {
			row += "_" // a column of that name would hide the row
		}
		return "SELECT CAST(to_json(" + row + ") AS VARCHAR) AS json FROM query(" + quote(query) + ") AS " + row
	}
	return "SELECT CAST(COLUMNS(*) AS VARCHAR) FROM query(" + quote(query) + ")"
}

// quote makes a text constant for the places where SQL takes no parameters.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// Select runs a query that a user wrote and calls header once, then row for each row; values are nil for NULL and valid
// during the call only. The query sees the tables of the index, the indexed files as the view spans, and may read the files of
// the lake, and nothing else of the machine.
//
// Errors: *span.QueryError if the query is at fault, ErrNotSelect in it if it would write; or what header and row return.
func (x *Index) Select(ctx context.Context, query string, form span.Form, header func(columns []string) error, row func(values []*string) error) error {
	begun := false
	return x.handingOn(ctx, &begun, func(db *sql.DB) error {
		return x.selectFrom(ctx, db, query, form, func(columns []string) error {
			begun = true
			return header(columns)
		}, row)
	})
}

func (x *Index) selectFrom(ctx context.Context, db *sql.DB, query string, form span.Form, header func([]string) error, row func([]*string) error) error {
	defer x.memory.beside()()
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("query: %w", err)
	}
	defer func() { _ = conn.Close() }() // gives it back to the pool
	spans, err := checkSelect(ctx, conn, query)
	if err != nil {
		return err
	}
	if spans {
		forget, err := x.withSpans(ctx, conn)
		if err != nil {
			return fmt.Errorf("query: view of spans: %w", explain(ctx, err))
		}
		defer forget()
	}
	return conn.Raw(func(raw any) error {
		duck := raw.(*duckdb.Conn)
		asked, err := prepareSelect(duck, query)
		if err != nil {
			return err
		}
		columns, err := columnNames(asked)
		if err := errors.Join(err, asked.Close()); err != nil {
			return fmt.Errorf("query: %w", err)
		}
		rendered, err := prepareSelect(duck, renderSQL(form, query, columns))
		if err != nil {
			return err
		}
		defer func() { _ = rendered.Close() }() // nothing was written
		rows, err := rendered.QueryContext(ctx, nil)
		if err != nil {
			return queryError(ctx, err)
		}
		defer func() { _ = rows.Close() }() // nothing was written
		if form == span.FormJSON {
			return eachRow(ctx, rows, header, func(values []*string) error {
				*values[0] = finiteJSON(*values[0])
				return row(values)
			})
		}
		return eachRow(ctx, rows, header, row)
	})
}

func columnNames(statement *duckdb.Stmt) ([]string, error) {
	n, err := statement.ColumnCount()
	if err != nil {
		return nil, err
	}
	names := make([]string, n)
	for i := range names {
		if names[i], err = statement.ColumnName(i); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// finiteJSON makes null of the numbers that DuckDB writes but JSON does not know: NaN, Infinity and -Infinity.
func finiteJSON(text string) string {
	if !strings.Contains(text, "NaN") && !strings.Contains(text, "Infinity") {
		return text
	}
	var out strings.Builder
	quoted := false
	for i := 0; i < len(text); i++ {
		switch rest := text[i:]; {
		case quoted && text[i] == '\\':
			out.WriteByte(text[i])
			i++ // what it escapes is no end of the string
		case text[i] == '"':
			quoted = !quoted
		case !quoted && strings.HasPrefix(rest, "NaN"):
			out.WriteString("null")
			i += len("NaN") - 1
			continue
		case !quoted && strings.HasPrefix(rest, "-Infinity"):
			out.WriteString("null")
			i += len("-Infinity") - 1
			continue
		case !quoted && strings.HasPrefix(rest, "Infinity"):
			out.WriteString("null")
			i += len("Infinity") - 1
			continue
		}
		out.WriteByte(text[i])
	}
	return out.String()
}

// prepareSelect prepares a query if it is one that only reads.
func prepareSelect(conn *duckdb.Conn, query string) (*duckdb.Stmt, error) {
	// Prepare, unlike PrepareContext, refuses several statements instead of running all but the last.
	prepared, err := conn.Prepare(query)
	if err != nil {
		if _, ok := errors.AsType[*duckdb.Error](err); ok {
			return nil, &span.QueryError{Err: err}
		}
		return nil, &span.QueryError{Err: ErrNotSelect} // the driver counted the statements
	}
	statement := prepared.(*duckdb.Stmt)
	// The settings alone would let a COPY write into the lake.
	if kind, err := statement.StatementType(); err != nil || kind != duckdb.STATEMENT_TYPE_SELECT {
		return nil, &span.QueryError{Err: errors.Join(ErrNotSelect, err, statement.Close())}
	}
	if n := statement.NumInput(); n != 0 {
		return nil, &span.QueryError{Err: errors.Join(fmt.Errorf("the query has %d parameters, but there is nothing to fill them with", n), statement.Close())}
	}
	return statement, nil
}

// queryError blames the query, unless it was interrupted or the machine failed.
func queryError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("query: %w", ctx.Err())
	}
	switch {
	case outOfMemory(err):
		return fmt.Errorf("the query needs more memory than there is, raise --memory: %w", err)
	case refusing(err):
		return fmt.Errorf("query: %w", err)
	}
	return &span.QueryError{Err: err}
}

func eachRow(ctx context.Context, rows driver.Rows, header func([]string) error, row func([]*string) error) error {
	columns := rows.Columns()
	if err := header(columns); err != nil {
		return err
	}
	values, shown := make([]driver.Value, len(columns)), make([]*string, len(columns))
	for {
		// The driver looks at ctx before the first row only.
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("query: %w", err)
		}
		switch err := rows.Next(values); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return queryError(ctx, err)
		}
		for i, value := range values {
			shown[i] = nil
			if text, ok := value.(string); ok {
				shown[i] = &text
			}
		}
		if err := row(shown); err != nil {
			return err
		}
	}
}
