// Package indexbench runs what the indexer is compared with: DuckDB alone, and the textbook way to index.
package indexbench

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"time"

	"github.com/duckdb/duckdb-go/v2"
)

// Setup is what a comparison may use.
type Setup struct {
	// Path of the new DuckDB file.
	Path string
	// Files are full paths of Parquet files of the lake.
	Files []string
	// Memory is DuckDB's memory_limit in bytes.
	Memory  int64
	Threads int
	// KeepOrder leaves DuckDB's default in force, which keeps the order of rows.
	KeepOrder bool
}

// Result says how much was done in which time, closing the database included.
type Result struct {
	Spans   int64
	Elapsed time.Duration
}

func open(s Setup) (*sql.DB, error) {
	settings := url.Values{}
	settings.Set("memory_limit", strconv.FormatInt(s.Memory, 10)+"B")
	settings.Set("threads", strconv.Itoa(s.Threads))
	settings.Set("temp_directory", filepath.Join(filepath.Dir(s.Path), "compare.tmp"))
	settings.Set("storage_compatibility_version", "latest")
	settings.Set("preserve_insertion_order", strconv.FormatBool(s.KeepOrder))
	connector, err := duckdb.NewConnector(s.Path+"?"+settings.Encode(), nil)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

const plainSQL = `
CREATE TABLE span_metadata AS
SELECT span_id, trace_id, parent_span_id, service_name, name, start_time, end_time, duration_ns, status_code, span_kind,
       coalesce(parent_span_id, '') = '' AS is_root, file_index AS file_id
FROM read_parquet(getvariable('files'), hive_partitioning = false)`

// Plain lets DuckDB do nothing but the unavoidable: read the light columns and write them into a table with the columns
// of span_metadata.
func Plain(ctx context.Context, s Setup) (Result, error) {
	start := time.Now()
	db, err := open(s)
	if err != nil {
		return Result{}, fmt.Errorf("plain table: %w", err)
	}
	// CREATE TABLE takes no parameters; the variable does.
	_, err = db.ExecContext(ctx, `SET VARIABLE files = $1::VARCHAR[]`, s.Files)
	if err == nil {
		_, err = db.ExecContext(ctx, plainSQL)
	}
	var spans int64
	if err == nil {
		err = db.QueryRowContext(ctx, `SELECT count(*) FROM span_metadata`).Scan(&spans)
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return Result{}, fmt.Errorf("plain table: %w", err)
	}
	return Result{Spans: spans, Elapsed: time.Since(start)}, nil
}

const textbookSchemaSQL = `
CREATE TABLE parquet_files (file_id INTEGER PRIMARY KEY, file_path VARCHAR NOT NULL UNIQUE);
CREATE TABLE span_metadata (
    span_id VARCHAR NOT NULL, trace_id VARCHAR NOT NULL, parent_span_id VARCHAR, service_name VARCHAR NOT NULL,
    name VARCHAR NOT NULL, start_time TIMESTAMPTZ NOT NULL, end_time TIMESTAMPTZ, duration_ns BIGINT,
    status_code TINYINT, span_kind TINYINT, is_root BOOLEAN, file_id INTEGER NOT NULL REFERENCES parquet_files (file_id),
    PRIMARY KEY (trace_id, span_id)
);
CREATE INDEX by_trace ON span_metadata (trace_id);
CREATE INDEX by_service ON span_metadata (service_name);
CREATE INDEX by_start ON span_metadata (start_time);
CREATE INDEX by_root ON span_metadata (is_root);
CREATE INDEX by_service_start ON span_metadata (service_name, start_time);
`

// Textbook indexes spans, at most most of them, as one would at first: keys, five indexes, and a prepared INSERT for
// each row, one transaction for each file.
func Textbook(ctx context.Context, s Setup, most int64) (Result, error) {
	start := time.Now()
	db, err := open(s)
	if err != nil {
		return Result{}, fmt.Errorf("textbook schema: %w", err)
	}
	var spans int64
	_, err = db.ExecContext(ctx, textbookSchemaSQL)
	for i, file := range s.Files {
		if err != nil || spans >= most {
			break
		}
		var n int64
		n, err = textbookFile(ctx, db, i+1, file, most-spans)
		spans += n
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return Result{}, fmt.Errorf("textbook schema: %w", err)
	}
	return Result{Spans: spans, Elapsed: time.Since(start)}, nil
}

const (
	textbookReadSQL = `
SELECT span_id, trace_id, parent_span_id, service_name, name, start_time, end_time, duration_ns, status_code, span_kind
FROM read_parquet($1, hive_partitioning = false) LIMIT $2`

	textbookInsertSQL = `INSERT INTO span_metadata VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`
)

func textbookFile(ctx context.Context, db *sql.DB, id int, path string, most int64) (n int64, err error) {
	if _, err := db.ExecContext(ctx, `INSERT INTO parquet_files VALUES ($1, $2)`, id, path); err != nil {
		return 0, err
	}
	rows, err := db.QueryContext(ctx, textbookReadSQL, path, most)
	if err != nil {
		return 0, err
	}
	defer func() { _ = rows.Close() }() // only read
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }() // says so if it was committed, which is fine
	insert, err := tx.PrepareContext(ctx, textbookInsertSQL)
	if err != nil {
		return 0, err
	}
	defer func() { _ = insert.Close() }() // the transaction decides
	for rows.Next() {
		var span, trace, service, name string
		var parent *string
		var start, end time.Time
		var duration int64
		var status, kind int8
		if err := rows.Scan(&span, &trace, &parent, &service, &name, &start, &end, &duration, &status, &kind); err != nil {
			return 0, err
		}
		if _, err := insert.ExecContext(ctx, span, trace, parent, service, name, start, end, duration, status, kind,
			parent == nil || *parent == "", id); err != nil {
			return 0, err
		}
		n++
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	return n, tx.Commit()
}
