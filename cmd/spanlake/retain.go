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
	"github.com/spanlake/spanlake/internal/lake"
	"github.com/spanlake/spanlake/internal/span"
)

func newRetainCommand() *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "retain",
		Short: "Delete files of the lake that are too old or too many",
		Long: "Retain deletes the files that --retain-days and --retain-bytes let go, the oldest first, and their spans from the\n" +
			"index. A file's age is that of the UTC day of its partition, or of its modification outside of partitions.\n" +
			"A running `spanlake backend` does so by itself under its own settings.",
		Example: "  spanlake retain --retain-days 30 --dry-run\n" +
			"  spanlake retain --retain-bytes 50GB",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := newSession(cmd)
			if err != nil {
				return err
			}
			if s.Retention() == (span.RetentionPolicy{}) {
				return fmt.Errorf("say what to retain with --retain-days or --retain-bytes: %w", helpError{cmd})
			}
			if dryRun {
				return s.withCatalog(cmd.Context(), true, func(c api.Catalog) error { return s.expired(cmd.Context(), c) })
			}
			if err := s.here(cmd); err != nil {
				return err
			}
			// Opened for writing it would be made, to no purpose.
			if _, err := os.Stat(s.Config.DB); errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%s: %w", s.Config.DB, index.ErrNoIndex)
			}
			return s.withIndex(cmd.Context(), false, func(x *index.Index) error { return s.retain(cmd.Context(), x) })
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "list what would be deleted, and delete nothing")
	addJSONFlag(cmd, "print an array of objects, or the summary as one")
	return cmd
}

// expired lists what retention would delete.
func (s *session) expired(ctx context.Context, c api.Catalog) error {
	files, err := c.Expired(ctx, s.Retention())
	if err != nil {
		return err
	}
	var rows [][]string
	var bytes int64
	for _, f := range files {
		bytes += f.SizeBytes
		rows = append(rows, []string{f.Path, f.Day.Format("2006-01-02"), humanize.Comma(f.RowCount), humanize.Bytes(uint64(max(f.SizeBytes, 0)))})
	}
	if err := s.show(files, []string{"FILE", "DAY (UTC)", "ROWS", "SIZE"}, rows, "Nothing would be deleted."); err != nil || s.json || len(files) == 0 {
		return err
	}
	_, err = fmt.Fprintf(s.stdout, "%s of %s would be deleted\n", count(int64(len(files)), "file"), humanize.Bytes(uint64(max(bytes, 0))))
	return err
}

// retain deletes what has expired.
func (s *session) retain(ctx context.Context, x *index.Index) error {
	// An expired file that is not there would only leave the index, and come back when the lake is mounted.
	found, err := x.Look(ctx, span.WholeLake(s.Scan(ctx)), index.LookOptions{})
	if err != nil {
		return err
	}
	if found.Absent || found.Withheld > 0 {
		return fmt.Errorf("most files of the index are not in the lake %s: is it mounted? Nothing was deleted", s.Config.Lake)
	}
	var sum index.Retired
	for more := true; more; {
		done, err := x.Retire(ctx, s.Retention(), func(file span.File) error { return lake.Remove(s.Config.Lake, file) })
		sum.Files, sum.Bytes = sum.Files+done.Files, sum.Bytes+done.Bytes
		if err != nil {
			return err
		}
		more = done.More
	}
	if s.json {
		return writeJSON(s.stdout, struct {
			FilesDeleted int64 `json:"files_deleted"`
			BytesDeleted int64 `json:"bytes_deleted"`
		}{sum.Files, sum.Bytes})
	}
	_, err = fmt.Fprintf(s.stdout, "%s of %s deleted\n", count(sum.Files, "file"), humanize.Bytes(uint64(max(sum.Bytes, 0))))
	return err
}
