package index

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/spanlake/spanlake/internal/attribute"
)

const (
	// filtersAtOnce is how many bytes of footers are read at once for what they say of attributes.
	filtersAtOnce = 8 << 20
	// maxFilterText bounds what one footer says of attributes. Spanlake writes half as much at most.
	maxFilterText = 2 << 20
)

const (
	filterTextsSQL = `
SELECT file_name, value FROM parquet_kv_metadata($1) WHERE key = encode($2) AND octet_length(value) <= $3`

	// insertFiltersSQL takes filters in base64: lists of BLOBs cannot be parameters.
	insertFiltersSQL = `
INSERT INTO row_groups
SELECT file_id, row_group, from_base64(filter)
FROM (SELECT unnest($1::INTEGER[]) AS file_id, unnest($2::INTEGER[]) AS row_group, unnest($3::VARCHAR[]) AS filter)
ORDER BY file_id, row_group`

	rowGroupsCheckSQL = `
SELECT coalesce(any_value(p.file_path), 'file_id ' || r.file_id),
       CASE WHEN any_value(p.file_path) IS NULL THEN 'is not registered but has filters of row groups'
            ELSE 'has filters of ' || count(*) || ' row groups from ' || min(r.row_group) || ' to ' || max(r.row_group) END
FROM (SELECT file_id, row_group FROM row_groups) r
LEFT JOIN parquet_files p USING (file_id)
GROUP BY r.file_id
HAVING any_value(p.file_path) IS NULL OR min(r.row_group) <> 0 OR max(r.row_group) + 1 <> count(*)
    OR count(DISTINCT r.row_group) <> count(*)`
)

// insertFilters takes over what the footers of the batch say of the attributes in their row groups. Whatever stands there, the
// file is indexed: without filters all of it is looked through.
func (b *batch) insertFilters(ctx context.Context) error {
	for first := 0; first < len(b.readable); {
		end, bytes := first, int64(0)
		for end < len(b.readable) && (end == first || bytes+b.readable[end].footerBytes <= filtersAtOnce) {
			bytes += b.readable[end].footerBytes
			end++
		}
		if err := b.insertFiltersOf(ctx, b.readable[first:end]); err != nil {
			return fmt.Errorf("read filters of attributes: %w", err)
		}
		first = end
	}
	return nil
}

func (b *batch) insertFiltersOf(ctx context.Context, items []*item) error {
	texts, err := b.filterTexts(ctx, items)
	if err != nil {
		return err
	}
	var ids, numbers []int32
	var filters []string
	for _, it := range items {
		text, ok := texts[it]
		if !ok {
			continue
		}
		groups, err := decodeFilters(text, it.layout.rowGroups)
		if err != nil {
			b.index.log.Warn("the filters of attributes in a file cannot be used: searches read all of it", "file", it.file.Path, "error", err)
			continue
		}
		for i, g := range groups {
			ids, numbers = append(ids, it.fileID), append(numbers, int32(i))
			filters = append(filters, base64.StdEncoding.EncodeToString(g.Filter))
		}
	}
	if len(ids) == 0 {
		return nil
	}
	_, err = b.tx.ExecContext(ctx, insertFiltersSQL, ids, numbers, filters)
	return err
}

// filterTexts are what the footers say, of files that say something.
func (b *batch) filterTexts(ctx context.Context, items []*item) (map[*item]string, error) {
	byPath := b.index.byFullPath(items)
	rows, err := b.tx.QueryContext(ctx, filterTextsSQL, b.index.globPaths(items), attribute.MetadataKey, maxFilterText)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	texts := make(map[*item]string)
	for rows.Next() {
		var path string
		var value []byte
		if err := rows.Scan(&path, &value); err != nil {
			return nil, err
		}
		it := byPath[path]
		if _, ok := texts[it]; it == nil || ok {
			continue // a key that repeats: the first one counts
		}
		texts[it] = string(value)
	}
	return texts, rows.Err()
}

var errOtherRowGroups = errors.New("they are of another number of row groups")

// decodeFilters reads what a footer says of its row groups.
func decodeFilters(text string, rowGroups int64) ([]attribute.RowGroup, error) {
	groups, err := attribute.Decode(text)
	if err != nil {
		return nil, err
	}
	if int64(len(groups)) != rowGroups {
		return nil, errOtherRowGroups
	}
	return groups, nil
}
