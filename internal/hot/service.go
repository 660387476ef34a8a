package hot

import (
	"context"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/spanlake/spanlake/internal/hot/hotpb"
	"github.com/spanlake/spanlake/internal/span"
)

// service translates between Spans and the wire.
type service struct {
	hotpb.UnimplementedHotServer
	spans Served
}

// ListSpans answers Spans.List.
func (s *service) ListSpans(r *hotpb.ListSpansRequest, stream grpc.ServerStreamingServer[hotpb.ListSpansResponse]) error {
	filter, err := filterFromWire(r.GetFilter())
	if err != nil {
		return toStatus(err)
	}
	limit := int(min(max(r.GetLimit(), math.MinInt32), math.MaxInt32)) // on any system
	all, err := s.spans.List(stream.Context(), filter, r.GetRootsOnly(), keyFromWire(r.GetAfter()), limit)
	if err != nil {
		return toStatus(err)
	}
	return sendChunks(all, func(one span.Metadata) int { return len(one.ServiceName) + len(one.Name) + 80 }, func(part []span.Metadata) error {
		rows := make([]*hotpb.Row, len(part))
		for i := range part {
			if rows[i], err = rowToWire(&part[i]); err != nil {
				return toStatus(err)
			}
		}
		return stream.Send(&hotpb.ListSpansResponse{Rows: rows})
	})
}

// idBytes is about how much an id takes in a message, with a time beside it.
const idBytes = 32

// ListMatches answers Spans.Matches.
func (s *service) ListMatches(r *hotpb.ListMatchesRequest, stream grpc.ServerStreamingServer[hotpb.ListMatchesResponse]) error {
	filter, err := filterFromWire(r.GetFilter())
	if err != nil {
		return toStatus(err)
	}
	all, err := s.spans.Matches(stream.Context(), filter)
	if err != nil {
		return toStatus(err)
	}
	return sendChunks(all, func(span.TraceMatch) int { return idBytes }, func(part []span.TraceMatch) error {
		matches := make([]*hotpb.Match, len(part))
		for i, m := range part {
			trace, err := hex.DecodeString(m.TraceID)
			if err != nil {
				return toStatus(fmt.Errorf("trace %s: %w", m.TraceID, err))
			}
			matches[i] = &hotpb.Match{TraceId: trace, StartTimeUnixNano: uint64(m.Start.UnixNano())}
		}
		return stream.Send(&hotpb.ListMatchesResponse{Matches: matches})
	})
}

// ListTraces answers Spans.TracesOf.
func (s *service) ListTraces(r *hotpb.ListTracesRequest, stream grpc.ServerStreamingServer[hotpb.ListTracesResponse]) error {
	all, err := s.spans.TracesOf(stream.Context(), hex.EncodeToString(r.GetSpanId()))
	if err != nil {
		return toStatus(err)
	}
	return sendChunks(all, func(string) int { return idBytes }, func(part []string) error {
		ids := make([][]byte, len(part))
		for i := range part {
			if ids[i], err = hex.DecodeString(part[i]); err != nil {
				return toStatus(fmt.Errorf("trace %s: %w", part[i], err))
			}
		}
		return stream.Send(&hotpb.ListTracesResponse{TraceIds: ids})
	})
}

// CountSpans answers Spans.Count.
func (s *service) CountSpans(r *hotpb.CountSpansRequest, stream grpc.ServerStreamingServer[hotpb.CountSpansResponse]) error {
	answer, err := s.spans.Count(stream.Context(), countQueryFromWire(r))
	if err != nil {
		return toStatus(err)
	}
	if err := stream.Send(&hotpb.CountSpansResponse{Generation: answer.Generation}); err != nil {
		return err
	}
	if err := sendChunks(answer.Files, pathBytes, func(part []string) error {
		return stream.Send(&hotpb.CountSpansResponse{Files: part})
	}); err != nil {
		return err
	}
	return sendChunks(answer.Counts, countBytes, func(part []span.Count) error {
		return stream.Send(&hotpb.CountSpansResponse{Counts: mapAll(part, countToWire)})
	})
}

// GetSpans answers Spans.Trace and Spans.Span.
func (s *service) GetSpans(r *hotpb.GetSpansRequest, stream grpc.ServerStreamingServer[hotpb.GetSpansResponse]) error {
	chunks := &spanChunks{send: stream.Send}
	trace, id := hex.EncodeToString(r.GetTraceId()), hex.EncodeToString(r.GetSpanId())
	truncated, err := s.spans.Encoded(stream.Context(), trace, id, r.GetMaxBytes(), chunks.add)
	if err != nil {
		return toStatus(err)
	}
	return chunks.end(truncated)
}

// ReadSpans answers Spans.Get.
func (s *service) ReadSpans(r *hotpb.ReadSpansRequest, stream grpc.ServerStreamingServer[hotpb.GetSpansResponse]) error {
	if n := len(r.GetRefs()); n > MaxLimit {
		return toStatus(&span.InvalidError{What: "number of spans", Value: strconv.Itoa(n), Problem: fmt.Sprintf("must be up to %d", MaxLimit)})
	}
	refs := mapAll(r.GetRefs(), func(ref *hotpb.SpanRef) span.Ref {
		return span.Ref{TraceID: hex.EncodeToString(ref.GetTraceId()), SpanID: hex.EncodeToString(ref.GetSpanId())}
	})
	chunks := &spanChunks{send: stream.Send}
	truncated, err := s.spans.EncodedGet(stream.Context(), refs, r.GetMaxBytes(), chunks.add)
	if err != nil {
		return toStatus(err)
	}
	return chunks.end(truncated)
}

// SelectSpans answers Spans.Select.
func (s *service) SelectSpans(r *hotpb.SelectSpansRequest, stream grpc.ServerStreamingServer[hotpb.GetSpansResponse]) error {
	filter, err := filterFromWire(r.GetFilter())
	if err != nil {
		return toStatus(err)
	}
	chunks := &spanChunks{send: stream.Send}
	for data, err := range s.spans.EncodedSelect(stream.Context(), filter) {
		if err != nil {
			return toStatus(err)
		}
		if err := chunks.add(data); err != nil {
			return err
		}
	}
	return chunks.end(false)
}

// GetStats answers Spans.Stats.
func (s *service) GetStats(ctx context.Context, _ *hotpb.GetStatsRequest) (*hotpb.GetStatsResponse, error) {
	stats, err := s.spans.Stats(ctx)
	if err != nil {
		return nil, toStatus(err)
	}
	response := &hotpb.GetStatsResponse{Requests: stats.Requests, Spans: stats.Spans, Bytes: stats.Bytes, PublishedSpans: stats.PublishedSpans,
		Generation: stats.Generation}
	if !stats.Oldest.IsZero() {
		response.Oldest = timestamppb.New(stats.Oldest)
	}
	return response, nil
}

// ListPublished answers Spans.Published.
func (s *service) ListPublished(_ *hotpb.ListPublishedRequest, stream grpc.ServerStreamingServer[hotpb.ListPublishedResponse]) error {
	paths, err := s.spans.Published(stream.Context())
	if err != nil {
		return toStatus(err)
	}
	return sendChunks(paths, pathBytes, func(part []string) error {
		return stream.Send(&hotpb.ListPublishedResponse{Paths: part})
	})
}

// Release answers Spans.Release.
func (s *service) Release(ctx context.Context, r *hotpb.ReleaseRequest) (*hotpb.ReleaseResponse, error) {
	if err := s.spans.Release(ctx, r.GetPaths()); err != nil {
		return nil, toStatus(err)
	}
	return &hotpb.ReleaseResponse{}, nil
}

// pathBytes is how much a path takes in a message.
func pathBytes(path string) int { return len(path) + 4 }
