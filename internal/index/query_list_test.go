package index

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/spanlake/spanlake/internal/lake"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// world is a lake of which some files are indexed and others pending, and what a plain look at its spans says.
type world struct {
	*fixture
	random *rand.Rand
	// spans are all distinct ones, as the index shows them.
	spans []span.Metadata
	cold  span.Cold
}

// moments are when spans start: years apart, in the same microsecond, and close together.
func moments() []time.Time {
	return []time.Time{
		time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1999, 12, 31, 23, 59, 59, 999_999_000, time.UTC),
		testkit.Start.AddDate(-3, 0, 0), testkit.Start, testkit.Start.Add(time.Microsecond), testkit.Start.AddDate(0, 0, 1), testkit.Start.AddDate(30, 0, 0),
	}
}

var worldNames = []string{"a", "ab", "abc", "%", "a%c", "_b", "東京", ""}

func (w *world) anySpan() span.Span {
	start := moments()[w.random.IntN(len(moments()))]
	if w.random.IntN(3) > 0 {
		start = start.Add(time.Duration(w.random.IntN(2000)) * time.Microsecond)
	}
	s := testkit.Span(w.random.IntN(40), w.random.IntN(6))
	s.StartTime = start
	s.EndTime = start.Add(time.Duration(w.random.IntN(9)-2) * time.Microsecond)
	if w.random.IntN(6) == 0 {
		s.EndTime = time.Time{}
	}
	if w.random.IntN(2) == 0 {
		s.ParentSpanID = "00000000000000ff"
	}
	s.ServiceName = []string{"svc", "other", "rare"}[min(w.random.IntN(12)/5, 2)]
	s.Name = worldNames[w.random.IntN(len(worldNames))]
	s.Kind = span.Kind(w.random.IntN(3))
	s.StatusCode = span.StatusCode(w.random.IntN(3))
	return s
}

// withoutDurations is a file of another writer: what has no end has no duration.
func withoutDurations(spans []span.Span) *testkit.Table {
	return testkit.SpansTable(spans...).With("duration_ns", "CASE WHEN t1 IS NOT NULL THEN took::BIGINT END")
}

func metadataOf(s *span.Span) span.Metadata {
	m := span.Metadata{TraceID: s.TraceID, SpanID: s.SpanID, ParentSpanID: s.ParentSpanID, ServiceName: s.ServiceName, Name: s.Name, Kind: s.Kind,
		StartTime: s.StartTime, EndTime: s.EndTime, StatusCode: s.StatusCode}
	if !s.EndTime.IsZero() {
		m.Duration = s.Duration()
	}
	return m
}

// newWorld makes files of random spans, some of which repeat others, also those in other files.
func newWorld(t *testing.T, seed, number uint64) *world {
	t.Helper()
	return newWorldOf(t, seed, number, true)
}

func newWorldOf(t *testing.T, seed, number uint64, repeats bool) *world {
	t.Helper()
	w := &world{fixture: newFixture(t, batchSize(3)), random: rand.New(rand.NewPCG(seed, number))}
	seen := make(map[span.Identity]bool)
	var all []span.Span
	for i := range 8 {
		spans := make([]span.Span, 1+w.random.IntN(60))
		for j := range spans {
			spans[j] = w.anySpan()
			if len(all) > 0 && w.random.IntN(8) == 0 {
				spans[j] = all[w.random.IntN(len(all))]
			}
			m := metadataOf(&spans[j])
			for !repeats && seen[m.Identity()] {
				spans[j] = w.anySpan()
				m = metadataOf(&spans[j])
			}
			if !seen[m.Identity()] {
				seen[m.Identity()] = true
				w.spans = append(w.spans, m)
			}
			all = append(all, spans[j])
		}
		if i == 5 {
			w.sync() // the files from here on are pending
		}
		w.lake.Table(t, fmt.Sprintf("%d.parquet", i), withoutDurations(spans))
	}
	for file, err := range lake.Scan(t.Context(), w.lake.Root) {
		if err != nil {
			t.Fatal(err)
		}
		w.cold.Pending = append(w.cold.Pending, file) // those that are indexed are to be left out
	}
	slices.SortFunc(w.spans, func(a, b span.Metadata) int { return a.Key().Compare(b.Key()) })
	return w
}

// expected is what a listing has.
func (w *world) expected(f span.Filter, rootsOnly bool) []span.Metadata {
	var chosen []span.Metadata
	for _, m := range w.spans {
		if f.Match(&m) && (!rootsOnly || m.ParentSpanID == "") {
			chosen = append(chosen, m)
		}
	}
	return chosen
}

func anyFilter(r *rapid.T) span.Filter {
	f := span.Filter{
		ServiceName: rapid.SampledFrom([]string{"", "", "svc", "other", "rare", "none", "' OR true --"}).Draw(r, "service"),
		Name:        rapid.SampledFrom(append([]string{"", ""}, worldNames...)).Draw(r, "name"),
		NameMatch:   span.NameMatch(rapid.IntRange(0, 2).Draw(r, "match")),
		MinDuration: time.Duration(rapid.SampledFrom([]int{0, 0, 0, -1500, 1000, 3000}).Draw(r, "min")),
		MaxDuration: time.Duration(rapid.SampledFrom([]int{0, 0, 0, -1000, 1000, 5000}).Draw(r, "max")),
	}
	moment := rapid.Custom(func(r *rapid.T) time.Time {
		if rapid.Bool().Draw(r, "no bound") {
			return time.Time{}
		}
		return rapid.SampledFrom(moments()).Draw(r, "moment").Add(time.Duration(rapid.IntRange(-1, 1500).Draw(r, "micros")) * time.Microsecond)
	})
	f.From, f.Until = moment.Draw(r, "from"), moment.Draw(r, "until")
	if rapid.IntRange(0, 2).Draw(r, "status?") == 0 {
		f.StatusCode = new(span.StatusCode(rapid.IntRange(0, 3).Draw(r, "status")))
	}
	if rapid.IntRange(0, 2).Draw(r, "kind?") == 0 {
		f.Kind = new(span.Kind(rapid.IntRange(0, 3).Draw(r, "kind")))
	}
	return f
}

func compareRows(r interface{ Fatalf(string, ...any) }, what string, got []span.Row, want []span.Metadata) {
	gotIDs, wantIDs := make([]string, len(got)), make([]string, len(want))
	for i := range got {
		gotIDs[i] = fmt.Sprintf("%+v", got[i].Metadata)
	}
	for i := range want {
		wantIDs[i] = fmt.Sprintf("%+v", want[i])
	}
	// Spans that stand at the same place are in any order.
	slices.Sort(gotIDs)
	slices.Sort(wantIDs)
	if !slices.Equal(gotIDs, wantIDs) {
		r.Fatalf("%s: %d spans\n%q\nwant %d\n%q", what, len(got), gotIDs, len(want), wantIDs)
	}
	if !slices.IsSortedFunc(got, func(a, b span.Row) int { return a.Key().Compare(b.Key()) }) {
		r.Fatalf("%s: the spans are not in their order", what)
	}
}

// Whatever is asked for and however many at once, walking all pages yields each span that a plain look finds once and in order.
func TestListsHaveWhatAPlainLookFinds(t *testing.T) {
	t.Parallel()
	seed := randomSeed(t)
	for number := range uint64(3) {
		t.Run(fmt.Sprint(number), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, seed, number)
			rapid.Check(t, func(r *rapid.T) {
				f, rootsOnly := anyFilter(r), rapid.Bool().Draw(r, "roots")
				want := w.expected(f, rootsOnly)
				var got []span.Row
				var after span.Key
				for more := true; more; {
					limit := rapid.SampledFrom([]int{1, 2, 7, 50, 1000}).Draw(r, "limit")
					rows, seen, err := w.List(t.Context(), f, rootsOnly, after, limit, w.cold)
					if err != nil || seen.Unread != 0 {
						r.Fatalf("List() = %+v, %v", seen, err)
					}
					for i, row := range rows {
						if row.File == "" || i >= limit && row.Key() != rows[limit-1].Key() {
							r.Fatalf("row %d of at most %d: %+v", i, limit, row)
						}
					}
					got = append(got, rows...)
					if more = len(rows) >= limit; more {
						after = rows[len(rows)-1].Key()
					}
				}
				compareRows(r, "List()", got, want)
			})
		})
	}
}

// Between files may be years, and one of many files may have the only span that is asked for: no window passes over it.
func TestFilesThatAreYearsApart(t *testing.T) {
	t.Parallel()
	f := newFixture(t, batchSize(100))
	year := func(i int) time.Time { return time.Date(1990+3*i, 1, 1, 0, 0, 0, 0, time.UTC) }
	const files, same = 14, 8
	for i := range files {
		spans := make([]span.Span, 0, same+2)
		for j := range same {
			// All of them start in the same microsecond.
			spans = append(spans, testkit.Span(100*i+j, j, parent("00000000000000ff"), func(s *span.Span) { s.StartTime, s.EndTime = year(i), year(i) }))
		}
		if i%4 == 1 {
			spans = append(spans,
				testkit.Span(100*i, 1000, func(s *span.Span) {
					s.StartTime, s.ServiceName, s.StatusCode = year(i).AddDate(0, 1, 0), "rare", span.StatusError
				}),
				testkit.Span(100*i, 1001, parent("00000000000000ff"), func(s *span.Span) { s.StartTime, s.ServiceName = year(i+1), "rare" }))
		}
		f.lake.Spans(t, fmt.Sprintf("%02d.parquet", i), spans...)
	}
	f.sync()
	failed := span.StatusError
	for name, tc := range map[string]struct {
		filter    span.Filter
		rootsOnly bool
		want      int
	}{
		"all":                           {span.Filter{}, false, files*same + 2*4},
		"all roots":                     {span.Filter{}, true, 4},
		"a service":                     {span.Filter{ServiceName: "svc"}, false, files * same},
		"roots of a service":            {span.Filter{ServiceName: "rare"}, true, 4},
		"a service without roots":       {span.Filter{ServiceName: "svc"}, true, 0},
		"what failed":                   {span.Filter{ServiceName: "rare", StatusCode: &failed}, false, 4},
		"roots that failed":             {span.Filter{ServiceName: "rare", StatusCode: &failed}, true, 4},
		"until a year":                  {span.Filter{ServiceName: "rare", Until: year(6)}, true, 2},
		"from a year":                   {span.Filter{ServiceName: "rare", From: year(6)}, true, 2},
		"a time between files":          {span.Filter{From: year(3).AddDate(0, 6, 0), Until: year(3).AddDate(1, 0, 0)}, false, 0},
		"the same time":                 {span.Filter{From: year(3), Until: year(3).Add(time.Microsecond)}, false, same},
		"a name that only the last has": {span.Filter{Name: "op", Until: year(0).AddDate(1, 0, 0)}, false, same},
	} {
		for _, limit := range []int{1, 3, same - 1, same, 1000} {
			seen := make(map[span.Identity]bool)
			var after span.Key
			for more := true; more; {
				rows, _, err := f.List(t.Context(), tc.filter, tc.rootsOnly, after, limit, span.Cold{})
				if err != nil {
					t.Fatal(err)
				}
				for i := range rows {
					if seen[rows[i].Identity()] || !after.IsZero() && rows[i].Key().Compare(after) <= 0 {
						t.Fatalf("%s by %d: %+v comes after %+v", name, limit, rows[i], after)
					}
					seen[rows[i].Identity()] = true
				}
				if more = len(rows) >= limit; more {
					after = rows[len(rows)-1].Key()
				}
			}
			if len(seen) != tc.want {
				t.Errorf("%s by %d: %d spans, want %d", name, limit, len(seen), tc.want)
			}
		}
	}
}
