package index

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// Traces are found by their ids, all of what they have and nothing else.
func TestTracesHaveWhatAPlainLookFinds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, randomSeed(t), 4)
	rapid.Check(t, func(r *rapid.T) {
		var ids []string
		for _, n := range rapid.SliceOfN(rapid.IntRange(0, 45), 1, 20).Draw(r, "traces") { // some of which are not there
			ids = append(ids, testkit.TraceID(n))
		}
		in := func(m *span.Metadata) bool { return slices.Contains(ids, m.TraceID) }
		rows, _, err := w.TraceRows(t.Context(), ids, w.cold)
		if err != nil {
			r.Fatalf("TraceRows() = %v", err)
		}
		compareRows(r, "TraceRows()", distinctRows(rows), w.chosen(in))

		f := anyFilter(r)
		rows, _, err = w.RootsOf(t.Context(), f, ids, w.cold)
		if err != nil {
			r.Fatalf("RootsOf() = %v", err)
		}
		compareRows(r, "RootsOf()", distinctRows(rows), w.chosen(func(m *span.Metadata) bool { return in(m) && m.ParentSpanID == "" && f.Match(m) }))

		id := rapid.SampledFrom([]string{"0000000000000001", "0000000000000005", "ffffffffffffffff"}).Draw(r, "span")
		traces, _, err := w.TracesOf(t.Context(), id, w.cold)
		if err != nil {
			r.Fatalf("TracesOf() = %v", err)
		}
		var want []string
		for _, m := range w.chosen(func(m *span.Metadata) bool { return m.SpanID == id }) {
			want = append(want, m.TraceID)
		}
		slices.Sort(want)
		if want = slices.Compact(want); !slices.Equal(traces, want) {
			r.Fatalf("TracesOf(%s) = %q, want %q", id, traces, want)
		}
	})
}

func (w *world) chosen(by func(*span.Metadata) bool) []span.Metadata {
	var all []span.Metadata
	for i := range w.spans {
		if by(&w.spans[i]) {
			all = append(all, w.spans[i])
		}
	}
	return all
}

// Thousands of traces are asked for at once, and ids of any shape.
func TestManyTracesAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.lake.Table(t, "a.parquet", testkit.SpanTable(40_000))
	f.lake.Table(t, "b.parquet", testkit.SpanTable(4).With("trace_id", "'no hex ' || i"))
	f.sync()
	ids := []string{"no hex 1", "no hex 9"}
	for i := range 9_000 {
		ids = append(ids, testkit.TraceID(2*i))
	}
	rows, _, err := f.TraceRows(t.Context(), ids, span.Cold{})
	if err != nil || len(rows) != 1+4*5_000 {
		t.Errorf("TraceRows() = %d, %v", len(rows), err)
	}
	roots, _, err := f.RootsOf(t.Context(), span.Filter{}, ids, span.Cold{})
	if err != nil || len(roots) != 5_000 {
		t.Errorf("RootsOf() = %d, %v", len(roots), err)
	}
}

// Calls are counted where the service of a span is another one than its parent's.
func TestDependencies(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	at := func(trace, id int, service, parentID string, start time.Duration) span.Span {
		return testkit.Span(trace, id, parent(parentID), func(s *span.Span) {
			s.ServiceName, s.StartTime = service, testkit.Start.Add(start)
			s.EndTime = s.StartTime.Add(time.Second)
		})
	}
	first, second := "0000000000000001", "0000000000000002"
	f.lake.Spans(t, "a.parquet",
		at(1, 1, "web", "", 0), at(1, 2, "api", first, time.Second), at(1, 3, "api", second, 2*time.Second), at(1, 4, "db", second, 3*time.Second),
		at(2, 1, "api", "", 0), at(2, 3, "web", second, 0), // its parent is in no file, and the one in the other trace is not meant
	)
	f.lake.Spans(t, "b.parquet", at(3, 2, "api", first, -time.Minute), at(3, 4, "db", second, 48*time.Hour)) // clocks differ, and the parent is in another file
	f.lake.Spans(t, "c.parquet", at(3, 1, "web", "", 0))
	f.sync()
	for name, tc := range map[string]struct {
		from, until time.Time
		want        []span.Dependency
	}{
		"all":           {time.Time{}, time.Time{}, []span.Dependency{{Parent: "api", Child: "db", Calls: 2}, {Parent: "web", Child: "api", Calls: 2}}},
		"from on":       {testkit.Start, time.Time{}, []span.Dependency{{Parent: "api", Child: "db", Calls: 2}, {Parent: "web", Child: "api", Calls: 1}}},
		"until":         {time.Time{}, testkit.Start.Add(2 * time.Second), []span.Dependency{{Parent: "web", Child: "api", Calls: 2}}},
		"a day later":   {testkit.Start.Add(25 * time.Hour), time.Time{}, nil}, // nobody looks for a parent that long ago
		"nothing there": {testkit.Start.AddDate(1, 0, 0), time.Time{}, nil},
	} {
		if got, err := f.Dependencies(t.Context(), tc.from, tc.until); err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("%s: Dependencies() = %+v, %v, want %+v", name, got, err, tc.want)
		}
	}
}

func TestOperations(t *testing.T) {
	t.Parallel()
	w := newWorld(t, randomSeed(t), 5)
	w.sync()
	for _, service := range []string{"", "svc", "rare", "none"} {
		var want []span.Operation
		for _, m := range w.expected(span.Filter{ServiceName: service}, false) {
			want = append(want, span.Operation{Name: m.Name, Kind: m.Kind})
		}
		slices.SortFunc(want, func(a, b span.Operation) int {
			return slices.Compare([]byte(fmt.Sprintf("%s\x00%d", a.Name, a.Kind)), []byte(fmt.Sprintf("%s\x00%d", b.Name, b.Kind)))
		})
		want = slices.Compact(want)
		if got, err := w.Operations(t.Context(), service); err != nil || !slices.Equal(got, want) {
			t.Errorf("Operations(%q) = %+v, %v, want %+v", service, got, err, want)
		}
	}
}

// Boundaries cut time into windows of about as many spans as were asked for, and there are not too many of them.
func TestBoundaries(t *testing.T) {
	t.Parallel()
	f := newFixture(t, batchSize(100))
	const files, spans = 20, 10
	hour := func(i int) time.Time { return testkit.Start.Add(time.Duration(i) * time.Hour) }
	for i := range files {
		all := make([]span.Span, spans)
		for j := range all {
			all[j] = testkit.Span(i, j, func(s *span.Span) {
				s.StartTime = hour(i).Add(time.Duration(j) * time.Minute)
				s.EndTime = s.StartTime
				s.ServiceName = []string{"even", "odd"}[i%2]
			})
		}
		f.lake.Spans(t, fmt.Sprintf("%02d.parquet", i), all...)
	}
	f.sync()
	for _, tc := range []struct {
		service     string
		from, until time.Time
		spans       int64
		cuts        int
	}{
		{"", time.Time{}, time.Time{}, 50, 3},
		{"", time.Time{}, time.Time{}, 1, files - 1}, // a window is not smaller than a file
		{"", time.Time{}, time.Time{}, 1000, 0},
		{"odd", time.Time{}, time.Time{}, 20, 4},
		{"none", time.Time{}, time.Time{}, 20, 0},
		{"", hour(10), time.Time{}, 50, 1},
		{"", hour(5), hour(15), 50, 1},
	} {
		cuts, err := f.Boundaries(t.Context(), tc.service, tc.from, tc.until, tc.spans)
		if err != nil || len(cuts) != tc.cuts {
			t.Errorf("Boundaries(%+v) = %v, %v", tc, cuts, err)
		}
		for i, cut := range cuts {
			if i > 0 && !cut.Before(cuts[i-1]) || !tc.from.IsZero() && !cut.After(tc.from) || !tc.until.IsZero() && !cut.Before(tc.until) {
				t.Errorf("Boundaries(%+v) = %v", tc, cuts)
			}
			where := conditions{}
			until := tc.until
			if i > 0 {
				until = cuts[i-1]
			}
			where.choose(&span.Filter{ServiceName: tc.service, From: cut, Until: until})
			if n := f.number("SELECT count(*) FROM span_metadata"+where.where(), where.args...); n > tc.spans+spans || n < min(tc.spans, spans) {
				t.Errorf("a window of Boundaries(%+v) from %v until %v has %d spans", tc, cut, until, n)
			}
		}
	}
}

// A failed file counts from an hour before it was written on, or from when it last failed if that is all that is known.
func TestFailedSince(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.lake.Put(t, "a.parquet", []byte("PAR1"))
	f.lake.Put(t, "b.parquet", []byte("PAR1"))
	f.sync()
	written := f.number("SELECT max(epoch_us(file_mtime)) FROM failed_parquet_files WHERE file_path = 'b.parquet'")
	last := time.UnixMicro(written)
	expect := func(from time.Time, want int64) {
		t.Helper()
		if n, err := f.FailedSince(t.Context(), from); err != nil || n != want {
			t.Errorf("FailedSince(%v) = %d, %v, want %d", from, n, err, want)
		}
	}
	expect(time.Time{}, 2)
	expect(last.AddDate(-50, 0, 0), 2)
	expect(last.Add(time.Hour), 1)
	expect(last.Add(time.Hour+time.Microsecond), 0)
	if err := f.Retry(t.Context(), "a.parquet"); err != nil {
		t.Fatal(err)
	}
	expect(time.Now().Add(30*time.Minute), 1)
	expect(time.Now().Add(2*time.Hour), 0)
}
