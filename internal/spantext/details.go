package spantext

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/terminal"
)

const (
	timeLayout = "2006-01-02 15:04:05.000000000 UTC"
	// maxKeyWidth is how far values are moved to the right to stand in one column.
	maxKeyWidth = 40
)

// WriteSpan lists all that a span has.
func WriteSpan(w io.Writer, s *span.Span, o Options) error {
	d := details{out: bufio.NewWriter(w), colors: o.Colors}
	d.span(s)
	d.attributes("Attributes", 0, s.Attributes)
	d.events(s)
	d.links(s)
	d.attributes("Resource", 0, s.ResourceAttributes, fact{"schema url", s.ResourceSchemaURL}, dropped(s.ResourceDroppedAttributesCount))
	d.attributes("Scope", 0, s.ScopeAttributes, fact{"name", s.ScopeName}, fact{"version", s.ScopeVersion}, fact{"schema url", s.ScopeSchemaURL},
		dropped(s.ScopeDroppedAttributesCount))
	if d.err != nil {
		return d.err
	}
	return d.out.Flush()
}

// details are those of a span while they are written.
type details struct {
	out    *bufio.Writer
	colors bool
	err    error
}

// fact is a word and what it is of this span. One without a text is not shown.
type fact struct{ what, text string }

func dropped(n uint32) fact {
	if n == 0 {
		return fact{}
	}
	return fact{"dropped attributes", strconv.FormatUint(uint64(n), 10)}
}

func (d *details) printf(format string, args ...any) {
	if d.err == nil {
		_, d.err = fmt.Fprintf(d.out, format, args...)
	}
}

func (d *details) paint(text string, c terminal.Color) string {
	return terminal.Paint(text, c, d.colors)
}

func (d *details) span(s *span.Span) {
	d.printf("%s\n", d.paint(label(s), terminal.Bold))
	status := s.StatusCode.String()
	if s.StatusMessage != "" {
		status += ": " + s.StatusMessage
	}
	d.facts(1, []fact{
		{"service", s.ServiceName}, {"trace id", s.TraceID}, {"span id", s.SpanID}, {"parent span id", s.ParentSpanID}, {"kind", s.Kind.String()},
		{"status", status}, {"start", s.StartTime.UTC().Format(timeLayout)}, {"end", s.EndTime.UTC().Format(timeLayout)},
		{"duration", fmt.Sprintf("%s (%d ns)", terminal.Duration(s.Duration()), s.Duration())}, {"trace state", s.TraceState}, {"flags", flags(s.Flags)},
		dropped(s.DroppedAttributesCount), {"dropped events", number(s.DroppedEventsCount)}, {"dropped links", number(s.DroppedLinksCount)},
	})
}

// facts writes those that have a text. The texts stand in one column, but for those of long words.
func (d *details) facts(depth int, facts []fact) {
	facts = slices.DeleteFunc(facts, func(f fact) bool { return f.text == "" })
	width := 0
	for _, f := range facts {
		width = max(width, terminal.Width(terminal.Printable(f.what)))
	}
	for _, f := range facts {
		d.fact(depth, min(width, maxKeyWidth), f)
	}
}

func number(n uint32) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(n), 10)
}

// flags are W3C's trace flags and OpenTelemetry's bits above them, as they are written in specifications.
func flags(n uint32) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%#04x", n)
}

// fact writes a line, or several if the text has several.
func (d *details) fact(depth, width int, f fact) {
	indent := strings.Repeat("  ", depth)
	what := terminal.Printable(f.what)
	lines := strings.Split(terminal.PrintableLines(f.text), "\n")
	d.printf("%s%s  %s\n", indent, d.paint(terminal.Pad(what, width), terminal.Cyan), lines[0])
	before := indent + strings.Repeat(" ", max(width, terminal.Width(what))+2)
	for _, line := range lines[1:] {
		d.printf("%s\n", strings.TrimRight(before+line, " "))
	}
}

// attributes writes what a JSON object has by key, after some facts. Without anything in it there is no title either.
func (d *details) attributes(title string, depth int, object string, facts ...fact) {
	values, err := read[map[string]json.RawMessage](object)
	if err != nil {
		// Files of other writers may have anything there.
		facts = append(facts, fact{"not an object", object})
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		facts = append(facts, fact{key, value(values[key])})
	}
	if !slices.ContainsFunc(facts, func(f fact) bool { return f.text != "" }) {
		return
	}
	if title != "" {
		d.title(title)
	}
	d.facts(depth+1, facts)
}

func (d *details) title(text string) { d.printf("\n%s\n", d.paint(text, terminal.Bold)) }

// value is a JSON value for people: a text as it is, everything else as JSON. An empty text can be seen.
func value(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil && text != "" && string(raw) != "null" {
		return text
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		return string(raw)
	}
	return compact.String()
}

var errTrailing = errors.New("something follows the JSON value")

// read reads a JSON text; an empty one is none.
func read[T any](text string) (value T, err error) {
	if text == "" {
		return value, nil
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	if err := decoder.Decode(&value); err != nil {
		return value, err
	}
	if decoder.More() {
		return value, errTrailing
	}
	return value, nil
}

// event is an event as a column has it (docs/formats/lake.md).
type event struct {
	Name                   string          `json:"name"`
	TimeNanos              json.Number     `json:"time_nanos"`
	Attributes             json.RawMessage `json:"attributes"`
	DroppedAttributesCount uint32          `json:"dropped_attributes_count"`
}

func (d *details) events(s *span.Span) {
	events, err := read[[]event](s.Events)
	if err != nil {
		d.attributes("Events", 0, "", fact{"not a list of events", s.Events})
		return
	}
	if len(events) > 0 {
		d.title("Events")
	}
	for _, e := range events {
		name := terminal.Printable(e.Name)
		if name == "" {
			name = "(no name)"
		}
		d.printf("  %s  %s\n", d.paint(terminal.PadLeft(sinceStart(s, e.TimeNanos), 9), terminal.Cyan), name)
		d.attributes("", 2, string(e.Attributes), dropped(e.DroppedAttributesCount))
	}
}

// sinceStart is how long after the start of its span an event was.
func sinceStart(s *span.Span, nanos json.Number) string {
	n, err := strconv.ParseUint(nanos.String(), 10, 63)
	if err != nil {
		return "?"
	}
	after := time.Unix(0, int64(n)).Sub(s.StartTime.Round(0))
	if after < 0 {
		return terminal.Duration(after)
	}
	return "+" + terminal.Duration(after)
}

// link is a link as a column has it.
type link struct {
	TraceID                string          `json:"trace_id"`
	SpanID                 string          `json:"span_id"`
	TraceState             string          `json:"trace_state"`
	Flags                  uint32          `json:"flags"`
	Attributes             json.RawMessage `json:"attributes"`
	DroppedAttributesCount uint32          `json:"dropped_attributes_count"`
}

func (d *details) links(s *span.Span) {
	links, err := read[[]link](s.Links)
	if err != nil {
		d.attributes("Links", 0, "", fact{"not a list of links", s.Links})
		return
	}
	if len(links) > 0 {
		d.title("Links")
	}
	for _, l := range links {
		d.printf("  trace %s span %s\n", terminal.Printable(l.TraceID), terminal.Printable(l.SpanID))
		d.attributes("", 1, string(l.Attributes), fact{"trace state", l.TraceState}, fact{"flags", flags(l.Flags)}, dropped(l.DroppedAttributesCount))
	}
}
