package hot

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"google.golang.org/grpc"

	"github.com/spanlake/spanlake/internal/hot/hotpb"
	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
)

// timeFor is how long a call with a filter may take: attributes are in whole spans, which are in the log.
func timeFor(f *span.Filter) time.Duration {
	if len(f.Attributes) > 0 {
		return searchTime
	}
	return callTime
}

// List lists spans, newest first.
func (c *Client) List(ctx context.Context, f span.Filter, rootsOnly bool, after span.Key, limit int) ([]span.Metadata, error) {
	if err := cmp.Or(checkLimit(limit), checkFilter(&f), checkKey(&after)); err != nil {
		return nil, err
	}
	rows := []span.Metadata{}
	request := &hotpb.ListSpansRequest{Filter: filterToWire(&f), RootsOnly: rootsOnly, After: keyToWire(&after), Limit: int64(limit)}
	err := receive(ctx, c, request, timeFor(&f), c.calls.ListSpans, func(r *hotpb.ListSpansResponse) error {
		rows = append(rows, mapAll(r.GetRows(), rowFromWire)...)
		return nil
	})
	return answer(rows, "list spans", err)
}

// Matches lists the traces in which a span is chosen.
func (c *Client) Matches(ctx context.Context, f span.Filter) ([]span.TraceMatch, error) {
	if err := checkFilter(&f); err != nil {
		return nil, err
	}
	matches := []span.TraceMatch{}
	request := &hotpb.ListMatchesRequest{Filter: filterToWire(&f)}
	err := receive(ctx, c, request, timeFor(&f), c.calls.ListMatches, func(r *hotpb.ListMatchesResponse) error {
		for _, m := range r.GetMatches() {
			matches = append(matches, span.TraceMatch{TraceID: hex.EncodeToString(m.GetTraceId()), Start: timeAt(int64(m.GetStartTimeUnixNano()))})
		}
		return nil
	})
	return answer(matches, "search traces", err)
}

// TracesOf lists the traces that have a span with an id.
func (c *Client) TracesOf(ctx context.Context, spanID string) ([]string, error) {
	id, err := span.ParseSpanID(spanID)
	if err != nil {
		return nil, err
	}
	traces := []string{}
	err = receive(ctx, c, &hotpb.ListTracesRequest{SpanId: id[:]}, callTime, c.calls.ListTraces, func(r *hotpb.ListTracesResponse) error {
		traces = append(traces, mapAll(r.GetTraceIds(), hex.EncodeToString)...)
		return nil
	})
	return answer(traces, "look a span up", err)
}

// Count counts spans.
func (c *Client) Count(ctx context.Context, q span.CountQuery) (span.HotCounts, error) {
	if err := checkCount(&q); err != nil {
		return span.HotCounts{}, err
	}
	counts := span.HotCounts{Files: []string{}, Counts: []span.Count{}}
	err := receive(ctx, c, countQueryToWire(&q), callTime, c.calls.CountSpans, func(r *hotpb.CountSpansResponse) error {
		counts.Generation = cmp.Or(counts.Generation, r.GetGeneration())
		counts.Files = append(counts.Files, r.GetFiles()...)
		counts.Counts = append(counts.Counts, mapAll(r.GetCounts(), countFromWire)...)
		return nil
	})
	return answer(counts, "count spans", err)
}

// Trace reads the spans of a trace.
func (c *Client) Trace(ctx context.Context, traceID string, maxBytes int64) (spans []span.Span, truncated bool, err error) {
	q, err := parseQuery(traceID)
	if err != nil {
		return nil, false, err
	}
	return c.spans(ctx, &hotpb.GetSpansRequest{TraceId: q.trace[:], MaxBytes: maxBytes})
}

// Span reads the spans with both ids.
func (c *Client) Span(ctx context.Context, traceID, spanID string, maxBytes int64) (spans []span.Span, truncated bool, err error) {
	q, err := parseQuery(traceID, spanID)
	if err != nil {
		return nil, false, err
	}
	return c.spans(ctx, &hotpb.GetSpansRequest{TraceId: q.trace[:], SpanId: q.span[:], MaxBytes: maxBytes})
}

func (c *Client) spans(ctx context.Context, request *hotpb.GetSpansRequest) (spans []span.Span, truncated bool, err error) {
	spans, truncated, err = receiveSpans(ctx, c, request, callTime, c.calls.GetSpans)
	sortSpans(spans)
	return spans, truncated, err
}

// Get reads the spans with certain ids. Each 10,000 of them are of one moment and in one order; what is left out are first those of the last ids.
func (c *Client) Get(ctx context.Context, refs []span.Ref, maxBytes int64) (all []span.Span, truncated bool, err error) {
	wire := make([]*hotpb.SpanRef, len(refs))
	for i, ref := range refs {
		q, err := parseQuery(ref.TraceID, ref.SpanID)
		if err != nil {
			return nil, false, err
		}
		wire[i] = &hotpb.SpanRef{TraceId: q.trace[:], SpanId: q.span[:]}
	}
	all = []span.Span{}
	for part := range slices.Chunk(wire, MaxLimit) {
		request := &hotpb.ReadSpansRequest{Refs: part, MaxBytes: maxBytes}
		spans, truncated, err := receiveSpans(ctx, c, request, searchTime, c.calls.ReadSpans)
		if err != nil {
			return nil, false, err
		}
		all = append(all, spans...)
		if truncated {
			return all, true, nil
		}
		for i := range spans {
			maxBytes -= spans[i].Bytes()
		}
	}
	return all, false, nil
}

// receiveSpans reads whole spans in the order in which they come.
func receiveSpans[Request any](
	ctx context.Context, c *Client, request *Request, most time.Duration,
	call func(context.Context, *Request, ...grpc.CallOption) (grpc.ServerStreamingClient[hotpb.GetSpansResponse], error),
) (spans []span.Span, truncated bool, err error) {
	spans = []span.Span{}
	decode := decoder{yield: func(one span.Span) error { spans = append(spans, one); return nil }}
	err = receive(ctx, c, request, most, call, decode.add)
	if err == nil {
		err = decode.join.end()
	}
	spans, err = answer(spans, "read spans", err)
	return spans, decode.truncated, err
}

// decoder makes spans of what the server sends.
type decoder struct {
	yield   func(span.Span) error
	join    joiner
	convert otlpwire.Converter
	// truncated: the server has left spans out.
	truncated bool
}

func (d *decoder) add(r *hotpb.GetSpansResponse) error {
	d.truncated = d.truncated || r.GetTruncated()
	return d.join.add(r, func(data []byte) error {
		for one, err := range otlpwire.Spans(data) {
			if err != nil {
				return err
			}
			if err := d.yield(d.convert.Span(one)); err != nil {
				return err
			}
		}
		return nil
	})
}

// errIdle is why a stream is given up from which nothing comes.
var errIdle = fmt.Errorf("nothing comes anymore: %w", context.DeadlineExceeded)

// Select reads all spans that are chosen. However long the caller takes for them, it goes on.
func (c *Client) Select(ctx context.Context, f span.Filter) iter.Seq2[span.Span, error] {
	return func(yield func(span.Span, error) bool) {
		err := checkFilter(&f)
		if err == nil {
			err = c.selectInto(ctx, &f, func(one span.Span) error {
				if !yield(one, nil) {
					return errEnough
				}
				return nil
			})
		}
		if err == nil || errors.Is(err, errEnough) {
			return
		}
		_, err = answer(0, "select spans", err)
		yield(span.Span{}, err)
	}
}

func (c *Client) selectInto(ctx context.Context, f *span.Filter, take func(span.Span) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := time.AfterFunc(c.patience, func() { cancel(errIdle) })
	defer idle.Stop()
	stream, err := c.calls.SelectSpans(ctx, &hotpb.SelectSpansRequest{Filter: filterToWire(f)})
	if err != nil {
		return c.toError(ctx, err)
	}
	decode := decoder{yield: take}
	for {
		idle.Reset(c.patience)
		response, err := stream.Recv()
		idle.Stop()
		switch {
		case errors.Is(err, io.EOF):
			return decode.join.end()
		case errors.Is(context.Cause(ctx), errIdle):
			return errIdle
		case err != nil:
			return c.toError(ctx, err)
		}
		if err := decode.add(response); err != nil {
			return err
		}
	}
}

// Stats counts what is kept.
func (c *Client) Stats(ctx context.Context) (span.HotStats, error) {
	ctx, cancel := withDeadline(ctx, callTime)
	defer cancel()
	r, err := c.calls.GetStats(ctx, &hotpb.GetStatsRequest{})
	if err != nil {
		return answer(span.HotStats{}, "read statistics", c.toError(ctx, err))
	}
	stats := span.HotStats{Requests: r.GetRequests(), Spans: r.GetSpans(), Bytes: r.GetBytes(), PublishedSpans: r.GetPublishedSpans(),
		Generation: r.GetGeneration()}
	if r.GetOldest() != nil {
		stats.Oldest = r.GetOldest().AsTime()
	}
	return stats, nil
}

// Published lists the files that are not released.
func (c *Client) Published(ctx context.Context) ([]string, error) {
	paths := []string{}
	err := receive(ctx, c, &hotpb.ListPublishedRequest{}, callTime, c.calls.ListPublished, func(r *hotpb.ListPublishedResponse) error {
		paths = append(paths, r.GetPaths()...)
		return nil
	})
	return answer(paths, "list published files", err)
}

// Release lets the spans of files go.
func (c *Client) Release(ctx context.Context, paths []string) error {
	ctx, cancel := withDeadline(ctx, callTime)
	defer cancel()
	for part := range slices.Chunk(paths, pathsPerCall) {
		if _, err := c.calls.Release(ctx, &hotpb.ReleaseRequest{Paths: part}); err != nil {
			_, err = answer(0, "release files", c.toError(ctx, err))
			return err
		}
	}
	return nil
}
