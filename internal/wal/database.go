package wal

import (
	"context"
	"database/sql"
	"database/sql/driver"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"

	"github.com/mattn/go-sqlite3"
)

const (
	// schemaVersion is in PRAGMA user_version; a newer one is not opened. Raise it with every change of schema.sql.
	schemaVersion = 1
	// applicationID ("SpLW") is in PRAGMA application_id, so that no other SQLite database is taken for a log.
	applicationID = 0x53704c57
	// pageSize: a request of 1,000 spans takes 0.39 ms of CPU in pages of 32 KiB, 0.47 in 16 and 0.66 in 4; small ones do not
	// mind (ADR 0010).
	pageSize = 32 << 10
	// busyTimeout is how long a connection waits for somebody who looks into the file with another program, in ms.
	busyTimeout = 5000
)

//go:embed schema.sql
var schemaSQL string

// connector opens connections that are all set up the same, whenever the pool makes one.
type connector struct {
	driver *sqlite3.SQLiteDriver
	dsn    string
}

// Connect opens a connection.
func (c *connector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.dsn) }

// Driver is SQLite's.
func (c *connector) Driver() driver.Driver { return c.driver }

// openDB opens a pool of at most so many connections to the file at path.
func openDB(path string, sync Sync, readOnly bool, journalLimit int64, connections int) *sql.DB {
	values := url.Values{}
	values.Set("_busy_timeout", strconv.Itoa(busyTimeout))
	values.Set("_txlock", "immediate")
	values.Set("_stmt_cache_size", "16")
	// Drivers differ in their default, and this one's is NORMAL.
	values.Set("_synchronous", "FULL")
	if sync == Normal {
		values.Set("_synchronous", "NORMAL")
	}
	if readOnly {
		values.Set("mode", "ro")
	}
	pragmas := []string{
		// Checkpoints are made by checkpoint.go, and not within a commit that somebody waits for.
		"PRAGMA wal_autocheckpoint = 0",
		"PRAGMA journal_size_limit = " + strconv.FormatInt(journalLimit, 10),
	}
	hook := func(c *sqlite3.SQLiteConn) error {
		for _, pragma := range pragmas {
			if _, err := c.Exec(pragma, nil); err != nil {
				return err
			}
		}
		return nil
	}
	name := (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath()
	db := sql.OpenDB(&connector{driver: &sqlite3.SQLiteDriver{ConnectHook: hook}, dsn: "file:" + name + "?" + values.Encode()})
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db
}

// Exists tells whether there is a log at path, or at least the journal of one, which is for Open to refuse.
func Exists(path string) bool {
	for _, file := range []string{path, path + "-wal"} {
		if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
			return true
		}
	}
	return false
}

// prepareFolder makes the folder of the log, durable, and looks that nothing is there which SQLite would throw away.
func prepareFolder(path string) error {
	if err := makeFolder(filepath.Dir(path)); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil && !info.Mode().IsRegular() {
		return &UnusableError{Path: path, Reason: "is not a file: choose another path for the write-ahead log"}
	}
	if err == nil && info.Size() > 0 {
		return nil
	}
	// SQLite deletes a journal that has no database, with all that is in it.
	if journal, err := os.Stat(path + "-wal"); err == nil && journal.Size() > 0 {
		return &UnusableError{Path: path, Reason: fmt.Sprintf("is missing or empty while %s-wal is there, which holds acknowledged spans: "+
			"put the file back that belongs to it, or move the other away", path)}
	}
	return nil
}

// makeFolder makes a folder and those above it, and syncs what it changed.
func makeFolder(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(path)
	if err := makeFolder(parent); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncFolder(parent)
}

func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// prepareSchema makes the tables if the database is empty, and otherwise sees that it is a log of this version.
func prepareSchema(ctx context.Context, db *sql.DB, path string) error {
	var tables, application, version int
	const headerSQL = "SELECT (SELECT count(*) FROM sqlite_schema), (SELECT application_id FROM pragma_application_id), " +
		"(SELECT user_version FROM pragma_user_version)"
	if err := db.QueryRowContext(ctx, headerSQL).Scan(&tables, &application, &version); err != nil {
		if corrupt(err) {
			return &UnusableError{Path: path, Reason: "is no SQLite database, or a damaged one: move it away with its -wal, keep both, " +
				"and try `sqlite3 FILE .recover`", Err: err}
		}
		return err
	}
	switch {
	case tables == 0 && application == 0:
		return createSchema(ctx, db, path)
	case application != applicationID:
		return &UnusableError{Path: path, Reason: "is a SQLite database but no write-ahead log of Spanlake: choose another path"}
	case version > schemaVersion:
		return &UnusableError{Path: path, Reason: fmt.Sprintf("was made by a newer program (schema version %d, this one knows %d): "+
			"update spanlake", version, schemaVersion)}
	case version < schemaVersion:
		return &UnusableError{Path: path, Reason: fmt.Sprintf("was made by an older program (schema version %d, this one needs %d): "+
			"flush it with that one first", version, schemaVersion)}
	}
	return nil
}

// createSchema makes the tables in one transaction: a crash leaves an empty database, which is made again.
func createSchema(ctx context.Context, db *sql.DB, path string) error {
	// The first three must come before anything is written, and the switch to WAL mode writes. SQLite syncs the file there.
	for _, statement := range []string{
		"PRAGMA page_size = " + strconv.Itoa(pageSize),
		// Lets the file shrink, and frees the pages of a deleted row without reading them: 11 instead of 26 µs for a request of
		// 1,000 spans.
		"PRAGMA auto_vacuum = INCREMENTAL",
		"PRAGMA journal_mode = WAL",
		"BEGIN IMMEDIATE;" + schemaSQL + ";PRAGMA application_id = " + strconv.Itoa(applicationID) + ";PRAGMA user_version = " +
			strconv.Itoa(schemaVersion) + ";COMMIT",
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("create: %w", err)
		}
	}
	return syncFolder(filepath.Dir(path))
}
