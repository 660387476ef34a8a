package span

import "time"

// IngestStatus is what a running server that takes spans in is doing. Bytes are of uncompressed OTLP unless said otherwise.
type IngestStatus struct {
	// OTLPGRPC and OTLPHTTP are the addresses at which spans are taken in, "" if not.
	OTLPGRPC string `json:"otlp_grpc"`
	OTLPHTTP string `json:"otlp_http"`
	// Refusing is why requests are refused at present, "" if they are not.
	Refusing string `json:"refusing"`
	// Unflushed is what is in no file of the lake yet.
	UnflushedRequests int64 `json:"unflushed_requests"`
	UnflushedSpans    int64 `json:"unflushed_spans"`
	UnflushedBytes    int64 `json:"unflushed_bytes"`
	// OldestUnflushed is when the oldest of them was received.
	OldestUnflushed *time.Time `json:"oldest_unflushed"`
	// HotSpans are shown as unflushed, PublishedSpans those among them that are in files of the lake and not known to be indexed.
	HotSpans       int64 `json:"hot_spans"`
	PublishedSpans int64 `json:"published_spans"`
	// ExpiredSpans are those that have been let go though nobody said that their files are indexed, since the server started.
	ExpiredSpans int64 `json:"expired_spans"`
	// WALBytes is what counts against the bound of the write-ahead log: its pages in use and its journal, compressed. The file may be
	// larger by pages that are free.
	WALBytes int64 `json:"wal_bytes"`
	// DamagedRequests are set aside in the write-ahead log, since the disk gave back other bytes than were written.
	DamagedRequests int64 `json:"damaged_requests"`
	// FlushFailures are the failed flushes in a row, LastFlushError is why the last one failed.
	FlushFailures  int64  `json:"flush_failures"`
	LastFlushError string `json:"last_flush_error"`
}

// HotState says how the unflushed spans of another process, or of this one, are reached.
type HotState string

// The states of the source of unflushed spans.
const (
	// HotOff: nobody is asked for unflushed spans.
	HotOff HotState = "off"
	// HotLocal: they are in this process.
	HotLocal HotState = "in_process"
	// HotRemote: they are in another process, which answers.
	HotRemote HotState = "remote"
	// HotUnreachable: they are in another process, which does not answer. What is in files is found all the same.
	HotUnreachable HotState = "unreachable"
)

// HotSource is where unflushed spans are.
type HotSource struct {
	State HotState `json:"state"`
	// Address is that of the other process.
	Address string `json:"address"`
	// Error is why it is not reached.
	Error string `json:"error"`
}
