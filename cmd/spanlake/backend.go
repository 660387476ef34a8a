package main

import (
	"github.com/spf13/cobra"

	"github.com/spanlake/spanlake/internal/app"
)

func newBackendCommand() *cobra.Command {
	cmd := roleCommand(app.Backend, &cobra.Command{
		Use:   "backend",
		Short: "Follow the lake and serve the index",
		Long: "Backend indexes files as soon as they land in the lake, removes what goes, and answers on --listen: /healthz, /readyz,\n" +
			"/metrics for Prometheus, /api/v1. While it runs, the other commands ask it instead of opening the index.\n" +
			"A `spanlake ingest` on --internal-server is told which files are indexed; without one the backend works all the same.\n" +
			"SIGTERM or Ctrl-C stops it, a second one at once; nothing is lost either way.",
		Example: "  spanlake backend --lake ./spans --db ./spans.duckdb\n" +
			"  spanlake backend --retain-days 30 --retain-bytes 50GB\n" +
			"  curl http://127.0.0.1:1323/api/v1/indexer",
	})
	addIngestSettings(cmd.Flags(), "internal-server", "keys-file", "read-api-keys", "insecure")
	return cmd
}
