package index

import "slices"

// maxPortionBytes is about how large rows, uncompressed, are that one statement reads: a result is in memory as a whole.
const maxPortionBytes = 16 << 20

// portionBytes is maxPortionBytes, or less if DuckDB may not have as much for several questions at once.
func (x *Index) portionBytes() int64 { return min(maxPortionBytes, max(x.opts.Memory/8, 1<<20)) }

// portion is a range of rows of a file: first <= number < end. all is all of a file whose rows cannot be told apart.
type portion struct {
	first, end int64
	all        bool
}

// matchBytes is portionBytes where of the rows only a few are in the result, and of these only the attributes.
func (x *Index) matchBytes() int64 { return min(maxPortionBytes, 4*x.portionBytes()) }

// portions divide the chosen row groups of the file into parts of about portionBytes that can be read at once.
func (w *wholeFile) portions(chosen func(group int) bool, portionBytes int64) []portion {
	if w.layout.shadowed {
		return []portion{{all: true}}
	}
	var all []portion
	number, bytes := int64(0), int64(0)
	for i, g := range w.groups {
		first := number
		number += g.rows
		if !chosen(i) || g.rows == 0 {
			continue
		}
		if last := len(all) - 1; last >= 0 && all[last].end == first && bytes+g.bytes <= portionBytes {
			all[last].end, bytes = number, bytes+g.bytes
			continue
		}
		step := g.rows
		if g.bytes > portionBytes {
			step = max(1, int64(float64(g.rows)/float64(g.bytes)*float64(portionBytes)))
		}
		for ; first < number; first += step {
			all = append(all, portion{first: first, end: min(first+step, number)})
		}
		bytes = g.bytes
	}
	return all
}

// within adds that a row is in a portion.
func (c *conditions) within(p portion) {
	if !p.all {
		c.and("file_row_number >= %s AND file_row_number < %s", p.first, p.end)
	}
}

// text reads a column that only whole spans have, under its own name.
func (w *wholeFile) text(name string) string {
	columns := wholeColumns()
	i := slices.IndexFunc(columns, func(c wholeColumn) bool { return c.name == name })
	return columns[i].expression(w.shape) + " AS " + name
}
