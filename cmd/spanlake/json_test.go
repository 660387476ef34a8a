package main

import (
	"encoding/csv"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// The fields of the summary are a contract: exactly these, as numbers, in one object.
func TestIndexPrintsItsSummaryAsOneObject(t *testing.T) {
	fields := []string{
		"duplicates", "elapsed_ms", "files_failed", "files_found", "files_indexed", "files_removed", "files_unchanged",
		"files_unfinished", "files_withheld", "peak_rss_bytes", "rows_skipped", "spans_indexed", "spans_per_second",
	}
	c := newCommandLine(t)
	c.must("sample", "--traces", "50")
	for _, command := range []string{"index", "rebuild"} {
		printed := c.must(command, "--json")
		got := decode[map[string]json.Number](t, printed)
		if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, fields) {
			t.Errorf("%s --json has the fields %q, want %q", command, names, fields)
		}
		if strings.Count(printed, "\n") != 1 || !strings.HasSuffix(printed, "}\n") {
			t.Errorf("%s --json is not one line: %q", command, printed)
		}
	}
}

// pass indexes and returns the summary.
func (c commandLine) pass(args ...string) summaryJSON {
	c.t.Helper()
	r := c.run(append([]string{"index", "--json"}, args...)...)
	if r.err != nil {
		c.t.Fatal(r.err)
	}
	return decode[summaryJSON](c.t, r.stdout)
}

// The summary tells what became of every file and row.
func TestSummaryCountsWhatHappened(t *testing.T) {
	c := newCommandLine(t)
	counts := func(args ...string) summaryJSON {
		t.Helper()
		s := c.pass(args...)
		if s.PeakRSSBytes < 1<<20 || s.ElapsedMS < 0 || s.SpansIndexed > 0 && s.SpansPerSecond < 1 {
			t.Errorf("measured is %+v", s)
		}
		s.ElapsedMS, s.SpansPerSecond, s.PeakRSSBytes = 0, 0, 0
		return s
	}
	expect := func(what string, got, want summaryJSON) {
		t.Helper()
		if got != want {
			t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
		}
	}

	expect("an empty lake", counts(), summaryJSON{})

	c.lake.Spans(t, "a.parquet", testkit.Spans(1, 5)...)
	c.lake.Spans(t, "b.parquet", testkit.Spans(4, 4)...) // 4 and 5 again
	c.lake.Table(t, "c.parquet", testkit.SpanTable(3).With("trace_id", "CASE WHEN i > 0 THEN printf('%032x', i + 100) END"))
	c.lake.Put(t, "d.parquet", []byte("PAR1 and nothing else"))
	expect("new files", counts(), summaryJSON{FilesFound: 4, FilesIndexed: 3, FilesFailed: 1, SpansIndexed: 9, Duplicates: 2, RowsSkipped: 1})
	expect("nothing new", counts(), summaryJSON{FilesFound: 4, FilesUnchanged: 3, FilesFailed: 1})

	c.lake.Remove(t, "d.parquet")
	c.lake.Remove(t, "c.parquet")
	expect("files gone, but kept", counts("--keep-missing"), summaryJSON{FilesFound: 2, FilesUnchanged: 2})
	c.lake.Spans(t, "a.parquet", testkit.Spans(1, 3)...)
	got := counts()
	if got.FilesFound != 2 || got.FilesRemoved < 1 || got.FilesFailed != 0 {
		t.Errorf("files gone and one changed: %+v", got)
	}
	if got, want := c.services(), "svc 7"; got != want {
		t.Errorf("services = %s, want %s", got, want)
	}

	again := counts()
	if again.FilesUnchanged != again.FilesFound || again.FilesIndexed != 0 {
		t.Errorf("the second run of the same lake: %+v", again)
	}
}

// Lists are arrays, also when they are empty, and times are in the form of RFC 3339.
func TestListsAsJSON(t *testing.T) {
	c := newCommandLine(t)
	c.must("index")
	for _, command := range []string{"services", "files", "failed"} {
		if got := c.must(command, "--json"); got != "[]\n" {
			t.Errorf("%s --json of an empty index = %q, want an empty array", command, got)
		}
	}

	c = newSample(t)
	files := decode[[]span.IndexedFile](t, c.must("files", "--json"))
	if len(files) != 1 || files[0].Path != sampleFile || files[0].RowCount != 2280 || files[0].MinTime == nil {
		t.Fatalf("files --json = %+v", files)
	}
	services := decode[[]span.Service](t, c.must("services", "--json"))
	if len(services) != 10 || services[0].Name != "agent-orchestrator" || services[0].TotalSpans != 489 {
		t.Fatalf("services --json = %+v", services)
	}
	for _, at := range []time.Time{*files[0].MinTime, services[0].FirstSeen} {
		if at.Location() != time.UTC || at.Year() != 2026 {
			t.Errorf("%s is not in UTC", at)
		}
	}
}

// Every form of a result has every value of it.
func TestResultsOfQueriesInEveryForm(t *testing.T) {
	c := newSample(t)
	const query = `SELECT 'a, "b"' AS text, NULL AS nothing, 12345678901234567890::UBIGINT AS big, [1, 2] AS list -- and that is it`

	if got, want := c.must("sql", "--csv", query), lines("text,nothing,big,list", `"a, ""b""",,12345678901234567890,"[1, 2]"`); got != want {
		t.Errorf("--csv:\n%swant:\n%s", got, want)
	}
	if got, want := c.must("sql", "--json", query), `[{"text":"a, \"b\"","nothing":null,"big":12345678901234567890,"list":[1,2]}]`+"\n"; got != want {
		t.Errorf("--json:\n%swant:\n%s", got, want)
	}
	if got, want := c.must("sql", query), lines(`text      nothing  big                   list`, `a, "b"    NULL     12345678901234567890  [1, 2]`); strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("table:\n%swant:\n%s", got, want)
	}

	if got := c.must("sql", "--json", "SELECT 1 WHERE false"); got != "[]\n" {
		t.Errorf("--json without a row = %q", got)
	}
	if got := c.must("sql", "--csv", "SELECT 1 AS one WHERE false"); got != "one\n" {
		t.Errorf("--csv without a row = %q", got)
	}
	if got := c.must("sql", "SELECT 1 AS one WHERE false"); got != "one\n" {
		t.Errorf("a table without a row = %q", got)
	}
}

// A table has to fit a screen and memory: it is cut, and says so where it does not get among the data.
func TestLongResults(t *testing.T) {
	c := newSample(t)
	const query = "SELECT span_id FROM span_metadata ORDER BY span_id"
	r := c.run("sql", query)
	if got := strings.Count(r.stdout, "\n"); r.err != nil || got != 1+1000 {
		t.Errorf("the table has %d lines: %v", got, r.err)
	}
	if want := "... and 1,280 more rows: --csv or --json print all, LIMIT fewer\n"; r.stderr != want {
		t.Errorf("said is %q, want %q", r.stderr, want)
	}
	rows, err := csv.NewReader(strings.NewReader(c.must("sql", "--csv", query))).ReadAll()
	if err != nil || len(rows) != 1+2280 {
		t.Errorf("--csv has %d lines: %v", len(rows), err)
	}
	if got := decode[[]map[string]string](t, c.must("sql", "--json", query)); len(got) != 2280 {
		t.Errorf("--json has %d objects", len(got))
	}
}

// The index has the light columns; whole spans are in the files, which SQL may read.
func TestQueriesMayReadTheLake(t *testing.T) {
	c := newSample(t)
	got := c.must("sql", "--csv", "SELECT count(*) AS n, count(attributes->>'$.\"gen_ai.request.model\"') > 0 AS models FROM read_parquet('"+c.lake.Path(sampleFile)+"')")
	if want := lines("n,models", "2280,true"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
