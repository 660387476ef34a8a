package index

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// whole is a listing of the lake as it is.
func (f *fixture) whole() span.Listing { return span.WholeLake(f.scan()) }

// part is a listing of places of the lake as they are.
func (f *fixture) part(places ...string) span.Listing {
	files := func(yield func(span.File, error) bool) {
		for file, err := range f.scan() {
			if err != nil || !slices.Contains(places, file.Path) && !slices.Contains(places, path.Dir(file.Path)) {
				continue
			}
			if !yield(file, nil) {
				return
			}
		}
	}
	return span.Listing{Files: files, Scope: func() []string { return places }}
}

// look takes a listing in, and checks that the backlog is counted right afterwards.
func (f *fixture) look(l span.Listing, edits ...func(*LookOptions)) Found {
	f.t.Helper()
	var o LookOptions
	for _, edit := range edits {
		edit(&o)
	}
	found, err := f.Look(f.t.Context(), l, o)
	if err != nil {
		f.t.Fatalf("Look() = %v", err)
	}
	f.assertBacklog()
	return found
}

func accept(o *LookOptions) { o.AcceptMissing = true }
func keep(o *LookOptions)   { o.KeepMissing = true }

// step does one step, and checks that the backlog is counted right afterwards.
func (f *fixture) step(edits ...func(*WorkOptions)) Step {
	f.t.Helper()
	var o WorkOptions
	for _, edit := range edits {
		edit(&o)
	}
	step, err := f.Work(f.t.Context(), o)
	if err != nil {
		f.t.Fatalf("Work() = %v", err)
	}
	f.assertBacklog()
	return step
}

// work does all that is to be done, and says in which order the files were taken.
func (f *fixture) work(edits ...func(*WorkOptions)) (sum span.Summary, order []string) {
	f.t.Helper()
	edits = append(edits, func(o *WorkOptions) { o.Starting = func(files []string) { order = append(order, files...) } })
	for more := true; more; {
		step := f.step(edits...)
		addTo(&sum, step.Summary)
		more = step.More
	}
	if b := f.Backlog(); b.Files != 0 || b.Bytes != 0 || b.Gone != 0 || !b.Oldest.IsZero() {
		f.t.Errorf("Backlog() = %+v when nothing is left to do", b)
	}
	return sum, order
}

// assertBacklog compares the measure of the backlog with what is in it.
func (f *fixture) assertBacklog() {
	f.t.Helper()
	f.writing.Lock()
	defer f.writing.Unlock()
	got := f.Backlog()
	var want Backlog
	var oldest int64
	if err := f.conn.QueryRowContext(context.Background(), measureSQL).Scan(&want.Files, &want.Bytes, &want.Gone, &oldest); err != nil {
		f.t.Fatal(err)
	}
	if rest := want.Files + want.Gone; rest != f.backlog.rest {
		f.t.Errorf("%d files wait in the table, %d are counted", rest, f.backlog.rest)
	}
	for _, p := range f.backlog.queue {
		if p.gone {
			want.Gone++
			continue
		}
		want.Files++
		want.Bytes += p.file.Size
	}
	want.Unfinished = int64(len(f.backlog.unfinished))
	got.Oldest = time.Time{}
	if got != want {
		f.t.Errorf("Backlog() = %+v, but what waits is %+v", got, want)
	}
}

// indexed are the files that the index has, by path.
func (f *fixture) indexed() []string {
	f.t.Helper()
	return f.column("SELECT file_path FROM parquet_files ORDER BY file_path")
}

// A look at a part of the lake finds what is gone from there, whatever is gone elsewhere and however the places are named.
func TestAPartialLookSpeaksOfItsPlacesOnly(t *testing.T) {
	t.Parallel()
	const odd = `it's "a" [x]* ?`
	all := []string{"root.parquet", "a/1.parquet", "a/2.parquet", "a/b/3.parquet", odd + "/4.parquet", "a%/5.parquet", "aa/6.parquet", "a_/7.parquet"}
	for i := range 20 {
		all = append(all, fmt.Sprintf("other/%02d.parquet", i)) // so that what goes is few
	}
	for name, tc := range map[string]struct {
		remove, places, gone []string
	}{
		"a file":                      {[]string{"root.parquet", "a/1.parquet"}, []string{"root.parquet"}, []string{"root.parquet"}},
		"a file in a folder":          {[]string{"a/1.parquet", "a/2.parquet"}, []string{"a/2.parquet"}, []string{"a/2.parquet"}},
		"a file that is still there":  {[]string{"a/1.parquet"}, []string{"a/2.parquet"}, nil},
		"the root":                    {[]string{"root.parquet", "a"}, []string{"."}, []string{"root.parquet"}},
		"a folder":                    {[]string{"root.parquet", "a/1.parquet", "a/b"}, []string{"a"}, []string{"a/1.parquet"}},
		"a nested folder":             {[]string{"a/1.parquet", "a/b/3.parquet"}, []string{"a/b"}, []string{"a/b/3.parquet"}},
		"a folder that vanished":      {[]string{"a", "aa"}, []string{"a"}, []string{"a/1.parquet", "a/2.parquet"}},
		"a tree that vanished":        {[]string{"a", "aa"}, []string{"a", "a/b"}, []string{"a/1.parquet", "a/2.parquet", "a/b/3.parquet"}},
		"a folder with an odd name":   {[]string{odd, "root.parquet"}, []string{odd}, []string{odd + "/4.parquet"}},
		"a file with an odd name":     {[]string{odd, "root.parquet"}, []string{odd + "/4.parquet"}, []string{odd + "/4.parquet"}},
		"a folder like a pattern":     {[]string{"a%", "aa", "a_"}, []string{"a%"}, []string{"a%/5.parquet"}},
		"a folder like one character": {[]string{"a%", "aa", "a_"}, []string{"a_"}, []string{"a_/7.parquet"}},
		"a folder that never was":     {[]string{"a"}, []string{"b", "a/b/c", "root.parquet/x"}, nil},
		"no place":                    {[]string{"a"}, nil, nil},
		"the same place twice":        {[]string{"a/1.parquet"}, []string{"a", "a", "a/1.parquet"}, []string{"a/1.parquet"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, batchSize(30))
			for i, file := range all {
				f.lake.Spans(t, file, testkit.Span(i, i))
			}
			f.sync()
			for _, place := range tc.remove {
				f.lake.Remove(t, place)
			}
			places := slices.Clone(tc.places)
			found := f.look(f.part(places...))
			if found.Gone != int64(len(tc.gone)) || found.Withheld != 0 {
				t.Errorf("Look() = %+v, want %d files gone", found, len(tc.gone))
			}
			if !slices.Equal(places, tc.places) {
				t.Errorf("the scope was changed to %q", places)
			}
			f.work()
			want := slices.DeleteFunc(slices.Sorted(slices.Values(all)), func(file string) bool { return slices.Contains(tc.gone, file) })
			if got := f.indexed(); !slices.Equal(got, want) {
				t.Errorf("the index has %q, want %q", got, want)
			}
			f.look(f.whole())
			f.work()
			f.assertSound()
		})
	}
}

// A file that is moved is seen to go and to come by looks at two folders, in whatever order they happen.
func TestAFileThatMoves(t *testing.T) {
	t.Parallel()
	for name, places := range map[string][][]string{
		"from here": {{"a"}, {"b"}}, "to there": {{"b"}, {"a"}}, "at once": {{"a", "b"}}, "named": {{"a/0.parquet", "b/0.parquet"}},
	} {
		for _, between := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", working between ", between), func(t *testing.T) {
				t.Parallel()
				f := newFixture(t)
				for i := range 4 {
					f.lake.Spans(t, fmt.Sprintf("a/%d.parquet", i), testkit.Spans(10*i, 5)...)
				}
				f.lake.Spans(t, "b/x.parquet", testkit.Span(100, 100))
				f.sync()
				rename(t, f.lake.Path("a/0.parquet"), f.lake.Path("b/0.parquet"))
				for _, place := range places {
					f.look(f.part(place...))
					if between {
						f.work()
					}
				}
				f.work()
				f.assertSound()
				f.expectSpans(21)
			})
		}
	}
}

// What is listed again before its turn is to be done once, as it was listed last.
func TestAPlaceThatIsListedAgainBeforeItsTurn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	at := time.Now()
	one := span.Listing{Files: listing(span.File{Path: "a/1.parquet", Size: 10, ModTime: at}), Scope: func() []string { return []string{"a/1.parquet"} }}
	folder := span.Listing{Files: listing(span.File{Path: "a/1.parquet", Size: 30, ModTime: at}, span.File{Path: "a/2.parquet", Size: 5, ModTime: at}),
		Scope: func() []string { return []string{"a"} }}
	twice := span.Listing{Files: listing(span.File{Path: "a/1.parquet", Size: 30, ModTime: at}, span.File{Path: "a/1.parquet", Size: 40, ModTime: at}),
		Scope: func() []string { return []string{"a/1.parquet"} }}
	gone := span.Listing{Files: listing(), Scope: func() []string { return []string{"a"} }}
	for i, tc := range []struct {
		listing      span.Listing
		files, bytes int64
	}{{one, 1, 10}, {one, 1, 10}, {folder, 2, 35}, {one, 2, 15}, {twice, 2, 45}, {gone, 0, 0}, {folder, 2, 35}} {
		f.look(tc.listing)
		if b := f.Backlog(); b.Files != tc.files || b.Bytes != tc.bytes {
			t.Errorf("after look %d: Backlog() = %+v, want %d files of %d bytes", i, b, tc.files, tc.bytes)
		}
	}
}

// A file that is listed twice at once is indexed once.
func TestAFileThatIsListedTwice(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.lake.Spans(t, "a.parquet", testkit.Spans(1, 5)...)
	files := slices.Collect(onlyFiles(f.scan()))
	f.look(span.WholeLake(listing(append(files, files...)...)))
	if sum, _ := f.work(); sum.FilesIndexed != 1 || sum.FilesFailed != 0 {
		t.Errorf("Work() = %+v", sum)
	}
	f.assertSound()
}

func onlyFiles(all iter.Seq2[span.File, error]) iter.Seq[span.File] {
	return func(yield func(span.File) bool) {
		for file, err := range all {
			if err == nil && !yield(file) {
				return
			}
		}
	}
}

// A file that vanishes before its turn is neither indexed nor failed, and nothing remains to be done for it.
func TestAPendingFileThatVanishes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, batchSize(2))
	for i := range 4 {
		f.lake.Spans(t, fmt.Sprintf("%d.parquet", i), testkit.Span(i, i))
	}
	f.look(f.whole())
	f.step()
	f.lake.Remove(t, "0.parquet")
	if sum, _ := f.work(); sum.FilesIndexed != 1 || sum.FilesFailed != 0 {
		t.Errorf("Work() = %+v, want the one that is there", sum)
	}
	f.look(f.whole())
	f.work()
	f.assertSound()
	f.expectSpans(3)
}

// A look at everything forgets what looks at parts noted, and one at a part forgets what was noted of this part only.
func TestALookForgetsWhatItSeesAnew(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for i := range 10 {
		f.lake.Spans(t, fmt.Sprintf("%d/x.parquet", i), testkit.Span(i, i))
	}
	backlog := func(want int64) {
		t.Helper()
		if b := f.Backlog(); b.Files != want {
			t.Errorf("Backlog() = %+v, want %d files", b, want)
		}
	}
	f.look(f.part("1", "2"))
	backlog(2)
	f.lake.Remove(t, "1/x.parquet")
	f.look(f.part("3"))
	backlog(3)
	f.look(f.whole())
	backlog(9)
	f.lake.Remove(t, "2/x.parquet")
	f.look(f.part("4"))
	backlog(9)
	f.look(f.part("2"))
	backlog(8)
	f.work()
	f.assertSound()
	f.lake.Remove(t, "5/x.parquet")
	f.look(f.part("5"))
	f.lake.Spans(t, "5/x.parquet", testkit.Span(5, 5), testkit.Span(6, 60))
	f.look(f.whole()) // it is back
	if b := f.Backlog(); b.Gone != 0 || b.Files != 1 {
		t.Errorf("Backlog() = %+v, want the file that is back", b)
	}
	f.work()
	f.assertSound()
}

// What is newer goes first even if it arrives while a backlog is caught up with, and removals go before all.
func TestTheNewestFileGoesFirst(t *testing.T) {
	t.Parallel()
	f := newFixture(t, batchSize(1))
	for i := range 6 {
		f.lake.Spans(t, fmt.Sprintf("old/%d.parquet", i), testkit.Span(i, i))
	}
	f.look(f.whole())
	var order []string
	starting := func(o *WorkOptions) { o.Starting = func(files []string) { order = append(order, files...) } }
	f.step(starting)
	f.step(starting)
	f.lake.Spans(t, "new/x.parquet", testkit.Span(10, 10))
	f.look(f.part("new"))
	f.step(starting)
	f.lake.Remove(t, "old/5.parquet")
	f.look(f.part("old/5.parquet"))
	_, rest := f.work()
	want := []string{"old/5.parquet", "old/4.parquet", "new/x.parquet", "old/5.parquet", "old/3.parquet", "old/2.parquet", "old/1.parquet", "old/0.parquet"}
	if got := append(order, rest...); !slices.Equal(got, want) {
		t.Errorf("the files were taken in the order %q, want %q", got, want)
	}
	f.assertSound()
}

// A backlog that is longer than the queue is done newest first, each file once, whatever looks come between.
func TestALongBacklogKeepsItsOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t, batchSize(100))
	f.lake.Put(t, "nothing.txt", nil)
	const n = 2*queueLength + 350
	files := make([]span.File, n)
	for i := range files {
		// The numbers run against the times, so that the order of names is not the order of times.
		files[i] = span.File{Path: fmt.Sprintf("%04d.parquet", n-i), Size: 1, ModTime: testkit.Start.Add(time.Duration(i*7919%n) * time.Second)}
	}
	f.look(span.WholeLake(listing(files...)))
	var taken []string
	byPath := make(map[string]time.Time)
	for _, file := range files {
		byPath[file.Path] = file.ModTime
	}
	oldest := time.Now().AddDate(100, 0, 0)
	for round, more := 0, true; more; round++ {
		newFile := ""
		if round%9 == 4 {
			// Newer than all that is left: it must be in the next batch.
			newFile = fmt.Sprintf("new %d.parquet", round)
			byPath[newFile] = oldest.Add(-time.Millisecond)
			f.look(span.Listing{Files: listing(span.File{Path: newFile, Size: 1, ModTime: byPath[newFile]}), Scope: func() []string { return []string{newFile} }})
		}
		more = f.step(func(o *WorkOptions) {
			o.Starting = func(batch []string) {
				if newFile != "" && !slices.Contains(batch, newFile) {
					t.Errorf("the newest file is not in the next batch %q", batch)
				}
				taken = append(taken, batch...)
				first := time.Now().AddDate(100, 0, 0)
				for _, path := range batch {
					if !byPath[path].Before(oldest) {
						t.Errorf("%s of %v was taken after one of %v", path, byPath[path], oldest)
					}
					first = earlier(first, byPath[path])
				}
				oldest = first
			}
		}).More
	}
	slices.Sort(taken)
	if len(taken) != len(byPath) || len(slices.Compact(taken)) != len(byPath) {
		t.Errorf("%d files were taken, want each of %d once", len(taken), len(byPath))
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// A step that fails loses nothing: the next one does its files.
func TestAFailedStepIsDoneByTheNext(t *testing.T) {
	t.Parallel()
	f := newFixture(t, batchSize(3))
	for i := range 8 {
		f.lake.Spans(t, fmt.Sprintf("%d.parquet", i), testkit.Spans(10*i, 12)...) // each repeats some of the next
	}
	fail := func() {
		t.Helper()
		before := f.Backlog()
		ctx, cancel := context.WithCancel(t.Context())
		step, err := f.Work(ctx, WorkOptions{Starting: func([]string) { cancel() }})
		if !errors.Is(err, context.Canceled) || step.FilesIndexed != 0 {
			t.Fatalf("Work() = %+v, %v, want that it was cancelled", step, err)
		}
		f.assertBacklog()
		if after := f.Backlog(); after != before {
			t.Errorf("Backlog() = %+v after a failed step, %+v before", after, before)
		}
	}
	f.look(f.whole())
	for range 3 {
		fail()
		fail()
		f.step()
	}
	f.assertSound()
	for i := range 4 {
		f.lake.Remove(t, fmt.Sprintf("%d.parquet", i))
	}
	f.look(f.whole())
	fail()
	f.work()
	f.assertSound()
	f.expectSpans(42)
}

// A look that fails loses nothing that was noted before.
func TestAFailedLookForgetsNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, batchSize(1))
	for i := range 5 {
		f.lake.Spans(t, fmt.Sprintf("%d.parquet", i), testkit.Span(i, i))
	}
	f.look(f.whole())
	f.step() // the rest is in the queue
	broken := errors.New("broken")
	ctx, cancel := context.WithCancel(t.Context())
	for name, tc := range map[string]struct {
		ctx  context.Context
		list func(yield func(span.File, error) bool)
		want error
	}{
		"an error": {t.Context(), func(yield func(span.File, error) bool) { yield(span.File{}, broken) }, broken},
		"an error later": {t.Context(), func(yield func(span.File, error) bool) {
			_ = yield(span.File{Path: "x"}, nil) && yield(span.File{}, broken)
		}, broken},
		"it was cancelled": {ctx, func(yield func(span.File, error) bool) { yield(span.File{Path: "x"}, nil); cancel() }, context.Canceled},
	} {
		for _, whole := range []bool{true, false} {
			_, err := f.Look(tc.ctx, span.Listing{Files: tc.list, Whole: whole, Scope: func() []string { return []string{"."} }}, LookOptions{})
			if !errors.Is(err, tc.want) {
				t.Errorf("%s: Look() = %v, want %v", name, err, tc.want)
			}
			f.assertBacklog()
			if b := f.Backlog(); b.Files != 4 {
				t.Errorf("%s: Backlog() = %+v, want 4 files", name, b)
			}
		}
	}
	if sum, _ := f.work(); sum.FilesIndexed != 4 {
		t.Errorf("Work() = %+v, want the 4 files that were left", sum)
	}
	f.assertSound()
}

// reopenNow does what revive does after an error.
func (f *fixture) reopenNow() {
	f.t.Helper()
	f.writing.Lock()
	defer f.writing.Unlock()
	if err := f.reopen(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

// When the database was opened again, Work does not believe the empty tables, until a look has been at the whole lake.
func TestWorkSaysThatTheIndexWasOpenedAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t, batchSize(2))
	for i := range 7 {
		f.lake.Spans(t, fmt.Sprintf("%d.parquet", i), testkit.Span(i, i))
	}
	reopened := func(when string) {
		t.Helper()
		if _, err := f.Work(t.Context(), WorkOptions{}); !errors.Is(err, ErrReopened) {
			t.Errorf("Work() %s = %v, want ErrReopened", when, err)
		}
	}
	f.look(f.whole())
	f.step()
	f.reopenNow()
	reopened("at once")
	reopened("again")
	if _, err := f.Look(t.Context(), f.part("."), LookOptions{}); err != nil {
		t.Fatal(err)
	}
	reopened("after a partial look")
	f.look(f.whole())
	if sum, _ := f.work(); sum.FilesIndexed != 5 {
		t.Errorf("Work() = %+v, want the 5 files that were left", sum)
	}
	f.assertSound()

	// A writer that could not open it again leaves that to the next one, which may be any.
	f.lake.Spans(t, "8.parquet", testkit.Span(8, 8))
	f.look(f.whole())
	f.writing.Lock()
	_ = f.closeHandles()
	f.writing.Unlock()
	if _, err := f.Services(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Services() = %v, want ErrClosed", err)
	}
	if _, err := f.RetryAll(t.Context()); err != nil {
		t.Errorf("RetryAll() = %v", err)
	}
	reopened("after another writer opened it")
	f.sync()
	f.expectSpans(8)
}

// Until a file is there, and after it has gone, nobody speaks of its content: errors of places are not absence.
func TestPlacesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for i := range 6 {
		f.lake.Spans(t, fmt.Sprintf("%c/%d.parquet", 'a'+i%2, i), testkit.Span(i, i))
	}
	f.sync()
	files := func(unread string) iter.Seq2[span.File, error] {
		return func(yield func(span.File, error) bool) {
			for file := range onlyFiles(f.scan()) {
				if !strings.HasPrefix(file.Path, unread) && !yield(file, nil) {
					return
				}
			}
			yield(span.File{}, &span.ScanError{Path: unread, Err: errors.New("cannot be read")})
		}
	}
	found := f.look(span.WholeLake(files("a")))
	if found.Gone != 0 || found.Withheld != 0 || len(found.Unread) != 1 {
		t.Errorf("Look() = %+v", found)
	}
	found = f.look(span.Listing{Files: files("a"), Scope: func() []string { return []string{"a"} }})
	if found.Gone != 0 || len(found.Unread) != 1 {
		t.Errorf("the partial Look() = %+v", found)
	}
	if _, err := f.Look(t.Context(), span.WholeLake(files(".")), LookOptions{AcceptMissing: true}); err == nil {
		t.Error("Look() at a lake that cannot be read succeeds")
	}
	f.work()
	f.assertSound()
}
