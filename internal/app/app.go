// Package app plugs the parts of the program together.
package app

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"runtime"
	"runtime/debug"

	"github.com/spanlake/spanlake/internal/config"
	"github.com/spanlake/spanlake/internal/index"
	"github.com/spanlake/spanlake/internal/lake"
	"github.com/spanlake/spanlake/internal/span"
)

// App is a configured program.
type App struct {
	Config config.Config
	Log    *slog.Logger
}

// New makes an App of its settings.
func New(settings config.Config, log *slog.Logger) App { return App{Config: settings, Log: log} }

const (
	// processBytes is what the process takes beside what it does with DuckDB: about 50 MB resident when an index has been
	// opened, code pages and Go's runtime included, and 60 MB of buffers that do not shrink with DuckDB's limit.
	processBytes = 112e6
	// bytesPerThread is what a thread of DuckDB needs to index at full speed.
	bytesPerThread = 32e6
)

// Split is how the memory budget is shared out.
type Split struct {
	// DuckDB is its memory_limit in bytes. It takes about as much again outside that limit (row groups that are being
	// compressed, Parquet pages, what malloc keeps): docs/benchmarks.md has the figures.
	DuckDB  int64
	Threads int
	// Go is a soft limit of Go's heap in bytes.
	Go int64
}

// SplitMemory shares out a budget for the whole process, in bytes.
func SplitMemory(budget int64, cpus int) Split {
	duckDB := (budget - processBytes) / 2
	return Split{DuckDB: duckDB, Threads: max(1, min(cpus, int(duckDB/bytesPerThread))), Go: budget / 4}
}

func cpus() int { return runtime.GOMAXPROCS(0) }

// IndexOptions are the options of the index under the settings.
func (a App) IndexOptions(readOnly bool) index.Options {
	c := a.Config
	split := SplitMemory(c.Memory, cpus())
	return index.Options{
		Path: c.DB, Lake: c.Lake, Memory: split.DuckDB, Threads: split.Threads, BatchSize: c.BatchSize, ReadOnly: readOnly,
		Limits: index.Limits{FooterBytes: c.MaxFileFooter, RowGroups: c.MaxFileRowGroups, Rows: c.MaxFileRows,
			PageBytes: c.MaxFilePage, Time: c.MaxFileTime},
		Log: a.Log,
	}
}

// OpenIndex opens the index within the memory budget.
func (a App) OpenIndex(ctx context.Context, readOnly bool) (*index.Index, error) {
	debug.SetMemoryLimit(SplitMemory(a.Config.Memory, cpus()).Go)
	return index.Open(ctx, a.IndexOptions(readOnly))
}

// Scan lists the lake.
func (a App) Scan(ctx context.Context) iter.Seq2[span.File, error] {
	return lake.Scan(ctx, a.Config.Lake)
}

// Rebuild makes the index anew from the lake.
func (a App) Rebuild(ctx context.Context, options index.SyncOptions) (span.Summary, error) {
	debug.SetMemoryLimit(SplitMemory(a.Config.Memory, cpus()).Go)
	summary, err := index.Rebuild(ctx, a.IndexOptions(false), a.Scan(ctx), options)
	if err != nil {
		return summary, fmt.Errorf("index %s: %w", a.Config.DB, err)
	}
	return summary, nil
}
