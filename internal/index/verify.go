package index

import (
	"context"
	"fmt"
	"iter"

	"github.com/spanlake/spanlake/internal/span"
)

// Difference is one way in which the index is not what the lake says it should be.
type Difference struct {
	// Check is what was compared: lake, footer, rows, uniqueness, services, file_services, daily, lookup,
	// registry or failed.
	Check string
	// Subject is a file, a service, a service on a day, or a trace.
	Subject string
	// Problem says what is wrong.
	Problem string
}

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

// Verify compares the index with the lake and with itself, and calls found for each difference. It returns how many
// there are.
func (x *Index) Verify(ctx context.Context, listing iter.Seq2[span.File, error], found func(Difference)) (int, error) {
	p := pass{index: x}
	v := verifier{index: x, found: found, known: p.known}
	if err := p.list(ctx, listing); err != nil {
		return 0, fmt.Errorf("verify: %w", err)
	}
	var files int64
	if err := x.conn.QueryRowContext(ctx, countFilesSQL).Scan(&files); err != nil {
		return v.count, fmt.Errorf("verify: %w", err)
	}
	for _, place := range p.unread {
		switch {
		case !p.summary.LakeAbsent:
			v.report(Difference{"lake", place, "cannot be read"})
		case files > 0:
			v.report(Difference{"lake", place, "does not exist, though the index knows files of it: is it mounted?"})
		}
	}
	for _, check := range checks() {
		if err := v.inParts(ctx, check); err != nil {
			return v.count, fmt.Errorf("verify: %s: %w", check.name, err)
		}
	}
	// Last, since reading a damaged file can cost the connection that knows the listing.
	if err := v.footers(ctx, listing); err != nil {
		return v.count, fmt.Errorf("verify: %w", err)
	}
	return v.count, nil
}

type verifier struct {
	index *Index
	found func(Difference)
	// known tells whether the listing says what became of a file.
	known func(path string) bool
	count int
}

func (v *verifier) report(d Difference) {
	v.count++
	v.found(d)
}

// inParts runs a check, once or for each of its parts.
func (v *verifier) inParts(ctx context.Context, check check) error {
	if check.startsSQL == "" {
		return v.run(ctx, check, nil)
	}
	starts, err := v.index.queryStrings(ctx, check.startsSQL, v.index.partSpans)
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
	rows, err := v.index.conn.QueryContext(ctx, check.sql, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		d := Difference{Check: check.name}
		if err := rows.Scan(&d.Subject, &d.Problem); err != nil {
			return err
		}
		if !check.ofListing || v.known(d.Subject) {
			v.report(d)
		}
	}
	return rows.Err()
}

const verifiableSQL = `
SELECT p.file_path, p.size_bytes, p.row_count
FROM parquet_files p
JOIN lake_scan s ON s.path = p.file_path AND s.size = p.size_bytes AND s.mtime = epoch_us(p.mtime)
WHERE p.file_path > $1
ORDER BY p.file_path
LIMIT 100`

// footers compares the row counts of the registry with the footers of the files that have not changed.
func (v *verifier) footers(ctx context.Context, listing iter.Seq2[span.File, error]) error {
	revived := v.index.revived
	for last := ""; ; {
		if revived != v.index.revived {
			revived = v.index.revived
			again := pass{index: v.index}
			if err := again.list(ctx, listing); err != nil {
				return err
			}
		}
		items, counts, err := v.verifiable(ctx, last)
		if err != nil || len(items) == 0 {
			return err
		}
		if err := v.index.inspect(ctx, items); err != nil {
			return err
		}
		for i, it := range items {
			switch {
			case it.failure != nil:
				v.report(Difference{"footer", it.file.Path, "cannot be read any more: " + it.failure.Err.Error()})
			case !it.vanished && it.layout.rows != counts[i]:
				v.report(Difference{"footer", it.file.Path,
					fmt.Sprintf("has %d rows, the registry says %d", it.layout.rows, counts[i])})
			}
		}
		last = items[len(items)-1].file.Path
	}
}

// verifiable are the next registered files after path that have not changed, and their registered row counts.
func (v *verifier) verifiable(ctx context.Context, after string) (items []*item, counts []int64, err error) {
	rows, err := v.index.conn.QueryContext(ctx, verifiableSQL, after)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = rows.Close() }() // only read
	for rows.Next() {
		it, count := &item{}, int64(0)
		if err := rows.Scan(&it.file.Path, &it.file.Size, &count); err != nil {
			return nil, nil, err
		}
		items, counts = append(items, it), append(counts, count)
	}
	return items, counts, rows.Err()
}

// checks are the comparisons in SQL, from the lake inwards.
func checks() []check {
	return []check{
		{name: "lake", sql: lakeSQL, ofListing: true},
		{name: "failed", sql: failedCheckSQL, ofListing: true},
		{name: "registry", sql: registrySQL},
		{name: "rows", sql: rowsSQL},
		{name: "file_services", sql: fileServicesCheckSQL},
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
WHERE f.file_path IS NULL
  AND (s.path IS NULL OR p.file_path IS NULL OR s.size <> p.size_bytes OR s.mtime IS DISTINCT FROM epoch_us(p.mtime))
ORDER BY 1`

	failedCheckSQL = `
SELECT file_path, 'is recorded as failed but not in the lake'
FROM failed_parquet_files WHERE file_path NOT IN (SELECT path FROM lake_scan)
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

	fileServicesCheckSQL = `
SELECT coalesce((SELECT file_path FROM parquet_files p WHERE p.file_id = coalesce(s.file_id, f.file_id)), 'unregistered file')
       || ', ' || coalesce(s.service_name, f.service_name),
       'has ' || coalesce(s.n, 0) || ' spans from ' || coalesce(s.first::VARCHAR, '-') || ' to ' || coalesce(s.last::VARCHAR, '-')
       || ', file_services says ' || coalesce(f.span_count, 0) || ' from ' || coalesce(f.min_time::VARCHAR, '-')
       || ' to ' || coalesce(f.max_time::VARCHAR, '-')
FROM (SELECT file_id, service_name, count(*) AS n, min(start_time) AS first, max(start_time) AS last
      FROM span_metadata GROUP BY file_id, service_name) s
FULL JOIN file_services f ON f.file_id = s.file_id AND f.service_name = s.service_name
WHERE (s.n, s.first, s.last) IS DISTINCT FROM (f.span_count, f.min_time, f.max_time)`

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
