package index

import "time"

// Limits bound what one file may ask of the indexer, so that a damaged or hostile file costs that file and not the
// process. They are checked before a row is read, except for Time.
type Limits struct {
	// FooterBytes is the size of the Parquet footer, which is parsed whole: in memory it takes ten to twenty times that.
	FooterBytes int64
	// RowGroups of one file. 20,000 of them took DuckDB 532 MB.
	RowGroups int64
	// Rows of one file: a file of 4 KB can claim 10^9.
	Rows int64
	// PageBytes is the uncompressed size of one column in one row group, and so the most that one of its pages can
	// honestly have. A page that lies about its size meets DuckDB's memory limit.
	PageBytes int64
	// Time that reading one file may take.
	Time time.Duration
}

// DefaultLimits are far above what sensible writers produce (100,000 rows in 10 row groups, a footer of 20 KB).
func DefaultLimits() Limits {
	return Limits{
		FooterBytes: 4 << 20,
		RowGroups:   5_000,
		Rows:        20_000_000,
		PageBytes:   256 << 20,
		Time:        2 * time.Minute,
	}
}
