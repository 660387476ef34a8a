package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/spanlake/spanlake/internal/app"
)

func newServeCommand() *cobra.Command {
	cmd := roleCommand(app.Serve, &cobra.Command{
		Use:   "serve",
		Short: "Take spans in, index them and serve the index",
		Long: "Serve is `spanlake ingest` and `spanlake backend` in one process: OTLP comes in on --otlp-grpc and --otlp-http, is made\n" +
			"durable in the write-ahead log before it is acknowledged, and moved into the lake, which is indexed and served on --listen.\n" +
			"SIGTERM or Ctrl-C flushes and stops, a second one stops at once; nothing is lost either way.",
		Example: "  spanlake serve\n" +
			"  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317 python my_agent.py",
	})
	addIngestSettings(cmd.Flags())
	return cmd
}

func newIngestCommand() *cobra.Command {
	cmd := roleCommand(app.Ingest, &cobra.Command{
		Use:   "ingest",
		Short: "Take spans in and write them to the lake",
		Long: "Ingest takes OTLP on --otlp-grpc and --otlp-http, makes it durable in the write-ahead log before it is acknowledged, and\n" +
			"moves it into Parquet files of the lake. It shows what is in no file yet on --internal-listen to a `spanlake backend` that\n" +
			"indexes the same lake, and answers on --ingest-listen: /healthz, /readyz, /metrics, /api/v1/ingest, /api/v1/flush.",
		Example: "  spanlake ingest --lake ./spans --wal ./wal.db\n" +
			"  curl -X POST http://127.0.0.1:1324/api/v1/flush",
	})
	addIngestSettings(cmd.Flags())
	return cmd
}

// roleCommand makes a command that runs until it is stopped.
func roleCommand(role app.Role, cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := newServerSession(cmd)
		if err != nil {
			return err
		}
		if err := s.here(cmd); err != nil {
			return err
		}
		if role.TakesIn() && s.Config.OTLPGRPC == "" && s.Config.OTLPHTTP == "" {
			return fmt.Errorf("--otlp-grpc and --otlp-http are both off, so no span could come in: %w", helpError{cmd})
		}
		out := &printer{w: s.stdout}
		err = s.Run(cmd.Context(), role, version(), func(at app.Addresses) {
			if at.OTLPGRPC != "" {
				out.printf("Taking OTLP over gRPC on %s\n", at.OTLPGRPC)
			}
			if at.OTLPHTTP != "" {
				out.printf("Taking OTLP over HTTP on %s\n", at.OTLPHTTP)
			}
			if at.Internal != "" {
				out.printf("Showing unflushed spans on %s\n", at.Internal)
			}
			if role.Indexes() {
				out.printf("Following %s on %s\n", s.Config.Lake, at.URL)
			} else {
				out.printf("Writing to %s, health and metrics on %s\n", s.Config.Lake, at.URL)
			}
		})
		if err == nil && out.err != nil {
			err = fmt.Errorf("print the address: %w", out.err)
		}
		if err != nil {
			return &serverError{err}
		}
		return nil
	}
	return cmd
}
