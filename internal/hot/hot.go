// Package hot serves spans that are acknowledged but in no indexed file yet: in process, and over gRPC to another process.
package hot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/spanlake/spanlake/internal/span"
)

// Spans are the spans that are hot: acknowledged, and in no file that is known to be indexed. Each answer is of one moment. A span
// that is released meanwhile may be missing from it: it is in an indexed file then. Errors are *span.InvalidError for ids and
// limits that cannot be, and the context's; those of a Client see there.
type Spans interface {
	// Services lists the services of hot spans by name.
	Services(ctx context.Context) ([]span.Service, error)
	// Roots lists root spans by start time, newest first, then by trace id and span id. limit is from 1 to MaxRoots.
	// Names and service names are cut to MaxNameBytes.
	Roots(ctx context.Context, filter span.Filter, limit int) ([]span.Metadata, error)
	// Trace lists the whole spans of a trace by start time, then by span id, then as they were received. There may be none.
	Trace(ctx context.Context, traceID string) ([]span.Span, error)
	// Span lists the whole spans with both ids, which may be several, ordered as Trace does it.
	Span(ctx context.Context, traceID, spanID string) ([]span.Span, error)
	Stats(ctx context.Context) (span.HotStats, error)
	// Published lists the files, by path in the lake, whose spans are still kept here, those published first before others.
	Published(ctx context.Context) ([]string, error)
	// Release says that these files are indexed, so that their spans may go. Paths that are not known have been released.
	Release(ctx context.Context, paths []string) error
}

const (
	// MaxRoots bounds what one call of Roots lists.
	MaxRoots = 10_000
	// MaxNameBytes is how much of a name is kept in memory for listings. Whole spans have the whole name.
	MaxNameBytes = 1 << 10
)

var (
	// ErrUnreachable says that nobody answers where the other process should be listening.
	ErrUnreachable = errors.New("the ingest service cannot be reached")
	// ErrVersion says that the other process is of a version that does not know the call.
	ErrVersion = errors.New("the ingest service is of another version")
)

// query is what is asked of Trace and Span.
type query struct {
	trace [16]byte
	span  *[8]byte // nil: all spans of the trace
}

func parseQuery(traceID string, spanID ...string) (query, error) {
	var q query
	var err error
	if q.trace, err = span.ParseTraceID(traceID); err != nil {
		return q, err
	}
	for _, s := range spanID {
		id, err := span.ParseSpanID(s)
		if err != nil {
			return q, err
		}
		q.span = &id
	}
	return q, nil
}

// checkRoots says what is wrong with the arguments of Roots.
func checkRoots(filter *span.Filter, limit int) error {
	if limit < 1 || limit > MaxRoots {
		return &span.InvalidError{What: "limit", Value: strconv.Itoa(limit), Problem: fmt.Sprintf("must be from 1 to %d", MaxRoots)}
	}
	for what, name := range map[string]string{"service name": filter.ServiceName, "span name": filter.Name} {
		if !utf8.ValidString(name) {
			return &span.InvalidError{What: what, Value: name, Problem: "must be UTF-8"}
		}
	}
	return nil
}

// sortSpans puts spans that are in the order in which they were received into the order of Trace.
func sortSpans(spans []span.Span) {
	slices.SortStableFunc(spans, func(a, b span.Span) int {
		return cmp.Or(a.StartTime.Compare(b.StartTime), cmp.Compare(a.SpanID, b.SpanID))
	})
}
