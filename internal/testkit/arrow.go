package testkit

import (
	"bytes"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

// Column is a column of an Arrow table: what DuckDB cannot write, arrow-go can.
type Column struct {
	Name string
	Type arrow.DataType
	// Append adds the value of row i.
	Append func(b array.Builder, i int)
}

// Text is a string column.
func Text(name string, value func(i int) string) Column {
	return Column{name, arrow.BinaryTypes.String, func(b array.Builder, i int) { b.(*array.StringBuilder).Append(value(i)) }}
}

// Nanos is a column of UTC nanosecond timestamps, which our own writer and other producers make.
func Nanos(name string, value func(i int) int64) Column {
	return Column{name, &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "UTC"}, func(b array.Builder, i int) {
		b.(*array.TimestampBuilder).Append(arrow.Timestamp(value(i)))
	}}
}

// Null is a column of the type null.
func Null(name string) Column {
	return Column{name, arrow.Null, func(b array.Builder, _ int) { b.AppendNull() }}
}

// MinimalColumns are the columns without which a row is no span.
func MinimalColumns() []Column {
	return []Column{
		Text("trace_id", func(i int) string { return TraceID(i + 1) }),
		Text("span_id", func(i int) string { return hex(i+1, 16) }),
		Nanos("start_time", func(i int) int64 { return Start.UnixNano() + int64(i) }),
	}
}

// Arrow writes a Parquet file with arrow-go.
func (l Lake) Arrow(t testing.TB, rel string, rows int, columns ...Column) {
	t.Helper()
	l.Put(t, rel, ArrowBytes(t, rows, columns...))
}

// ArrowBytes is a Parquet file written by arrow-go. With no rows it has no row group either.
func ArrowBytes(t testing.TB, rows int, columns ...Column) []byte {
	t.Helper()
	fields := make([]arrow.Field, len(columns))
	for i, c := range columns {
		fields[i] = arrow.Field{Name: c.Name, Type: c.Type, Nullable: true}
	}
	schema := arrow.NewSchema(fields, nil)
	var out bytes.Buffer
	writer, err := pqarrow.NewFileWriter(schema, &out, parquet.NewWriterProperties(parquet.WithDictionaryDefault(false)),
		pqarrow.DefaultWriterProps())
	if err != nil {
		t.Fatal(err)
	}
	if rows > 0 {
		builder := array.NewRecordBuilder(memory.DefaultAllocator, schema)
		defer builder.Release()
		for i := range rows {
			for j, c := range columns {
				c.Append(builder.Field(j), i)
			}
		}
		record := builder.NewRecordBatch()
		defer record.Release()
		if err := writer.Write(record); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
