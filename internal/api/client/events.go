package client

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/span"
)

// eventReader reads server-sent events as the server sends them: the data of each is one line.
type eventReader struct{ lines reader }

// next reads an event; comments are passed over.
func (r *eventReader) next() (kind, data string, err error) {
	for {
		line, err := r.lines.text()
		if err != nil {
			return "", "", err
		}
		text := strings.TrimSuffix(string(line), "\n")
		switch name, value, _ := strings.Cut(text, ":"); {
		case text == "" && kind != "":
			return kind, data, nil
		case name == "event":
			kind = strings.TrimPrefix(value, " ")
		case name == "data":
			data = strings.TrimPrefix(value, " ")
		}
	}
}

func rootOf(data string) (span.Metadata, error) {
	var trace wire.Trace
	if err := json.Unmarshal([]byte(data), &trace); err != nil {
		return span.Metadata{}, fmt.Errorf("read an event: %w", err)
	}
	return trace.Span()
}

func problemOf(data string) wire.Problem {
	var problem wire.Problem
	if err := json.Unmarshal([]byte(data), &problem); err != nil {
		problem = wire.Problem{Status: http.StatusInternalServerError, Detail: "the reason cannot be read: " + err.Error()}
	}
	return problem
}

// invalidOf is what a server refused to be asked, if it says which parameter is wrong.
func invalidOf(p wire.Problem) (*span.InvalidError, bool) {
	if p.Status != http.StatusUnprocessableEntity || len(p.Errors) == 0 {
		return nil, false
	}
	first := p.Errors[0]
	what := first.Location
	for _, prefix := range []string{"query.", "path."} {
		what = strings.TrimPrefix(what, prefix)
	}
	value := ""
	if first.Value != nil {
		value = fmt.Sprint(first.Value)
	}
	return &span.InvalidError{What: strings.ReplaceAll(what, "_id", " id"), Value: value, Problem: first.Message}, true
}
