package index

import (
	"fmt"
	"strings"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// conditions are those of a WHERE clause, with the values of their parameters. What users give is only ever in values.
type conditions struct {
	texts []string
	args  []any
}

// and adds a condition. Each %s in it is a parameter.
func (c *conditions) and(text string, values ...any) {
	numbers := make([]any, len(values))
	for i, value := range values {
		numbers[i] = c.bind(value)
	}
	c.texts = append(c.texts, fmt.Sprintf(text, numbers...))
}

// bind adds a parameter and returns how SQL names it.
func (c *conditions) bind(value any) string {
	c.args = append(c.args, value)
	return fmt.Sprintf("$%d", len(c.args))
}

func (c *conditions) where() string {
	if len(c.texts) == 0 {
		return ""
	}
	return "\nWHERE " + strings.Join(c.texts, "\n  AND ")
}

// choose adds what a filter says of columns of span_metadata. Its attributes are not looked at.
func (c *conditions) choose(f *span.Filter) {
	if f.ServiceName != "" {
		c.and("service_name = %s", f.ServiceName)
	}
	if f.Name != "" {
		switch f.NameMatch {
		case span.NamePrefix:
			c.and("starts_with(name, %s)", f.Name)
		case span.NameContains:
			c.and("contains(name, %s)", f.Name)
		default:
			c.and("name = %s", f.Name)
		}
	}
	c.between(f.From, f.Until)
	// A span without a duration counts as one of 0, see span.Metadata.
	if f.MinDuration > 0 {
		c.and("duration_ns >= %s", int64(f.MinDuration))
	} else if f.MinDuration < 0 {
		c.and("coalesce(duration_ns, 0) >= %s", int64(f.MinDuration))
	}
	if f.MaxDuration != 0 {
		c.and("coalesce(duration_ns, 0) <= %s", int64(f.MaxDuration))
	}
	if f.StatusCode != nil {
		c.and("status_code = %s", int32(*f.StatusCode))
	}
	if f.Kind != nil {
		c.and("span_kind = %s", int32(*f.Kind))
	}
}

// between adds bounds of the start time, in microseconds: from <= start < until. A time that is zero is no bound.
func (c *conditions) between(from, until time.Time) {
	if !from.IsZero() {
		c.and("start_time >= %s", inMicros(from))
	}
	if !until.IsZero() {
		c.and("start_time < %s", inMicros(until))
	}
}

// inMicros is a time as the index has it.
func inMicros(t time.Time) time.Time { return time.UnixMicro(t.UnixMicro()).UTC() }

// beyond adds that a span stands after a place in a listing.
func (c *conditions) beyond(after span.Key) {
	if after.IsZero() {
		return
	}
	start := inMicros(after.StartTime)
	// The first condition alone lets DuckDB skip what starts later.
	c.and("start_time <= %s", start)
	c.and("(start_time < %s OR trace_id > %s OR trace_id = %s AND span_id > %s)", start, after.TraceID, after.TraceID, after.SpanID)
}
