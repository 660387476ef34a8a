// Package jaeger answers clients of Jaeger: the gRPC services of its remote storage API, so that a stock Jaeger reads what Spanlake
// keeps, and its HTTP query API, which Grafana's data source and others ask (docs/jaeger.md).
package jaeger

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// Queries are the questions that are passed on. Errors are a *span.InvalidError if the question is at fault, span.ErrNotFound, those of
// the context, or what is wrong. Methods may be called from several goroutines.
type Queries interface {
	Services(ctx context.Context) ([]span.Service, span.Completeness, error)
	Operations(ctx context.Context, service string) ([]span.Operation, span.Completeness, error)
	Dependencies(ctx context.Context, from, until time.Time) ([]span.Dependency, span.Completeness, error)
	// TraceIDs lists the traces in which f chooses a span, those with the newest such span first.
	TraceIDs(ctx context.Context, f span.Filter, limit int) ([]string, span.Completeness, error)
	// Trace lists the whole spans of a trace by start time.
	Trace(ctx context.Context, traceID string) ([]span.Span, span.Completeness, error)
}

// Options are how questions are answered.
type Options struct {
	// Log gets what goes wrong; nil: nothing is logged.
	Log *slog.Logger
	// AnswerBytes is about how much one answer with several traces may have; 0: 64 MiB. One trace alone may be larger.
	AnswerBytes int64
}

// defaultLimit is how many traces a search finds if it does not say: Jaeger's defaultQueryLimit (cmd/query/app/query_parser.go).
const defaultLimit = 100

// reader is what the gRPC and the HTTP interface have in common.
type reader struct {
	queries     Queries
	log         *slog.Logger
	answerBytes int64
}

func newReader(q Queries, o Options) *reader {
	r := &reader{queries: q, log: o.Log, answerBytes: o.AnswerBytes}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.answerBytes <= 0 {
		r.answerBytes = 64 << 20
	}
	return r
}

// tooMuch says that an answer ends before all traces that were found.
func (r *reader) tooMuch(sent, found int) string {
	return fmt.Sprintf("only the first %d of %d traces: an answer may have %d MiB, ask for fewer traces or a shorter time range",
		sent, found, r.answerBytes>>20)
}

// missing says in words what an answer does not have.
func missing(c *span.Completeness) []string {
	var all []string
	if c.Hot.State == span.HotUnreachable {
		all = append(all, "spans that are in no file yet are missing, they cannot be asked for at present: "+c.Hot.Error)
	}
	if c.FilesPending > 0 {
		all = append(all, fmt.Sprintf("spans of %d files that are not indexed yet are missing", c.FilesPending))
	}
	if c.FilesFailed > 0 {
		all = append(all, fmt.Sprintf("spans of %d files that could not be indexed are missing, see `spanlake failed`", c.FilesFailed))
	}
	if c.Truncated {
		all = append(all, c.Reason)
	}
	return all
}

// kindName is the value of the tag span.kind, "" for none.
func kindName(k span.Kind) string {
	if k == span.KindUnspecified {
		return ""
	}
	return k.String()
}
