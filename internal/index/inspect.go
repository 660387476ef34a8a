package index

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/duckdb/duckdb-go/v2"
)

const (
	parquetMagic = "PAR1"
	// parquetTail is what a Parquet file ends with: the footer's length, little endian, and the magic.
	parquetTail = 8
)

// inspect is inspector.inspect on the connection that writes.
func (x *Index) inspect(ctx context.Context, items []*item) error {
	in := inspector{index: x, conn: func() *sql.Conn { return x.conn }, recover: x.revive}
	if err := in.inspect(ctx, items); err != nil {
		return err
	}
	for _, it := range items {
		if it.failure != nil && x.crowded(it.failure) {
			return it.failure // it is not to blame
		}
	}
	return nil
}

// inspector finds out what is in files.
type inspector struct {
	index *Index
	conn  func() *sql.Conn
	// recover makes conn usable again after an error, if it can.
	recover func(context.Context) error
}

// inspect finds out what is in each file without reading a row, and sets item.layout, item.failure or item.vanished.
//
// Only the first and last bytes of a file are looked at here; everything else is read by DuckDB.
func (x inspector) inspect(ctx context.Context, items []*item) error {
	var sound []*item
	for _, it := range items {
		if err := x.index.checkEnds(it); err != nil {
			it.fail(err)
			continue
		}
		sound = append(sound, it)
	}
	err := x.inspectFooters(ctx, sound)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if beginsAnew(ctx, err) {
		return err
	}
	// One of them is bad: ask for each alone.
	for _, it := range sound {
		it.layout, it.failure = layout{}, nil
		if err := x.recover(ctx); err != nil {
			return err
		}
		err := x.inspectFooters(ctx, []*item{it})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if beginsAnew(ctx, err) {
			return err
		}
		if err != nil {
			it.fail(err)
		}
	}
	return nil
}

// checkEnds looks at the size, the magic at both ends and the length of the footer.
func (x *Index) checkEnds(it *item) error {
	path := x.fullPath(it.file.Path)
	// Looked at before it is opened, since opening a pipe waits for a writer.
	if info, err := os.Lstat(path); err != nil {
		return err
	} else if !info.Mode().IsRegular() {
		return &FileError{Type: Unreadable, Err: fmt.Errorf("is not a regular file but %s", info.Mode().Type())}
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // only read
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return &FileError{Type: Unreadable, Err: fmt.Errorf("is not a regular file but %s", info.Mode().Type())}
	}
	// What is read now, which may be newer than what was listed.
	it.file.Size, it.file.ModTime = info.Size(), time.UnixMicro(info.ModTime().UnixMicro())
	size := info.Size()
	head, tail := make([]byte, len(parquetMagic)), make([]byte, parquetTail)
	if _, err := io.ReadFull(file, head); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &FileError{Type: Truncated, Err: fmt.Errorf("is only %d bytes long", size)}
	} else if err != nil {
		return err
	}
	if string(head) == "PARE" {
		return &FileError{Type: Unreadable, Err: errors.New("is encrypted")}
	}
	if string(head) != parquetMagic {
		return &FileError{Type: NotParquet, Err: fmt.Errorf("begins with %q instead of %q", head, parquetMagic)}
	}
	if size < int64(len(head)+len(tail)) {
		return &FileError{Type: Truncated, Err: fmt.Errorf("is only %d bytes long", size)}
	}
	if _, err := file.ReadAt(tail, size-parquetTail); err != nil {
		return err
	}
	if string(tail[4:]) != parquetMagic {
		return &FileError{Type: Truncated, Err: fmt.Errorf("ends with %q instead of %q: the end is missing", tail[4:], parquetMagic)}
	}
	footer := int64(binary.LittleEndian.Uint32(tail))
	if footer > size-int64(len(head)+len(tail)) {
		return &FileError{Type: Truncated, Err: fmt.Errorf("has a footer of %d bytes in a file of %d", footer, size)}
	}
	it.footerBytes = footer
	return checkLimit("footer", "bytes", footer, x.opts.Limits.FooterBytes, "--max-file-footer")
}

// checkLimit returns an error that names the setting to change.
func checkLimit(what, unit string, value, limit int64, setting string) error {
	if value <= limit {
		return nil
	}
	return &FileError{Type: TooLarge, Err: fmt.Errorf("has a %s of %d %s, more than the limit of %d: raise %s if the file is sound",
		what, value, unit, limit, setting)}
}

// inspectFooters reads the footers of the files with DuckDB. An error that is no *FileError of an item concerns
// all of them: with one bad file among several it is not known which.
func (x inspector) inspectFooters(ctx context.Context, items []*item) error {
	if len(items) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, x.index.opts.Limits.Time)
	defer cancel()
	if err := x.index.patiently(ctx, func(ctx context.Context) error { return x.readFooters(ctx, items) }); err != nil {
		return errors.Join(err, ctx.Err()) // DuckDB only says that it was interrupted
	}
	return nil
}

func (x inspector) readFooters(ctx context.Context, items []*item) error {
	if err := x.readRowCounts(ctx, items); err != nil {
		return err
	}
	ok := items[:0:0]
	for _, it := range items {
		if it.failure == nil {
			ok = append(ok, it)
		}
	}
	if len(ok) == 0 {
		return nil
	}
	if err := x.readColumns(ctx, ok); err != nil {
		return err
	}
	return x.readChunkSizes(ctx, ok)
}

const rowCountsSQL = `SELECT file_name, num_rows, num_row_groups FROM parquet_file_metadata($1)`

func (x inspector) readRowCounts(ctx context.Context, items []*item) error {
	byPath := x.index.byFullPath(items)
	rows, err := x.conn().QueryContext(ctx, rowCountsSQL, x.index.globPaths(items))
	if err != nil {
		return fmt.Errorf("read Parquet footer: %w", err)
	}
	defer func() { _ = rows.Close() }()
	seen := 0
	for rows.Next() {
		var path string
		var count, groups int64
		if err := rows.Scan(&path, &count, &groups); err != nil {
			return fmt.Errorf("read Parquet footer: %w", err)
		}
		it := byPath[path]
		if it == nil {
			return fmt.Errorf("read Parquet footer: DuckDB answered for %s, which was not asked", path)
		}
		seen++
		it.layout.rows, it.layout.rowGroups = count, groups
		err := errors.Join(
			checkLimit("row count", "rows", count, x.index.opts.Limits.Rows, "--max-file-rows"),
			checkLimit("row group count", "row groups", groups, x.index.opts.Limits.RowGroups, "--max-file-row-groups"))
		if count < 0 {
			err = &FileError{Type: Unreadable, Err: fmt.Errorf("claims to have %d rows", count)}
		}
		if err != nil {
			it.fail(err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read Parquet footer: %w", err)
	}
	if seen != len(items) {
		return fmt.Errorf("read Parquet footer: DuckDB answered for %d of %d files", seen, len(items))
	}
	return nil
}

const columnsSQL = `
SELECT file_name, name, coalesce(num_children, 0), coalesce(duckdb_type, type, '')
FROM parquet_schema($1)
ORDER BY file_name, column_id`

// readColumns finds the light columns among the top-level columns.
func (x inspector) readColumns(ctx context.Context, items []*item) error {
	err := x.eachColumn(ctx, items, func(it *item, name, duckType string, nested bool) { it.layout.add(name, duckType, nested) })
	if err != nil {
		return err
	}
	for _, it := range items {
		if err := it.layout.check(); err != nil {
			it.fail(err)
		}
	}
	return nil
}

// eachColumn calls column for the top-level columns of the files: parquet_schema lists a tree depth first.
func (x inspector) eachColumn(ctx context.Context, items []*item, column func(it *item, name, duckType string, nested bool)) error {
	byPath := x.index.byFullPath(items)
	rows, err := x.conn().QueryContext(ctx, columnsSQL, x.index.globPaths(items))
	if err != nil {
		return fmt.Errorf("read Parquet schema: %w", err)
	}
	defer func() { _ = rows.Close() }()
	current, open := "", []int64(nil) // open: how many children are still to come, for each level
	for rows.Next() {
		var path, name, columnType string
		var children int64
		if err := rows.Scan(&path, &name, &children, &columnType); err != nil {
			return fmt.Errorf("read Parquet schema: %w", err)
		}
		it := byPath[path]
		if it == nil {
			return fmt.Errorf("read Parquet schema: DuckDB answered for %s, which was not asked", path)
		}
		if path != current {
			current, open = path, nil
		}
		if len(open) == 1 {
			column(it, name, columnType, children > 0)
		}
		if len(open) > 0 {
			open[len(open)-1]--
		}
		open = append(open, children)
		for len(open) > 1 && open[len(open)-1] <= 0 {
			open = open[:len(open)-1]
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read Parquet schema: %w", err)
	}
	return nil
}

const chunkSizesSQL = `
SELECT file_name,
       CAST(coalesce(sum(row_group_num_rows) FILTER (column_id = 0), 0) AS BIGINT),
       coalesce(max(total_uncompressed_size) FILTER (list_contains($2::VARCHAR[], lower(path_in_schema))), 0)
FROM parquet_metadata($1)
GROUP BY file_name`

func (x inspector) readChunkSizes(ctx context.Context, items []*item) error {
	byPath := x.index.byFullPath(items)
	rows, err := x.conn().QueryContext(ctx, chunkSizesSQL, x.index.globPaths(items), lightColumnNames())
	if err != nil {
		return fmt.Errorf("read Parquet row groups: %w", err)
	}
	defer func() { _ = rows.Close() }()
	seen := make(map[*item]bool, len(items))
	for rows.Next() {
		var path string
		var count, largest int64
		if err := rows.Scan(&path, &count, &largest); err != nil {
			return fmt.Errorf("read Parquet row groups: %w", err)
		}
		it := byPath[path]
		if it == nil {
			return fmt.Errorf("read Parquet row groups: DuckDB answered for %s, which was not asked", path)
		}
		seen[it] = true
		if it.failure != nil {
			continue
		}
		err := checkLimit("column in one row group", "uncompressed bytes", largest, x.index.opts.Limits.PageBytes, "--max-file-page")
		if count != it.layout.rows {
			err = &FileError{Type: Unreadable, Err: fmt.Errorf("is damaged: its footer claims %d rows, its row groups %d", it.layout.rows, count)}
		}
		if err != nil {
			it.fail(err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read Parquet row groups: %w", err)
	}
	for _, it := range items {
		// A file without row groups has no line.
		if !seen[it] && it.failure == nil && it.layout.rows != 0 {
			it.fail(&FileError{Type: Unreadable, Err: fmt.Errorf("is damaged: its footer claims %d rows, but it has no row groups", it.layout.rows)})
		}
	}
	return nil
}

// fileErrorOf gives err, which happened while reading the file of it, a type.
func fileErrorOf(it *item, err error) *FileError {
	failure := &FileError{}
	var duck *duckdb.Error
	switch {
	case errors.As(err, &failure):
	case errors.Is(err, context.DeadlineExceeded):
		failure = &FileError{Type: TooLarge, Err: errors.New("takes longer to read than the limit: raise --max-file-time if the file is sound")}
	case errors.As(err, &duck) && duck.Type == duckdb.ErrorTypeOutOfMemory:
		failure = &FileError{Type: TooLarge, Err: fmt.Errorf("needs more memory than there is, raise --memory if the file is sound: %w", err)}
	case errors.As(err, &duck) && duck.Type == duckdb.ErrorTypeInternal:
		failure = &FileError{Type: Internal, Err: err}
	default:
		failure = &FileError{Type: Unreadable, Err: err}
	}
	failure.Path, failure.Size = it.file.Path, it.file.Size
	return failure
}

func (x *Index) fullPath(rel string) string { return filepath.Join(x.lake, filepath.FromSlash(rel)) }

func (x *Index) byFullPath(items []*item) map[string]*item {
	byPath := make(map[string]*item, len(items))
	for _, it := range items {
		byPath[x.fullPath(it.file.Path)] = it
	}
	return byPath
}

// literalPattern is the pattern that matches path alone: special characters stand in brackets.
func literalPattern(path string) string {
	if strings.Contains(path, `\`) {
		return path // no pattern can match that, but DuckDB takes the path of a file that is there literally
	}
	return strings.NewReplacer("[", "[[]", "*", "[*]", "?", "[?]").Replace(path)
}

// globPaths are the full paths as DuckDB's functions take them: as patterns.
func (x *Index) globPaths(items []*item) []string {
	paths := make([]string, len(items))
	for i, it := range items {
		paths[i] = literalPattern(x.fullPath(it.file.Path))
	}
	return paths
}
