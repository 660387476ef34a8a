package client

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
)

// Queries asks a server for spans, with the methods that the query layer has. Errors are those of api.Queries, or those of a Client.
type Queries struct{ c *Client }

// Queries asks for spans.
func (c *Client) Queries() Queries { return Queries{c} }

// Traces lists traces by their root spans, newest first. cursor is that of the page before, or "".
func (q Queries) Traces(ctx context.Context, f span.TraceFilter, cursor string, limit int) (span.TracePage, error) {
	query, err := wire.TraceQuery(f)
	if err != nil {
		return span.TracePage{}, err
	}
	query.Set(wire.ParamLimit, strconv.Itoa(limit))
	if cursor != "" {
		query.Set(wire.ParamCursor, cursor)
	}
	page, err := get[wire.TracePage](ctx, q.c, "/traces", query)
	if err != nil {
		return span.TracePage{}, err
	}
	return page.Span()
}

// Trace lists the whole spans of a trace by start time. The error wraps span.ErrNotFound if it has none.
func (q Queries) Trace(ctx context.Context, traceID string) ([]span.Span, span.Completeness, error) {
	return q.spans(ctx, whatTrace, "/traces/", traceID)
}

// Span lists the whole spans with both ids. The error wraps span.ErrNotFound if there is none.
func (q Queries) Span(ctx context.Context, traceID, spanID string) ([]span.Span, span.Completeness, error) {
	all, complete, err := q.Trace(ctx, traceID)
	if err != nil {
		return nil, complete, err
	}
	spans := slices.DeleteFunc(all, func(s span.Span) bool { return !strings.EqualFold(s.SpanID, spanID) })
	if len(spans) == 0 {
		return nil, complete, fmt.Errorf("span %q in trace %q %w", spanID, traceID, span.ErrNotFound)
	}
	return spans, complete, nil
}

// SpanByID lists the whole spans with an id, whatever their trace. The error wraps span.ErrNotFound if there is none.
func (q Queries) SpanByID(ctx context.Context, spanID string) ([]span.Span, span.Completeness, error) {
	return q.spans(ctx, whatSpan, "/spans/", spanID)
}

const (
	whatTrace = "trace id"
	whatSpan  = "span id"
)

// spans asks for spans in protobuf, which has all of them exactly.
func (q Queries) spans(ctx context.Context, what, path, id string) ([]span.Span, span.Completeness, error) {
	if id == "" {
		return nil, span.Completeness{}, &span.InvalidError{What: what, Problem: "must not be empty"}
	}
	response, err := q.c.ask(ctx, http.MethodGet, path+segment(id), nil, nil, accept(wire.ProtobufType))
	if err != nil {
		return nil, span.Completeness{}, err
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, span.Completeness{}, q.c.cut(ctx, err)
	}
	spans, err := otlpwire.Split(data)
	if err != nil {
		return nil, span.Completeness{}, q.c.cut(ctx, err)
	}
	complete, err := wire.ParseCompleteness(response.Header.Get(wire.CompletenessHeader))
	if err != nil {
		return nil, span.Completeness{}, q.c.cut(ctx, err)
	}
	return spans, complete, nil
}

// segment is a name as one part of a path. Dots are escaped as well, or "..", which is a name like any other, would be taken for the
// folder above.
func segment(name string) string { return strings.ReplaceAll(url.PathEscape(name), ".", "%2E") }

// Services lists all services by name.
func (q Queries) Services(ctx context.Context) ([]span.Service, span.Completeness, error) {
	return withCompleteness[[]span.Service](ctx, q.c, "/services", nil)
}

// Operations lists the names of a service's spans, with their kinds, by name.
func (q Queries) Operations(ctx context.Context, service string) ([]span.Operation, span.Completeness, error) {
	if service == "" {
		return nil, span.Completeness{}, &span.InvalidError{What: "service name", Problem: "must not be empty"}
	}
	answer, err := get[wire.Operations](ctx, q.c, "/services/"+segment(service)+"/operations", nil)
	if err != nil {
		return nil, span.Completeness{}, err
	}
	operations, err := answer.Span()
	return operations, answer.Completeness, err
}

// Dependencies counts calls from service to service.
func (q Queries) Dependencies(ctx context.Context, from, until time.Time) ([]span.Dependency, span.Completeness, error) {
	query, err := wire.SpanQuery(span.Filter{From: from, Until: until})
	if err != nil {
		return nil, span.Completeness{}, err
	}
	answer, err := get[wire.Dependencies](ctx, q.c, "/dependencies", query)
	if err != nil {
		return nil, span.Completeness{}, err
	}
	dependencies := make([]span.Dependency, len(answer.Dependencies))
	for i, d := range answer.Dependencies {
		dependencies[i] = span.Dependency(d)
	}
	return dependencies, answer.Completeness, nil
}

// Statistics counts what can be asked over HTTP: by service and day, or by service, name and any step of a range that has both ends.
func (q Queries) Statistics(ctx context.Context, asked span.CountQuery) ([]span.Statistics, span.Completeness, error) {
	query, err := wire.SpanQuery(span.Filter{ServiceName: asked.ServiceName, Name: asked.Name, From: asked.From, Until: asked.Until})
	if err != nil {
		return nil, span.Completeness{}, err
	}
	switch {
	case !asked.ByName && asked.Name == "" && asked.Step == 24*time.Hour:
		answer, err := get[wire.Daily](ctx, q.c, "/stats/daily", query)
		return answer.Statistics, answer.Completeness, err
	case asked.ByName && asked.Step > 0 && !asked.From.IsZero() && !asked.Until.IsZero():
		query.Set(wire.ParamStep, asked.Step.String())
		answer, err := get[wire.Rates](ctx, q.c, "/stats/red", query)
		statistics := make([]span.Statistics, len(answer.Statistics))
		for i := range answer.Statistics {
			statistics[i] = answer.Statistics[i].Statistics
		}
		return statistics, answer.Completeness, err
	}
	return nil, span.Completeness{}, &span.InvalidError{What: wire.ParamStep, Value: asked.Step.String(), Problem: "cannot be asked over HTTP: only days of services, or steps of a range by name"}
}

// withCompleteness gets an answer that says in its header what it lacks.
func withCompleteness[T any](ctx context.Context, c *Client, path string, query url.Values) (T, span.Completeness, error) {
	var none T
	answer, header, err := callWithHeader[T](ctx, c, http.MethodGet, path, query, nil)
	if err != nil {
		return none, span.Completeness{}, err
	}
	complete, err := wire.ParseCompleteness(header.Get(wire.CompletenessHeader))
	if err != nil {
		return none, span.Completeness{}, c.cut(ctx, err)
	}
	return answer, complete, nil
}

var errNoTrailer = errors.New("the export ends without its trailer")

// Export yields every whole span that f chooses once, in no order. What yield returns is returned as it is.
func (q Queries) Export(ctx context.Context, f span.Filter, yield func(span.Span) error) (span.Completeness, error) {
	query, err := wire.SpanQuery(f)
	if err != nil {
		return span.Completeness{}, err
	}
	response, err := q.c.ask(ctx, http.MethodGet, "/export", query, nil, accept(wire.ProtobufType))
	if err != nil {
		return span.Completeness{}, err
	}
	// A connection that is closed before the end tells the server to stop.
	defer func() { _ = response.Body.Close() }() // it was only read
	from := bufio.NewReaderSize(response.Body, 64<<10)
	for {
		spans, err := batch(from)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return span.Completeness{}, q.c.cut(ctx, err)
		}
		for i := range spans {
			if err := yield(spans[i]); err != nil {
				return span.Completeness{}, err
			}
		}
	}
	text := response.Trailer.Get(wire.CompletenessHeader)
	if text == "" {
		return span.Completeness{}, q.c.cut(ctx, errNoTrailer)
	}
	complete, err := wire.ParseCompleteness(text)
	if err != nil {
		return span.Completeness{}, q.c.cut(ctx, err)
	}
	return complete, nil
}

// batch reads one message of an export. The error is io.EOF if none follows.
func batch(from *bufio.Reader) ([]span.Span, error) {
	if _, err := from.Peek(1); err != nil {
		return nil, err
	}
	size, err := binary.ReadUvarint(from)
	if err != nil {
		return nil, fmt.Errorf("the length of a message: %w", noEOF(err))
	}
	if size > maxAnswer {
		return nil, fmt.Errorf("a message of %d bytes is too long", size)
	}
	data, err := io.ReadAll(io.LimitReader(from, int64(size)))
	if err == nil && uint64(len(data)) < size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	return otlpwire.Split(data)
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Tail calls yield with root spans as they arrive, until ctx ends or yield fails, whose error is returned as it is.
func (q Queries) Tail(ctx context.Context, f span.TraceFilter, yield func([]span.Metadata) error) error {
	query, err := wire.TraceQuery(f)
	if err != nil {
		return err
	}
	response, err := q.c.ask(ctx, http.MethodGet, "/tail", query, nil, accept(wire.EventsType))
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	events := eventReader{lines: reader{from: bufio.NewReaderSize(response.Body, 64<<10), longest: maxLine}}
	for {
		kind, data, err := events.next()
		if err != nil {
			return q.c.cut(ctx, err)
		}
		switch kind {
		case wire.EventTrace:
			root, err := rootOf(data)
			if err != nil {
				return q.c.cut(ctx, err)
			}
			if err := yield([]span.Metadata{root}); err != nil {
				return err
			}
		case wire.EventError:
			return q.c.problem(problemOf(data))
		}
	}
}
