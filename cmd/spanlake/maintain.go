package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/spanlake/spanlake/internal/api"
	"github.com/spanlake/spanlake/internal/index"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/terminal"
)

func newRebuildCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rebuild",
		Short: "Make the index anew from the lake",
		Long: "Rebuild indexes the whole lake into a new file beside the old one and puts it in its place when it is whole.\n" +
			"Until then the old index can be read, and it stays if anything goes wrong.",
		Example: "  spanlake rebuild",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := newSession(cmd)
			if err != nil {
				return err
			}
			if err := s.here(cmd); err != nil {
				return err
			}
			bar := s.newProgress()
			summary, err := s.Rebuild(cmd.Context(), index.SyncOptions{Progress: bar.show})
			bar.finish()
			if err != nil {
				return err
			}
			return s.printSummary(summary, peakRSS())
		},
	}
	addJSONFlag(cmd, "print the summary as one JSON object")
	return cmd
}

func newVerifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Compare the index with the lake",
		Long: "Verify compares the registry with the folder and the footers of the Parquet files, and the tables of the index\n" +
			"with each other: counts, uniqueness, services, trace look-up. It prints each difference and exits 1 if there is any.",
		Example: "  spanlake verify && echo all is well",
		Args:    cobra.NoArgs,
		RunE:    reading((*session).verify),
	}
	addJSONFlag(cmd, "print an array of objects")
	return cmd
}

func (s *session) verify(ctx context.Context, x api.Catalog) error {
	differences := []span.Difference{}
	out := &printer{w: s.stdout}
	n, err := x.Verify(ctx, func(d span.Difference) {
		if s.json {
			differences = append(differences, d)
			return
		}
		out.printf("%s: %s %s\n", d.Check, terminal.Printable(d.Subject), terminal.Printable(d.Problem))
	})
	if err != nil {
		return err
	}
	if out.err != nil {
		return out.err
	}
	if s.json {
		if err := writeJSON(s.stdout, differences); err != nil {
			return err
		}
	}
	if n > 0 {
		return fmt.Errorf("%s: %w: `spanlake index` takes in what is new, `spanlake rebuild` makes the index anew",
			count(int64(n), "difference"), errDifferences)
	}
	return nil
}
