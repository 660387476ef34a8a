package query

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// Trace lists the whole spans of a trace by start time. The error wraps span.ErrNotFound if it has none.
func (q *Queries) Trace(ctx context.Context, traceID string) ([]span.Span, span.Completeness, error) {
	return q.inTrace(ctx, traceID, "")
}

// Span lists the whole spans with both ids, which is usually one. The error wraps span.ErrNotFound if there is none.
func (q *Queries) Span(ctx context.Context, traceID, spanID string) ([]span.Span, span.Completeness, error) {
	if spanID == "" {
		return nil, span.Completeness{}, &span.InvalidError{What: "span id", Problem: "must not be empty"}
	}
	return q.inTrace(ctx, traceID, spanID)
}

// SpanByID lists the whole spans with an id, whatever their trace. The error wraps span.ErrNotFound if there is none.
func (q *Queries) SpanByID(ctx context.Context, spanID string) ([]span.Span, span.Completeness, error) {
	if spanID == "" || len(spanID) > maxIDBytes {
		return nil, span.Completeness{}, &span.InvalidError{What: "span id", Value: spanID, Problem: fmt.Sprintf("must have from 1 to %d bytes", maxIDBytes)}
	}
	return q.find(ctx, "", spanID, func(a *asking) ([]span.Span, error) {
		traces, err := a.tracesOf(ctx, spanID)
		if err != nil {
			return nil, err
		}
		var all []span.Span
		room := a.opts.WholeBytes
		for _, trace := range traces {
			spans, err := a.spansIn(ctx, trace, spanID, room)
			if err != nil {
				return nil, err
			}
			if all, room = append(all, spans...), room-wholeBytes(spans); a.Truncated {
				break
			}
		}
		return all, nil
	})
}

// tracesOf are the traces that have a span with an id.
func (a *asking) tracesOf(ctx context.Context, spanID string) (all []string, err error) {
	if id := lowerHex(spanID); a.reachable() && isSpanID(id) {
		all, err = a.opts.Hot.TracesOf(ctx, id)
		if err := a.hotError(ctx, err); err != nil {
			return nil, err
		}
	}
	cold, err := a.cold(ctx)
	if err != nil {
		return nil, err
	}
	for _, id := range alternatives(spanID) {
		traces, seen, err := a.opts.Catalog.TracesOf(ctx, id, cold)
		if err != nil {
			return nil, err
		}
		a.saw(seen)
		all = append(all, traces...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

func isSpanID(id string) bool {
	_, err := span.ParseSpanID(id)
	return err == nil
}

// maxIDBytes bounds an id: files of other writers may have other ids than OpenTelemetry's.
const maxIDBytes = 256

// inTrace lists the spans of a trace, or those of them with a span id, "" for all.
func (q *Queries) inTrace(ctx context.Context, traceID, spanID string) ([]span.Span, span.Completeness, error) {
	for what, id := range map[string]string{"trace id": traceID, "span id": spanID} {
		if len(id) > maxIDBytes || id == "" && what == "trace id" {
			return nil, span.Completeness{}, &span.InvalidError{What: what, Value: id, Problem: fmt.Sprintf("must have from 1 to %d bytes", maxIDBytes)}
		}
	}
	return q.find(ctx, traceID, spanID, func(a *asking) ([]span.Span, error) {
		return a.spansIn(ctx, traceID, spanID, a.opts.WholeBytes)
	})
}

// find answers with spans, of which it is an error if there are none.
func (q *Queries) find(ctx context.Context, traceID, spanID string, read func(*asking) ([]span.Span, error)) ([]span.Span, span.Completeness, error) {
	leave, err := q.enter(ctx)
	if err != nil {
		return nil, span.Completeness{}, err
	}
	defer leave()
	a := q.ask()
	spans, err := read(a)
	if err != nil {
		return nil, a.Completeness, err
	}
	complete, err := a.done(ctx, time.Time{})
	if err == nil && len(spans) == 0 {
		err = notFound(traceID, spanID, &complete)
	}
	return spans, complete, err
}

// spansIn reads the spans of a trace, or those of them with a span id, "" for all, by start time, until they have so many bytes.
func (a *asking) spansIn(ctx context.Context, traceID, spanID string, room int64) ([]span.Span, error) {
	spans, err := a.hotSpans(ctx, lowerHex(traceID), lowerHex(spanID), room)
	if err != nil {
		return nil, err
	}
	spans = distinctSpans(spans)
	for _, id := range alternatives(traceID) {
		inFiles, err := a.coldSpans(ctx, id, spanID, spans, room-wholeBytes(spans))
		if err != nil {
			return nil, err
		}
		spans = distinctSpans(append(spans, inFiles...))
	}
	slices.SortStableFunc(spans, func(a, b span.Span) int {
		return cmp.Or(a.StartTime.Compare(b.StartTime), strings.Compare(a.SpanID, b.SpanID))
	})
	return spans, nil
}

// alternatives are an id as it was given and, if that differs, in lower case: OpenTelemetry's ids are, and people copy them from anywhere.
func alternatives(id string) []string {
	if lower := lowerHex(id); lower != id {
		return []string{id, lower}
	}
	return []string{id}
}

// lowerHex is an id in lower case if it is one of OpenTelemetry's.
func lowerHex(id string) string {
	if isTraceID(id) || isSpanID(id) {
		return strings.ToLower(id)
	}
	return id
}

func isTraceID(id string) bool {
	_, err := span.ParseTraceID(id)
	return err == nil
}

func (a *asking) hotSpans(ctx context.Context, traceID, spanID string, room int64) (spans []span.Span, err error) {
	// Only OpenTelemetry's ids are taken in.
	if !isTraceID(traceID) || spanID != "" && !isSpanID(spanID) || !a.reachable() {
		return nil, nil
	}
	var truncated bool
	if spanID == "" {
		spans, truncated, err = a.opts.Hot.Trace(ctx, traceID, room)
	} else {
		spans, truncated, err = a.opts.Hot.Span(ctx, traceID, spanID, room)
	}
	if truncated {
		a.truncate(tooLarge)
	}
	return spans, a.hotError(ctx, err)
}

// coldSpans reads spans of a trace from the files that have some which are not known.
func (a *asking) coldSpans(ctx context.Context, traceID, spanID string, known []span.Span, room int64) ([]span.Span, error) {
	for try := 1; ; try++ {
		files, err := a.filesOf(ctx, traceID, spanID, known)
		if err != nil || len(files) == 0 {
			return nil, err
		}
		var spans []span.Span
		var truncated bool
		if spanID == "" {
			spans, truncated, err = a.opts.Catalog.WholeTrace(ctx, traceID, files, room)
		} else {
			var refs []span.Ref
			for _, file := range files {
				for _, id := range alternatives(spanID) {
					refs = append(refs, span.Ref{TraceID: traceID, SpanID: id, File: file})
				}
			}
			spans, truncated, err = a.opts.Catalog.Whole(ctx, refs, room)
		}
		if truncated {
			a.truncate(tooLarge)
		}
		if errors.Is(err, fs.ErrNotExist) && try < lookups {
			continue // the file was replaced or removed since it was looked up
		}
		if errors.Is(err, fs.ErrNotExist) {
			a.unread = max(a.unread, 1)
			err = nil
		}
		return spans, err
	}
}

// filesOf are the files that may have spans of a trace, or those of them with a span id, that are not among the known ones. Which files have
// a trace is known by its id alone; which spans they have is only looked up if some are known, so that those are not read again.
func (a *asking) filesOf(ctx context.Context, traceID, spanID string, known []span.Span) ([]string, error) {
	cold, err := a.cold(ctx)
	if err != nil {
		return nil, err
	}
	if len(known) == 0 {
		files, seen, err := a.opts.Catalog.TraceFiles(ctx, traceID, cold)
		a.saw(seen)
		return files, err
	}
	have := make(map[span.Identity]bool, len(known))
	for i := range known {
		have[known[i].Identity()] = true
	}
	rows, seen, err := a.opts.Catalog.TraceRows(ctx, []string{traceID}, cold)
	if err != nil {
		return nil, err
	}
	a.saw(seen)
	ids := alternatives(spanID)
	var files []string
	for i := range rows {
		if r := &rows[i]; !have[r.Identity()] && (spanID == "" || slices.Contains(ids, r.SpanID)) {
			files = append(files, r.File)
		}
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

// distinctSpans removes repeats: of equal spans the first one stays.
func distinctSpans(spans []span.Span) []span.Span {
	seen := make(map[span.Identity]bool, len(spans))
	return slices.DeleteFunc(spans, func(s span.Span) bool {
		id := s.Identity()
		repeated := seen[id]
		seen[id] = true
		return repeated
	})
}

// notFound says that nothing was found, and where it may be all the same.
func notFound(traceID, spanID string, c *span.Completeness) error {
	what := fmt.Sprintf("trace %q", traceID)
	switch {
	case traceID == "":
		what = fmt.Sprintf("span %q", spanID)
	case spanID != "":
		what = fmt.Sprintf("span %q in trace %q", spanID, traceID)
	}
	switch {
	case c.Truncated:
		return fmt.Errorf("%s %w: %s", what, span.ErrNotFound, c.Reason)
	case c.Hot.State == span.HotUnreachable:
		return fmt.Errorf("%s %w: spans that are in no file yet cannot be asked for at present: %s", what, span.ErrNotFound, c.Hot.Error)
	case c.FilesPending > 0:
		return fmt.Errorf("%s %w yet: %d files are not indexed yet", what, span.ErrNotFound, c.FilesPending)
	case c.FilesFailed > 0:
		return fmt.Errorf("%s %w: %d files could not be indexed, see `spanlake failed`", what, span.ErrNotFound, c.FilesFailed)
	}
	return fmt.Errorf("%s %w", what, span.ErrNotFound)
}
