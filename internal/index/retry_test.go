package index

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/testkit"
)

func fewRows(l *Limits) { l.Rows = 3 }

// A file that may be readable later is tried again, less and less often, and at last no more until it changes or somebody
// asks.
func TestAFailedFileIsTriedAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t, limits(fewRows))
	now := f.stopClock()
	f.lake.Spans(t, "large.parquet", testkit.Spans(1, 5)...)
	f.lake.Spans(t, "sound.parquet", testkit.Span(1, 1))
	retries := 0
	untilQuarantine := func(why string) {
		t.Helper()
		for _, minutes := range []int{1, 2, 4, 8} {
			wait := time.Duration(minutes) * time.Minute
			failed := f.failure()
			if failed.ErrorType != string(TooLarge) || failed.RetryAt == nil || !failed.RetryAt.Equal(now.at.Add(wait)) || failed.RetryCount != retries {
				t.Fatalf("%s: the failure is %+v at %v, want it to be tried again in %d minutes", why, failed, now.at, minutes)
			}
			if paths, next := f.due(); len(paths) != 0 || !next.Equal(*failed.RetryAt) {
				t.Errorf("%s: Due() = %q, %v", why, paths, next)
			}
			now.pass(wait - time.Microsecond)
			if found := f.look(f.whole()); found.Waiting != 1 || f.Backlog().Files != 0 {
				t.Errorf("%s: Look() = %+v before it is time", why, found)
			}
			now.pass(time.Microsecond)
			if paths, _ := f.due(); !slices.Equal(paths, []string{"large.parquet"}) {
				t.Errorf("%s: Due() = %q when it is time", why, paths)
			}
			if sum := f.follow(); sum.FilesFailed != 1 {
				t.Errorf("%s: Work() = %+v", why, sum)
			}
			retries++
		}
		if failed := f.failure(); failed.RetryAt != nil || failed.RetryCount != retries || failed.Due {
			t.Errorf("%s: in quarantine the failure is %+v", why, failed)
		}
		now.pass(1000 * time.Hour)
		if paths, next := f.due(); len(paths) != 0 || !next.IsZero() {
			t.Errorf("%s: Due() = %q, %v in quarantine", why, paths, next)
		}
		if found := f.look(f.whole()); found.Waiting != 1 || f.Backlog().Files != 0 {
			t.Errorf("%s: Look() = %+v in quarantine", why, found)
		}
		f.assertSound()
	}
	f.look(f.whole())
	f.work()
	untilQuarantine("at first")

	testkit.Touch(t, f.lake.Path("large.parquet"))
	f.look(f.part("large.parquet"))
	f.work()
	retries++
	untilQuarantine("when it has changed")

	if err := f.Retry(t.Context(), "large.parquet"); err != nil {
		t.Fatal(err)
	}
	if failed := f.failure(); !failed.Due {
		t.Errorf("when somebody asked the failure is %+v", failed)
	}
	f.follow()
	retries++
	untilQuarantine("when somebody asked")

	// The cause goes away.
	f.opts.Limits = DefaultLimits()
	if n, err := f.RetryAll(t.Context()); n != 1 || err != nil {
		t.Fatalf("RetryAll() = %d, %v", n, err)
	}
	f.follow()
	f.expectFailed(0)
	f.expectSpans(5)
	f.assertSound()
}

// A file that cannot become readable unless it changes is in quarantine at once.
func TestAFailureThatStaysIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	now := f.stopClock()
	bad := map[string]ErrorType{"empty": Truncated, "text": NotParquet, "column": MissingColumn, "type": WrongType}
	f.lake.Put(t, "empty", nil)
	f.lake.Put(t, "text", []byte("trace_id,span_id\n"))
	f.lake.Table(t, "column", testkit.SpanTable(2).Without("trace_id"))
	f.lake.Table(t, "type", testkit.SpanTable(2).With("trace_id", "i"))
	for name := range bad {
		rename(t, f.lake.Path(name), f.lake.Path(name+".parquet"))
	}
	f.look(f.whole())
	f.work()
	failed, err := f.Failed(t.Context())
	if err != nil || len(failed) != len(bad) {
		t.Fatalf("Failed() = %+v, %v", failed, err)
	}
	for _, file := range failed {
		name := file.Path[:len(file.Path)-len(".parquet")]
		if file.ErrorType != string(bad[name]) || file.RetryAt != nil {
			t.Errorf("the failure is %+v, want %s and no other try", file, bad[name])
		}
	}
	now.pass(1000 * time.Hour)
	if paths, next := f.due(); len(paths) != 0 || !next.IsZero() {
		t.Errorf("Due() = %q, %v", paths, next)
	}
}

// A failed file that is gone is not due for ever.
func TestAFailedFileThatIsGoneIsForgotten(t *testing.T) {
	t.Parallel()
	f := newFixture(t, limits(fewRows))
	now := f.stopClock()
	f.lake.Spans(t, "a/large.parquet", testkit.Spans(1, 5)...)
	f.look(f.whole())
	f.work()
	f.lake.Remove(t, "a")
	now.pass(firstRetry)
	f.follow()
	if paths, next := f.due(); len(paths) != 0 || !next.IsZero() {
		t.Errorf("Due() = %q, %v", paths, next)
	}
	f.expectFailed(0)
}

// More than half of the files may not go at once unless somebody says so.
func TestManyFilesThatAreGoneAtOnceAreWithheld(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		indexed, failed             int
		removeIndexed, removeFailed int
		edits                       []func(*LookOptions)
		gone, withheld              int64
	}{
		"none":                           {4, 0, 0, 0, nil, 0, 0},
		"half":                           {4, 0, 2, 0, nil, 2, 0},
		"half of an odd number":          {5, 0, 2, 0, nil, 2, 0},
		"more than half of an odd one":   {5, 0, 3, 0, nil, 0, 3},
		"more than half":                 {4, 0, 3, 0, nil, 0, 3},
		"all":                            {4, 0, 4, 0, nil, 0, 4},
		"the only one":                   {1, 0, 1, 0, nil, 0, 1},
		"more than half, confirmed":      {4, 0, 3, 0, []func(*LookOptions){accept}, 3, 0},
		"all, confirmed":                 {4, 0, 4, 0, []func(*LookOptions){accept}, 4, 0},
		"more than half, to be kept":     {4, 0, 3, 0, []func(*LookOptions){keep}, 0, 0},
		"kept although confirmed":        {4, 0, 3, 0, []func(*LookOptions){keep, accept}, 0, 0},
		"all failed ones":                {4, 5, 0, 5, nil, 5, 0},
		"failed ones and half":           {4, 5, 2, 5, nil, 7, 0},
		"failed ones and more than half": {4, 5, 3, 5, nil, 0, 3},
		"failed ones make nothing less":  {4, 5, 3, 0, nil, 0, 3},
		"nothing but failed ones":        {0, 3, 0, 3, nil, 3, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.lake.Put(t, "nothing.txt", nil)
			name := func(kind string, i int) string { return kind + string(rune('a'+i)) + ".parquet" }
			for i := range tc.indexed {
				f.lake.Spans(t, name("sound ", i), testkit.Span(i, i))
			}
			for i := range tc.failed {
				f.lake.Put(t, name("bad ", i), []byte("no Parquet"))
			}
			f.look(f.whole())
			f.work()
			aside := testkit.NewLake(t)
			aside.Put(t, "x", nil)
			for i := range tc.removeIndexed {
				rename(t, f.lake.Path(name("sound ", i)), aside.Path(name("sound ", i)))
			}
			for i := range tc.removeFailed {
				f.lake.Remove(t, name("bad ", i))
			}
			for range 2 {
				found := f.look(f.whole(), tc.edits...)
				if found.Gone != tc.gone || found.Withheld != tc.withheld || found.Absent {
					t.Errorf("Look() = %+v, want %d gone and %d withheld", found, tc.gone, tc.withheld)
				}
				if b := f.Backlog(); b.Gone != tc.gone {
					t.Errorf("Backlog() = %+v", b)
				}
			}
			f.work()
			f.expect("SELECT count(*) FROM parquet_files", strconv.Itoa(tc.indexed-min(tc.removeIndexed, int(tc.gone))))
			for i := range tc.removeIndexed {
				rename(t, aside.Path(name("sound ", i)), f.lake.Path(name("sound ", i)))
			}
			if found := f.look(f.whole()); found.Withheld != 0 {
				t.Errorf("Look() = %+v when the files are back", found)
			}
			f.work()
			f.expect("SELECT count(*) FROM parquet_files", strconv.Itoa(tc.indexed))
			f.assertSound()
		})
	}
}

// A lake folder that is not there says nothing of its files, unless somebody says that it does.
func TestALakeFolderThatIsGone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if found := f.look(f.whole()); !found.Absent {
		t.Errorf("Look() = %+v before there is a lake", found)
	}
	for i := range 3 {
		f.lake.Spans(t, strconv.Itoa(i)+".parquet", testkit.Span(i, i))
	}
	f.look(f.whole())
	f.step()
	f.lake.Remove(t, ".")
	for _, edits := range [][]func(*LookOptions){nil, {keep}, {keep, accept}} {
		if found := f.look(f.whole(), edits...); !found.Absent || found.Gone != 0 || found.Withheld != 0 || len(found.Unread) != 1 {
			t.Errorf("Look() = %+v", found)
		}
		f.work()
		f.expectSpans(3)
	}
	if found := f.look(f.whole(), accept); !found.Absent || found.Gone != 3 {
		t.Errorf("Look() = %+v when it is confirmed", found)
	}
	f.work()
	f.expectSpans(0)
	f.assertSound()
}
