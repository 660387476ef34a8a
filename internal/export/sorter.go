package export

import (
	"bufio"
	"cmp"
	"container/heap"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"

	"github.com/spanlake/spanlake/internal/lake"
	"github.com/spanlake/spanlake/internal/span"
)

const (
	// runBytes is how much is sorted in memory at once. What is more is kept in a file until everything is there.
	runBytes = 64 << 20
	// spanBytes is what a span takes beside its texts.
	spanBytes = 512
	// readBytes is the buffer of each run while they are merged.
	readBytes = 32 << 10
	// maxPartSpans and maxPartBytes end a part within a trace, as a lake ends row groups.
	maxPartSpans = lake.RowGroupRows * 6 / 5
	maxPartBytes = 32 << 20
)

// sorter sorts spans by trace id, start time and span id, more of them than fit into memory.
type sorter struct {
	folder string
	// most is runBytes, but for tests.
	most  int
	spans []span.Span
	bytes int
	// file has the sorted runs one after the other, nil as long as there is none.
	file *os.File
	runs []section
}

// section is a run in the file.
type section struct{ offset, length int64 }

func newSorter(folder string) *sorter { return &sorter{folder: folder, most: runBytes} }

func compare(a, b *span.Span) int {
	if c := strings.Compare(a.TraceID, b.TraceID); c != 0 {
		return c
	}
	return cmp.Or(a.StartTime.Compare(b.StartTime), strings.Compare(a.SpanID, b.SpanID))
}

func (s *sorter) add(one span.Span) error {
	s.spans = append(s.spans, one)
	if s.bytes += spanBytes + textBytes(&one); s.bytes < s.most {
		return nil
	}
	return s.spill()
}

func (s *sorter) sort() {
	slices.SortFunc(s.spans, func(a, b span.Span) int { return compare(&a, &b) })
}

// spill moves what is in memory into the file.
func (s *sorter) spill() error {
	if s.file == nil {
		file, err := os.CreateTemp(s.folder, "runs-*")
		if err != nil {
			return err
		}
		s.file = file
	}
	offset, err := s.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	s.sort()
	out := bufio.NewWriterSize(s.file, bufferBytes)
	encoder := gob.NewEncoder(out)
	for i := range s.spans {
		one := &s.spans[i]
		// As UTC they are the same times in fewer bytes.
		one.StartTime, one.EndTime = one.StartTime.UTC(), one.EndTime.UTC()
		if err := encoder.Encode(one); err != nil {
			return fmt.Errorf("keep spans until they are sorted: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("keep spans until they are sorted: %w", err)
	}
	end, err := s.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	s.runs = append(s.runs, section{offset, end - offset})
	clear(s.spans)
	s.spans, s.bytes = s.spans[:0], 0
	return nil
}

// parts yields all spans in their order, in parts for row groups of a lake. A part is used again for the next one.
func (s *sorter) parts() iter.Seq2[[]span.Span, error] {
	return func(yield func([]span.Span, error) bool) {
		var part []span.Span
		bytes := 0
		for one, err := range s.sorted() {
			if err != nil {
				yield(nil, err)
				return
			}
			if n := len(part); n > 0 {
				traceEnds := n >= lake.RowGroupRows && part[n-1].TraceID != one.TraceID
				if traceEnds || n >= maxPartSpans || bytes >= maxPartBytes {
					if !yield(part, nil) {
						return
					}
					clear(part)
					part, bytes = part[:0], 0
				}
			}
			part = append(part, one)
			bytes += textBytes(&one)
		}
		if len(part) > 0 {
			yield(part, nil)
		}
	}
}

// sorted yields all spans in their order.
func (s *sorter) sorted() iter.Seq2[span.Span, error] {
	return func(yield func(span.Span, error) bool) {
		s.sort()
		if s.file == nil {
			for i := range s.spans {
				if !yield(s.spans[i], nil) {
					return
				}
			}
			return
		}
		var m merge
		for _, run := range s.runs {
			in := bufio.NewReaderSize(io.NewSectionReader(s.file, run.offset, run.length), readBytes)
			m = append(m, &head{decoder: gob.NewDecoder(in)})
		}
		m = append(m, &head{left: s.spans})
		if err := m.begin(); err != nil {
			yield(span.Span{}, err)
			return
		}
		for len(m) > 0 {
			if !yield(m[0].span, nil) {
				return
			}
			if err := m.advance(); err != nil {
				yield(span.Span{}, err)
				return
			}
		}
	}
}

// head is the next span of a run: of one in the file, or of what is in memory.
type head struct {
	span    span.Span
	decoder *gob.Decoder
	left    []span.Span
}

// next reads the next span. The error is io.EOF at the end.
func (h *head) next() error {
	h.span = span.Span{} // gob leaves fields alone that it was sent no value of
	if h.decoder == nil {
		if len(h.left) == 0 {
			return io.EOF
		}
		h.span, h.left = h.left[0], h.left[1:]
		return nil
	}
	err := h.decoder.Decode(&h.span)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read spans that were kept until they are sorted: %w", err)
	}
	return err
}

// merge is a heap of runs by their next span.
type merge []*head

// Len is how many have spans left.
func (m *merge) Len() int { return len(*m) }

// Less tells which of two is next.
func (m *merge) Less(i, j int) bool { return compare(&(*m)[i].span, &(*m)[j].span) < 0 }

// Swap is of heap.Interface.
func (m *merge) Swap(i, j int) { (*m)[i], (*m)[j] = (*m)[j], (*m)[i] }

// Push is of heap.Interface, and not used: runs only end.
func (m *merge) Push(x any) {
	if h, ok := x.(*head); ok {
		*m = append(*m, h)
	}
}

// Pop removes the last one.
func (m *merge) Pop() any {
	last := (*m)[len(*m)-1]
	*m = (*m)[:len(*m)-1]
	return last
}

// begin reads the first span of each run.
func (m *merge) begin() error {
	var begun merge
	for _, h := range *m {
		switch err := h.next(); {
		case err == nil:
			begun = append(begun, h)
		case !errors.Is(err, io.EOF):
			return err
		}
	}
	*m = begun
	heap.Init(m)
	return nil
}

// advance passes over the first span.
func (m *merge) advance() error {
	switch err := (*m)[0].next(); {
	case err == nil:
		heap.Fix(m, 0)
	case errors.Is(err, io.EOF):
		heap.Pop(m)
	default:
		return err
	}
	return nil
}

// close closes the file, which goes with its folder.
func (s *sorter) close() {
	if s.file != nil {
		_ = s.file.Close() // it was only for the time being
	}
}
