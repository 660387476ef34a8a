// Package hot serves spans that are acknowledged but in no indexed file yet: in process, and over gRPC to another process.
package hot

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/spanlake/spanlake/internal/span"
)

// Spans are the spans that are hot: acknowledged, and in no file that is known to be indexed. Each answer is of one moment. A span
// that is released meanwhile may be missing from it: it is in an indexed file then. Errors are *span.InvalidError for ids, filters and
// limits that cannot be, and the context's; those of a Client see there.
//
// Filters compare start times in microseconds, so that a span is chosen alike before and after it is indexed. Those that look at attributes, or
// at names longer than span.MaxNameBytes, read the requests that can have such spans, one at a time.
//
// Get, Trace and Span read the requests one at a time as well, in an order that each says, until the next span would have them answer with more
// than maxBytes, as span.Span.Bytes counts: then truncated is true, and this span and all after it are left out, without their requests being read.
type Spans interface {
	// List lists the spans that f chooses, or the root spans among them, newest first, in the order of span.Key and from the first
	// one after a place on; a zero Key is before all. limit is from 1 to MaxLimit; spans that share the last place come on top.
	// Names and service names are cut to span.MaxNameBytes.
	List(ctx context.Context, f span.Filter, rootsOnly bool, after span.Key, limit int) ([]span.Metadata, error)
	// Matches lists the traces in which f chooses a span, those with the newest such span first.
	Matches(ctx context.Context, f span.Filter) ([]span.TraceMatch, error)
	// Get lists the whole spans with these ids, those of the request that was received last first, as they are in it: the spans of listings
	// that come last are left out, mostly. The files of refs do not matter.
	Get(ctx context.Context, refs []span.Ref, maxBytes int64) (spans []span.Span, truncated bool, err error)
	// Trace lists the whole spans of a trace by start time, then by span id, then as they were received. There may be none. Left out are those
	// that were received last.
	Trace(ctx context.Context, traceID string, maxBytes int64) (spans []span.Span, truncated bool, err error)
	// Span lists the whole spans with both ids, which may be several, ordered and left out as Trace does it.
	Span(ctx context.Context, traceID, spanID string, maxBytes int64) (spans []span.Span, truncated bool, err error)
	// TracesOf lists the traces that have a span with this id, in the order of their ids.
	TracesOf(ctx context.Context, spanID string) ([]string, error)
	// Count counts spans by file, service, name and step of time. Names that are asked for are compared as far as they are kept.
	Count(ctx context.Context, q span.CountQuery) (span.HotCounts, error)
	// Select yields every whole span that f chooses, as they were received.
	Select(ctx context.Context, f span.Filter) iter.Seq2[span.Span, error]
	Stats(ctx context.Context) (span.HotStats, error)
	// Published lists the files, by path in the lake, whose spans are still kept here, those published first before others.
	Published(ctx context.Context) ([]string, error)
	// Release says that these files are indexed, so that their spans may go. Paths that are not known have been released.
	Release(ctx context.Context, paths []string) error
}

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

// sortSpans puts spans that are in the order in which they were received into the order of Trace.
func sortSpans(spans []span.Span) {
	slices.SortStableFunc(spans, func(a, b span.Span) int {
		return cmp.Or(a.StartTime.Compare(b.StartTime), cmp.Compare(a.SpanID, b.SpanID))
	})
}
