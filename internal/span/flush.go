package span

import "time"

// Flush is a run of acknowledged requests that goes into one file of the lake. It is made durable before that file is
// written, so that whoever comes after a crash writes the same requests into the same file again, or finds them there.
type Flush struct {
	// ID is unique in a write-ahead log and grows from flush to flush.
	ID int64
	// First and Last are the requests at its ends, both included.
	First, Last RequestID
	// Requests, Spans and Bytes (of protobuf, uncompressed) are what it had when it began.
	Requests, Spans int
	Bytes           int64
	Started         time.Time
	// Path of the file, relative to the lake with '/', "" until it is known.
	Path string
	// Published: the file is in the lake.
	Published bool
}
