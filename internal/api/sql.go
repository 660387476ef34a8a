package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/span"
)

// queryTimeError is the cause of a context that ends since its query took too long.
type queryTimeError struct{ limit time.Duration }

func (e *queryTimeError) Error() string {
	return fmt.Sprintf("the query took longer than %s, its rows be sent included, which is as long as it may: ask for less at a time", e.limit)
}

// timeout is how long a query may take that was asked with a limit, which is "" for the server's.
func (s *Server) timeout(asked string) (time.Duration, *problem) {
	if asked == "" {
		return s.queryTime, nil
	}
	limit, err := time.ParseDuration(asked)
	if err != nil || limit <= 0 || limit > s.queryTime {
		p := newProblem(http.StatusUnprocessableEntity, "", "validation failed")
		p.Errors = []*huma.ErrorDetail{{Message: fmt.Sprintf("must be a duration such as 1.5s or 2m, and no longer than %s", s.queryTime),
			Location: "body.timeout", Value: asked}}
		return 0, p
	}
	return limit, nil
}

// sql answers a query, which may be the work of minutes and hold a snapshot of the index as long as it runs. So there
// are few at a time, each has a time limit, and each ends when its client is gone.
func (s *Server) sql(w http.ResponseWriter, r *http.Request, asked wire.SQLRequest) {
	out := newStream(w)
	limit, failure := s.timeout(asked.Timeout)
	if failure == nil {
		failure = s.takeTurn(r.Context())
	}
	if failure != nil {
		out.fail(failure)
		return
	}
	if asked.MaxRows != nil && asked.MaxBytes != nil { // huma has put the defaults in
		out.maxLines, out.maxBytes = *asked.MaxRows, *asked.MaxBytes
	}
	truncated := false
	// The turn is given back before the last line is sent, so that who has read it can ask again at once.
	failure = func() *problem {
		defer func() { <-s.queries }()
		ctx, cancel := context.WithTimeoutCause(r.Context(), limit, &queryTimeError{limit})
		defer cancel()
		var failure *problem
		truncated, failure = s.rows(ctx, out, asked)
		return failure
	}()
	if failure != nil {
		out.fail(failure)
		return
	}
	out.end(wire.End{Rows: &out.lines, Truncated: truncated})
}

// rows sends what a query finds, and tells whether there is more than was to be sent.
func (s *Server) rows(ctx context.Context, out *stream, asked wire.SQLRequest) (truncated bool, failure *problem) {
	form, render := span.FormText, textRow
	if asked.Form == wire.Form(span.FormJSON) {
		form, render = span.FormJSON, jsonRow
	}
	err := s.catalog.Select(ctx, asked.Query, form, func(columns []string) error {
		// It is sent with the first row, hence the copy.
		out.head = wire.Columns{Columns: append([]string{}, columns...)}
		return nil
	}, func(row []*string) error { return out.line(render(row)) })
	if errors.Is(err, errFull) {
		return true, nil
	}
	return false, s.failureOf(ctx, out, err)
}

// failureOf is what to say at the end of a stream. If the client is gone nobody reads it, and it is no fault of the
// server that would have to be logged.
func (s *Server) failureOf(ctx context.Context, out *stream, err error) *problem {
	switch {
	case err == nil:
		return nil
	case out.lost():
		return newProblem(http.StatusInternalServerError, "", "%v", err)
	}
	return s.problemOf(ctx, err)
}

func textRow(row []*string) any { return wire.Row{Row: row} }

// jsonRow sends the object as it is, so that its numbers stay as exact as they are.
func jsonRow(row []*string) any {
	if len(row) == 0 || row[0] == nil {
		return wire.Object{Object: json.RawMessage("null")}
	}
	return wire.Object{Object: json.RawMessage(*row[0])}
}

// takeTurn waits until another query may run. The caller gives the turn back.
func (s *Server) takeTurn(ctx context.Context) *problem {
	wait := time.NewTimer(s.limits.queryWait)
	defer wait.Stop()
	select {
	case s.queries <- struct{}{}:
		return nil
	case <-ctx.Done():
		return s.problemOf(ctx, ctx.Err())
	case <-wait.C:
		p := newProblem(http.StatusServiceUnavailable, wire.TypeBusy, "%d queries run already, which is as many as are allowed at once: "+
			"ask again later", cap(s.queries))
		p.retryAfter = max(s.limits.queryWait, time.Second)
		return p
	}
}

// verify streams the differences between the index and the lake. One runs at a time: it reads the footers of the whole
// lake, and a second one would find the same. It is refused rather than made to wait, since the wait could be minutes.
func (s *Server) verify(w http.ResponseWriter, r *http.Request) {
	out := newStream(w)
	if r.Method == http.MethodHead {
		// The mux takes HEAD for GET, and nobody would see what is found.
		_ = out.begin()
		return
	}
	if !s.verifying.CompareAndSwap(false, true) {
		out.fail(newProblem(http.StatusConflict, wire.TypeVerifying, "a verify is running, and one at a time is allowed: ask again when it has ended"))
		return
	}
	failure := func() *problem { // as in sql
		defer s.verifying.Store(false)
		ctx, cancel := context.WithCancelCause(r.Context())
		defer cancel(nil)
		_, err := s.catalog.Verify(ctx, func(d span.Difference) {
			if err := out.line(wire.Difference{Difference: d}); err != nil {
				cancel(err)
			}
		})
		return s.failureOf(ctx, out, err)
	}()
	if failure != nil {
		out.fail(failure)
		return
	}
	out.end(wire.End{Differences: &out.lines})
}
