package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/span"
)

// problem is an error with its status, as huma and RFC 9457 have it.
type problem struct {
	huma.ErrorModel
	// retryAfter goes into the header of that name; 0: none.
	retryAfter time.Duration
	// challenge goes into WWW-Authenticate; "": none.
	challenge string
	// completeness goes into the header of that name; nil: none.
	completeness *span.Completeness
}

// GetHeaders are sent with the problem.
func (p *problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(p.retryAfter.Seconds())))
	}
	if p.challenge != "" {
		h.Set("WWW-Authenticate", p.challenge)
	}
	if p.completeness != nil {
		h.Set(wire.CompletenessHeader, wire.CompletenessText(*p.completeness))
	}
	return h
}

func newProblem(status int, kind, format string, args ...any) *problem {
	return &problem{ErrorModel: huma.ErrorModel{Type: kind, Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...)}}
}

// errStopping is the cause of contexts that end with the server.
var errStopping = errors.New("the server is stopping: ask again when it runs")

// problemOf says what to answer if the Catalog or the Indexer returned an error under a context.
func (s *Server) problemOf(ctx context.Context, err error) *problem {
	var (
		query   *span.QueryError
		invalid *span.InvalidError
		slow    *queryTimeError
	)
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errStopping):
		return newProblem(http.StatusServiceUnavailable, wire.TypeStopping, "%v", errStopping)
	case errors.As(cause, &slow):
		// 503 is what Prometheus answers as well. There is no Retry-After, since the same query will not be faster then.
		return newProblem(http.StatusServiceUnavailable, wire.TypeQueryTime, "%v", slow)
	case errors.As(err, &query):
		return newProblem(http.StatusBadRequest, wire.TypeQuery, "%v", query)
	case errors.As(err, &invalid):
		p := newProblem(http.StatusUnprocessableEntity, wire.TypeInvalid, "%v", invalid)
		p.Errors = []*huma.ErrorDetail{invalidDetail(invalid)}
		return p
	case errors.Is(err, span.ErrNotFound):
		return newProblem(http.StatusNotFound, wire.TypeNotFound, "%v", err)
	case errors.Is(err, span.ErrNotFailed):
		return newProblem(http.StatusNotFound, wire.TypeNotFailed, "%v", err)
	case ctx.Err() == nil:
		// Whoever runs the server may be somebody else than who asked.
		s.log.Error("a request failed", "error", err)
	}
	return newProblem(http.StatusInternalServerError, "", "%v", err)
}

// invalidDetail says which parameter is wrong.
func invalidDetail(e *span.InvalidError) *huma.ErrorDetail {
	const shown = 1000
	location := "query." + e.What
	switch e.What {
	case whatTrace, whatSpan, pathService:
		location = "path." + strings.ReplaceAll(e.What, " ", "_")
	}
	return &huma.ErrorDetail{Message: e.Problem, Location: location, Value: strings.ToValidUTF8(e.Value[:min(shown, len(e.Value))], "\uFFFD")}
}

// writeProblem answers with a problem where huma does not.
func writeProblem(w http.ResponseWriter, p *problem) {
	maps.Copy(w.Header(), p.GetHeaders())
	w.Header().Set("Content-Type", wire.ProblemType)
	w.WriteHeader(p.Status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(&p.ErrorModel) // the client is gone
}

// wire is the problem as a line of a stream.
func (p *problem) wire() wire.Problem {
	return wire.Problem{Type: p.Type, Title: p.Title, Status: p.Status, Detail: p.Detail}
}
