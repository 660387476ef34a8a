package spantext

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/terminal"
)

// Options say how a tree is drawn.
type Options struct {
	// Width is how many cells a line has.
	Width int
	// Colors: there is a terminal that shows colours.
	Colors bool
}

const (
	minWidth, minName, minBar, maxBar, maxService = 60, 20, 10, 60, 24
	durationWidth, idWidth                        = 8, 16
	// idsFrom is the width of a line from which on there is room for span ids.
	idsFrom = 120
	// level is how far a level is indented, maxLevels how many are drawn: deeper ones are counted.
	level, maxLevels = 3, 12
	// countLevels is the room in levels for how many are not drawn.
	countLevels = 2
	gap         = 2
)

// WriteTrace draws the spans of one trace as a tree, in whatever order they come.
func WriteTrace(w io.Writer, spans []span.Span, o Options) error {
	f := grow(spans)
	d := drawing{out: bufio.NewWriter(w), options: o}
	d.begin, d.length = f.extent()
	d.layout(&f)
	d.header(&f)
	if err := f.rows(d.levels, d.row); err != nil {
		return err
	}
	if d.err != nil {
		return d.err
	}
	return d.out.Flush()
}

// drawing is a tree while it is drawn.
type drawing struct {
	out     *bufio.Writer
	options Options
	colors  terminal.Colors
	begin   time.Time
	length  time.Duration
	// name, service and bar are how wide the columns are; ids: the last column are span ids.
	name, service, bar int
	ids                bool
	// levels is how many levels are drawn.
	levels int
	err    error
}

// layout divides the width: names get what they need, if there is so much.
func (d *drawing) layout(f *forest) {
	width := max(d.options.Width, minWidth)
	d.ids = width >= idsFrom
	needed, most := 0, min(maxService, width/4)
	d.service, d.levels = len("SERVICE"), maxLevels
	_ = f.rows(d.levels, func(r row) error { // it fails only if the call does
		if r.title == "" {
			d.service = max(d.service, min(terminal.Width(terminal.Printable(r.ServiceName)), most))
			needed = max(needed, terminal.Width(prefix(r, false))+terminal.Width(label(r.Span)))
		}
		return nil
	})
	others := gap + d.service + gap + durationWidth + gap
	if d.ids {
		others += gap + idWidth
	}
	left := width - others
	d.bar = min(max(left/3, minBar), maxBar)
	d.name = max(min(needed, left-d.bar), minName)
	d.bar = min(max(left-d.name, minBar), maxBar)
	d.levels = min(maxLevels, d.name/2/level)
}

// header says what the trace is.
func (d *drawing) header(f *forest) {
	if len(f.nodes) == 0 {
		return
	}
	services, failed := make(map[string]bool), int64(0)
	first := f.nodes[0].Span
	for i := range f.nodes {
		services[f.nodes[i].ServiceName] = true
		if f.nodes[i].StatusCode == span.StatusError {
			failed++
		}
	}
	if g := f.groups[0]; g.title == "" {
		first = f.nodes[g.roots[0]].Span
	}
	d.printf("Trace %s\n", d.paint(terminal.Printable(first.TraceID), terminal.Bold))
	failures := terminal.Count(failed, "error")
	if failed > 0 {
		failures = d.paint(failures, terminal.Red)
	}
	title := label(first)
	if service := terminal.Printable(first.ServiceName); service != "" {
		title = service + ": " + title
	}
	d.printf("%s, %s, %s, %s, %s UTC\n\n", title, terminal.Count(int64(len(f.nodes)), "span"),
		terminal.Count(int64(len(services)), "service"), failures, d.begin.UTC().Format("2006-01-02 15:04:05.000"))
	titles := terminal.Pad("SPAN", d.name+gap) + terminal.Pad("SERVICE", d.service+gap) + terminal.PadLeft("DURATION", durationWidth) +
		strings.Repeat(" ", gap) + terminal.Pad(scale(d.length, d.bar), d.bar)
	if d.ids {
		titles += strings.Repeat(" ", gap) + "SPAN ID"
	}
	d.printf("%s\n", strings.TrimRight(titles, " "))
}

// scale is the title of the bars: from nothing to how long the trace lasts.
func scale(length time.Duration, cells int) string {
	from, to := "0", terminal.Duration(length)
	return from + terminal.PadLeft(to, cells-terminal.Width(from))
}

// label is the name of a span; a span without one is shown as well.
func label(s *span.Span) string {
	name := terminal.Printable(s.Name)
	if name == "" {
		name = "(no name)"
	}
	if s.StatusCode == span.StatusError {
		name = "✗ " + name
	}
	return name
}

// prefix is what stands before a name. below: it is that of a line below the name.
func prefix(r row, below bool) string {
	var b strings.Builder
	levels := r.last
	if hidden := r.depth - len(levels); hidden > 0 {
		counted := min(countLevels, len(levels))
		b.WriteString(terminal.Pad(fmt.Sprintf("…%d", hidden+counted), counted*level))
		levels = levels[counted:]
	}
	for i, last := range levels {
		switch own := i == len(levels)-1 && !below; {
		case own && last:
			b.WriteString("└─ ")
		case own:
			b.WriteString("├─ ")
		case last:
			b.WriteString("   ")
		default:
			b.WriteString("│  ")
		}
	}
	return b.String()
}

func (d *drawing) row(r row) error {
	if r.title != "" {
		d.printf("%s\n", d.paint(terminal.Printable(r.title), terminal.Yellow))
		return d.err
	}
	color := d.colors.Of(r.ServiceName)
	before := prefix(r, false)
	name := terminal.Cut(label(r.Span), max(d.name-terminal.Width(before), 1))
	padding := max(d.name-terminal.Width(before)-terminal.Width(name), 0)
	if r.StatusCode == span.StatusError {
		name = d.paint(name, terminal.Red)
	}
	service := terminal.Cut(terminal.Printable(r.ServiceName), d.service)
	line := d.paint(before, terminal.Faint) + name + strings.Repeat(" ", padding+gap) +
		d.paint(service, color) + strings.Repeat(" ", max(d.service-terminal.Width(service), 0)+gap) +
		terminal.PadLeft(terminal.Duration(r.EndTime.Round(0).Sub(r.StartTime.Round(0))), durationWidth) + strings.Repeat(" ", gap)
	bar := d.barOf(r.Span)
	line += d.paint(bar, color)
	if d.ids {
		line += strings.Repeat(" ", max(d.bar-terminal.Width(bar), 0)+gap) + d.paint(terminal.Printable(r.SpanID), terminal.Faint)
	}
	d.printf("%s\n", line)
	d.failure(r)
	return d.err
}

// barOf is the time of a span within the trace.
func (d *drawing) barOf(s *span.Span) string {
	if d.length <= 0 {
		return terminal.Bar(0, 0, d.bar)
	}
	total := float64(d.length)
	return terminal.Bar(float64(s.StartTime.Sub(d.begin))/total, float64(s.EndTime.Sub(s.StartTime))/total, d.bar)
}

// failure says what went wrong with a span, and which one it is.
func (d *drawing) failure(r row) {
	if r.StatusCode != span.StatusError || r.StatusMessage == "" && d.ids {
		return
	}
	before := prefix(r, true)
	if r.open {
		before += "│ "
	} else {
		before += "  "
	}
	text := terminal.Printable(r.StatusMessage)
	if !d.ids {
		text = strings.TrimSuffix("span "+terminal.Printable(r.SpanID)+": "+text, ": ")
	}
	text = terminal.Cut(text, max(max(d.options.Width, minWidth)-terminal.Width(before), minName))
	d.printf("%s%s\n", d.paint(before, terminal.Faint), d.paint(text, terminal.Red))
}

func (d *drawing) paint(text string, c terminal.Color) string {
	return terminal.Paint(text, c, d.options.Colors)
}

// printf remembers the first error.
func (d *drawing) printf(format string, args ...any) {
	if d.err == nil {
		_, d.err = fmt.Fprintf(d.out, format, args...)
	}
}
