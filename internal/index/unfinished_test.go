package index

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// clock is the time as a test sets it.
type clock struct{ at time.Time }

// stopClock gives the index a clock that stands still.
func (f *fixture) stopClock() *clock {
	c := &clock{time.Now().Truncate(time.Microsecond)}
	f.now = func() time.Time { return c.at }
	return c
}

func (c *clock) pass(d time.Duration) { c.at = c.at.Add(d) }

const testSettle = time.Minute

func settling(o *WorkOptions) { o.Settle = testSettle }

// putAt writes a file with a modification time.
func (f *fixture) putAt(rel string, content []byte, at time.Time) {
	f.t.Helper()
	f.lake.Put(f.t, rel, content)
	if err := os.Chtimes(f.lake.Path(rel), at, at); err != nil {
		f.t.Fatal(err)
	}
}

// soundFile is the content of a file with spans.
func (f *fixture) soundFile(spans ...span.Span) []byte {
	f.t.Helper()
	f.lake.Spans(f.t, "scratch.parquet", spans...)
	content := f.lake.Read(f.t, "scratch.parquet")
	f.lake.Remove(f.t, "scratch.parquet")
	return content
}

// due asks what is to be looked at again.
func (f *fixture) due() (paths []string, next time.Time) {
	f.t.Helper()
	paths, next, err := f.Due(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	return paths, next
}

// follow does what a follower does once: it looks at what is due, and works.
func (f *fixture) follow() span.Summary {
	f.t.Helper()
	if paths, _ := f.due(); len(paths) > 0 {
		f.look(f.part(paths...))
	}
	sum, _ := f.work(settling)
	return sum
}

func (f *fixture) expectFailed(want int) {
	f.t.Helper()
	failed, err := f.Failed(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	if len(failed) != want {
		f.t.Errorf("%d files have failed, want %d: %+v", len(failed), want, failed)
	}
}

func (f *fixture) expectUnfinished(want int64) {
	f.t.Helper()
	if got := f.Backlog().Unfinished; got != want {
		f.t.Errorf("%d files are unfinished, want %d", got, want)
	}
}

// A file without a footer is looked at again and again, less and less often, until it has not changed for long enough.
func TestAnUnfinishedFileIsWaitedFor(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	now := f.stopClock()
	content := f.soundFile(testkit.Spans(1, 50)...)
	f.putAt("a.parquet", content[:100], now.at)
	f.look(f.whole())
	if sum := f.follow(); sum.FilesUnfinished != 1 || sum.FilesFailed != 0 {
		t.Fatalf("Work() = %+v, want an unfinished file", sum)
	}
	began := now.at
	for _, milliseconds := range []int{250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000, 10_000} {
		wait := time.Duration(milliseconds) * time.Millisecond
		f.expectFailed(0)
		f.expectUnfinished(1)
		paths, next := f.due()
		if len(paths) != 0 || !next.Equal(now.at.Add(wait)) {
			t.Fatalf("after %v: Due() = %q, %v, want in %v", now.at.Sub(began), paths, next.Sub(now.at), wait)
		}
		// Its writer may wake us as often as it likes.
		now.pass(wait - time.Millisecond)
		f.look(f.part("a.parquet"))
		if b := f.Backlog(); b.Files != 0 || b.Unfinished != 1 {
			t.Errorf("Backlog() = %+v before it is time", b)
		}
		now.pass(time.Millisecond)
		if paths, _ := f.due(); !slices.Equal(paths, []string{"a.parquet"}) {
			t.Errorf("Due() = %q when it is time", paths)
		}
		f.follow()
	}
	// It grows: everything begins anew.
	f.putAt("a.parquet", content[:200], now.at)
	now.pass(10 * time.Second)
	f.follow()
	if _, next := f.due(); !next.Equal(now.at.Add(firstLook)) {
		t.Errorf("after a change the next look is in %v", next.Sub(now.at))
	}
	since := now.at
	for f.Backlog().Unfinished > 0 && now.at.Sub(since) < time.Hour {
		_, next := f.due()
		now.at = next
		f.follow()
	}
	if took := now.at.Sub(since); took < testSettle || took > testSettle+lastLook {
		t.Errorf("it was given up %v after its last change", took)
	}
	if failed := f.failure(); failed.ErrorType != string(Truncated) || failed.RetryAt != nil {
		t.Errorf("the failure is %+v", failed)
	}
	if paths, next := f.due(); len(paths) != 0 || !next.IsZero() {
		t.Errorf("Due() = %q, %v when nothing is to be waited for", paths, next)
	}
	// Its writer comes back after all.
	f.putAt("a.parquet", content, now.at)
	f.look(f.part("a.parquet"))
	f.follow()
	f.expectFailed(0)
	f.expectSpans(50)
	f.assertSound()
}

// Whether a file without a footer may be unfinished is decided by when it last changed.
func TestWhichFilesAreWaitedFor(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		content []byte
		age     time.Duration
		settle  time.Duration
		waits   bool
	}{
		"fresh and empty":              {nil, 0, testSettle, true},
		"fresh, of one byte":           {[]byte("P"), 0, testSettle, true},
		"fresh, preallocated":          {make([]byte, 4096), 0, testSettle, true},
		"fresh, the beginning":         {[]byte("PAR1 and so on"), 0, testSettle, true},
		"almost old":                   {nil, testSettle - time.Millisecond, testSettle, true},
		"just old":                     {nil, testSettle, testSettle, false},
		"of the past":                  {nil, 24 * time.Hour, testSettle, false},
		"of the future":                {nil, -24 * time.Hour, testSettle, true},
		"fresh, but nobody waits":      {nil, 0, 0, false},
		"of the future, nobody waits":  {nil, -24 * time.Hour, 0, false},
		"fresh, but encrypted":         {[]byte("PARE and so on and so on PARE"), 0, testSettle, false},
		"fresh, with a broken footer":  {[]byte("PAR1\x00\x00\x00\x00PAR1"), 0, testSettle, false},
		"fresh, with a footer too big": {[]byte("PAR1\x00\x00\x00\x10PAR1"), 0, testSettle, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			now := f.stopClock()
			f.putAt("a.parquet", tc.content, now.at.Add(-tc.age))
			f.look(f.whole())
			sum, _ := f.work(func(o *WorkOptions) { o.Settle = tc.settle })
			want := span.Summary{FilesFailed: 1}
			if tc.waits {
				want = span.Summary{FilesUnfinished: 1}
			}
			if sum != want {
				t.Errorf("Work() = %+v, want %+v", sum, want)
			}
			f.expectFailed(int(want.FilesFailed))
			f.expectUnfinished(want.FilesUnfinished)
			// Nothing waits for ever, whatever the clock of the file's machine says.
			for range 20 {
				now.pass(testSettle)
				f.follow()
			}
			f.expectUnfinished(0)
			f.expectFailed(1)
		})
	}
}

// What becomes of a file while it is unfinished ends the wait, and what was indexed of it stays until then.
func TestTheEndOfAWait(t *testing.T) {
	t.Parallel()
	for _, known := range []bool{false, true} {
		for name, tc := range map[string]struct {
			end func(f *fixture, now *clock, before, after []byte, at time.Time)
			// spans and files are in the index afterwards.
			spans int64
			files []string
		}{
			"it is finished": {func(f *fixture, now *clock, _, after []byte, _ time.Time) { f.putAt("a.parquet", after, now.at) }, 30, []string{"a.parquet"}},
			"it is deleted":  {func(f *fixture, _ *clock, _, _ []byte, _ time.Time) { f.lake.Remove(f.t, "a.parquet") }, 0, nil},
			"it is moved": {func(f *fixture, _ *clock, _, after []byte, at time.Time) {
				f.putAt("a.parquet", after, at)
				rename(f.t, f.lake.Path("a.parquet"), f.lake.Path("b.parquet"))
			}, 30, []string{"b.parquet"}},
			"it is as it was": {func(f *fixture, _ *clock, before, _ []byte, at time.Time) { f.putAt("a.parquet", before, at) }, 20, []string{"a.parquet"}},
			"its folder goes": {func(f *fixture, _ *clock, _, _ []byte, _ time.Time) {
				f.lake.Remove(f.t, "a.parquet")
				f.lake.Remove(f.t, ".")
			}, 0, nil},
		} {
			t.Run(fmt.Sprintf("%s, indexed before: %t", name, known), func(t *testing.T) {
				t.Parallel()
				f := newFixture(t)
				now := f.stopClock()
				before, after := f.soundFile(testkit.Spans(1, 20)...), f.soundFile(testkit.Spans(11, 30)...)
				at := now.at.Add(-time.Hour)
				if known {
					f.putAt("a.parquet", before, at)
					f.look(f.whole())
					f.follow()
				}
				for i := range 3 { // it is written slowly
					f.putAt("a.parquet", after[:100*i], now.at)
					f.look(f.part("a.parquet"))
					f.follow()
					f.expectUnfinished(1)
					f.expectFailed(0)
					if known {
						f.expectSpans(20)
					}
					now.pass(lastLook)
				}
				tc.end(f, now, before, after, at)
				f.look(f.part("a.parquet", "b.parquet"), accept)
				f.work(settling)
				f.expectUnfinished(0)
				if paths, next := f.due(); len(paths) != 0 || !next.IsZero() {
					t.Errorf("Due() = %q, %v", paths, next)
				}
				f.look(f.whole(), accept)
				f.work(settling)
				f.expectSpans(tc.spans)
				f.expectFailed(0)
				if got := f.indexed(); !slices.Equal(got, tc.files) {
					t.Errorf("the index has %q, want %q", got, tc.files)
				}
				f.assertSound()
			})
		}
	}
}

// A file that is read again since it repeats spans of a removed one may be unfinished as well.
func TestARepeatThatIsUnfinishedIsWaitedFor(t *testing.T) {
	t.Parallel()
	f := newFixture(t, batchSize(1))
	now := f.stopClock()
	f.lake.Spans(t, "first.parquet", testkit.Spans(1, 20)...)
	testkit.Touch(t, f.lake.Path("first.parquet"))
	content := f.soundFile(testkit.Spans(11, 30)...)
	f.look(f.whole())
	f.work(settling)
	f.putAt("second.parquet", content, now.at.Add(-time.Hour))
	f.look(f.whole())
	f.work(settling)
	f.expectSpans(40)
	// The second is rewritten slowly, and nobody has seen it when the first goes.
	f.putAt("second.parquet", content[:500], now.at)
	f.lake.Remove(t, "first.parquet")
	f.look(f.part("first.parquet"))
	f.work(settling)
	f.expectFailed(0)
	f.expectSpans(20)
	f.look(f.whole(), accept)
	f.work(settling)
	f.expectUnfinished(1)
	f.putAt("second.parquet", content, now.at.Add(time.Second))
	now.pass(lastLook)
	f.follow()
	f.expectUnfinished(0)
	f.expectSpans(30)
	f.assertSound()
}

// A file that another file's step took in does not stay among the unfinished ones.
func TestARepeatThatWasUnfinishedIsForgotten(t *testing.T) {
	t.Parallel()
	f := newFixture(t, batchSize(1))
	now := f.stopClock()
	first, second := f.soundFile(testkit.Spans(1, 20)...), f.soundFile(testkit.Spans(11, 30)...)
	f.putAt("first.parquet", first, now.at.Add(-2*time.Hour))
	f.look(f.whole())
	f.work(settling)
	f.putAt("second.parquet", second, now.at.Add(-time.Hour))
	f.look(f.whole())
	f.work(settling)
	f.putAt("second.parquet", second[:500], now.at)
	f.look(f.part("second.parquet"))
	f.work(settling)
	f.expectUnfinished(1)
	f.putAt("second.parquet", second, now.at)
	f.lake.Remove(t, "first.parquet")
	f.look(f.part("first.parquet"))
	f.work(settling)
	f.expectSpans(30)
	now.pass(lastLook)
	f.follow()
	f.expectUnfinished(0)
	if paths, next := f.due(); len(paths) != 0 || !next.IsZero() {
		t.Errorf("Due() = %q, %v", paths, next)
	}
	f.assertSound()
}
