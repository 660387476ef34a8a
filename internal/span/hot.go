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
	// Duration is what the file says, which is EndTime minus StartTime but for files of other writers; 0 if it does not tell.
	Duration   time.Duration
	StatusCode StatusCode
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
	// Generation changes whenever requests are assigned to a file, before that file can be seen in the lake, and when the
	// store is another one. While it stays, what was in no file is in no file.
	Generation string
}
