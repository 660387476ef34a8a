package index

import (
	"context"
	"database/sql"
	"slices"
)

const (
	// A file can be in both tables if it was indexed, changed, and can no longer be read.
	indexedSQL = `
SELECT file_path FROM parquet_files
WHERE file_path IN (SELECT unnest($1::VARCHAR[])) AND file_path NOT IN (SELECT file_path FROM failed_parquet_files)`
	// pathsPerQuery bounds the list that one query takes.
	pathsPerQuery = 1000
)

// Indexed lists which of these files of the lake are registered, so that their spans are in the index. A file that is recorded as
// failed is not among them.
func (x *Index) Indexed(ctx context.Context, paths []string) ([]string, error) {
	indexed := []string{}
	for part := range slices.Chunk(paths, pathsPerQuery) {
		found, err := list(ctx, x, "indexed files", indexedSQL, func(rows *sql.Rows, path *string) error { return rows.Scan(path) }, part)
		if err != nil {
			return nil, err
		}
		indexed = append(indexed, found...)
	}
	return indexed, nil
}
