package index

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

const fileIDsSQL = `
SELECT file_path, file_id FROM parquet_files WHERE file_path IN (SELECT unnest($1::VARCHAR[]))`

// resolve sets oldID of the items from the registry as it is now: an earlier batch of the same pass may have given a
// file a new number.
func (x *Index) resolve(ctx context.Context, items []*item) error {
	byPath := make(map[string]*item, len(items))
	paths := make([]string, 0, len(items))
	for _, it := range items {
		it.oldID = 0
		byPath[it.file.Path] = it
		paths = append(paths, it.file.Path)
	}
	rows, err := x.conn.QueryContext(ctx, fileIDsSQL, paths)
	if err != nil {
		return fmt.Errorf("look files up: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var path string
		var id int32
		if err := rows.Scan(&path, &id); err != nil {
			return fmt.Errorf("look files up: %w", err)
		}
		byPath[path].oldID = id
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("look files up: %w", err)
	}
	return nil
}

// withAgain adds the files that must be read again: rows of them were left out since a file whose rows now go had the
// same spans. They have to come back in the same transaction, or spans that the lake holds would be invisible.
func (x *Index) withAgain(ctx context.Context, items []*item) ([]*item, error) {
	known := make(map[string]bool, len(items))
	var removed []int32
	settle := time.Duration(0)
	for _, it := range items {
		settle = max(settle, it.settle)
		known[it.file.Path] = true
		if it.oldID != 0 {
			removed = append(removed, it.oldID)
		}
	}
	items = slices.Clip(items) // what follows in the caller's array is the next batch
	for len(removed) > 0 {
		repeating, err := x.repeatingFiles(ctx, removed)
		if err != nil {
			return nil, err
		}
		removed = removed[:0]
		for _, it := range repeating {
			if known[it.file.Path] {
				continue
			}
			known[it.file.Path] = true
			it.settle = settle
			items = append(items, it)
			if !it.again {
				removed = append(removed, it.oldID) // it has changed, so others may repeat what it had
			}
		}
	}
	return items, nil
}

const repeatingFilesSQL = `
SELECT DISTINCT p.file_path, p.file_id, p.size_bytes, coalesce(epoch_us(p.mtime), 0)
FROM file_repeats r
JOIN parquet_files p USING (file_id)
WHERE r.first_file_id IN (SELECT unnest($1::INTEGER[]))
ORDER BY p.file_path`

// repeatingFiles are the files that repeat spans of the removed ones, as they are now.
func (x *Index) repeatingFiles(ctx context.Context, removed []int32) ([]*item, error) {
	rows, err := x.conn.QueryContext(ctx, repeatingFilesSQL, removed)
	if err != nil {
		return nil, fmt.Errorf("find repeats of removed files: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var items []*item
	for rows.Next() {
		var it item
		var size, mtime int64
		if err := rows.Scan(&it.file.Path, &it.oldID, &size, &mtime); err != nil {
			return nil, fmt.Errorf("find repeats of removed files: %w", err)
		}
		now, err := x.stat(&it)
		it.file = now
		it.again = err != nil || now.Size == size && now.ModTime.UnixMicro() == mtime
		if err != nil {
			it.fail(err)
		}
		items = append(items, &it)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("find repeats of removed files: %w", err)
	}
	return items, nil
}

// stat is what the file of it is now.
func (x *Index) stat(it *item) (span.File, error) {
	file := span.File{Path: it.file.Path}
	info, err := os.Stat(x.fullPath(file.Path))
	if err != nil {
		return file, err
	}
	file.Size, file.ModTime = info.Size(), info.ModTime()
	return file, nil
}

// remove takes out the rows of files that are gone, or that this batch reads anew.
func (b *batch) remove(ctx context.Context) error {
	var old, forgotten, unread []int32
	for _, it := range b.items {
		if it.retire {
			if err := b.recordRetired(ctx, it); err != nil {
				return err
			}
		}
		if it.removed() {
			old = append(old, it.oldID)
			if !it.again {
				forgotten = append(forgotten, it.oldID)
			}
		} else if it.again {
			unread = append(unread, it.oldID)
		}
		if it.gone && it.oldID != 0 {
			b.result.FilesRemoved++
		}
	}
	if len(old) == 0 {
		return nil
	}
	if err := b.exec(ctx, "take from daily statistics", dailySubtractSQL, old); err != nil {
		return err
	}
	for _, table := range []struct{ name, sql string }{
		{"span_metadata", `DELETE FROM span_metadata WHERE file_id IN (SELECT unnest($1::INTEGER[]))`},
		{"root_spans", `DELETE FROM root_spans WHERE file_id IN (SELECT unnest($1::INTEGER[]))`},
		{"trace_lookup", `DELETE FROM trace_lookup WHERE file_id IN (SELECT unnest($1::INTEGER[]))`},
		{"trace_lookup_tail", `DELETE FROM trace_lookup_tail WHERE file_id IN (SELECT unnest($1::INTEGER[]))`},
		{"file_services", `DELETE FROM file_services WHERE file_id IN (SELECT unnest($1::INTEGER[]))`},
		{"row_groups", `DELETE FROM row_groups WHERE file_id IN (SELECT unnest($1::INTEGER[]))`},
		{"parquet_files", `DELETE FROM parquet_files WHERE file_id IN (SELECT unnest($1::INTEGER[]))`},
		{"file_repeats", `DELETE FROM file_repeats WHERE file_id IN (SELECT unnest($1::INTEGER[]))`},
	} {
		if _, err := b.tx.ExecContext(ctx, table.sql, old); err != nil {
			return fmt.Errorf("remove rows of files from %s: %w", table.name, err)
		}
	}
	if _, err := b.tx.ExecContext(ctx, `DELETE FROM file_repeats WHERE first_file_id IN (SELECT unnest($1::INTEGER[]))`,
		forgotten); err != nil {
		return fmt.Errorf("remove repeats: %w", err)
	}
	// They still miss spans: the next pass tries again.
	if _, err := b.tx.ExecContext(ctx, `UPDATE parquet_files SET mtime = NULL WHERE file_id IN (SELECT unnest($1::INTEGER[]))`,
		unread); err != nil {
		return fmt.Errorf("mark files to be read again: %w", err)
	}
	return nil
}

// recordFailures notes the files that cannot be indexed, and forgets earlier failures of the others.
func (b *batch) recordFailures(ctx context.Context) error {
	var cleared []string
	for _, it := range b.items {
		if it.readable() || it.gone {
			cleared = append(cleared, it.file.Path)
		}
		if it.failure == nil || it.again {
			continue
		}
		b.result.FilesFailed++
		if err := b.recordFailure(ctx, it); err != nil {
			return fmt.Errorf("record failure of %s: %w", it.file.Path, err)
		}
	}
	if _, err := b.tx.ExecContext(ctx, `DELETE FROM failed_parquet_files WHERE file_path IN (SELECT unnest($1::VARCHAR[]))`,
		cleared); err != nil {
		return fmt.Errorf("clear failures: %w", err)
	}
	return nil
}
