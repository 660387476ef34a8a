package index

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// followed verifies an index that follows its lake.
func (f *fixture) followed(listing iter.Seq2[span.File, error]) (found []span.Difference) {
	f.t.Helper()
	if _, err := f.Verify(f.t.Context(), listing, VerifyOptions{Following: true}, func(d span.Difference) { found = append(found, d) }); err != nil {
		f.t.Fatalf("Verify() = %v", err)
	}
	f.assertBacklog()
	return found
}

// What an index that follows its lake knows to be still to do is no difference, whatever else is.
func TestVerifyWhileFollowing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, batchSize(1), limits(fewRows))
	now := f.stopClock()
	for i := range 8 {
		f.putAt(fmt.Sprintf("%d.parquet", i), f.soundFile(testkit.Spans(1+2*i, 3)...), now.at.Add(time.Duration(i-100)*time.Hour))
	}
	f.putAt("large.parquet", f.soundFile(testkit.Spans(1, 9)...), now.at.Add(-200*time.Hour))
	f.look(f.whole())
	f.step() // the others wait in the queue
	silent := func(when string) {
		t.Helper()
		if found := f.followed(f.scan()); len(found) != 0 {
			t.Errorf("%s Verify() finds %+v", when, found)
		}
	}
	silent("with a backlog")
	f.work(settling)
	silent("with a failed file")
	f.lake.Spans(t, "new.parquet", testkit.Span(100, 100))
	testkit.Touch(t, f.lake.Path("1.parquet"))
	f.lake.Remove(t, "2.parquet")
	f.putAt("3.parquet", []byte("PAR1"), now.at)
	silent("with news")
	if b := f.Backlog(); b.Files != 3 || b.Gone != 1 {
		t.Errorf("Backlog() = %+v, want what Verify has found", b)
	}
	f.work(settling)
	f.expectUnfinished(1)
	silent("with an unfinished file")
	now.pass(lastLook)
	silent("with an unfinished file whose time has come")
	f.lake.Remove(t, "large.parquet")
	silent("with a failed file that is gone")

	f.exec("DELETE FROM span_metadata WHERE trace_id = ?", testkit.TraceID(9))
	found := f.followed(f.scan())
	checks := make(map[string]bool)
	for _, d := range found {
		checks[d.Check] = true
	}
	if !checks["rows"] || !checks["services"] || !checks["lookup"] || checks["lake"] || checks["failed"] {
		t.Errorf("Verify() finds %+v, want the lost span and nothing else", found)
	}
}

// A file that its writer replaces after it was listed, or takes away, is news and no damage.
func TestVerifyOfAFileThatChangesMeanwhile(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*fixture){
		"replaced":  func(f *fixture) { f.lake.Spans(f.t, "a.parquet", testkit.Spans(1, 50)...) },
		"damaged":   func(f *fixture) { f.lake.Put(f.t, "a.parquet", []byte("PAR1")) },
		"removed":   func(f *fixture) { f.lake.Remove(f.t, "a.parquet") },
		"a folder":  func(f *fixture) { f.lake.Remove(f.t, "a.parquet"); f.lake.Put(f.t, "a.parquet/x", nil) },
		"all of it": func(f *fixture) { f.lake.Remove(f.t, ".") },
	} {
		for _, following := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, following: %t", name, following), func(t *testing.T) {
				t.Parallel()
				f := newFixture(t)
				f.lake.Spans(t, "a.parquet", testkit.Spans(1, 5)...)
				f.lake.Spans(t, "b.parquet", testkit.Spans(11, 5)...)
				f.sync()
				listed := slices.Collect(onlyFiles(f.scan()))
				change(f)
				_, err := f.Verify(t.Context(), listing(listed...), VerifyOptions{Following: following}, func(d span.Difference) { t.Errorf("Verify() finds %+v", d) })
				if err != nil {
					t.Errorf("Verify() = %v", err)
				}
			})
		}
	}
}

// Verify and Work do not disturb each other: what is compared is as it was at one moment.
func TestVerifyWhileFilesAreIndexed(t *testing.T) {
	t.Parallel()
	f := openFixture(t, smallLake(t, 40), batchSize(1), quiet)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	f.look(f.whole())
	go func() {
		random := rand.New(rand.NewPCG(1, 2))
		for {
			step, err := f.Work(ctx, WorkOptions{Settle: testSettle})
			for err == nil && !step.More {
				testkit.Touch(t, f.lake.Path(fmt.Sprintf("%03d.parquet", random.IntN(40))))
				if _, err = f.Look(ctx, f.whole(), LookOptions{}); err == nil {
					step, err = f.Work(ctx, WorkOptions{Settle: testSettle})
				}
			}
			if err != nil {
				ended <- err
				return
			}
		}
	}()
	for range 8 {
		if _, err := f.Verify(t.Context(), f.scan(), VerifyOptions{Following: true}, func(d span.Difference) { t.Errorf("Verify() finds %+v", d) }); err != nil {
			t.Errorf("Verify() = %v", err)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Work() = %v", err)
	}
	f.sync()
}

// follower is a world in which everything happens that can happen to an index that follows its lake.
type follower struct {
	*fixture
	random *rand.Rand
	model  *model
	now    *clock
	log    []string
}

func (w *follower) say(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf(format, args...))
}

// places are some of the folders and files, or all.
func (w *follower) places() []string {
	var some []string
	for _, place := range []string{".", "day=0", "day=1", "day=0/0.parquet", "day=1/3.parquet", "day=0/4.parquet"} {
		if w.random.IntN(2) == 0 {
			some = append(some, place)
		}
	}
	return some
}

// event is one thing that happens.
func (w *follower) event() {
	t := w.t
	t.Helper()
	switch w.random.IntN(14) {
	case 0, 1, 2, 3:
		w.say("%s", w.model.step(t.(*testing.T), w.lake))
	case 4, 5:
		places := w.places()
		w.say("look at %q: %+v", places, w.look(w.part(places...), accept))
	case 6:
		w.say("look at all: %+v", w.look(w.whole(), accept))
	case 7, 8, 9:
		w.say("step: %+v", w.step(settling).Summary)
	case 10:
		ctx, cancel := context.WithCancel(t.Context())
		_, err := w.Work(ctx, WorkOptions{Settle: testSettle, Starting: func([]string) { cancel() }})
		cancel()
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("Work() = %v", err)
		}
		w.assertBacklog()
		w.say("a step that fails: %v", err)
	case 11:
		paths, _ := w.due()
		w.say("look at what is due, %q: %+v", paths, w.look(w.part(paths...), accept))
	case 12:
		w.now.pass(time.Duration(w.random.Int64N(int64(testSettle))))
		w.say("time passes")
	case 13:
		if _, err := w.RetryAll(t.Context()); err != nil {
			t.Errorf("RetryAll() = %v", err)
		}
		w.say("retry all")
	}
}

// Whatever happens in whatever order, nothing is lost, the backlog is counted right, and in the end the index is what the lake
// holds.
func TestWhateverHappensWhileFollowing(t *testing.T) {
	t.Parallel()
	seed := randomSeed(t)
	for world := range uint64(6) {
		t.Run(strconv.FormatUint(world, 10), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, world))
			w := &follower{fixture: newFixture(t, batchSize(1+random.IntN(4)), quiet), random: random,
				model: &model{random: random, files: make(map[string][]span.Span), damaged: make(map[string]bool)}}
			w.now = w.stopClock()
			// Files are written now, as the clock has it: the ones without a footer are waited for.
			w.now.at = testkit.Start.Add(time.Duration(random.IntN(3600)) * time.Second)
			// So many stay that those which go are never withheld.
			for i := range 11 {
				path := fmt.Sprintf("stays/%d.parquet", i)
				w.lake.Spans(t, path)
				w.model.files[path] = nil
			}
			w.look(w.whole())
			w.work()
			for range 15 {
				for range 8 {
					w.event()
				}
				if found := w.followed(w.scan()); len(found) != 0 {
					t.Errorf("Verify() finds %+v", found)
				}
				if t.Failed() {
					t.Fatalf("after these events with batches of %d:\n%s", w.opts.BatchSize, strings.Join(w.log, "\n"))
				}
			}
			w.look(w.whole(), accept)
			w.work()
			w.now.pass(time.Hour)
			w.look(w.whole(), accept)
			w.work()
			w.expectUnfinished(0)
			w.expectFailed(len(w.model.damaged))
			got, want := w.column(modelSQL), w.model.distinct()
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("the index has %d spans, the lake %d", len(got), len(want))
			}
			w.assertSound()
			if t.Failed() {
				t.Fatalf("after these events with batches of %d:\n%s", w.opts.BatchSize, strings.Join(w.log, "\n"))
			}
		})
	}
}
