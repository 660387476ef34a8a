package lake_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/lake"
	"github.com/spanlake/spanlake/internal/span"
)

func TestRemove(t *testing.T) {
	t.Parallel()
	const name = "year=2026/month=11/day=01/a.parquet"
	for _, tc := range []struct {
		what string
		// before changes the lake after the file was listed.
		before func(t *testing.T, root string)
		// there and folder say what is left.
		there, folder bool
	}{
		{"the last file of a folder takes the folder with it", func(*testing.T, string) {}, false, false},
		{"a folder with another file stays", func(t *testing.T, root string) {
			write(t, filepath.Join(root, "year=2026/month=11/day=01/b.parquet"), "b")
		}, false, true},
		{"a file that has changed stays", func(t *testing.T, root string) { write(t, filepath.Join(root, name), "longer") }, true, true},
		{"a file of another time stays", func(t *testing.T, root string) {
			if err := os.Chtimes(filepath.Join(root, name), time.Time{}, time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
		}, true, true},
		{"a file that is gone is no error", func(t *testing.T, root string) {
			if err := os.Remove(filepath.Join(root, name)); err != nil {
				t.Fatal(err)
			}
		}, false, true},
	} {
		t.Run(tc.what, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			path := filepath.Join(root, name)
			write(t, path, "a")
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			tc.before(t, root)
			if err := lake.Remove(root, span.File{Path: name, Size: info.Size(), ModTime: info.ModTime()}); err != nil {
				t.Fatal(err)
			}
			if got := there(path); got != tc.there {
				t.Errorf("the file is there: %v, want %v", got, tc.there)
			}
			if got := there(filepath.Dir(path)); got != tc.folder {
				t.Errorf("the folder is there: %v, want %v", got, tc.folder)
			}
		})
	}
}

// A folder that was swapped for a link must not make us delete what lies elsewhere.
func TestRemoveDoesNotFollowLinksOutOfTheLake(t *testing.T) {
	t.Parallel()
	root, outside := t.TempDir(), t.TempDir()
	path := filepath.Join(outside, "a.parquet")
	write(t, path, "a")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(root, "day=01")); err != nil {
		t.Fatal(err)
	}
	if err := lake.Remove(root, span.File{Path: "day=01/a.parquet", Size: info.Size(), ModTime: info.ModTime()}); err == nil {
		t.Error("Remove() = nil, want an error")
	}
	if !there(path) {
		t.Error("a file outside of the lake was deleted")
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func there(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
