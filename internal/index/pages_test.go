package index

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/spanlake/spanlake/internal/lake"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// Whoever goes through the pages of a listing, just after the index was opened, sees each span once, while files are indexed anew.
func TestPagesWhileFilesAreIndexedAnew(t *testing.T) {
	t.Parallel()
	const files, spans, rounds = 12, 300, 6
	l := testkit.NewLake(t)
	for i := range files {
		l.Table(t, fmt.Sprintf("%02d.parquet", i), testkit.SpanTable(spans).With("service_name", "'s' || i % 2").
			With("trace_id", fmt.Sprintf("md5((%d + i)::VARCHAR)", i*spans)).With("parent_span_id", "''"))
	}
	o := builtIndex(t, l)
	for round := range rounds {
		x, err := Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		var group sync.WaitGroup
		for reader := range 4 {
			group.Go(func() {
				for {
					if got, err := countByPages(t.Context(), x, 50+37*reader); err != nil || got != files*spans/2 {
						t.Errorf("round %d: the pages have %d spans, want %d; %v", round, got, files*spans/2, err)
					}
					select {
					case <-done:
						return
					default:
					}
				}
			})
		}
		for i := range 3 {
			testkit.Touch(t, l.Path(fmt.Sprintf("%02d.parquet", (round*3+i)%files)))
			if _, err := x.Sync(t.Context(), lake.Scan(t.Context(), l.Root), accepting()); err != nil {
				t.Error(err)
			}
		}
		close(done)
		group.Wait()
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	}
}

func countByPages(ctx context.Context, x *Index, limit int) (n int, err error) {
	var after span.Key
	for {
		rows, _, err := x.List(ctx, span.Filter{ServiceName: "s1"}, true, after, limit, span.Cold{})
		n += len(rows)
		if err != nil || len(rows) < limit {
			return n, err
		}
		after = rows[len(rows)-1].Key()
	}
}

// The optimizer of DuckDB that lost rows stays off, also where the race that shows it is rare.
func TestTheOptimizerThatLosesRowsIsOff(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.expect("SELECT current_setting('disabled_optimizers')", "row_group_pruner")
}
