package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/spanlake/spanlake/internal/span"
)

const (
	// keptShapes is of how many files the shape is remembered: reading a footer takes longer than reading a trace from its row group.
	keptShapes = 2000
	// shapesAtOnce is how many footers are read together.
	shapesAtOnce = 10
)

// shape is what the footer of a file says to those who read whole spans.
type shape struct {
	layout layout
	// columns are DuckDB's types of all top-level columns, by name in lower case.
	columns map[string]string
	groups  []groupShape
}

// groupShape is one row group.
type groupShape struct {
	rows int64
	// bytes is the uncompressed size of all columns.
	bytes int64
	// first and last bound the trace ids; bounded says whether they are known.
	first, last string
	bounded     bool
}

// nestedType stands for the type of a column with parts.
const nestedType = "nested"

func (s *shape) add(name, duckType string, nested bool) {
	s.layout.add(name, duckType, nested)
	name = strings.ToLower(name)
	if _, ok := s.columns[name]; ok {
		return // the first of equals counts
	}
	if nested {
		duckType = nestedType
	}
	s.columns[name] = duckType
}

// mayHave tells whether the row group may have spans of a trace.
func (g *groupShape) mayHave(traceID string) bool {
	return !g.bounded || g.first <= traceID && traceID <= g.last
}

// shapes remembers the shapes of files as they were.
type shapes struct {
	mu    sync.Mutex
	known map[fileVersion]*shape
	// columns are those of known, once for each set of columns: most files have the same.
	columns map[string]map[string]string
}

func (k *shapes) recall(f span.File) *shape {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.known[versionOf(f)]
}

func (k *shapes) note(f span.File, s *shape) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known == nil || len(k.known) >= keptShapes {
		k.known, k.columns = make(map[fileVersion]*shape), make(map[string]map[string]string)
	}
	key := fmt.Sprint(s.columns) // fmt sorts maps
	if same, ok := k.columns[key]; ok {
		s.columns = same
	}
	k.columns[key] = s.columns
	k.known[versionOf(f)] = s
}

// wholeFile is a file that whole spans are read from.
type wholeFile struct {
	index *Index
	item  *item
	*shape
}

// open finds out the shapes of files, and calls failed for each that cannot be read, with an error that names it and wraps fs.ErrNotExist
// if it is gone. Paths are relative to the lake, and are not trusted to be.
func (x *Index) open(ctx context.Context, db *sql.DB, paths []string, failed func(path string, err error) error) ([]*wholeFile, error) {
	root, err := os.OpenRoot(x.lake)
	if err != nil {
		return nil, fmt.Errorf("open the lake: %w", err)
	}
	defer func() { _ = root.Close() }() // only read
	files := make([]*wholeFile, 0, len(paths))
	var fresh []*wholeFile
	for _, path := range paths {
		it, err := x.lakeFile(root, path)
		if err != nil {
			if err := failed(path, err); err != nil {
				return nil, err
			}
			continue
		}
		w := &wholeFile{index: x, item: it, shape: x.shapes.recall(it.file)}
		files = append(files, w)
		if w.shape == nil {
			fresh = append(fresh, w)
		}
	}
	if len(fresh) == 0 {
		return files, nil
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // gives it back to the pool
	for some := range slices.Chunk(fresh, shapesAtOnce) {
		err := x.patiently(ctx, func(ctx context.Context) error { return x.readShapes(ctx, conn, some) })
		if err == nil {
			continue
		}
		if refusing(err) {
			return nil, err
		}
		// One of them is bad: which one?
		for _, w := range some {
			err := x.patiently(ctx, func(ctx context.Context) error { return x.readShapes(ctx, conn, []*wholeFile{w}) })
			if err != nil {
				if err := failed(w.item.file.Path, w.explain(ctx, err)); err != nil {
					return nil, err
				}
			}
		}
	}
	return slices.DeleteFunc(files, func(w *wholeFile) bool { return w.shape == nil }), nil
}

// lakeFile is a file as it is now. Nobody gets out of the lake by a path or a link, nor reads what is no file.
func (x *Index) lakeFile(root *os.Root, path string) (*item, error) {
	it := &item{file: span.File{Path: path}}
	name := filepath.FromSlash(path)
	if !filepath.IsLocal(name) {
		return nil, &FileError{Path: path, Type: Unreadable, Err: errors.New("is not in the lake")}
	}
	info, err := root.Lstat(name)
	if err != nil {
		return nil, &FileError{Path: path, Type: Unreadable, Err: err}
	}
	if !info.Mode().IsRegular() {
		return nil, &FileError{Path: path, Type: Unreadable, Err: fmt.Errorf("is not a regular file but %s", info.Mode().Type())}
	}
	it.file.Size, it.file.ModTime = info.Size(), info.ModTime()
	return it, nil
}

// explain says what kept the file from being read: that it is gone, or what DuckDB says.
func (w *wholeFile) explain(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return explain(ctx, err)
	}
	if _, statErr := w.index.stat(w.item); errors.Is(statErr, fs.ErrNotExist) {
		return &FileError{Path: w.item.file.Path, Type: Unreadable, Err: statErr}
	}
	var failure *FileError
	if _, ok := errors.AsType[*duckdb.Error](err); ok || errors.As(err, &failure) {
		return fileErrorOf(w.item, err)
	}
	return fmt.Errorf("read %s: %w", w.item.file.Path, err)
}

const groupsSQL = `
SELECT file_name, row_group_id, any_value(row_group_num_rows), CAST(sum(total_uncompressed_size) AS BIGINT),
       min(stats_min_value) FILTER (lower(path_in_schema) = 'trace_id'),
       max(stats_max_value) FILTER (lower(path_in_schema) = 'trace_id')
FROM parquet_metadata($1)
GROUP BY file_name, row_group_id
ORDER BY file_name, row_group_id`

// readShapes reads the footers of files.
func (x *Index) readShapes(ctx context.Context, conn *sql.Conn, files []*wholeFile) error {
	items, shapes := make([]*item, len(files)), make(map[*item]*shape, len(files))
	for i, w := range files {
		items[i] = w.item
		w.item.layout, w.item.failure = layout{}, nil
		if err := x.checkEnds(w.item); err != nil {
			return err
		}
		shapes[w.item] = &shape{columns: make(map[string]string)}
	}
	in := inspector{index: x, conn: func() *sql.Conn { return conn }}
	if err := in.readRowCounts(ctx, items); err != nil {
		return err
	}
	for _, it := range items {
		if it.failure != nil {
			return it.failure
		}
		shapes[it].layout.rows, shapes[it].layout.rowGroups = it.layout.rows, it.layout.rowGroups
	}
	err := in.eachColumn(ctx, items, func(it *item, name, duckType string, nested bool) { shapes[it].add(name, duckType, nested) })
	if err != nil {
		return err
	}
	if err := x.readGroups(ctx, conn, items, shapes); err != nil {
		return err
	}
	for _, s := range shapes {
		if err := s.layout.check(); err != nil {
			return err
		}
		// A column of nothing but nulls has no type.
		maps.DeleteFunc(s.columns, func(_, duckType string) bool { return duckType == nullType })
	}
	for _, w := range files {
		w.shape = shapes[w.item]
		x.shapes.note(w.item.file, w.shape)
	}
	return nil
}

func (x *Index) readGroups(ctx context.Context, conn *sql.Conn, items []*item, shapes map[*item]*shape) error {
	byPath := x.byFullPath(items)
	return eachRowOf(ctx, conn, groupsSQL, func(scan func(...any) error) error {
		var path string
		var number int64
		var g groupShape
		var first, last sql.NullString
		if err := scan(&path, &number, &g.rows, &g.bytes, &first, &last); err != nil {
			return err
		}
		g.first, g.last, g.bounded = first.String, last.String, first.Valid && last.Valid
		s := shapes[byPath[path]]
		if s == nil {
			return fmt.Errorf("read Parquet row groups: DuckDB answered for %s, which was not asked", path)
		}
		s.groups = append(s.groups, g)
		return nil
	}, x.globPaths(items))
}
