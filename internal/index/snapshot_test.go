package index

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// pendingOf lists files of the lake as somebody who follows it would have noticed them.
func (f *fixture) pendingOf(paths ...string) span.Cold {
	f.t.Helper()
	var cold span.Cold
	for file, err := range f.scan() {
		if err != nil {
			f.t.Fatal(err)
		}
		if len(paths) == 0 || slices.Contains(paths, file.Path) {
			cold.Pending = append(cold.Pending, file)
		}
	}
	slices.SortFunc(cold.Pending, func(a, b span.File) int { return b.ModTime.Compare(a.ModTime) })
	return cold
}

// answers asks everything that is answered from pending files, and checks that it is of so many spans, each in a trace of its own.
func (f *fixture) answers(cold span.Cold, spans int, want span.Seen) {
	f.t.Helper()
	check := func(what string, got int, seen span.Seen, err error) {
		f.t.Helper()
		if err != nil || got != spans || seen.Unread != want.Unread || !slices.Equal(seen.Indexed, want.Indexed) {
			f.t.Errorf("%s is of %d spans, %+v, %v, want %d, %+v", what, got, seen, err, spans, want)
		}
	}
	ctx := f.t.Context()
	rows, seen, err := f.List(ctx, span.Filter{}, false, span.Key{}, 10_000, cold)
	check("List()", len(rows), seen, err)
	ids := make([]string, 1000)
	for i := range ids {
		ids[i] = testkit.TraceID(i)
	}
	rows, seen, err = f.TraceRows(ctx, ids, cold)
	check("TraceRows()", len(rows), seen, err)
	rows, seen, err = f.RootsOf(ctx, span.Filter{}, ids, cold)
	check("RootsOf()", len(rows), seen, err)
	for _, q := range []span.CountQuery{{}, {Durations: true, Step: day}, {ByName: true}} {
		counts, seen, err := f.Counts(ctx, q, cold)
		n := 0
		for _, c := range counts {
			n += int(c.Spans)
		}
		check(fmt.Sprintf("Counts(%+v)", q), n, seen, err)
	}
}

func TestFilesThatAreNotIndexedAreRead(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.lake.Spans(t, "a.parquet", testkit.Spans(1, 3)...)
	f.sync()
	f.lake.Spans(t, "b.parquet", testkit.Spans(11, 4)...)
	f.lake.Table(t, "other writer.parquet", testkit.SpansTable(testkit.Spans(21, 5)...).Without("parent_span_id", "end_time").Reversed())
	f.answers(span.Cold{}, 3, span.Seen{})
	cold := f.pendingOf()
	cold.HotFiles = []string{"a.parquet", "b.parquet", "c.parquet"}
	f.answers(cold, 12, span.Seen{Indexed: []string{"a.parquet"}})
	rows, _, err := f.TraceRows(t.Context(), []string{testkit.TraceID(21)}, cold)
	if err != nil || len(rows) != 1 || rows[0].File != "other writer.parquet" {
		t.Errorf("TraceRows() = %+v, %v", rows, err)
	}
	// What was noticed is indexed before it is asked for.
	f.sync()
	f.answers(cold, 12, span.Seen{Indexed: []string{"a.parquet", "b.parquet"}})
}

// A bad file costs that file, whatever is wrong with it.
func TestABadFileIsUnreadAndTheOthersAreRead(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(t *testing.T, l testkit.Lake){
		"cut":     func(t *testing.T, l testkit.Lake) { l.Put(t, "bad.parquet", l.Read(t, "bad.parquet")[:500]) },
		"no file": func(t *testing.T, l testkit.Lake) { l.Put(t, "bad.parquet", []byte("hello")) },
		"no spans": func(t *testing.T, l testkit.Lake) {
			l.Table(t, "bad.parquet", testkit.SpanTable(1).Without("trace_id"))
		},
		"damaged pages": func(t *testing.T, l testkit.Lake) { // its footer is sound, so only reading it tells
			content := l.Read(t, "bad.parquet")
			l.Put(t, "bad.parquet", testkit.Flip(content, 4, len(content)-12-testkit.FooterLength(content)))
		},
		"bytes that are no text": func(t *testing.T, l testkit.Lake) {
			l.Arrow(t, "bad.parquet", 3, append(testkit.MinimalColumns(), testkit.Text("name", func(int) string { return "\xff" }))...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.lake.Spans(t, "indexed.parquet", testkit.Spans(1, 3)...)
			f.sync()
			f.lake.Spans(t, "before.parquet", testkit.Spans(11, 1)...)
			f.lake.Spans(t, "bad.parquet", testkit.Spans(21, 2)...)
			damage(t, f.lake)
			f.lake.Spans(t, "after.parquet", testkit.Spans(31, 1)...)
			cold := f.pendingOf()
			for range 2 { // the second time it is known
				f.answers(cold, 5, span.Seen{Unread: 1})
			}
			// Once it is recorded it counts as failed.
			f.sync()
			f.answers(cold, 5, span.Seen{})
			// And it may be put right.
			f.lake.Spans(t, "bad.parquet", testkit.Spans(21, 2)...)
			f.answers(f.pendingOf(), 7, span.Seen{})
		})
	}
}

// What is gone, or was replaced, since it was noticed is told as unread, as long as the index does not know better.
func TestFilesThatChangeAfterTheyWereNoticed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.lake.Spans(t, "a.parquet", testkit.Spans(1, 3)...)
	f.lake.Spans(t, "b.parquet", testkit.Spans(11, 3)...)
	f.lake.Spans(t, "c.parquet", testkit.Spans(21, 3)...)
	noticed := f.pendingOf("b.parquet", "c.parquet")
	f.syncWith(SyncOptions{LookOptions: LookOptions{KeepMissing: true}})
	f.lake.Spans(t, "new.parquet", testkit.Spans(31, 3)...)
	cold := f.pendingOf("new.parquet")
	f.answers(cold, 12, span.Seen{}) // its footer is known from now on
	f.lake.Spans(t, "new.parquet", testkit.Spans(31, 4)...)
	f.answers(cold, 13, span.Seen{})
	f.lake.Remove(t, "new.parquet")
	f.answers(cold, 9, span.Seen{Unread: 1})
	// A file that was indexed stands as it was until it is indexed anew.
	f.lake.Spans(t, "b.parquet", testkit.Spans(11, 7)...)
	f.answers(f.pendingOf("b.parquet"), 9, span.Seen{Unread: 1})
	testkit.Touch(t, f.lake.Path("c.parquet"))
	f.answers(f.pendingOf("b.parquet", "c.parquet"), 9, span.Seen{Unread: 2})
	f.lake.Remove(t, "c.parquet")
	f.answers(noticed, 9, span.Seen{Unread: 1}) // c is indexed as it was noticed
}

// So much is read for one answer and no more, the newest first.
func TestOnlySoManyFilesAreReadForAnAnswer(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const files = pendingFiles + 7
	for i := range files {
		f.lake.Spans(t, fmt.Sprintf("%d.parquet", i), testkit.Span(i, i))
	}
	f.lake.Table(t, "large.parquet", testkit.SpanTable(pendingRows))
	cold := f.pendingOf()
	// The large file is as much as may be read alone, so of the next 99 none is.
	rows, seen, err := f.List(t.Context(), span.Filter{}, false, span.Key{}, 10, cold)
	if err != nil || seen.Unread != files || len(rows) != 10 {
		t.Errorf("List() = %d rows, %+v, %v", len(rows), seen, err)
	}
	cold.Pending = cold.Pending[1:]
	f.answers(cold, pendingFiles, span.Seen{Unread: files - pendingFiles})
	if rows, _, _ := f.List(t.Context(), span.Filter{}, false, span.Key{}, 10, cold); rows[0].TraceID != testkit.TraceID(files-1) {
		t.Errorf("the newest file was not read: %+v", rows[0])
	}
}

// While files are indexed, changed and removed, each answer has each span once.
func TestEachAnswerIsOfOneMoment(t *testing.T) {
	t.Parallel()
	f := newFixture(t, batchSize(2), quiet)
	const files = 12
	for i := range files {
		f.lake.Spans(t, fmt.Sprintf("%02d.parquet", i), testkit.Spans(1+10*i, 10)...)
	}
	cold := f.pendingOf()
	done := make(chan struct{})
	var asking sync.WaitGroup
	for range 2 {
		asking.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					if n == 0 {
						t.Error("nothing was asked meanwhile")
					}
					return
				default:
				}
				rows, seen, err := f.List(t.Context(), span.Filter{}, false, span.Key{}, 1000, cold)
				if err != nil || len(rows) != 10*files || seen.Unread != 0 {
					t.Errorf("List() = %d spans, %+v, %v, want %d", len(rows), seen, err, 10*files)
				}
				counts, seen, err := f.Counts(t.Context(), span.CountQuery{}, cold)
				if err != nil || len(counts) != 1 || counts[0].Spans != 10*files || seen.Unread != 0 {
					t.Errorf("Counts() = %+v, %+v, %v, want %d spans", counts, seen, err, 10*files)
				}
			}
		})
	}
	f.look(f.whole())
	for f.step().More {
		time.Sleep(time.Millisecond)
	}
	close(done)
	asking.Wait()
	f.assertSound()
}

// Who gives up gets the reason, and the next one asks as if nothing had been.
func TestAnAnswerThatNobodyWaitsFor(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.lake.Spans(t, "a.parquet", testkit.Spans(1, 3)...)
	cold := f.pendingOf()
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("gave up")
	cancel(reason)
	if _, _, err := f.List(ctx, span.Filter{}, false, span.Key{}, 10, cold); !errors.Is(err, reason) && !errors.Is(err, context.Canceled) {
		t.Errorf("List() = %v", err)
	}
	f.answers(cold, 3, span.Seen{})
	if err := os.RemoveAll(f.lake.Root); err != nil {
		t.Fatal(err)
	}
	f.answers(cold, 0, span.Seen{Unread: 1})
}
