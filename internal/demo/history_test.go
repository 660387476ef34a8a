package demo

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/lake"
)

func TestHistory(t *testing.T) {
	root := t.TempDir()
	h, err := NewHistory(root, 2, testNow)
	if err != nil {
		t.Fatal(err)
	}
	if begun := len(h.begins); begun < 3000 || begun > 20_000 || h.begins[0].After(testNow.Add(-23*time.Hour)) {
		t.Errorf("%d traces from %s", begun, h.begins[0])
	}
	began := time.Now()
	if more, err := h.Next(); err != nil || !more {
		t.Fatalf("the first file: %v, %v", more, err)
	}
	t.Logf("the first file took %s", time.Since(began))
	for _, s := range h.Running() {
		if s.StartTime.Before(testNow.Add(-10 * time.Minute)) {
			t.Errorf("%s runs since %s", s.Name, s.StartTime)
		}
	}
	if err := h.Rest(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("all took %s", time.Since(began))
	files, bytes := 0, int64(0)
	for file, err := range lake.Scan(t.Context(), root) {
		if err != nil {
			t.Fatal(err)
		}
		files++
		bytes += file.Size
	}
	if files < 5 {
		t.Errorf("%d files", files)
	}
	t.Logf("%d files, %d bytes", files, bytes)
}

func TestMoods(t *testing.T) {
	usual := moodAt(-23 * time.Hour)
	if in := moodAt(firstIncident + time.Second); in == usual {
		t.Error("nothing goes wrong when it should")
	}
	if after := moodAt(firstIncident + liveIncident + time.Second); after != usual {
		t.Errorf("it does not end: %+v", after)
	}
	if night, noon := rate(testNow.Add(14*time.Hour), testNow), rate(testNow, testNow); night >= noon {
		t.Errorf("%f a second at night, %f at noon", night, noon)
	}
}

func TestFoldersOfDeadDemos(t *testing.T) {
	parent := t.TempDir()
	running, err := MakeFolder(parent, false)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := MakeFolder(parent, true)
	if err != nil {
		t.Fatal(err)
	}
	dead, err := MakeFolder(parent, false)
	if err != nil {
		t.Fatal(err)
	}
	write := func(folder, name, text string) {
		t.Helper()
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(dead.Path, "spans", "year=2026"), "a.parquet", "data")
	if err := dead.mark.Close(); err != nil { // as the end of a process does
		t.Fatal(err)
	}
	none, other, foreign := filepath.Join(parent, folderPrefix+"1"), filepath.Join(parent, folderPrefix+"2"), filepath.Join(parent, "photos")
	write(none, "notes.txt", "mine")
	write(other, markName, "another text")
	write(foreign, markName, markText)
	link := filepath.Join(parent, folderPrefix+"3")
	if err := os.Symlink(foreign, link); err != nil {
		t.Fatal(err)
	}

	removed := RemoveLeftovers(parent)
	if len(removed) != 1 || removed[0] != dead.Path {
		t.Errorf("removed %v, want %s", removed, dead.Path)
	}
	if _, err := os.Lstat(dead.Path); !os.IsNotExist(err) {
		t.Errorf("%s: %v", dead.Path, err)
	}
	for _, path := range []string{running.Path, kept.Path, none, other, foreign, link} {
		if _, err := os.Lstat(path); err != nil {
			t.Error(err)
		}
	}
	if err := running.Close(); err != nil {
		t.Error(err)
	}
	if err := kept.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(running.Path); !os.IsNotExist(err) {
		t.Errorf("%s: %v", running.Path, err)
	}
	if _, err := os.Stat(kept.Path); err != nil {
		t.Error(err)
	}
}
