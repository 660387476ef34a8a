package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/spanlake/spanlake/internal/index"
)

func newIndexCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "index",
		Short: "Index what is new in the lake",
		Long: "Index goes once through the lake: new and changed files are indexed, files that are gone are removed from\n" +
			"the index. A file that cannot be indexed is recorded (see `spanlake failed`) and does not stop the others.",
		Example: "  spanlake index --lake ./spans --db ./spans.duckdb\n" +
			"  spanlake index --json | jq .spans_per_second",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			keep, err := cmd.Flags().GetBool("keep-missing")
			if err != nil {
				return err
			}
			s, err := newSession(cmd)
			if err != nil {
				return err
			}
			return s.index(cmd.Context(), keep)
		},
	}
	cmd.Flags().Bool("keep-missing", false, "keep spans of files that are gone from the lake")
	addJSONFlag(cmd, "print the summary as one JSON object")
	return cmd
}

func (s *session) index(ctx context.Context, keepMissing bool) error {
	err := s.withIndex(ctx, false, func(x *index.Index) error {
		bar := s.newProgress()
		summary, err := x.Sync(ctx, s.Scan(ctx), index.SyncOptions{KeepMissing: keepMissing, Progress: bar.show})
		bar.finish()
		if err != nil {
			return err
		}
		return s.printSummary(summary)
	})
	if err != nil && ctx.Err() != nil {
		return errors.Join(err, errGoesOn)
	}
	return err
}

// summaryJSON is what --json prints of a pass.
type summaryJSON struct {
	FilesFound     int64 `json:"files_found"`
	FilesIndexed   int   `json:"files_indexed"`
	FilesUnchanged int64 `json:"files_unchanged"`
	FilesFailed    int   `json:"files_failed"`
	FilesRemoved   int   `json:"files_removed"`
	SpansIndexed   int64 `json:"spans_indexed"`
	Duplicates     int64 `json:"duplicates"`
	RowsSkipped    int64 `json:"rows_skipped"`
	ElapsedMS      int64 `json:"elapsed_ms"`
	SpansPerSecond int64 `json:"spans_per_second"`
	PeakRSSBytes   int64 `json:"peak_rss_bytes"`
}

func (s *session) printSummary(summary index.Summary) error {
	rate := float64(summary.SpansIndexed) / max(summary.Elapsed.Seconds(), 1e-9)
	if s.json {
		return writeJSON(s.stdout, summaryJSON{
			FilesFound: summary.FilesFound, FilesIndexed: summary.FilesIndexed, FilesUnchanged: summary.FilesUnchanged,
			FilesFailed: summary.FilesFailed, FilesRemoved: summary.FilesRemoved, SpansIndexed: summary.SpansIndexed,
			Duplicates: summary.Duplicates, RowsSkipped: summary.RowsSkipped, ElapsedMS: summary.Elapsed.Milliseconds(),
			SpansPerSecond: int64(rate), PeakRSSBytes: peakRSS(),
		})
	}
	out := &printer{w: s.stdout}
	out.printf("%s: %s found, %s indexed, %s unchanged, %s failed, %s removed\n", s.Config.Lake,
		count(summary.FilesFound, "file"), humanize.Comma(int64(summary.FilesIndexed)), humanize.Comma(summary.FilesUnchanged),
		humanize.Comma(int64(summary.FilesFailed)), humanize.Comma(int64(summary.FilesRemoved)))
	out.printf("%s: %s indexed", s.Config.DB, count(summary.SpansIndexed, "span"))
	if summary.SpansIndexed > 0 {
		out.printf(" in %s (%s spans/s, %s at most in memory)", summary.Elapsed.Round(time.Millisecond),
			humanize.Comma(int64(rate)), humanize.Bytes(uint64(peakRSS())))
	}
	out.printf("\n")
	if summary.Duplicates > 0 {
		out.printf("%s left out that the index has already\n", count(summary.Duplicates, "span"))
	}
	if summary.RowsSkipped > 0 {
		out.printf("%s left out that cannot be a span (no trace_id, span_id or start_time)\n", count(summary.RowsSkipped, "row"))
	}
	if summary.FilesFailed > 0 {
		out.printf("%s cannot be indexed: `spanlake failed` says why\n", count(int64(summary.FilesFailed), "file"))
	}
	switch {
	case summary.LakeAbsent:
		out.printf("The lake folder does not exist, or not yet. `spanlake sample` writes a lake to try, --lake names another one.\n")
	case summary.FilesFound == 0:
		out.printf("The lake is empty. `spanlake sample` writes one to try, --lake names another one.\n")
	}
	return out.err
}

// progress draws a bar while a pass runs, if people watch.
type progress struct {
	bar   *progressbar.ProgressBar
	start time.Time
	log   *logWriter
}

func (s *session) newProgress() *progress {
	if s.json || !isTerminal(s.stderr) {
		return &progress{}
	}
	s.log.bar.Store(true)
	return &progress{start: time.Now(), bar: newBar(s.stderr), log: s.log}
}

// logWriter takes the progress bar off the line before it writes; the bar is drawn again with its next step.
type logWriter struct {
	w   io.Writer
	bar atomic.Bool
}

func (l *logWriter) Write(line []byte) (int, error) {
	if l.bar.Load() {
		if _, err := io.WriteString(l.w, "\r\x1b[K"); err != nil {
			return 0, err
		}
	}
	return l.w.Write(line)
}

func newBar(w io.Writer) *progressbar.ProgressBar {
	return progressbar.NewOptions64(-1,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetWidth(30),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionSetElapsedTime(true),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
	)
}

func (p *progress) show(at index.Progress) {
	if p.bar == nil || at.FilesTotal == 0 {
		return
	}
	rate := float64(at.SpansIndexed) / max(time.Since(p.start).Seconds(), 1e-3)
	p.bar.ChangeMax64(max(at.BytesTotal, 1))
	p.bar.Describe(fmt.Sprintf("%s/%s files, %s spans/s", humanize.Comma(at.FilesDone), humanize.Comma(at.FilesTotal),
		humanize.Comma(int64(rate))))
	// A terminal that cannot be written to is no reason to stop indexing.
	_ = p.bar.Set64(at.BytesDone)
}

func (p *progress) finish() {
	if p.bar != nil {
		_ = p.bar.Finish() // as above
		p.log.bar.Store(false)
	}
}

func writeJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}
