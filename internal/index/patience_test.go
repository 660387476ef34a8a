package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// Questions and the indexer together need more memory than there is, and yet each of them is answered, as if it were alone.
func TestAllGetTheirTurnWithLittleMemory(t *testing.T) {
	t.Parallel()
	const files, spans = 24, 300
	f := newFixture(t, batchSize(4), quiet, func(o *Options) { o.Memory = 40e6 }) // what a server has of --memory 256MB
	table := testkit.SpanTable(spans).With("service_name", "'s' || i % 5")
	for i := range files / 2 {
		name := fmt.Sprintf("%02d.parquet", i)
		f.lake.Table(t, name, table.With("trace_id", fmt.Sprintf("md5(((%d + i) // 7)::VARCHAR)", i*spans)))
		f.lake.Put(t, "again-"+name, f.lake.Read(t, name))
	}
	f.sync()
	const distinct = files / 2 * spans
	service := span.Filter{ServiceName: "s1"}
	questions := map[string]func(ctx context.Context) (int, error){
		"List": func(ctx context.Context) (int, error) {
			rows, _, err := f.List(ctx, span.Filter{}, false, span.Key{}, 10*distinct, span.Cold{})
			return len(rows), err
		},
		"TraceRows": func(ctx context.Context) (int, error) {
			matches, _, err := f.Matches(ctx, span.Filter{}, 0, span.Cold{})
			if err != nil {
				return 0, err
			}
			var ids []string
			for _, m := range matches {
				ids = append(ids, m.TraceID)
			}
			rows, _, err := f.TraceRows(ctx, ids, span.Cold{})
			return len(rows), err
		},
		"Export": func(ctx context.Context) (n int, err error) {
			_, err = f.Export(ctx, span.Filter{}, span.Cold{}, func(span.Span) error { n++; return nil })
			return n, err
		},
		"Whole": func(ctx context.Context) (int, error) {
			rows, _, err := f.List(ctx, service, false, span.Key{}, 10*distinct, span.Cold{})
			if err != nil {
				return 0, err
			}
			var refs []span.Ref
			for i := range rows {
				refs = append(refs, span.Ref{TraceID: rows[i].TraceID, SpanID: rows[i].SpanID, File: rows[i].File})
			}
			_, _, err = f.Whole(ctx, refs, 1<<30)
			if missing(err) {
				err = nil
			}
			return distinct, err
		},
		"Services": func(ctx context.Context) (n int, err error) {
			services, err := f.Services(ctx)
			for _, s := range services {
				n += int(s.TotalSpans)
			}
			return n, err
		},
	}
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	var asked atomic.Int64
	for name, ask := range questions {
		for range 2 {
			group.Go(func() {
				for ctx.Err() == nil && !t.Failed() {
					switch n, err := ask(ctx); {
					case ctx.Err() != nil:
					case err != nil:
						t.Errorf("%s: %v", name, err)
					case n != distinct:
						t.Errorf("%s has %d spans, want %d", name, n, distinct)
					default:
						asked.Add(1)
					}
				}
			})
		}
	}
	deadline := time.Now().Add(20 * time.Second)
	for round := 0; round < 3 || f.memory.waits.Load() == 0 && time.Now().Before(deadline); round++ {
		for i := range files / 2 {
			testkit.Touch(t, f.lake.Path(fmt.Sprintf("again-%02d.parquet", i)))
		}
		if summary, err := f.Sync(t.Context(), f.scan(), accepting()); err != nil || summary.FilesFailed > 0 || t.Failed() {
			t.Errorf("Sync() = %+v, %v", summary, err)
			break
		}
	}
	cancel()
	group.Wait()
	t.Logf("%d questions, %d times there was no memory", asked.Load(), f.memory.waits.Load())
	if f.memory.waits.Load() == 0 && !t.Failed() {
		t.Error("there was always memory: the test tests nothing")
	}
	f.sync()
}

// Whoever reads when DuckDB has stopped working waits until the database is open again, and has it opened if nobody else has.
func TestReadingGoesOnWhenTheDatabaseIsOpenAgain(t *testing.T) {
	t.Parallel()
	stopped := error(&duckdb.Error{Type: duckdb.ErrorTypeFatal, Msg: "database has been invalidated"})
	f := newFixture(t, quiet)
	var others sync.WaitGroup
	defer others.Wait()
	for name, mended := range map[string]bool{"by this reader": false, "by somebody else": true} {
		calls := 0
		err := f.reading(t.Context(), func(db *sql.DB) error {
			calls++
			if calls == 1 {
				if mended {
					others.Go(f.reopenNow)
				}
				return fmt.Errorf("count: %w", stopped)
			}
			return db.QueryRowContext(t.Context(), countFilesSQL).Scan(new(int64))
		})
		if err != nil || calls != 2 {
			t.Errorf("%s: reading() = %v after %d calls", name, err, calls)
		}
	}
	calls := 0
	err := f.reading(t.Context(), func(*sql.DB) error { calls++; return stopped })
	if !errors.Is(err, stopped) || calls != 2 {
		t.Errorf("reading() = %v after %d calls, want the error after 2", err, calls)
	}
}

// A connection whose transaction could not be ended is not given to the next one.
func TestAConnectionWithAFailedTransactionIsNotUsedAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t, quiet)
	before := f.db.Stats().OpenConnections
	_, err := f.answer(t.Context(), "test", span.Cold{}, func(ctx context.Context, s *snapshot) error {
		// Rollback will fail then, as it does for want of memory.
		_, err := s.conn.ExecContext(ctx, "ROLLBACK")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if after := f.db.Stats().OpenConnections; after != before {
		t.Errorf("there are %d connections, want %d", after, before)
	}
}

// Temporary tables that DuckDB cannot clean up are made anew, and nothing of the lake is forgotten.
func TestTemporaryTablesThatBrokeAreMadeAnew(t *testing.T) {
	t.Parallel()
	f := newFixture(t, batchSize(1), quiet)
	for i := range 4 {
		f.lake.Spans(t, fmt.Sprintf("%d.parquet", i), testkit.Span(i, i))
	}
	// No CHECKPOINT while the transaction has changes, as there is none for want of memory.
	broken := func() {
		for _, statement := range []string{"BEGIN", "INSERT INTO lake_scope VALUES ('x')"} {
			if _, err := f.conn.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
	}
	broken()
	f.look(f.whole())
	f.step()
	broken()
	if _, err := f.Work(t.Context(), WorkOptions{}); !errors.Is(err, ErrReopened) {
		t.Errorf("Work() = %v, want ErrReopened", err)
	}
	f.look(f.whole())
	f.work()
	f.expectSpans(4)
	f.sync()
}

// What the index has of a file that is too large to be gathered is asked for in the snapshot, or later if that has failed: then it is the
// same, or the export ends.
func TestOwnSpansOfAFileOutsideTheSnapshot(t *testing.T) {
	t.Parallel()
	f := newFixture(t, quiet)
	f.lake.Spans(t, "a.parquet", testkit.Spans(1, 10)...)
	f.sync()
	var id int32
	if err := f.conn.QueryRowContext(t.Context(), "SELECT file_id FROM parquet_files").Scan(&id); err != nil {
		t.Fatal(err)
	}
	e := exporter{index: f.Index, db: f.db}
	_, err := f.answer(t.Context(), "test", span.Cold{}, func(ctx context.Context, s *snapshot) error {
		for _, e.broken = range []bool{false, true} {
			for number := range int64(2) {
				other, err := e.own(ctx, s, id, 2, 1-number)
				if err != nil {
					return err
				}
				own, err := e.own(ctx, s, id, 2, number)
				if err != nil || len(own)+len(other) != 10 {
					t.Errorf("broken %v: parts of %d and %d spans, want 10 in all; %v", e.broken, len(own), len(other), err)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	testkit.Touch(t, f.lake.Path("a.parquet"))
	f.sync()
	if _, err := e.own(t.Context(), nil, id, 1, 0); !errors.Is(err, errReindexed) {
		t.Errorf("own() of a file that was indexed anew = %v, want errReindexed", err)
	}
}
