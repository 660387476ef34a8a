package wal

import (
	"errors"
	"strings"
	"testing"
)

func TestALogHasABound(t *testing.T) {
	const limit = 4 << 20
	f := newFixture(t, func(o *Options) { o.MaxBytes = limit })
	fill := func() (n int) {
		for n = 1; ; n++ {
			err := f.Append(t.Context(), message(n, 100_000), n)
			if err == nil {
				continue
			}
			full, ok := errors.AsType[*FullError](err)
			if !ok || full.Reason != WALSize || full.Limit != limit || full.Used > limit || !strings.Contains(err.Error(), "--max-wal-size") {
				t.Fatalf("got %v", err)
			}
			// What counts beside data is SQLite's journal, which is emptied soon.
			f.emptyJournal()
			if f.Append(t.Context(), message(n, 100_000), n) != nil {
				return n
			}
		}
	}
	n := fill()
	if s := f.stats(); s.LiveBytes > limit || s.LiveBytes < limit/2 || s.FileBytes > limit*2 {
		t.Errorf("it takes %d bytes, its files %d", s.LiveBytes, s.FileBytes)
	}
	f = f.reopen(func(o *Options) { o.MaxBytes = limit })
	if f.Append(t.Context(), message(n, 100_000), n) == nil {
		t.Error("a full log takes more after it was opened again")
	}
	flush := f.begin(1<<30, manyBytes) // full as it is, it can be flushed
	f.publish(flush, "a")
	f.must(f.Release(t.Context(), []string{"a"}))
	if again := fill(); again < n/2 {
		t.Errorf("it took %d requests, and when they were released %d", n, again)
	}
}

// emptyJournal makes a complete checkpoint. The log may be about to make one itself, and then it takes two.
func (f *fixture) emptyJournal() {
	f.t.Helper()
	for f.written.Load() > 0 {
		f.must(f.do(f.t.Context(), f.finishCheckpoint))
	}
}

func TestAnEmptiedFileShrinks(t *testing.T) {
	f := newFixture(t)
	f.append(1, 60, 1_000_000)
	full := f.stats().FileBytes
	flush := f.begin(1<<30, manyBytes)
	f.publish(flush, "a")
	f.must(f.Release(t.Context(), []string{"a"}))
	f.append(100, 100, 1000)
	f.must(f.do(t.Context(), func() error {
		f.tidy() // nothing yet: free pages are used again
		if f.counters.freeBytes < full/4 {
			t.Errorf("of %d bytes only %d are free", full, f.counters.freeBytes)
		}
		f.keepFree = 0
		for before := int64(-1); f.counters.freeBytes != before; {
			before = f.counters.freeBytes
			f.tidy()
		}
		return f.finishCheckpoint()
	}))
	f = f.reopen()
	if s := f.stats(); s.FileBytes > full/10 {
		t.Errorf("of %d bytes %d are left", full, s.FileBytes)
	}
	if got := f.spans(); len(got) != 1 || got[0] != 100 {
		t.Errorf("there are %v", got)
	}
}
