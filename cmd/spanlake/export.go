package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/spanlake/spanlake/internal/export"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/terminal"
)

func newExportCommand() *cobra.Command {
	var filter filterFlags
	var path, format string
	var force bool
	cmd := &cobra.Command{
		Use:   "export -o FILE",
		Short: "Write spans into a file, as OTLP or Parquet",
		Long: "Export writes each span that the filters choose, once: as lines of OTLP in JSON (.jsonl, .json), of which each is a\n" +
			"TracesData message with spans of one trace, or as a Parquet file with the columns of the lake (.parquet). The file is\n" +
			"written under another name beside it and renamed when it is whole; if anything fails there is none.",
		Example: "  spanlake export --since 1d --service chat-api -o chat.jsonl\n" +
			"  spanlake export --from 2026-11-28 --until 2026-11-29 -o day.parquet\n" +
			"  spanlake export --status error --since 1h -o - | jq -c '.resourceSpans[].scopeSpans[].spans[].name'",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			target, err := exportTo(path, format, force)
			if err != nil {
				return fmt.Errorf("%w: %w", err, helpError{cmd})
			}
			chosen, err := filter.spans(time.Now())
			if err != nil {
				return err
			}
			s, err := newSession(cmd)
			if err != nil {
				return err
			}
			return s.withQueries(cmd.Context(), func(x asked) error {
				return s.export(cmd.Context(), x, chosen, target, filter.onlyService())
			})
		},
	}
	filter.add(cmd, "span", "only spans")
	addIngestSettings(cmd.Flags(), "wal")
	cmd.Flags().StringVarP(&path, "output", "o", "", "the file to write, or - for standard output (OTLP in JSON)")
	cmd.Flags().StringVar(&format, "format", "", "otlp-json or parquet (default by the ending of the file)")
	cmd.Flags().BoolVar(&force, "force", false, "replace the file if there is one")
	return cmd
}

// exportTarget is where an export goes.
type exportTarget struct {
	path      string
	format    export.Format
	overwrite bool
}

const standardOutput = "-"

// exportTo reads what was said of the target.
func exportTo(path, format string, force bool) (exportTarget, error) {
	t := exportTarget{path: path, format: export.Format(format), overwrite: force}
	byName, known := export.FormatOf(path)
	switch {
	case path == "":
		return t, errors.New("-o FILE is missing: the file to write, or - for standard output")
	case format == "" && path == standardOutput:
		t.format = export.OTLPJSON
	case format == "" && !known:
		return t, fmt.Errorf("-o %q does not end in .jsonl, .json or .parquet: say --format otlp-json or --format parquet", path)
	case format == "":
		t.format = byName
	case t.format != export.OTLPJSON && t.format != export.Parquet:
		return t, fmt.Errorf("--format %q is not allowed: must be otlp-json or parquet", format)
	}
	if path == standardOutput && t.format != export.OTLPJSON {
		return t, errors.New("-o -: Parquet is written to files only, name one")
	}
	return t, nil
}

// export writes the spans. all: a service is all that they are chosen by, so that it is known how many there are.
func (s *session) export(ctx context.Context, x asked, f span.Filter, to exportTarget, all bool) error {
	if to.path == standardOutput {
		return s.exportTo(ctx, x, f, export.NewLines(s.stdout), all)
	}
	file, err := export.Create(to.path, to.format, to.overwrite)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already: choose another name, or say --force", to.path)
	}
	if err != nil {
		return err
	}
	return errors.Join(s.exportTo(ctx, x, f, file, all), file.Close())
}

// exportTo writes the spans to a writer and finishes it.
func (s *session) exportTo(ctx context.Context, x asked, f span.Filter, to export.Writer, all bool) error {
	bar := s.newProgress()
	show := s.exportProgress(ctx, x, f, bar, all)
	complete, err := x.Export(ctx, f, func(one span.Span) error {
		show()
		return to.Add(one)
	})
	var written export.Written
	if err == nil {
		written, err = to.Finish()
	}
	bar.finish()
	file, isFile := to.(*export.File)
	if errors.Is(err, export.ErrNoSpans) {
		s.tellIncomplete(x, &complete)
		return errors.New("no span matches, so no file was written")
	}
	if err != nil {
		return err
	}
	if isFile {
		_, err = fmt.Fprintf(s.stdout, "%s: %s, %s\n", file.Name(), count(written.Spans, "span"), humanize.Bytes(uint64(max(written.Bytes, 0))))
	}
	s.tellIncomplete(x, &complete)
	if written.Left > 0 {
		out := &printer{w: s.stderr}
		out.printf("Not complete: %s left out, such as: %s. Parquet has everything\n", countAre(written.Left, "span"), terminal.Printable(written.Why.Error()))
	}
	return err
}

// exportProgress is called for each span and draws the bar, if people watch.
func (s *session) exportProgress(ctx context.Context, x asked, f span.Filter, bar *progress, all bool) func() {
	if bar.bar == nil {
		return func() {}
	}
	if all {
		if services, _, err := x.Services(ctx); err == nil { // without it, there is a bar of unknown length
			total := int64(0)
			for _, service := range services {
				if f.ServiceName == "" || service.Name == f.ServiceName {
					total += service.TotalSpans
				}
			}
			bar.bar.ChangeMax64(max(total, 1))
		}
	}
	const step = 1000 // spans
	spans := int64(0)
	return func() {
		if spans++; spans%step == 0 {
			rate := float64(spans) / max(time.Since(bar.start).Seconds(), 1e-3)
			bar.bar.Describe(fmt.Sprintf("%s, %s spans/s", count(spans, "span"), humanize.Comma(int64(rate))))
			_ = bar.bar.Set64(min(spans, max(bar.bar.GetMax64(), spans))) // a terminal that cannot be written to is no reason to stop
		}
	}
}
