package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/dustin/go-humanize"
)

// printer writes text and remembers the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// count is a number with its noun.
func count(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return humanize.Comma(n) + " " + noun + "s"
}

// countAre is count with its verb.
func countAre(n int64, noun string) string {
	if n == 1 {
		return count(n, noun) + " is"
	}
	return count(n, noun) + " are"
}

// writeTable writes aligned columns with a header.
func writeTable(w io.Writer, header []string, rows [][]string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	out := &printer{w: table}
	for _, row := range append([][]string{header}, rows...) {
		for i, cell := range row {
			if i > 0 {
				out.printf("\t")
			}
			out.printf("%s", printable(cell))
		}
		out.printf("\n")
	}
	if out.err != nil {
		return out.err
	}
	return table.Flush()
}

// printable shows what would move the cursor, colour the terminal or break a table, instead of doing it: names come
// from whoever sends spans.
func printable(text string) string {
	clean := func(r rune) bool { return unicode.IsPrint(r) || r == ' ' }
	if strings.IndexFunc(text, func(r rune) bool { return !clean(r) }) < 0 {
		return text
	}
	var shown strings.Builder
	for _, r := range text {
		if clean(r) {
			shown.WriteRune(r)
		} else {
			shown.WriteString(strings.Trim(fmt.Sprintf("%+q", r), "'"))
		}
	}
	return shown.String()
}

// printableLines is printable for a text of several lines, such as an error of DuckDB, which may quote what is in the index.
func printableLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = printable(line)
	}
	return strings.Join(lines, "\n")
}

// timeText is a time for people, in UTC, to the second.
func timeText(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }
