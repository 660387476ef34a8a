package ui

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/terminal"
)

// severity says how much a reason matters.
type severity int

const (
	fine severity = iota
	// notable should be looked at; spans come in and are found.
	notable
	// broken: spans are refused, not found or about to be.
	broken
)

// Class is that of app.css.
func (s severity) Class() string { return [...]string{"ok", "warn", "error"}[s] }

// Icon is a sign that does not need colours.
func (s severity) Icon() string { return [...]string{"✓", "!", "✕"}[s] }

// verdict says in one line whether all is well, and why not.
type verdict struct {
	Severity severity
	Reasons  []reason
}

// reason is one thing that is not well.
type reason struct {
	Severity severity
	// What is the case, Next what to do about it. Code is a command or setting for that.
	What, Next, Code string
}

// Headline is the verdict for who has five seconds.
func (v verdict) Headline() string {
	return [...]string{"All is well", "Look at this", "Something is wrong"}[v.Severity]
}

const (
	// longLag is how long files may wait to be indexed: with watching it takes seconds.
	longLag = 2 * time.Minute
	// nearlyFull is how many times MinFreeDisk must be left, and usualMinFree what counts if there is no such setting.
	nearlyFull   = 4
	usualMinFree = 256e6
)

// verdictOf judges what the sources said. failures are those of sources that did not answer.
func verdictOf(b *indexBody, failures []error) (v verdict) {
	for _, err := range failures {
		v.Reasons = append(v.Reasons, reason{broken, "Not known: " + err.Error() + ".", "The log of the server says more.", ""})
	}
	if b.Ingest != nil {
		v.Reasons = append(v.Reasons, ingestReasons(b.Ingest)...)
	}
	if b.Status != nil {
		v.Reasons = append(v.Reasons, indexerReasons(b.Status, b.lag())...)
	}
	v.Reasons = append(v.Reasons, machineReasons(b)...)
	if b.FailedCount > 0 {
		v.Reasons = append(v.Reasons, reason{notable, terminal.Count(int64(b.FailedCount), "file") + " could not be indexed.",
			"What is in there is not found. The table below has the reasons. Repair or delete what is listed, then retry:", "spanlake retry --all"})
	}
	slices.SortStableFunc(v.Reasons, func(x, y reason) int { return int(y.Severity - x.Severity) })
	if len(v.Reasons) > 0 {
		v.Severity = v.Reasons[0].Severity
	}
	return v
}

func ingestReasons(s *span.IngestStatus) (all []reason) {
	if s.Refusing != "" {
		all = append(all, reason{broken, "Spans are refused: " + s.Refusing + ".", "Exporters send again for some minutes; after that spans are lost.", ""})
	}
	if s.FlushFailures > 0 {
		all = append(all, reason{broken, fmt.Sprintf("Spans cannot be moved into the lake: %s in a row: %s.", terminal.Count(s.FlushFailures, "attempt"), s.LastFlushError),
			"They are safe in the write-ahead log and are tried again. Is the lake there, writable, and not full?", ""})
	}
	if s.DamagedRequests > 0 {
		all = append(all, reason{notable, terminal.Count(s.DamagedRequests, "request") + " of the write-ahead log can no longer be read: the disk gave back other bytes than were written.",
			"Their spans are lost. Check the disk.", ""})
	}
	return all
}

func indexerReasons(s *span.IndexerStatus, lag time.Duration) (all []reason) {
	add := func(severity severity, what, next, code string) {
		all = append(all, reason{severity, what, next, code})
	}
	switch s.State {
	case span.IndexerFailing:
		add(broken, fmt.Sprintf("The indexer failed %s in a row: %s.", terminal.Count(s.Failures, "time"), s.LastError),
			"It tries again by itself. New spans are not found until it succeeds.", "")
	case span.IndexerStopped:
		add(broken, "The indexer was told to end.", "The server is stopping: start it again.", "")
	case span.IndexerStarting:
		add(notable, "The indexer has not yet looked at the whole lake.", "Answers may lack spans until it has. Nothing is to be done.", "")
	case span.IndexerIdle, span.IndexerIndexing, span.IndexerWithholding:
	}
	if s.Hot.State == span.HotUnreachable {
		add(broken, "The process that takes spans in, at "+s.Hot.Address+", does not answer: "+s.Hot.Error+".",
			"Spans of the last minutes are missing. Is it running, and is its address right?", "--internal-server")
	}
	if s.WithheldFiles > 0 {
		add(notable, terminal.Count(s.WithheldFiles, "file")+" gone from the lake: kept in the index, since so many are missing at once.",
			"Is the lake mounted? If they were deleted on purpose, confirm it:", "spanlake index --accept-missing")
	}
	if len(s.UnreadPlaces) > 0 {
		const shown = 3
		places := strings.Join(s.UnreadPlaces[:min(len(s.UnreadPlaces), shown)], ", ")
		if more := len(s.UnreadPlaces) - shown; more > 0 {
			places += fmt.Sprintf(" and %d more", more)
		}
		add(notable, "Places of the lake cannot be read: "+places+".", "What lies there stays as it was. Look at the permissions.", "")
	}
	if lag > longLag {
		add(notable, fmt.Sprintf("Waiting to be indexed: %s, the oldest written %s ago.", terminal.Count(s.PendingFiles, "file"), secondsText(lag)),
			"After a start or a large copy it catches up by itself. If it stays behind, give the process more memory:", "--memory")
	}
	return all
}

func machineReasons(b *indexBody) (all []reason) {
	m := b.Machine
	least := m.MinFreeDisk
	if least <= 0 {
		least = usualMinFree
	}
	for _, d := range m.Disks {
		if d.Free >= nearlyFull*least {
			continue
		}
		of := "The disk of the " + strings.Join(d.Holds, ", the ") + " is nearly full: " + humanize.Bytes(uint64(max(d.Free, 0))) + " are free."
		how := notable
		if d.Free < least {
			how = broken
		}
		all = append(all, reason{how, of, "Below " + humanize.Bytes(uint64(least)) + " spans are refused. Make room, or let old files go:", "--retain-days"})
	}
	if b.Ingest != nil && m.MaxWAL > 0 && b.Ingest.WALBytes > m.MaxWAL/5*4 {
		all = append(all, reason{notable, fmt.Sprintf("The write-ahead log has %s of the %s that it may have.", humanize.Bytes(uint64(b.Ingest.WALBytes)), humanize.Bytes(uint64(m.MaxWAL))),
			"Spans come in faster than they go into files. When it is full they are refused:", "--max-wal-size"})
	}
	if b.Memory > 0 && m.Resident > b.Memory/10*11 {
		all = append(all, reason{notable, fmt.Sprintf("The process takes %s of memory, more than its %s.", humanize.Bytes(uint64(m.Resident)), humanize.Bytes(uint64(b.Memory))),
			"If it stays above, lower what it may take, or give it more:", "--memory"})
	}
	return all
}
