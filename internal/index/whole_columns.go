package index

import (
	"context"
	"database/sql"
	"math"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/spanlake/spanlake/internal/span"
)

// wholeColumn is a column of the lake that only whole spans have.
type wholeColumn struct {
	name string
	kind wholeKind
	// text or count is where its value goes.
	text  func(*span.Span) *string
	count func(*span.Span) *uint32
}

type wholeKind int

const (
	textKind wholeKind = iota
	objectKind
	arrayKind
	countKind
	bytesKind
)

func wholeColumns() []wholeColumn {
	text := func(name string, kind wholeKind, field func(*span.Span) *string) wholeColumn {
		return wholeColumn{name: name, kind: kind, text: field}
	}
	count := func(name string, field func(*span.Span) *uint32) wholeColumn {
		return wholeColumn{name: name, kind: countKind, count: field}
	}
	return []wholeColumn{
		text("status_message", textKind, func(s *span.Span) *string { return &s.StatusMessage }),
		text("attributes", objectKind, func(s *span.Span) *string { return &s.Attributes }),
		text("events", arrayKind, func(s *span.Span) *string { return &s.Events }),
		text("resource_attributes", objectKind, func(s *span.Span) *string { return &s.ResourceAttributes }),
		text("links", arrayKind, func(s *span.Span) *string { return &s.Links }),
		text("trace_state", textKind, func(s *span.Span) *string { return &s.TraceState }),
		count("trace_flags", func(s *span.Span) *uint32 { return &s.Flags }),
		count("dropped_attributes_count", func(s *span.Span) *uint32 { return &s.DroppedAttributesCount }),
		count("dropped_events_count", func(s *span.Span) *uint32 { return &s.DroppedEventsCount }),
		count("dropped_links_count", func(s *span.Span) *uint32 { return &s.DroppedLinksCount }),
		text("scope_name", textKind, func(s *span.Span) *string { return &s.ScopeName }),
		text("scope_version", textKind, func(s *span.Span) *string { return &s.ScopeVersion }),
		text("scope_attributes", objectKind, func(s *span.Span) *string { return &s.ScopeAttributes }),
		text("scope_schema_url", textKind, func(s *span.Span) *string { return &s.ScopeSchemaURL }),
		count("scope_dropped_attributes_count", func(s *span.Span) *uint32 { return &s.ScopeDroppedAttributesCount }),
		text("resource_schema_url", textKind, func(s *span.Span) *string { return &s.ResourceSchemaURL }),
		count("resource_dropped_attributes_count", func(s *span.Span) *uint32 { return &s.ResourceDroppedAttributesCount }),
		text("otlp", bytesKind, func(s *span.Span) *string { return &s.OTLP }),
	}
}

// expression reads the column as it is in files of this shape. No value of it is an error: what cannot be read as it should be counts as
// left out.
func (c *wholeColumn) expression(s *shape) string {
	duckType, ok := s.columns[c.name]
	isText := textFamily.accepts(duckType)
	switch {
	case c.kind == countKind && ok && duckType != nestedType:
		return "coalesce(TRY_CAST(" + c.name + " AS UINTEGER), 0)"
	case c.kind == countKind:
		return "0"
	case c.kind == bytesKind && duckType == "BLOB":
		return "coalesce(" + c.name + ", ''::BLOB)"
	case c.kind == bytesKind:
		return "''::BLOB"
	case isText:
		return "coalesce(CAST(" + c.name + " AS VARCHAR), '')"
	case duckType == "BLOB":
		return "coalesce(TRY(decode(" + c.name + ")), '')"
	case duckType == nestedType && c.kind != textKind:
		return "coalesce(CAST(to_json(" + c.name + ") AS VARCHAR), '')"
	}
	return "''"
}

// length is how many bytes the text is.
func (c *wholeColumn) length(s *shape) string {
	if c.kind == bytesKind {
		return "octet_length(" + c.expression(s) + ")"
	}
	return "strlen(" + c.expression(s) + ")"
}

// remainders read the nanoseconds that start_time and end_time have below their microsecond, null if the file does not tell: DuckDB
// reads times that are adjusted to UTC in microseconds, and cuts towards 1970.
func (s *shape) remainders() (start, end string) {
	of := func(column string) string {
		if s.columns[column] == "TIMESTAMP_NS" {
			return "TRY(epoch_ns(" + column + ") % 1000)"
		}
		return "CAST(NULL AS BIGINT)"
	}
	start = of("start_time")
	if integerFamily.accepts(s.columns["start_time_remainder"]) {
		start = "coalesce(TRY_CAST(start_time_remainder AS BIGINT), 0)"
	}
	return start, of("end_time")
}

// wholeSQL is a SELECT of whole spans from files of this shape, for scanWhole. Parameters 1 and 2 are those of selectSQL; where is a clause
// on columns of span_metadata and of the lake.
func (s *shape) wholeSQL(where string) string {
	start, end := s.remainders()
	inner := []string{start + " AS start_remainder", end + " AS end_remainder"}
	outer := []string{"trace_id", "span_id", "coalesce(parent_span_id, '')", "service_name", "name", "span_kind", "epoch_us(start_time)",
		"epoch_us(end_time)", "duration_ns", "status_code", "start_remainder", "end_remainder"}
	for _, c := range wholeColumns() {
		inner, outer = append(inner, c.expression(s)+" AS "+c.name), append(outer, c.name)
	}
	return "SELECT " + strings.Join(outer, ", ") + "\nFROM (" + s.layout.selectSQL(1, inner...) + ")" + where
}

// wholeScanner reads the rows of wholeSQL, one after the other.
type wholeScanner struct {
	columns []wholeColumn
	// remainders: start_time_remainder tells the nanoseconds of all times.
	remainders bool

	s                            span.Span
	kind, status                 int32
	start                        int64
	end, duration                sql.NullInt64
	startRemainder, endRemainder sql.NullInt64
	counts                       []uint32
	otlp                         []byte
	to                           []any
}

func newWholeScanner(s *shape) *wholeScanner {
	w := &wholeScanner{columns: wholeColumns(), remainders: integerFamily.accepts(s.columns["start_time_remainder"])}
	w.counts = make([]uint32, len(w.columns))
	w.to = []any{&w.s.TraceID, &w.s.SpanID, &w.s.ParentSpanID, &w.s.ServiceName, &w.s.Name, &w.kind, &w.start, &w.end, &w.duration,
		&w.status, &w.startRemainder, &w.endRemainder}
	for i, c := range w.columns {
		switch c.kind {
		case countKind:
			w.to = append(w.to, &w.counts[i])
		case bytesKind:
			w.to = append(w.to, &w.otlp)
		default:
			w.to = append(w.to, c.text(&w.s))
		}
	}
	return w
}

// scan reads a row into s, whose texts are for good.
func (w *wholeScanner) scan(rows *sql.Rows) error {
	if err := rows.Scan(w.to...); err != nil {
		return err
	}
	for i, c := range w.columns {
		switch c.kind {
		case countKind:
			*c.count(&w.s) = w.counts[i]
		case bytesKind:
			*c.text(&w.s) = string(w.otlp)
		case objectKind:
			dropUnlessJSON(c.text(&w.s), '{')
		case arrayKind:
			dropUnlessJSON(c.text(&w.s), '[')
		}
	}
	w.s.Kind, w.s.StatusCode = span.Kind(clampInt8(w.kind)), span.StatusCode(clampInt8(w.status))
	w.s.StartTime = time.UnixMicro(w.start).Add(below(w.startRemainder)).UTC()
	w.s.EndTime = w.endTime()
	return nil
}

// clampInt8: numbers that OpenTelemetry does not define, as files of other writers may have them, stay undefined ones.
func clampInt8(n int32) int8 { return int8(max(math.MinInt8, min(n, math.MaxInt8))) }

// below is a remainder, if it is one.
func below(nanos sql.NullInt64) time.Duration {
	if !nanos.Valid || nanos.Int64 <= -1000 || nanos.Int64 >= 1000 {
		return 0
	}
	return time.Duration(nanos.Int64)
}

// endTime is exact if the file tells: by itself, or by its start and its duration. A duration that was cut off, or that is not that of the
// times, does not lead to the same microsecond.
func (w *wholeScanner) endTime() time.Time {
	if !w.end.Valid {
		return time.Time{}
	}
	if w.remainders && w.duration.Valid {
		end := w.s.StartTime.Add(time.Duration(w.duration.Int64))
		if end.UnixNano()/int64(time.Microsecond) == w.end.Int64 {
			return end
		}
	}
	return time.UnixMicro(w.end.Int64).Add(below(w.endRemainder)).UTC()
}

// dropUnlessJSON empties a text that is not a JSON value which opens like this: whoever gets a span may rely on it.
func dropUnlessJSON(text *string, opening byte) {
	if trimmed := strings.TrimLeft(*text, " \t\r\n"); trimmed != "" && (trimmed[0] != opening || !gjson.Valid(trimmed)) {
		*text = ""
	}
}

// bytes is what the last span takes.
func (w *wholeScanner) bytes() int64 { return w.s.Bytes() }

// query runs a query on the file, whose result is in memory as a whole when it returns.
func (w *wholeFile) query(ctx context.Context, db *sql.DB, query string, args []any) (rows *sql.Rows, err error) {
	err = w.index.patiently(ctx, func(ctx context.Context) error {
		rows, err = db.QueryContext(ctx, query, args...) //nolint:rowserrcheck,sqlclosecheck // the caller reads and closes them
		return err
	})
	return rows, err
}

// read calls each for the rows of a wholeSQL, after each was scanned. Errors but those of each name the file.
func (w *wholeFile) read(ctx context.Context, db *sql.DB, query string, args []any, each func(*wholeScanner) error) error {
	rows, err := w.query(ctx, db, query, args)
	if err != nil {
		return w.explain(ctx, err)
	}
	defer func() { _ = rows.Close() }()
	scanner := newWholeScanner(w.shape)
	for rows.Next() {
		if err := scanner.scan(rows); err != nil {
			return w.explain(ctx, err)
		}
		if err := each(scanner); err != nil {
			return err
		}
	}
	return w.explain(ctx, rows.Err())
}

// conditions have the values of the parameters of selectSQL.
func (w *wholeFile) conditions() conditions {
	return conditions{args: []any{w.index.globPaths([]*item{w.item}), []int32{0}}}
}
