package span

import "time"

// Metadata is what listings show of a span.
type Metadata struct {
	// TraceID is 32 and SpanID 16 lowercase hex digits.
	TraceID string
	SpanID  string
	// ParentSpanID is 16 lowercase hex digits, or '' for the root of a trace.
	ParentSpanID string
	ServiceName  string
	Name         string
	Kind         Kind
	StartTime    time.Time
	EndTime      time.Time
	StatusCode   StatusCode
}

// Filter chooses root spans. A field that is zero or nil chooses all.
type Filter struct {
	ServiceName string
	// Name is the exact name of the span.
	Name string
	// From and Until bound the start time: From <= start < Until.
	From, Until time.Time
	// MinDuration and MaxDuration are inclusive.
	MinDuration, MaxDuration time.Duration
	StatusCode               *StatusCode
	Kind                     *Kind
}

// Match tells whether the filter chooses a root span.
func (f *Filter) Match(m *Metadata) bool {
	duration := m.EndTime.Sub(m.StartTime)
	return (f.ServiceName == "" || m.ServiceName == f.ServiceName) &&
		(f.Name == "" || m.Name == f.Name) &&
		(f.From.IsZero() || !m.StartTime.Before(f.From)) &&
		(f.Until.IsZero() || m.StartTime.Before(f.Until)) &&
		(f.MinDuration == 0 || duration >= f.MinDuration) && (f.MaxDuration == 0 || duration <= f.MaxDuration) &&
		(f.StatusCode == nil || m.StatusCode == *f.StatusCode) &&
		(f.Kind == nil || m.Kind == *f.Kind)
}

// Request is an acknowledged OTLP request as the write-ahead log keeps it.
type Request struct {
	// ID is a ULID: requests are in the order of their ids.
	ID RequestID
	// Received is when it was appended.
	Received time.Time
	// Spans is how many spans it has.
	Spans int
	// Data is a protobuf TracesData message.
	Data []byte
}

// RequestID is a ULID, in its binary form.
type RequestID [16]byte

// HotStats is what there is of unflushed spans.
type HotStats struct {
	// Requests, Spans and Bytes (of protobuf, uncompressed) are all that is kept, PublishedSpans those of them that are in
	// published files which nobody has said to be indexed.
	Requests, Spans, Bytes, PublishedSpans int64
	// Oldest is when the oldest request was received that is in no published file, zero if there is none.
	Oldest time.Time
}
