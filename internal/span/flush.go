package span

import "time"

// Flush is a run of acknowledged requests that goes into one file of the lake. The write-ahead log remembers it from before
// the file is written until its spans are indexed, so that a flush which was cut short is done again with the same requests
// and into the same file.
type Flush struct {
	ID int64
	// First and Last are the requests, both included.
	First, Last RequestID
	// Requests, Spans and Bytes (of protobuf, uncompressed) are what it had when it began.
	Requests, Spans int
	Bytes           int64
	// Started is when the flush was begun, and so the day and the second in the name of the file.
	Started time.Time
	// Path is the file, relative to the root of the lake with '/'; "" until it is decided.
	Path string
	// Published: the file is in the lake and stays there.
	Published bool
}

// Backlog is what was acknowledged and is in no flush yet.
type Backlog struct {
	Requests, Spans, Bytes int64
}

// Flushed is what was moved into the lake.
type Flushed struct {
	Files int64 `json:"files"`
	Spans int64 `json:"spans"`
	// Bytes is the size of the files.
	Bytes int64 `json:"bytes"`
}

// Add sums up.
func (f *Flushed) Add(other Flushed) {
	f.Files += other.Files
	f.Spans += other.Spans
	f.Bytes += other.Bytes
}
