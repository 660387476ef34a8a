package wal

import (
	"os"
	"path/filepath"
	"testing"
)

// Whoever looks counts what the log itself does, while it is open, after it was closed, and when the process that had it was killed.
func TestUnflushedCountsWhatTheLogDoes(t *testing.T) {
	f := newFixture(t)
	look := func(what string, want int64) {
		t.Helper()
		got, err := Unflushed(t.Context(), f.path)
		if err != nil || got != want || got != f.stats().Spans {
			t.Errorf("%s: %d, %v; want %d, the log says %d", what, got, err, want, f.stats().Spans)
		}
	}
	look("empty", 0)
	f.append(1, 10, 100)
	look("ten requests", 55)
	first := f.begin(6, manyBytes)
	look("three in a flush", 55)
	second := f.begin(4, manyBytes)
	f.publish(first, "a.parquet")
	look("published", 55-6)
	f.publish(second, "b.parquet")
	look("all flushes published", 55-6-4)

	// As a killed process leaves it: the journal is there, and nobody has checkpointed.
	killed := filepath.Join(t.TempDir(), "wal.db")
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(f.path + suffix)
		f.must(err)
		if suffix == "-wal" && len(content) == 0 {
			t.Fatal("there is no journal, so nothing is shown by reading it")
		}
		f.must(os.WriteFile(killed+suffix, content, 0o644))
	}
	if got, err := Unflushed(t.Context(), killed); err != nil || got != 45 {
		t.Errorf("of a log that was left: %d, %v, want 45", got, err)
	}
	journal, err := os.Stat(killed + "-wal")
	if err != nil || journal.Size() == 0 {
		t.Errorf("looking has changed the journal: %v", err)
	}
}

func TestUnflushedOfNoLog(t *testing.T) {
	path := testPath(t)
	if got, err := Unflushed(t.Context(), path); got != 0 || err != nil {
		t.Errorf("of nothing: %d, %v", got, err)
	}
	if _, err := os.Stat(filepath.Dir(path)); err == nil {
		t.Error("looking has made something")
	}
	text := filepath.Join(t.TempDir(), "text.db")
	if err := os.WriteFile(text, []byte("this is a text, and longer than the header of a database: at least a hundred bytes, so that SQLite reads it"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Unflushed(t.Context(), text); err == nil {
		t.Error("a text counts as a log")
	}
}
