package terminal

import (
	"math"
	"strings"
)

// eighths are blocks of so many eighths of a cell, from the left.
const eighths = " ▏▎▍▌▋▊▉█"

// Bar draws a part of a line of so many cells: from offset to offset+length, both shares of the line from 0 to 1. However short, it can be
// seen, and it never takes more than the line.
func Bar(offset, length float64, cells int) string {
	if cells < 1 {
		return ""
	}
	share := func(x float64) float64 {
		if math.IsNaN(x) {
			return 0
		}
		return min(max(x, 0), 1)
	}
	offset, length = share(offset), share(length)
	begin := min(int(offset*float64(cells)), cells-1)
	parts := int(math.Round(length * float64(cells) * 8))
	parts = min(max(parts, 1), (cells-begin)*8)
	blocks := []rune(eighths)
	bar := strings.Repeat(" ", begin) + strings.Repeat(string(blocks[8]), parts/8)
	if parts%8 > 0 {
		bar += string(blocks[parts%8])
	}
	return bar
}
