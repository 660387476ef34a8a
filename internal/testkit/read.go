package testkit

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/spanlake/spanlake/internal/span"
)

// ReadSpans reads the spans of a file that Spanlake has written, in the order of its rows, exact to the nanosecond and in UTC. What
// is null, or has no column as in a file of an older writer, is the zero value.
func ReadSpans(t testing.TB, path string) []span.Span {
	t.Helper()
	spans, err := readSpans(t.Context(), path)
	if err != nil {
		t.Fatalf("read spans of %s: %v", path, err)
	}
	return spans
}

func readSpans(ctx context.Context, path string) (spans []span.Span, err error) {
	parquetFile, err := file.OpenParquetFile(path, false)
	if err != nil {
		return nil, err
	}
	defer func() { _ = parquetFile.Close() }()
	reader, err := pqarrow.NewFileReader(parquetFile, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		return nil, err
	}
	columns := make([]int, parquetFile.MetaData().Schema.NumColumns())
	for i := range columns {
		columns[i] = i
	}
	// A row group at a time, so that large files can be read as well.
	for group := range parquetFile.NumRowGroups() {
		table, err := reader.ReadRowGroups(ctx, columns, []int{group})
		if err != nil {
			return nil, err
		}
		batches := array.NewTableReader(table, 0)
		for batches.Next() {
			if spans, err = appendSpans(spans, batches.RecordBatch()); err != nil {
				return nil, err
			}
		}
		batches.Release()
		table.Release()
	}
	return spans, nil
}

// spanFields set a column of a span; each field has the type that the format gives the column.
type spanFields struct {
	text   map[string]func(*span.Span, string)
	number map[string]func(*span.Span, int64)
}

func newSpanFields() spanFields {
	return spanFields{
		text: map[string]func(*span.Span, string){
			"span_id":             func(s *span.Span, v string) { s.SpanID = v },
			"trace_id":            func(s *span.Span, v string) { s.TraceID = v },
			"parent_span_id":      func(s *span.Span, v string) { s.ParentSpanID = v },
			"service_name":        func(s *span.Span, v string) { s.ServiceName = v },
			"name":                func(s *span.Span, v string) { s.Name = v },
			"status_message":      func(s *span.Span, v string) { s.StatusMessage = v },
			"attributes":          func(s *span.Span, v string) { s.Attributes = v },
			"events":              func(s *span.Span, v string) { s.Events = v },
			"resource_attributes": func(s *span.Span, v string) { s.ResourceAttributes = v },
			"links":               func(s *span.Span, v string) { s.Links = v },
			"trace_state":         func(s *span.Span, v string) { s.TraceState = v },
			"scope_name":          func(s *span.Span, v string) { s.ScopeName = v },
			"scope_version":       func(s *span.Span, v string) { s.ScopeVersion = v },
			"scope_attributes":    func(s *span.Span, v string) { s.ScopeAttributes = v },
			"scope_schema_url":    func(s *span.Span, v string) { s.ScopeSchemaURL = v },
			"resource_schema_url": func(s *span.Span, v string) { s.ResourceSchemaURL = v },
			"otlp":                func(s *span.Span, v string) { s.OTLP = v },
		},
		number: map[string]func(*span.Span, int64){
			"span_kind":                func(s *span.Span, v int64) { s.Kind = span.Kind(v) },
			"start_time":               func(s *span.Span, v int64) { s.StartTime = time.Unix(0, v).UTC() },
			"end_time":                 func(s *span.Span, v int64) { s.EndTime = time.Unix(0, v).UTC() },
			"duration_ns":              func(*span.Span, int64) {}, // follows from the times
			"start_time_remainder":     func(*span.Span, int64) {}, // as well
			"status_code":              func(s *span.Span, v int64) { s.StatusCode = span.StatusCode(v) },
			"trace_flags":              func(s *span.Span, v int64) { s.Flags = uint32(v) },
			"dropped_attributes_count": func(s *span.Span, v int64) { s.DroppedAttributesCount = uint32(v) },
			"dropped_events_count":     func(s *span.Span, v int64) { s.DroppedEventsCount = uint32(v) },
			"dropped_links_count":      func(s *span.Span, v int64) { s.DroppedLinksCount = uint32(v) },
			"scope_dropped_attributes_count": func(s *span.Span, v int64) {
				s.ScopeDroppedAttributesCount = uint32(v)
			},
			"resource_dropped_attributes_count": func(s *span.Span, v int64) {
				s.ResourceDroppedAttributesCount = uint32(v)
			},
		},
	}
}

func appendSpans(to []span.Span, batch arrow.RecordBatch) ([]span.Span, error) {
	first, fields := len(to), newSpanFields()
	to = append(to, make([]span.Span, batch.NumRows())...)
	for c, column := range batch.Columns() {
		name := batch.ColumnName(c)
		setText, setNumber := fields.text[name], fields.number[name]
		for i := range column.Len() {
			if column.IsNull(i) {
				continue
			}
			s := &to[first+i]
			switch column := column.(type) {
			case array.StringLike:
				if setText == nil {
					return nil, fmt.Errorf("column %s is a string", name)
				}
				// A copy, because the memory of a batch is reused.
				setText(s, strings.Clone(column.Value(i)))
			case *array.Binary:
				if name != "otlp" {
					return nil, fmt.Errorf("column %s is binary", name)
				}
				setText(s, string(column.Value(i)))
			default:
				if setNumber == nil {
					return nil, fmt.Errorf("column %s is %s", name, column.DataType())
				}
				n, err := number(column, i)
				if err != nil {
					return nil, fmt.Errorf("column %s: %w", name, err)
				}
				setNumber(s, n)
			}
		}
	}
	return to, nil
}

func number(column arrow.Array, i int) (int64, error) {
	switch column := column.(type) {
	case *array.Int8:
		return int64(column.Value(i)), nil
	case *array.Int64:
		return column.Value(i), nil
	case *array.Timestamp:
		return int64(column.Value(i)), nil
	}
	return 0, fmt.Errorf("is %s", column.DataType())
}
