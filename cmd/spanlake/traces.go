package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/terminal"
)

func newTracesCommand() *cobra.Command {
	var filter filterFlags
	var cursor string
	var limit int
	cmd := &cobra.Command{
		Use:   "traces",
		Short: "List traces, newest first",
		Long: "Traces lists traces by their root spans, the newest first. Filters are of the root span, but for --attr, --has-llm and\n" +
			"--workflow, which any span of the trace may have.",
		Example: "  spanlake traces --since 1h --status error\n" +
			"  spanlake traces --service chat-api --min-duration 2s --has-llm\n" +
			"  spanlake traces --attr user.id=42 --attr gen_ai.request.model --json | jq -r '.[].trace_id'",
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
			return s.withQueries(cmd.Context(), func(x asked) error { return s.traces(cmd.Context(), x, chosen, cursor, limit) })
		},
	}
	filter.add(cmd, "root span", "has a span")
	addIngestSettings(cmd.Flags(), "wal")
	cmd.Flags().IntVar(&limit, "limit", 50, "how many traces to list at most, 1 to 10000")
	cmd.Flags().StringVar(&cursor, "cursor", "", "the next page: what was printed after the page before, with the same filters")
	addJSONFlag(cmd, "print an array of objects")
	return cmd
}

func (s *session) traces(ctx context.Context, x asked, f span.TraceFilter, cursor string, limit int) error {
	page, err := x.Traces(ctx, f, cursor, limit)
	if err != nil {
		return err
	}
	if s.json {
		err = writeJSON(s.stdout, wire.FromTracePage(page).Traces)
	} else {
		err = s.traceTable(page.Roots)
	}
	if err != nil {
		return err
	}
	s.tellIncomplete(x, &page.Completeness)
	if page.Next != "" {
		_, err = fmt.Fprintf(s.stderr, "There are more: the same with --cursor %s\n", page.Next)
	}
	return err
}

// The columns of the table of traces.
const (
	barColumn    = 10
	minName      = 16
	maxService   = 24
	statusColumn = 5
)

// traceTable prints root spans with bars for their durations, of which the longest takes the whole column.
func (s *session) traceTable(roots []span.Metadata) error {
	if len(roots) == 0 {
		_, err := fmt.Fprintln(s.stdout, "No trace matches.")
		return err
	}
	longest, cut := time.Duration(1), 0
	for i := range roots {
		longest = max(longest, roots[i].Duration)
	}
	if width := terminalWidth(s.stdout); width > 0 {
		cut = s.nameWidth(roots, width)
	}
	table := terminal.Grid{Header: []string{"START (UTC)", "SERVICE", "NAME", "DURATION", "", "STATUS", "TRACE ID"}}
	for i := range roots {
		r := &roots[i]
		name, service := terminal.Printable(r.Name), terminal.Printable(r.ServiceName)
		if cut > 0 {
			name, service = terminal.Cut(name, cut), terminal.Cut(service, maxService)
		}
		table.Rows = append(table.Rows, []string{milliText(r.StartTime), service, name, terminal.PadLeft(terminal.Duration(r.Duration), len("DURATION")),
			terminal.Bar(0, float64(r.Duration)/float64(longest), barColumn), r.StatusCode.String(), r.TraceID})
	}
	if colors(s.stdout) {
		table.Color = func(row, column int) terminal.Color {
			if roots[row].StatusCode == span.StatusError && table.Header[column] == "STATUS" {
				return terminal.Red
			}
			return ""
		}
	}
	return table.Write(s.stdout)
}

// nameWidth is what names may take so that a line of the terminal has everything.
func (s *session) nameWidth(roots []span.Metadata, width int) int {
	service := len("SERVICE")
	for i := range roots {
		service = max(service, min(terminal.Width(terminal.Printable(roots[i].ServiceName)), maxService))
	}
	const gaps, traceID = 6 * 2, 32
	others := len(milliLayout) + service + len("DURATION") + barColumn + len("STATUS") + traceID + gaps
	return max(width-others, minName)
}

// milliLayout is a time for people to the millisecond.
const milliLayout = "2006-01-02 15:04:05.000"

func milliText(t time.Time) string { return t.UTC().Format(milliLayout) }

// terminalWidth is how many cells a line has, 0 if there is no terminal.
func terminalWidth(w io.Writer) int {
	file, ok := w.(*os.File)
	if !ok || !isTerminal(w) {
		return 0
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil || width <= 0 {
		return 80
	}
	return width
}

// plainWidth is the width of what is drawn where there is no terminal.
const plainWidth = 160

// drawnWidth is how wide something is drawn.
func drawnWidth(w io.Writer) int { return cmp.Or(terminalWidth(w), plainWidth) }

// colors tells whether there is a terminal that shows colours, and nobody said that they are not wanted (https://no-color.org).
func colors(w io.Writer) bool {
	return isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}
