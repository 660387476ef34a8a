package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/spanlake/spanlake/internal/sample"
)

func newSampleCommand() *cobra.Command {
	var traces, spans, end string
	var seed uint64
	cmd := &cobra.Command{
		Use:   "sample",
		Short: "Write a lake of believable AI-workflow traces to try things on",
		Long: "Sample writes Parquet files of made-up traces into the lake: several services, errors, LLM and tool calls, deep\n" +
			"and wide traces. The same seed and options write the same bytes. Files that are there are never overwritten.",
		Example: "  spanlake sample --traces 1000\n  spanlake sample --spans 10m --seed 7 --lake /tmp/big",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := newSession(cmd)
			if err != nil {
				return err
			}
			options := sample.Options{Seed: seed}
			if spans != "" {
				options.Spans, err = parseCount("--spans", spans)
			} else {
				options.Traces, err = parseCount("--traces", traces)
			}
			if err != nil {
				return err
			}
			if options.End, err = time.Parse(time.RFC3339, end); err != nil {
				return fmt.Errorf("--end %q is not allowed: must be a time such as 2026-11-01T00:00:00Z: %w", end, errUsage)
			}
			return s.sample(cmd.Context(), options)
		},
	}
	cmd.Flags().StringVar(&traces, "traces", "1000", "how many traces to write, such as 1000, 20k or 1m")
	cmd.Flags().StringVar(&spans, "spans", "", "how many spans to write at least, up to 100m; the last trace is completed")
	cmd.MarkFlagsMutuallyExclusive("traces", "spans")
	cmd.Flags().Uint64Var(&seed, "seed", 1, "another seed makes other traces")
	cmd.Flags().StringVar(&end, "end", "2026-11-01T00:00:00Z", "when the newest trace starts; fixed, so that samples can be repeated")
	return cmd
}

const maxSample = 100_000_000

// parseCount reads a whole number that may end in k or m.
func parseCount(flag, text string) (int64, error) {
	digits, unit := strings.ToLower(text), int64(1)
	switch {
	case strings.HasSuffix(digits, "k"):
		digits, unit = strings.TrimSuffix(digits, "k"), 1_000
	case strings.HasSuffix(digits, "m"):
		digits, unit = strings.TrimSuffix(digits, "m"), 1_000_000
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 1 || n > maxSample/unit {
		return 0, fmt.Errorf("%s %q is not allowed: must be a whole number from 1 to 100m, such as 1000, 20k or 1m: %w", flag, text, errUsage)
	}
	return n * unit, nil
}

const (
	spansPerTrace = 11
	// spansPerDay is how densely a sample fills time: about 2,000 spans a minute.
	spansPerDay   = 3_000_000
	minSampleTime = time.Hour
)

// sampleStart is when the first trace of a sample starts.
func sampleStart(end time.Time, spans int64) time.Time {
	return end.Add(-max(minSampleTime, time.Duration(spans*int64(24*time.Hour/spansPerDay))))
}

func (s *session) sample(ctx context.Context, options sample.Options) error {
	want := max(options.Spans, options.Traces*spansPerTrace)
	options.Start = sampleStart(options.End, want)
	bar := s.newProgress()
	if bar.bar != nil {
		options.Progress = func(at sample.Summary) {
			bar.bar.ChangeMax64(max(want, at.Spans+1))
			bar.bar.Describe(fmt.Sprintf("%s, %s spans/s", count(at.Files, "file"),
				humanize.Comma(int64(float64(at.Spans)/max(time.Since(bar.start).Seconds(), 1e-3)))))
			_ = bar.bar.Set64(at.Spans) // a terminal that cannot be written to is no reason to stop
		}
	}
	start := time.Now()
	summary, err := sample.Generate(ctx, s.Config.Lake, options)
	bar.finish()
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s has this sample, or a part of it: remove those files, or choose another --seed or --lake", s.Config.Lake)
	}
	if err != nil {
		return err
	}
	elapsed := time.Since(start)
	_, err = fmt.Fprintf(s.stdout, "%s: %s of %s in %s (%s) in %s (%s spans/s)\n", s.Config.Lake, count(summary.Traces, "trace"),
		count(summary.Spans, "span"), count(summary.Files, "file"), humanize.Bytes(uint64(summary.Bytes)),
		elapsed.Round(time.Millisecond), humanize.Comma(int64(float64(summary.Spans)/elapsed.Seconds())))
	return err
}
