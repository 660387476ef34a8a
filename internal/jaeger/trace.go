package jaeger

import (
	"context"
	"errors"
	"fmt"

	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
)

// encodedTrace is a trace as OTLP.
type encodedTrace struct {
	// spans are TracesData messages of one span each, by start time.
	spans [][]byte
	bytes int64
	// warnings say what is missing.
	warnings []string
}

// trace reads a trace. The error wraps span.ErrNotFound if it has no spans.
func (r *reader) trace(ctx context.Context, traceID string) (*encodedTrace, error) {
	spans, complete, err := r.queries.Trace(ctx, traceID)
	if err != nil {
		return nil, err
	}
	t := &encodedTrace{warnings: missing(&complete)}
	for i := range spans {
		encoded, err := otlpwire.Encode(&spans[i])
		if column := (*otlpwire.ColumnError)(nil); errors.As(err, &column) {
			t.warnings = append(t.warnings, column.Error())
			continue
		}
		if err != nil {
			return nil, err
		}
		spans[i] = span.Span{} // it may be large
		t.spans, t.bytes = append(t.spans, encoded), t.bytes+int64(len(encoded))
	}
	if len(t.spans) == 0 {
		return nil, fmt.Errorf("trace %q %w in a form that OTLP can say: %s", traceID, span.ErrNotFound, t.warnings[0])
	}
	return t, nil
}

// find lists the ids of the traces that a search finds. Those that are none of OpenTelemetry's are left out, which the answer says.
func (r *reader) find(ctx context.Context, s *search) (ids, warnings []string, complete span.Completeness, err error) {
	if s.impossible {
		return nil, nil, span.Completeness{}, nil
	}
	found, complete, err := r.queries.TraceIDs(ctx, s.filter, s.limit)
	if err != nil {
		return nil, nil, complete, err
	}
	warnings = missing(&complete)
	for _, id := range found {
		if _, err := span.ParseTraceID(id); err != nil {
			warnings = append(warnings, err.Error())
			continue
		}
		ids = append(ids, id)
	}
	return ids, warnings, complete, nil
}
