package index

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// expectPending checks what Pending tells.
func (f *fixture) expectPending(total int64, want ...string) {
	f.t.Helper()
	files, n := f.Pending()
	var got []string
	for _, file := range files {
		got = append(got, file.Path)
	}
	if !slices.Equal(got, want) || n != total {
		f.t.Errorf("Pending() = %q, %d, want %q, %d", got, n, want, total)
	}
}

// A file is pending from when it was noticed until a transaction with it was committed, however often that fails.
func TestFilesArePendingUntilTheyAreCommitted(t *testing.T) {
	t.Parallel()
	f := newFixture(t, batchSize(2))
	f.expectPending(0)
	for i := range 5 {
		f.lake.Spans(t, fmt.Sprintf("%d.parquet", i), testkit.Spans(10*i, 3)...)
	}
	f.expectPending(0)
	f.look(f.whole())
	f.expectPending(5, "4.parquet", "3.parquet", "2.parquet", "1.parquet", "0.parquet")
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := f.Work(ctx, WorkOptions{Starting: func([]string) { cancel() }}); !errors.Is(err, context.Canceled) {
		t.Fatalf("Work() = %v", err)
	}
	f.expectPending(5, "4.parquet", "3.parquet", "2.parquet", "1.parquet", "0.parquet")
	f.step(func(o *WorkOptions) {
		o.Starting = func([]string) {
			f.expectPending(5, "4.parquet", "3.parquet", "2.parquet", "1.parquet", "0.parquet")
		}
	})
	f.expectPending(3, "2.parquet", "1.parquet", "0.parquet")
	// What comes meanwhile goes first, what is gone is not pending, and what failed is not.
	f.lake.Spans(t, "new.parquet", testkit.Spans(100, 3)...)
	f.lake.Put(t, "bad.parquet", []byte("hello"))
	f.lake.Remove(t, "4.parquet")
	f.look(f.part("new.parquet", "bad.parquet", "4.parquet"))
	f.expectPending(5, "bad.parquet", "new.parquet", "2.parquet", "1.parquet", "0.parquet")
	f.step() // the one that is gone
	f.step()
	f.expectPending(3, "2.parquet", "1.parquet", "0.parquet")
	f.work()
	f.expectPending(0)
	f.look(f.whole())
	f.expectPending(0)
}

// A file that is still being written is pending until it is whole.
func TestUnfinishedFilesArePending(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	now := time.Now()
	f.now = func() time.Time { return now }
	f.lake.Spans(t, "a.parquet", testkit.Spans(1, 3)...)
	content := f.lake.Read(t, "a.parquet")
	f.lake.Put(t, "a.parquet", content[:100])
	settle := func(o *WorkOptions) { o.Settle = time.Hour }
	if err := os.Chtimes(f.lake.Path("a.parquet"), now, now); err != nil {
		t.Fatal(err)
	}
	f.look(f.whole())
	f.expectPending(1, "a.parquet")
	f.step(settle)
	f.expectPending(1, "a.parquet")
	f.look(f.whole()) // too early to look into it again
	f.expectPending(1, "a.parquet")
	f.step(settle)
	f.expectPending(1, "a.parquet")
	now = now.Add(time.Minute)
	f.look(f.whole())
	f.expectPending(1, "a.parquet")
	f.lake.Put(t, "a.parquet", content)
	f.look(f.whole())
	f.step(settle)
	f.expectPending(0)
	f.expectSpans(3)
}

// The newest files are told, whatever is taken out of a long backlog, and the number of all of them.
func TestOnlyTheNewestPendingFilesAreTold(t *testing.T) {
	t.Parallel()
	f := newFixture(t, batchSize(100))
	f.lake.Put(t, "nothing.txt", nil)
	const n = queueLength + 150
	var files []span.File
	for i := range n {
		files = append(files, span.File{Path: fmt.Sprintf("%04d.parquet", i), Size: 1, ModTime: testkit.Start.Add(time.Duration(i) * time.Second)})
	}
	f.look(span.WholeLake(listing(files...)))
	for left := n; left > 0; left -= 100 { // none of them is there
		newest, total := f.Pending()
		if total != int64(left) || len(newest) != min(left, listedPending) || newest[0].Path != fmt.Sprintf("%04d.parquet", left-1) ||
			newest[len(newest)-1].Path != fmt.Sprintf("%04d.parquet", max(left-listedPending, 0)) {
			t.Fatalf("Pending() = %d from %+v, %d in all, want %d", len(newest), newest[0], total, left)
		}
		f.step()
	}
	f.expectPending(0)
}

// Without a server the lake is compared with an index that nobody may write to.
func TestUnindexedFiles(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for i := range 3 {
		f.lake.Spans(t, fmt.Sprintf("%d.parquet", i), testkit.Spans(10*i, 3)...)
	}
	f.lake.Put(t, "bad.parquet", []byte("hello"))
	f.lake.Put(t, "bad and changed.parquet", []byte("hello"))
	f.sync()
	expect := func(total int64, want ...string) {
		t.Helper()
		files, n, err := f.Unindexed(t.Context(), span.WholeLake(f.scan()))
		var got []string
		for _, file := range files {
			got = append(got, file.Path)
		}
		if err != nil || n != total || !slices.Equal(got, want) {
			t.Errorf("Unindexed() = %q, %d, %v, want %q", got, n, err, want)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	o := f.opts
	o.ReadOnly = true
	reader, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	f.Index = reader
	expect(0)
	f.lake.Spans(t, "new.parquet", testkit.Spans(100, 3)...)
	f.lake.Put(t, "bad and changed.parquet", []byte("hello, too"))
	testkit.Touch(t, f.lake.Path("1.parquet"))
	f.lake.Remove(t, "2.parquet")
	expect(3, "1.parquet", "bad and changed.parquet", "new.parquet")
	// They are read beside the index, but for the one that is indexed as it was.
	files, _, err := f.Unindexed(t.Context(), span.WholeLake(f.scan()))
	if err != nil {
		t.Fatal(err)
	}
	f.answers(span.Cold{Pending: files}, 12, span.Seen{Unread: 2})

	absent := span.Listing{Files: func(yield func(span.File, error) bool) {
		yield(span.File{}, &span.ScanError{Path: ".", Err: fs.ErrNotExist})
	}}
	if files, n, err := f.Unindexed(t.Context(), absent); err != nil || n != 0 || len(files) != 0 {
		t.Errorf("Unindexed() of no lake = %v, %d, %v", files, n, err)
	}
	broken := span.Listing{Files: func(yield func(span.File, error) bool) {
		yield(span.File{}, &span.ScanError{Path: ".", Err: fs.ErrPermission})
	}}
	if _, _, err := f.Unindexed(t.Context(), broken); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Unindexed() of a lake that cannot be read = %v", err)
	}
}

// More files than one comparison takes are compared, and the newest of all of them told.
func TestManyUnindexedFiles(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var files []span.File
	for i := range 2*filesAtOnce + 5 {
		files = append(files, span.File{Path: fmt.Sprintf("%d.parquet", i), Size: 1, ModTime: testkit.Start.Add(-time.Duration(i) * time.Second)})
	}
	slices.Reverse(files)
	newest, total, err := f.Unindexed(t.Context(), span.WholeLake(listing(files...)))
	if err != nil || total != int64(len(files)) || len(newest) != listedPending || newest[0].Path != "0.parquet" || newest[199].Path != "199.parquet" {
		t.Errorf("Unindexed() = %d from %+v, %d in all, %v", len(newest), newest[:min(len(newest), 1)], total, err)
	}
}
