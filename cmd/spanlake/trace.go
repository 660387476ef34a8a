package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/spantext"
	"github.com/spanlake/spanlake/internal/terminal"
)

func newTraceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trace TRACE_ID",
		Short: "Show a trace as a tree",
		Long: "Trace draws the spans of a trace by their parents, with the time that each took within the trace. With --json it prints\n" +
			"them as a TracesData message of OTLP.",
		Example: "  spanlake trace 4bf92f3577b34da6a3ce929d0e0e4736\n" +
			"  spanlake trace \"$(spanlake traces --status error --limit 1 --json | jq -r '.[0].trace_id')\"",
		Args: idArgs(1, "the id of a trace: `spanlake traces` lists them"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := newSession(cmd)
			if err != nil {
				return err
			}
			return s.withQueries(cmd.Context(), func(x asked) error { return s.trace(cmd.Context(), x, args[0]) })
		},
	}
	addIngestSettings(cmd.Flags(), "wal")
	addJSONFlag(cmd, "print a TracesData message of OTLP in JSON")
	return cmd
}

func (s *session) trace(ctx context.Context, x asked, traceID string) error {
	spans, complete, err := x.Trace(ctx, traceID)
	if err != nil {
		return hinted(err, isSpanID(traceID), "it is as long as a span id: `spanlake span "+traceID+"` looks for that")
	}
	if s.json {
		err = s.printOTLP(spans)
	} else {
		err = spantext.WriteTrace(s.stdout, spans, s.drawing())
	}
	s.tellIncomplete(x, &complete)
	return err
}

// drawing is how spans are drawn where they are printed.
func (s *session) drawing() spantext.Options {
	return spantext.Options{Width: drawnWidth(s.stdout), Colors: colors(s.stdout)}
}

// printOTLP prints spans as one TracesData message.
func (s *session) printOTLP(spans []span.Span) error {
	data, left := otlpwire.Join(spans)
	if len(left) == len(spans) && len(left) > 0 {
		return fmt.Errorf("without --json it can be shown: %w", left[0])
	}
	text, err := otlpwire.JSON(data)
	if err != nil {
		return err
	}
	if _, err := s.stdout.Write(append(text, '\n')); err != nil {
		return err
	}
	if len(left) > 0 {
		_, err = fmt.Fprintf(s.stderr, "Not complete: %s left out, such as: %s\n", countAre(int64(len(left)), "span"), terminal.Printable(left[0].Error()))
	}
	return err
}

// hinted is an error with a hint, if nothing was found and the hint applies.
func hinted(err error, applies bool, hint string) error {
	if applies && errors.Is(err, span.ErrNotFound) {
		return fmt.Errorf("%w; %s", err, hint)
	}
	return err
}

func isSpanID(text string) bool {
	_, err := span.ParseSpanID(text)
	return err == nil
}

func isTraceID(text string) bool {
	_, err := span.ParseTraceID(text)
	return err == nil
}

func newSpanCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "span [TRACE_ID] SPAN_ID",
		Short: "Show all that a span has",
		Long: "Span shows times, attributes, events, links, resource and scope of a span. Without its trace all of the index is looked\n" +
			"through for the id, which takes longer. With --json it prints a TracesData message of OTLP.",
		Example: "  spanlake span 4bf92f3577b34da6a3ce929d0e0e4736 00f067aa0ba902b7\n" +
			"  spanlake span 00f067aa0ba902b7 --json",
		Args: idArgs(2, "the id of a span, or of its trace and the span: `spanlake trace` shows them"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := newSession(cmd)
			if err != nil {
				return err
			}
			return s.withQueries(cmd.Context(), func(x asked) error { return s.span(cmd.Context(), x, args) })
		},
	}
	addIngestSettings(cmd.Flags(), "wal")
	addJSONFlag(cmd, "print a TracesData message of OTLP in JSON")
	return cmd
}

// span shows the spans with an id, which is usually one. ids is the span's, or its trace's before it.
func (s *session) span(ctx context.Context, x asked, ids []string) error {
	spanID := ids[len(ids)-1]
	find := func() ([]span.Span, span.Completeness, error) { return x.SpanByID(ctx, spanID) }
	if len(ids) == 2 {
		find = func() ([]span.Span, span.Completeness, error) { return x.Span(ctx, ids[0], spanID) }
	}
	spans, complete, err := find()
	if err != nil {
		return hinted(err, isTraceID(spanID), "it is as long as a trace id: `spanlake trace "+spanID+"` looks for that")
	}
	if s.json {
		err = s.printOTLP(spans)
	}
	for i := range spans {
		if s.json || err != nil {
			break
		}
		if i > 0 {
			_, err = fmt.Fprintln(s.stdout)
		}
		if err == nil {
			err = spantext.WriteSpan(s.stdout, &spans[i], s.drawing())
		}
	}
	s.tellIncomplete(x, &complete)
	return err
}

// idArgs takes from one argument to most, and says which they are.
func idArgs(most int, which string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < 1 || len(args) > most {
			return fmt.Errorf("give %s, not %s", which, count(int64(len(args)), "argument"))
		}
		return nil
	}
}
