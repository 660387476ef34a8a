package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// backend runs `spanlake backend` on the lake and the index of c.
func (c commandLine) backend(args ...string) *server {
	c.t.Helper()
	return c.start(append([]string{"backend", "--listen", "127.0.0.1:0", "--internal-server", "off", "--memory", "256MB"}, args...)...)
}

// A backend says the same of its index as a command that opens it.
func TestABackendAnswersAsTheIndexDoes(t *testing.T) {
	c := newCommandLine(t)
	c.must("sample", "--traces", "200", "--seed", "7")
	c.lake.Put(t, "notes.parquet", []byte("hello, this is no Parquet file"))
	if r := c.run("index"); r.err != nil {
		t.Fatal(r.err)
	}
	const busiest = "FROM services ORDER BY total_spans DESC LIMIT 3"
	commands := [][]string{
		{"services"}, {"services", "--json"},
		{"files"}, {"files", "--json"}, {"files", "--limit", "1"},
		{"failed"}, {"failed", "--json"},
		{"sql", busiest}, {"sql", "--json", busiest}, {"sql", "--csv", busiest},
		{"sql", "SELECT 1 AS one WHERE false"}, {"sql", "--json", "SELECT 1 WHERE false"}, {"sql", "--csv", "SELECT NULL AS nothing"},
		{"sql", "--csv", "SELECT span_id FROM span_metadata ORDER BY span_id"},
		{"verify"}, {"verify", "--json"},
		{"retain", "--retain-bytes", "1", "--dry-run"}, {"retain", "--retain-bytes", "1", "--dry-run", "--json"},
		{"retain", "--retain-bytes", "1TB", "--dry-run"},
	}
	mistakes := [][]string{
		{"sql", "SELECT nope FROM services"}, {"sql", "DROP TABLE services"}, {"sql", ""}, {"files", "--limit", "0"}, {"retry", sampleFile},
	}
	here := map[string]result{}
	for _, args := range slices.Concat(commands, mistakes) {
		here[fmt.Sprint(args)] = c.run(args...)
	}

	s := c.backend()
	for _, args := range commands {
		local, remote := here[fmt.Sprint(args)], s.of(args...)
		if local.err != nil || remote.err != nil || remote.stdout != local.stdout || remote.stderr != local.stderr {
			t.Errorf("spanlake %s: %v\n%s%s\nwith --server: %v\n%s%s", strings.Join(args, " "),
				local.err, local.stdout, local.stderr, remote.err, remote.stdout, remote.stderr)
		}
	}
	for _, args := range mistakes {
		local := here[fmt.Sprint(args)]
		if local.err == nil {
			t.Fatalf("spanlake %s is no mistake", strings.Join(args, " "))
		}
		s.of(args...).fails(exitCode(local.err), local.err.Error())
	}
}

// What changes the index is done by the backend, at once.
func TestABackendDoesWhatCommandsAskFor(t *testing.T) {
	c := newCommandLine(t)
	c.lake.Spans(t, "a.parquet", testkit.Spans(1, 3)...)
	c.lake.Put(t, "notes.parquet", []byte("hello, this is no Parquet file"))
	if r := c.run("index"); r.err != nil {
		t.Fatal(r.err)
	}
	s := c.backend()
	c.lake.Spans(t, "b.parquet", testkit.Spans(4, 2)...)
	got := decode[summaryJSON](t, s.must("index", "--json"))
	if got.FilesFound != 3 || got.FilesFailed != 1 || got.PeakRSSBytes != 0 {
		t.Errorf("index --server = %+v", got)
	}
	printed := s.must("index")
	if !strings.Contains(printed, ": 3 files found, 0 indexed, 2 unchanged, 1 failed, 0 removed\n") || strings.Contains(printed, "in memory") {
		t.Errorf("index --server prints %q", printed)
	}
	listed := s.of("services", "--json")
	if got := decode[[]span.Service](t, listed.stdout); len(got) != 1 || got[0].TotalSpans != 5 || !strings.HasPrefix(listed.stderr, "Not complete: 1 file, ") {
		t.Errorf("services --server = %+v and says %q", got, listed.stderr)
	}

	for _, args := range [][]string{{"retry", "notes.parquet"}, {"retry", "--all"}} {
		if got, want := s.must(args...), "1 file will be tried again by the running backend\n"; got != want {
			t.Errorf("%q --server prints %q, want %q", args, got, want)
		}
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			if got := decode[[]span.FailedFile](t, s.must("failed", "--json")); len(got) == 1 && !got[0].Due {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("the backend does not try again: %s", s.must("failed", "--json"))
			}
		}
	}
	c.lake.Remove(t, "notes.parquet")
	s.must("index")
	if got, want := s.must("retry", "--all"), "No file has failed.\n"; got != want {
		t.Errorf("retry --all --server prints %q, want %q", got, want)
	}

	c.lake.Remove(t, "a.parquet")
	c.lake.Remove(t, "b.parquet")
	c.lake.Spans(t, "c.parquet", testkit.Spans(6, 1)...)
	assertWithheld(t, s.of("index"), 2)
	if got := decode[summaryJSON](t, s.must("index", "--accept-missing", "--json")); got.FilesWithheld != 0 || got.FilesFound != 1 {
		t.Errorf("index --accept-missing --server = %+v", got)
	}
	s.stop()
	if got, want := c.services(), "svc 1"; got != want {
		t.Errorf("services = %s, want %s", got, want)
	}
	if left, want := files(t, filepath.Dir(c.db)), []string{filepath.Base(c.db)}; !slices.Equal(left, want) {
		t.Errorf("beside the index is %q, want %q", left, want)
	}
}

// What no backend can be asked for is wrong use, whoever the server is.
func TestWhatABackendIsNotAskedFor(t *testing.T) {
	c := newSample(t)
	for _, test := range []struct {
		command string
		says    []string
	}{
		{"backend", []string{"spanlake backend", "leave --server (SPANLAKE_SERVER) out"}},
		{"serve", []string{"spanlake serve", "leave --server (SPANLAKE_SERVER) out"}},
		{"ingest", []string{"spanlake ingest", "leave --server (SPANLAKE_SERVER) out"}},
		{"rebuild", []string{"spanlake rebuild", "leave --server (SPANLAKE_SERVER) out"}},
		{"retain --retain-days 1", []string{"spanlake retain", "leave --server (SPANLAKE_SERVER) out"}},
		{"index --keep-missing", []string{"running backend", "--keep-missing"}},
		{"files --limit 10001", []string{"--limit 10001", "at most 10000"}},
		{"services --server localhost:1323", []string{"--server", "http://127.0.0.1:1323"}},
	} {
		args := strings.Fields(test.command)
		if !slices.Contains(args, "--server") {
			args = append(args, "--server", "http://127.0.0.1:1") // nobody listens there
		}
		c.run(args...).fails(exitUsage, test.says...)
	}
	if got := c.must("files", "--limit", "10001"); !strings.Contains(got, sampleFile) {
		t.Errorf("here there is no bound, but files prints %q", got)
	}
}

// A server that is gone, or is none, is named.
func TestAServerThatDoesNotAnswer(t *testing.T) {
	c := newSample(t)
	s := c.backend()
	s.stop()
	for _, command := range []string{"services", "files", "failed", "verify", "sql SHOW", "retry --all", "index", "retain --retain-days 1 --dry-run"} {
		s.of(strings.Fields(command)...).fails(exitFailure, "nobody answers at "+s.url)
	}
}

// assertWithheld checks that an index found so many files gone that it removed none.
func assertWithheld(t *testing.T, r result, files int) {
	t.Helper()
	want := fmt.Sprintf("%d files, more than half of what the index has, went from the lake", files)
	if exitCode(r.err) != exitFailure || !strings.Contains(r.err.Error(), want) || !strings.Contains(r.err.Error(), "--accept-missing") {
		t.Errorf("index = %v, want exit code 1 and a word on %s", r.err, want)
	}
	if !strings.Contains(r.stdout, ", 0 removed\n") {
		t.Errorf("index prints %q, want a summary that removes none", r.stdout)
	}
}

// When most files are gone, somebody has to say that they really are.
func TestIndexAcceptsMissingFilesWhenToldTo(t *testing.T) {
	c := newCommandLine(t)
	for i, name := range []string{"a.parquet", "b.parquet", "c.parquet", "d.parquet"} {
		c.lake.Spans(t, name, testkit.Spans(10*i, 2)...)
	}
	c.must("index")
	for _, name := range []string{"a.parquet", "b.parquet", "c.parquet"} {
		c.lake.Remove(t, name)
	}
	for range 2 {
		assertWithheld(t, c.run("index"), 3)
	}
	if got, want := c.services(), "svc 8"; got != want {
		t.Errorf("services = %s, want %s", got, want)
	}
	c.run("index", "--accept-missing", "--keep-missing").fails(exitUsage, "[accept-missing keep-missing]")
	if got := c.pass("--accept-missing"); got.FilesFound != 1 || got.FilesRemoved < 3 || got.FilesWithheld != 0 {
		t.Errorf("index --accept-missing = %+v", got)
	}
	if got, want := c.services(), "svc 2"; got != want {
		t.Errorf("services = %s, want %s", got, want)
	}
	// With the lake gone as a whole, nothing may have been written yet: no failure, but what the index has stays as well.
	c.lake.Remove(t, ".")
	absent := c.run("index")
	if absent.err != nil || !strings.Contains(absent.stdout, ", 0 removed\n") || !strings.Contains(absent.stdout, "The lake folder does not exist") ||
		!strings.Contains(absent.stderr, "is it mounted?") {
		t.Errorf("index without a lake: %v, %q, %q", absent.err, absent.stdout, absent.stderr)
	}
	if got, want := c.services(), "svc 2"; got != want {
		t.Errorf("services = %s, want %s", got, want)
	}
	if got := c.pass("--accept-missing"); got.FilesRemoved != 1 {
		t.Errorf("index --accept-missing without a lake = %+v", got)
	}
	if got := c.services(); got != "" {
		t.Errorf("services = %s, want none", got)
	}
}

// young is the path of a file that is never too old.
const young = "year=2999/month=01/day=01/a.parquet"

// retainLake has three old files and a young one.
func retainLake(t *testing.T) commandLine {
	t.Helper()
	c := newCommandLine(t)
	for day := 1; day <= 3; day++ {
		c.lake.Spans(t, fmt.Sprintf("year=2020/month=02/day=%02d/a.parquet", day), testkit.Spans(10*day, 2)...)
	}
	c.lake.Spans(t, young, testkit.Spans(100, 5)...)
	return c
}

// Before anything is deleted it has to be clear what, and that the lake is there.
func TestRetainDeletesNothingUnlessItIsClear(t *testing.T) {
	c := retainLake(t)
	all := files(t, c.lake.Root)
	for _, args := range [][]string{{"retain"}, {"retain", "--dry-run"}, {"retain", "--retain-days", "0", "--retain-bytes", "0"}} {
		c.run(args...).fails(exitUsage, "--retain-days or --retain-bytes", "spanlake retain --help")
	}
	for _, args := range [][]string{{"retain", "--retain-days", "30"}, {"retain", "--retain-days", "30", "--dry-run"}} {
		c.run(args...).fails(exitFailure, c.db, "there is no index yet", "`spanlake index`")
		if _, err := os.Stat(c.db); err == nil {
			t.Fatalf("%q made an index", args)
		}
	}
	c.must("index")
	if got, want := c.must("retain", "--retain-bytes", "1TB", "--dry-run"), "Nothing would be deleted.\n"; got != want {
		t.Errorf("retain --dry-run prints %q, want %q", got, want)
	}
	if got, want := c.must("retain", "--retain-bytes", "1TB"), "0 files of 0 B deleted\n"; got != want {
		t.Errorf("retain prints %q, want %q", got, want)
	}
	if got := files(t, c.lake.Root); !slices.Equal(got, all) {
		t.Errorf("the lake has %q, want %q", got, all)
	}

	// Unmounted, the lake is another folder, or none. What is there now must not be taken for all.
	mounted := c.lake.Path("../mounted")
	for _, folder := range []string{"none", "empty", "another"} {
		if err := os.Rename(c.lake.Root, mounted); err != nil {
			t.Fatal(err)
		}
		switch folder {
		case "empty":
			if err := os.Mkdir(c.lake.Root, 0o755); err != nil {
				t.Fatal(err)
			}
		case "another":
			c.lake.Spans(t, "year=2020/month=02/day=09/b.parquet", testkit.Spans(500, 1)...)
		}
		c.run("retain", "--retain-days", "30").fails(exitFailure, c.lake.Root, "is it mounted? Nothing was deleted")
		if err := os.RemoveAll(c.lake.Root); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(mounted, c.lake.Root); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.pass(); got.FilesUnchanged != 4 || got.FilesIndexed != 0 {
		t.Errorf("mounted again: %+v", got)
	}
}

// Retain lists what is too old or too much, and deletes exactly that.
func TestRetainDeletesWhatItListed(t *testing.T) {
	for policy, gone := range map[string][]string{
		"--retain-days 30":     {"year=2020/month=02/day=01/a.parquet", "year=2020/month=02/day=02/a.parquet", "year=2020/month=02/day=03/a.parquet"},
		"--retain-bytes SIZE":  {"year=2020/month=02/day=01/a.parquet", "year=2020/month=02/day=02/a.parquet"},
		"--retain-days 36500":  nil,
		"--retain-bytes 1000B": {"year=2020/month=02/day=01/a.parquet", "year=2020/month=02/day=02/a.parquet", "year=2020/month=02/day=03/a.parquet", young},
	} {
		t.Run(policy, func(t *testing.T) {
			c := retainLake(t)
			c.must("index")
			var kept, deleted int64
			var want []string
			for _, path := range files(t, c.lake.Root) {
				bytes := int64(len(c.lake.Read(t, path)))
				if path >= "year=2020/month=02/day=03/" {
					kept += bytes
				}
				if slices.Contains(gone, path) {
					deleted += bytes
				} else {
					want = append(want, path)
				}
			}
			args := strings.Fields("retain " + strings.ReplaceAll(policy, "SIZE", fmt.Sprint(kept)))

			listed := []string{}
			var bytes int64
			for _, f := range decode[[]span.RetiredFile](t, c.must(append(args, "--dry-run", "--json")...)) {
				listed, bytes = append(listed, f.Path), bytes+f.SizeBytes
			}
			if !slices.Equal(listed, gone) && len(gone)+len(listed) > 0 || bytes != deleted {
				t.Errorf("--dry-run lists %q of %d bytes, want %q of %d", listed, bytes, gone, deleted)
			}
			printed := c.must(append(args, "--dry-run")...)
			if total := fmt.Sprintf("\n%s of ", count(int64(len(gone)), "file")); len(gone) > 0 && !strings.Contains(printed, total) {
				t.Errorf("--dry-run prints %q, want a line %q", printed, total)
			}

			type summary struct {
				FilesDeleted int64 `json:"files_deleted"`
				BytesDeleted int64 `json:"bytes_deleted"`
			}
			if got, want := decode[summary](t, c.must(append(args, "--json")...)), (summary{int64(len(gone)), deleted}); got != want {
				t.Errorf("retain --json = %+v, want %+v", got, want)
			}
			if got := files(t, c.lake.Root); !slices.Equal(got, want) {
				t.Errorf("the lake has %q, want %q", got, want)
			}
			if got, want := c.must(args...), "0 files of 0 B deleted\n"; got != want {
				t.Errorf("again it prints %q, want %q", got, want)
			}
			if printed := c.must("verify"); printed != "" {
				t.Errorf("verify says %q", printed)
			}
		})
	}
}
