package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// item is one file of a batch.
type item struct {
	file span.File
	// oldID is the number of the file as the index has it, whose rows this batch removes; 0 if it is new.
	oldID int32
	// gone: the file is not in the lake any more, its rows are only removed.
	gone bool
	// again: the file has not changed but must be read again, since rows of it were left out as repeats of rows that
	// this batch removes.
	again bool
	// settle is WorkOptions.Settle, also for the files that are read again because of this one.
	settle time.Duration
	// retire: the file is still there, but retention lets it go.
	retire bool

	// Set on the way.
	layout layout
	// footerBytes is how long the footer is.
	footerBytes int64
	fileID      int32
	failure     *FileError
	vanished    bool // between listing and reading
	unfinished  bool // it is still being written
	skipped     int64
	duplicates  int64
}

// fail notes that the file cannot be indexed, or that it is not there any more.
func (it *item) fail(err error) {
	if missing(err) {
		it.vanished = true
		return
	}
	it.failure = fileErrorOf(it, err)
}

// readable tells whether the rows of the file are to be indexed.
func (it *item) readable() bool {
	return !it.gone && !it.vanished && !it.unfinished && it.failure == nil
}

// removed tells whether the rows that the index has of the file go. A file that could not be read again, or that
// vanished after it was listed, keeps them: the next pass will see what became of it.
func (it *item) removed() bool {
	return it.oldID != 0 && !it.vanished && !it.unfinished && (it.failure == nil || !it.again)
}

// runBatch takes items into the index, in one transaction if all goes well. Files that cannot be indexed are recorded
// and the others go in. An error means that nothing of the items it concerns is in the index, and that the cause is
// not a file.
func (x *Index) runBatch(ctx context.Context, own []*item) (span.Summary, error) {
	var items []*item
	err := x.patiently(ctx, func(ctx context.Context) (err error) {
		if err := x.resolve(ctx, own); err != nil {
			return err
		}
		items, err = x.withAgain(ctx, own)
		return err
	})
	if err != nil {
		return span.Summary{}, err
	}
	if err := x.inspect(ctx, readableItems(items)); err != nil {
		return span.Summary{}, err
	}
	x.setUnfinishedAside(items)
	for {
		var result span.Summary
		err := x.patiently(ctx, func(ctx context.Context) (err error) {
			result, err = x.transact(ctx, items)
			return err
		})
		if err == nil {
			x.logBatch(items)
			x.noteDone(items[len(own):])
		}
		if err == nil || ctx.Err() != nil {
			return result, err
		}
		if err := x.revive(ctx); err != nil {
			return span.Summary{}, err
		}
		if x.crowded(err) {
			return span.Summary{}, err
		}
		if failure := (*FileError)(nil); errors.As(err, &failure) {
			continue // the file is marked: without it the batch is another one
		}
		found, probeErr := x.probe(ctx, readableItems(items))
		switch {
		case probeErr != nil:
			return span.Summary{}, probeErr
		case found:
			// Without the bad ones the batch is another one: try again.
		case databaseFault(err) && !errors.Is(err, context.DeadlineExceeded):
			return span.Summary{}, err
		case len(own) > 1:
			return x.halve(ctx, own)
		case postpone(items, err):
			// The next pass reads them, each on its own.
		case own[0].readable():
			own[0].failure = insertError(own[0], err)
		default:
			return span.Summary{}, err
		}
	}
}

// postpone gives up to read files again in this batch. It tells whether there were any.
func postpone(items []*item, err error) bool {
	found := false
	for _, it := range items {
		if it.again && it.readable() {
			it.fail(err)
			found = true
		}
	}
	return found
}

// insertError says why a file that can be read alone could not be taken in.
func insertError(it *item, err error) *FileError {
	failure := fileErrorOf(it, err)
	if failure.Type != TooLarge {
		failure.Type = Internal
	}
	return failure
}

// logBatch logs what an operator should know of files that were dealt with.
func (x *Index) logBatch(items []*item) {
	for _, it := range items {
		switch {
		case it.failure != nil:
			x.log.Warn("cannot index a file", "file", it.file.Path, "type", it.failure.Type, "size", it.failure.Size, "error", it.failure.Err)
		case it.skipped > 0:
			x.log.Warn("left out rows that cannot be a span", "file", it.file.Path, "rows", it.skipped)
		}
	}
}

// halve tries a batch in two parts: each file of it can be read, but together they were too much.
func (x *Index) halve(ctx context.Context, items []*item) (span.Summary, error) {
	first, err := x.runBatch(ctx, items[:len(items)/2])
	if err != nil {
		return first, err
	}
	second, err := x.runBatch(ctx, items[len(items)/2:])
	first.Add(second)
	return first, err
}

func readableItems(items []*item) []*item {
	var readable []*item
	for _, it := range items {
		if it.readable() {
			readable = append(readable, it)
		}
	}
	return readable
}

// probe reads the light columns of each file alone, without writing, to find the ones that cannot be read.
func (x *Index) probe(ctx context.Context, items []*item) (found bool, err error) {
	for _, it := range items {
		source := x.newSource([]*item{it})
		err := x.patiently(ctx, func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, x.opts.Limits.Time)
			defer cancel()
			var rows, hash any
			err := x.conn.QueryRowContext(ctx, fmt.Sprintf(probeSQL, source.sql), source.args...).Scan(&rows, &hash)
			return errors.Join(err, ctx.Err())
		})
		if ctx.Err() != nil {
			return found, ctx.Err()
		}
		if err == nil {
			continue
		}
		found = true
		if _, statErr := x.stat(it); statErr != nil {
			err = statErr
		}
		it.fail(err)
		if err := x.revive(ctx); err != nil {
			return found, err
		}
	}
	return found, nil
}

// writeTime is what a transaction may take beside reading its files. It is far above what was ever seen, and there so
// that nothing hangs for ever.
const writeTime = 10 * time.Minute

// transact is one attempt to take in a batch, in one transaction.
func (x *Index) transact(ctx context.Context, items []*item) (span.Summary, error) {
	readable := readableItems(items)
	batchCtx, cancel := context.WithTimeout(ctx, writeTime+x.opts.Limits.Time*time.Duration(len(readable)))
	defer cancel()
	// Not with a context that ends: database/sql would then close the connection, and its temporary tables with it.
	tx, err := x.conn.BeginTx(context.WithoutCancel(ctx), nil)
	if err != nil {
		return span.Summary{}, fmt.Errorf("begin: %w", err)
	}
	b := batch{index: x, tx: tx, items: items, readable: readable}
	if err := b.run(batchCtx); err != nil {
		x.rollback(tx)
		return span.Summary{}, errors.Join(err, batchCtx.Err()) // DuckDB only says that it was interrupted
	}
	if err := x.commit(ctx, tx); err != nil {
		return span.Summary{}, err
	}
	return b.result, nil
}

// batch is the work inside one transaction.
type batch struct {
	index    *Index
	tx       *sql.Tx
	items    []*item
	readable []*item
	// first and last are the file ids of readable.
	first, last int32
	result      span.Summary
}

func (b *batch) run(ctx context.Context) error {
	if err := b.remove(ctx); err != nil {
		return err
	}
	if err := b.recordFailures(ctx); err != nil {
		return err
	}
	if len(b.readable) > 0 {
		if err := b.insert(ctx); err != nil {
			return err
		}
	}
	return b.refreshServices(ctx)
}

// insert takes in the readable files. Everything is inserted first, repeats included, and looked through afterwards:
// reading DuckDB's own columns is several times faster than reading Parquet a second time.
func (b *batch) insert(ctx context.Context) error {
	if err := b.assignIDs(ctx); err != nil {
		return err
	}
	source := b.index.newSource(b.readable)
	if err := b.exec(ctx, "read spans", "INSERT INTO span_metadata SELECT "+spanColumns+" FROM ("+source.sql+")",
		source.args...); err != nil {
		return err
	}
	if err := b.summarize(ctx); err != nil {
		return err
	}
	loaded, err := b.countLoaded(ctx)
	if err != nil {
		return err
	}
	dropped, err := b.dropRepeats(ctx, source, loaded)
	if err != nil {
		return err
	}
	if dropped {
		if err := b.exec(ctx, "clear services of files", clearFileServicesSQL, b.first, b.last); err != nil {
			return err
		}
		if err := b.summarize(ctx); err != nil {
			return err
		}
	}
	if err := b.exec(ctx, "write root spans", rootsSQL, b.first, b.last); err != nil {
		return err
	}
	if err := b.exec(ctx, "write trace lookup", lookupSQL); err != nil {
		return err
	}
	if err := b.exec(ctx, "add to daily statistics", dailyAddSQL, b.first, b.last); err != nil {
		return err
	}
	if err := b.insertFilters(ctx); err != nil {
		return err
	}
	return b.register(ctx, loaded)
}

const (
	clearFileServicesSQL = `DELETE FROM file_services WHERE file_id BETWEEN $1 AND $2`

	fileServicesSQL = `
INSERT INTO file_services
SELECT file_id, service_name, count(*), min(start_time), max(start_time), count(*) FILTER (is_root), count(*) FILTER (status_code = 2)
FROM span_metadata
WHERE file_id BETWEEN $1 AND $2
GROUP BY file_id, service_name`

	clearBatchTracesSQL = `DELETE FROM batch_traces`

	batchTracesSQL = `
INSERT INTO batch_traces
SELECT trace_id, file_id, ` + lookupKey + `
FROM (SELECT DISTINCT trace_id, file_id FROM span_metadata WHERE file_id BETWEEN $1 AND $2)`

	rootsSQL = `INSERT INTO root_spans FROM span_metadata WHERE is_root AND file_id BETWEEN $1 AND $2`

	lookupSQL = `INSERT INTO trace_lookup_tail SELECT lookup_key, file_id FROM batch_traces`
)

// summarize says which services and traces the spans of the batch have, in file_services and batch_traces.
func (b *batch) summarize(ctx context.Context) error {
	if err := b.exec(ctx, "write services of files", fileServicesSQL, b.first, b.last); err != nil {
		return err
	}
	if err := b.exec(ctx, "forget the last batch", clearBatchTracesSQL); err != nil {
		return err
	}
	return b.exec(ctx, "list traces", batchTracesSQL, b.first, b.last)
}

// assignIDs gives each readable file a number that was never used before, in the order of the batch.
func (b *batch) assignIDs(ctx context.Context) error {
	for _, it := range b.readable {
		if err := b.tx.QueryRowContext(ctx, "SELECT nextval('file_ids')").Scan(&it.fileID); err != nil {
			return fmt.Errorf("number file: %w", err)
		}
	}
	b.first, b.last = b.readable[0].fileID, b.readable[len(b.readable)-1].fileID
	return nil
}

// loadedRows says what the files of a batch brought, repeats included.
type loadedRows struct {
	rows        int64
	byFile      map[int32]int64
	first, last time.Time // of start_time
}

const countLoadedSQL = `
SELECT file_id, CAST(sum(span_count) AS BIGINT), min(min_time), max(max_time)
FROM file_services
WHERE file_id BETWEEN $1 AND $2
GROUP BY file_id`

// countLoaded counts what was inserted, and with it the rows that were skipped since they cannot be a span.
func (b *batch) countLoaded(ctx context.Context) (loadedRows, error) {
	loaded := loadedRows{byFile: make(map[int32]int64, len(b.readable))}
	rows, err := b.tx.QueryContext(ctx, countLoadedSQL, b.first, b.last)
	if err != nil {
		return loaded, fmt.Errorf("count spans: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id int32
		var count int64
		var first, last time.Time
		if err := rows.Scan(&id, &count, &first, &last); err != nil {
			return loaded, fmt.Errorf("count spans: %w", err)
		}
		loaded.byFile[id] = count
		if loaded.rows == 0 || first.Before(loaded.first) {
			loaded.first = first
		}
		if loaded.rows == 0 || last.After(loaded.last) {
			loaded.last = last
		}
		loaded.rows += count
	}
	if err := rows.Err(); err != nil {
		return loaded, fmt.Errorf("count spans: %w", err)
	}
	for _, it := range b.readable {
		it.skipped = it.layout.rows - loaded.byFile[it.fileID]
		if it.skipped < 0 {
			it.failure = &FileError{Path: it.file.Path, Type: Unreadable, Size: it.file.Size,
				Err: fmt.Errorf("is damaged: it gave %d rows, its footer claims %d", loaded.byFile[it.fileID], it.layout.rows)}
			return loaded, it.failure
		}
	}
	return loaded, nil
}

const registerSQL = `
INSERT INTO parquet_files
SELECT f.file_id, f.path, s.service_name, s.min_time, s.max_time, f.row_count, f.size, make_timestamp(f.mtime), now(),
       f.duplicates, f.skipped
FROM (SELECT unnest($1::INTEGER[]) AS file_id, unnest($2::VARCHAR[]) AS path, unnest($3::BIGINT[]) AS size,
             unnest($4::BIGINT[]) AS mtime, unnest($5::BIGINT[]) AS row_count, unnest($6::BIGINT[]) AS skipped,
             unnest($7::BIGINT[]) AS duplicates) AS f
LEFT JOIN (SELECT file_id, arg_max(service_name, (span_count, service_name)) AS service_name,
                  min(min_time) AS min_time, max(max_time) AS max_time
           FROM file_services
           WHERE file_id BETWEEN $8 AND $9
           GROUP BY file_id) AS s USING (file_id)
ORDER BY f.file_id`

// register writes the checkpoint, and forgets that the files once failed.
func (b *batch) register(ctx context.Context, loaded loadedRows) error {
	n := len(b.readable)
	ids, paths := make([]int32, n), make([]string, n)
	sizes, mtimes, rowCounts := make([]int64, n), make([]int64, n), make([]int64, n)
	skipped, duplicates := make([]int64, n), make([]int64, n)
	for i, it := range b.readable {
		ids[i], paths[i] = it.fileID, it.file.Path
		sizes[i], mtimes[i], rowCounts[i] = it.file.Size, it.file.ModTime.UnixMicro(), it.layout.rows
		skipped[i], duplicates[i] = it.skipped, it.duplicates
		if it.again {
			continue // most of it was there before
		}
		b.result.FilesIndexed++
		b.result.RowsSkipped += it.skipped
		b.result.Duplicates += it.duplicates
		b.result.SpansIndexed += loaded.byFile[it.fileID] - it.duplicates
	}
	if _, err := b.tx.ExecContext(ctx, registerSQL, ids, paths, sizes, mtimes, rowCounts, skipped, duplicates,
		b.first, b.last); err != nil {
		return fmt.Errorf("register files: %w", err)
	}
	return nil
}

const (
	clearServicesSQL = `DELETE FROM services`
	fillServicesSQL  = `
INSERT INTO services
SELECT service_name, min(min_time), max(max_time), sum(span_count)
FROM file_services
GROUP BY service_name
ORDER BY service_name`
)

// refreshServices makes the catalogue anew from the services of all files, which are few beside the spans: there is
// nothing that could drift.
func (b *batch) refreshServices(ctx context.Context) error {
	for _, statement := range []string{clearServicesSQL, fillServicesSQL} {
		if _, err := b.tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("refresh services: %w", err)
		}
	}
	return nil
}
