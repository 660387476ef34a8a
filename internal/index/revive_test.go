package index

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"github.com/spanlake/spanlake/internal/testkit"
)

// onLog is a log that calls a function for each record.
type onLog func(message string)

func (onLog) Enabled(context.Context, slog.Level) bool { return true }

func (l onLog) Handle(_ context.Context, r slog.Record) error { l(r.Message); return nil }

func (l onLog) WithAttrs([]slog.Attr) slog.Handler { return l }

func (l onLog) WithGroup(string) slog.Handler { return l }

// After an internal error DuckDB refuses all further work, and the index is opened again in the middle of a pass. The pass
// must not take the empty tables of the new connection for "nothing left to do".
func TestAPassGoesOnAfterTheIndexWasOpenedAgain(t *testing.T) {
	t.Parallel()
	var f *fixture
	revived := false
	f = newFixture(t, batchSize(1), func(o *Options) {
		o.Log = slog.New(onLog(func(message string) {
			if message != "cannot index a file" || revived {
				return
			}
			revived = true
			// A transaction that has failed refuses all further work as well: no internal error is known that could be provoked.
			for _, statement := range []string{"BEGIN", "INSERT INTO services VALUES (NULL, NULL, NULL, NULL)"} {
				_, _ = f.conn.ExecContext(t.Context(), statement)
			}
			old := f.db
			if err := f.revive(t.Context()); err != nil {
				t.Error(err)
			}
			if f.db == old {
				t.Error("the index was not opened again")
			}
		}))
	})
	for i := range 5 {
		f.lake.Spans(t, fmt.Sprintf("%d.parquet", i), testkit.Span(i, i))
	}
	f.lake.Put(t, "2-bad.parquet", []byte("no Parquet"))
	if summary := f.sync(); !revived || summary.FilesFound != 6 || summary.FilesIndexed+summary.FilesUnchanged != 5 {
		t.Errorf("Sync() = %+v", summary)
	}
	f.expectSpans(5)
}
