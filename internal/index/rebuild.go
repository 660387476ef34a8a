package index

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"

	"github.com/spanlake/spanlake/internal/span"
)

const (
	// rebuildSuffix marks the new index while it is made.
	rebuildSuffix = ".rebuild"
	// damagedSuffix marks an old index that could not be opened, kept in case that somebody wants to know why.
	damagedSuffix = ".damaged"
)

// Rebuild makes the index of o anew from the lake, in a file beside the old one, and puts it in its place when it is
// whole. Until then the old one can be read. Errors leave the old one as it is.
func Rebuild(ctx context.Context, o Options, listing iter.Seq2[span.File, error], so SyncOptions) (span.Summary, error) {
	path, err := realPath(o.Path)
	if err != nil {
		return span.Summary{}, fmt.Errorf("rebuild: %w", err)
	}
	o.Path = path
	damaged, err := checkReplaceable(ctx, o)
	if err != nil {
		return span.Summary{}, fmt.Errorf("rebuild: %w", err)
	}
	fresh := o
	fresh.Path += rebuildSuffix
	summary, err := buildFresh(ctx, fresh, listing, so)
	if locked := (*LockedError)(nil); errors.As(err, &locked) {
		return summary, fmt.Errorf("rebuild: %w", err) // the other one goes on with its file
	}
	if err != nil {
		return summary, errors.Join(fmt.Errorf("rebuild: the old index stays: %w", err), removeDatabase(fresh.Path))
	}
	// Readers do not matter: they go on with the old file, which has no name any more.
	if writer, err := lockHolder(o.Path, true); err == nil && writer != nil {
		return summary, errors.Join(fmt.Errorf("rebuild: the old index stays: %w", writer), removeDatabase(fresh.Path))
	}
	if damaged {
		if err := os.Rename(o.Path, o.Path+damagedSuffix); err != nil {
			return summary, fmt.Errorf("rebuild: set the damaged index aside: %w", err)
		}
	}
	if err := replaceDatabase(fresh.Path, o.Path); err != nil {
		return summary, fmt.Errorf("rebuild: put the new index in place: %w", err)
	}
	return summary, nil
}

// buildFresh indexes the whole lake into a new database.
func buildFresh(ctx context.Context, o Options, listing iter.Seq2[span.File, error], so SyncOptions) (span.Summary, error) {
	if holder, err := lockHolder(o.Path, false); err == nil && holder != nil {
		return span.Summary{}, holder
	}
	// What an interrupted rebuild left.
	if err := removeDatabase(o.Path); err != nil {
		return span.Summary{}, err
	}
	x, err := Open(ctx, o)
	if err != nil {
		return span.Summary{}, err
	}
	summary, err := x.Sync(ctx, complete(listing), so)
	return summary, errors.Join(err, x.Close())
}

// complete ends a listing with an error at the first place that cannot be read: an index without what lies there must
// not replace one that may have it.
func complete(listing iter.Seq2[span.File, error]) iter.Seq2[span.File, error] {
	return func(yield func(span.File, error) bool) {
		for file, err := range listing {
			unread, ok := errors.AsType[*span.ScanError](err)
			switch {
			case ok && unread.Path == "." && errors.Is(err, fs.ErrNotExist):
				yield(file, fmt.Errorf("the lake folder does not exist: %w", unread.Err))
				return
			case ok && !unread.Unindexable:
				yield(file, fmt.Errorf("cannot read all of the lake: %s: %w", unread.Path, unread.Err))
				return
			}
			if !yield(file, err) {
				return
			}
		}
	}
}

// checkReplaceable makes sure that a rebuild replaces nothing but an index that nobody writes to. It says whether the
// old one is damaged.
func checkReplaceable(ctx context.Context, o Options) (damaged bool, err error) {
	if writer, err := lockHolder(o.Path, true); err == nil && writer != nil {
		return false, writer
	}
	o.ReadOnly = true
	old, err := Open(ctx, o)
	var unusable *UnusableError
	switch {
	case err == nil:
		return false, old.Close()
	case errors.Is(err, ErrNoIndex), errors.Is(err, fs.ErrNotExist):
		return false, nil
	case errors.As(err, &unusable) && unusable.Rebuildable:
		return unusable.Err != nil, nil
	default:
		return false, err
	}
}
