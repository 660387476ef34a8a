package index_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/index"
	"github.com/spanlake/spanlake/internal/index/indexbench"
	"github.com/spanlake/spanlake/internal/lake"
	"github.com/spanlake/spanlake/internal/sample"
	"github.com/spanlake/spanlake/internal/span"
)

const (
	benchMemory  = 72_000_000 // what --memory 256MB leaves to DuckDB
	benchThreads = 2
)

// benchLake writes a sample of spans once for all runs of a benchmark.
func benchLake(b *testing.B, spans, perFile int64) (root string, files []string) {
	b.Helper()
	root = filepath.Join(b.TempDir(), "lake")
	end := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	_, err := sample.Generate(b.Context(), root, sample.Options{Spans: spans, Seed: 1, SpansPerFile: perFile, Start: end.Add(-8 * time.Hour), End: end})
	if err != nil {
		b.Fatal(err)
	}
	for file, err := range lake.Scan(b.Context(), root) {
		if err != nil {
			b.Fatal(err)
		}
		files = append(files, filepath.Join(root, file.Path))
	}
	return root, files
}

func openBench(b *testing.B, root string) *index.Index {
	b.Helper()
	x, err := index.Open(b.Context(), index.Options{
		Path: filepath.Join(b.TempDir(), "index.duckdb"), Lake: root, Memory: benchMemory, Threads: benchThreads,
		BatchSize: 10, Limits: index.DefaultLimits(),
	})
	if err != nil {
		b.Fatal(err)
	}
	return x
}

func syncBench(b *testing.B, x *index.Index, root string) span.Summary {
	b.Helper()
	summary, err := x.Sync(b.Context(), lake.Scan(b.Context(), root), index.SyncOptions{})
	if err != nil {
		b.Fatal(err)
	}
	return summary
}

// BenchmarkIndex compares indexing with DuckDB doing only the unavoidable, and with the textbook schema.
func BenchmarkIndex(b *testing.B) {
	root, files := benchLake(b, 1_000_000, 0)
	compare := func(run func(context.Context, indexbench.Setup) (indexbench.Result, error), memory int64) func(*testing.B) {
		return func(b *testing.B) {
			var spans int64
			for b.Loop() {
				result, err := run(b.Context(), indexbench.Setup{Path: filepath.Join(b.TempDir(), "index.duckdb"), Files: files,
					Memory: memory, Threads: benchThreads})
				if err != nil {
					b.Fatal(err)
				}
				spans += result.Spans
			}
			b.ReportMetric(float64(spans)/b.Elapsed().Seconds(), "spans/s")
		}
	}
	b.Run("duckdb alone", compare(indexbench.Plain, benchMemory))
	b.Run("spanlake", func(b *testing.B) {
		var spans int64
		for b.Loop() {
			x := openBench(b, root)
			spans += syncBench(b, x, root).SpansIndexed
			if err := x.Close(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(spans)/b.Elapsed().Seconds(), "spans/s")
	})
	b.Run("textbook schema", compare(func(ctx context.Context, s indexbench.Setup) (indexbench.Result, error) {
		return indexbench.Textbook(ctx, s, 5_000)
	}, 1<<40))
}

// BenchmarkSmallFiles indexes files of a quiet service: the costs of a transaction and of a footer count.
func BenchmarkSmallFiles(b *testing.B) {
	root, files := benchLake(b, 100_000, 500)
	for b.Loop() {
		x := openBench(b, root)
		syncBench(b, x, root)
		if err := x.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N*len(files)), "ms/file")
}

// BenchmarkNothingNew is a pass over a lake that has not changed.
func BenchmarkNothingNew(b *testing.B) {
	root, _ := benchLake(b, 100_000, 500)
	x := openBench(b, root)
	syncBench(b, x, root)
	for b.Loop() {
		syncBench(b, x, root)
	}
	if err := x.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkTraceSpans looks traces up in a million spans.
func BenchmarkTraceSpans(b *testing.B) {
	root, _ := benchLake(b, 1_000_000, 0)
	x := openBench(b, root)
	syncBench(b, x, root)
	var ids []string
	err := x.Select(b.Context(), `SELECT DISTINCT trace_id FROM span_metadata ORDER BY hash(trace_id) LIMIT 500`, span.FormText,
		func([]string) error { return nil },
		func(row []*string) error { ids = append(ids, *row[0]); return nil })
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for b.Loop() {
		spans, err := x.TraceSpans(b.Context(), ids[n%len(ids)])
		if err != nil {
			b.Fatal(err)
		}
		if len(spans) == 0 {
			b.Fatal(fmt.Errorf("trace %s was not found", ids[n%len(ids)]))
		}
		n++
	}
	if err := x.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkDailyStats reads the statistics of all services and days of a million spans.
func BenchmarkDailyStats(b *testing.B) {
	root, _ := benchLake(b, 1_000_000, 0)
	x := openBench(b, root)
	syncBench(b, x, root)
	for b.Loop() {
		err := x.Select(b.Context(), `FROM daily_stats`, span.FormText, func([]string) error { return nil }, func([]*string) error { return nil })
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := x.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkWholeTrace reads the whole spans of traces of a million spans, from the files that the index names.
func BenchmarkWholeTrace(b *testing.B) {
	root, _ := benchLake(b, 1_000_000, 0)
	x := openBench(b, root)
	syncBench(b, x, root)
	type trace struct{ id, file string }
	var traces []trace
	err := x.Select(b.Context(), `SELECT DISTINCT trace_id, file_path FROM span_metadata JOIN parquet_files USING (file_id) ORDER BY hash(trace_id) LIMIT 500`,
		span.FormText, func([]string) error { return nil },
		func(row []*string) error { traces = append(traces, trace{*row[0], *row[1]}); return nil })
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for b.Loop() {
		t := traces[n%len(traces)]
		if spans, _, err := x.WholeTrace(b.Context(), t.id, []string{t.file}, 16<<20); err != nil || len(spans) == 0 {
			b.Fatal(len(spans), err)
		}
		n++
	}
	if err := x.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkMatches looks for an attribute in a million spans.
func BenchmarkMatches(b *testing.B) {
	root, _ := benchLake(b, 1_000_000, 0)
	x := openBench(b, root)
	syncBench(b, x, root)
	var rare []string
	err := x.Select(b.Context(), `SELECT json_extract_string(attributes, '$."messaging.message.id"') FROM spans WHERE contains(attributes, '"messaging.message.id"') LIMIT 50`, span.FormText,
		func([]string) error { return nil },
		func(row []*string) error { rare = append(rare, *row[0]); return nil })
	if err != nil || len(rare) == 0 {
		b.Fatal(rare, err)
	}
	for name, values := range map[string][]string{"rare value": rare, "no such value": {"nobody"}} {
		b.Run(name, func(b *testing.B) {
			n, found := 0, 0
			for b.Loop() {
				f := span.Filter{Attributes: []span.AttributeClause{{{Key: "messaging.message.id", Value: &values[n%len(values)]}}}}
				matches, _, err := x.Matches(b.Context(), f, 0, span.Cold{})
				if err != nil {
					b.Fatal(err)
				}
				n, found = n+1, found+len(matches)
			}
			b.ReportMetric(float64(found)/float64(n), "traces/op")
		})
	}
	if err := x.Close(); err != nil {
		b.Fatal(err)
	}
}
