package ui

import (
	"cmp"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/ui/tracetree"
)

const (
	// youngTrace is how old the last end of a trace may be for more spans to be looked for.
	youngTrace = time.Minute
	// maxTraceQuery bounds what is searched for in a trace.
	maxTraceQuery = 1000
)

// traceBody is what the page of a trace shows above the waterfall.
type traceBody struct {
	ID, Name, Service string
	// API is the trace in the API, as OTLP.
	API      string
	Start    time.Time
	Duration time.Duration
	Spans    int64
	Errors   int64
	// Depth is how many spans are one below the other.
	Depth    int64
	Services []serviceSpans
	// Orphans have a parent that is not here, Cycles are circles of parents.
	Orphans, Cycles int64
	// RootMissing: no span is without a parent.
	RootMissing bool
	Usage       tracetree.Total
	// HasModels: some span tells of a model.
	HasModels bool
	// Young: more spans may come.
	Young bool
	span.Completeness
	// Waterfall is for the module.
	Waterfall template.JS
}

// serviceSpans counts what a service has in a trace.
type serviceSpans struct {
	Name          string
	Spans, Errors int64
}

func (u *UI) showTrace(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("trace_id")
	spans, complete, err := u.Queries.Trace(r.Context(), id)
	if errors.Is(err, span.ErrNotFound) {
		return &trouble{http.StatusNotFound, "There is no such trace", "No span has the trace id " + id + ".",
			"It may not have been sent yet, or its files were deleted by retention."}
	}
	if err != nil {
		return err
	}
	tree := tracetree.New(spans)
	text, err := json.Marshal(newWaterfall(id, tree))
	if err != nil {
		return err
	}
	root := &tree.Rows[tree.Root]
	body := traceBody{
		ID: id, Name: cut(root.Span.Name), Service: root.Span.ServiceName, API: wire.Prefix + "/traces/" + url.PathEscape(id),
		Start: tree.Start, Duration: tree.Duration, Spans: int64(len(spans)), Errors: int64(tree.Errors), Services: servicesOf(spans),
		Orphans: int64(tree.Orphans), Cycles: int64(tree.Cycles), RootMissing: !root.Span.IsRoot(), Usage: tree.Usage,
		Young: time.Since(tree.Start.Add(tree.Duration)).Abs() < youngTrace, Completeness: complete,
		// encoding/json writes <, > and & as escapes, so that the text cannot end the element it is in.
		Waterfall: template.JS(text), // #nosec G203
	}
	for i := range tree.Rows {
		body.HasModels = body.HasModels || tree.Rows[i].Usage != nil
		body.Depth = max(body.Depth, int64(tree.Rows[i].Depth)+1)
	}
	u.show(w, r, view{
		Page: "trace", Title: cmp.Or(body.Name, "Trace "+id), Body: body, Styles: []string{"trace.css", "trace-panel.css", "span.css"},
		// All modules are named, so that the browser need not read one to learn of the next.
		Scripts: []string{"trace.js", "trace-model.js", "trace-rows.js", "trace-time.js", "trace-minimap.js", "trace-search.js", "trace-detail.js",
			"trace-keys.js", "trace-young.js", "span.js"},
	})
	return nil
}

// maxTraceText bounds names and messages in the page of a trace, in characters. The detail of a span has all of them.
const maxTraceText = 300

// cut shortens a text to maxTraceText.
func cut(text string) string {
	if len(text) <= maxTraceText {
		return text
	}
	n := 0
	for at := range text {
		if n++; n > maxTraceText {
			return text[:at] + "…"
		}
	}
	return text
}

// servicesOf counts spans by service, the service with most spans first.
func servicesOf(spans []span.Span) (all []serviceSpans) {
	index := make(map[string]int)
	for i := range spans {
		s := &spans[i]
		at, ok := index[s.ServiceName]
		if !ok {
			at = len(all)
			index[s.ServiceName] = at
			all = append(all, serviceSpans{Name: s.ServiceName})
		}
		all[at].Spans++
		if s.StatusCode == span.StatusError {
			all[at].Errors++
		}
	}
	slices.SortStableFunc(all, func(a, b serviceSpans) int {
		return cmp.Or(cmp.Compare(b.Spans, a.Spans), strings.Compare(a.Name, b.Name))
	})
	return all
}

// searchTrace answers with the ids of the spans whose attributes, events or links have a text. The rest of a span is known to the page.
func (u *UI) searchTrace(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query().Get("q")
	if query == "" || len(query) > maxTraceQuery {
		return &span.InvalidError{What: "q", Value: query, Problem: "must have from 1 to 1000 bytes"}
	}
	spans, _, err := u.Queries.Trace(r.Context(), r.PathValue("trace_id"))
	if err != nil {
		return err
	}
	ids, search := []string{}, newTextSearch(query)
	for i := range spans {
		if err := r.Context().Err(); err != nil {
			return err
		}
		if search.in(&spans[i]) {
			ids = append(ids, spans[i].SpanID)
		}
	}
	return answerJSON(w, map[string]any{"spans": ids})
}

// countTrace answers with how many spans a trace has by now.
func (u *UI) countTrace(w http.ResponseWriter, r *http.Request) error {
	spans, _, err := u.Queries.Trace(r.Context(), r.PathValue("trace_id"))
	if err != nil {
		return err
	}
	return answerJSON(w, map[string]any{"spans": len(spans)})
}

func answerJSON(w http.ResponseWriter, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text) // the client is gone
	return nil
}
