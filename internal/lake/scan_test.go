package lake

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// scanned is what a scan lists, and the places that it could not read.
func scanned(t *testing.T, root string) (paths []string, unread []*span.ScanError) {
	t.Helper()
	for file, err := range Scan(t.Context(), root) {
		var place *span.ScanError
		switch {
		case errors.As(err, &place):
			unread = append(unread, place)
		case err != nil:
			t.Fatal(err)
		default:
			paths = append(paths, file.Path)
		}
	}
	return paths, unread
}

// expectScan is for lakes that can be read throughout.
func expectScan(t *testing.T, root string, want ...string) {
	t.Helper()
	got, unread := scanned(t, root)
	if !slices.Equal(got, want) || len(unread) > 0 {
		t.Errorf("Scan() = %q, %v; want %q", got, unread, want)
	}
}

func symlink(t *testing.T, target, link string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
}

func TestScanTellsPathSizeAndTime(t *testing.T) {
	root := t.TempDir()
	put(t, root, testFile, "12345")
	at := time.Date(2026, 11, 23, 12, 0, 0, 123_456_000, time.UTC)
	if err := os.Chtimes(filepath.Join(root, testFile), at, at); err != nil {
		t.Fatal(err)
	}
	for file, err := range Scan(t.Context(), root) {
		if err != nil || file.Path != testFile || file.Size != 5 || !file.ModTime.Equal(at) {
			t.Errorf("Scan() = %+v, %v", file, err)
		}
	}
}

func TestScanTakesParquetFilesOnly(t *testing.T) {
	root := t.TempDir()
	for _, path := range []string{
		"a.parquet", "b/c/d/e/f/g.parquet", "b.parquet/x.parquet", "tmp.parquet", "tmpx/a.parquet", "a.tmp/a.parquet", "é 東京.parquet", "a.b.parquet",
		"tmp/a.parquet", "x/tmp/y/a.parquet", ".hidden.parquet", "_hidden.parquet", ".git/a.parquet", "x/_temporary/a.parquet", ".parquet", "_.parquet",
		"a.PARQUET", "a.parquet.tmp", "a.parquet~", "parquet", "a.txt", "a.parquet ", "aparquet", ".a.parquet.tmp",
	} {
		put(t, root, path, "x")
	}
	if err := os.MkdirAll(filepath.Join(root, "folder.parquet", "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	expectScan(t, root, "a.b.parquet", "a.parquet", "a.tmp/a.parquet", "b/c/d/e/f/g.parquet", "b.parquet/x.parquet", "tmp.parquet", "tmpx/a.parquet", "é 東京.parquet")
}

// Nothing may have been flushed yet.
func TestScanOfALakeThatIsNotThere(t *testing.T) {
	paths, unread := scanned(t, filepath.Join(t.TempDir(), "none"))
	if len(paths) > 0 || len(unread) != 1 || unread[0].Path != "." || !errors.Is(unread[0], fs.ErrNotExist) {
		t.Errorf("Scan() = %q, %v", paths, unread)
	}
}

func TestScanOfAnEmptyLake(t *testing.T) { expectScan(t, t.TempDir()) }

func TestScanOfALakeThatIsAFile(t *testing.T) {
	root := t.TempDir()
	put(t, root, "file", "x")
	n := 0
	for _, err := range Scan(t.Context(), filepath.Join(root, "file")) {
		n++
		if !errors.Is(err, ErrNotFolder) || !strings.Contains(err.Error(), "file") {
			t.Errorf("Scan() = %v, want ErrNotFolder", err)
		}
	}
	if n != 1 {
		t.Errorf("Scan() yielded %d times", n)
	}
}

func TestTheLakeItselfMayBeALink(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "real/day=1/a.parquet", "x")
	symlink(t, filepath.Join(dir, "real"), filepath.Join(dir, "link"))
	expectScan(t, filepath.Join(dir, "link"), "day=1/a.parquet")
	symlink(t, filepath.Join(dir, "gone"), filepath.Join(dir, "dangling"))
	if _, unread := scanned(t, filepath.Join(dir, "dangling")); len(unread) != 1 || !errors.Is(unread[0], fs.ErrNotExist) {
		t.Errorf("Scan() of a dangling link = %v", unread)
	}
}

func TestScanDoesNotFollowLinks(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "lake")
	put(t, dir, "outside/secret.parquet", "x")
	put(t, root, "day=1/a.parquet", "x")
	for link, target := range map[string]string{
		"out.parquet": "../outside/secret.parquet", "out": "../outside", "absolute": filepath.Join(dir, "outside"),
		"in.parquet": "day=1/a.parquet", "in": "day=1", "day=1/loop": "..", "day=1/self": ".", "ring.parquet": "ring.parquet",
		"dangling.parquet": "nothing", "root": "/",
	} {
		symlink(t, target, filepath.Join(root, link))
	}
	expectScan(t, root, "day=1/a.parquet")
}

func TestScanLeavesOutWhatIsNoFile(t *testing.T) {
	root := t.TempDir()
	put(t, root, "a.parquet", "x")
	mkfifo(t, filepath.Join(root, "pipe.parquet"))
	expectScan(t, root, "a.parquet")
}

// What lies in a place that cannot be read is unknown; the rest goes on.
func TestScanReportsWhatItCannotReadAndGoesOn(t *testing.T) {
	t.Run("a file name that is not UTF-8", func(t *testing.T) {
		root := t.TempDir()
		for _, path := range []string{"a.parquet", "b/\xffx.parquet", "c.parquet"} {
			put(t, root, path, "x")
		}
		paths, unread := scanned(t, root)
		if !slices.Equal(paths, []string{"a.parquet", "c.parquet"}) || len(unread) != 1 || unread[0].Path != "b/\uFFFDx.parquet" {
			t.Errorf("Scan() = %q, %v", paths, unread)
		}
	})
	t.Run("a folder name that is not UTF-8", func(t *testing.T) {
		root := t.TempDir()
		for _, path := range []string{"a.parquet", "b\xff/x.parquet", "c.parquet"} {
			put(t, root, path, "x")
		}
		paths, unread := scanned(t, root)
		if !slices.Equal(paths, []string{"a.parquet", "c.parquet"}) || len(unread) != 1 || unread[0].Path == "" {
			t.Errorf("Scan() = %q, %v", paths, unread)
		}
		for _, place := range unread {
			if strings.ToValidUTF8(place.Path, "") != place.Path {
				t.Errorf("the place is called %q, which is not UTF-8", place.Path)
			}
		}
	})
	t.Run("a folder that may not be read", func(t *testing.T) {
		root := t.TempDir()
		put(t, root, "a.parquet", "x")
		put(t, root, "secret/b.parquet", "x")
		secret := filepath.Join(root, "secret")
		if err := os.Chmod(secret, 0); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(secret, 0o755) })
		if _, err := os.ReadDir(secret); err == nil {
			t.Skip("this user may read everything")
		}
		paths, unread := scanned(t, root)
		if !slices.Equal(paths, []string{"a.parquet"}) || len(unread) != 1 || unread[0].Path != "secret" || !errors.Is(unread[0], fs.ErrPermission) {
			t.Errorf("Scan() = %q, %v", paths, unread)
		}
	})
}

// The lake changes while it is walked.
func TestScanOfALakeThatChanges(t *testing.T) {
	change := func(t *testing.T, what func(root string)) []string {
		t.Helper()
		root := t.TempDir()
		for _, path := range []string{"a/1.parquet", "b/1.parquet", "b/2.parquet", "c/1.parquet"} {
			put(t, root, path, "x")
		}
		var paths []string
		for file, err := range Scan(t.Context(), root) {
			if err != nil {
				t.Fatalf("Scan() = %v", err)
			}
			if file.Path == "a/1.parquet" {
				what(root)
			}
			paths = append(paths, file.Path)
		}
		return paths
	}
	remove := func(t *testing.T, path string) {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("a file vanishes", func(t *testing.T) {
		if got := change(t, func(root string) { remove(t, filepath.Join(root, "b/1.parquet")) }); !slices.Equal(got, []string{"a/1.parquet", "b/2.parquet", "c/1.parquet"}) {
			t.Errorf("Scan() = %q", got)
		}
	})
	t.Run("a folder vanishes", func(t *testing.T) {
		if got := change(t, func(root string) { remove(t, filepath.Join(root, "b")) }); !slices.Equal(got, []string{"a/1.parquet", "c/1.parquet"}) {
			t.Errorf("Scan() = %q", got)
		}
	})
	t.Run("a folder becomes a file", func(t *testing.T) {
		root := t.TempDir()
		for _, path := range []string{"a/1.parquet", "b/1.parquet", "c/1.parquet"} {
			put(t, root, path, "x")
		}
		var paths []string
		for file, err := range Scan(t.Context(), root) {
			if err != nil {
				continue // b cannot be read as a folder
			}
			if file.Path == "a/1.parquet" {
				remove(t, filepath.Join(root, "b"))
				put(t, root, "b", "x")
			}
			paths = append(paths, file.Path)
		}
		if !slices.Equal(paths, []string{"a/1.parquet", "c/1.parquet"}) {
			t.Errorf("Scan() = %q", paths)
		}
	})
	t.Run("a folder becomes a link out of the lake", func(t *testing.T) {
		outside := t.TempDir()
		put(t, outside, "secret.parquet", "x")
		root := t.TempDir()
		for _, path := range []string{"a/1.parquet", "b/1.parquet", "c/1.parquet"} {
			put(t, root, path, "x")
		}
		for file, err := range Scan(t.Context(), root) {
			if err == nil && file.Path == "a/1.parquet" {
				remove(t, filepath.Join(root, "b"))
				symlink(t, outside, filepath.Join(root, "b"))
			}
			if strings.Contains(file.Path, "secret") {
				t.Errorf("Scan() left the lake: %s", file.Path)
			}
		}
	})
}

func TestScanStopsWhenTheCallerDoes(t *testing.T) {
	root := t.TempDir()
	for i := range 10 {
		put(t, root, fmt.Sprintf("d%d/a.parquet", i), "x")
	}
	n := 0
	for _, err := range Scan(t.Context(), root) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 3 {
			break
		}
	}
	if n != 3 {
		t.Errorf("it yielded %d times", n)
	}
}

func TestScanEndsWithItsContext(t *testing.T) {
	root := t.TempDir()
	for i := range 10 {
		put(t, root, fmt.Sprintf("d%d/a.parquet", i), "x")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var listed int
	var last error
	for _, err := range Scan(ctx, root) {
		if listed++; listed == 3 {
			cancel()
		}
		last = err
	}
	if listed != 4 || !errors.Is(last, context.Canceled) {
		t.Errorf("it listed %d and ended with %v", listed, last)
	}
	for _, err := range Scan(ctx, root) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("after the end: %v", err)
		}
	}
}

func TestScanOfADeepLake(t *testing.T) {
	root := t.TempDir()
	deep := strings.Repeat("d/", 200) + "a.parquet"
	put(t, root, deep, "x")
	expectScan(t, root, deep)
}
