package index

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/spanlake/spanlake/internal/span"
)

// parseSQL only parses: preparing a statement binds it, and binding an EXPORT DATABASE already makes its folder.
const parseSQL = `
SELECT CAST(json_serialize_sql(q, skip_null := true, skip_empty := true, skip_default := true) AS VARCHAR)
FROM (SELECT CAST($1 AS VARCHAR) AS q)`

// actingFunctions are called in a SELECT like others but do something: the ones for logs and profiles write files, into the
// lake too. Those that run a text could call them out of our sight.
func actingFunctions() []string {
	return []string{"enable_logging", "disable_logging", "truncate_duckdb_logs", "enable_profiling", "disable_profiling",
		"enable_peg_parser", "disable_peg_parser", "checkpoint", "force_checkpoint", "query", "json_execute_serialized_sql", "nextval"}
}

// checkSelect parses a query and makes sure that it is one SELECT that calls nothing that acts. It says whether it reads the view of spans.
func checkSelect(ctx context.Context, conn *sql.Conn, query string) (spans bool, err error) {
	var text string
	if err := conn.QueryRowContext(ctx, parseSQL, query).Scan(&text); err != nil {
		return false, queryError(ctx, err)
	}
	var parsed struct {
		Error      bool   `json:"error"`
		Type       string `json:"error_type"`
		Message    string `json:"error_message"`
		Statements []any  `json:"statements"`
	}
	if err := json.Unmarshal([]byte(text), &parsed); err != nil {
		return false, fmt.Errorf("query: parse: %w", err)
	}
	// DuckDB's type of the error for a statement that is no SELECT: json_serialize_sql knows no other kind.
	const notSelect = "not implemented"
	switch {
	case parsed.Error && parsed.Type == notSelect, !parsed.Error && len(parsed.Statements) != 1:
		return false, &span.QueryError{Err: ErrNotSelect}
	case parsed.Error:
		return false, &span.QueryError{Err: errors.New(parsed.Message)}
	}
	if name := actingFunction(parsed.Statements); name != "" {
		return false, &span.QueryError{Err: fmt.Errorf("the query calls %s, which does more than read", name)}
	}
	return mentionsSpans(parsed.Statements), nil
}

// actingFunction is the first of actingFunctions that a parsed statement calls.
func actingFunction(node any) string {
	switch node := node.(type) {
	case []any:
		for _, child := range node {
			if name := actingFunction(child); name != "" {
				return name
			}
		}
	case map[string]any:
		if name, ok := node["function_name"].(string); ok && slices.Contains(actingFunctions(), name) {
			return name
		}
		for _, child := range node {
			if name := actingFunction(child); name != "" {
				return name
			}
		}
	}
	return ""
}
