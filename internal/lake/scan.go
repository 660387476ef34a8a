package lake

import (
	"context"
	"errors"
	"iter"
	"path"
	"strings"

	"github.com/spanlake/spanlake/internal/span"
)

// ErrNotFolder says that the path given as the lake is something else than a folder.
var ErrNotFolder = errors.New("the lake is not a folder")

var (
	errNameNotUTF8 = errors.New("the name is not UTF-8: rename it, an index cannot hold it")
	errReplaced    = errors.New("it was replaced by another folder meanwhile")
)

// Scan lists the Parquet files below root in lexical order of their paths, folder by folder, without holding the
// list in memory.
//
// It yields a *span.ScanError for each place that cannot be read and goes on; a root that does not exist is such a
// place ("." with fs.ErrNotExist), since nothing may have been flushed yet. Any other error ends the scan:
// ErrNotFolder, or the error of ctx.
//
// Only regular files named *.parquet are listed, and neither files nor folders that begin with '.' or '_' nor
// folders named tmp: writers keep unfinished work there. Links are not followed: a link that stays in the lake
// leads to a file that is listed under its own path, and one that leaves it or loops must not be followed. The
// walk goes through os.Root, so that a folder swapped for a link while it runs does not lead out either.
func Scan(ctx context.Context, root string) iter.Seq2[span.File, error] {
	return NewScanner(root).Whole(ctx).Files
}

// isLakeFile says whether a file of this name belongs to the lake.
func isLakeFile(name string) bool {
	return path.Ext(name) == ".parquet" && !hidden(name)
}

func skipFolder(name string) bool { return name == "tmp" || hidden(name) }

func hidden(name string) bool { return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") }

// skipsPart says whether a folder of this path, relative to the root, lies in one that is passed over, or is one.
func skipsPart(folder string) bool {
	if folder == "." {
		return false
	}
	for part := range strings.SplitSeq(folder, "/") {
		if skipFolder(part) {
			return true
		}
	}
	return false
}

// join is path.Join for a folder of the lake, "." being the root, and the name of something in it.
func join(folder, name string) string {
	if folder == "." {
		return name
	}
	return folder + "/" + name
}
