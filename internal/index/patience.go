package index

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/duckdb/duckdb-go/v2"
)

const (
	// What finds no memory is tried again after firstPatience, then after twice as long each time, as long as that is less than lastPatience:
	// six times within 1.3 seconds.
	firstPatience = 20 * time.Millisecond
	lastPatience  = time.Second
)

// outOfMemory tells whether DuckDB had no memory left within its limit.
func outOfMemory(err error) bool {
	duck, ok := errors.AsType[*duckdb.Error](err)
	return ok && duck.Type == duckdb.ErrorTypeOutOfMemory
}

// patiently does something again if DuckDB had no memory left for it. Questions and the indexer share one limit, which is small where --memory is,
// and most of what is short of memory is so because of others, which need theirs for some milliseconds: it must neither fail
// nor blame a file. do must be able to begin anew.
func (x *Index) patiently(ctx context.Context, do func() error) error {
	err := do()
	for wait := firstPatience; outOfMemory(err) && wait < lastPatience; wait *= 2 {
		// Those who wait at the same time must not come back at the same time.
		timer := time.NewTimer(wait/2 + rand.N(wait)) //nolint:gosec // nobody gains by guessing it
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
		err = do()
	}
	return err
}
