package index

import (
	"encoding/json"
	"testing"

	"github.com/spanlake/spanlake/internal/span"
)

// What DuckDB renders as JSON is span.FormJSON, whatever the numbers and the names are.
func TestSelectAsJSONIsJSON(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for query, want := range map[string]string{
		"SELECT 1/0::DOUBLE AS r, 0/0::DOUBLE AS n, -1/0::DOUBLE AS m":    `{"r":null,"n":null,"m":null}`,
		"SELECT {'a': [1.5, 'NaN'::DOUBLE]} AS nested":                    `{"nested":{"a":[1.5,null]}}`,
		`SELECT 'NaN, "-Infinity" \ Infinity' AS text, 'NaN'::FLOAT AS f`: `{"text":"NaN, \"-Infinity\" \\ Infinity","f":null}`,
		"SELECT 1 AS whole_row, 2 AS Whole_Row_":                          `{"whole_row":1,"Whole_Row_":2}`,
	} {
		_, objects, err := f.selected(query, span.FormJSON)
		if err != nil || len(objects) != 1 {
			t.Errorf("Select(%s) = %v, %v", query, objects, err)
			continue
		}
		got := objects[0]
		if !json.Valid([]byte(got)) || got != want {
			t.Errorf("Select(%s) = %s, want %s", query, got, want)
		}
	}
}
