// Package index keeps the DuckDB index of a lake: it takes in the light columns of Parquet files, and looks spans up.
package index

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/duckdb/duckdb-go/v2"
)

// schemaVersion is written into new indexes; another version is not opened. Raise it with every change of schema.sql.
const schemaVersion = 3

//go:embed schema.sql
var schemaSQL string

const (
	// openTimeout is when opening is given up: a damaged file can make DuckDB spin. A sound one opens within about two
	// seconds even after a crash, since the write-ahead log is at most a checkpoint threshold long.
	openTimeout = time.Minute
	// A DuckDB file has three header blocks of 4 KiB; a magic number stands at byte 8 of the first.
	duckMagic       = "DUCK"
	duckMagicOffset = 8
	// newSuffix marks a database that is being created and is renamed when it is whole.
	newSuffix = ".new"
)

var errOpenTimeout = errors.New("timeout")

// Options say where an index is and what it may use.
type Options struct {
	// Path of the DuckDB file.
	Path string
	// Lake is the root folder of the Parquet files.
	Lake string
	// Memory is what DuckDB may allocate, in bytes.
	Memory int64
	// Threads that DuckDB may use.
	Threads int
	// BatchSize is how many files one transaction takes in.
	BatchSize int
	// ReadOnly opens the index beside other readers. It must exist.
	ReadOnly bool
	Limits   Limits
	// Log may be nil.
	Log *slog.Logger
}

// Index is an open index. One process opens a path at most once for writing at a time. Its methods may be called from
// several goroutines: those that write take turns, and those that read wait for none.
type Index struct {
	opts Options
	log  *slog.Logger
	lake string // absolute

	// handles guards db and conn, which are nil while the database could not be opened again; see revive.
	handles sync.RWMutex
	db      *sql.DB
	// writing is held by what writes, since all of it happens on conn.
	writing sync.Mutex
	// closed says that Close was called; what is still to write then finds the index closed for good.
	closed bool
	// conn runs everything that writes, since temporary tables belong to a connection.
	conn *sql.Conn

	memory *memory

	backlog backlog
	// inspections are of files that are not indexed yet.
	inspections inspections
	// shapes are of files that whole spans were read from.
	shapes shapes
	// partSpans is about how many spans Verify looks at in one part; tests make it small.
	partSpans int64
	// now is time.Now; tests set the clock.
	now func() time.Time
	// dailyTail is how many rows of daily_durations_tail are merged, dailyPart in how large parts; tests make both small.
	dailyTail, dailyPart int64
}

// Open opens the index of o.Path, and creates it if it is not there and not o.ReadOnly.
//
// Errors: *LockedError, *UnusableError, ErrNoIndex, or what the system says.
func Open(ctx context.Context, o Options) (*Index, error) {
	path, err := realPath(o.Path)
	if err != nil {
		return nil, fmt.Errorf("index %s: %w", o.Path, err)
	}
	o.Path = path
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	lake, err := filepath.Abs(o.Lake)
	if err != nil {
		return nil, fmt.Errorf("lake %s: %w", o.Lake, err)
	}
	if strings.ContainsAny(path, "?#%") || strings.ContainsFunc(path, unicode.IsControl) {
		return nil, &UnusableError{Path: path, Reason: "has a name that DuckDB's driver cannot open: choose one without ? # % and control characters"}
	}
	x := &Index{opts: o, log: o.Log, lake: lake, partSpans: partSpans, dailyTail: dailyTail, dailyPart: dailyPart, now: time.Now,
		memory: newMemory()}
	if err := x.connect(ctx); err != nil {
		return nil, err
	}
	return x, nil
}

// connect opens the database and the connection that writes.
func (x *Index) connect(ctx context.Context) error {
	if err := prepareFile(ctx, x.opts); err != nil {
		return err
	}
	db, err := openDuckDB(ctx, x.opts)
	if err != nil {
		return explainOpenError(x.opts, err)
	}
	if err := x.checkSchema(ctx, db); err != nil {
		return errors.Join(err, db.Close())
	}
	if err := x.confine(ctx, db); err != nil {
		return errors.Join(fmt.Errorf("confine DuckDB to the lake %s: %w", x.lake, err), db.Close())
	}
	conn, err := writingConn(ctx, db)
	if err != nil {
		return errors.Join(fmt.Errorf("connect to index %s: %w", x.opts.Path, err), db.Close())
	}
	x.db, x.conn = db, conn
	return nil
}

// writingConn is a connection with empty temporary tables.
func writingConn(ctx context.Context, db *sql.DB) (*sql.Conn, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.ExecContext(ctx, tempTablesSQL); err != nil {
		discard(conn)
		return nil, fmt.Errorf("make temporary tables: %w", err)
	}
	return conn, nil
}

// confine takes DuckDB's access to everything but the lake and its own files away, for good: no query and no file of
// the lake can make it touch anything else.
func (x *Index) confine(ctx context.Context, db *sql.DB) error {
	for _, statement := range []string{
		// Not a matter of access, but the last chance to set it: days and times mean UTC, wherever the machine stands.
		"SET GLOBAL TimeZone = 'UTC'",
		// DuckDB compares with the pattern that it is given, so the lake has to be allowed as one as well.
		"SET GLOBAL allowed_directories = [" + quote(x.lake) + ", " + quote(literalPattern(x.lake)) + "]",
		"SET GLOBAL enable_external_access = false",
		"SET GLOBAL lock_configuration = true",
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// LockedBy says which other process has the index at path open so that it cannot be opened here for writing, or for reading
// if readOnly; nil if none has. It must not be called while this process has the index open.
func LockedBy(path string, readOnly bool) *LockedError {
	if path, err := realPath(path); err == nil {
		if holder, err := lockHolder(path, readOnly); err == nil {
			return holder
		}
	}
	return nil // opening it will say what is wrong
}

// realPath is where a database lies: its write-ahead log is beside it and not beside a link to it.
func realPath(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		return target, nil
	}
	return path, nil // not there yet, or opening it will say what is wrong
}

// prepareFile makes sure that there is a DuckDB file which nobody else holds.
func prepareFile(ctx context.Context, o Options) error {
	info, err := os.Stat(o.Path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode().IsRegular() && info.Size() == 0 {
		if o.ReadOnly {
			return fmt.Errorf("%s: %w", o.Path, ErrNoIndex)
		}
		if err := createDatabase(ctx, o); err != nil {
			return err
		}
		info, err = os.Stat(o.Path) // another process may have made it, and hold it
	}
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	if !info.Mode().IsRegular() {
		return &UnusableError{Path: o.Path, Reason: "is not a file: choose another --db"}
	}
	holder, err := lockHolder(o.Path, o.ReadOnly)
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	if holder != nil {
		return holder
	}
	ok, err := hasDuckMagic(o.Path)
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	if !ok {
		return &UnusableError{Path: o.Path, Reason: "is not a DuckDB database: choose another --db, or move the file away"}
	}
	if !o.ReadOnly {
		// Left by a process that was killed; we are about to be the only writer.
		if err := os.RemoveAll(tempFolder(o)); err != nil {
			return fmt.Errorf("index: remove temporary files: %w", err)
		}
	}
	return nil
}

func hasDuckMagic(path string) (bool, error) {
	file, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer func() { _ = file.Close() }() // only read
	magic := make([]byte, len(duckMagic))
	if _, err := file.ReadAt(magic, duckMagicOffset); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return string(magic) == duckMagic, nil
}

// createDatabase makes an empty index under another name and renames it when it is whole, so that a crash never
// leaves half a schema.
func createDatabase(ctx context.Context, o Options) error {
	if err := os.MkdirAll(filepath.Dir(o.Path), 0o755); err != nil {
		return fmt.Errorf("create index: %w", err)
	}
	unlock, err := lockFolder(ctx, filepath.Dir(o.Path))
	if err != nil {
		return fmt.Errorf("create index: %w", err)
	}
	defer unlock()
	if info, err := os.Stat(o.Path); err == nil && info.Size() > 0 {
		return nil // another process made it while we waited
	}
	target := o.Path
	o.Path += newSuffix
	if err := removeDatabase(o.Path); err != nil {
		return fmt.Errorf("create index: %w", err)
	}
	db, err := openDuckDB(ctx, o)
	if err != nil {
		return fmt.Errorf("create index %s: %w", target, err)
	}
	_, err = db.ExecContext(ctx, schemaSQL)
	if err == nil {
		_, err = db.ExecContext(ctx, "INSERT INTO schema_version VALUES ($1, now())", schemaVersion)
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("create index %s: %w", target, err)
	}
	if err := replaceDatabase(o.Path, target); err != nil {
		return fmt.Errorf("create index %s: %w", target, err)
	}
	return nil
}

// replaceDatabase puts the closed database from in the place of to. The write-ahead log of the old one goes first: if
// we are interrupted in between, the old one stands as its last checkpoint left it, whereas the other order could
// replay the old log into the new database.
func replaceDatabase(from, to string) error {
	if _, err := os.Stat(from); err != nil {
		return err
	}
	if err := os.Remove(to + ".wal"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(to))
}

func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// removeDatabase removes a database file and what DuckDB keeps beside it.
func removeDatabase(path string) error {
	for _, name := range []string{path, path + ".wal"} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return os.RemoveAll(path + ".tmp")
}

func tempFolder(o Options) string {
	if o.ReadOnly {
		// Beside a writer or other readers: DuckDB makes and removes it only when it has to.
		return filepath.Join(os.TempDir(), "spanlake-"+strconv.Itoa(os.Getpid()))
	}
	return o.Path + ".tmp"
}

// openDuckDB opens the file under a watchdog. When that bites, the thread that hangs in DuckDB cannot be stopped; the
// caller is expected to end the process.
func openDuckDB(ctx context.Context, o Options) (*sql.DB, error) {
	settings := url.Values{}
	settings.Set("memory_limit", strconv.FormatInt(o.Memory, 10)+"B")
	settings.Set("threads", strconv.Itoa(max(o.Threads, 1)))
	settings.Set("temp_directory", tempFolder(o))
	// Smaller and faster strings (measured: design, "The index").
	settings.Set("storage_compatibility_version", "latest")
	// Keeping the order of rows halves the speed (docs/benchmarks.md); where order matters there is an ORDER BY.
	settings.Set("preserve_insertion_order", "false")
	// It counts rows of row groups that a transaction is adding or removing: while files were indexed anew, lists that are ordered by time
	// lacked all that came after some row (DuckDB 1.5.6; 7 lists in 52 rounds of TestPagesWhileFilesAreIndexedAnew on a busy machine, none in 104
	// without it).
	settings.Set("disabled_optimizers", "row_group_pruner")
	// Each file is read once.
	settings.Set("enable_external_file_cache", "false")
	settings.Set("autoinstall_known_extensions", "false")
	settings.Set("autoload_known_extensions", "false")
	if o.ReadOnly {
		settings.Set("access_mode", "READ_ONLY")
	}
	type opened struct {
		connector *duckdb.Connector
		err       error
	}
	done := make(chan opened, 1)
	go func() {
		connector, err := duckdb.NewConnector(o.Path+"?"+settings.Encode(), nil)
		done <- opened{connector, err}
	}()
	watchdog := time.NewTimer(openTimeout)
	defer watchdog.Stop()
	select {
	case got := <-done:
		if got.err != nil {
			return nil, got.err
		}
		return sql.OpenDB(got.connector), nil
	case <-watchdog.C:
		return nil, &UnusableError{Path: o.Path, Rebuildable: true, Err: errOpenTimeout,
			Reason: fmt.Sprintf("did not open within %s and is probably damaged: run `spanlake rebuild`", openTimeout)}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// explainOpenError turns DuckDB's refusal to open a file into what the user can act on.
func explainOpenError(o Options, err error) error {
	if holder, lockErr := lockHolder(o.Path, o.ReadOnly); lockErr == nil && holder != nil {
		return holder // it came between our look and our opening
	}
	if _, ok := errors.AsType[*duckdb.Error](err); !ok {
		return fmt.Errorf("open index %s: %w", o.Path, err)
	}
	return &UnusableError{Path: o.Path, Rebuildable: true, Reason: "cannot be opened and is probably damaged, or of a newer DuckDB: " +
		"run `spanlake rebuild` to make it anew from the lake", Err: err}
}

// checkSchema makes sure that the database is an index of this version.
func (x *Index) checkSchema(ctx context.Context, db *sql.DB) error {
	// One table alone could be anybody's: a rebuild replaces what this takes for an index.
	const hasTableSQL = `
SELECT count(DISTINCT table_name) = 3 FROM duckdb_tables()
WHERE table_name IN ('schema_version', 'parquet_files', 'span_metadata') AND NOT temporary`
	var ours bool
	if err := db.QueryRowContext(ctx, hasTableSQL).Scan(&ours); err != nil {
		return fmt.Errorf("read schema of %s: %w", x.opts.Path, err)
	}
	if !ours {
		return &UnusableError{Path: x.opts.Path, Reason: "is a DuckDB database but not a Spanlake index: choose another --db"}
	}
	var version int
	if err := db.QueryRowContext(ctx, "SELECT version FROM schema_version").Scan(&version); err != nil {
		return &UnusableError{Path: x.opts.Path, Rebuildable: true, Reason: "has no schema version: run `spanlake rebuild`", Err: err}
	}
	switch {
	case version > schemaVersion:
		return &UnusableError{Path: x.opts.Path, Rebuildable: true, Reason: fmt.Sprintf("was made by a newer program (schema version %d, "+
			"this one knows %d): update spanlake, or run `spanlake rebuild`", version, schemaVersion)}
	case version < schemaVersion:
		return &UnusableError{Path: x.opts.Path, Rebuildable: true, Reason: fmt.Sprintf("was made by an older program (schema version %d, "+
			"this one needs %d): run `spanlake rebuild`", version, schemaVersion)}
	}
	return nil
}
