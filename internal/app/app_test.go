package app_test

import (
	"testing"

	"github.com/spanlake/spanlake/internal/app"
)

// The figures behind these shares are in docs/benchmarks.md.
func TestSplitMemory(t *testing.T) {
	for _, c := range []struct {
		name    string
		budget  int64
		cpus    int
		duckDB  int64
		threads int
	}{
		{"the least budget keeps one thread busy", 192e6, 2, 40e6, 1},
		{"256MB on a small server", 256e6, 2, 72e6, 2},
		{"the default on a small server", 512e6, 2, 200e6, 2},
		{"threads need memory", 256e6, 64, 72e6, 2},
		{"memory needs no more threads than processors", 64e9, 4, 31_944e6, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			split := app.SplitMemory(c.budget, c.cpus)
			if split.DuckDB != c.duckDB || split.Threads != c.threads {
				t.Errorf("SplitMemory(%d, %d) = %+v, want %d bytes and %d threads for DuckDB", c.budget, c.cpus, split, c.duckDB, c.threads)
			}
			if split.Go <= 0 || split.Go+split.DuckDB >= c.budget {
				t.Errorf("SplitMemory(%d, %d) = %+v: together it is the whole budget", c.budget, c.cpus, split)
			}
		})
	}
}
