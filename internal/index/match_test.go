package index

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/spanlake/spanlake/internal/attribute"
	"github.com/spanlake/spanlake/internal/lake"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// plainMatches are the traces in which a filter chooses a span of some file.
func (w *attributeWorld) plainMatches(f *span.Filter) []span.TraceMatch {
	newest := make(map[string]time.Time)
	for _, spans := range w.files {
		for i := range spans {
			if s := &spans[i]; chooses(f, s) && (newest[s.TraceID].IsZero() || s.StartTime.After(newest[s.TraceID])) {
				newest[s.TraceID] = s.StartTime
			}
		}
	}
	all := []span.TraceMatch{}
	for id, start := range newest {
		all = append(all, span.TraceMatch{TraceID: id, Start: start})
	}
	slices.SortFunc(all, func(a, b span.TraceMatch) int {
		return cmp.Or(b.Start.Compare(a.Start), strings.Compare(a.TraceID, b.TraceID))
	})
	return all
}

// Whatever is asked for, Matches finds what a look at each span of each file finds.
func TestMatchesIsAPlainLookAtEachSpan(t *testing.T) {
	t.Parallel()
	seed := randomSeed(t)
	for number := range uint64(4) {
		t.Run(fmt.Sprint(number), func(t *testing.T) {
			t.Parallel()
			w := newAttributeWorld(t, seed, number)
			rapid.Check(t, func(r *rapid.T) {
				f := anyAttributeFilter(r)
				limit := rapid.SampledFrom([]int{0, 0, 1, 3, 100}).Draw(r, "limit")
				got, seen, err := w.Matches(t.Context(), f, limit, w.cold)
				if err != nil || seen.Unread != 0 {
					r.Fatalf("Matches() = %+v, %v", seen, err)
				}
				want := w.plainMatches(&f)
				if limit > 0 && len(want) > limit {
					want = want[:limit]
				}
				if diff := gocmp.Diff(want, append([]span.TraceMatch{}, got...)); diff != "" {
					r.Fatalf("of %d files, %d pending (-want +got):\n%s", len(w.files), len(w.cold.Pending), diff)
				}
			})
		})
	}
}

func asking(key, value string) span.Filter {
	return span.Filter{Attributes: []span.AttributeClause{{{Key: key, Value: &value}}}}
}

// manyGroups writes a file of n traces, each with a span in a row group of its own that has the number of the trace.
func (f *fixture) manyGroups(path string, n int) {
	f.t.Helper()
	writer, err := lake.NewWriter(f.lake.Root)
	if err != nil {
		f.t.Fatal(err)
	}
	_, err = writer.WriteSorted(path, func(yield func([]span.Span, error) bool) {
		for i := range n {
			s := testkit.Span(i, i, func(s *span.Span) { s.Attributes = fmt.Sprintf(`{"number":%d}`, i) })
			if !yield([]span.Span{s}, nil) {
				return
			}
		}
	})
	if err != nil {
		f.t.Fatal(err)
	}
	testkit.Touch(f.t, f.lake.Path(path))
}

// What the footer says is in the index with the file, and goes with it.
func TestFiltersComeAndGoWithTheirFile(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.manyGroups("d/a.parquet", 5)
	f.lake.Spans(t, "b.parquet", testkit.Spans(100, 3)...)
	f.sync()
	f.expect("SELECT file_path || ' ' || row_group FROM row_groups JOIN parquet_files USING (file_id) ORDER BY row_group",
		"d/a.parquet 0", "d/a.parquet 1", "d/a.parquet 2", "d/a.parquet 3", "d/a.parquet 4")
	for i, text := range f.column("SELECT to_base64(attributes) FROM row_groups ORDER BY row_group") {
		groups, err := attribute.Decode(fmt.Sprintf(`{"row_groups":[{"filter":%q}]}`, text))
		if err != nil {
			t.Fatal(err)
		}
		filter, other := asking("number", fmt.Sprint(i)), asking("number", fmt.Sprint(i+1))
		if open := attribute.Open(groups[0].Filter); !open.MayMatch(filter.Attributes) || open.MayMatch(other.Attributes) {
			t.Errorf("the filter of row group %d is not its own", i)
		}
	}
	f.manyGroups("d/c.parquet", 2)
	f.lake.Remove(t, "d/a.parquet")
	f.sync()
	f.expect("SELECT file_path || ' ' || row_group FROM row_groups JOIN parquet_files USING (file_id) ORDER BY row_group", "d/c.parquet 0", "d/c.parquet 1")
	f.exec("INSERT INTO row_groups VALUES (12345, 0, ''), ((SELECT file_id FROM parquet_files WHERE file_path = 'd/c.parquet'), 7, '')")
	if got := f.differences(); len(got) != 2 || got[0].Check != "row_groups" || got[1].Check != "row_groups" {
		t.Errorf("Verify() = %+v", got)
	}
	f.exec("DELETE FROM row_groups WHERE row_group = 7 OR file_id = 12345")
}

// Only the row groups that may have the value are read: the filters of the others are changed to say that they cannot.
func TestRowGroupsThatCannotMatchAreNotRead(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.manyGroups("d/a.parquet", 20)
	f.sync()
	ask := asking("number", "7")
	if got, _, err := f.Matches(t.Context(), ask, 0, span.Cold{}); err != nil || len(got) != 1 || got[0].TraceID != testkit.TraceID(7) {
		t.Fatalf("Matches() = %v, %v", got, err)
	}
	// With the filter of another row group, that one is the only one to be read, and has no such span.
	f.exec("UPDATE row_groups SET attributes = (SELECT attributes FROM row_groups WHERE row_group = 8) WHERE row_group = 7")
	if got, _, err := f.Matches(t.Context(), ask, 0, span.Cold{}); err != nil || len(got) != 0 {
		t.Errorf("Matches() = %v, %v: row groups were read that cannot match", got, err)
	}
	// What the index knows of row groups counts for the file that was indexed: of another one all are read.
	f.exec("UPDATE row_groups SET attributes = ? WHERE row_group = 3", filterWith(`{"number":7}`))
	if got, _, err := f.Matches(t.Context(), ask, 0, span.Cold{}); err != nil || len(got) != 0 {
		t.Errorf("Matches() = %v, %v", got, err)
	}
	testkit.Touch(t, f.lake.Path("d/a.parquet"))
	if got, _, err := f.Matches(t.Context(), ask, 0, span.Cold{}); err != nil || len(got) != 1 {
		t.Errorf("Matches() of a changed file = %v, %v", got, err)
	}
}

func filterWith(attributes string) []byte {
	var b attribute.Builder
	b.Add(attributes, "{}")
	return b.Filter()
}

// Whatever stands in a footer, the file is indexed, and searches do not trust what cannot be true.
func TestHostileFiltersCostNothingButTime(t *testing.T) {
	t.Parallel()
	sound := attribute.Encode([]attribute.RowGroup{{FirstTraceID: "a", LastTraceID: "b", Filter: []byte{99, 1, 2, 3}}})
	for name, text := range map[string]string{
		"nothing": "", "no JSON": "{", "null": "null", "a list": "[]", "another type": `{"row_groups":"x"}`, "no row groups": `{"row_groups":[]}`,
		"too many row groups":   attribute.Encode(make([]attribute.RowGroup, 3)),
		"no base64":             `{"row_groups":[{"filter":"%%%"}]}`,
		"an unknown version":    sound,
		"an empty filter":       attribute.Encode(make([]attribute.RowGroup, 1)),
		"no UTF-8":              "\xff\xfe",
		"much":                  strings.Repeat("x", maxFilterText+1),
		"a filter of odd bytes": attribute.Encode([]attribute.RowGroup{{Filter: []byte{1, 7, 0, 0, 0}}}),
		"no hashes":             attribute.Encode([]attribute.RowGroup{{Filter: []byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0}}}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.lake.Table(t, "a.parquet", testkit.SpanTable(3).Options("KV_METADATA {'"+attribute.MetadataKey+"': "+hexBlob(text)+"}"))
			f.sync()
			f.expectSpans(3)
			if got, _, err := f.Matches(t.Context(), asking("n", "1"), 0, span.Cold{}); err != nil || len(got) != 1 {
				t.Errorf("Matches() = %v, %v", got, err)
			}
		})
	}
}

// hexBlob is bytes as an SQL expression.
func hexBlob(text string) string { return "from_hex('" + fmt.Sprintf("%x", text) + "')" }

// A file that is gone has no spans any more; one that has become unreadable is an error that names it.
func TestMatchesOfFilesThatAreGoneOrDamaged(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.manyGroups("d/a.parquet", 3)
	f.manyGroups("d/b.parquet", 6)
	f.sync()
	f.lake.Remove(t, "d/b.parquet")
	if got, seen, err := f.Matches(t.Context(), asking("number", "1"), 0, span.Cold{}); err != nil || len(got) != 1 || seen.Unread != 0 {
		t.Errorf("Matches() without a file = %v, %+v, %v", got, seen, err)
	}
	f.lake.Put(t, "d/a.parquet", []byte("PAR1 is no Parquet PAR1"))
	if _, _, err := f.Matches(t.Context(), asking("number", "1"), 0, span.Cold{}); err == nil || !strings.Contains(err.Error(), "a.parquet") {
		t.Errorf("Matches() of a damaged file = %v", err)
	}
	// A pending one is told as unread.
	f.lake.Remove(t, "d/a.parquet")
	f.lake.Put(t, "c.parquet", []byte("PAR1 is no Parquet PAR1"))
	pending, err := f.stat(&item{file: span.File{Path: "c.parquet"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, seen, err := f.Matches(t.Context(), asking("number", "1"), 0, span.Cold{Pending: []span.File{pending}}); err != nil || seen.Unread != 1 {
		t.Errorf("Matches() of a damaged pending file = %+v, %v", seen, err)
	}
}
