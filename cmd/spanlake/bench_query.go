package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/spanlake/spanlake/internal/api/client"
	"github.com/spanlake/spanlake/internal/app"
	"github.com/spanlake/spanlake/internal/index"
	"github.com/spanlake/spanlake/internal/sample"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/terminal"
)

func newBenchQueryCommand() *cobra.Command {
	var o benchQueryOptions
	var spans string
	cmd := &cobra.Command{
		Use:   "query",
		Short: "Measure answers: listings, filters, traces, attributes, many clients",
		Long: "Bench query makes a sample of --spans, 3 million for each day, indexes it and starts `spanlake serve` on it, which is\n" +
			"asked over HTTP as everybody asks. Cold: the server was just started and the system has dropped the files from its\n" +
			"memory (on Linux); each question is asked once, in another order, of --cold servers. Warm: each is asked again and again,\n" +
			"of other services, traces and values in turn. At last 16 clients ask everything at once. An answer that is not complete,\n" +
			"or an error, ends the benchmark. With --dir the sample stays there for the next run.",
		Example: "  spanlake bench query --memory 256MB\n  spanlake bench query --spans 2m --dir ./bench --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			s, err := newSession(cmd)
			if err != nil {
				return err
			}
			if o.spans, err = parseCount("--spans", spans); err != nil {
				return err
			}
			if o.cold < 0 || o.cold > maxCold {
				return fmt.Errorf("--cold %d is not allowed: must be from 0 to %d: %w", o.cold, maxCold, errUsage)
			}
			for flag, d := range map[string]time.Duration{"--warm-time": o.warmTime, "--client-time": o.clientTime} {
				if d < 0 || d > maxPacedTime {
					return fmt.Errorf("%s %s is not allowed: must be from 0s to %s: %w", flag, d, maxPacedTime, errUsage)
				}
			}
			return s.benchQuery(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&spans, "spans", "10m", "how many spans the sample has, such as 500k or 10m")
	cmd.Flags().StringVar(&o.dir, "dir", "", "folder for the sample, which is kept and used again (default a temporary one)")
	cmd.Flags().IntVar(&o.cold, "cold", 10, "how many cold servers are asked")
	cmd.Flags().DurationVar(&o.warmTime, "warm-time", 15*time.Second, "how long a warm server is asked each question, or until it was asked 300 times")
	cmd.Flags().DurationVar(&o.clientTime, "client-time", 20*time.Second, "how long 16 clients ask at once; 0 leaves this part out")
	addJSONFlag(cmd, "print one object")
	return cmd
}

type benchQueryOptions struct {
	spans                int64
	dir                  string
	cold                 int
	warmTime, clientTime time.Duration
}

const (
	maxCold = 1000
	// warmTimes is how often a warm server is asked the same.
	warmTimes = 300
	// benchQueryClients is how many ask at once.
	benchQueryClients = 16
)

// queryResult is what was measured of one question.
type queryResult struct {
	What string `json:"what"`
	// GoalMS is what the 99th percentile of a warm server should be under, 0 if nothing was said.
	GoalMS float64      `json:"goal_p99_ms,omitempty"`
	Cold   distribution `json:"cold"`
	Warm   distribution `json:"warm"`
}

// queryResults are all that was measured.
type queryResults struct {
	Spans     int64         `json:"spans"`
	Dropped   bool          `json:"files_dropped_from_memory"`
	Questions []queryResult `json:"questions"`
	// Clients is of all questions together, asked by 16 at once, and Errors how many were not answered, which are none.
	Clients      distribution `json:"clients"`
	Errors       int64        `json:"errors"`
	PeakRSSBytes int64        `json:"peak_rss_bytes"`
}

// queryBench is one run of the benchmark.
type queryBench struct {
	*session
	folder   string
	options  benchQueryOptions
	end      time.Time
	results  queryResults
	material *material
}

func (s *session) benchQuery(ctx context.Context, o benchQueryOptions) (err error) {
	folder := o.dir
	if folder == "" {
		if folder, err = os.MkdirTemp("", "spanlake-bench-"); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	}
	if folder, err = filepath.Abs(folder); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	b := queryBench{session: s, folder: folder, options: o, end: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)}
	for _, step := range []func(context.Context) error{b.prepare, b.askCold, b.askWarm} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
	}
	if s.json {
		return writeJSON(s.stdout, b.results)
	}
	return b.print()
}

// say tells people what is going on.
func (b *queryBench) say(format string, args ...any) {
	if b.json {
		return
	}
	out := &printer{w: b.stderr}
	out.printf(format, args...)
}

// prepare makes the sample and its index, unless they are there.
func (b *queryBench) prepare(ctx context.Context) error {
	b.Config.Lake, b.Config.DB = filepath.Join(b.folder, "spans"), filepath.Join(b.folder, "index.duckdb")
	if _, err := os.Stat(b.Config.DB); err != nil {
		b.say("writing and indexing a sample of %s ...\n", count(b.options.spans, "span"))
		_, err := sample.Generate(ctx, b.Config.Lake, sample.Options{Spans: b.options.spans, Seed: 1, End: b.end, Start: sampleStart(b.end, b.options.spans)})
		if err != nil {
			return err
		}
	}
	return b.withIndex(ctx, false, func(x *index.Index) error {
		if _, err := x.Sync(ctx, b.Scan(ctx), index.SyncOptions{}); err != nil {
			return err
		}
		totals, err := x.Totals(ctx)
		b.results.Spans = totals.Spans
		return err
	})
}

// start starts a server and waits until it has nothing to index.
func (b *queryBench) start(ctx context.Context) (*benchServer, error) {
	server, err := b.startBenchServer(ctx, b.folder)
	if err != nil {
		return nil, err
	}
	for start := time.Now(); ; {
		status, err := server.client.Status(ctx)
		if err == nil && status.State == span.IndexerIdle {
			return server, nil
		}
		if err == nil && time.Since(start) > serverIndexTime {
			err = fmt.Errorf("the server is still %s after %s", status.State, serverIndexTime)
		}
		if err == nil {
			err = server.wait(ctx)
		}
		if err != nil {
			return nil, server.explain(err)
		}
	}
}

// stop stops a server and notes what it took.
func (b *queryBench) stop(server *benchServer) error {
	used, err := server.stop()
	b.results.PeakRSSBytes = max(b.results.PeakRSSBytes, used.peak)
	return err
}

// with runs work with a server of its own.
func (b *queryBench) with(ctx context.Context, work func(*benchServer) error) error {
	server, err := b.start(ctx)
	if err != nil {
		return err
	}
	if err := work(server); err != nil {
		return server.explain(err)
	}
	return b.stop(server)
}

// askCold asks each question once of servers that were just started.
func (b *queryBench) askCold(ctx context.Context) error {
	err := b.with(ctx, func(server *benchServer) (err error) {
		b.material, err = newMaterial(ctx, server.client, b.end)
		return err
	})
	if err != nil {
		return err
	}
	questions := b.material.questions()
	took := make([][]time.Duration, len(questions))
	if b.options.cold > 0 {
		b.say("asking %s ...\n", count(int64(b.options.cold), "cold server"))
	}
	for round := range b.options.cold {
		err := b.with(ctx, func(server *benchServer) (err error) {
			if b.results.Dropped, err = dropCaches(b.folder); err != nil {
				return err
			}
			for _, i := range shuffledQuestions(len(questions), uint64(round)) {
				d, err := questions[i].timed(ctx, server.client.Queries(), round)
				if err != nil {
					return err
				}
				took[i] = append(took[i], d)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for i, q := range questions {
		b.results.Questions = append(b.results.Questions, queryResult{What: q.name, GoalMS: milliseconds(q.goal), Cold: newDistribution("cold", took[i])})
	}
	return nil
}

// askWarm asks one server the same again and again, and then with many clients.
func (b *queryBench) askWarm(ctx context.Context) error {
	return b.with(ctx, func(server *benchServer) error {
		b.say("asking a warm server ...\n")
		for i, q := range b.material.questions() {
			var took []time.Duration
			for start, n := time.Now(), 0; n < warmTimes && (n < 2 || time.Since(start) < b.options.warmTime); n++ {
				d, err := q.timed(ctx, server.client.Queries(), n)
				if err != nil {
					return err
				}
				if n > 0 { // the first one was not warm
					took = append(took, d)
				}
			}
			b.results.Questions[i].Warm = newDistribution("warm", took)
		}
		if b.options.clientTime == 0 {
			return nil
		}
		b.say("%d clients ask at once for %s ...\n", benchQueryClients, b.options.clientTime)
		return b.askAtOnce(ctx)
	})
}

// askAtOnce has many clients ask everything in turn.
func (b *queryBench) askAtOnce(ctx context.Context) error {
	at, ok, err := app.FindServer(b.Config.DB)
	if err != nil || !ok {
		return errors.Join(err, errServerEnded)
	}
	questions := b.material.questions()
	var (
		running sync.WaitGroup
		mu      sync.Mutex
		took    []time.Duration
		first   error
		failed  atomic.Int64
	)
	deadline := time.Now().Add(b.options.clientTime)
	for i := range benchQueryClients {
		c, err := client.New(at.URL, at.Instance)
		if err != nil {
			return err
		}
		c.Authorize(at.Secret)
		running.Go(func() {
			defer c.Close()
			for n := i; time.Now().Before(deadline) && ctx.Err() == nil; n++ {
				d, err := questions[n%len(questions)].timed(ctx, c.Queries(), n)
				mu.Lock()
				took = append(took, d)
				if err != nil {
					failed.Add(1)
					first = errors.Join(first, err)
				}
				enough := failed.Load() >= benchQueryClients
				mu.Unlock()
				if enough {
					return
				}
			}
		})
	}
	running.Wait()
	b.results.Clients, b.results.Errors = newDistribution("16 clients at once", took), failed.Load()
	return first
}

// print prints a table, and whether the goals were met.
func (b *queryBench) print() error {
	number := func(n int, ms float64) string {
		if n == 0 {
			return "-"
		}
		return humanize.FormatFloat("#,###.#", ms)
	}
	line := func(what string, cold, warm *distribution, goal string) []string {
		return []string{what, number(cold.N, cold.MedianMS), number(cold.N, cold.MaxMS), number(warm.N, warm.MedianMS), number(warm.N, warm.P99MS),
			number(warm.N, warm.MaxMS), humanize.Comma(int64(warm.N)), goal}
	}
	var rows [][]string
	for i := range b.results.Questions {
		q := &b.results.Questions[i]
		goal := "-"
		if q.GoalMS > 0 {
			goal = fmt.Sprintf("< %.0f: met", q.GoalMS)
			if q.Warm.P99MS >= q.GoalMS {
				goal = fmt.Sprintf("< %.0f: missed", q.GoalMS)
			}
		}
		rows = append(rows, line(q.What, &q.Cold, &q.Warm, goal))
	}
	if b.results.Clients.N > 0 {
		rows = append(rows, line(fmt.Sprintf("%d clients, everything at once", benchQueryClients), &distribution{}, &b.results.Clients, "-"))
	}
	header := []string{"MS OVER HTTP", "COLD MEDIAN", "LONGEST", "WARM MEDIAN", "99 %", "LONGEST", "TIMES", "GOAL OF 99 %"}
	if err := terminal.Table(b.stdout, header, rows); err != nil {
		return err
	}
	out := &printer{w: b.stdout}
	out.printf("\n%s, server with --memory %s", count(b.results.Spans, "span"), humanize.Bytes(uint64(max(b.Config.Memory, 0))))
	if b.results.PeakRSSBytes > 0 {
		out.printf(", which took %s at most", humanize.Bytes(uint64(b.results.PeakRSSBytes)))
	}
	out.printf("; %s\n", count(b.results.Errors, "error"))
	if !b.results.Dropped && b.options.cold > 0 {
		out.printf("This system cannot be told to drop files from its memory: cold is only the server.\n")
	}
	return out.err
}
