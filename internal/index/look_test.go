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
		sum.Add(step.Summary)
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
