package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/terminal"
)

// errNobodyToTail says that there is no server.
var errNobodyToTail = errors.New("no server runs that could tell of new traces: start `spanlake serve`, or name one with --server")

func newTailCommand() *cobra.Command {
	var filter filterFlags
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Print new traces as they arrive, until Ctrl-C",
		Long: "Tail prints the root spans that a running server takes in from now on, each when it has ended, with the filters of\n" +
			"`spanlake traces`. Ctrl-C is the way to end it: the exit code is 0 then.",
		Example: "  spanlake tail --service chat-api --status error\n" +
			"  spanlake tail --json | jq -r 'select(.duration_ns > 1e9) | .trace_id'",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			chosen, err := filter.traces(time.Now())
			if err != nil {
				return err
			}
			s, err := newSession(cmd)
			if err != nil {
				return err
			}
			if err := s.tail(cmd.Context(), chosen); err != nil && cmd.Context().Err() == nil {
				return err
			}
			return nil
		},
	}
	filter.add(cmd, "root span", "has a span")
	addJSONFlag(cmd, "print one object on each line")
	return cmd
}

func (s *session) tail(ctx context.Context, f span.TraceFilter) error {
	// The server of an index that nobody has would have no spans to tell of, and the index must not be kept from one that starts.
	server, err := s.server(ctx, true)
	if err != nil {
		return err
	}
	if server == nil {
		return errNobodyToTail
	}
	defer server.Close()
	if isTerminal(s.stderr) {
		out := &printer{w: s.stderr}
		out.printf("Waiting for traces, Ctrl-C ends ...\n")
	}
	return named(server.Queries().Tail(ctx, f, s.printRoots))
}

// printRoots prints a line for each root span.
func (s *session) printRoots(roots []span.Metadata) error {
	out := &printer{w: s.stdout}
	for i := range roots {
		r := &roots[i]
		if s.json {
			if err := writeJSON(s.stdout, wire.FromMetadata(*r)); err != nil {
				return err
			}
			continue
		}
		status := terminal.Pad(r.StatusCode.String(), statusColumn)
		if r.StatusCode == span.StatusError {
			status = terminal.Paint(status, terminal.Red, colors(s.stdout))
		}
		out.printf("%s  %s  %s  %s  %s\n", milliText(r.StartTime), terminal.Printable(r.TraceID),
			terminal.PadLeft(terminal.Duration(r.Duration), len("DURATION")), status, serviceAndName(r))
	}
	return out.err
}

func serviceAndName(r *span.Metadata) string {
	return fmt.Sprintf("%s: %s", terminal.Printable(r.ServiceName), terminal.Printable(r.Name))
}
