package index

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// Names that mean something to a shell, to SQL or to DuckDB's patterns.
var oddNames = []string{
	"it's.parquet", `say "hi".parquet`, "with space.parquet", " leading.parquet", "a[1].parquet", "a1.parquet", "[!a].parquet", "[].parquet",
	"a]b.parquet", "star*.parquet", "**.parquet", "what?.parquet", "whatX.parquet", "starX.parquet", `back\slash.parquet`, `back\*.parquet`,
	`a\[b.parquet`, "{a,b}.parquet", "東京-é-🚀.parquet", "percent%41.parquet", "hash#.parquet", "semi;colon.parquet", "$1.parquet", "new\nline.parquet",
	"~.parquet", "-flag.parquet", "key=value.parquet", "a.b.c.parquet", "file:x.parquet", "s3:.parquet", "c:.parquet", "x.parquet.parquet",
}

func TestFilesWithOddNames(t *testing.T) {
	t.Parallel()
	f := newFixture(t, batchSize(7))
	for i, name := range oddNames {
		f.lake.Spans(t, name, testkit.Span(i, i+1))
	}
	if summary := f.sync(); summary.FilesIndexed != int64(len(oddNames)) {
		t.Errorf("Sync() = %+v\n%s", summary, f.logs)
	}
	want := slices.Sorted(slices.Values(oddNames))
	f.expect("SELECT file_path FROM parquet_files ORDER BY file_path", want...)
	// Each span got to its own file: patterns did not meet other files.
	for i, name := range oddNames {
		spans, err := f.TraceSpans(t.Context(), testkit.TraceID(i))
		if err != nil || len(spans) != 1 || spans[0].FilePath != name {
			t.Errorf("the trace of %q: %+v, %v", name, spans, err)
		}
	}
}

func TestFoldersWithOddNames(t *testing.T) {
	t.Parallel()
	for i, name := range []string{"it's", `say "hi"`, "with space", "a[1]", "[!a]", "star*", "**", "what?", `back\slash`, `back\*`, "{a,b}", "東京-é-🚀", "%41#",
		"new\nline", "~", "key=value", "s3:", "x.parquet"} {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			// Both the lake itself and a folder in it.
			f := openFixture(t, testkit.Lake{Root: filepath.Join(t.TempDir(), name, "lake "+name)})
			for i := range 3 {
				f.lake.Spans(t, fmt.Sprintf("%s/day=%d/a.parquet", name, i), testkit.Span(i, 1))
			}
			f.lake.Put(t, name+"/bad.parquet", []byte("no Parquet"))
			if summary := f.sync(); summary.FilesIndexed != 3 || summary.FilesFailed != 1 {
				t.Errorf("%q: Sync() = %+v\n%s", name, summary, f.logs)
			}
			// Queries of users are confined to the lake, whatever its name.
			var rows int
			err := f.Select(t.Context(), "SELECT * FROM span_metadata", span.FormText, func([]string) error { return nil }, func([]*string) error { rows++; return nil })
			if err != nil || rows != 3 {
				t.Errorf("Select() = %d rows, %v", rows, err)
			}
		})
	}
}

// A name that cannot be opened is refused clearly, and nothing is made.
func TestTheIndexMayHaveAnOddName(t *testing.T) {
	t.Parallel()
	for i, name := range oddNames {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			l := testkit.NewLake(t)
			l.Spans(t, "a.parquet", testkit.Span(1, 1))
			o := testOptions(t, l, quiet, func(o *Options) { o.Path = filepath.Join(t.TempDir(), name, name+".duckdb") })
			x, err := Open(t.Context(), o)
			if unusable, ok := asUnusable(err); ok {
				if unusable.Rebuildable {
					t.Errorf("Open() = %v", err)
				}
				return // said clearly before anything was made
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
			if !exists(o.Path) {
				t.Errorf("there is no file %q", o.Path)
			}
		})
	}
}
