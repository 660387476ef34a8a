// Package wire is the form in which the server and the client of the API say things to each other.
package wire

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

const (
	// Prefix is where the paths of the API begin.
	Prefix = "/api/v1"
	// InstanceHeader names the process that answers. In a request it names the process that is meant: any other one
	// refuses the request before it does anything.
	InstanceHeader = "Spanlake-Instance"
	// StreamType is the media type of streams: one JSON object on each line.
	StreamType = "application/x-ndjson"
	// ProblemType is the media type of errors (RFC 9457).
	ProblemType = "application/problem+json"
	// JSONType is that of answers, and of spans in OTLP.
	JSONType = "application/json"
	// ProtobufType is that of spans in OTLP as well.
	ProtobufType = "application/x-protobuf"
	// EventsType is that of server-sent events.
	EventsType = "text/event-stream"
	// EventTrace is the event with a Trace.
	EventTrace = "trace"
	// EventError is the one with a Problem, at the end.
	EventError = "error"
)

// The types of problems that a program may want to tell apart. Any other problem is told by its status alone.
const (
	// TypeQuery: the query is at fault.
	TypeQuery = "urn:spanlake:problem:query"
	// TypeQueryTime: the query took longer than the server allows.
	TypeQueryTime = "urn:spanlake:problem:query-time"
	// TypeBusy: as many queries run as the server allows at once.
	TypeBusy = "urn:spanlake:problem:busy"
	// TypeVerifying: a verify is running, and one at a time is allowed.
	TypeVerifying = "urn:spanlake:problem:verifying"
	// TypeInvalid: what was asked cannot be asked; the first of the errors says which parameter is wrong.
	TypeInvalid = "urn:spanlake:problem:invalid"
	// TypeNotFound: there is no such trace or span.
	TypeNotFound = "urn:spanlake:problem:not-found"
	// TypeUnsayable: there are spans, but OTLP cannot say them.
	TypeUnsayable = "urn:spanlake:problem:not-in-otlp"
	// TypeNotFailed: the file is not among the failed ones.
	TypeNotFailed = "urn:spanlake:problem:not-failed"
	// TypeOtherInstance: the request was meant for another process.
	TypeOtherInstance = "urn:spanlake:problem:other-instance"
	// TypeUnauthenticated: it takes an API key, and the request has none that is accepted.
	TypeUnauthenticated = "urn:spanlake:problem:unauthenticated"
	// TypeNotAllowed: the API key of the request is good, but not for this.
	TypeNotAllowed = "urn:spanlake:problem:not-allowed"
	// TypeStopping: the server was told to end.
	TypeStopping = "urn:spanlake:problem:stopping"
)

// Problem is an error as RFC 9457 has it.
type Problem struct {
	Type   string   `json:"type,omitempty"`
	Title  string   `json:"title,omitempty"`
	Status int      `json:"status,omitempty"`
	Detail string   `json:"detail,omitempty"`
	Errors []Detail `json:"errors,omitempty"`
}

// Detail is one of several things that are wrong with a request.
type Detail struct {
	Message  string `json:"message,omitempty"`
	Location string `json:"location,omitempty"`
	Value    any    `json:"value,omitempty"`
}

// Text is a problem in one line.
func (p Problem) Text() string {
	text := p.Detail
	if text == "" {
		text = strings.TrimSpace(fmt.Sprintf("%d %s", p.Status, p.Title))
	}
	for i, one := range p.Errors {
		separator := "; "
		if i == 0 {
			separator = ": "
		}
		text += separator + strings.TrimPrefix(one.Location+": "+one.Message, ": ")
	}
	return text
}

// Line is any line of a stream, for those who read it: exactly one field is set.
type Line struct {
	Columns    *[]string        `json:"columns,omitempty"`
	Row        *[]*string       `json:"row,omitempty"`
	Object     json.RawMessage  `json:"object,omitempty"`
	Difference *span.Difference `json:"difference,omitempty"`
	End        *End             `json:"end,omitempty"`
	Error      *Problem         `json:"error,omitempty"`
}

// Columns is the first line of the answer to a query.
type Columns struct {
	Columns []string `json:"columns"`
}

// Row is a row as text, null for NULL.
type Row struct {
	Row []*string `json:"row"`
}

// Object is a row as a JSON object.
type Object struct {
	Object json.RawMessage `json:"object"`
}

// Difference is a line of a verify.
type Difference struct {
	Difference span.Difference `json:"difference"`
}

// Ending is the last line of a stream that is complete.
type Ending struct {
	End End `json:"end"`
}

// End counts the lines of a stream, so that a stream that was cut is not taken for a complete one.
type End struct {
	Rows *int64 `json:"rows,omitempty"`
	// Truncated: there are more rows than were asked for.
	Truncated   bool   `json:"truncated,omitempty"`
	Differences *int64 `json:"differences,omitempty"`
}

// Failure is the last line of a stream that ends too early.
type Failure struct {
	Error Problem `json:"error"`
}

// Form is the word for a form of the rows of a query.
func Form(form span.Form) string {
	if form == span.FormJSON {
		return "json"
	}
	return "text"
}

// Summary is a span.Summary.
type Summary struct {
	FilesFound      int64 `json:"files_found"`
	FilesIndexed    int64 `json:"files_indexed"`
	FilesUnchanged  int64 `json:"files_unchanged"`
	FilesUnfinished int64 `json:"files_unfinished"`
	FilesFailed     int64 `json:"files_failed"`
	FilesWaiting    int64 `json:"files_waiting"`
	FilesRemoved    int64 `json:"files_removed"`
	FilesWithheld   int64 `json:"files_withheld"`
	LakeAbsent      bool  `json:"lake_absent"`
	SpansIndexed    int64 `json:"spans_indexed"`
	Duplicates      int64 `json:"duplicates"`
	RowsSkipped     int64 `json:"rows_skipped"`
	// LongestSortMS and ElapsedMS may be fractional, so that nothing is lost of what was measured.
	LongestSortMS float64 `json:"longest_sort_ms"`
	ElapsedMS     float64 `json:"elapsed_ms"`
}

// FromSummary is how a summary is sent.
func FromSummary(s span.Summary) Summary {
	return Summary{
		FilesFound: s.FilesFound, FilesIndexed: s.FilesIndexed, FilesUnchanged: s.FilesUnchanged, FilesUnfinished: s.FilesUnfinished,
		FilesFailed: s.FilesFailed, FilesWaiting: s.FilesWaiting, FilesRemoved: s.FilesRemoved, FilesWithheld: s.FilesWithheld,
		LakeAbsent: s.LakeAbsent, SpansIndexed: s.SpansIndexed, Duplicates: s.Duplicates, RowsSkipped: s.RowsSkipped,
		LongestSortMS: milliseconds(s.LongestSort), ElapsedMS: milliseconds(s.Elapsed),
	}
}

// Span is the summary that was sent.
func (s Summary) Span() span.Summary {
	return span.Summary{
		FilesFound: s.FilesFound, FilesIndexed: s.FilesIndexed, FilesUnchanged: s.FilesUnchanged, FilesUnfinished: s.FilesUnfinished,
		FilesFailed: s.FilesFailed, FilesWaiting: s.FilesWaiting, FilesRemoved: s.FilesRemoved, FilesWithheld: s.FilesWithheld,
		LakeAbsent: s.LakeAbsent, SpansIndexed: s.SpansIndexed, Duplicates: s.Duplicates, RowsSkipped: s.RowsSkipped,
		LongestSort: duration(s.LongestSortMS), Elapsed: duration(s.ElapsedMS),
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func duration(ms float64) time.Duration {
	return time.Duration(math.Round(ms * float64(time.Millisecond)))
}

// Size is a span.IndexSize.
type Size struct {
	FileBytes    int64 `json:"file_bytes"`
	WALBytes     int64 `json:"wal_bytes"`
	MemoryBytes  int64 `json:"memory_bytes"`
	SpilledBytes int64 `json:"spilled_bytes"`
	MemoryWaits  int64 `json:"memory_waits"`
}

// IndexRequest asks for a pass over the lake.
type IndexRequest struct {
	AcceptMissing bool `json:"accept_missing,omitempty" doc:"Drop what the index has of files that are gone from the lake, however many they are."`
}

// RetryRequest names the failed files that are to be tried again: one of the fields is set.
type RetryRequest struct {
	FilePath string `json:"file_path,omitempty" doc:"The path of one failed file, as GET /api/v1/failed lists it."`
	All      bool   `json:"all,omitempty" doc:"All failed files."`
}

// Retried says how many files are to be tried again.
type Retried struct {
	Files int64 `json:"files"`
}

// What a query may take unless it asks for another bound: the defaults of SQLRequest, how long it may run on a server that sets no time of its
// own, and how many run there at once.
const (
	SQLMaxRows  = 100_000
	SQLMaxBytes = 64 << 20
	SQLTime     = 5 * time.Minute
	SQLAtOnce   = 4
)

// SQLRequest is a query.
type SQLRequest struct {
	Query string `json:"query" doc:"One statement that reads."`
	Form  string `json:"form,omitempty" enum:"text,json" default:"text" doc:"How rows are sent: each value as text, or the row as one object."`
	// MaxRows and MaxBytes are nil for the default, so that 0 can be told from it.
	MaxRows  *int64 `json:"max_rows,omitempty" minimum:"0" default:"100000" doc:"How many rows are sent; 0 is all. If there are more, the end of the answer says that it is truncated."`
	MaxBytes *int64 `json:"max_bytes,omitempty" minimum:"0" default:"67108864" doc:"How many bytes of rows are sent, as they are in the answer; 0 is all. The same holds."`
	Timeout  string `json:"timeout,omitempty" maxLength:"30" doc:"How long the query may take, its rows be sent included, such as 1.5s or 2m; no longer than the server allows, which is the default."`
}
