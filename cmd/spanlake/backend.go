package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newBackendCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "backend",
		Short: "Follow the lake and serve the index",
		Long: "Backend indexes files as soon as they land in the lake, removes what goes, and answers on --listen: /healthz, /readyz,\n" +
			"/metrics for Prometheus, /api/v1. While it runs, the other commands ask it instead of opening the index.\n" +
			"SIGTERM or Ctrl-C stops it, a second one at once; nothing is lost either way.",
		Example: "  spanlake backend --lake ./spans --db ./spans.duckdb\n" +
			"  spanlake backend --retain-days 30 --retain-bytes 50GB\n" +
			"  curl http://127.0.0.1:1323/api/v1/indexer",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := newServerSession(cmd)
			if err != nil {
				return err
			}
			if err := s.here(cmd); err != nil {
				return err
			}
			out := &printer{w: s.stdout}
			err = s.Backend(cmd.Context(), version(), func(url string) {
				out.printf("Following %s on %s\n", s.Config.Lake, url)
			})
			if err == nil && out.err != nil {
				err = fmt.Errorf("print the address: %w", out.err)
			}
			return err
		},
	}
}
