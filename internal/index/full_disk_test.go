//go:build unix

package index

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/lake"
	"github.com/spanlake/spanlake/internal/testkit"
)

// childFullDisk makes passes while files cannot grow beyond a size, as on a full disk, and a last one when they can.
const childFullDisk = "full-disk"

func runOnFullDisk(ctx context.Context, o Options) error {
	signal.Ignore(syscall.SIGXFSZ) // so that writes fail instead
	x, err := Open(ctx, o)
	if err != nil {
		return err
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	for _, size := range []uint64{20_000, 200_000, 600_000} {
		full := syscall.Rlimit{Cur: size, Max: limit.Max}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full); err != nil {
			return err
		}
		_, err := x.Sync(ctx, lake.Scan(ctx, o.Lake), SyncOptions{})
		_, _ = fmt.Fprintf(os.Stdout, "with at most %d bytes: %v\n", size, err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	_, err = x.Sync(ctx, lake.Scan(ctx, o.Lake), SyncOptions{})
	_, _ = fmt.Fprintf(os.Stdout, "with room again: %v\n", err)
	_ = x.Close() // what the index says of it is not the question: the next process opens it
	return nil
}

// A disk that is full costs no file its good name, and what was committed stays.
func TestAFullDiskLeavesAnIndexThatGoesOn(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	t.Parallel()
	l := testkit.NewLake(t)
	for i := range 6 {
		l.Table(t, fmt.Sprintf("%d.parquet", i), testkit.SpanTable(5000).With("trace_id", fmt.Sprintf("md5((%d + i // 7)::VARCHAR)", i*10_000)))
	}
	o := testOptions(t, l, quiet)
	out, err := command(t.Context(), childFullDisk, o).CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, lake: l}
	if f.Index, err = Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	f.expect("SELECT file_path || ' ' || error_type || ' ' || error_message FROM failed_parquet_files")
	f.sync()
	if got, want := f.contents(), freshContents(t, l); !slices.Equal(got, want) {
		t.Errorf("the index has %d rows, want %d", len(got), len(want))
	}
}

// A file is removed whose spans another one repeats, which has to be read again, and there is no room for that: the pass
// ends, and a later one brings the spans back.
func TestAFullDiskWhileRepeatsAreReadAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	t.Parallel()
	l := testkit.NewLake(t)
	many := testkit.SpanTable(200_000).With("trace_id", "md5((i // 7)::VARCHAR)").With("span_id", "left(md5(i::VARCHAR), 16)")
	l.Table(t, "a.parquet", many)
	l.Put(t, "b.parquet", l.Read(t, "a.parquet"))
	o := builtIndex(t, l)
	l.Remove(t, "a.parquet")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out, err := command(ctx, childFullDisk, o).CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, lake: l}
	if f.Index, err = Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	f.sync()
	f.expectSpans(200_000)
}
