package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/spanlake/spanlake/internal/api"
	"github.com/spanlake/spanlake/internal/index"
	"github.com/spanlake/spanlake/internal/terminal"
)

func newServicesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "services",
		Short:   "List the services that sent spans",
		Example: "  spanlake services\n  spanlake services --json | jq -r '.[].service_name'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := newSession(cmd)
			if err != nil {
				return err
			}
			return s.withQueries(cmd.Context(), func(x asked) error { return s.services(cmd.Context(), x) })
		},
	}
	addIngestSettings(cmd.Flags(), "wal")
	addJSONFlag(cmd, "print an array of objects")
	return cmd
}

// reading is a command that only reads the index.
func reading(list func(*session, context.Context, api.Catalog) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		s, err := newSession(cmd)
		if err != nil {
			return err
		}
		return s.withCatalog(cmd.Context(), true, func(x api.Catalog) error { return list(s, cmd.Context(), x) })
	}
}

func (s *session) services(ctx context.Context, x asked) error {
	services, complete, err := x.Services(ctx)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, service := range services {
		rows = append(rows, []string{service.Name, humanize.Comma(service.TotalSpans), timeText(service.FirstSeen), timeText(service.LastSeen)})
	}
	err = s.show(services, []string{"SERVICE", "SPANS", "FIRST SEEN (UTC)", "LAST SEEN (UTC)"}, rows,
		"No services yet: `spanlake index` takes in what is in the lake.")
	s.tellIncomplete(x, &complete)
	return err
}

// show prints objects as JSON, or rows as a table, or empty if there are none.
func (s *session) show(objects any, header []string, rows [][]string, empty string) error {
	if s.json {
		return writeJSON(s.stdout, objects)
	}
	if len(rows) == 0 {
		_, err := fmt.Fprintln(s.stdout, empty)
		return err
	}
	return terminal.Table(s.stdout, header, rows)
}

// maxRemoteFiles is how many files the HTTP API lists at once.
const maxRemoteFiles = 10_000

func newFilesCommand() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:     "files",
		Short:   "List the indexed files, the ones indexed last first",
		Example: "  spanlake files --limit 10",
		Args:    cobra.NoArgs,
		RunE: reading(func(s *session, ctx context.Context, x api.Catalog) error {
			if limit < 1 {
				return fmt.Errorf("--limit %d is not allowed: must be at least 1: %w", limit, errUsage)
			}
			if _, here := x.(local); !here && limit > maxRemoteFiles {
				return fmt.Errorf("--limit %d is not allowed: a running backend lists at most %d: %w", limit, maxRemoteFiles, errUsage)
			}
			return s.files(ctx, x, limit)
		}),
	}
	cmd.Flags().IntVar(&limit, "limit", 100, "how many files to list")
	addJSONFlag(cmd, "print an array of objects")
	return cmd
}

func (s *session) files(ctx context.Context, x api.Catalog, limit int) error {
	files, err := x.Files(ctx, limit)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, f := range files {
		from, to := "-", "-"
		if f.MinTime != nil && f.MaxTime != nil {
			from, to = timeText(*f.MinTime), timeText(*f.MaxTime)
		}
		rows = append(rows, []string{f.Path, humanize.Comma(f.RowCount), humanize.Bytes(uint64(max(f.SizeBytes, 0))), from, to})
	}
	return s.show(files, []string{"FILE", "ROWS", "SIZE", "FROM (UTC)", "TO (UTC)"}, rows,
		"No files yet: `spanlake index` takes in what is in the lake.")
}

func newFailedCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "failed",
		Short: "List the files that could not be indexed, and why",
		Long: "Failed files are tried again when their size or modification time changes, or after `spanlake retry`. Types that may\n" +
			"pass (unreadable, too_large, internal) are tried again by themselves as well, four times.\n" +
			"Types: not_parquet, truncated, missing_column, wrong_type, unreadable, too_large, internal.",
		Example: "  spanlake failed\n  spanlake failed --json | jq -r '.[] | [.error_type, .file_path] | @tsv'",
		Args:    cobra.NoArgs,
		RunE:    reading((*session).failed),
	}
	addJSONFlag(cmd, "print an array of objects")
	return cmd
}

func (s *session) failed(ctx context.Context, x api.Catalog) error {
	files, err := x.Failed(ctx)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, f := range files {
		next := "when it changes"
		switch {
		case f.Due:
			next = "next index"
		case f.RetryAt != nil:
			next = "after " + timeText(*f.RetryAt)
		}
		rows = append(rows, []string{f.Path, humanize.Bytes(uint64(max(f.Size, 0))), f.ErrorType, next, f.Message})
	}
	return s.show(files, []string{"FILE", "SIZE", "TYPE", "TRIED AGAIN", "WHY"}, rows, "No file has failed.")
}

func newRetryCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "retry [PATH | --all]",
		Short: "Let the next index, or the running backend, try failed files again",
		Example: "  spanlake retry year=2026/month=11/day=23/chat-api_1795461163_37bd156f.parquet\n" +
			"  spanlake retry --all && spanlake index",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) == 1) {
				return fmt.Errorf("give the path of one failed file, or --all: %w", helpError{cmd})
			}
			s, err := newSession(cmd)
			if err != nil {
				return err
			}
			// Opened for writing it would be made, to no purpose.
			if _, err := os.Stat(s.Config.DB); errors.Is(err, fs.ErrNotExist) && s.Config.Server == "" {
				return fmt.Errorf("%s: %w", s.Config.DB, index.ErrNoIndex)
			}
			return s.withCatalog(cmd.Context(), false, func(x api.Catalog) error {
				return s.retry(cmd.Context(), x, args)
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "all failed files")
	return cmd
}

func (s *session) retry(ctx context.Context, x api.Catalog, paths []string) error {
	due := int64(len(paths))
	var err error
	if len(paths) == 0 {
		due, err = x.RetryAll(ctx)
	} else {
		err = x.Retry(ctx, paths[0])
	}
	if err != nil {
		return err
	}
	if due == 0 {
		_, err = fmt.Fprintln(s.stdout, "No file has failed.")
		return err
	}
	when := "by the next `spanlake index`"
	if _, here := x.(local); !here {
		when = "by the running backend"
	}
	_, err = fmt.Fprintf(s.stdout, "%s will be tried again %s\n", count(due, "file"), when)
	return err
}
