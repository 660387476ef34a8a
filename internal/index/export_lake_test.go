package index

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// exported are the spans that Export yields.
func (f *fixture) exported(filter span.Filter, cold span.Cold) (spans []span.Span, seen span.Seen, err error) {
	f.t.Helper()
	seen, err = f.Export(f.t.Context(), filter, cold, func(s span.Span) error { spans = append(spans, s); return nil })
	return spans, seen, err
}

// Export yields what a plain look at each span of each file chooses, each span once: whoever repeats it.
func TestExportYieldsEachChosenSpanOnce(t *testing.T) {
	t.Parallel()
	seed := randomSeed(t)
	for number := range uint64(4) {
		t.Run(fmt.Sprint(number), func(t *testing.T) {
			t.Parallel()
			w := newAttributeWorld(t, seed, number)
			for _, spans := range w.files {
				for i := range spans {
					dropUnlessJSON(&spans[i].Attributes, '{')
					dropUnlessJSON(&spans[i].ResourceAttributes, '{')
				}
			}
			rapid.Check(t, func(r *rapid.T) {
				f := anyAttributeFilter(r)
				var want []span.Span
				seen := make(map[span.Identity]bool)
				for _, spans := range w.files {
					for i := range spans {
						if id := spans[i].Identity(); chooses(&f, &spans[i]) && !seen[id] {
							seen[id] = true
							want = append(want, spans[i])
						}
					}
				}
				got, lacks, err := w.exported(f, w.cold)
				if err != nil || lacks.Unread != 0 {
					r.Fatalf("Export() = %+v, %v", lacks, err)
				}
				got, want = bySpan(got), bySpan(want)
				if !slices.Equal(got, want) {
					r.Fatalf("Export() yields %d spans, want %d\n got %+v\nwant %+v", len(got), len(want), got, want)
				}
			})
		})
	}
}

func TestExportEndsWithTheErrorOfWhoeverTakesTheSpans(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.lake.Spans(t, "a.parquet", testkit.Spans(1, 5)...)
	f.sync()
	enough := fs.ErrNotExist // even if it is one that says something of files
	n := 0
	if _, err := f.Export(t.Context(), span.Filter{}, span.Cold{}, func(span.Span) error { n++; return enough }); !errors.Is(err, enough) || n != 1 {
		t.Errorf("Export() = %v after %d spans", err, n)
	}
}

// A file that left the lake with the index knowing is passed over; one that the index still has is an error; of one that
// has changed the spans are read that the index has, and it is told, unless it was only touched.
func TestExportOfFilesThatHaveGone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.lake.Spans(t, "a.parquet", testkit.Spans(1, 5)...)
	f.lake.Spans(t, "b.parquet", testkit.Spans(100, 3)...)
	f.sync()
	testkit.Touch(t, f.lake.Path("b.parquet"))
	if spans, seen, err := f.exported(span.Filter{}, span.Cold{}); err != nil || len(spans) != 8 || seen.Unread != 0 {
		t.Errorf("with a file that was touched: %d spans, %+v, %v", len(spans), seen, err)
	}
	f.lake.Spans(t, "b.parquet", testkit.Spans(100, 4)...)
	if spans, seen, err := f.exported(span.Filter{}, span.Cold{}); err != nil || len(spans) != 8 || seen.Unread != 1 {
		t.Errorf("with a changed file: %d spans, %+v, %v", len(spans), seen, err)
	}
	f.lake.Remove(t, "b.parquet")
	var failure *FileError
	if _, _, err := f.exported(span.Filter{}, span.Cold{}); !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &failure) || failure.Path != "b.parquet" {
		t.Errorf("without a file that the index has: %v", err)
	}
	f.lake.Spans(t, "b.parquet", testkit.Spans(100, 3)...)
	f.sync()
	// While the first file is exported, the other one leaves the lake and the index.
	n := 0
	_, err := f.Export(t.Context(), span.Filter{}, span.Cold{}, func(s span.Span) error {
		if n++; n == 1 {
			f.lake.Remove(t, map[bool]string{true: "b.parquet", false: "a.parquet"}[s.StartTime.Before(testkit.Span(100, 100).StartTime)])
			f.sync()
		}
		return nil
	})
	if err != nil || n != 3 && n != 5 {
		t.Errorf("while a file goes: %d spans, %v", n, err)
	}
}

// A file whose row groups are large is read in parts.
func TestPortionsAreOfAboutOneSize(t *testing.T) {
	t.Parallel()
	w := &wholeFile{shape: &shape{groups: []groupShape{
		{rows: 10, bytes: maxPortionBytes / 3}, {rows: 20, bytes: maxPortionBytes / 3}, {rows: 30, bytes: maxPortionBytes / 2}, {rows: 0},
		{rows: 100, bytes: 4 * maxPortionBytes}, {rows: 5, bytes: 1},
	}}}
	got := w.portions(func(int) bool { return true }, maxPortionBytes)
	want := []portion{{first: 0, end: 30}, {first: 30, end: 60}, {first: 60, end: 85}, {first: 85, end: 110}, {first: 110, end: 135}, {first: 135, end: 160}, {first: 160, end: 165}}
	if !slices.Equal(got, want) {
		t.Errorf("portions() = %v, want %v", got, want)
	}
	got = w.portions(func(group int) bool { return group == 1 || group == 5 }, maxPortionBytes)
	if want := []portion{{first: 10, end: 30}, {first: 160, end: 165}}; !slices.Equal(got, want) {
		t.Errorf("portions() of some row groups = %v, want %v", got, want)
	}
	w.layout.shadowed = true
	if got := w.portions(func(int) bool { return true }, maxPortionBytes); !slices.Equal(got, []portion{{all: true}}) {
		t.Errorf("portions() of a file with a column file_row_number = %v", got)
	}
}
