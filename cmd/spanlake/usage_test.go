package main

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/duckdb/duckdb-go/v2" // makes databases that are no index

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// Wrong use ends with exit code 2, before anything is touched, and the message says what would be right.
func TestWrongUse(t *testing.T) {
	for _, test := range []struct {
		command string
		says    []string
	}{
		{"indx", []string{`unknown command "indx"`, "did you mean index?", "spanlake --help"}},
		{"nothing-like-it", []string{`unknown command "nothing-like-it"`, "spanlake --help"}},
		{"bench indx", []string{`unknown command "indx"`, "did you mean index?", "spanlake bench --help"}},
		{"--nope", []string{"unknown flag: --nope", "spanlake --help"}},
		{"index --nope", []string{"unknown flag: --nope", "spanlake index --help"}},
		{"index ./spans", []string{`"./spans"`, "spanlake index --help"}},
		{"services extra", []string{`"extra"`, "spanlake services --help"}},
		{"bench index extra", []string{`"extra"`, "spanlake bench index --help"}},
		{"sql", []string{"give one query, in quotes, not 0 arguments", "spanlake sql --help"}},
		{"sql SELECT 1", []string{"give one query, in quotes, not 2 arguments", "spanlake sql --help"}},
		{"sql --csv --json x", []string{"[csv json]", "spanlake sql --help"}},
		{"index --lake", []string{"flag needs an argument: --lake", "spanlake index --help"}},
		{"retry", []string{"the path of one failed file, or --all", "spanlake retry --help"}},
		{"retry --all x", []string{"the path of one failed file, or --all", "spanlake retry --help"}},
		{"retry x y", []string{"accepts at most 1 arg(s), received 2", "spanlake retry --help"}},
		{"sample --traces 0", []string{"--traces", `"0"`, "from 1 to 100m"}},
		{"sample --spans 101m", []string{"--spans", `"101m"`, "from 1 to 100m"}},
		{"sample --spans 1.5k", []string{"--spans", `"1.5k"`, "from 1 to 100m"}},
		{"sample --spans 5 --traces 5", []string{"[traces spans]", "spanlake sample --help"}},
		{"sample --end yesterday", []string{"--end", `"yesterday"`, "2026-11-01T00:00:00Z"}},
		{"sample --seed -1", []string{"--seed", `"-1"`}},
		{"demo extra", []string{`"extra"`, "spanlake demo --help"}},
		{"demo --lake ./spans", []string{"leave --lake out", "spanlake demo --help"}},
		{"demo --server http://127.0.0.1:1323", []string{"leave --server out"}},
		{"demo --duration -1s", []string{"--duration -1s", "such as 10s"}},
		{"demo --duration x", []string{"--duration", "spanlake demo --help"}},
		{"bench index --spans none", []string{"--spans", `"none"`}},
		{"traces extra", []string{`"extra"`, "spanlake traces --help"}},
		{"traces --since yesterday", []string{"--since", `"yesterday"`, "15m, 1h or 7d"}},
		{"traces --since 1h --from 2026-11-01", []string{"[from since]", "spanlake traces --help"}},
		{"traces --from noon", []string{"--from", `"noon"`, "2026-11-29T08:00:00Z"}},
		{"traces --from 2026-11-02 --until 2026-11-01", []string{"--until", "must be later"}},
		{"traces --min-duration 5", []string{"--min-duration", `"5"`, "250ms"}},
		{"traces --min-duration 2s --max-duration 1s", []string{"--max-duration", "must not be shorter"}},
		{"traces --status failed", []string{"--status", `"failed"`, "unset, ok, error"}},
		{"traces --kind x", []string{"--kind", `"x"`, "client"}},
		{"traces --name-match prefix", []string{"--name-match", `"prefix"`}},
		{"traces --name x --name-match like", []string{"--name-match", `"like"`, "exact, prefix, contains"}},
		{"traces --attr =x", []string{"--attr", `"=x"`, "key=value"}},
		{"traces --limit x", []string{"--limit", `"x"`}},
		{"tail --status x", []string{"--status", `"x"`}},
		{"trace", []string{"give the id of a trace", "spanlake trace --help"}},
		{"span", []string{"give the id of a span, or of its trace and the span", "spanlake span --help"}},
		{"span a b c", []string{"give the id of a span, or of its trace and the span", "spanlake span --help"}},
		{"export", []string{"-o FILE is missing", "spanlake export --help"}},
		{"export -o spans.csv", []string{`"spans.csv"`, "--format parquet", "spanlake export --help"}},
		{"export -o x --format csv", []string{"--format", `"csv"`, "otlp-json or parquet"}},
		{"export -o - --format parquet", []string{"Parquet is written to files only"}},
		{"export -o x.json --status x", []string{"--status", `"x"`}},
		{"bench query --spans 0", []string{"--spans", `"0"`, "from 1 to 100m"}},
		{"bench query --cold -1", []string{"--cold -1", "from 0 to 1000"}},
		{"bench query --client-time -1s", []string{"--client-time -1s", "from 0s to 24h"}},
		{"bench query --warm-time 25h", []string{"--warm-time 25h", "from 0s to 24h"}},
		{"bench ingest extra", []string{`"extra"`, "spanlake bench ingest --help"}},
		{"bench ingest --spans 101m", []string{"--spans", `"101m"`, "from 1 to 100m"}},
		{"bench ingest --rate 0", []string{"--rate", `"0"`, "from 1 to 100m"}},
		{"bench ingest --clients 0", []string{"--clients 0", "from 1 to 64"}},
		{"bench ingest --paced-time -1s", []string{"--paced-time -1s", "from 0s to 24h"}},
		{"bench ingest --wal-sync off", []string{"--wal-sync", `"off"`, "full or normal"}},
	} {
		t.Run(test.command, func(t *testing.T) {
			home := t.TempDir()
			t.Chdir(home)
			runPlain(t, strings.Fields(test.command)...).fails(exitUsage, test.says...)
			if left, err := os.ReadDir(home); err != nil || len(left) > 0 {
				t.Errorf("it left %v behind: %v", left, err)
			}
		})
	}
}

// How many files to list is at least one.
func TestLimitOfFiles(t *testing.T) {
	c := newCommandLine(t)
	c.lake.Spans(t, "a.parquet", testkit.Spans(1, 1)...)
	c.lake.Spans(t, "b.parquet", testkit.Spans(2, 1)...)
	c.must("index")
	for _, limit := range []string{"0", "-1"} {
		c.run("files", "--limit", limit).fails(exitUsage, "--limit "+limit, "at least 1")
	}
	c.run("files", "--limit", "x").fails(exitUsage, "--limit", `"x"`)
	if got := decode[[]span.IndexedFile](t, c.must("files", "--json", "--limit", "1")); len(got) != 1 || got[0].Path != "b.parquet" {
		t.Errorf("files --limit 1 = %+v", got)
	}
}

// A query that is wrong, or that would write, is wrong use; the message points at the place.
func TestWrongQueries(t *testing.T) {
	c := newSample(t)
	for query, says := range map[string][]string{
		"":                                  {"only one statement that reads"},
		"SELEC 1":                           {"syntax error", `"SELEC"`},
		"SELECT nope FROM services":         {`"nope"`, "not found"},
		"SELECT * FROM traces":              {"traces", "does not exist"},
		"SELECT 1; SELECT 2":                {"only one statement that reads"},
		"DELETE FROM services":              {"only one statement that reads"},
		"DROP TABLE services":               {"only one statement that reads"},
		"CREATE TABLE mine AS SELECT 1":     {"only one statement that reads"},
		"COPY services TO 'services.csv'":   {""},
		"ATTACH 'other.duckdb'":             {"only one statement that reads"},
		"SET threads = 64":                  {"only one statement that reads"},
		"SELECT $1":                         {"parameter"},
		"SELECT * FROM read_text('go.mod')": {"go.mod"},
		"SELECT 'x'::INTEGER":               {"Conversion Error"},
	} {
		c.run("sql", query).fails(exitUsage, says...)
		c.run("sql", "--csv", query).fails(exitUsage, says...)
	}
	if got, want := c.must("sql", "--csv", "SELECT count(*) AS n FROM services"), "n\n10\n"; got != want {
		t.Errorf("after all that, services has %q rows", got)
	}
}

// Before the first index there is nothing to ask, and the message says what comes first.
func TestCommandsBeforeTheFirstIndex(t *testing.T) {
	c := newCommandLine(t)
	c.must("sample", "--traces", "5")
	for _, args := range [][]string{{"services"}, {"files"}, {"failed"}, {"verify"}, {"sql", "SELECT 1"}, {"retry", "--all"}} {
		c.run(args...).fails(exitFailure, c.db, "there is no index yet", "`spanlake index`")
		if _, err := os.Stat(c.db); err == nil {
			t.Fatalf("%s made an index", args[0])
		}
	}
}

// Folders are named as people like: what SQL, globs or shells take for something else is nothing special here. A lake
// that was moved is the same lake.
func TestPathsWithUnusualCharacters(t *testing.T) {
	t.Chdir(t.TempDir())
	c := commandLine{t, testkit.Lake{Root: "a [b]*'c\" é {1,2}"}, "d 'q' é/in [dex].duckdb"}
	c.must("sample", "--traces", "20")
	c.must("index")
	if printed := c.must("verify"); printed != "" {
		t.Errorf("verify is not silent: %s", printed)
	}

	if err := os.Rename(c.lake.Root, "moved"); err != nil {
		t.Fatal(err)
	}
	c.lake.Root = "moved"
	if got := c.pass(); got.FilesUnchanged != 1 || got.FilesFound != 1 {
		t.Errorf("after moving the lake: %+v", got)
	}
}

// An empty lake is what everybody has at first: no failure, and a word on what to do.
func TestEmptyAndMissingLakes(t *testing.T) {
	c := newCommandLine(t)
	for _, lake := range []string{"missing", "empty"} {
		if lake == "empty" {
			if err := os.Mkdir(c.lake.Root, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		assertGolden(t, lake+"-lake", c.stable(c.must("index")))
		assertGolden(t, "empty-services", c.must("services"))
		assertGolden(t, "empty-files", c.must("files"))
		if got := c.must("verify"); got != "" {
			t.Errorf("verify of a lake that is %s is not silent: %q", lake, got)
		}
	}
}

// Paths that cannot serve are named, each with the exit code of its kind.
func TestPathsThatCannotServe(t *testing.T) {
	c := newCommandLine(t)
	c.lake.Spans(t, "spans.parquet", testkit.Spans(1, 1)...)
	file := c.lake.Path("spans.parquet")
	folder := t.TempDir()
	below := filepath.Join(file, "spanlake.duckdb")
	for _, test := range []struct {
		what string
		args []string
		code int
		says []string
	}{
		{"the lake is a file", []string{"index", "--db", c.db, "--lake", file}, exitFailure, []string{"not a folder", file}},
		{"the lake to write is a file", []string{"sample", "--lake", file}, exitFailure, []string{"not a directory", file}},
		{"the index is a folder", []string{"index", "--db", folder}, exitUnusable, []string{folder, "is not a file", "--db"}},
		{"the index to read is a folder", []string{"services", "--db", folder}, exitUnusable, []string{folder, "is not a file", "--db"}},
		{"the folder of the index cannot be made", []string{"index", "--db", below}, exitFailure, []string{below, "not a directory"}},
		{"the index is no database", []string{"index", "--db", file}, exitUnusable, []string{file, "is not a DuckDB database", "--db"}},
		{"the index to rebuild is no database", []string{"rebuild", "--db", file}, exitUnusable, []string{file, "is not a DuckDB database"}},
		{"a name that DuckDB does not take", []string{"index", "--db", filepath.Join(folder, "50%?.duckdb")}, exitUnusable, []string{"50%?.duckdb", "choose one without"}},
	} {
		t.Run(test.what, func(t *testing.T) {
			args := test.args
			if !strings.Contains(strings.Join(args, " "), "--lake") {
				args = append(args, "--lake", c.lake.Root)
			}
			before := c.lake.Read(t, "spans.parquet")
			runPlain(t, args...).fails(test.code, test.says...)
			if string(c.lake.Read(t, "spans.parquet")) != string(before) {
				t.Error("the file was changed")
			}
		})
	}
}

// database makes a DuckDB database that is not, or no longer, an index of this program.
func database(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("duckdb", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range statements {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// A database of somebody else is never touched, one of another version only by rebuild.
func TestDatabasesOfOthers(t *testing.T) {
	c := newCommandLine(t)
	c.lake.Spans(t, "spans.parquet", testkit.Spans(1, 1)...)
	foreign := c
	foreign.db = filepath.Join(t.TempDir(), "foreign.duckdb")
	database(t, foreign.db, "CREATE TABLE accounts AS SELECT 42 AS balance")
	for _, command := range []string{"index", "services", "verify", "rebuild"} {
		foreign.run(command).fails(exitUnusable, foreign.db, "not a Spanlake index", "--db")
	}
	foreign.run("sql", "FROM accounts").fails(exitUnusable, "not a Spanlake index")
	database(t, foreign.db, "SELECT balance FROM accounts")

	c.must("index")
	database(t, c.db, "UPDATE schema_version SET version = 99")
	for _, command := range []string{"index", "services", "verify"} {
		c.run(command).fails(exitUnusable, c.db, "newer program", "99", "`spanlake rebuild`")
	}
	database(t, c.db, "UPDATE schema_version SET version = 0")
	c.run("index").fails(exitUnusable, c.db, "older program", "`spanlake rebuild`")
	c.must("rebuild")
	if got, want := c.services(), "svc 1"; got != want {
		t.Errorf("after rebuild, services = %s, want %s", got, want)
	}
}

// verify ends with exit code 1 and a line for each difference, and says what mends them.
func TestVerifyTellsWhatDiffers(t *testing.T) {
	c := newCommandLine(t)
	for i, name := range []string{"stays.parquet", "goes.parquet", "changes.parquet"} {
		c.lake.Spans(t, name, testkit.Spans(10*i, 2)...)
	}
	c.must("index")
	c.lake.Remove(t, "goes.parquet")
	c.lake.Spans(t, "changes.parquet", testkit.Spans(50, 3)...)
	c.lake.Spans(t, "comes.parquet", testkit.Spans(60, 1)...)

	r := c.run("verify")
	if got := exitCode(r.err); got != exitFailure {
		t.Errorf("exit code %d, want %d", got, exitFailure)
	}
	assertGolden(t, "verify-differences", r.stdout+r.err.Error()+"\n")
	asJSON := c.run("verify", "--json")
	if got := decode[[]span.Difference](t, asJSON.stdout); exitCode(asJSON.err) != exitFailure || len(got) != 3 || got[0].Check != "lake" {
		t.Errorf("verify --json = %+v, %v", got, asJSON.err)
	}
	c.must("index")
	if printed := c.must("verify"); printed != "" {
		t.Errorf("after index, verify says %q", printed)
	}
}

// Trying a file again that has not failed is a mistake, and the message says where to look.
func TestRetryOfAFileThatHasNotFailed(t *testing.T) {
	c := newSample(t)
	for _, path := range []string{"no/such.parquet", sampleFile} {
		c.run("retry", path).fails(exitFailure, path, "not among the failed files", "`spanlake failed`")
	}
}

// A sample is never written over: the second one with the same seed says what to change.
func TestTheSameSampleTwice(t *testing.T) {
	c := newSample(t)
	before := c.lake.Read(t, sampleFile)
	c.run("sample", "--traces", "200", "--seed", "7").fails(exitFailure, c.lake.Root, "has this sample, or a part of it", "--seed", "--lake")
	if string(c.lake.Read(t, sampleFile)) != string(before) {
		t.Error("the file was changed")
	}
	c.must("sample", "--traces", "200", "--seed", "8")
	if got := c.pass(); got.FilesIndexed != 1 || got.FilesUnchanged != 1 || got.Duplicates != 0 {
		t.Errorf("two samples: %+v", got)
	}
}

// Names come from whoever sends spans: a terminal must neither obey them nor lose the columns of a table.
func TestNamesWithControlCharactersAreHarmless(t *testing.T) {
	const (
		red     = "\x1b[31mred\x1b[0m"
		several = "two\nlines\tand\rmore\x07"
		turned  = "right\u202eto left\u200b"
		fine    = "tool runner/é 漢字"
	)
	c := newCommandLine(t)
	var spans []span.Span
	for i, name := range []string{red, several, turned, fine} {
		spans = append(spans, testkit.Span(i+1, i+1, func(s *span.Span) { s.ServiceName, s.Name = name, name }))
	}
	c.lake.Spans(t, "spans.parquet", spans...)
	c.lake.Put(t, "bad\x1b[2Jname.parquet", []byte("\x1b[31m, no Parquet"))
	if r := c.run("index"); r.err != nil || strings.ContainsAny(r.stderr+r.stdout, "\x1b\x07\r") {
		t.Errorf("index: %v, %q %q", r.err, r.stdout, r.stderr)
	}
	for name, args := range map[string][]string{
		"hostile-services": {"services"}, "hostile-failed": {"failed"}, "hostile-files": {"files"},
		"hostile-sql": {"sql", "SELECT service_name AS s, service_name AS \"column \x1b[31m\" FROM services ORDER BY ALL"},
	} {
		r := c.run(args...)
		if r.err != nil || strings.ContainsAny(r.stdout+r.stderr, "\x1b\x07\r\t\u202e\u200b") {
			t.Errorf("%q: %v, or it prints control characters: %q, %q", args, r.err, r.stdout, r.stderr)
		}
		if name != "hostile-files" { // sizes depend on the version of DuckDB that wrote the file
			assertGolden(t, name, r.stdout)
		}
	}
	c.lake.Remove(t, "bad\x1b[2Jname.parquet")
	if r := c.run("verify"); exitCode(r.err) != exitFailure || strings.Contains(r.stdout, "\x1b") {
		t.Errorf("verify: %v, %q", r.err, r.stdout)
	}
	if r := c.run("retry", "nope\x1b[2J"); exitCode(r.err) != exitFailure {
		t.Errorf("retry: %v", r.err)
	}
	c.must("index")
	// For programs nothing is lost.
	if got, want := c.services(), strings.Join([]string{red + " 1", turned + " 1", fine + " 1", several + " 1"}, ", "); got != want {
		t.Errorf("services --json = %q, want %q", got, want)
	}
}
