// Command spanlake keeps OpenTelemetry traces in Parquet files and finds them through a DuckDB index.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spanlake/spanlake/internal/terminal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	err := Run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "spanlake:", terminal.PrintableLines(err.Error())) // there is nobody else to tell
	}
	os.Exit(exitCode(err))
}
