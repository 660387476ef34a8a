// Package sample makes a lake of believable AI-workflow traces, the same one for the same seed and options.
package sample

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/bits"
	"runtime"
	"sync"
	"time"

	"github.com/spanlake/spanlake/internal/lake"
	"github.com/spanlake/spanlake/internal/span"
)

// DefaultSpansPerFile is the size of files at which an ingestion service under load writes them.
const DefaultSpansPerFile = 100_000

// Options say which lake to make.
type Options struct {
	// Traces is how many traces to make. Set it or Spans, not both.
	Traces int64
	// Spans is how many spans to make at least: the last trace is made whole.
	Spans int64
	// Seed chooses the lake: another seed gives other ids, times and texts.
	Seed uint64
	// SpansPerFile ends a file with the trace that reaches it; 0 means DefaultSpansPerFile.
	SpansPerFile int64
	// Start and End are the time over which the traces begin, in the order of the files; what began just before End ends after it.
	Start, End time.Time
	// Workers is how many files are made at a time, which takes about 80 MB each; 0 means one for each core. It does not change the lake.
	Workers int
	// Progress, if set, is told the totals after each file, never twice at the same time.
	Progress func(Summary)
}

// Summary counts what has been made.
type Summary struct {
	Files, Traces, Spans, Bytes int64
}

func (o *Options) validate() error {
	switch {
	case (o.Traces > 0) == (o.Spans > 0):
		return errors.New("sample: one of traces and spans must be set, to more than 0")
	case o.Traces < 0 || o.Spans < 0 || o.SpansPerFile < 0 || o.Workers < 0:
		return errors.New("sample: a number of traces, spans, spans per file or workers below 0")
	case !o.Start.Before(o.End):
		return fmt.Errorf("sample: the start %s is not before the end %s", o.Start, o.End)
	case o.End.Sub(o.Start) >= maxRange:
		return fmt.Errorf("sample: from %s to %s is longer than %s", o.Start, o.End, maxRange)
	}
	if o.SpansPerFile == 0 {
		o.SpansPerFile = DefaultSpansPerFile
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	return nil
}

// maxRange keeps sums of times far from the ends of 64-bit nanoseconds.
const maxRange = 100 * 365 * 24 * time.Hour

// Generate makes the lake in the folder root and returns what it made, also when it was stopped by an error or by ctx: files are
// published one by one and stay. A file that is already there is never replaced: it ends the run with fs.ErrExist.
func Generate(ctx context.Context, root string, opts Options) (Summary, error) {
	if err := opts.validate(); err != nil {
		return Summary{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	var (
		catalog = newCatalog()
		plans   = make(chan filePlan)
		workers sync.WaitGroup
		mu      sync.Mutex
		total   Summary
	)
	report := func(plan filePlan, file lake.Written) {
		mu.Lock()
		defer mu.Unlock()
		total.Files++
		total.Traces += int64(len(plan.traces))
		total.Spans += file.Rows
		total.Bytes += file.Bytes
		if opts.Progress != nil {
			opts.Progress(total)
		}
	}
	for range opts.Workers {
		workers.Go(func() {
			if err := writeFiles(ctx, root, newRenderer(catalog, opts.Seed), plans, report); err != nil {
				cancel(err)
			}
		})
	}
	planFiles(ctx, newPlanner(catalog, opts), plans)
	workers.Wait()
	return total, context.Cause(ctx)
}

// planFiles hands out the files of the lake one after the other.
func planFiles(ctx context.Context, planner *planner, plans chan<- filePlan) {
	defer close(plans)
	for {
		plan, ok := planner.next()
		if !ok {
			return
		}
		select {
		case plans <- plan:
		case <-ctx.Done():
			return
		}
	}
}

// writeFiles makes the files of plans until there are no more.
func writeFiles(ctx context.Context, root string, render *renderer, plans <-chan filePlan, report func(filePlan, lake.Written)) error {
	writer, err := lake.NewWriter(root)
	if err != nil {
		return err
	}
	for plan := range plans {
		file, err := writer.WriteSorted(lake.Path(plan.service, time.Unix(0, plan.last), plan.suffix), parts(ctx, render, plan.traces))
		if err != nil {
			return err
		}
		report(plan, file)
	}
	return nil
}

// parts renders the traces of a file, a row group at a time, so that memory does not depend on the size of the file.
func parts(ctx context.Context, render *renderer, traces []tracePlan) iter.Seq2[[]span.Span, error] {
	return func(yield func([]span.Span, error) bool) {
		for i, trace := range traces {
			render.trace(trace)
			if len(render.spans) < lake.RowGroupRows && i < len(traces)-1 {
				continue
			}
			if !yield(render.spans, ctx.Err()) {
				return
			}
			// Cleared, so that the texts of this part need not stay while the next one is made.
			clear(render.spans)
			render.spans = render.spans[:0]
		}
	}
}

// scramble is the finalizer of SplitMix64: it turns numbers that follow each other into numbers that look like chance, and
// never two into the same one.
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// suffix is the part of a file's name that no other file of the lake has: it is one-to-one for the number of a file.
func suffix(seed uint64, file uint32) uint32 {
	return bits.ReverseBytes32((file^uint32(scramble(seed)))*0x9e3779b1) ^ uint32(seed)
}
