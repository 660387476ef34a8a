package lake

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// What every test here writes goes by these names.
const (
	testDay  = "year=1970/month=01/day=01"
	testFile = testDay + "/svc_0_00000001.parquet"
	testTemp = testDay + "/.svc_0_00000001.parquet.tmp"
)

func TestAFileIsSeenOnlyWhenItIsWhole(t *testing.T) {
	root := t.TempDir()
	var seen [][]string
	parts := func(yield func([]span.Span, error) bool) {
		for part := range slices.Chunk(makeSpans(20, 5), 50) {
			if !yield(part, nil) {
				return
			}
			seen = append(seen, filesIn(t, root))
		}
	}
	got, err := newWriter(t, root).WriteSorted(testFile, parts)
	if err != nil || got.Path != testFile {
		t.Fatalf("WriteSorted() = %+v, %v", got, err)
	}
	for _, files := range seen {
		if !slices.Equal(files, []string{testTemp}) {
			t.Errorf("while it was written the lake held %v", files)
		}
	}
	if files := filesIn(t, root); len(seen) != 2 || !slices.Equal(files, []string{testFile}) {
		t.Errorf("then it held %v", files)
	}
}

func TestTheFolderOfTheLakeIsMadeWithItsParents(t *testing.T) {
	root := filepath.Join(t.TempDir(), "var", "lib", "spans")
	writer := newWriter(t, root)
	for range 2 {
		if _, err := writer.Write(testFile, makeSpans(1, 1)); err != nil {
			t.Fatal(err)
		}
		if files := filesIn(t, root); !slices.Equal(files, []string{testFile}) {
			t.Errorf("the lake holds %v", files)
		}
		// Somebody may clear the lake while its writer lives on.
		if err := os.RemoveAll(root); err != nil {
			t.Fatal(err)
		}
	}
}

// A file may be in the root itself, whether or not that is there already.
func TestAFileInTheRoot(t *testing.T) {
	for _, root := range []string{t.TempDir(), filepath.Join(t.TempDir(), "new", "lake")} {
		if _, err := newWriter(t, root).Write("a.parquet", makeSpans(1, 1)); err != nil {
			t.Fatal(err)
		}
		if files := filesIn(t, root); !slices.Equal(files, []string{"a.parquet"}) {
			t.Errorf("the lake holds %v", files)
		}
	}
}

func TestAFileIsNeverOverwritten(t *testing.T) {
	for name, existing := range map[string]string{
		"a published file":                        testFile,
		"what a crash or another writer has open": testTemp,
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			put(t, root, existing, "somebody else's bytes")
			writer := newWriter(t, root)
			_, err := writer.Write(testFile, makeSpans(1, 1))
			if !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), filepath.Base(existing)) {
				t.Errorf("Write() = %v, want fs.ErrExist with the name", err)
			}
			if files := filesIn(t, root); !slices.Equal(files, []string{existing}) {
				t.Errorf("the lake holds %v", files)
			}
			if content, err := os.ReadFile(filepath.Join(root, existing)); err != nil || string(content) != "somebody else's bytes" {
				t.Errorf("its content is now %q, %v", content, err)
			}

			// With another suffix the same spans go in at once.
			if got, err := writer.Write(Path("svc", time.Unix(0, 0), 2), makeSpans(1, 1)); err != nil || got.Rows != 1 {
				t.Errorf("with another suffix: Write() = %+v, %v", got, err)
			}
		})
	}
}

func TestOfManyWritersOneGetsTheName(t *testing.T) {
	root := t.TempDir()
	var (
		writers   sync.WaitGroup
		mu        sync.Mutex
		published int
	)
	for range 8 {
		writer := newWriter(t, root)
		writers.Go(func() {
			_, err := writer.Write(testFile, makeSpans(10, 10))
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				published++
			} else if !errors.Is(err, fs.ErrExist) {
				t.Errorf("Write() = %v", err)
			}
		})
	}
	writers.Wait()
	if files := filesIn(t, root); published != 1 || !slices.Equal(files, []string{testFile}) {
		t.Errorf("%d writers published, the lake holds %v", published, files)
	}
	if got := len(testkit.ReadSpans(t, filepath.Join(root, testFile))); got != 100 {
		t.Errorf("the file has %d spans", got)
	}
}

func TestAWriteThatFailsLeavesNothing(t *testing.T) {
	t.Run("a file is where a folder should be", func(t *testing.T) {
		root := t.TempDir()
		put(t, root, "year=1970", "")
		if _, err := newWriter(t, root).Write(testFile, makeSpans(1, 1)); err == nil {
			t.Error("Write() succeeded")
		}
		if files := filesIn(t, root); !slices.Equal(files, []string{"year=1970"}) {
			t.Errorf("the lake holds %v", files)
		}
	})
	t.Run("a folder that may not be written", func(t *testing.T) {
		root := t.TempDir()
		if err := os.Chmod(root, 0o555); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(root, 0o755) })
		if os.WriteFile(filepath.Join(root, "probe"), nil, 0o644) == nil {
			t.Skip("this user may write anywhere")
		}
		if _, err := newWriter(t, root).Write(testFile, makeSpans(1, 1)); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("Write() = %v, want fs.ErrPermission", err)
		}
	})
	t.Run("the source of spans panics", func(t *testing.T) {
		root := t.TempDir()
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
			if files := filesIn(t, root); len(files) > 0 {
				t.Errorf("the lake holds %v", files)
			}
		}()
		_, _ = newWriter(t, root).WriteSorted(testFile, func(func([]span.Span, error) bool) { panic("a bug") })
	})
}

// put makes a file with its folders.
func put(t *testing.T, root, path, content string) {
	t.Helper()
	path = filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// filesIn lists all files of a lake, hidden ones too, relative and with '/'.
func filesIn(t *testing.T, root string) (files []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
