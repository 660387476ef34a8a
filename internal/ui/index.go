package ui

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/spanlake/spanlake/internal/apikey"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/terminal"
)

// Machine is what the process uses of the machine, and what is left of it. What is 0 is not known.
type Machine struct {
	// Resident is the memory of the process, GoHeap the part of it that Go's objects take.
	Resident, GoHeap int64
	Disks            []Disk
	// MinFreeDisk and MaxWAL are where spans begin to be refused.
	MinFreeDisk, MaxWAL int64
}

// Disk is a file system.
type Disk struct {
	// Holds says what lies there: lake, index, write-ahead log.
	Holds       []string
	Path        string
	Free, Total int64
}

// Used is how much of it is taken, in percent.
func (d Disk) Used() float64 { return percentOf(d.Total-d.Free, d.Total) }

// percentOf is at most 100, and 0 if the whole is not known.
func percentOf(part, whole int64) float64 {
	if whole <= 0 || part <= 0 {
		return 0
	}
	return min(100*float64(part)/float64(whole), 100)
}

const (
	// latestFiles is how many of the indexed files are listed, mostFailed how many of the failed ones.
	latestFiles = 20
	mostFailed  = 200
)

// indexBody is the page of the index. Sources that do not answer are nil, and the verdict says so.
type indexBody struct {
	Now time.Time
	verdict
	Status *span.IndexerStatus
	Ingest *span.IngestStatus
	// Elsewhere: spans are taken in by another process.
	Elsewhere bool
	Size      span.IndexSize
	Machine   Machine
	Memory    int64
	LakeBytes int64
	// Failed are the first of the failed files, FailedCount is how many there are.
	Failed      []failedRow
	FailedCount int
	Files       []span.IndexedFile
	Picture     ingestPicture
	MayOperate  bool
}

// failedRow is a failed file in the table.
type failedRow struct {
	span.FailedFile
	// Tries is how often it was read without success.
	Tries int
	// Advice is what to do about such files.
	Advice string
}

// showIndex shows the page, or its changing part to the module that follows it.
func (u *UI) showIndex(w http.ResponseWriter, r *http.Request) error {
	v := view{Page: "index", Title: "Index", Scripts: []string{"index.js"}, Styles: []string{"index.css"}}
	body := u.indexBody(r.Context(), time.Now())
	body.MayOperate = u.may(r, apikey.Operate)
	if err := r.Context().Err(); err != nil {
		return err
	}
	if wantsPart(r) {
		u.showPart(w, "index", "status", body)
		return nil
	}
	v.Body = body
	u.show(w, r, v)
	return nil
}

// indexBody asks all sources. The page is there when something is wrong: what fails is part of the verdict.
func (u *UI) indexBody(ctx context.Context, now time.Time) *indexBody {
	b := &indexBody{Now: now, Memory: u.Memory, Elsewhere: u.Ingest == nil}
	var failures []error
	failed := func(what string, err error) bool {
		if err != nil {
			u.Log.Warn("the page of the index lacks something", "what", what, "error", err)
			failures = append(failures, fmt.Errorf("%s: %w", what, err))
		}
		return err != nil
	}
	if status, err := u.Indexer.Status(ctx); !failed("the state of the indexer", err) {
		b.Status = &status
	}
	if u.Ingest != nil {
		if status, err := u.Ingest.IngestStatus(ctx); !failed("what is not in files yet", err) {
			b.Ingest = &status
		}
	}
	if u.Machine != nil {
		b.Machine = u.Machine()
	}
	var err error
	b.Size, err = u.Catalog.Size(ctx)
	failed("the size of the index", err)
	all, err := u.Catalog.Failed(ctx)
	failed("the failed files", err)
	b.FailedCount = len(all)
	for _, f := range all[:min(len(all), mostFailed)] {
		b.Failed = append(b.Failed, failedRow{FailedFile: f, Tries: f.RetryCount + 1, Advice: adviceOf(f.ErrorType)})
	}
	b.Files, err = u.Catalog.Files(ctx, latestFiles)
	failed("the latest files", err)
	b.LakeBytes, err = u.lakeBytes(ctx)
	failed("the size of the lake", err)
	b.Picture, err = u.ingestPicture(ctx, now, b.Ingest)
	failed("the spans of the last day", err)
	b.verdict = verdictOf(b, failures)
	return b
}

// lag is the age of the oldest file that waits to be indexed, 0 if none does.
func (b *indexBody) lag() time.Duration {
	if b.Status == nil || b.Status.OldestPending == nil {
		return 0
	}
	return max(b.Now.Sub(*b.Status.OldestPending), 0)
}

// Lag is that for people, "" if no file waits.
func (b *indexBody) Lag() string {
	if b.Status == nil || b.Status.OldestPending == nil {
		return ""
	}
	return secondsText(b.lag())
}

// MemoryUsed is how much of its memory the process takes, in percent; 0: it is not known.
func (b *indexBody) MemoryUsed() float64 { return percentOf(b.Machine.Resident, b.Memory) }

// Unflushed is the age of the oldest span that is in no file, "" if there is none.
func (b *indexBody) Unflushed() string {
	if b.Ingest == nil || b.Ingest.OldestUnflushed == nil {
		return ""
	}
	return secondsText(max(b.Now.Sub(*b.Ingest.OldestUnflushed), 0))
}

// Age is how long ago something was, in whole seconds.
func (b *indexBody) Age(t time.Time) string {
	if age := b.Now.Sub(t); age >= time.Second {
		return secondsText(age) + " ago"
	}
	return "now"
}

// secondsText is a duration for something that goes on: fractions of seconds do not matter.
func secondsText(d time.Duration) string {
	if d < time.Minute {
		return strconv.Itoa(int(d/time.Second)) + "s"
	}
	return terminal.Duration(d)
}

// MoreFailed are the failed files that are not listed.
func (b *indexBody) MoreFailed() int { return b.FailedCount - len(b.Failed) }

// errNumber says that a query has not given a number.
var errNumber = errors.New("is not a number")

// lakeBytes is the size of the indexed files.
func (u *UI) lakeBytes(ctx context.Context) (size int64, err error) {
	err = u.rows(ctx, `SELECT CAST(coalesce(sum(size_bytes), 0) AS BIGINT) FROM parquet_files`, func(values []*string) error {
		size, err = number(values[0])
		return err
	})
	return size, err
}

// rows are those of a query on the tables that docs/formats/index.md describes.
func (u *UI) rows(ctx context.Context, query string, row func(values []*string) error) error {
	return u.Catalog.Select(ctx, query, span.FormText, func([]string) error { return nil }, row)
}

func number(text *string) (int64, error) {
	if text == nil {
		return 0, fmt.Errorf("NULL %w", errNumber)
	}
	return strconv.ParseInt(*text, 10, 64)
}

// adviceOf is what to do about a failed file, by the words of docs/formats/lake.md.
func adviceOf(errorType string) string {
	switch errorType {
	case "not_parquet":
		return "It is no Parquet file. If it does not belong into the lake, delete it."
	case "truncated":
		return "Its end is missing, as after a copy that was cut. Copy it again."
	case "missing_column", "wrong_type":
		return "Another program wrote it, with other columns than spans have."
	case "unreadable":
		return "Its content is damaged, or its permissions keep it from being read."
	case "too_large":
		return "It exceeds a limit: raise the setting that the reason names, or split it."
	}
	return "The reason may be the load of the machine: retry it. The log of the server says more."
}
