package index

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"io"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/spanlake/spanlake/internal/lake"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// childEnv makes the test binary play another process: see child_test.go.
const childEnv = "SPANLAKE_TEST_CHILD"

func TestMain(m *testing.M) {
	if role := os.Getenv(childEnv); role != "" {
		os.Exit(runChild(role))
	}
	// Each check asks real files, for tenths of a second; -rapid.checks asks for more of them.
	if err := flag.Set("rapid.checks", "10"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// fixture is a lake with an open index.
type fixture struct {
	*Index
	t    testing.TB
	lake testkit.Lake
	logs *strings.Builder
}

// newFixture opens a new index over an empty lake.
func newFixture(t testing.TB, edits ...func(*Options)) *fixture {
	t.Helper()
	return openFixture(t, testkit.NewLake(t), edits...)
}

// openFixture opens a new index over a lake.
func openFixture(t testing.TB, l testkit.Lake, edits ...func(*Options)) *fixture {
	t.Helper()
	f := &fixture{t: t, lake: l, logs: &strings.Builder{}}
	o := testOptions(t, l, edits...)
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(f.logs, nil))
	}
	if err := os.MkdirAll(filepath.Dir(o.Path), 0o755); err != nil {
		t.Fatal(err)
	}
	// A copy of an empty index is there sooner than a new one.
	if err := os.WriteFile(o.Path, emptyIndex(), 0o644); err != nil {
		t.Fatal(err)
	}
	x, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	f.Index = x
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func testOptions(t testing.TB, l testkit.Lake, edits ...func(*Options)) Options {
	t.Helper()
	o := Options{
		Path: filepath.Join(t.TempDir(), "index", "test.duckdb"), Lake: l.Root, Memory: 200 << 20, Threads: 1, BatchSize: 10,
		Limits: DefaultLimits(),
	}
	for _, edit := range edits {
		edit(&o)
	}
	return o
}

func quiet(o *Options)                         { o.Log = slog.New(slog.NewTextHandler(io.Discard, nil)) }
func batchSize(n int) func(*Options)           { return func(o *Options) { o.BatchSize = n } }
func limits(edit func(*Limits)) func(*Options) { return func(o *Options) { edit(&o.Limits) } }

// accepting is for lakes so small that one file is half of them.
func accepting() SyncOptions { return SyncOptions{LookOptions: LookOptions{AcceptMissing: true}} }

// sync makes a pass over the lake that must succeed, and checks that the index is sound afterwards.
func (f *fixture) sync() span.Summary { f.t.Helper(); return f.syncWith(accepting()) }

func (f *fixture) syncWith(o SyncOptions) span.Summary {
	f.t.Helper()
	summary, err := f.Sync(f.t.Context(), lake.Scan(f.t.Context(), f.lake.Root), o)
	if err != nil {
		f.t.Fatalf("Sync() = %v", err)
	}
	if got := summary.FilesIndexed + summary.FilesUnchanged + summary.FilesFailed; got != summary.FilesFound {
		f.t.Errorf("Sync() counts %d files indexed, %d unchanged, %d failed, but %d found",
			summary.FilesIndexed, summary.FilesUnchanged, summary.FilesFailed, summary.FilesFound)
	}
	if !o.KeepMissing {
		f.assertSound()
	}
	return summary
}

// assertSound checks what must hold at every commit.
func (f *fixture) assertSound() {
	f.t.Helper()
	for _, d := range f.differences() {
		f.t.Errorf("Verify(): %s: %s %s", d.Check, d.Subject, d.Problem)
	}
	spans, total := f.number("SELECT count(*) FROM span_metadata"), f.number("SELECT coalesce(sum(total_spans), 0)::BIGINT FROM services")
	if spans != total {
		f.t.Errorf("span_metadata has %d rows, services counts %d spans", spans, total)
	}
}

func (f *fixture) differences() []span.Difference {
	f.t.Helper()
	var all []span.Difference
	count, err := f.Verify(f.t.Context(), lake.Scan(f.t.Context(), f.lake.Root), VerifyOptions{}, func(d span.Difference) { all = append(all, d) })
	if err != nil {
		f.t.Fatalf("Verify() = %v", err)
	}
	if count != len(all) {
		f.t.Errorf("Verify() = %d, but told of %d differences", count, len(all))
	}
	return all
}

// column reads a column of text.
func (f *fixture) column(query string, args ...any) []string {
	f.t.Helper()
	rows, err := f.db.QueryContext(context.Background(), query, args...)
	if err != nil {
		f.t.Fatalf("%v\n%s", err, query)
	}
	defer func() { _ = rows.Close() }()
	var all []string
	for rows.Next() {
		var one sql.NullString
		if err := rows.Scan(&one); err != nil {
			f.t.Fatalf("%v\n%s", err, query)
		}
		if !one.Valid {
			one.String = "NULL"
		}
		all = append(all, one.String)
	}
	if err := rows.Err(); err != nil {
		f.t.Fatalf("%v\n%s", err, query)
	}
	return all
}

func (f *fixture) number(query string, args ...any) (n int64) {
	f.t.Helper()
	if err := f.db.QueryRowContext(context.Background(), query, args...).Scan(&n); err != nil {
		f.t.Fatalf("%v\n%s", err, query)
	}
	return n
}

func (f *fixture) exec(statement string, args ...any) {
	f.t.Helper()
	if _, err := f.db.ExecContext(context.Background(), statement, args...); err != nil {
		f.t.Fatalf("%v\n%s", err, statement)
	}
}

// expect compares the rows of a query, each as one text.
func (f *fixture) expect(query string, want ...string) {
	f.t.Helper()
	if got := f.column(query); !slices.Equal(got, want) {
		f.t.Errorf("%s\n got %q\nwant %q", query, got, want)
	}
}

// expectSpans checks how many spans there are.
func (f *fixture) expectSpans(want int64) {
	f.t.Helper()
	if got := f.number("SELECT count(*) FROM span_metadata"); got != want {
		f.t.Errorf("the index has %d spans, want %d", got, want)
	}
}

// contents is all that users see of an index but the numbers and times that differ from one indexing to the next.
func (f *fixture) contents() []string {
	f.t.Helper()
	return slices.Concat(
		f.column(`SELECT DISTINCT 'span ' || (span_id, trace_id, service_name, name, start_time, end_time, status_code, span_kind)::VARCHAR
			FROM span_metadata ORDER BY 1`),
		f.column(`SELECT 'file ' || (file_path, row_count, size_bytes, mtime)::VARCHAR FROM parquet_files ORDER BY 1`),
		f.column(`SELECT 'service ' || (service_name, first_seen, last_seen, total_spans)::VARCHAR FROM services ORDER BY 1`),
		f.column(`SELECT 'failed ' || (file_path, error_type, file_size)::VARCHAR FROM failed_parquet_files ORDER BY 1`),
		f.dailyStats())
}

// failure is the only failed file.
func (f *fixture) failure() span.FailedFile {
	f.t.Helper()
	failed, err := f.Failed(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	if len(failed) != 1 {
		f.t.Fatalf("%d files have failed, want 1: %+v", len(failed), failed)
	}
	return failed[0]
}

// writeWithLake publishes spans with our own writer.
func writeWithLake(t testing.TB, l testkit.Lake, spans ...span.Span) lake.Written {
	t.Helper()
	writer, err := lake.NewWriter(l.Root)
	if err != nil {
		t.Fatal(err)
	}
	written, err := writer.Write(lake.Path("svc", testkit.Start, 1), spans)
	if err != nil {
		t.Fatal(err)
	}
	return written
}

func asUnusable(err error) (*UnusableError, bool) {
	unusable := (*UnusableError)(nil)
	return unusable, errors.As(err, &unusable)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// scan lists the lake as it is.
func (f *fixture) scan() iter.Seq2[span.File, error] { return lake.Scan(f.t.Context(), f.lake.Root) }

// listing is a listing of these files.
func listing(files ...span.File) iter.Seq2[span.File, error] {
	return func(yield func(span.File, error) bool) {
		for _, file := range files {
			if !yield(file, nil) {
				return
			}
		}
	}
}

func rename(t testing.TB, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// emptyIndex is the file of an index of nothing.
var emptyIndex = sync.OnceValue(func() []byte {
	dir, err := os.MkdirTemp("", "spanlake-test-")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	o := Options{Path: filepath.Join(dir, "empty.duckdb"), Lake: dir, Memory: 100e6, Threads: 1}
	x, err := Open(context.Background(), o)
	if err == nil {
		err = x.Close()
	}
	if err != nil {
		panic(err)
	}
	content, err := os.ReadFile(o.Path)
	if err != nil {
		panic(err)
	}
	return content
})
