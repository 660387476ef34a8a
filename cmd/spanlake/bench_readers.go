package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/spanlake/spanlake/internal/index"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/terminal"
)

// distribution says how long something took.
type distribution struct {
	What     string  `json:"what"`
	N        int     `json:"n"`
	MedianMS float64 `json:"median_ms"`
	P90MS    float64 `json:"p90_ms"`
	P99MS    float64 `json:"p99_ms"`
	MaxMS    float64 `json:"max_ms"`
	// WALBytes is how large DuckDB's write-ahead log became meanwhile, 0 if that was not looked at.
	WALBytes int64 `json:"wal_bytes,omitempty"`
}

func newDistribution(what string, took []time.Duration) distribution {
	d := distribution{What: what, N: len(took)}
	if len(took) == 0 {
		return d
	}
	slices.Sort(took)
	at := func(percent int) float64 { return milliseconds(took[min(len(took)*percent/100, len(took)-1)]) }
	d.MedianMS, d.P90MS, d.P99MS, d.MaxMS = at(50), at(90), at(99), at(100)
	return d
}

func (b *followBench) print() error {
	var rows [][]string
	number := func(ms float64) string { return humanize.FormatFloat("#,###.#", ms) }
	for _, d := range b.results {
		wal := "-"
		if d.WALBytes > 0 {
			wal = humanize.Bytes(uint64(d.WALBytes))
		}
		rows = append(rows, []string{d.What, humanize.Comma(int64(d.N)), number(d.MedianMS), number(d.P90MS), number(d.P99MS), number(d.MaxMS), wal})
	}
	return terminal.Table(b.stdout, []string{"", "TIMES", "MEDIAN MS", "90 %", "99 %", "LONGEST", "WAL AT MOST"}, rows)
}

// latestRootsSQL is what a listing of traces asks.
const latestRootsSQL = `
SELECT trace_id, name, start_time, duration_ns FROM span_metadata
WHERE is_root AND start_time > (SELECT max(last_seen) - INTERVAL 5 MINUTE FROM services)
ORDER BY start_time DESC LIMIT 50`

// readers ask the index without a pause and note how long each answer took.
type readers struct {
	index   *index.Index
	queries []readerQuery
	results []distribution
}

type readerQuery struct {
	name string
	ask  func(ctx context.Context, n int) error
}

func (b *followBench) newReaders(ctx context.Context, x *index.Index) (*readers, error) {
	var ids []string
	none := func([]string) error { return nil }
	err := x.Select(ctx, lookupIDsSQL, span.FormText, none, func(row []*string) error {
		ids = append(ids, text(row[0], ""))
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return nil, errors.New("the sample has no traces")
	}
	return &readers{index: x, queries: []readerQuery{
		{"services", func(ctx context.Context, _ int) error { _, err := x.Services(ctx); return err }},
		{"one trace", func(ctx context.Context, n int) error { _, err := x.TraceSpans(ctx, ids[n%len(ids)]); return err }},
		{"latest roots", func(ctx context.Context, _ int) error {
			return x.Select(ctx, latestRootsSQL, span.FormText, none, func([]*string) error { return nil })
		}},
	}}, nil
}

// during reads while work runs.
func (r *readers) during(ctx context.Context, what string, work func() error) error {
	stop := make(chan struct{})
	var running sync.WaitGroup
	took, failed := make([][]time.Duration, len(r.queries)), make([]error, len(r.queries))
	for i, query := range r.queries {
		running.Go(func() {
			for n := 0; failed[i] == nil; n++ {
				select {
				case <-stop:
					return
				default:
				}
				start := time.Now()
				failed[i] = query.ask(ctx, n)
				took[i] = append(took[i], time.Since(start))
				if sleep(ctx, time.Millisecond) != nil { // people are not that quick, and the machine has few cores
					return
				}
			}
		})
	}
	var wal int64
	running.Go(func() { wal = r.watchWAL(ctx, stop) })
	err := work()
	close(stop)
	running.Wait()
	for i, query := range r.queries {
		d := newDistribution(query.name+", while "+what, took[i])
		d.WALBytes = wal
		r.results = append(r.results, d)
	}
	return errors.Join(errors.Join(failed...), err)
}

// watchWAL says how large the write-ahead log became.
func (r *readers) watchWAL(ctx context.Context, stop <-chan struct{}) int64 {
	most := int64(0)
	for {
		select {
		case <-stop:
			return most
		case <-time.After(20 * time.Millisecond):
		}
		if size, err := r.index.Size(ctx); err == nil {
			most = max(most, size.WALBytes)
		}
	}
}
