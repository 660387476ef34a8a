package export

import (
	"errors"

	"github.com/spanlake/spanlake/internal/lake"
	"github.com/spanlake/spanlake/internal/span"
)

// table writes a Parquet file. Its rows are in the order of a lake, so that all spans are sorted before the first one is written.
type table struct {
	folder string
	writer *lake.Writer
	sorter *sorter
}

func newTable(folder string) (*table, error) {
	writer, err := lake.NewWriter(folder)
	if err != nil {
		return nil, err
	}
	return &table{folder: folder, writer: writer, sorter: newSorter(folder)}, nil
}

// Add keeps the span until all are sorted.
func (t *table) Add(s span.Span) error { return t.sorter.add(s) }

// Finish sorts and writes the spans.
func (t *table) Finish() (Written, error) {
	file, err := t.writer.WriteSorted(temporaryName, t.sorter.parts())
	if errors.Is(err, lake.ErrNoSpans) {
		return Written{}, ErrNoSpans
	}
	return Written{Spans: file.Rows, Bytes: file.Bytes}, err
}

func (t *table) close() { t.sorter.close() }
