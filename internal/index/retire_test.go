package index

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// delete deletes a file of the lake as retention does: not if it has changed.
func (f *fixture) delete(file span.File) error {
	info, err := os.Stat(f.lake.Path(file.Path))
	switch {
	case missing(err):
		return nil
	case err != nil:
		return err
	case info.Size() != file.Size || info.ModTime().UnixMicro() != file.ModTime.UnixMicro():
		return nil
	}
	return os.Remove(f.lake.Path(file.Path))
}

// retire retires all that a policy lets go. It says how many files went.
func (f *fixture) retire(policy span.RetentionPolicy) (files int64) {
	f.t.Helper()
	for more := true; more; {
		done, err := f.Retire(f.t.Context(), policy, f.delete)
		if err != nil {
			f.t.Fatalf("Retire() = %v", err)
		}
		f.assertBacklog()
		more = done.More
		files += done.Files
	}
	return files
}

func (f *fixture) expiredPaths(policy span.RetentionPolicy) []string {
	f.t.Helper()
	files, err := f.Expired(f.t.Context(), policy)
	if err != nil {
		f.t.Fatal(err)
	}
	if files == nil {
		f.t.Error("Expired() = nil")
	}
	paths := []string{}
	for _, file := range files {
		paths = append(paths, file.Path)
	}
	return paths
}

// inPartition is the path of a file in the partition of a day.
func inPartition(day, name string) string {
	return fmt.Sprintf("service=svc/year=%s/month=%s/day=%s/%s.parquet", day[:4], day[5:7], day[8:], name)
}

// A file's age is that of its partition or, outside of partitions, that of its modification, in whole UTC days.
func TestWhatExpires(t *testing.T) {
	t.Parallel()
	day := func(text string) time.Time {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	f := newFixture(t)
	put := func(path, mtime string, sound bool) {
		t.Helper()
		if sound {
			f.putAt(path, f.soundFile(testkit.Spans(1, 3)...), day(mtime))
			return
		}
		f.putAt(path, make([]byte, 100), day(mtime))
	}
	oldest, old, young := inPartition("2026-03-01", "a"), inPartition("2026-03-09", "b"), inPartition("2026-03-10", "c")
	put(oldest, "2026-03-20T00:00:00Z", true) // its partition counts
	put(old, "2026-03-20T00:00:00Z", false)   // though it has failed
	put(young, "2020-01-01T00:00:00Z", true)
	put("plain.parquet", "2026-03-10T23:59:59Z", true)
	put("late.parquet", "2026-03-11T00:00:00Z", true)
	// What is no day is no partition.
	odd := []string{inPartition("2026-13-01", "d"), inPartition("2026-01-99", "e"), inPartition("2026-02-30", "f"), "xyear=2020/month=01/day=01/g.parquet",
		"year=2020/month=1/day=01/h.parquet", "year=2020/month=01/i.parquet", "year=20200/month=01/day=01/j.parquet", "day=01/month=01/year=2020/k.parquet",
		"year=abcd/month=01/day=01/l.parquet", "year=2020/month=01/day=01.parquet"}
	for _, path := range odd {
		put(path, "2026-03-11T12:00:00Z", false)
	}
	f.look(f.whole())
	f.work()
	nothing := []string{}
	all := append([]string{oldest, old, young, "plain.parquet", "late.parquet"}, slices.Sorted(slices.Values(odd))...)
	for _, tc := range []struct {
		now  string
		days int
		want []string
	}{
		{"2026-03-20T00:00:00Z", 0, nothing},
		{"2026-03-02T00:00:00Z", 1, nothing},
		{"2026-03-02T23:59:59Z", 1, nothing},
		{"2026-03-03T00:00:00Z", 1, []string{oldest}},
		{"2026-03-10T23:59:59Z", 1, []string{oldest}},
		{"2026-03-11T00:00:00Z", 1, []string{oldest, old}},
		{"2026-03-11T23:59:59Z", 1, []string{oldest, old}},
		{"2026-03-12T00:00:00Z", 1, []string{oldest, old, young, "plain.parquet"}},
		{"2026-03-13T00:00:00Z", 1, all},
		{"2026-03-13T01:00:00+02:00", 1, []string{oldest, old, young, "plain.parquet"}},
		{"2026-03-13T00:00:00Z", 30, nothing},
		{"2026-03-31T00:00:00Z", 29, []string{oldest}},
		{"2020-01-01T00:00:00Z", 1, nothing},
	} {
		f.now = func() time.Time { return day(tc.now) }
		if got := f.expiredPaths(span.RetentionPolicy{Days: tc.days}); !slices.Equal(got, tc.want) {
			t.Errorf("at %s, after %d days, Expired() = %q, want %q", tc.now, tc.days, got, tc.want)
		}
	}
	files, err := f.Expired(t.Context(), span.RetentionPolicy{Days: 1, Bytes: 1})
	if err != nil || len(files) != len(all) {
		t.Fatalf("Expired() = %+v, %v, want all", files, err)
	}
	for i, want := range []string{"2026-03-01T00:00:00Z", "2026-03-09T00:00:00Z", "2026-03-10T00:00:00Z", "2026-03-10T00:00:00Z", "2026-03-11T00:00:00Z"} {
		if got := files[i].Day.Format(time.RFC3339); got != want {
			t.Errorf("the day of %s is %s, want %s", files[i].Path, got, want)
		}
	}
	if files[0].RowCount != 3 || files[1].RowCount != 0 || files[1].SizeBytes != 100 {
		t.Errorf("Expired() = %+v", files[:2])
	}
}

// By size the oldest files go until the rest is small enough, and no more.
func TestWhatExpiresBySize(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	now := f.stopClock()
	var paths []string
	for i := range 5 {
		path := fmt.Sprintf("%d.parquet", i)
		paths = append(paths, path)
		f.putAt(path, make([]byte, 100), now.at.AddDate(0, 0, i-10)) // they have failed, and take space all the same
	}
	f.look(f.whole())
	f.work()
	for _, tc := range []struct {
		policy span.RetentionPolicy
		gone   int
	}{
		{span.RetentionPolicy{}, 0}, {span.RetentionPolicy{Bytes: 500}, 0}, {span.RetentionPolicy{Bytes: 499}, 1}, {span.RetentionPolicy{Bytes: 400}, 1},
		{span.RetentionPolicy{Bytes: 399}, 2}, {span.RetentionPolicy{Bytes: 100}, 4}, {span.RetentionPolicy{Bytes: 99}, 5}, {span.RetentionPolicy{Bytes: 1}, 5},
		{span.RetentionPolicy{Days: 8, Bytes: 1000}, 2}, {span.RetentionPolicy{Days: 8, Bytes: 200}, 3}, {span.RetentionPolicy{Days: 7, Bytes: 400}, 3},
	} {
		if got := f.expiredPaths(tc.policy); !slices.Equal(got, paths[:tc.gone]) {
			t.Errorf("%+v lets %q go, want %q", tc.policy, got, paths[:tc.gone])
		}
	}
}

// agedLake has one file a day, which repeat spans of each other, and a failed one. The index is complete.
func agedLake(t *testing.T, edits ...func(*Options)) (*fixture, *clock, []string) {
	t.Helper()
	f := newFixture(t, edits...)
	now := f.stopClock()
	var paths []string
	for i := range 6 {
		path := fmt.Sprintf("%d.parquet", i)
		paths = append(paths, path)
		f.putAt(path, f.soundFile(testkit.Spans(1+10*i, 15)...), now.at.AddDate(0, 0, i-10))
		if i == 1 {
			f.putAt(path, []byte("no Parquet"), now.at.AddDate(0, 0, i-10))
		}
		f.look(f.part(path)) // so that the older file has the span that both have
		f.work()
	}
	return f, now, paths
}

// What is retired is gone from the index and from the lake, and what it shared with younger files is not.
func TestRetire(t *testing.T) {
	t.Parallel()
	for _, batch := range []int{1, 2, 10} {
		t.Run(strconv.Itoa(batch), func(t *testing.T) {
			t.Parallel()
			f, _, paths := agedLake(t, batchSize(batch))
			before := f.number("SELECT count(*) FROM span_metadata")
			if before != 15+45 { // one alone, four in a row
				t.Fatalf("the index has %d spans", before)
			}
			if n := f.retire(span.RetentionPolicy{}); n != 0 {
				t.Errorf("a policy that keeps everything let %d files go", n)
			}
			if n := f.retire(span.RetentionPolicy{Days: 7}); n != 3 { // the day 7 days ago ended less than 7 days ago
				t.Errorf("Retire() let %d files go", n)
			}
			if got := f.indexed(); !slices.Equal(got, paths[3:]) {
				t.Errorf("the index has %q", got)
			}
			f.expectFailed(0)
			f.expectSpans(35)
			f.expect("SELECT file_path FROM retired_files")
			for i, path := range paths {
				if exists(f.lake.Path(path)) != (i >= 3) {
					t.Errorf("%s is in the wrong state", path)
				}
			}
			f.assertSound()
			if n := f.retire(span.RetentionPolicy{Days: 7}); n != 0 {
				t.Errorf("the second time %d files went", n)
			}
		})
	}
}

// reopenAs closes the index and opens it again, as the next process does.
func (f *fixture) reopenAs() {
	f.t.Helper()
	if err := f.Close(); err != nil {
		f.t.Fatal(err)
	}
	now := f.now
	x, err := Open(f.t.Context(), f.opts)
	if err != nil {
		f.t.Fatal(err)
	}
	f.Index = x
	f.now = now
	f.t.Cleanup(func() { _ = x.Close() }) // it is closed by the test that opens it once more
}

// Wherever a process dies while it retires files, what it leaves is right, and the next one completes it.
func TestRetireAfterACrash(t *testing.T) {
	t.Parallel()
	died := errors.New("died")
	for name, tc := range map[string]struct {
		// leave is what the process does with the one file when it dies.
		leave func(f *fixture, file span.File)
		// stays: the file is another one by now.
		stays bool
	}{
		"before it deletes":               {func(*fixture, span.File) {}, false},
		"after it deleted":                {func(f *fixture, file span.File) { f.lake.Remove(f.t, file.Path) }, false},
		"and the file is written again":   {func(f *fixture, file span.File) { f.lake.Spans(f.t, file.Path, testkit.Spans(500, 4)...) }, true},
		"and the file is touched":         {func(f *fixture, file span.File) { testkit.Touch(f.t, f.lake.Path(file.Path)) }, true},
		"and the file is damaged by then": {func(f *fixture, file span.File) { f.lake.Put(f.t, file.Path, []byte("no Parquet")) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, _, paths := agedLake(t)
			policy := span.RetentionPolicy{Days: 9}
			_, err := f.Retire(t.Context(), policy, func(file span.File) error { tc.leave(f, file); return died })
			if !errors.Is(err, died) {
				t.Fatalf("Retire() = %v", err)
			}
			f.reopenAs()
			f.expect("SELECT file_path FROM retired_files", paths[0])
			if got := f.indexed(); slices.Contains(got, paths[0]) {
				t.Errorf("the index still has %q", got)
			}
			if spans, err := f.TraceSpans(t.Context(), testkit.TraceID(1)); err != nil || len(spans) != 0 {
				t.Errorf("a retired trace has %v, %v", spans, err)
			}
			f.look(f.whole())
			sum, _ := f.work()
			if now := sum.FilesIndexed + sum.FilesFailed; (now == 1) != tc.stays {
				t.Errorf("Work() = %+v", sum)
			}
			f.assertSound()
			if tc.stays {
				f.now = time.Now().AddDate(-1, 0, 0).UTC // it is young
			}
			f.retire(policy)
			f.expect("SELECT file_path FROM retired_files")
			if exists(f.lake.Path(paths[0])) != tc.stays {
				t.Error("the file is in the wrong state")
			}
			f.look(f.whole())
			f.work()
			f.assertSound()
		})
	}
}

// A file that cannot be deleted stays noted, the others of its transaction go, and nothing more is taken out meanwhile.
func TestRetireWhenAFileCannotBeDeleted(t *testing.T) {
	t.Parallel()
	f, _, paths := agedLake(t, batchSize(2))
	refused := errors.New("refused")
	remove := func(file span.File) error {
		if file.Path == paths[0] {
			return refused
		}
		return f.delete(file)
	}
	for range 3 {
		if _, err := f.Retire(t.Context(), span.RetentionPolicy{Days: 1}, remove); !errors.Is(err, refused) {
			t.Errorf("Retire() = %v", err)
		}
		f.expect("SELECT file_path FROM retired_files", paths[0])
		if got := f.indexed(); !slices.Equal(got, paths[2:]) {
			t.Errorf("the index has %q", got)
		}
		if exists(f.lake.Path(paths[1])) {
			t.Error("the other file of the transaction is still there")
		}
		f.assertSound()
		f.look(f.whole())
		if b := f.Backlog(); b.Files != 0 || b.Gone != 0 {
			t.Errorf("Backlog() = %+v", b)
		}
	}
	f.retire(span.RetentionPolicy{Days: 1})
	f.expect("SELECT file_path FROM parquet_files")
	f.assertSound()
}

// A failed file that waits to be tried again is not tried once it is retired.
func TestARetiredFileIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t, limits(fewRows))
	now := f.stopClock()
	f.putAt("large.parquet", f.soundFile(testkit.Spans(1, 5)...), now.at.AddDate(0, 0, -10))
	f.look(f.whole())
	f.work()
	now.pass(firstRetry)
	f.look(f.whole())
	if b := f.Backlog(); b.Files != 1 {
		t.Fatalf("Backlog() = %+v", b)
	}
	f.opts.Limits = DefaultLimits()
	refused := errors.New("refused")
	if _, err := f.Retire(t.Context(), span.RetentionPolicy{Days: 1}, func(span.File) error { return refused }); !errors.Is(err, refused) {
		t.Fatalf("Retire() = %v", err)
	}
	f.work()
	f.expect("SELECT file_path FROM parquet_files")
	f.assertSound()
}

// A file that has changed since it was indexed is as young as it is now, and a file that is gone is no error.
func TestRetireLooksAtTheFilesAsTheyAre(t *testing.T) {
	t.Parallel()
	f, now, paths := agedLake(t, batchSize(1))
	fresh := f.soundFile(testkit.Spans(900, 5)...)
	f.putAt(paths[0], fresh, now.at)
	f.lake.Remove(t, paths[2])
	f.retire(span.RetentionPolicy{Days: 1})
	if !exists(f.lake.Path(paths[0])) {
		t.Fatal("a file that was written a moment ago has been deleted")
	}
	f.look(f.whole(), accept)
	f.work()
	f.expectSpans(5)
	f.assertSound()
	if n := f.retire(span.RetentionPolicy{Days: 1}); n != 0 {
		t.Errorf("Retire() let %d young files go", n)
	}
}

// Whatever a lake is like, retention by size keeps it within its bound, and what goes is older than all that stays.
func TestRetentionKeepsALakeWithinItsBound(t *testing.T) {
	t.Parallel()
	seed := randomSeed(t)
	for world := range uint64(4) {
		t.Run(strconv.FormatUint(world, 10), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, world))
			f := newFixture(t, batchSize(1+random.IntN(5)))
			now := f.stopClock()
			ages := make(map[string]string) // a text that sorts as the files are to go
			sizes := make(map[string]int64)
			for i := range 25 {
				at := now.at.AddDate(0, 0, -random.IntN(10)).Add(-time.Duration(random.IntN(3)) * time.Hour).UTC()
				path, day := fmt.Sprintf("%d.parquet", i), at.Format(time.DateOnly)
				if random.IntN(2) == 0 {
					day = now.at.AddDate(0, 0, -random.IntN(10)).UTC().Format(time.DateOnly)
					path = inPartition(day, strconv.Itoa(i))
				}
				content := f.soundFile(testkit.Spans(1+random.IntN(20), random.IntN(30))...)
				if random.IntN(5) == 0 {
					content = make([]byte, random.IntN(5000))
				}
				f.putAt(path, content, at)
				ages[path], sizes[path] = day+" "+at.Format(time.RFC3339Nano)+" "+path, int64(len(content))
			}
			f.look(f.whole())
			f.work()
			for _, bytes := range []int64{40_000, 20_000, 5_000, 1} {
				f.retire(span.RetentionPolicy{Bytes: bytes})
				f.assertSound()
				total, oldest, youngestGone := int64(0), "~", ""
				var next int64 // the size of the youngest file that went
				for path, age := range ages {
					if exists(f.lake.Path(path)) {
						total += sizes[path]
						oldest = min(oldest, age)
					} else if age > youngestGone {
						youngestGone, next = age, sizes[path]
					}
				}
				if total > bytes || youngestGone > oldest || youngestGone != "" && total+next <= bytes {
					t.Errorf("bound %d: %d bytes are left, the oldest %s; %s of %d bytes went", bytes, total, oldest, youngestGone, next)
				}
			}
		})
	}
}
