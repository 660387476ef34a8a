// Package query answers what is asked of spans, wherever they are: unflushed, in files that are not indexed yet, or indexed.
//
// A span moves from the write-ahead log into a file, and from there into the index, while it is asked for. So unflushed spans are read
// first and the index second: what moves in between is seen twice, never not at all, and repeats are removed (docs/ARCHITECTURE.md).
package query

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// Hot are spans that are not known to be in an indexed file. Each answer is of one moment.
type Hot interface {
	List(ctx context.Context, f span.Filter, rootsOnly bool, after span.Key, limit int) ([]span.Metadata, error)
	Matches(ctx context.Context, f span.Filter) ([]span.TraceMatch, error)
	// Get, Trace and Span read whole spans until they have maxBytes.
	Get(ctx context.Context, refs []span.Ref, maxBytes int64) (spans []span.Span, truncated bool, err error)
	Trace(ctx context.Context, traceID string, maxBytes int64) (spans []span.Span, truncated bool, err error)
	Span(ctx context.Context, traceID, spanID string, maxBytes int64) (spans []span.Span, truncated bool, err error)
	// TracesOf are the traces that have a span with this id.
	TracesOf(ctx context.Context, spanID string) ([]string, error)
	Count(ctx context.Context, q span.CountQuery) (span.HotCounts, error)
	Select(ctx context.Context, f span.Filter) iter.Seq2[span.Span, error]
	Stats(ctx context.Context) (span.HotStats, error)
	Published(ctx context.Context) ([]string, error)
}

// Catalog is the index, and the files of the lake that it knows. Each answer is of one moment.
type Catalog interface {
	List(ctx context.Context, f span.Filter, rootsOnly bool, after span.Key, limit int, cold span.Cold) ([]span.Row, span.Seen, error)
	TraceRows(ctx context.Context, traceIDs []string, cold span.Cold) ([]span.Row, span.Seen, error)
	// TraceFiles are the files that have spans of a trace, and perhaps some that have none.
	TraceFiles(ctx context.Context, traceID string, cold span.Cold) ([]string, span.Seen, error)
	RootsOf(ctx context.Context, f span.Filter, traceIDs []string, cold span.Cold) ([]span.Row, span.Seen, error)
	Matches(ctx context.Context, f span.Filter, limit int, cold span.Cold) ([]span.TraceMatch, span.Seen, error)
	// MatchesOf is Matches of these traces alone.
	MatchesOf(ctx context.Context, f span.Filter, traceIDs []string, cold span.Cold) ([]span.TraceMatch, span.Seen, error)
	// MayHave counts the row groups that may have spans with the attributes of f, in its time; ok is false if it is not known.
	MayHave(ctx context.Context, f span.Filter) (rowGroups int, ok bool, err error)
	Counts(ctx context.Context, q span.CountQuery, cold span.Cold) ([]span.Count, span.Seen, error)
	// TracesOf are the traces that have a span with this id, which all of the index is looked through for.
	TracesOf(ctx context.Context, spanID string, cold span.Cold) ([]string, span.Seen, error)
	// Boundaries are times, newest first, that cut a range into windows of about so many spans.
	Boundaries(ctx context.Context, service string, from, until time.Time, spans int64) ([]time.Time, error)
	Operations(ctx context.Context, service string) ([]span.Operation, error)
	Dependencies(ctx context.Context, from, until time.Time) ([]span.Dependency, error)
	// Whole and WholeTrace read whole spans, repeats included, until they have maxBytes. An error that wraps fs.ErrNotExist says
	// that a file is gone: where its spans are now has to be looked up again.
	Whole(ctx context.Context, refs []span.Ref, maxBytes int64) (spans []span.Span, truncated bool, err error)
	WholeTrace(ctx context.Context, traceID string, files []string, maxBytes int64) (spans []span.Span, truncated bool, err error)
	// Export yields each whole span of the files once, those of cold.Pending included.
	Export(ctx context.Context, f span.Filter, cold span.Cold, yield func(span.Span) error) (span.Seen, error)
	// FailedSince counts the files that could not be indexed and may have spans that start at from or later.
	FailedSince(ctx context.Context, from time.Time) (int64, error)
}

// Options are what questions are answered from.
type Options struct {
	// Hot is nil if nobody is asked for unflushed spans.
	Hot Hot
	// Source says where Hot is.
	Source  func() span.HotSource
	Catalog Catalog
	// Pending are files of the lake that are not indexed yet: the newest of them, and how many there are in all.
	Pending func(ctx context.Context) ([]span.File, int64, error)
	// WholeBytes bounds the whole spans of one answer; 0: 16 MiB.
	WholeBytes int64
	// Parallel is how many questions are answered at once, others wait; 0: 4. One export runs beside them.
	Parallel int
	// SearchTime is how long one search of attributes goes on before it answers what it has; 0: 10 seconds.
	SearchTime time.Duration
	// TailEvery is how often Tail looks; 0: 500 milliseconds.
	TailEvery time.Duration
}

// Queries answers questions. Make it with New; its methods may be called from several goroutines.
//
// Errors: *span.InvalidError if the question is at fault, span.ErrNotFound, those of the context, or what is wrong with the index.
// That unflushed spans cannot be reached is no error: the answer says so.
type Queries struct {
	opts Options
	// turns are taken by questions, exports by those that may go on for minutes, so that these do not keep all others waiting.
	turns, exports chan struct{}
}

// New makes Queries.
func New(o Options) *Queries {
	if o.WholeBytes <= 0 {
		o.WholeBytes = 16 << 20
	}
	if o.Parallel <= 0 {
		o.Parallel = 4
	}
	if o.SearchTime <= 0 {
		o.SearchTime = 10 * time.Second
	}
	if o.TailEvery <= 0 {
		o.TailEvery = 500 * time.Millisecond
	}
	return &Queries{opts: o, turns: make(chan struct{}, o.Parallel), exports: make(chan struct{}, 1)}
}

// enter waits for a turn: what DuckDB and Go need for one question is bounded, so that they may only be few at a time.
func (q *Queries) enter(ctx context.Context) (leave func(), err error) { return takeTurn(ctx, q.turns) }

func takeTurn(ctx context.Context, turns chan struct{}) (leave func(), err error) {
	select {
	case turns <- struct{}{}:
		return func() { <-turns }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// asking is one question while it is answered: what it still lacks.
type asking struct {
	*Queries
	span.Completeness
	// unread is the most files that one step of the answer did not read.
	unread int64
	// hotFailed: unflushed spans could not be asked for, at least once.
	hotFailed bool
}

func (q *Queries) ask() *asking {
	a := &asking{Queries: q}
	a.Hot = span.HotSource{State: span.HotOff}
	if q.opts.Source != nil {
		a.Hot = q.opts.Source()
	}
	return a
}

// reachable tells whether unflushed spans can be asked for.
func (a *asking) reachable() bool { return a.opts.Hot != nil }

// hotError sorts out what went wrong with unflushed spans: if it is no fault of the question, the answer goes without them and says so.
func (a *asking) hotError(ctx context.Context, err error) error {
	if err == nil {
		if a.Hot.State == span.HotUnreachable && !a.hotFailed {
			a.Hot.State, a.Hot.Error = span.HotRemote, "" // it is back
		}
		return nil
	}
	if invalid := (*span.InvalidError)(nil); errors.As(err, &invalid) {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	a.hotFailed = true
	a.Hot.State, a.Hot.Error = span.HotUnreachable, err.Error()
	return nil
}

// cold says what is asked of the catalog beside the index: files that are not indexed yet and that unflushed spans do not come from. It is
// called after unflushed spans were read: what was published since was unflushed then.
func (a *asking) cold(ctx context.Context) (span.Cold, error) {
	if a.opts.Pending == nil {
		return span.Cold{}, nil
	}
	files, total, err := a.opts.Pending(ctx)
	if err != nil || total == 0 {
		return span.Cold{}, err
	}
	var published []string
	if a.reachable() && !a.hotFailed {
		published, err = a.opts.Hot.Published(ctx)
		if err := a.hotError(ctx, err); err != nil {
			return span.Cold{}, err
		}
	}
	return a.without(files, total, published), nil
}

// without leaves the files out whose spans are known otherwise.
func (a *asking) without(files []span.File, total int64, known []string) span.Cold {
	in := make(map[string]bool, len(known))
	for _, path := range known {
		in[path] = true
	}
	cold := span.Cold{}
	for _, file := range files {
		if in[file.Path] {
			total--
			continue
		}
		cold.Pending = append(cold.Pending, file)
	}
	// Those that the catalog does not read come on top, see saw.
	a.FilesPending = max(a.FilesPending, total-int64(len(cold.Pending)))
	return cold
}

// saw notes what a step of the answer did not read.
func (a *asking) saw(seen span.Seen) { a.unread = max(a.unread, seen.Unread) }

// done is how complete the answer is. from is zero if it is about all times.
func (a *asking) done(ctx context.Context, from time.Time) (span.Completeness, error) {
	a.FilesPending += a.unread
	a.unread = 0
	var err error
	a.FilesFailed, err = a.opts.Catalog.FailedSince(ctx, from)
	return a.Completeness, err
}

func (a *asking) truncate(reason string) {
	if !a.Truncated {
		a.Truncated, a.Reason = true, reason
	}
}

// wholeBytes is how much whole spans take of Options.WholeBytes.
func wholeBytes(spans []span.Span) (n int64) {
	for i := range spans {
		n += spans[i].Bytes()
	}
	return n
}

// Completeness says what an answer about spans that start at from or later would lack now.
func (q *Queries) Completeness(ctx context.Context, from time.Time) (span.Completeness, error) {
	a := q.ask()
	cold, err := a.cold(ctx)
	if err != nil {
		return a.Completeness, err
	}
	a.FilesPending += int64(len(cold.Pending))
	return a.done(ctx, from)
}
