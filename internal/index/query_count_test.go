package index

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// text is a count as it can be compared. What is not told has to be left out of both sides.
func countText(c *span.Count, times bool) string {
	text := fmt.Sprintf("%s|%s|%v: %d spans, %d errors, %v ns", c.ServiceName, c.Name, c.Start, c.Spans, c.Errors, c.DurationSum)
	for _, bucket := range slices.Sorted(maps.Keys(c.Durations)) {
		text += fmt.Sprintf(", %d x %d", c.Durations[bucket], bucket)
	}
	if times {
		text += fmt.Sprintf(", %v to %v", c.First, c.Last)
	}
	return text
}

// expectedCounts counts in the simplest way. Spans without an end have no duration.
func (w *world) expectedCounts(q span.CountQuery) []span.Count {
	type key struct {
		service, name string
		start         time.Time
	}
	counts := make(map[key]*span.Count)
	for _, m := range w.expected(span.Filter{ServiceName: q.ServiceName, Name: q.Name, From: q.From, Until: q.Until}, false) {
		k := key{service: m.ServiceName}
		if q.ByName {
			k.name = m.Name
		}
		if q.Step > 0 {
			steps := m.StartTime.UnixMicro() / q.Step.Microseconds()
			if m.StartTime.UnixMicro() < steps*q.Step.Microseconds() {
				steps--
			}
			k.start = time.UnixMicro(steps * q.Step.Microseconds()).UTC()
		}
		c := counts[k]
		if c == nil {
			c = &span.Count{ServiceName: k.service, Name: k.name, Start: k.start, First: m.StartTime, Last: m.StartTime, Durations: map[int16]int64{}}
			counts[k] = c
		}
		c.Spans++
		if m.StatusCode == span.StatusError {
			c.Errors++
		}
		if m.StartTime.Before(c.First) {
			c.First = m.StartTime
		}
		if m.StartTime.After(c.Last) {
			c.Last = m.StartTime
		}
		if q.Durations && !m.EndTime.IsZero() {
			c.DurationSum += float64(m.Duration)
			c.Durations[span.DurationBucket(int64(m.Duration))]++
		}
	}
	var all []span.Count
	for _, c := range counts {
		all = append(all, *c)
	}
	return all
}

// Whether counts are kept or made, and of indexed files or others, they are those of a plain look.
func TestCountsAreThoseOfAPlainLook(t *testing.T) {
	t.Parallel()
	// Without repeats, since those in a pending file are counted.
	w := newWorldOf(t, randomSeed(t), 1, false)
	moment := rapid.Custom(func(r *rapid.T) time.Time {
		if rapid.Bool().Draw(r, "no bound") {
			return time.Time{}
		}
		at := rapid.SampledFrom(moments()).Draw(r, "moment")
		if rapid.Bool().Draw(r, "a whole day") {
			return at.Truncate(day)
		}
		return at.Add(time.Duration(rapid.IntRange(-1, 1500).Draw(r, "micros")) * time.Microsecond)
	})
	rapid.Check(t, func(r *rapid.T) {
		q := span.CountQuery{
			ServiceName: rapid.SampledFrom([]string{"", "", "svc", "rare", "none"}).Draw(r, "service"),
			Name:        rapid.SampledFrom([]string{"", "", "a", "%"}).Draw(r, "name"),
			From:        moment.Draw(r, "from"), Until: moment.Draw(r, "until"),
			Step:   rapid.SampledFrom([]time.Duration{0, day, day, 7 * day, time.Hour, 700 * time.Microsecond}).Draw(r, "step"),
			ByName: rapid.Bool().Draw(r, "by name"), Durations: rapid.Bool().Draw(r, "durations"),
		}
		counts, seen, err := w.Counts(t.Context(), q, w.cold)
		if err != nil || seen.Unread != 0 {
			r.Fatalf("Counts() = %+v, %v", seen, err)
		}
		// Counts of whole days do not tell when the first and last span was; the catalogue of services has no errors.
		kept := q.Durations && !q.ByName && q.Name == "" && q.Step%day == 0
		want := w.expectedCounts(q)
		if q == (span.CountQuery{}) {
			for _, list := range [][]span.Count{counts, want} {
				for i := range list {
					list[i].Errors = 0
				}
			}
		}
		var got, expected []string
		for i := range counts {
			got = append(got, countText(&counts[i], !kept))
		}
		for i := range want {
			expected = append(expected, countText(&want[i], !kept))
		}
		slices.Sort(got)
		slices.Sort(expected)
		if !slices.Equal(got, expected) {
			r.Fatalf("Counts(%+v):\n got %q\nwant %q", q, got, expected)
		}
	})
}

// The catalogue of services is counted without looking at spans, with what pending files add.
func TestTheCatalogueOfServices(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, randomSeed(t), 2, false)
	counts, _, err := w.Counts(t.Context(), span.CountQuery{}, w.cold)
	if err != nil {
		t.Fatal(err)
	}
	want := w.expectedCounts(span.CountQuery{})
	if len(counts) != len(want) {
		t.Fatalf("Counts() = %+v, want %+v", counts, want)
	}
	for _, c := range counts {
		i := slices.IndexFunc(want, func(n span.Count) bool { return n.ServiceName == c.ServiceName })
		if i < 0 || c.Spans != want[i].Spans || !c.First.Equal(want[i].First) || !c.Last.Equal(want[i].Last) {
			t.Errorf("Counts() has %+v, want of %+v", c, want)
		}
	}
}

// Who asks for more numbers than an answer may have is told so, and what to ask instead.
func TestCountsAreBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.lake.Table(t, "a.parquet", testkit.SpanTable(maxCounted+1))
	f.sync()
	q := span.CountQuery{Step: time.Millisecond}
	_, _, err := f.Counts(t.Context(), q, span.Cold{})
	var invalid *span.InvalidError
	if !errors.As(err, &invalid) {
		t.Errorf("Counts() = %v, want an InvalidError", err)
	}
	q.From = testkit.Start.Add(time.Millisecond)
	counts, _, err := f.Counts(t.Context(), q, span.Cold{})
	if err != nil || len(counts) != maxCounted {
		t.Errorf("Counts() = %d, %v, want as many as there may be", len(counts), err)
	}
	for _, step := range []time.Duration{-time.Hour, time.Nanosecond} {
		if _, _, err := f.Counts(t.Context(), span.CountQuery{Step: step}, span.Cold{}); !errors.As(err, &invalid) {
			t.Errorf("Counts() by %v = %v, want an InvalidError", step, err)
		}
	}
}
