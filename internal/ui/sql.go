package ui

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spanlake/spanlake/internal/api/wire"
)

// sqlBody is what the page for SQL shows. Queries run by a module, which asks the API: a link only fills the editor, so that none can
// have somebody else's browser run an expensive one.
type sqlBody struct {
	Query    string
	Tables   []sqlTable
	Internal []sqlTable
	// Problem is why there are no tables.
	Problem  string
	Examples []SQLExample
	Limits   sqlLimits
}

// sqlLimits are those of the API.
type sqlLimits struct {
	Rows  int64  `json:"rows"`
	Bytes int64  `json:"bytes"`
	Time  string `json:"-"`
	// AtOnce is how many queries the server runs at once.
	AtOnce int64 `json:"-"`
	// Shown is how many rows are put on the page at a time.
	Shown int64 `json:"shown"`
}

func inMinutes(d time.Duration) string {
	return strconv.FormatFloat(d.Minutes(), 'f', -1, 64) + " minutes"
}

// rowsShown is as many rows as a browser lays out at once without a pause that is felt.
const rowsShown = 1000

// Address is the page with the query in the editor.
func (e SQLExample) Address() string { return sqlAddress(e.Query) }

func sqlAddress(query string) string { return "/sql?" + url.Values{"q": {query}}.Encode() }

func (u *UI) showSQL(w http.ResponseWriter, r *http.Request) error {
	body := sqlBody{Examples: SQLExamples(), Limits: sqlLimits{Rows: wire.SQLMaxRows, Bytes: wire.SQLMaxBytes, Time: inMinutes(wire.SQLTime),
		AtOnce: wire.SQLAtOnce, Shown: rowsShown}}
	body.Query = body.Examples[0].Query
	if r.URL.Query().Has("q") {
		body.Query = r.URL.Query().Get("q")
	}
	tables, err := u.sqlTables(r.Context())
	switch {
	case r.Context().Err() != nil:
		return fmt.Errorf("list the tables: %w", context.Cause(r.Context()))
	case err != nil: // the editor is of use all the same
		u.Log.Warn("the tables of the index could not be listed", "error", err)
		body.Problem = err.Error()
	}
	for _, t := range tables {
		if t.Internal {
			body.Internal = append(body.Internal, t)
		} else {
			body.Tables = append(body.Tables, t)
		}
	}
	u.show(w, r, view{Page: "sql", Title: "SQL", Scripts: []string{"sql.js"}, Styles: []string{"sql.css"}, Body: body})
	return nil
}
