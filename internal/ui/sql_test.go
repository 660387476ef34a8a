package ui

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/spanlake/spanlake/internal/span"
)

// failingCatalog cannot be asked, as an index whose disk is gone.
type failingCatalog struct{ Catalog }

func (failingCatalog) Select(context.Context, string, span.Form, func([]string) error, func([]*string) error) error {
	return errors.New("the index <cannot> be read")
}

// noServices are the services of an empty index, which colours are asked for.
type noServices struct{ Queries }

func (noServices) Services(context.Context) ([]span.Service, span.Completeness, error) {
	return nil, span.Completeness{}, nil
}

// The editor is there with its query, whatever that is, also if the tables cannot be listed.
func TestSQLWithoutTables(t *testing.T) {
	u, err := New(Options{Queries: noServices{}, Catalog: failingCatalog{}})
	if err != nil {
		t.Fatal(err)
	}
	query := "\n</textarea><script>alert(1)</script>"
	answer := httptest.NewRecorder()
	u.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/sql?"+url.Values{"q": {query}}.Encode(), nil))
	page := answer.Body.String()
	if answer.Code != http.StatusOK || !strings.Contains(page, "\n\n&lt;/textarea&gt;&lt;script&gt;alert(1)&lt;/script&gt;</textarea>") || strings.Contains(page, "<script>alert") {
		t.Errorf("the page is %d %s", answer.Code, page)
	}
	if !strings.Contains(page, "the index &lt;cannot&gt; be read") {
		t.Error("it does not say why there are no tables")
	}
}

// Examples differ, and their addresses lead to themselves.
func TestAddressesOfExamples(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range SQLExamples() {
		at, err := url.Parse(e.Address())
		if err != nil || at.Path != "/sql" || at.Query().Get("q") != e.Query || seen[e.Title] || seen[e.Query] {
			t.Errorf("%s is at %s: %v", e.Title, e.Address(), err)
		}
		seen[e.Title], seen[e.Query] = true, true
	}
}
