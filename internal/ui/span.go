package ui

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/ui/spanview"
)

const (
	// maxSpans bounds those of one id in a page: clients that are broken give one to all.
	maxSpans = 20
	// historyTime is how long the other spans of a trace may take, if the state of a workflow can be told from them.
	historyTime = 3 * time.Second
)

// spanBody is what the detail of a span shows. Several spans may have one id.
type spanBody struct {
	Views []*spanview.View
	// More are spans with the same id that are not shown.
	More         int
	Completeness span.Completeness
	// NoHistory is why the state of a workflow is not known, "" if it is.
	NoHistory string
}

// showSpan shows a span beside its trace. Who opens its address gets the trace with it.
func (u *UI) showSpan(w http.ResponseWriter, r *http.Request) error {
	traceID, spanID := r.PathValue("trace_id"), r.PathValue("span_id")
	if !wantsPart(r) {
		http.Redirect(w, r, spanview.Address(traceID, spanID), http.StatusSeeOther) // #nosec G710 -- a page of this server
		return nil
	}
	spans, complete, err := u.Queries.Span(r.Context(), traceID, spanID)
	if err != nil {
		return err
	}
	body := spanBody{Completeness: complete}
	if len(spans) > maxSpans {
		body.More, spans = len(spans)-maxSpans, spans[:maxSpans]
	}
	history, err := u.history(r.Context(), traceID, spans)
	if err != nil {
		u.Log.Debug("the history of a state is not known", "trace", traceID, "error", err)
		body.NoHistory = u.troubleOf(r, err).Detail
	}
	for i := range spans {
		body.Views = append(body.Views, spanview.Of(&spans[i], history))
	}
	u.showPart(w, "span", "span", body)
	return nil
}

// history is what happened to the states of workflows in a trace; nil if the spans have nothing to do with one.
func (u *UI) history(ctx context.Context, traceID string, spans []span.Span) (*spanview.History, error) {
	if !slices.ContainsFunc(spans, func(s span.Span) bool { return spanview.HasState(&s) }) {
		return nil, nil //nolint:nilnil // there is none, and that is no error
	}
	ctx, cancel := context.WithTimeout(ctx, historyTime)
	defer cancel()
	all, complete, err := u.Queries.Trace(ctx, traceID)
	if err != nil {
		return nil, err
	}
	history := spanview.Follow(all, spans[0].SpanID)
	history.Incomplete = history.Incomplete || !complete.Complete()
	return history, nil
}
