package wal

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
)

// Unflushed counts the spans of the log at path that are in no published file. It opens nothing for writing and takes no lock, so that it
// may be asked whoever has the log; what is written meanwhile may be counted or not. Without a log there are none.
func Unflushed(ctx context.Context, path string) (spans int64, err error) {
	if !Exists(path) {
		return 0, nil
	}
	path, err = filepath.Abs(path)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return 0, fmt.Errorf("look into the write-ahead log: %w", err)
	}
	db := openDB(path, Full, true, 0, 1)
	defer func() { err = errors.Join(err, db.Close()) }()
	flushes, err := readFlushes(ctx, db)
	if err != nil {
		return 0, fmt.Errorf("look into the write-ahead log %s: %w", path, err)
	}
	after := int64(0)
	for i := range flushes {
		after = keyOf(flushes[i].Last)
		if !flushes[i].Published {
			spans += int64(flushes[i].Spans)
		}
	}
	const waitingSQL = `
SELECT coalesce(sum(spans), 0) FROM requests WHERE key > ? AND key NOT IN (SELECT key FROM damaged)`
	var waiting int64
	if err := db.QueryRowContext(ctx, waitingSQL, after).Scan(&waiting); err != nil {
		return 0, fmt.Errorf("look into the write-ahead log %s: %w", path, err)
	}
	return spans + waiting, nil
}
