package wal

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanlake/spanlake/internal/span"
)

const manyBytes = 1 << 40

func TestAFlushTakesTheOldestWithinItsBounds(t *testing.T) {
	for name, tc := range map[string]struct {
		maxSpans int
		maxBytes int64
		requests int
	}{
		"all":                    {1000, manyBytes, 10},
		"as many spans as fit":   {1 + 2 + 3, manyBytes, 3},
		"not one span too many":  {1 + 2 + 3 + 3, manyBytes, 3},
		"as many bytes as fit":   {1000, 400, 4},
		"not one byte too many":  {1000, 499, 4},
		"at least one":           {0, 0, 1},
		"both bounds, the first": {1 + 2, 400, 2},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.append(1, 10, 100)
			flush := f.begin(tc.maxSpans, tc.maxBytes)
			if flush.Requests != tc.requests || flush.Bytes != int64(100*tc.requests) {
				t.Errorf("got %d requests with %d bytes, want %d", flush.Requests, flush.Bytes, tc.requests)
			}
			var got []int
			for r, err := range f.Requests(t.Context(), flush.First, flush.Last) {
				f.must(err)
				got = append(got, r.Spans)
			}
			if want := numbers(1, tc.requests); !slices.Equal(got, want) {
				t.Errorf("it has %v, want %v", got, want)
			}
		})
	}
}

func TestTheWayOfAFlush(t *testing.T) {
	f := newFixture(t)
	if _, ok, err := f.BeginFlush(t.Context(), 1, 1); ok || err != nil {
		t.Errorf("a flush of nothing: %v, %v", ok, err)
	}
	f.append(1, 10, 100)
	var want []span.Flush
	expect := func(what string) {
		t.Helper()
		for i := range 2 {
			got, err := f.Flushes(t.Context())
			f.must(err)
			if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })); diff != "" {
				t.Errorf("%s, look %d: %s", what, i, diff)
			}
			f = f.reopen()
		}
	}
	for _, last := range []int{3, 7} { // 1 to 3, then 4 to 5
		flush := f.begin(last+last/2+1, manyBytes)
		want = append(want, flush)
	}
	expect("begun")
	f.must(f.SetPath(t.Context(), want[1].ID, "a/b.parquet"))
	want[1].Path = "a/b.parquet"
	expect("with a path")
	f.must(f.Published(t.Context(), want[1].ID))
	f.must(f.Published(t.Context(), want[1].ID)) // may be said again
	want[1].Published = true
	expect("published")
	f.must(f.SetPath(t.Context(), want[0].ID, "c.parquet"))
	want[0].Path = "c.parquet"
	f.must(f.Release(t.Context(), []string{"nobody", "c.parquet"})) // not published
	expect("not released")
	before := len(f.spans())
	f.must(f.Release(t.Context(), []string{"a/b.parquet"}))
	f.must(f.Release(t.Context(), []string{"a/b.parquet"}))
	if got := f.spans(); len(got) != before-want[1].Requests {
		t.Errorf("after releasing %d requests there are %v", want[1].Requests, got)
	}
	if _, err := f.Request(t.Context(), want[1].First); !errors.Is(err, ErrNotFound) {
		t.Errorf("a released request: %v", err)
	}
	unknown := want[1].ID
	want = want[:1]
	expect("released")
	if err := f.Published(t.Context(), unknown); !errors.Is(err, ErrUnknownFlush) {
		t.Errorf("a released flush is published: %v", err)
	}
	if err := f.SetPath(t.Context(), unknown, "x"); !errors.Is(err, ErrUnknownFlush) {
		t.Errorf("a released flush gets a path: %v", err)
	}
	if next := f.begin(1, 1); keyOf(next.First) <= unknown {
		t.Errorf("a flush begins with a request of another: %+v", next)
	}
}

func TestReleaseDeletesInParts(t *testing.T) {
	f := newFixture(t)
	for n := range maxReleaseRequests + 10 {
		// Not one after the other: that would wait for as many commits.
		l := f.Log
		p, err := l.pack(t.Context(), message(n, 100), 1)
		f.must(err)
		f.must(l.handOver(t.Context(), p))
		if n%500 == 0 {
			f.must(<-p.done)
		}
	}
	f.append(1, 1, 10)
	flush := f.begin(1<<30, manyBytes)
	f.publish(flush, "a")
	done, err := f.releasePart(t.Context(), &flush)
	f.must(err)
	if got := len(f.spans()); done || got != flush.Requests-maxReleaseRequests {
		t.Errorf("after one part of %d requests there are %d, done: %v", flush.Requests, got, done)
	}
	f = f.reopen() // as after a crash
	if left, err := f.Flushes(t.Context()); err != nil || len(left) != 1 || !left[0].Published {
		t.Errorf("the flush is %+v, %v", left, err)
	}
	f.must(f.Release(t.Context(), []string{"a"}))
	if got := f.spans(); len(got) > 0 {
		t.Errorf("%d requests are left", len(got))
	}
}

func TestStats(t *testing.T) {
	f := newFixture(t)
	expect := func(what string, want Stats, oldest span.RequestID) {
		t.Helper()
		for range 2 {
			got := f.stats()
			if got.LiveBytes < pageSize || got.FileBytes < pageSize {
				t.Errorf("%s: it takes %d bytes, and %d", what, got.LiveBytes, got.FileBytes)
			}
			if oldest != (span.RequestID{}) {
				r, err := f.Request(t.Context(), oldest)
				f.must(err)
				want.Oldest = r.Received
			}
			want.LiveBytes, want.FileBytes = got.LiveBytes, got.FileBytes
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %s", what, diff)
			}
			f = f.reopen()
		}
	}
	expect("empty", Stats{}, span.RequestID{})
	f.append(1, 4, 100)
	a := f.begin(3, manyBytes)
	b := f.begin(3, manyBytes)
	expect("two flushes", Stats{Requests: 4, Spans: 10, Bytes: 400, PendingRequests: 1, PendingSpans: 4, PendingBytes: 100}, a.First)
	f.publish(a, "a")
	expect("one published", Stats{
		Requests: 2, Spans: 7, Bytes: 200, PendingRequests: 1, PendingSpans: 4, PendingBytes: 100, PublishedRequests: 2, PublishedSpans: 3,
	}, b.First)
	f.publish(b, "b")
	f.must(f.Release(t.Context(), []string{"a"}))
	c := f.begin(9, manyBytes)
	expect("one released", Stats{Requests: 1, Spans: 4, Bytes: 100, PublishedRequests: 1, PublishedSpans: 3}, c.First)
	f.publish(c, "c")
	f.must(f.Release(t.Context(), []string{"b", "c"}))
	expect("all released", Stats{}, span.RequestID{})
}
