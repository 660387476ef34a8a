package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/spanlake/spanlake/internal/app"
	"github.com/spanlake/spanlake/internal/index"
	"github.com/spanlake/spanlake/internal/index/indexbench"
	"github.com/spanlake/spanlake/internal/sample"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/terminal"
)

func newBenchCommand() *cobra.Command {
	bench := &cobra.Command{
		Use:   "bench",
		Short: "Measure Spanlake on this machine",
		Example: "  spanlake bench index --spans 10m --memory 256MB\n  spanlake bench follow --spans 10m --memory 256MB\n" +
			"  spanlake bench ingest --spans 10m --memory 256MB\n  spanlake bench query --spans 10m --memory 256MB",
		Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	bench.AddCommand(newBenchIndexCommand(), newBenchFollowCommand(), newBenchIngestCommand(), newBenchQueryCommand(), newBenchPartCommand())
	return bench
}

func newBenchIndexCommand() *cobra.Command {
	var spans string
	cmd := &cobra.Command{
		Use:   "index",
		Short: "Compare indexing with DuckDB alone and with the textbook schema",
		Long: "Bench index reads the same files in turn: DuckDB alone writes the light columns into a table (with the memory and\n" +
			"settings that Spanlake gives it, and with DuckDB's defaults), Spanlake indexes them, and a textbook schema takes in a\n" +
			"part of them row by row. Each runs in a process of its own. The files are those of --lake if it is given, else a\n" +
			"sample in a temporary folder that is removed afterwards.",
		Example: "  spanlake bench index --spans 10m --memory 256MB\n  spanlake bench index --lake /var/lib/spanlake/spans",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := newSession(cmd)
			if err != nil {
				return err
			}
			n, err := parseCount("--spans", spans)
			if err != nil {
				return err
			}
			return s.benchIndex(cmd.Context(), n, cmd.Flags().Changed("lake"))
		},
	}
	cmd.Flags().StringVar(&spans, "spans", "2m", "how many spans the sample has, such as 500k or 10m")
	addJSONFlag(cmd, "print an array of objects")
	return cmd
}

// benchPart is one line of the comparison.
type benchPart struct {
	Name           string  `json:"name"`
	Spans          int64   `json:"spans"`
	ElapsedMS      int64   `json:"elapsed_ms"`
	SpansPerSecond int64   `json:"spans_per_second"`
	PeakRSSBytes   int64   `json:"peak_rss_bytes"`
	FirstRate      int64   `json:"first_million_spans_per_second,omitempty"`
	LastRate       int64   `json:"last_million_spans_per_second,omitempty"`
	LongestPauseMS int64   `json:"longest_lookup_sort_ms,omitempty"`
	LookupMedianMS float64 `json:"lookup_median_ms,omitempty"`
	LookupP99MS    float64 `json:"lookup_p99_ms,omitempty"`
	IndexBytes     int64   `json:"index_bytes"`
}

// The parts, in the order in which they run.
const (
	partPlain    = "duckdb"
	partDefault  = "duckdb-defaults"
	partSpanlake = "spanlake"
	partTextbook = "textbook"
)

func (s *session) benchIndex(ctx context.Context, spans int64, ownLake bool) (err error) {
	folder, err := os.MkdirTemp("", "spanlake-bench-")
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	if !ownLake {
		s.Config.Lake = filepath.Join(folder, "lake")
		out := &printer{w: s.stderr}
		out.printf("writing a sample of %s ...\n", count(spans, "span"))
		end := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
		if _, err := sample.Generate(ctx, s.Config.Lake, sample.Options{Spans: spans, Seed: 1, End: end, Start: sampleStart(end, spans)}); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
	}
	var parts []benchPart
	for _, name := range []string{partPlain, partDefault, partSpanlake, partTextbook} {
		part, err := s.runPart(ctx, name, folder)
		if err != nil {
			return fmt.Errorf("bench %s: %w", name, err)
		}
		parts = append(parts, part)
	}
	if s.json {
		return writeJSON(s.stdout, parts)
	}
	return s.printBench(parts)
}

// runPart measures one part in a new process, so that its peak memory is its own.
func (s *session) runPart(ctx context.Context, name, folder string) (benchPart, error) {
	self, err := os.Executable()
	if err != nil {
		return benchPart{}, err
	}
	cmd := exec.CommandContext(ctx, self, "bench", "part", name, "--lake", s.Config.Lake, // #nosec G204 -- this program itself
		"--db", filepath.Join(folder, name+".duckdb"), "--memory", strconv.FormatInt(s.Config.Memory, 10),
		"--batch-size", strconv.Itoa(s.Config.BatchSize))
	cmd.Stderr = s.stderr
	output, err := cmd.Output()
	if err != nil {
		return benchPart{}, err
	}
	var part benchPart
	if err := json.Unmarshal(output, &part); err != nil {
		return benchPart{}, err
	}
	return part, nil
}

func (s *session) printBench(parts []benchPart) error {
	base := parts[0].SpansPerSecond
	titles := map[string]string{
		partPlain: "(a) DuckDB alone, our settings", partDefault: "(a) DuckDB alone, its defaults",
		partSpanlake: "(b) Spanlake", partTextbook: "(c) textbook schema",
	}
	var rows [][]string
	for _, p := range parts {
		rows = append(rows, []string{titles[p.Name], humanize.Comma(p.Spans), (time.Duration(p.ElapsedMS) * time.Millisecond).String(),
			humanize.Comma(p.SpansPerSecond), fmt.Sprintf("%.3g", float64(p.SpansPerSecond)/float64(max(base, 1))),
			humanize.Bytes(uint64(max(p.PeakRSSBytes, 0))), humanize.Bytes(uint64(max(p.IndexBytes, 0)))})
	}
	if err := terminal.Table(s.stdout, []string{"", "SPANS", "TIME", "SPANS/S", "OF (A)", "PEAK MEMORY", "FILE"}, rows); err != nil {
		return err
	}
	out := &printer{w: s.stdout}
	for _, p := range parts {
		if p.Name != partSpanlake {
			continue
		}
		out.printf("\nSpanlake with --memory %s: first million %s spans/s, last million %s spans/s, longest pause to sort the trace look-up %d ms\n",
			humanize.Bytes(uint64(s.Config.Memory)), humanize.Comma(p.FirstRate), humanize.Comma(p.LastRate), p.LongestPauseMS)
		out.printf("spans of one trace: median %.2f ms, p99 %.2f ms\n", p.LookupMedianMS, p.LookupP99MS)
	}
	return out.err
}

func newBenchPartCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "part NAME",
		Short:  "Run one part of a comparison (for bench index)",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := newSession(cmd)
			if err != nil {
				return err
			}
			part, err := s.benchPart(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			part.SpansPerSecond = part.Spans * 1000 / max(part.ElapsedMS, 1)
			part.PeakRSSBytes = peakRSS()
			if info, err := os.Stat(s.Config.DB); err == nil {
				part.IndexBytes = info.Size()
			}
			return writeJSON(s.stdout, part)
		},
	}
}

// textbookSpans is enough to see how slow it is.
const textbookSpans = 20_000

func (s *session) benchPart(ctx context.Context, name string) (benchPart, error) {
	part := benchPart{Name: name}
	if name == partSpanlake {
		err := s.benchSpanlake(ctx, &part)
		return part, err
	}
	split := app.SplitMemory(s.Config.Memory, runtime.GOMAXPROCS(0))
	setup := indexbench.Setup{Path: s.Config.DB, Memory: split.DuckDB, Threads: split.Threads}
	for file, err := range s.Scan(ctx) {
		if err != nil {
			return part, err
		}
		setup.Files = append(setup.Files, filepath.Join(s.Config.Lake, filepath.FromSlash(file.Path)))
	}
	var result indexbench.Result
	var err error
	switch name {
	case partPlain:
		result, err = indexbench.Plain(ctx, setup)
	case partDefault:
		setup.KeepOrder, setup.Memory, setup.Threads = true, 1<<40, runtime.GOMAXPROCS(0)
		result, err = indexbench.Plain(ctx, setup)
	case partTextbook:
		// Under a limit it fails: 20,000 rows do not fit in 190 MB.
		setup.Memory = 1 << 40
		result, err = indexbench.Textbook(ctx, setup, textbookSpans)
	default:
		err = fmt.Errorf("no part is named %q: %w", name, errUsage)
	}
	part.Spans, part.ElapsedMS = result.Spans, result.Elapsed.Milliseconds()
	return part, err
}

// benchSpanlake indexes the lake and looks traces up.
func (s *session) benchSpanlake(ctx context.Context, part *benchPart) error {
	start := time.Now()
	x, err := s.OpenIndex(ctx, false)
	if err != nil {
		return err
	}
	var rates million
	summary, err := x.Sync(ctx, s.Scan(ctx), index.SyncOptions{Progress: rates.note})
	if err := errors.Join(err, x.Close()); err != nil {
		return err
	}
	part.Spans, part.ElapsedMS = summary.SpansIndexed, time.Since(start).Milliseconds()
	part.FirstRate, part.LastRate = rates.first, rates.last
	part.LongestPauseMS = summary.LongestSort.Milliseconds()
	return s.withIndex(ctx, true, func(x *index.Index) error {
		times, err := timeLookups(ctx, x)
		if err != nil || len(times) == 0 {
			return err
		}
		part.LookupMedianMS = milliseconds(times[len(times)/2])
		part.LookupP99MS = milliseconds(times[len(times)*99/100])
		return nil
	})
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// million notes the rates of the first and the last million spans.
type million struct {
	start       time.Time
	spans       int64
	first, last int64
}

func (m *million) note(at index.Progress) {
	if m.start.IsZero() {
		m.start = time.Now()
		return
	}
	if at.SpansIndexed-m.spans < 1_000_000 {
		return
	}
	m.last = int64(float64(at.SpansIndexed-m.spans) / time.Since(m.start).Seconds())
	if m.first == 0 {
		m.first = m.last
	}
	m.start, m.spans = time.Now(), at.SpansIndexed
}

// lookupIDsSQL takes traces from all over the index, the same ones each time.
const lookupIDsSQL = `
SELECT DISTINCT trace_id
FROM (SELECT trace_id FROM span_metadata USING SAMPLE reservoir(1000 ROWS) REPEATABLE (1))`

// timeLookups looks traces up and returns how long that took, shortest first.
func timeLookups(ctx context.Context, x *index.Index) ([]time.Duration, error) {
	var ids []string
	err := x.Select(ctx, lookupIDsSQL, span.FormText, func([]string) error { return nil }, func(row []*string) error {
		ids = append(ids, text(row[0], ""))
		return nil
	})
	if err != nil {
		return nil, err
	}
	var times []time.Duration
	for _, id := range ids {
		start := time.Now()
		spans, err := x.TraceSpans(ctx, id)
		if err != nil {
			return nil, err
		}
		if len(spans) == 0 {
			return nil, fmt.Errorf("trace %s is in span_metadata but was not found", id)
		}
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	return times, nil
}
