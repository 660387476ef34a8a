package span

import "time"

// Completeness says what an answer does not have.
type Completeness struct {
	// Hot is where spans are that are in no file yet.
	Hot HotSource `json:"hot"`
	// FilesPending are files of the lake that are not indexed yet and whose spans are not in the answer.
	FilesPending int64 `json:"files_pending"`
	// FilesFailed are files that cannot be indexed and may have spans in the time that was asked for.
	FilesFailed int64 `json:"files_failed"`
	// Truncated: the search stopped at a limit, Reason says which, and there may be more than the answer has.
	Truncated bool   `json:"truncated"`
	Reason    string `json:"reason,omitempty"`
}

// Complete tells whether nothing is missing.
func (c *Completeness) Complete() bool {
	return c.Hot.State != HotUnreachable && c.FilesPending == 0 && c.FilesFailed == 0 && !c.Truncated
}

// TracePage is a part of a listing of traces, newest first.
type TracePage struct {
	// Roots are the root spans. Times are exact to the microsecond.
	Roots []Metadata
	// Next is where the next page begins, for the same filter; "" if there is none.
	Next string
	Completeness
}

// Operation is a span name of a service, with a kind that it has.
type Operation struct {
	Name string
	Kind Kind
}

// Dependency counts the calls from one service to another.
type Dependency struct {
	Parent, Child string
	Calls         int64
}

// CountQuery says what is counted.
type CountQuery struct {
	// ServiceName and Name choose spans with exactly these; "" is all.
	ServiceName, Name string
	// From and Until bound the start time: From <= start < Until; zero is no bound. Step divides it into times from multiples of Step
	// since 1970 in UTC on; 0: it is not divided.
	From, Until time.Time
	Step        time.Duration
	// ByName counts each name of a service apart, and Durations counts durations.
	ByName, Durations bool
}

// Count is what was counted of a service, or a name of it, in one step of time.
type Count struct {
	// File is the file that the spans are in, or will be in, if the source says so; "" if in none.
	File              string
	ServiceName, Name string
	// Start is when the step begins; zero if time was not divided.
	Start         time.Time
	Spans, Errors int64
	// First and Last are the first and last start time.
	First, Last time.Time
	// DurationSum is of the spans that have a duration, in nanoseconds; Durations is how many have one in each DurationBucket.
	DurationSum float64
	Durations   map[int16]int64
}

// HotCounts is what is counted of unflushed spans, in one moment.
type HotCounts struct {
	Generation string
	// Files are those that unflushed spans are in, or will be in.
	Files  []string
	Counts []Count
}

// Cold says of which spans beside those that are indexed the index is asked.
type Cold struct {
	// Pending are files of the lake that are not indexed yet. Those that are indexed meanwhile are read from the index.
	Pending []File
	// HotFiles are files whose spans are known otherwise: which of them are indexed is told.
	HotFiles []string
}

// Seen says what an answer of the index is of.
type Seen struct {
	// Indexed are those of Cold.HotFiles that the answer has.
	Indexed []string
	// Unread are those of Cold.Pending that the answer does not have: they are too many, too large, or cannot be read.
	Unread int64
}

// Statistics are of the spans of a service, or of one name of it, that start in a span of time.
type Statistics struct {
	ServiceName string    `json:"service_name"`
	Name        string    `json:"name,omitempty"`
	Start       time.Time `json:"start"`
	SpanCount   int64     `json:"span_count"`
	ErrorCount  int64     `json:"error_count"`
	// AvgDuration and the quantiles are in nanoseconds, nil if no span has a duration. Quantiles are within 1 %.
	AvgDuration *float64 `json:"avg_duration_ns"`
	P50         *int64   `json:"p50_duration_ns"`
	P95         *int64   `json:"p95_duration_ns"`
	P99         *int64   `json:"p99_duration_ns"`
}

// Ref says where a whole span is.
type Ref struct {
	TraceID, SpanID string
	// File is relative to the lake, "" for a span in no file.
	File string
}

// Row is what a listing of the index has of a span, and where the whole span is.
type Row struct {
	Metadata
	File string
}

// TraceMatch is a trace in which some span was chosen.
type TraceMatch struct {
	TraceID string
	// Start is when the newest such span starts.
	Start time.Time
}
