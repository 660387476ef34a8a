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

	"github.com/spanlake/spanlake/internal/api/client"
	"github.com/spanlake/spanlake/internal/index"
	"github.com/spanlake/spanlake/internal/span"
)

func newIndexCommand() *cobra.Command {
	var options index.LookOptions
	cmd := &cobra.Command{
		Use:   "index",
		Short: "Index what is new in the lake",
		Long: "Index goes once through the lake: new and changed files are indexed, files that are gone are removed from\n" +
			"the index. A file that cannot be indexed is recorded (see `spanlake failed`) and does not stop the others.\n" +
			"When more than half of the files are gone at once, the lake may not be mounted: then none is removed until\n" +
			"--accept-missing confirms it.",
		Example: "  spanlake index --lake ./spans --db ./spans.duckdb\n" +
			"  spanlake index --json | jq .spans_per_second",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := newSession(cmd)
			if err != nil {
				return err
			}
			return s.index(cmd.Context(), options)
		},
	}
	cmd.Flags().BoolVar(&options.KeepMissing, "keep-missing", false, "keep spans of files that are gone from the lake")
	cmd.Flags().BoolVar(&options.AcceptMissing, "accept-missing", false, "remove spans of files that are gone even if these are more than half of all")
	cmd.MarkFlagsMutuallyExclusive("keep-missing", "accept-missing")
	addJSONFlag(cmd, "print the summary as one JSON object")
	return cmd
}

func (s *session) index(ctx context.Context, options index.LookOptions) error {
	server, err := s.server(ctx, false)
	if err != nil {
		return err
	}
	if server != nil {
		defer server.Close()
		return s.indexRemotely(ctx, server, options)
	}
	err = s.withIndex(ctx, false, func(x *index.Index) error {
		bar := s.newProgress()
		summary, err := x.Sync(ctx, s.Scan(ctx), index.SyncOptions{LookOptions: options, Progress: bar.show})
		bar.finish()
		if err != nil {
			return err
		}
		return errors.Join(s.printSummary(summary, peakRSS()), s.withheld(summary))
	})
	if err != nil && ctx.Err() != nil {
		return errors.Join(err, errGoesOn)
	}
	return err
}

// indexRemotely has the running backend look at the whole lake, and waits until it has indexed what it found.
func (s *session) indexRemotely(ctx context.Context, server *client.Client, options index.LookOptions) error {
	if options.KeepMissing {
		return fmt.Errorf("the index is in use by a running backend, which does not take --keep-missing: %w", errUsage)
	}
	summary, err := server.IndexNow(ctx, options.AcceptMissing)
	if err != nil {
		return err
	}
	return errors.Join(s.printSummary(summary, 0), s.withheld(summary))
}

// errWithheld says that files are gone but stay in the index.
var errWithheld = errors.New("is it mounted? None was removed; `spanlake index --accept-missing` removes them")

// withheld is an error if so many files are gone that none was removed.
func (s *session) withheld(summary span.Summary) error {
	if summary.FilesWithheld == 0 {
		return nil
	}
	return fmt.Errorf("%s, more than half of what the index has, went from the lake %s: %w",
		count(summary.FilesWithheld, "file"), s.Config.Lake, errWithheld)
}

// summaryJSON is what --json prints of a pass.
type summaryJSON struct {
	FilesFound      int64 `json:"files_found"`
	FilesIndexed    int64 `json:"files_indexed"`
	FilesUnchanged  int64 `json:"files_unchanged"`
	FilesFailed     int64 `json:"files_failed"`
	FilesRemoved    int64 `json:"files_removed"`
	FilesWithheld   int64 `json:"files_withheld"`
	FilesUnfinished int64 `json:"files_unfinished"`
	SpansIndexed    int64 `json:"spans_indexed"`
	Duplicates      int64 `json:"duplicates"`
	RowsSkipped     int64 `json:"rows_skipped"`
	ElapsedMS       int64 `json:"elapsed_ms"`
	SpansPerSecond  int64 `json:"spans_per_second"`
	PeakRSSBytes    int64 `json:"peak_rss_bytes"`
}

// printSummary prints what a pass did; peak is the peak memory of the process that did it in bytes, 0 if it is not known.
func (s *session) printSummary(summary span.Summary, peak int64) error {
	rate := float64(summary.SpansIndexed) / max(summary.Elapsed.Seconds(), 1e-9)
	if s.json {
		return writeJSON(s.stdout, summaryJSON{
			FilesFound: summary.FilesFound, FilesIndexed: summary.FilesIndexed, FilesUnchanged: summary.FilesUnchanged,
			FilesFailed: summary.FilesFailed, FilesRemoved: summary.FilesRemoved, FilesWithheld: summary.FilesWithheld,
			FilesUnfinished: summary.FilesUnfinished, SpansIndexed: summary.SpansIndexed, Duplicates: summary.Duplicates,
			RowsSkipped: summary.RowsSkipped, ElapsedMS: summary.Elapsed.Milliseconds(), SpansPerSecond: int64(rate), PeakRSSBytes: peak,
		})
	}
	out := &printer{w: s.stdout}
	out.printf("%s: %s found, %s indexed, %s unchanged, %s failed, %s removed\n", s.Config.Lake,
		count(summary.FilesFound, "file"), humanize.Comma(summary.FilesIndexed), humanize.Comma(summary.FilesUnchanged),
		humanize.Comma(summary.FilesFailed), humanize.Comma(summary.FilesRemoved))
	out.printf("%s: %s indexed", s.Config.DB, count(summary.SpansIndexed, "span"))
	if summary.SpansIndexed > 0 {
		out.printf(" in %s (%s spans/s", summary.Elapsed.Round(time.Millisecond), humanize.Comma(int64(rate)))
		if peak > 0 {
			out.printf(", %s at most in memory", humanize.Bytes(uint64(peak)))
		}
		out.printf(")")
	}
	out.printf("\n")
	if summary.Duplicates > 0 {
		out.printf("%s left out that the index has already\n", count(summary.Duplicates, "span"))
	}
	if summary.RowsSkipped > 0 {
		out.printf("%s left out that cannot be a span (no trace_id, span_id or start_time)\n", count(summary.RowsSkipped, "row"))
	}
	if summary.FilesFailed > 0 {
		out.printf("%s cannot be indexed: `spanlake failed` says why\n", count(summary.FilesFailed, "file"))
	}
	if summary.FilesUnfinished > 0 {
		out.printf("%s still being written\n", countAre(summary.FilesUnfinished, "file"))
	}
	switch {
	case summary.FilesWithheld > 0:
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
