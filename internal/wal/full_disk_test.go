//go:build unix

package wal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"testing"

	"github.com/spanlake/spanlake/internal/span"
)

// fileLimit sets how long files may get, as a full disk does; 0 lifts it.
func fileLimit(bytes uint64) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	limit.Cur = bytes
	if bytes == 0 {
		limit.Cur = limit.Max
	}
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit)
}

const fullDiskSize = 200_000

// runOnFullDisk works while there is room, while there is not, and when there is room again, and says how that went.
func runOnFullDisk(ctx context.Context, path string) error {
	signal.Ignore(syscall.SIGXFSZ) // so that writes fail instead
	l, err := Open(ctx, Options{Path: path})
	if err != nil {
		return err
	}
	var kept []int
	n := 0
	fill := func(times int) (refused int, err error) {
		for range times {
			n++
			err := l.Append(ctx, message(n, fullDiskSize), n)
			full, ok := errors.AsType[*FullError](err)
			switch {
			case err == nil:
				kept = append(kept, n)
			case ok && full.Reason == Disk:
				refused++
			default:
				return refused, fmt.Errorf("append %d: %w", n, err)
			}
		}
		return refused, nil
	}
	if refused, err := fill(20); err != nil || refused > 0 {
		return fmt.Errorf("with room: %d refused, %w", refused, err)
	}
	f, _, err := l.BeginFlush(ctx, 1+2+3+4+5, manyBytes)
	if err != nil {
		return err
	}
	for _, size := range []uint64{1_000, 300_000, 1_000_000, 3_000_000} {
		if err := fileLimit(size); err != nil {
			return err
		}
		refused, err := fill(20)
		if err != nil {
			return fmt.Errorf("with at most %d bytes: %w", size, err)
		}
		// What happens to the flush depends on what there is room for; it must be either done or not.
		pathErr := l.SetPath(ctx, f.ID, "a")
		publishErr := l.Published(ctx, f.ID)
		releaseErr := l.Release(ctx, []string{"a"})
		_, _ = fmt.Fprintf(os.Stdout, "with at most %d bytes: %d refused, set path: %v, publish: %v, release: %v\n", size, refused, pathErr, publishErr, releaseErr)
		if refused == 0 && size < 1_000_000 {
			return fmt.Errorf("with at most %d bytes none was refused", size)
		}
		if err := compareKept(ctx, l, f, kept); err != nil {
			return fmt.Errorf("with at most %d bytes: %w", size, err)
		}
	}
	if err := fileLimit(0); err != nil {
		return err
	}
	if refused, err := fill(20); err != nil || refused > 0 {
		return fmt.Errorf("with room again: %d refused, %w", refused, err)
	}
	// A flush that was released meanwhile is not known any more.
	for _, err := range []error{l.SetPath(ctx, f.ID, "a"), l.Published(ctx, f.ID), l.Release(ctx, []string{"a"})} {
		if err != nil && !errors.Is(err, ErrUnknownFlush) {
			return fmt.Errorf("with room again: %w", err)
		}
	}
	if err := compareKept(ctx, l, f, kept); err != nil {
		return fmt.Errorf("with room again: %w", err)
	}
	_, _ = fmt.Fprintf(os.Stdout, "kept %d of %d\n", len(kept), n)
	return l.Close(ctx)
}

// compareKept looks that all is there that was acknowledged, but for a flush that may be released as a whole.
func compareKept(ctx context.Context, l *Log, f span.Flush, kept []int) error {
	var got []int
	for r, err := range l.Requests(ctx, span.RequestID{}, lastID) {
		if err != nil {
			return err
		}
		got = append(got, r.Spans)
	}
	flushes, err := l.Flushes(ctx)
	if err != nil {
		return err
	}
	if len(flushes) == 0 {
		kept = kept[f.Requests:]
	}
	if !slices.Equal(got, kept) {
		return fmt.Errorf("there are %v, want %v", got, kept)
	}
	return nil
}

func TestAFullDiskRefusesAndLosesNothing(t *testing.T) {
	path := testPath(t)
	out, err := command(t.Context(), childFullDisk, path).Output()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	f := openFixture(t, path)
	if got := f.spans(); len(got) < 20+20-5 {
		t.Errorf("there are only %v", got)
	}
}

func TestAFullDiskIsNoticedBeforeItIsFull(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.MinFreeDisk = 1 << 60 })
	err := f.Append(t.Context(), message(1, 100), 1)
	full, ok := errors.AsType[*FullError](err)
	if !ok || full.Reason != Disk || full.Setting != "--min-free-disk" || full.Limit != 1<<60 || full.Used <= 0 {
		t.Errorf("got %v", err)
	}
}
