// Package terminal makes text for people: what senders of spans chose is shown and never obeyed, columns line up in any script, and colours
// are there for those who see them.
package terminal

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/dustin/go-humanize"
	"github.com/rivo/uniseg"
)

// Printable shows what would move the cursor, colour the terminal or break a table, instead of doing it: names come
// from whoever sends spans.
func Printable(text string) string {
	// A byte that is no UTF-8 may be a command to an old terminal: 0x9b is what ESC [ is elsewhere.
	text = strings.ToValidUTF8(text, "\uFFFD")
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

// PrintableLines is Printable for a text of several lines.
func PrintableLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = Printable(line)
	}
	return strings.Join(lines, "\n")
}

// Width is how many cells a printable text takes: two for each character of Chinese, none for accents that are characters of their own.
func Width(text string) int {
	if isASCII(text) {
		return len(text)
	}
	return uniseg.StringWidth(text)
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= 0x80 {
			return false
		}
	}
	return true
}

// ellipsis stands for what was cut off.
const ellipsis = "…"

// Cut is a printable text that takes no more than width cells: if it is longer, it ends with an ellipsis.
func Cut(text string, width int) string {
	if Width(text) <= width {
		return text
	}
	if width < 1 {
		return ""
	}
	end, used, state := 0, 0, -1
	for rest := text; rest != ""; {
		var cluster string
		var cells int
		cluster, rest, cells, state = uniseg.FirstGraphemeClusterInString(rest, state)
		if used+cells > width-1 {
			break
		}
		used, end = used+cells, end+len(cluster)
	}
	return text[:end] + ellipsis
}

// Pad is a printable text with blanks behind it up to width cells.
func Pad(text string, width int) string { return text + strings.Repeat(" ", max(width-Width(text), 0)) }

// PadLeft is a printable text with blanks before it.
func PadLeft(text string, width int) string {
	return strings.Repeat(" ", max(width-Width(text), 0)) + text
}

// gap is between two columns of a table.
const gap = 2

// Table writes aligned columns with a header. Cells need not be printable.
func Table(w io.Writer, header []string, rows [][]string) error {
	return Grid{Header: header, Rows: rows}.Write(w)
}

// Grid is a table, some cells of which may be coloured.
type Grid struct {
	Header []string
	Rows   [][]string
	// Color is the colour of a cell; nil: there are no colours.
	Color func(row, column int) Color
}

// Write writes the table, with aligned columns. Cells need not be printable.
func (g Grid) Write(w io.Writer) error {
	shown := make([][]string, 0, len(g.Rows)+1)
	widths := make([]int, len(g.Header))
	for _, row := range append([][]string{g.Header}, g.Rows...) {
		cells := make([]string, len(row))
		for j, cell := range row {
			cells[j] = Printable(cell)
			if j < len(widths) {
				widths[j] = max(widths[j], Width(cells[j]))
			}
		}
		shown = append(shown, cells)
	}
	for i, row := range shown {
		var line strings.Builder
		for j, cell := range row {
			padding := 0
			if j < len(row)-1 {
				padding = widths[j] - Width(cell) + gap
			}
			if i > 0 && g.Color != nil {
				cell = Paint(cell, g.Color(i-1, j), true)
			}
			line.WriteString(cell)
			line.WriteString(strings.Repeat(" ", padding))
		}
		line.WriteByte('\n')
		if _, err := io.WriteString(w, line.String()); err != nil {
			return err
		}
	}
	return nil
}

// Count is a number with its noun.
func Count(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return humanize.Comma(n) + " " + noun + "s"
}

// Duration is a duration in few characters: three digits that count, and a unit.
func Duration(d time.Duration) string {
	if d < 0 {
		if -d < 0 { // the smallest number has no positive one
			d++
		}
		return "-" + Duration(-d)
	}
	if d < time.Microsecond {
		return fmt.Sprintf("%dns", int64(d))
	}
	for _, unit := range []struct {
		size time.Duration
		name string
		// most is what would be rounded up to the next unit.
		most float64
	}{{time.Microsecond, "µs", 999.5}, {time.Millisecond, "ms", 999.5}, {time.Second, "s", 59.95}} {
		if n := float64(d) / float64(unit.size); n < unit.most {
			return threeDigits(n) + unit.name
		}
	}
	const (
		hour, day = 60, 24 * 60 // in minutes
		long      = 1000 * day  // from there on hours do not count
	)
	if seconds := int64(d.Round(time.Second) / time.Second); seconds < 60*hour {
		return fmt.Sprintf("%dm%02ds", seconds/60, seconds%60)
	}
	switch minutes := int64(d.Round(time.Minute) / time.Minute); {
	case minutes < 4*day:
		return fmt.Sprintf("%dh%02dm", minutes/hour, minutes%hour)
	case minutes < long:
		return fmt.Sprintf("%dd%02dh", minutes/day, minutes%day/hour)
	default:
		return fmt.Sprintf("%dd", minutes/day)
	}
}

func threeDigits(n float64) string {
	switch {
	case n < 9.995:
		return fmt.Sprintf("%.2f", n)
	case n < 99.95:
		return fmt.Sprintf("%.1f", n)
	}
	return fmt.Sprintf("%.0f", n)
}
