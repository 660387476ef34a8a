package index

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

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
	var cancel context.CancelFunc
	for name, tc := range map[string]struct {
		list func(yield func(span.File, error) bool)
		want error
	}{
		"an error": {func(yield func(span.File, error) bool) { yield(span.File{}, broken) }, broken},
		"an error later": {func(yield func(span.File, error) bool) {
			_ = yield(span.File{Path: "x"}, nil) && yield(span.File{}, broken)
		}, broken},
		"it was cancelled": {func(yield func(span.File, error) bool) { yield(span.File{Path: "x"}, nil); cancel() }, context.Canceled},
	} {
		for _, whole := range []bool{true, false} {
			var ctx context.Context
			ctx, cancel = context.WithCancel(t.Context())
			_, err := f.Look(ctx, span.Listing{Files: tc.list, Whole: whole, Scope: func() []string { return []string{"."} }}, LookOptions{})
			cancel()
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
