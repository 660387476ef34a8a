package ui

import (
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/spanlake/spanlake/internal/span"
)

// textSearch looks for a text in the JSON texts of spans, whatever its case.
type textSearch struct {
	lower string
	// plain: the text has nothing that JSON writes otherwise, or that belongs to JSON itself.
	plain bool
}

func newTextSearch(text string) textSearch {
	lower := strings.ToLower(text)
	return textSearch{lower: lower, plain: !strings.ContainsAny(lower, "\"\\{}[],:<>&\u2028\u2029\n\r\t")}
}

func (t textSearch) in(s *span.Span) bool {
	return t.inJSON(s.Attributes) || t.inJSON(s.ResourceAttributes) || t.inJSON(s.Events) || t.inJSON(s.Links) || t.inJSON(s.ScopeAttributes) ||
		strings.Contains(strings.ToLower(s.ScopeName), t.lower) || strings.Contains(strings.ToLower(s.TraceState), t.lower)
}

// inJSON tells whether a key or a value has the text. Most texts have no escapes and can be searched as they are.
func (t textSearch) inJSON(text string) bool {
	escapes := strings.Contains(text, `\`)
	if t.plain && !escapes {
		return strings.Contains(strings.ToLower(text), t.lower)
	}
	// What a decoder says token by token does not nest, however deep the text does.
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	for {
		token, err := d.Token()
		switch token := token.(type) {
		case string:
			if strings.Contains(strings.ToLower(token), t.lower) {
				return true
			}
		case json.Number:
			if strings.Contains(strings.ToLower(token.String()), t.lower) {
				return true
			}
		case bool:
			if token && t.lower == "true" || !token && t.lower == "false" {
				return true
			}
		}
		if err != nil {
			// Of a text that is no JSON, the text itself is all there is.
			return !errors.Is(err, io.EOF) && strings.Contains(strings.ToLower(text), t.lower)
		}
	}
}
