package index

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// SyncOptions say how a pass treats what it finds.
type SyncOptions struct {
	LookOptions
	// Progress is called after each transaction, and once before the first. It may be nil.
	Progress func(Progress)
}

// Progress is how far a pass is.
type Progress struct {
	FilesDone, FilesTotal int64
	BytesDone, BytesTotal int64
	SpansIndexed          int64
}

// Sync makes the index equal to the lake as listing shows it: new and changed files are indexed, files that are gone
// are removed. After an error, or when ctx ends, what was committed stays, and the next pass goes on from there.
func (x *Index) Sync(ctx context.Context, listing iter.Seq2[span.File, error], o SyncOptions) (span.Summary, error) {
	start := time.Now()
	p := pass{index: x, options: o}
	err := ErrReopened
	for errors.Is(err, ErrReopened) {
		err = p.run(ctx, listing) // ends: each time another file has been recorded as failed
	}
	p.summary.FilesFailed += p.summary.FilesWaiting
	p.summary.Elapsed = time.Since(start)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx) // DuckDB only says that it was interrupted
	}
	if err != nil {
		return p.summary, fmt.Errorf("index lake: %w", err)
	}
	return p.summary, nil
}

// pass is one Sync.
type pass struct {
	index    *Index
	options  SyncOptions
	summary  span.Summary
	progress Progress
}

func (p *pass) run(ctx context.Context, listing iter.Seq2[span.File, error]) error {
	found, err := p.index.Look(ctx, span.WholeLake(listing), p.options.LookOptions)
	if err != nil {
		return err
	}
	if err := p.logFound(ctx, found); err != nil {
		return err
	}
	backlog := p.index.Backlog()
	p.progress = Progress{FilesTotal: backlog.Files, BytesTotal: backlog.Bytes}
	p.summary.FilesFound, p.summary.LakeAbsent, p.summary.FilesWithheld = found.Files, found.Absent, found.Withheld
	// What an earlier run of this pass has done is not waiting, nor has it always been unchanged.
	p.summary.FilesWaiting = found.Waiting - p.summary.FilesFailed
	p.summary.FilesUnchanged = found.Files - backlog.Files - found.Waiting - p.summary.FilesIndexed
	p.report()
	for more := true; more; {
		step, err := p.index.Work(ctx, WorkOptions{})
		p.summary.Add(step.Summary)
		if err != nil {
			return err
		}
		more = step.More
		p.progress.FilesDone += step.Files
		p.progress.BytesDone += step.Bytes
		p.progress.SpansIndexed = p.summary.SpansIndexed
		if step.Files > 0 {
			p.report()
		}
	}
	return nil
}

// logFound logs what an operator should know of the lake.
func (p *pass) logFound(ctx context.Context, found Found) error {
	for _, unread := range found.Unread {
		if unread.Path != "." {
			p.index.log.Warn("cannot read a place of the lake, going on with the rest", "path", unread.Path, "error", unread.Err)
		}
	}
	if !found.Absent || p.options.AcceptMissing {
		return nil
	}
	totals, err := p.index.Totals(ctx)
	if err != nil {
		return err
	}
	if totals.Files > 0 {
		p.index.log.Warn("the lake folder does not exist, the index keeps what it has: is it mounted?", "lake", p.index.lake, "files", totals.Files)
	}
	return nil
}

func (p *pass) report() {
	if p.options.Progress != nil {
		p.options.Progress(p.progress)
	}
}

// queryStrings reads a column of text.
func (x *Index) queryStrings(ctx context.Context, query string, args ...any) ([]string, error) {
	var values []string
	err := x.eachRow(ctx, query, func(scan func(...any) error) error {
		var value string
		err := scan(&value)
		values = append(values, value)
		return err
	}, args...)
	return values, err
}
