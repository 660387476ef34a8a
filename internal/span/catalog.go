package span

import (
	"errors"
	"time"
)

// Service is a row of the catalogue of services.
type Service struct {
	Name string `json:"service_name"`
	// FirstSeen and LastSeen are start times of spans.
	FirstSeen  time.Time `json:"first_seen"`
	LastSeen   time.Time `json:"last_seen"`
	TotalSpans int64     `json:"total_spans"`
}

// IndexedFile is a row of the registry of indexed files.
type IndexedFile struct {
	ID   int32  `json:"file_id"`
	Path string `json:"file_path"`
	// ServiceName is the service with most spans in the file, "" if it has none.
	ServiceName string `json:"service_name"`
	// MinTime and MaxTime are start times of the spans that the index has of the file, nil if it has none.
	MinTime        *time.Time `json:"min_time"`
	MaxTime        *time.Time `json:"max_time"`
	RowCount       int64      `json:"row_count"`
	SizeBytes      int64      `json:"size_bytes"`
	IndexedAt      time.Time  `json:"indexed_at"`
	DuplicateCount int64      `json:"duplicate_count"`
	SkippedCount   int64      `json:"skipped_count"`
}

// FailedFile is a file that could not be indexed.
type FailedFile struct {
	Path string `json:"file_path"`
	// ErrorType is one of the words that docs/formats/lake.md lists.
	ErrorType  string    `json:"error_type"`
	Message    string    `json:"error_message"`
	Size       int64     `json:"file_size"`
	FailedAt   time.Time `json:"failed_at"`
	RetryCount int       `json:"retry_count"`
	// Due: it is tried again as soon as possible even if it has not changed.
	Due bool `json:"due"`
	// RetryAt is when it is tried again even if it has not changed; nil: not before it changes or somebody asks.
	RetryAt *time.Time `json:"retry_at"`
}

// Difference is one way in which the index is not what the lake says it should be.
type Difference struct {
	// Check is what was compared: lake, footer, rows, roots, row_groups, uniqueness, services, file_services, daily, lookup, registry or failed.
	Check string `json:"check"`
	// Subject is a file, a service or a trace.
	Subject string `json:"subject"`
	// Problem says what is wrong.
	Problem string `json:"problem"`
}

// Summary is what a pass over the lake found and did.
type Summary struct {
	// FilesFound are the files in the lake: the sum of indexed, unchanged, unfinished, failed and those that vanished meanwhile.
	FilesFound, FilesUnchanged              int64
	FilesIndexed, FilesFailed, FilesRemoved int64
	// FilesWaiting are the files among FilesFailed that failed earlier and were not tried again, since they have not changed.
	FilesWaiting int64
	// FilesUnfinished are still being written.
	FilesUnfinished int64
	// FilesWithheld are gone from the lake but stay in the index, since so many are gone that the lake may not be mounted.
	FilesWithheld int64
	// LakeAbsent: the lake folder does not exist, which is no failure: nothing may have been written yet.
	LakeAbsent bool
	// SpansIndexed is without Duplicates and RowsSkipped.
	SpansIndexed, Duplicates, RowsSkipped int64
	// LongestSort is the longest pause for sorting the trace lookup.
	LongestSort time.Duration
	Elapsed     time.Duration
}

// Add adds what another part of the same pass did. What was found is not added, since each part finds the same lake.
func (s *Summary) Add(other Summary) {
	s.FilesIndexed += other.FilesIndexed
	s.FilesFailed += other.FilesFailed
	s.FilesRemoved += other.FilesRemoved
	s.FilesUnfinished += other.FilesUnfinished
	s.SpansIndexed += other.SpansIndexed
	s.Duplicates += other.Duplicates
	s.RowsSkipped += other.RowsSkipped
	s.LongestSort = max(s.LongestSort, other.LongestSort)
}

// IndexerState says in one word what the indexer is doing.
type IndexerState string

// The states of the indexer.
const (
	// IndexerStarting: it has not yet looked at the whole lake.
	IndexerStarting IndexerState = "starting"
	// IndexerIdle: everything that can be indexed is.
	IndexerIdle IndexerState = "idle"
	// IndexerIndexing: there is work to do.
	IndexerIndexing IndexerState = "indexing"
	// IndexerFailing: the last cycle failed; it is tried again with backoff.
	IndexerFailing IndexerState = "failing"
	// IndexerWithholding: so many files are gone that it waits for them or for somebody to confirm.
	IndexerWithholding IndexerState = "withholding"
	// IndexerStopped: it was told to end.
	IndexerStopped IndexerState = "stopped"
)

// IndexerStatus is what the indexer of a running server is doing.
type IndexerStatus struct {
	State IndexerState `json:"state"`
	// Lake and Index are the paths that the server uses.
	Lake  string `json:"lake"`
	Index string `json:"index"`
	// CurrentFiles are being indexed in this moment, in one transaction.
	CurrentFiles []string `json:"current_files"`
	PendingFiles int64    `json:"pending_files"`
	PendingBytes int64    `json:"pending_bytes"`
	// OldestPending is the modification time of the oldest file that waits to be indexed.
	OldestPending *time.Time `json:"oldest_pending"`
	// UnfinishedFiles are still being written and looked at again with backoff.
	UnfinishedFiles int64 `json:"unfinished_files"`
	// WithheldFiles are gone from the lake but stay in the index until they are back or somebody confirms that they are gone.
	WithheldFiles int64 `json:"withheld_files"`
	// UnreadPlaces are places of the lake that cannot be read; what lies there stays as it is in the index.
	UnreadPlaces []string `json:"unread_places"`
	// FailedFiles counts the files that could not be indexed by error type.
	FailedFiles  map[string]int64 `json:"failed_files"`
	IndexedFiles int64            `json:"indexed_files"`
	IndexedSpans int64            `json:"indexed_spans"`
	// Watermark: every file that was in the lake at this time, and is not pending, failed or unfinished now, is indexed.
	Watermark *time.Time `json:"watermark"`
	// Watching: changes of the lake are seen at once, not only by polling.
	Watching bool `json:"watching"`
	// LastError is what made the last cycle fail, "" if it succeeded.
	LastError   string     `json:"last_error"`
	LastErrorAt *time.Time `json:"last_error_at"`
	// Failures are the failed cycles in a row.
	Failures  int64     `json:"failures"`
	StartedAt time.Time `json:"started_at"`
	// Hot is where spans are that are in no file yet.
	Hot HotSource `json:"hot"`
}

// IndexSize is what the index takes. Sizes are in bytes.
type IndexSize struct {
	// FileBytes is the database file, WALBytes its write-ahead log.
	FileBytes, WALBytes int64
	// MemoryBytes is what DuckDB holds under its memory limit, SpilledBytes what it has moved to temporary files.
	MemoryBytes, SpilledBytes int64
	// MemoryWaits is how often since the start something waited until it was alone, since memory was short.
	MemoryWaits int64
}

// RetentionPolicy says which files of the lake are too old to keep.
type RetentionPolicy struct {
	// Days: files written on a UTC day that ended longer ago than this many days go; 0 keeps them for ever.
	Days int
	// Bytes: the oldest files go until the lake is no larger; 0 means no bound.
	Bytes int64
}

// RetiredFile is a file that a retention policy lets go.
type RetiredFile struct {
	Path string `json:"file_path"`
	// Day is the UTC day on which it was written: the day of its partition or, outside partitions, of its modification.
	Day       time.Time `json:"day"`
	SizeBytes int64     `json:"size_bytes"`
	RowCount  int64     `json:"row_count"`
}

// Form says how the rows of a query are rendered.
type Form int

const (
	// FormText renders each value as text, as a cast to VARCHAR does.
	FormText Form = iota
	// FormJSON renders each row as one JSON object, in a single column.
	FormJSON
)

// QueryError says what is wrong with a query that a user wrote.
type QueryError struct{ Err error }

func (e *QueryError) Error() string { return e.Err.Error() }

func (e *QueryError) Unwrap() error { return e.Err }

// ErrNotFailed says that a file is not among the failed ones.
var ErrNotFailed = errors.New("is not among the failed files: see `spanlake failed`")
