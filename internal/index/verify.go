package index

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/spanlake/spanlake/internal/span"
)

// check is a comparison within the index. Its query returns a row (subject, problem) for each difference.
type check struct {
	name, sql string
	// ofListing: its subjects are files of the lake, which say nothing if the place could not be read.
	ofListing bool
	// startsSQL, if set, makes parts of the index, so that memory does not grow with it: it returns where each part
	// starts. The check runs once for each part, with its start and that of the next one as text.
	startsSQL string
	// least and most stand for the start of the first part and the end of the last one.
	least, most string
}

// partSpans is how many spans a part of a check has.
const partSpans = 4_000_000

// VerifyOptions say what Verify takes for a difference.
type VerifyOptions struct {
	// Following: the index follows the lake in this process, so what it knows to be still to do is no difference.
	Following bool
}

// Verify compares the index with the lake and with itself, and calls found for each difference. It returns how many
// there are. The index can be written to meanwhile: what is compared is as it was at one moment.
func (x *Index) Verify(ctx context.Context, listing iter.Seq2[span.File, error], o VerifyOptions, found func(span.Difference)) (int, error) {
	defer x.memory.beside()()
	v := verifier{index: x, listing: listing, options: o, found: found}
	defer v.close()
	err := v.verify(ctx)
	if outOfMemory(err) {
		return v.count, fmt.Errorf("verify needs more memory than there is: raise --memory, or stop the server and verify without it: %w", err)
	}
	if err != nil {
		return v.count, fmt.Errorf("verify: %w", err)
	}
	return v.count, nil
}

// verifier compares on a connection of its own, with its own copy of the listing.
type verifier struct {
	index   *Index
	listing iter.Seq2[span.File, error]
	options VerifyOptions
	found   func(span.Difference)
	look    look
	conn    *sql.Conn
	release func()
	count   int
}

func (v *verifier) report(d span.Difference) {
	v.count++
	v.found(d)
}

func (v *verifier) verify(ctx context.Context) error {
	if err := v.connect(ctx); err != nil {
		return err
	}
	var files int64
	if err := v.conn.QueryRowContext(ctx, countFilesSQL).Scan(&files); err != nil {
		return err
	}
	for _, unread := range v.look.found.Unread {
		switch {
		case unread.Path != "." || !v.look.found.Absent:
			v.report(span.Difference{Check: "lake", Subject: unread.Path, Problem: "cannot be read"})
		case files > 0:
			v.report(span.Difference{Check: "lake", Subject: unread.Path, Problem: "does not exist, though the index knows files of it: is it mounted?"})
		}
	}
	for _, check := range checks() {
		if err := v.inParts(ctx, check); err != nil {
			return fmt.Errorf("%s: %w", check.name, err)
		}
	}
	if _, err := v.conn.ExecContext(ctx, "COMMIT"); err != nil {
		return err
	}
	// Last, since reading a damaged file can cost the connection that knows the listing.
	return v.footers(ctx)
}

// connect takes a connection of its own, copies the listing to it and begins a transaction, which sees the index as it was
// when the listing was made.
func (v *verifier) connect(ctx context.Context) error {
	x := v.index
	unlock, err := x.lockWriter(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	v.look = look{index: x, whole: true}
	if v.options.Following {
		if v.look.found, err = x.look(ctx, span.WholeLake(v.listing), LookOptions{}); err != nil {
			return err
		}
	} else if err := v.look.list(ctx, span.WholeLake(v.listing)); err != nil {
		return fmt.Errorf("list files: %w", err)
	}
	db, release, err := x.reader()
	if err != nil {
		return err
	}
	v.release = release
	if v.conn, err = db.Conn(ctx); err != nil {
		return err
	}
	if _, err := v.conn.ExecContext(ctx, verifyTablesSQL); err != nil {
		return err
	}
	if err := v.copyListing(ctx); err != nil {
		return err
	}
	if _, err := v.conn.ExecContext(ctx, "BEGIN"); err != nil {
		return err
	}
	// A transaction sees what was committed when it first looks.
	return v.conn.QueryRowContext(ctx, countFilesSQL).Scan(new(int64))
}

const (
	verifyTablesSQL = `
CREATE OR REPLACE TEMP TABLE lake_scan (path VARCHAR, size BIGINT, mtime BIGINT);
CREATE OR REPLACE TEMP TABLE lake_todo (path VARCHAR);`

	scannedSQL = `SELECT path, size, mtime FROM lake_scan`
	todoSQL    = `SELECT path FROM lake_pending`
)

// copyListing copies what the look found from the connection that writes.
func (v *verifier) copyListing(ctx context.Context) error {
	err := v.index.appendTo(ctx, v.conn, "lake_scan", func(add func(...driver.Value) error) error {
		return v.index.eachRow(ctx, scannedSQL, func(scan func(...any) error) error {
			var path string
			var size, mtime int64
			return errors.Join(scan(&path, &size, &mtime), add(path, size, mtime))
		})
	})
	if err != nil || !v.options.Following {
		return err
	}
	return v.index.appendTo(ctx, v.conn, "lake_todo", func(add func(...driver.Value) error) error {
		for path := range v.index.backlog.unfinished {
			if err := add(path); err != nil {
				return err
			}
		}
		return v.index.eachRow(ctx, todoSQL, func(scan func(...any) error) error {
			var path string
			return errors.Join(scan(&path), add(path))
		})
	})
}

func (v *verifier) close() {
	if v.conn != nil {
		discard(v.conn) // with its transaction and its tables
		v.conn = nil
	}
	if v.release != nil {
		v.release()
		v.release = nil
	}
}

// recover makes everything anew if reading a damaged file has cost the database.
func (v *verifier) recover(ctx context.Context) error {
	_, err := v.conn.ExecContext(ctx, "SELECT 1")
	var duck *duckdb.Error
	if err == nil || !errors.As(err, &duck) {
		return err
	}
	v.close()
	unlock, err := v.index.lockWriter(ctx)
	if err != nil {
		return err
	}
	err = v.index.revive(ctx)
	unlock()
	if err != nil {
		return err
	}
	if err := v.connect(ctx); err != nil {
		return err
	}
	_, err = v.conn.ExecContext(ctx, "COMMIT")
	return err
}

// inParts runs a check, once or for each of its parts.
func (v *verifier) inParts(ctx context.Context, check check) error {
	if check.startsSQL == "" {
		return v.run(ctx, check, nil)
	}
	var starts []string
	err := eachRowOf(ctx, v.conn, check.startsSQL, func(scan func(...any) error) error {
		var start string
		err := scan(&start)
		starts = append(starts, start)
		return err
	}, v.index.partSpans)
	if err != nil {
		return err
	}
	if len(starts) > 0 {
		starts = starts[1:] // the first part takes in what lies before
	}
	from := check.least
	for _, to := range append(starts, check.most) {
		if err := v.run(ctx, check, []any{from, to}); err != nil {
			return err
		}
		from = to
	}
	return nil
}

func (v *verifier) run(ctx context.Context, check check, args []any) error {
	return eachRowOf(ctx, v.conn, check.sql, func(scan func(...any) error) error {
		d := span.Difference{Check: check.name}
		if err := scan(&d.Subject, &d.Problem); err != nil {
			return err
		}
		if !check.ofListing || v.look.known(d.Subject) {
			v.report(d)
		}
		return nil
	}, args...)
}

const verifiableSQL = `
SELECT p.file_path, p.size_bytes, s.mtime, p.row_count
FROM parquet_files p
JOIN lake_scan s ON s.path = p.file_path AND s.size = p.size_bytes AND s.mtime = epoch_us(p.mtime)
WHERE p.file_path > $1
ORDER BY p.file_path
LIMIT 100`

// footers compares the row counts of the registry with the footers of the files that have not changed.
func (v *verifier) footers(ctx context.Context) error {
	in := inspector{index: v.index, conn: func() *sql.Conn { return v.conn }, recover: v.recover}
	for last := ""; ; {
		items, counts, err := v.verifiable(ctx, last)
		if err != nil || len(items) == 0 {
			return err
		}
		listed := make([]span.File, len(items))
		for i, it := range items {
			listed[i] = it.file
		}
		if err := in.inspect(ctx, items); err != nil {
			return err
		}
		if err := v.recover(ctx); err != nil {
			return err
		}
		for i, it := range items {
			switch {
			case v.changed(listed[i]):
			case it.failure != nil:
				v.report(span.Difference{Check: "footer", Subject: it.file.Path, Problem: "cannot be read any more: " + it.failure.Err.Error()})
			case it.layout.rows != counts[i]:
				v.report(span.Difference{Check: "footer", Subject: it.file.Path,
					Problem: fmt.Sprintf("has %d rows, the registry says %d", it.layout.rows, counts[i])})
			}
		}
		last = items[len(items)-1].file.Path
	}
}

// changed tells whether a file is not any more as it was listed, which is no difference but news.
func (v *verifier) changed(listed span.File) bool {
	now, err := v.index.stat(&item{file: listed})
	return missing(err) || err == nil && !sameFile(now, listed)
}

// verifiable are the next registered files after path that have not changed, and their registered row counts.
func (v *verifier) verifiable(ctx context.Context, after string) (items []*item, counts []int64, err error) {
	err = eachRowOf(ctx, v.conn, verifiableSQL, func(scan func(...any) error) error {
		it, mtime, count := &item{}, int64(0), int64(0)
		err := scan(&it.file.Path, &it.file.Size, &mtime, &count)
		it.file.ModTime = time.UnixMicro(mtime)
		items, counts = append(items, it), append(counts, count)
		return err
	}, after)
	return items, counts, err
}

// checks are the comparisons in SQL, from the lake inwards.
func checks() []check {
	return []check{
		{name: "lake", sql: lakeSQL, ofListing: true},
		{name: "failed", sql: failedCheckSQL, ofListing: true},
		{name: "registry", sql: registrySQL},
		{name: "rows", sql: rowsSQL},
		{name: "roots", sql: rootsCheckSQL},
		{name: "file_services", sql: fileServicesCheckSQL},
		{name: "row_groups", sql: rowGroupsCheckSQL},
		{name: "services", sql: servicesCheckSQL},
		{name: "daily", sql: dailyCheckSQL, startsSQL: dayStartsSQL, least: "-infinity", most: "infinity"},
		{name: "uniqueness", sql: uniquenessSQL, startsSQL: timeStartsSQL, least: "-infinity", most: "infinity"},
		{name: "lookup", sql: lookupCheckSQL, startsSQL: fileStartsSQL, least: "-2147483648", most: "2147483647"},
	}
}

const (
	// Repeats have equal start times, so parts by time hold all of each other's.
	timeStartsSQL = `
SELECT CAST(min(min_time) AS VARCHAR)
FROM (SELECT min_time, sum(row_count) OVER (ORDER BY min_time) // $1 AS part FROM parquet_files WHERE min_time IS NOT NULL)
GROUP BY part
ORDER BY min(min_time)`

	timePartSQL = `start_time >= CAST($1 AS TIMESTAMPTZ) AND start_time < CAST($2 AS TIMESTAMPTZ)`

	fileStartsSQL = `
SELECT CAST(min(file_id) AS VARCHAR)
FROM (SELECT file_id, sum(row_count) OVER (ORDER BY file_id) // $1 AS part FROM parquet_files)
GROUP BY part
ORDER BY min(file_id)`

	filePartSQL = `file_id >= CAST($1 AS INTEGER) AND file_id < CAST($2 AS INTEGER)`

	lakeSQL = `
SELECT coalesce(s.path, p.file_path),
       CASE WHEN s.path IS NULL THEN 'is in the index but not in the lake'
            WHEN p.file_path IS NULL THEN 'is in the lake but not in the index'
            WHEN p.mtime IS NULL THEN 'has to be indexed again'
            ELSE 'has changed since it was indexed' END
FROM lake_scan s
FULL JOIN parquet_files p ON p.file_path = s.path
LEFT JOIN failed_parquet_files f ON f.file_path = s.path AND f.file_size = s.size AND epoch_us(f.file_mtime) = s.mtime
LEFT JOIN retired_files r ON r.file_path = s.path AND r.size_bytes = s.size AND r.mtime = s.mtime
WHERE f.file_path IS NULL AND r.file_path IS NULL
  AND coalesce(s.path, p.file_path) NOT IN (SELECT path FROM lake_todo)
  AND (s.path IS NULL OR p.file_path IS NULL OR s.size <> p.size_bytes OR s.mtime IS DISTINCT FROM epoch_us(p.mtime))
ORDER BY 1`

	failedCheckSQL = `
SELECT file_path, 'is recorded as failed but not in the lake'
FROM failed_parquet_files WHERE file_path NOT IN (SELECT path FROM lake_scan) AND file_path NOT IN (SELECT path FROM lake_todo)
UNION ALL
SELECT file_path, 'is recorded as failed and as indexed'
FROM failed_parquet_files WHERE file_path IN (SELECT file_path FROM parquet_files)`

	registrySQL = `
SELECT any_value(file_path), 'file_id ' || file_id || ' is there ' || count(*) || ' times'
FROM parquet_files GROUP BY file_id HAVING count(*) > 1
UNION ALL
SELECT file_path, 'is registered ' || count(*) || ' times'
FROM parquet_files GROUP BY file_path HAVING count(*) > 1
UNION ALL
SELECT p.file_path, 'has other times or another service than its spans'
FROM parquet_files p
LEFT JOIN (SELECT file_id, min(min_time) AS first, max(max_time) AS last,
                  arg_max(service_name, (span_count, service_name)) AS service
           FROM file_services GROUP BY file_id) f USING (file_id)
WHERE (p.min_time, p.max_time, p.service_name) IS DISTINCT FROM (f.first, f.last, f.service)`

	rowsSQL = `
SELECT coalesce(p.file_path, 'file_id ' || s.file_id),
       CASE WHEN p.file_id IS NULL THEN 'is not registered but has ' || s.spans || ' spans'
            ELSE 'has ' || p.row_count || ' rows, of which ' || coalesce(s.spans, 0) || ' are indexed, ' || p.duplicate_count
                 || ' are repeats and ' || p.skipped_count || ' no spans' END
FROM parquet_files p
FULL JOIN (SELECT file_id, count(*) AS spans FROM span_metadata GROUP BY file_id) s USING (file_id)
WHERE p.file_id IS NULL OR p.row_count <> coalesce(s.spans, 0) + p.duplicate_count + p.skipped_count`

	rootsCheckSQL = `
SELECT coalesce((SELECT file_path FROM parquet_files p WHERE p.file_id = coalesce(s.file_id, r.file_id)), 'unregistered file'),
       'has ' || coalesce(s.n, 0) || ' root spans, of which root_spans has ' || coalesce(r.n, 0)
       || CASE WHEN s.n = r.n THEN ', but not the same ones' ELSE '' END
FROM (SELECT file_id, count(*) AS n, bit_xor(hash(` + spanColumns + `)) AS sum FROM span_metadata WHERE is_root GROUP BY file_id) s
FULL JOIN (SELECT file_id, count(*) AS n, bit_xor(hash(` + spanColumns + `)) AS sum FROM root_spans GROUP BY file_id) r USING (file_id)
WHERE (s.n, s.sum) IS DISTINCT FROM (r.n, r.sum)`

	fileServicesCheckSQL = `
SELECT coalesce((SELECT file_path FROM parquet_files p WHERE p.file_id = coalesce(s.file_id, f.file_id)), 'unregistered file')
       || ', ' || coalesce(s.service_name, f.service_name),
       'has ' || coalesce(s.n, 0) || ' spans, ' || coalesce(s.roots, 0) || ' roots, ' || coalesce(s.errors, 0) || ' errors, from '
       || coalesce(s.first::VARCHAR, '-') || ' to ' || coalesce(s.last::VARCHAR, '-')
       || ', file_services says ' || coalesce(f.span_count, 0) || ', ' || coalesce(f.root_count, 0) || ', ' || coalesce(f.error_count, 0)
       || ' from ' || coalesce(f.min_time::VARCHAR, '-') || ' to ' || coalesce(f.max_time::VARCHAR, '-')
FROM (SELECT file_id, service_name, count(*) AS n, min(start_time) AS first, max(start_time) AS last,
             count(*) FILTER (is_root) AS roots, count(*) FILTER (status_code = 2) AS errors
      FROM span_metadata GROUP BY file_id, service_name) s
FULL JOIN file_services f ON f.file_id = s.file_id AND f.service_name = s.service_name
WHERE (s.n, s.first, s.last, s.roots, s.errors) IS DISTINCT FROM (f.span_count, f.min_time, f.max_time, f.root_count, f.error_count)`

	servicesCheckSQL = `
SELECT coalesce(s.service_name, c.service_name),
       'has ' || coalesce(s.n, 0) || ' spans from ' || coalesce(s.first::VARCHAR, '-') || ' to ' || coalesce(s.last::VARCHAR, '-')
       || ', services says ' || coalesce(c.total_spans, 0) || ' from ' || coalesce(c.first_seen::VARCHAR, '-')
       || ' to ' || coalesce(c.last_seen::VARCHAR, '-')
FROM (SELECT service_name, count(*) AS n, min(start_time) AS first, max(start_time) AS last
      FROM span_metadata GROUP BY service_name) s
FULL JOIN services c ON c.service_name = s.service_name
WHERE (s.n, s.first, s.last) IS DISTINCT FROM (c.total_spans, c.first_seen, c.last_seen)`

	uniquenessSQL = `
SELECT 'trace ' || trace_id, 'has span ' || span_id || ' ' || count(*) || ' times'
FROM span_metadata
WHERE ` + timePartSQL + `
  AND hash(` + keyColumns + `) IN (SELECT hash(` + keyColumns + `) FROM span_metadata WHERE ` + timePartSQL + `
                                   GROUP BY 1 HAVING count(*) > 1)
GROUP BY ` + keyColumns + `
HAVING count(*) > 1
ORDER BY ALL`

	lookupCheckSQL = `
WITH spans AS (SELECT DISTINCT ` + lookupKey + ` AS trace_id, file_id
               FROM (SELECT DISTINCT trace_id, file_id FROM span_metadata WHERE ` + filePartSQL + `)),
     known AS (SELECT trace_id, file_id FROM trace_lookup WHERE ` + filePartSQL + `
               UNION
               SELECT trace_id, file_id FROM trace_lookup_tail WHERE ` + filePartSQL + `)
SELECT 'trace ' || replace(trace_id::VARCHAR, '-', ''), 'is not in the look-up for file_id ' || file_id
FROM (FROM spans EXCEPT FROM known)
UNION ALL
SELECT 'trace ' || replace(trace_id::VARCHAR, '-', ''), 'is in the look-up for file_id ' || file_id || ' but has no spans there'
FROM (FROM known EXCEPT FROM spans)
ORDER BY ALL`
)
