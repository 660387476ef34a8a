package index

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/lake"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// busyLake has something of everything: sound files, repeats, bad files.
func busyLake(t testing.TB) testkit.Lake {
	t.Helper()
	l := testkit.NewLake(t)
	for i := range 12 {
		l.Spans(t, fmt.Sprintf("day=%d/%02d.parquet", i%3, i), testkit.Spans(1+i*40, 60)...) // a third of them in the next one
	}
	l.Put(t, "day=1/bad.parquet", []byte("no Parquet"))
	l.Table(t, "day=2/large.parquet", testkit.SpanTable(3000).With("trace_id", "md5((i // 7)::VARCHAR)"))
	return l
}

// freshContents is what an index of the lake has to have.
func freshContents(t testing.TB, l testkit.Lake) []string {
	t.Helper()
	f := openFixture(t, l)
	f.sync()
	return f.contents()
}

// Ended at any moment, a pass leaves an index that the next one completes.
func TestAnInterruptedPassIsCompletedByTheNext(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(randomSeed(t), 0))
	l := busyLake(t)
	f := openFixture(t, l, batchSize(2))
	for range 15 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(60_000))*time.Microsecond)
		_, err := f.Sync(ctx, lake.Scan(ctx, l.Root), SyncOptions{})
		if err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
			t.Errorf("Sync() = %v, want the reason why it ended", err)
		}
		cancel()
		if err == nil {
			// It was quicker: give the next one something to do.
			testkit.Touch(t, l.Path("day=0/00.parquet"))
		}
	}
	l.Remove(t, "day=1/bad.parquet")
	l.Put(t, "day=1/bad.parquet", []byte("no Parquet"))
	f.sync()
	want := freshContents(t, l)
	if got := f.contents(); !slices.Equal(got, want) {
		t.Errorf("the index has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// What was committed before the end stays: a pass that always ends early gets through all the same.
func TestAnInterruptedPassKeepsWhatWasCommitted(t *testing.T) {
	t.Parallel()
	l := busyLake(t)
	f := openFixture(t, l, batchSize(1))
	for pass := 1; ; pass++ {
		if pass > 20 {
			t.Fatal("20 passes of one batch each did not get through 14 files")
		}
		ctx, cancel := context.WithCancel(t.Context())
		_, err := f.Sync(ctx, lake.Scan(ctx, l.Root), SyncOptions{Progress: func(p Progress) {
			if p.FilesDone == 1 && p.FilesTotal > 1 {
				cancel()
			}
		}})
		cancel()
		if err == nil {
			break
		}
	}
	f.assertSound()
}

// Killed at any moment, the same.
func TestAKilledProcessLeavesAnIndexThatGoesOn(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	t.Parallel()
	random := rand.New(rand.NewPCG(randomSeed(t), 0))
	l := busyLake(t)
	want := freshContents(t, l)
	o := testOptions(t, l, quiet)
	for range 10 {
		cmd := command(t.Context(), childSync, o)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if random.IntN(4) > 0 { // else it dies while it opens the index
			_, _ = bufio.NewReader(out).ReadString('\n')
		}
		time.Sleep(time.Duration(random.IntN(200_000)) * time.Microsecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // says that it was killed
		if random.IntN(3) == 0 {
			testkit.Touch(t, l.Path("day=2/large.parquet")) // work for the next one
			want = nil
		}
	}
	f := &fixture{t: t, lake: l}
	var err error
	if f.Index, err = Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	f.sync()
	if want == nil {
		want = freshContents(t, l)
	}
	if got := f.contents(); !slices.Equal(got, want) {
		t.Errorf("the index has %d rows, want %d", len(got), len(want))
	}
	if exists(o.Path + ".tmp") {
		left, _ := filepath.Glob(o.Path + ".tmp/*")
		t.Logf("in use: %v", left)
	}
}

// builtIndex is a complete index of a lake, closed.
func builtIndex(t *testing.T, l testkit.Lake) Options {
	t.Helper()
	o := testOptions(t, l, quiet)
	x, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.Sync(t.Context(), lake.Scan(t.Context(), l.Root), SyncOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	return o
}

// What a crash, or somebody, may leave where the index is, and which does not keep it from working.
func TestLeftoversDoNoHarm(t *testing.T) {
	t.Parallel()
	write := func(suffix string, content []byte) func(*testing.T, Options) {
		return func(t *testing.T, o Options) {
			if err := os.MkdirAll(filepath.Dir(o.Path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(o.Path+suffix, content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, leave := range map[string]func(*testing.T, Options){
		"nothing":                          func(*testing.T, Options) {},
		"an empty file":                    write("", nil),
		"an empty file and a log":          func(t *testing.T, o Options) { write("", nil)(t, o); write(".wal", []byte("of another life"))(t, o) },
		"a log without a database":         write(".wal", []byte("of another life")),
		"half of a new database":           write(newSuffix, []byte("not whole")),
		"a new database's log":             write(newSuffix+".wal", []byte("not whole")),
		"half of a rebuild":                write(rebuildSuffix, []byte("not whole")),
		"a damaged one that was set aside": write(damagedSuffix, []byte("damaged")),
		"temporary files": func(t *testing.T, o Options) {
			if err := os.MkdirAll(o.Path+".tmp", 0o755); err != nil {
				t.Fatal(err)
			}
			write(".tmp/duckdb_temp_storage-0.tmp", make([]byte, 1000))(t, o)
		},
		"a database that was never checkpointed": func(t *testing.T, o Options) {
			built := builtIndex(t, testkit.Lake{Root: o.Lake})
			content, err := os.ReadFile(built.Path)
			if err != nil {
				t.Fatal(err)
			}
			write("", content)(t, o)
			write(".wal", nil)(t, o)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := testkit.NewLake(t)
			l.Spans(t, "a.parquet", testkit.Spans(1, 5)...)
			o := testOptions(t, l, quiet)
			leave(t, o)
			for range 2 {
				f := &fixture{t: t, lake: l}
				var err error
				if f.Index, err = Open(t.Context(), o); err != nil {
					t.Fatal(err)
				}
				f.sync()
				f.expectSpans(5)
				if err := f.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if exists(o.Path+newSuffix) || exists(o.Path+".tmp") || exists(o.Path+".wal") {
				t.Error("files are left beside the index")
			}
			rebuild(t, o)
			if exists(o.Path + rebuildSuffix) {
				t.Error("the rebuild left its file")
			}
		})
	}
}

// rebuild makes the index anew, which must succeed, and checks it.
func rebuild(t *testing.T, o Options) {
	t.Helper()
	if _, err := Rebuild(t.Context(), o, lake.Scan(t.Context(), o.Lake), SyncOptions{}); err != nil {
		t.Fatalf("Rebuild() = %v", err)
	}
	f := &fixture{t: t, lake: testkit.Lake{Root: o.Lake}}
	var err error
	if f.Index, err = Open(t.Context(), o); err != nil {
		t.Fatalf("Open() after Rebuild() = %v", err)
	}
	f.assertSound()
	if got, want := f.contents(), freshContents(t, f.lake); !slices.Equal(got, want) {
		t.Errorf("the rebuilt index has %d rows, a fresh one %d", len(got), len(want))
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// A damaged index either works or says what to do, and can be rebuilt.
func TestADamagedIndexIsRebuilt(t *testing.T) {
	t.Parallel()
	zero := func(from, n int) func([]byte) []byte {
		return func(b []byte) []byte { clear(b[from:min(from+n, len(b))]); return b }
	}
	for name, damage := range map[string]func([]byte) []byte{
		"the version overwritten":     zero(12, 8),
		"both headers overwritten":    zero(4096, 8192),
		"checksum of the main header": zero(0, 8),
		"the middle overwritten":      func(b []byte) []byte { return testkit.Flip(b, len(b)/2, 5000) },
		"all blocks overwritten":      func(b []byte) []byte { return zero(12288, len(b))(b) },
		"all blocks random": func(b []byte) []byte {
			for i := 12288; i < len(b); i++ {
				b[i] = byte(i * 7919 >> 3)
			}
			return b
		},
		"cut in half":        func(b []byte) []byte { return b[:len(b)/2] },
		"cut to its headers": func(b []byte) []byte { return b[:12288] },
		"cut to 5 KB":        func(b []byte) []byte { return b[:5000] },
		"cut to 100 bytes":   func(b []byte) []byte { return b[:100] },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := busyLake(t)
			o := builtIndex(t, l)
			content, err := os.ReadFile(o.Path)
			if err != nil {
				t.Fatal(err)
			}
			damaged := damage(slices.Clone(content))
			if err := os.WriteFile(o.Path, damaged, 0o644); err != nil {
				t.Fatal(err)
			}
			x, err := Open(t.Context(), o)
			if err == nil {
				// It may work, or not: it must not take the process down, and Rebuild repairs it.
				_, _ = x.Sync(t.Context(), lake.Scan(t.Context(), l.Root), SyncOptions{})
				_, _ = x.Verify(t.Context(), lake.Scan(t.Context(), l.Root), VerifyOptions{}, func(span.Difference) {})
				_ = x.Close()
			} else {
				unusable, ok := asUnusable(err)
				if !ok || !unusable.Rebuildable || !strings.Contains(unusable.Reason, "spanlake rebuild") {
					t.Fatalf("Open() = %v", err)
				}
				if after, _ := os.ReadFile(o.Path); !slices.Equal(after, damaged) {
					t.Error("Open() changed the file that it could not use")
				}
			}
			rebuild(t, o)
			if unusable, ok := asUnusable(err); ok && unusable.Err != nil && !exists(o.Path+damagedSuffix) {
				t.Error("the damaged index is not kept")
			}
		})
	}
}

// What is no index is neither opened nor replaced nor changed.
func TestWhatIsNoIndexIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, put := range map[string]func(t *testing.T, path string){
		"a text":       func(t *testing.T, path string) { writeFile(t, path, "my diary, do not lose") },
		"a short text": func(t *testing.T, path string) { writeFile(t, path, "x") },
		"a Parquet file": func(t *testing.T, path string) {
			writeFile(t, path, string(testkit.ArrowBytes(t, 5, testkit.MinimalColumns()...)))
		},
		"a DuckDB of somebody else": func(t *testing.T, path string) {
			testkit.Exec(t, "ATTACH "+testkit.Quote(path)+" AS other; CREATE TABLE other.precious AS SELECT 42 AS answer; DETACH other")
		},
		"a folder": func(t *testing.T, path string) {
			if err := os.MkdirAll(filepath.Join(path, "x"), 0o755); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := testkit.NewLake(t)
			l.Spans(t, "a.parquet", testkit.Spans(1, 5)...)
			o := testOptions(t, l, quiet)
			if err := os.MkdirAll(filepath.Dir(o.Path), 0o755); err != nil {
				t.Fatal(err)
			}
			put(t, o.Path)
			before, _ := os.ReadFile(o.Path)
			for _, readOnly := range []bool{false, true} {
				o.ReadOnly = readOnly
				_, err := Open(t.Context(), o)
				if unusable, ok := asUnusable(err); !ok || unusable.Rebuildable || !strings.Contains(err.Error(), "choose another --db") {
					t.Errorf("Open(read only: %t) = %v", readOnly, err)
				}
			}
			o.ReadOnly = false
			_, err := Rebuild(t.Context(), o, lake.Scan(t.Context(), l.Root), SyncOptions{})
			if unusable, ok := asUnusable(err); !ok || unusable.Rebuildable {
				t.Errorf("Rebuild() = %v", err)
			}
			if after, _ := os.ReadFile(o.Path); !slices.Equal(before, after) {
				t.Error("the file was changed")
			}
		})
	}
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
