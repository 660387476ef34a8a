package index

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/duckdb/duckdb-go/v2"
	"golang.org/x/sync/semaphore"
)

const (
	// allShares is what memory has: whoever has all of them is alone.
	allShares = 1 << 20
	// What finds no memory even alone waits for what takes no turn (queries of users, verify, exports): firstPatience, and four times as long
	// the next time, as long as that is less than lastPatience.
	firstPatience = 100 * time.Millisecond
	lastPatience  = time.Second
	// commitMemory is what a transaction should find when it commits: it brings blocks of 256 KiB with what it has changed back into memory.
	commitMemory = 8 << 20
)

// outOfMemory tells whether DuckDB had no memory left within its limit.
func outOfMemory(err error) bool {
	_, appending := errors.AsType[*appendError](err)
	return appending || isDuck(err, duckdb.ErrorTypeOutOfMemory)
}

// appendError says that rows could not be appended to a temporary table. The driver does not tell what kind of error it was (duckdb-go 2.10506);
// what we append is sound, so it was memory.
type appendError struct{ err error }

func (e *appendError) Error() string { return e.err.Error() }

func (e *appendError) Unwrap() error { return e.err }

// refusing tells whether DuckDB refuses all further work since something went wrong before.
func refusing(err error) bool { return isDuck(err, duckdb.ErrorTypeFatal) }

func isDuck(err error, kind duckdb.ErrorType) bool {
	duck, ok := errors.AsType[*duckdb.Error](err)
	return ok && duck.Type == kind
}

// memory is DuckDB's, under one limit for questions and the indexer, which is small where --memory is: a join or a window of a few rows
// takes 8 MB, and what does not fit fails. So each takes a turn: all share the memory, until one finds none left. That one then waits until the
// others are done, and is alone (docs/adr/0019-turns-for-memory.md).
type memory struct {
	shares *semaphore.Weighted
	// besides is how much goes on without a turn, since it may take minutes: queries of users, verify and exports.
	besides atomic.Int64
	// waits is how often somebody waited to be alone, since memory was short.
	waits atomic.Int64
}

func newMemory() *memory { return &memory{shares: semaphore.NewWeighted(allShares)} }

// beside notes what goes on without a turn, until done is called.
func (m *memory) beside() (done func()) {
	m.besides.Add(1)
	return func() { m.besides.Add(-1) }
}

// turn is what somebody holds.
type turn struct {
	memory *memory
	held   int64
}

type turnKey struct{}

// turnOf is the turn within which something is done, or nil.
func turnOf(ctx context.Context) *turn {
	t, _ := ctx.Value(turnKey{}).(*turn)
	return t
}

// acquire waits for shares.
func (m *memory) acquire(ctx context.Context, shares int64) error {
	if shares == allShares {
		m.waits.Add(1)
	}
	return m.shares.Acquire(ctx, shares)
}

// take does something in a turn.
func (m *memory) take(ctx context.Context, shares int64, do func(context.Context) error) error {
	if err := m.acquire(ctx, shares); err != nil {
		return err
	}
	t := &turn{memory: m, held: shares}
	defer func() { m.shares.Release(t.held) }()
	return do(context.WithValue(ctx, turnKey{}, t))
}

// beAlone gives a share back and waits for all of them, until ctx ends. It must be called where others may go on meanwhile.
func (t *turn) beAlone(ctx context.Context) {
	if t.held == allShares {
		return
	}
	t.memory.shares.Release(t.held)
	t.held = 0
	if t.memory.acquire(ctx, allShares) == nil {
		t.held = allShares
	}
}

// patiently does something in a turn, and again and alone if DuckDB had no memory left for it: most of what is short of memory is so because
// of others, and must neither fail nor blame a file. do must be able to begin anew, and must do all with its context. Within
// another turn it is that one that begins anew.
func (x *Index) patiently(ctx context.Context, do func(context.Context) error) error {
	if turnOf(ctx) != nil {
		return do(ctx)
	}
	err := x.memory.take(ctx, 1, do)
	if !outOfMemory(err) {
		return err
	}
	x.log.Debug("no memory left among others, trying again alone", "error", err)
	if err = x.memory.take(ctx, allShares, do); !outOfMemory(err) {
		return err
	}
	return retry(ctx, err, func() error { return x.memory.take(ctx, allShares, do) })
}

// retry does again what found no memory, a few times within half a second.
func retry(ctx context.Context, err error, do func() error) error {
	for wait := firstPatience; outOfMemory(err) && wait < lastPatience; wait *= 4 {
		timer := time.NewTimer(wait)
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

// beginsAnew tells whether what ended with err is done again, alone, by whoever took the turn. Then nothing and nobody is to blame.
func beginsAnew(ctx context.Context, err error) bool {
	t := turnOf(ctx)
	return t != nil && t.held != allShares && outOfMemory(err)
}

// crowded tells whether something found no memory, even alone, while others may have had it that take no turn.
func (x *Index) crowded(err error) bool { return outOfMemory(err) && x.memory.besides.Load() > 0 }

// takenSQL is the memory that DuckDB cannot give up for something else.
const takenSQL = `
SELECT CAST(coalesce(sum(memory_usage_bytes), 0) AS BIGINT) FROM duckdb_memory() WHERE tag NOT IN ('BASE_TABLE', 'IN_MEMORY_TABLE')`

// makeRoom waits to be alone if there is little memory, for what must not fail for want of it.
func (x *Index) makeRoom(ctx context.Context) {
	t := turnOf(ctx)
	if t == nil {
		return
	}
	var taken int64
	// On another connection: an error would end a transaction.
	err := x.db.QueryRowContext(context.WithoutCancel(ctx), takenSQL).Scan(&taken)
	if err != nil || taken > x.opts.Memory-commitMemory {
		t.beAlone(ctx)
	}
}

// commit ends a transaction. One that finds no memory for it can neither commit nor roll back, and DuckDB then refuses all further work (seen
// with three clients at --memory 256MB).
func (x *Index) commit(ctx context.Context, tx *sql.Tx) error {
	x.makeRoom(ctx)
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// inTransaction does something on the connection that writes, in a transaction and patiently.
func (x *Index) inTransaction(ctx context.Context, do func(context.Context, *sql.Tx) error) error {
	return x.patiently(ctx, func(ctx context.Context) error {
		// Not with a context that ends: see transact.
		tx, err := x.conn.BeginTx(context.WithoutCancel(ctx), nil)
		if err != nil {
			return err
		}
		if err := do(ctx, tx); err != nil {
			x.rollback(tx)
			return err
		}
		return x.commit(ctx, tx)
	})
}

// rollback ends a transaction of the connection that writes. The statement itself needs memory; if there is none for long, the next writer
// opens the database again.
func (x *Index) rollback(tx *sql.Tx) {
	ctx := context.Background()
	_ = retry(ctx, tx.Rollback(), func() error {
		_, err := x.conn.ExecContext(ctx, "ROLLBACK") // for database/sql tx is over
		return err
	})
}

// discard closes a connection instead of giving it back to the pool.
func discard(conn *sql.Conn) { _ = conn.Raw(func(any) error { return driver.ErrBadConn }) }

// reading calls do with the database, and once more if the database had to be opened again in the middle, whatever for. do only reads, and
// must be able to begin anew.
func (x *Index) reading(ctx context.Context, do func(db *sql.DB) error) error {
	return x.handingOn(ctx, new(bool), do)
}

// handingOn is reading for what hands rows on as it goes: it is not done again once begun, since whoever has some must not get them again.
func (x *Index) handingOn(ctx context.Context, begun *bool, do func(db *sql.DB) error) error {
	once := func() (*sql.DB, error) {
		db, release, err := x.reader()
		if err != nil {
			return nil, err
		}
		defer release()
		return db, do(db)
	}
	db, err := once()
	if db == nil || *begun || !refusing(err) || ctx.Err() != nil {
		return err
	}
	if x.mend(ctx, db) != nil {
		return err
	}
	_, err = once()
	return err
}

// mend opens the database again, unless somebody has done so since it was db.
func (x *Index) mend(ctx context.Context, db *sql.DB) error {
	now, release, err := x.reader()
	if err == nil {
		release()
		if now != db {
			return nil
		}
	}
	unlock, err := x.lockWriter(ctx)
	if err != nil {
		return err
	}
	unlock()
	return nil
}
