// Package testkit builds what tests of several packages need: lakes, Parquet files of any shape, and damage to them. All files are
// real ones, written by DuckDB or arrow-go.
package testkit

import (
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// Start is when the first span of every builder begins.
var Start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// Span is a sound span number id of trace number trace, with what edits change.
func Span(trace, id int, edits ...func(*span.Span)) span.Span {
	start := Start.Add(time.Duration(id) * time.Millisecond)
	s := span.Span{
		TraceID: TraceID(trace), SpanID: hex(id, 16), ServiceName: "svc", Name: "op", Kind: span.KindServer,
		StartTime: start, EndTime: start.Add(time.Millisecond), StatusCode: span.StatusOK,
	}
	for _, edit := range edits {
		edit(&s)
	}
	return s
}

// Spans are n different spans of one trace each, beginning with number first.
func Spans(first, n int) []span.Span {
	spans := make([]span.Span, n)
	for i := range spans {
		spans[i] = Span(first+i, first+i)
	}
	return spans
}

// TraceID is trace number n as OpenTelemetry writes it.
func TraceID(n int) string { return hex(n, 32) }

func hex(n, digits int) string {
	const zeros = "00000000000000000000000000000000"
	s := strconv.FormatInt(int64(n), 16)
	return zeros[:digits-len(s)] + s
}

// Lake is a folder of Parquet files.
type Lake struct{ Root string }

// NewLake makes an empty lake that goes with the test.
func NewLake(t testing.TB) Lake {
	t.Helper()
	return Lake{filepath.Join(t.TempDir(), "lake")}
}

// Path is the full path of a file of the lake.
func (l Lake) Path(rel string) string { return filepath.Join(l.Root, filepath.FromSlash(rel)) }

// ticks gives each file another modification time, whatever the resolution of the clock: a rewritten file is always
// seen to have changed.
var ticks atomic.Int64

// Put writes a file of any content, or replaces it.
func (l Lake) Put(t testing.TB, rel string, content []byte) {
	t.Helper()
	path := l.Path(rel)
	mkdirFor(t, path)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	Touch(t, path)
}

// Touch gives a file a modification time that no other has.
func Touch(t testing.TB, path string) {
	t.Helper()
	at := Start.Add(time.Duration(ticks.Add(1)) * time.Second)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

// Read returns the content of a file.
func (l Lake) Read(t testing.TB, rel string) []byte {
	t.Helper()
	content, err := os.ReadFile(l.Path(rel))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// Remove takes a file or folder away.
func (l Lake) Remove(t testing.TB, rel string) {
	t.Helper()
	if err := os.RemoveAll(l.Path(rel)); err != nil {
		t.Fatal(err)
	}
}

// Spans writes a Parquet file with the spans, in their order, in the columns of the format.
func (l Lake) Spans(t testing.TB, rel string, spans ...span.Span) {
	t.Helper()
	l.Table(t, rel, SpansTable(spans...))
}

// Table writes a Parquet file of any shape.
func (l Lake) Table(t testing.TB, rel string, table *Table) {
	t.Helper()
	path := l.Path(rel)
	mkdirFor(t, path)
	table.write(t, path)
	Touch(t, path)
}

func mkdirFor(t testing.TB, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
}
