package index

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// readers read all that can be read, again and again, until done is closed. Any error but allowed ones fails the test.
func (f *fixture) readers(ctx context.Context, done <-chan struct{}, allowed ...error) (wait func() (reads int64)) {
	var group sync.WaitGroup
	var count atomic.Int64
	ignore := func([]string) error { return nil }
	for name, read := range map[string]func() error{
		"Services":   func() error { _, err := f.Services(ctx); return err },
		"Files":      func() error { _, err := f.Files(ctx, 10); return err },
		"Failed":     func() error { _, err := f.Failed(ctx); return err },
		"TraceSpans": func() error { _, err := f.TraceSpans(ctx, testkit.TraceID(3)); return err },
		"Size":       func() error { _, err := f.Size(ctx); return err },
		"Totals":     func() error { _, err := f.Totals(ctx); return err },
		"Backlog":    func() error { _ = f.Backlog(); return nil },
		"Expired":    func() error { _, err := f.Expired(ctx, span.RetentionPolicy{Bytes: 1}); return err },
		"Select": func() error {
			rows := 0
			return f.Select(ctx, "SELECT * FROM span_metadata", span.FormJSON, ignore, func([]*string) error { rows++; return nil })
		},
	} {
		group.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				err := read()
				count.Add(1)
				fine := err == nil
				for _, a := range allowed {
					fine = fine || errors.Is(err, a)
				}
				if !fine {
					f.t.Errorf("%s = %v", name, err)
					return
				}
			}
		})
	}
	return func() int64 { group.Wait(); return count.Load() }
}

// smallLake has files that repeat spans of each other.
func smallLake(t *testing.T, files int) testkit.Lake {
	t.Helper()
	l := testkit.NewLake(t)
	for i := range files {
		l.Spans(t, fmt.Sprintf("%03d.parquet", i), testkit.Spans(1+8*i, 10)...)
	}
	return l
}

// Who reads sees whole transactions, and nobody who indexes disturbs it.
func TestReadersWhileFilesAreIndexed(t *testing.T) {
	t.Parallel()
	f := openFixture(t, smallLake(t, 30), batchSize(3), quiet)
	done := make(chan struct{})
	wait := f.readers(t.Context(), done)
	for range 2 {
		for range 3 {
			f.look(f.whole())
			f.work()
			for i := range 5 {
				testkit.Touch(t, f.lake.Path(fmt.Sprintf("%03d.parquet", 6*i)))
			}
		}
		f.retire(span.RetentionPolicy{Bytes: 100_000})
	}
	close(done)
	t.Logf("%d reads", wait())
	f.look(f.whole(), accept)
	f.work()
	f.assertSound()
}

// While the database is opened again, readers wait or hear that it is not open.
func TestReadersWhileTheIndexIsOpenedAgain(t *testing.T) {
	t.Parallel()
	f := openFixture(t, smallLake(t, 12), batchSize(1), quiet)
	done := make(chan struct{})
	wait := f.readers(t.Context(), done, ErrClosed)
	for range 5 {
		f.look(f.whole())
		f.step()
		f.reopenNow()
		if _, err := f.Work(t.Context(), WorkOptions{}); !errors.Is(err, ErrReopened) {
			t.Errorf("Work() = %v, want ErrReopened", err)
		}
	}
	close(done)
	t.Logf("%d reads", wait())
	f.sync()
}

// An index that is closed answers nobody any more, neither readers nor writers, and is free for the next process.
func TestEverybodyWhileTheIndexIsClosed(t *testing.T) {
	t.Parallel()
	f := openFixture(t, smallLake(t, 12), batchSize(1), quiet)
	f.look(f.whole())
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	wait := f.readers(ctx, done, ErrClosed, context.Canceled)
	stopped := make(chan error, 1)
	started := make(chan struct{})
	go func() {
		var once sync.Once
		for {
			if _, err := f.Work(ctx, WorkOptions{Starting: func([]string) { once.Do(func() { close(started) }) }}); err != nil {
				stopped <- err
				return
			}
		}
	}()
	<-started
	if err := f.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
	if err := <-stopped; !errors.Is(err, ErrClosed) {
		t.Errorf("Work() = %v, want ErrClosed", err)
	}
	for name, write := range map[string]func() error{
		"Look":   func() error { _, err := f.Look(ctx, f.whole(), LookOptions{}); return err },
		"Retry":  func() error { return f.Retry(ctx, "x") },
		"Due":    func() error { _, _, err := f.Due(ctx); return err },
		"Retire": func() error { _, err := f.Retire(ctx, span.RetentionPolicy{Bytes: 1}, f.delete); return err },
		"Verify": func() error { _, err := f.Verify(ctx, f.scan(), VerifyOptions{}, func(span.Difference) {}); return err },
		"Sync":   func() error { _, err := f.Sync(ctx, f.scan(), SyncOptions{}); return err },
	} {
		if err := write(); !errors.Is(err, ErrClosed) {
			t.Errorf("%s after Close = %v, want ErrClosed", name, err)
		}
	}
	close(done)
	wait()
	if err := f.Close(); err != nil {
		t.Errorf("the second Close() = %v", err)
	}
	f.reopenAs() // nobody holds it
	f.sync()
}

// longRead is somebody who began to read and has not ended.
type longRead func(f *fixture) (end func())

// aTransaction sees the index as it was when it began, and says so at the end.
func aTransaction(f *fixture) func() {
	reader, err := f.db.BeginTx(f.t.Context(), nil)
	if err != nil {
		f.t.Fatal(err)
	}
	count := func() (n int) {
		if err := reader.QueryRowContext(f.t.Context(), "SELECT count(*) FROM span_metadata").Scan(&n); err != nil {
			f.t.Error(err)
		}
		return n
	}
	before := count()
	return func() {
		if after := count(); after != before {
			f.t.Errorf("the reader saw %d spans, then %d", before, after)
		}
		if err := reader.Rollback(); err != nil {
			f.t.Error(err)
		}
	}
}

// aSlowSelect takes its first row and then waits.
func aSlowSelect(f *fixture) func() {
	started, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		var once sync.Once
		rows := 0
		err := f.Select(f.t.Context(), "SELECT * FROM span_metadata", span.FormText, func([]string) error { return nil }, func([]*string) error {
			once.Do(func() { close(started); <-goOn })
			rows++
			return nil
		})
		if want := logFiles * logRows; err != nil || rows != want {
			f.t.Errorf("Select() = %v after %d rows, want %d", err, rows, want)
		}
	}()
	<-started
	return func() { close(goOn); <-ended }
}

const logFiles, logRows = 10, 3000

// The write-ahead log is what a crash leaves to be read again. A commit that finds it longer than 16 MB writes it into the
// database, also while somebody looks at the past, unless rows that he still sees have been deleted: then it grows by all
// that is written until he ends, and the next commit writes it. (Measured: 16 MB, and 80 MB after 200 batches of 3,000 rows.)
// What a query returns is in memory before its first row is handed out, so a slow reader of rows does not look at the past.
func TestTheLogWhileSomebodyReads(t *testing.T) {
	if testing.Short() {
		t.Skip("indexes 800 batches")
	}
	t.Parallel()
	const batches, bound = 200, 32 << 20
	for name, tc := range map[string]struct {
		read    longRead
		rewrite bool // files are indexed again, which deletes rows
		grows   bool
	}{
		"a slow select, new files":            {aSlowSelect, false, false},
		"a slow select, rewritten files":      {aSlowSelect, true, false},
		"a long transaction, new files":       {aTransaction, false, false},
		"a long transaction, rewritten files": {aTransaction, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, batchSize(1), quiet)
			table := func(i int) *testkit.Table {
				return testkit.SpanTable(logRows).With("trace_id", fmt.Sprintf("printf('%%032x', %d + i // 4)", 1+i*1_000_000)).
					With("start_time", fmt.Sprintf("TIMESTAMPTZ '2026-01-01' + to_seconds(%d + i)", i*100_000)).With("end_time", "NULL::TIMESTAMPTZ")
			}
			for i := range logFiles {
				f.lake.Table(t, fmt.Sprintf("%d.parquet", i), table(i))
			}
			f.look(f.whole())
			f.work()
			end := tc.read(f)
			longest, written, last := int64(0), int64(0), int64(0)
			measure := func() int64 {
				t.Helper()
				size, err := f.Size(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				longest, last, written = max(longest, size.WALBytes), size.WALBytes, written+max(size.WALBytes-last, 0)
				return last
			}
			for i := range batches {
				path := fmt.Sprintf("%d.parquet", logFiles+i)
				if tc.rewrite {
					path = fmt.Sprintf("%d.parquet", i%logFiles)
					testkit.Touch(t, f.lake.Path(path))
				} else {
					f.lake.Table(t, path, table(logFiles+i))
				}
				f.look(f.part(path))
				f.work()
				measure()
			}
			t.Logf("%d MB were written to the log, which was %d MB at most", written>>20, longest>>20)
			if (longest > bound) != tc.grows || written < 2*bound {
				t.Errorf("%d MB were written to the log, which was %d MB at most", written>>20, longest>>20)
			}
			end()
			testkit.Touch(t, f.lake.Path("0.parquet"))
			f.look(f.part("0.parquet"))
			f.work()
			if after := measure(); after > bound || tc.grows && after > 0 {
				t.Errorf("after the reader has ended the log is %d MB long", after>>20)
			}
			f.assertSound()
		})
	}
}

// An index that follows its lake for long does not grow: what a look and a step leave in temporary tables is given free.
func TestFollowingForLongTakesNoMemory(t *testing.T) {
	t.Parallel()
	f := newFixture(t, batchSize(1), quiet)
	f.lake.Table(t, "a.parquet", testkit.SpanTable(20_000).With("trace_id", "md5(i::VARCHAR)"))
	temporary := func() (n int64) {
		t.Helper()
		testkit.Touch(t, f.lake.Path("a.parquet"))
		f.look(f.whole())
		f.work()
		f.exec("CHECKPOINT") // else what is in the log is in memory as well
		if err := f.conn.QueryRowContext(t.Context(), `SELECT CAST(memory_usage_bytes AS BIGINT) FROM duckdb_memory() WHERE tag = 'IN_MEMORY_TABLE'`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	early := max(temporary(), temporary())
	late := int64(0)
	for range 20 {
		late = temporary()
	}
	if late > 2*early {
		t.Errorf("temporary tables took %d KB at first and %d KB after 20 more steps", early>>10, late>>10)
	}
}
