package index

import (
	"os"
	"strings"
	"testing"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// Each way in which an index can differ from its lake, or from itself, is found.
func TestVerifyFinds(t *testing.T) {
	t.Parallel()
	statement := func(sql string) func(*fixture) { return func(f *fixture) { f.exec(sql) } }
	for name, tc := range map[string]struct {
		tamper func(*fixture)
		// check and subject are what at least one of the differences names.
		check, subject string
	}{
		"a new file":               {func(f *fixture) { f.lake.Spans(f.t, "new.parquet", testkit.Span(9, 9)) }, "lake", "new.parquet"},
		"a removed file":           {func(f *fixture) { f.lake.Remove(f.t, "a.parquet") }, "lake", "a.parquet"},
		"a changed file":           {func(f *fixture) { f.lake.Spans(f.t, "a.parquet", testkit.Span(9, 9)) }, "lake", "a.parquet"},
		"a touched file":           {func(f *fixture) { testkit.Touch(f.t, f.lake.Path("a.parquet")) }, "lake", "a.parquet"},
		"a file to redo":           {statement("UPDATE parquet_files SET mtime = NULL WHERE file_path = 'a.parquet'"), "lake", "a.parquet"},
		"another size":             {statement("UPDATE parquet_files SET size_bytes = 1 WHERE file_path = 'a.parquet'"), "lake", "a.parquet"},
		"a failure to try":         {statement("UPDATE failed_parquet_files SET file_mtime = NULL"), "lake", "bad.parquet"},
		"a lake that is not there": {func(f *fixture) { f.lake.Remove(f.t, ".") }, "lake", "."},
		"content that went bad behind our back": {func(f *fixture) { overwrite(f, "a.parquet", func(b []byte) []byte { clear(b[len(b)-100:]); return b }) },
			"footer", "a.parquet"},
		"another number of rows":               {statement("UPDATE parquet_files SET row_count = row_count + 1 WHERE file_path = 'a.parquet'"), "footer", "a.parquet"},
		"a failure of a file that is gone":     {func(f *fixture) { f.lake.Remove(f.t, "bad.parquet") }, "failed", "bad.parquet"},
		"a failure of a file that is indexed":  {statement("UPDATE failed_parquet_files SET file_path = 'a.parquet'"), "failed", "a.parquet"},
		"a file number twice":                  {statement("UPDATE parquet_files SET file_id = 1"), "registry", ""},
		"another earliest time":                {statement("UPDATE parquet_files SET min_time = min_time - INTERVAL 1 SECOND WHERE file_path = 'a.parquet'"), "registry", "a.parquet"},
		"another latest time":                  {statement("UPDATE parquet_files SET max_time = NULL WHERE file_path = 'a.parquet'"), "registry", "a.parquet"},
		"another service of a file":            {statement("UPDATE parquet_files SET service_name = 'other' WHERE file_path = 'a.parquet'"), "registry", "a.parquet"},
		"a lost span":                          {statement("DELETE FROM span_metadata WHERE trace_id LIKE '%1'"), "rows", "a.parquet"},
		"all spans lost":                       {statement("DELETE FROM span_metadata"), "rows", "b.parquet"},
		"a lost root":                          {statement("DELETE FROM root_spans WHERE trace_id LIKE '%1'"), "roots", "a.parquet"},
		"a root that is none":                  {statement("INSERT INTO root_spans SELECT * REPLACE (99 AS file_id) FROM root_spans LIMIT 1"), "roots", "unregistered file"},
		"another root":                         {statement("UPDATE root_spans SET name = 'other' WHERE trace_id LIKE '%1'"), "roots", "a.parquet"},
		"a span of no file":                    {statement("INSERT INTO span_metadata SELECT * REPLACE (99 AS file_id, 'x' AS trace_id) FROM span_metadata LIMIT 1"), "rows", "file_id 99"},
		"another count of repeats":             {statement("UPDATE parquet_files SET duplicate_count = 5 WHERE file_path = 'a.parquet'"), "rows", "a.parquet"},
		"another count of rows left out":       {statement("UPDATE parquet_files SET skipped_count = 5 WHERE file_path = 'a.parquet'"), "rows", "a.parquet"},
		"a span twice":                         {statement("INSERT INTO span_metadata SELECT * FROM span_metadata WHERE trace_id LIKE '%1'"), "uniqueness", "trace " + testkit.TraceID(1)},
		"a span twice without an end":          {statement("INSERT INTO span_metadata SELECT * FROM span_metadata WHERE end_time IS NULL"), "uniqueness", "trace " + testkit.TraceID(4)},
		"a span twice in two files":            {statement("INSERT INTO span_metadata SELECT * REPLACE (2 AS file_id) FROM span_metadata WHERE trace_id LIKE '%1'"), "uniqueness", "trace " + testkit.TraceID(1)},
		"a span that moved to another service": {statement("UPDATE span_metadata SET service_name = 'other' WHERE trace_id LIKE '%1'"), "file_services", "a.parquet, other"},
		"a lost service of a file":             {statement("DELETE FROM file_services WHERE file_id = 1"), "file_services", "a.parquet, svc"},
		"another count of a service of a file": {statement("UPDATE file_services SET span_count = 0"), "file_services", "a.parquet, svc"},
		"another time of a service of a file":  {statement("UPDATE file_services SET max_time = max_time + INTERVAL 1 SECOND"), "file_services", "b.parquet, svc"},
		"another count of roots":               {statement("UPDATE file_services SET root_count = root_count - 1 WHERE file_id = 1"), "file_services", "a.parquet, svc"},
		"another count of errors":              {statement("UPDATE file_services SET error_count = 7 WHERE file_id = 1"), "file_services", "a.parquet, svc"},
		"a service of no file":                 {statement("INSERT INTO file_services VALUES (99, 'ghost', 1, now(), now(), 0, 0)"), "file_services", "unregistered file, ghost"},
		"another total of a service":           {statement("UPDATE services SET total_spans = total_spans + 1"), "services", "svc"},
		"another first time of a service":      {statement("UPDATE services SET first_seen = '1999-01-01'"), "services", "svc"},
		"another last time of a service":       {statement("UPDATE services SET last_seen = '1999-01-01'"), "services", "svc"},
		"a lost service":                       {statement("DELETE FROM services"), "services", "svc"},
		"a service without spans":              {statement("INSERT INTO services VALUES ('ghost', now(), now(), 3)"), "services", "ghost"},
		"a lost bucket of durations":           {statement("DELETE FROM daily_durations_tail WHERE bucket > 0"), "daily", "svc on 2026-11-23"},
		"another count of a bucket":            {statement("UPDATE daily_durations_tail SET span_count = span_count + 1"), "daily", "svc on 2026-11-23"},
		"another count of errors of a bucket":  {statement("UPDATE daily_durations_tail SET error_count = 1"), "daily", "svc on 2026-11-23"},
		"another sum of durations":             {statement("UPDATE daily_durations_tail SET duration_sum = duration_sum + 1"), "daily", "svc on 2026-11-23"},
		"durations in another bucket":          {statement("UPDATE daily_durations_tail SET bucket = 7"), "daily", "svc on 2026-11-23"},
		"durations without a bucket":           {statement("UPDATE daily_durations_tail SET bucket = NULL"), "daily", "svc on 2026-11-23"},
		"durations on another day":             {statement("UPDATE daily_durations_tail SET day = DATE '0044-03-15 (BC)'"), "daily", "svc on 0044-03-15 (BC)"},
		"durations twice":                      {statement("INSERT INTO daily_durations FROM daily_durations_tail"), "daily", "svc on 2026-11-23"},
		"durations of a service without spans": {statement("INSERT INTO daily_durations VALUES ('ghost', '5000-01-01', 0, 1, 0, 0)"), "daily", "ghost on 5000-01-01"},
		"a trace that cannot be looked up":     {statement("DELETE FROM trace_lookup_tail WHERE trace_id::VARCHAR LIKE '%1'"), "lookup", "trace " + testkit.TraceID(1)},
		"a trace that is no more":              {statement("INSERT INTO trace_lookup VALUES ('00000000-0000-0000-0000-0000000000ff', 1)"), "lookup", "trace " + testkit.TraceID(255)},
		"a look-up into another file":          {statement("UPDATE trace_lookup_tail SET file_id = 3 - file_id"), "lookup", "trace " + testkit.TraceID(1)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.partSpans = 1 // each file is a part
			f.lake.Spans(t, "a.parquet", testkit.Span(1, 1), testkit.Span(2, 2))
			f.lake.Spans(t, "b.parquet", testkit.Span(3, 3), testkit.Span(4, 4, noEnd))
			f.lake.Put(t, "bad.parquet", []byte("no Parquet"))
			f.sync()
			tc.tamper(f)
			found := f.differences()
			for _, d := range found {
				if d.Problem == "" {
					t.Errorf("a difference without a problem: %+v", d)
				}
				if d.Check == tc.check && strings.HasPrefix(d.Subject, tc.subject) {
					return
				}
			}
			t.Errorf("Verify() = %+v, want one of %s for %s", found, tc.check, tc.subject)
		})
	}
}

// overwrite changes a file of the lake but not its size and time.
func overwrite(f *fixture, rel string, change func([]byte) []byte) {
	f.t.Helper()
	path := f.lake.Path(rel)
	info, err := os.Stat(path)
	if err != nil {
		f.t.Fatal(err)
	}
	f.lake.Put(f.t, rel, change(f.lake.Read(f.t, rel)))
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		f.t.Fatal(err)
	}
}

// Verify changes nothing: not even what it finds to be wrong.
func TestVerifyChangesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.lake.Spans(t, "a.parquet", testkit.Spans(1, 5)...)
	f.sync()
	f.exec("DELETE FROM services")
	f.lake.Spans(t, "b.parquet", testkit.Spans(6, 5)...)
	before := f.contents()
	first := f.differences()
	if second := f.differences(); len(second) != len(first) {
		t.Errorf("Verify() = %+v, then %+v", first, second)
	}
	if after := f.contents(); strings.Join(before, "\n") != strings.Join(after, "\n") {
		t.Errorf("the index was %q, is %q", before, after)
	}
	// The next pass puts it right.
	f.sync()
}

func TestVerifyOfAnIndexThatMayOnlyBeRead(t *testing.T) {
	t.Parallel()
	l := testkit.NewLake(t)
	l.Spans(t, "a.parquet", testkit.Spans(1, 5)...)
	o := testOptions(t, l, quiet)
	x, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.Sync(t.Context(), (&fixture{t: t, lake: l}).scan(), SyncOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	o.ReadOnly = true
	if x, err = Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	f := &fixture{Index: x, t: t, lake: l}
	f.assertSound()
	if _, err := f.Sync(t.Context(), listing(span.File{Path: "b.parquet"}), SyncOptions{}); err == nil {
		t.Error("Sync() wrote into an index that may only be read")
	}
	if err := x.Close(); err != nil {
		t.Error(err)
	}
}
