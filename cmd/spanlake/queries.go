package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spanlake/spanlake/internal/api/client"
	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/index"
	"github.com/spanlake/spanlake/internal/query"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/terminal"
	"github.com/spanlake/spanlake/internal/wal"
)

// queries answers questions about spans: the query layer in this process, or a running server.
type queries interface {
	Services(ctx context.Context) ([]span.Service, span.Completeness, error)
	Traces(ctx context.Context, f span.TraceFilter, cursor string, limit int) (span.TracePage, error)
	Trace(ctx context.Context, traceID string) ([]span.Span, span.Completeness, error)
	Span(ctx context.Context, traceID, spanID string) ([]span.Span, span.Completeness, error)
	SpanByID(ctx context.Context, spanID string) ([]span.Span, span.Completeness, error)
	Export(ctx context.Context, f span.Filter, yield func(span.Span) error) (span.Completeness, error)
}

var (
	_ queries = (*query.Queries)(nil)
	_ queries = client.Queries{}
)

// asked is who answers.
type asked struct {
	queries
	// here: it is this process.
	here bool
}

// withQueries runs work with whoever answers questions: the server that --server names or that holds the index, or else this process,
// which opens the index to read.
func (s *session) withQueries(ctx context.Context, work func(asked) error) error {
	remotely := func(server *client.Client) error {
		defer server.Close()
		return named(work(asked{server.Queries(), false}))
	}
	server, err := s.server(ctx, true)
	if err != nil {
		return err
	}
	if server != nil {
		return remotely(server)
	}
	err = s.withIndex(ctx, true, func(x *index.Index) error { return named(work(asked{s.Queries(x), true})) })
	if locked := (*index.LockedError)(nil); errors.As(err, &locked) {
		// A server may have started since we looked.
		if server, serverErr := s.server(ctx, true); serverErr == nil && server != nil {
			return remotely(server)
		}
	}
	if err == nil || errors.Is(err, span.ErrNotFound) || errors.Is(err, index.ErrNoIndex) {
		s.tellUnflushed(ctx)
	}
	return err
}

// named names the flag instead of the parameter of a question that is wrong.
func named(err error) error {
	invalid := (*span.InvalidError)(nil)
	if !errors.As(err, &invalid) {
		return err
	}
	parameters := []string{wire.ParamService, wire.ParamName, wire.ParamNameMatch, wire.ParamFrom, wire.ParamUntil, wire.ParamMinDuration,
		wire.ParamMaxDuration, wire.ParamStatus, wire.ParamKind, wire.ParamAttribute, wire.ParamLimit, wire.ParamCursor}
	if !slices.Contains(parameters, invalid.What) {
		return err
	}
	flag := strings.ReplaceAll(invalid.What, "_", "-")
	if invalid.What == wire.ParamAttribute {
		flag = "attr"
	}
	return &span.InvalidError{What: "--" + flag, Value: invalid.Value, Problem: invalid.Problem}
}

// tellIncomplete says what an answer does not have, and what to do about it.
func (s *session) tellIncomplete(x asked, c *span.Completeness) {
	say := func(format string, args ...any) {
		_, _ = fmt.Fprintf(s.stderr, "Not complete: "+format+"\n", args...) // whoever does not see it sees nothing else either
	}
	if c.Hot.State == span.HotUnreachable {
		say("spans that are in no file yet are missing, since the server does not reach %s: %s. Look after `spanlake ingest` there",
			terminal.Printable(c.Hot.Address), terminal.Printable(c.Hot.Error))
	}
	switch {
	case c.FilesPending > 0 && x.here:
		say("%s not indexed yet and missing: `spanlake index` takes them in", countAre(c.FilesPending, "file"))
	case c.FilesPending > 0:
		say("%s not indexed yet and missing: ask again in a moment, `spanlake index` waits for them", countAre(c.FilesPending, "file"))
	}
	if c.FilesFailed > 0 {
		say("%s, which may have some, could not be indexed: `spanlake failed` says why", count(c.FilesFailed, "file"))
	}
	if c.Truncated {
		say("%s", terminal.Printable(c.Reason))
	}
}

// tellUnflushed says that spans are in a write-ahead log which nobody was asked for.
func (s *session) tellUnflushed(ctx context.Context) {
	spans, err := wal.Unflushed(ctx, s.Config.WAL)
	if err != nil {
		s.Log.Debug("cannot look into the write-ahead log", "error", err)
		return
	}
	if spans > 0 {
		_, _ = fmt.Fprintf(s.stderr, "Not complete: %s in the write-ahead log %s and missing: start `spanlake serve`, or run `spanlake flush`\n",
			countAre(spans, "span"), s.Config.WAL)
	}
}
