package hot

import (
	"context"
	"fmt"
	"iter"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/spanlake/spanlake/internal/hot/hotpb"
	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
)

// Encoded yields the whole spans of a trace, or with both ids, as protobuf TracesData messages.
func (s *Store) Encoded(ctx context.Context, traceID, spanID string, maxBytes int64, yield func([]byte) error) (truncated bool, err error) {
	var ids []string
	if spanID != "" {
		ids = []string{spanID}
	}
	q, err := parseQuery(traceID, ids...)
	if err != nil {
		return false, err
	}
	return encodeWithin(s.find(ctx, q), maxBytes, yield)
}

// EncodedGet yields what Get answers as protobuf TracesData messages.
func (s *Store) EncodedGet(ctx context.Context, refs []span.Ref, maxBytes int64, yield func([]byte) error) (truncated bool, err error) {
	return encodeWithin(s.get(ctx, refs), maxBytes, yield)
}

// encodeWithin makes spans what the other process makes of them too, since that is what is counted: JSON can be much larger than protobuf.
func encodeWithin(read iter.Seq2[*otlpwire.Span, error], maxBytes int64, yield func([]byte) error) (truncated bool, err error) {
	return within(read, maxBytes, func(one *otlpwire.Span, _ *span.Span) error { return yield(encode(one)) })
}

// EncodedSelect yields what Select answers as protobuf TracesData messages.
func (s *Store) EncodedSelect(ctx context.Context, f span.Filter) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for one, err := range s.selected(ctx, f) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(encode(one), nil) {
				return
			}
		}
	}
}

// The fields of TracesData, ResourceSpans and ScopeSpans, in opentelemetry/proto/trace/v1/trace.proto.
const (
	fieldResourceSpans = 1
	fieldResource      = 1
	fieldScopeSpans    = 2
	fieldScope         = 1
	fieldSpans         = 2
	fieldSchemaURL     = 3 // of both
)

// encode makes a TracesData message of a span, byte for byte as it came, and what it shares with others.
func encode(s *otlpwire.Span) []byte {
	var scope, resource []byte
	scope = appendField(scope, fieldScope, s.Scope)
	scope = appendField(scope, fieldSpans, s.Span)
	scope = appendField(scope, fieldSchemaURL, s.ScopeSchemaURL)
	resource = appendField(resource, fieldResource, s.Resource)
	resource = appendField(resource, fieldScopeSpans, scope)
	resource = appendField(resource, fieldSchemaURL, s.ResourceSchemaURL)
	return appendField(nil, fieldResourceSpans, resource)
}

// appendField appends a field unless content is nil: one that is there but empty differs from none.
func appendField(b []byte, number protowire.Number, content []byte) []byte {
	if content == nil {
		return b
	}
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), content)
}

// spanChunks puts messages into chunks of chunkBytes. One span may be as large as a whole request, so it may take several.
type spanChunks struct {
	send  func(*hotpb.GetSpansResponse) error
	chunk *hotpb.GetSpansResponse
	bytes int
}

func (c *spanChunks) add(data []byte) error {
	for room := chunkBytes - c.bytes; len(data) > room; room = chunkBytes {
		c.put(data[:room])
		c.chunk.Unfinished = true
		if err := c.flush(); err != nil {
			return err
		}
		data = data[room:]
	}
	c.put(data)
	return nil
}

func (c *spanChunks) begin() {
	if c.chunk == nil {
		c.chunk = &hotpb.GetSpansResponse{}
	}
}

func (c *spanChunks) put(part []byte) {
	c.begin()
	c.chunk.TracesData = append(c.chunk.TracesData, part)
	c.bytes += len(part)
}

// end sends what there is, and that there would be more.
func (c *spanChunks) end(truncated bool) error {
	if truncated {
		c.begin()
		c.chunk.Truncated = true
	}
	return c.flush()
}

// flush sends what there is.
func (c *spanChunks) flush() error {
	if c.chunk == nil {
		return nil
	}
	chunk := c.chunk
	c.chunk, c.bytes = nil, 0
	return c.send(chunk)
}

// joiner is the other side of spanChunks.
type joiner struct{ begun []byte }

// add yields the messages that end in a chunk.
func (j *joiner) add(chunk *hotpb.GetSpansResponse, yield func([]byte) error) error {
	parts := chunk.GetTracesData()
	for i, part := range parts {
		if len(j.begun) > 0 {
			part = append(j.begun, part...)
			j.begun = nil
		}
		if i == len(parts)-1 && chunk.GetUnfinished() {
			j.begun = part
			return nil
		}
		if err := yield(part); err != nil {
			return err
		}
	}
	return nil
}

// end says whether a message is missing its rest.
func (j *joiner) end() error {
	if len(j.begun) > 0 {
		return fmt.Errorf("the answer ends in the middle of a span of at least %d bytes", len(j.begun))
	}
	return nil
}
