package app

import (
	"runtime"
	"runtime/debug"

	"github.com/spanlake/spanlake/internal/index"
)

const (
	// processBytes is what the process takes beside what it does with DuckDB: about 50 MB resident when an index has been
	// opened, code pages and Go's runtime included, and 60 MB of buffers that do not shrink with DuckDB's limit.
	processBytes = 112e6
	// bytesPerThread is what a thread of DuckDB needs to index at full speed.
	bytesPerThread = 32e6
	// serveBytes is the same of a process that takes spans in as well, beside the share of Go: less, since DuckDB takes small files
	// in there. With less than 40 MB DuckDB can neither verify a lake of some hundred files nor read a whole file in SQL.
	serveBytes = 92e6
	// maxQuestions is how many questions are answered at once: more than there are processors, since some wait for the disk. bytesPerQuestion is
	// what one needs of DuckDB's share: reading a whole span takes 8 MB of buffers, and aggregates begin with a few.
	maxQuestions     = 4
	bytesPerQuestion = 20e6
	// ServeMemory is the least budget of a process that takes spans in and indexes them.
	ServeMemory = 256e6
)

// Split is how the memory budget is shared out.
type Split struct {
	// DuckDB is its memory_limit in bytes. It takes about as much again outside that limit (row groups that are being
	// compressed, Parquet pages, what malloc keeps): docs/benchmarks.md has the figures.
	DuckDB  int64
	Threads int
	// Go is a soft limit of Go's heap in bytes.
	Go int64
	// Requests is what OTLP requests may take until they are stored, MaxRequest the largest one, uncompressed. Piece is how
	// much OTLP goes into one file at most, since that is in memory.
	// Hot is what unflushed spans may take, beside what is in the log.
	Requests, MaxRequest, Piece, Hot int64
	// Answer is how large the whole spans of one answer may be.
	Answer int64
}

// questions is how many questions are answered at once.
func (s Split) questions() int { return max(2, min(maxQuestions, int(s.DuckDB/bytesPerQuestion))) }

// SplitMemory shares out a budget for a whole process that indexes, in bytes.
func SplitMemory(budget int64, cpus int) Split {
	duckDB := (budget - processBytes) / 2
	return Split{DuckDB: duckDB, Threads: max(1, min(cpus, int(duckDB/bytesPerThread))), Go: budget / 4, Answer: budget / 16}
}

// split shares out the budget among what a role does.
func (a App) split(role Role) Split {
	budget := a.Config.Memory
	if role == Backend {
		return SplitMemory(budget, cpus())
	}
	// Measured with `spanlake bench ingest --memory 256MB` (docs/benchmarks.md): Go's heap holds one file's worth of requests,
	// a row group of it as text, and what is unflushed; most of what it takes beyond that is garbage, which its limit bounds.
	s := Split{Go: budget / 2, Answer: budget / 16}
	if role == Serve {
		s.Go = budget * 21 / 64
		s.DuckDB = (budget - s.Go - serveBytes) / 2
		s.Threads = max(1, min(cpus(), int(s.DuckDB/bytesPerThread)))
	}
	s.Requests = budget * 2 / 5
	// A request that has to be repaired is in memory twice, and others come beside it; one that does not compress is for a
	// moment twice in the log.
	s.MaxRequest = min(a.Config.MaxRequestBytes, s.Requests/3, a.Config.MaxWALSize/4)
	s.Piece, s.Hot = budget*3/64, budget*3/64
	return s
}

func cpus() int { return runtime.GOMAXPROCS(0) }

// limitMemory makes Go's garbage collector keep to its share, and C libraries give back what they do not need.
func (a App) limitMemory(role Role) {
	debug.SetMemoryLimit(a.split(role).Go)
	limitMalloc()
}

// IndexOptions are the options of the index under the settings, for a process that does nothing else.
func (a App) IndexOptions(readOnly bool) index.Options { return a.indexOptions(Backend, readOnly) }

func (a App) indexOptions(role Role, readOnly bool) index.Options {
	c := a.Config
	split := a.split(role)
	return index.Options{
		Path: c.DB, Lake: c.Lake, Memory: split.DuckDB, Threads: split.Threads, BatchSize: c.BatchSize, ReadOnly: readOnly,
		Limits: index.Limits{FooterBytes: c.MaxFileFooter, RowGroups: c.MaxFileRowGroups, Rows: c.MaxFileRows,
			PageBytes: c.MaxFilePage, Time: c.MaxFileTime},
		Log: a.Log,
	}
}
