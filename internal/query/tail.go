package query

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

const (
	// tailWindow is how far back new root spans may start: one is sent when it ends, and a long one began long before.
	tailWindow = 15 * time.Minute
	// tailSpans is how many of the newest root spans each look of Tail goes through.
	tailSpans = 5_000
	// tailRest is how many times longer than a look Tail waits for the next one, so that it takes a fifth of a processor at most.
	tailRest = 4
)

// Tail calls yield with the root spans that are new since the last call, the oldest first, until ctx ends or yield fails. Shown
// are those that start within 15 minutes before they are seen and are among the newest 5,000 then. Times that the filter bounds are
// bounds beside that.
func (q *Queries) Tail(ctx context.Context, f span.TraceFilter, yield func([]span.Metadata) error) error {
	seen := make(map[span.Identity]bool)
	for begun := false; ; begun = true {
		started := time.Now()
		rows, err := q.newest(ctx, f, started.Add(-tailWindow))
		if err != nil {
			return err
		}
		var fresh []span.Metadata
		for i := range rows {
			if id := rows[i].Identity(); !seen[id] {
				seen[id] = true
				fresh = append(fresh, rows[i].Metadata)
			}
		}
		maps.DeleteFunc(seen, func(id span.Identity, _ bool) bool { return id.Start < started.Add(-tailWindow).UnixMicro() })
		if begun && len(fresh) > 0 {
			slices.Reverse(fresh)
			if err := yield(fresh); err != nil {
				return err
			}
		}
		wait := time.NewTimer(max(q.opts.TailEvery, tailRest*time.Since(started)))
		select {
		case <-ctx.Done():
			wait.Stop()
			return ctx.Err()
		case <-wait.C:
		}
	}
}

// newest lists the newest root spans from a time on.
func (q *Queries) newest(ctx context.Context, f span.TraceFilter, from time.Time) ([]span.Row, error) {
	if f.Root.From.Before(from) {
		f.Root.From = from
	}
	f.Root = filterInMicros(f.Root)
	leave, err := q.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	found, _, err := q.ask().traces(ctx, f, "", tailSpans)
	return found.rows, err
}
