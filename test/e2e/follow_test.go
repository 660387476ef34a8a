//go:build unix

package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// While files come by the hundred, everybody gets an answer, and counts only grow.
func TestFollowWhileEverybodyReads(t *testing.T) {
	t.Parallel()
	const spans = 5
	files := 1500
	if testing.Short() {
		files = 300
	}
	p := newPlace(t, "")
	r := p.backend()
	contents := make([][]byte, files)
	for i := range contents {
		contents[i] = spanFile(t, i*spans+1, spans)
	}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	read := func(once func()) {
		readers.Go(func() {
			for {
				once()
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	grows := func(what string, count func() (int64, error)) func() {
		var last int64
		return func() {
			n, err := count()
			if err != nil || n < last || n%spans != 0 {
				t.Errorf("%s: %d after %d, %v", what, n, last, err)
			}
			last = n
		}
	}
	read(grows("spans", func() (int64, error) { return number(t.Context(), r.client, "SELECT count(*) FROM span_metadata") }))
	read(grows("status", func() (int64, error) {
		status, err := r.client.Status(t.Context())
		return status.IndexedSpans, err
	}))
	read(grows("rows", func() (int64, error) { return r.postSQL("SELECT span_id FROM span_metadata") }))
	queries := [][]string{
		{"services", "--json"}, {"sql", "SELECT count(*) FROM span_metadata"}, {"files"}, {"failed"}, {"verify"},
		{"index", "--json"},
	}
	next := 0
	read(func() {
		args := queries[next%len(queries)]
		next++
		if result := p.run(args...); result.code != 0 || result.stderr != "" || args[0] == "verify" && result.stdout != "" {
			t.Errorf("%q: exit code %d\n%s%s", args, result.code, result.stdout, result.stderr)
		}
	})

	for i, content := range contents {
		p.put(fmt.Sprintf("year=2026/month=11/day=%02d/svc_%d.parquet", 1+i%7, i), content)
		if i < files/10 {
			time.Sleep(2 * time.Millisecond) // one by one first, then all at once
		}
	}
	r.untilHas("all files", int64(files), int64(files)*spans)
	close(stop)
	readers.Wait()
	p.must("verify")
	r.stop()
	p.assertSound()
}

// postSQL counts the rows of the answer to a query, which has to be complete.
func (r *running) postSQL(query string) (rows int64, err error) {
	body := strings.NewReader(fmt.Sprintf(`{"query": %q}`, query))
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.url+"/api/v1/sql", body)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	var answer bytes.Buffer
	if _, err := answer.ReadFrom(response.Body); err != nil {
		return 0, err
	}
	lines := strings.Split(strings.TrimSpace(answer.String()), "\n")
	if end := lines[len(lines)-1]; response.StatusCode != http.StatusOK || !strings.HasPrefix(end, `{"end":`) {
		return 0, fmt.Errorf("status %d, it ends with %.300q", response.StatusCode, end)
	}
	return int64(strings.Count(answer.String(), `{"row":`)), nil
}

// What people and programs do to files of a lake, and what comes of it.
func TestFollowWhatIsDoneToFiles(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	path := func(rel string) string { return filepath.Join(p.lake, rel) }
	r := p.backend()
	for i, name := range []string{"a", "b", "c", "d", "e"} {
		p.put("year=2026/month=11/day=01/"+name+".parquet", spanFile(t, 100*i+1, 10))
	}
	r.untilHas("the first files", 5, 50)

	p.put("year=2026/month=11/day=01/a.parquet", spanFile(t, 1001, 7))
	r.untilHas("a file that was rewritten", 5, 47)
	if err := os.WriteFile(path("year=2026/month=11/day=01/a.parquet"), spanFile(t, 1101, 8), 0o644); err != nil {
		t.Fatal(err)
	}
	r.untilHas("a file that was written over", 5, 48)
	if err := os.Remove(path("year=2026/month=11/day=01/b.parquet")); err != nil {
		t.Fatal(err)
	}
	r.untilHas("a file that was deleted", 4, 38)
	if err := os.Truncate(path("year=2026/month=11/day=01/c.parquet"), 100); err != nil {
		t.Fatal(err)
	}
	r.until("a file that was cut", func(s span.IndexerStatus) bool { return s.UnfinishedFiles == 1 && s.PendingFiles == 0 })
	p.put("year=2026/month=11/day=01/c.parquet", spanFile(t, 201, 10))
	// The index has its old spans all the time, so their number says nothing.
	r.until("the file that was cut to be whole again", func(s span.IndexerStatus) bool {
		return s.UnfinishedFiles == 0 && s.PendingFiles == 0 && s.IndexedFiles == 4 && s.IndexedSpans == 38
	})
	if err := os.Rename(path("year=2026/month=11/day=01/d.parquet"), path("year=2026/month=11/day=01/z.parquet")); err != nil {
		t.Fatal(err)
	}
	r.until("a file that got another name", func(s span.IndexerStatus) bool {
		n, err := number(t.Context(), r.client, "SELECT count(*) FROM parquet_files WHERE file_path LIKE '%z.parquet'")
		return err == nil && n == 1 && s.IndexedFiles == 4 && s.IndexedSpans == 38
	})

	// A day with its folders and files at once, made elsewhere.
	aside := filepath.Join(p.folder, "aside")
	if err := publish(filepath.Join(aside, "month=12/day=31/f.parquet"), spanFile(t, 2001, 5)); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(path("year=2027"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(aside, "month=12"), path("year=2027/month=12")); err != nil {
		t.Fatal(err)
	}
	p.put("x=1/y=2/z=3/deep.parquet", spanFile(t, 2101, 5))
	r.untilHas("folders with files", 6, 48)

	for _, name := range []string{".hidden.parquet", "_aside.parquet", "note.txt", "tmp/a.parquet", ".cache/a.parquet", "_delta/a.parquet"} {
		p.put(name, spanFile(t, 3001, 5))
	}
	p.put("seen.parquet", spanFile(t, 3101, 1))
	r.untilHas("the file beside those that are passed over", 7, 49)
	if result := p.index(); result.FilesFound != 7 {
		t.Errorf("the lake has %d files, want 7", result.FilesFound)
	}
	if err := os.RemoveAll(path("year=2027")); err != nil {
		t.Fatal(err)
	}
	r.untilHas("a folder that was deleted", 6, 44)
	p.must("verify")
	r.stop()
	p.assertSound()
}

// Files that are copied into their place byte by byte are no failures, and are indexed soon after their last byte.
func TestFollowFilesThatAreWrittenSlowly(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	r := p.backend()
	for i, keepTime := range []bool{false, true} {
		path := filepath.Join(p.lake, fmt.Sprintf("slow_%d.parquet", i))
		content := spanFile(t, 1000*i+1, 50)
		if err := os.MkdirAll(p.lake, 0o755); err != nil {
			t.Fatal(err)
		}
		file, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		part := len(content)/5 + 1
		for from := 0; from < len(content); from += part {
			if _, err := file.Write(content[from:min(from+part, len(content))]); err != nil {
				t.Fatal(err)
			}
			if from+part < len(content) {
				r.until("the file to be seen as unfinished", func(s span.IndexerStatus) bool { return s.UnfinishedFiles == 1 })
			}
			if s := r.status(); len(s.FailedFiles) > 0 {
				t.Fatalf("a file that is being written counts as failed: %+v", s)
			}
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		if keepTime {
			// As `cp -p` and rsync do last.
			testkit.Touch(t, path)
		}
		written := time.Now()
		r.untilHas("the file that was written slowly", int64(i+1), int64(i+1)*50)
		if took := time.Since(written); took > 20*time.Second {
			t.Errorf("it took %v until the file was indexed", took)
		}
	}
	p.must("verify")
	r.stop()
	p.assertSound()
}

// A lake that is not mounted costs nothing but readiness, and an operator hears of it once.
func TestFollowALakeThatIsUnmounted(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	p.put("day=1/a.parquet", spanFile(t, 1, 10))
	p.put("day=2/b.parquet", spanFile(t, 11, 10))
	r := p.backend()
	r.untilHas("the files", 2, 20)
	if code := r.ready(); code != http.StatusOK {
		t.Errorf("readyz: %d", code)
	}
	for round := range 2 {
		away := filepath.Join(p.folder, "away")
		if err := os.Rename(p.lake, away); err != nil {
			t.Fatal(err)
		}
		r.until("the indexer to fail more than once", func(s span.IndexerStatus) bool { return s.State == span.IndexerFailing && s.Failures > 1 })
		if code := r.ready(); code != http.StatusServiceUnavailable {
			t.Errorf("readyz without a lake: %d", code)
		}
		if s := r.status(); s.IndexedFiles != 2+int64(round) || s.WithheldFiles != 0 {
			t.Errorf("without a lake: %+v", s)
		}
		p.must("services")
		if err := os.Rename(away, p.lake); err != nil {
			t.Fatal(err)
		}
		p.put(fmt.Sprintf("day=3/c%d.parquet", round), spanFile(t, 100+10*round, 10))
		r.untilHas("the lake to be back", 3+int64(round), 30+10*int64(round))
		if code := r.ready(); code != http.StatusOK {
			t.Errorf("readyz with the lake back: %d", code)
		}
	}
	p.must("verify")
	r.stop()
	log := r.stderr.String()
	if n := strings.Count(log, "level=ERROR"); n < 2 || n > 4 {
		t.Errorf("the lake was gone twice, which is logged %d times\n%s", n, log)
	}
	if n := strings.Count(log, "the indexer works again"); n != 2 {
		t.Errorf("the lake was back twice, which is logged %d times\n%s", n, log)
	}
	p.assertSound()
}

// When most files are gone at once, their spans stay until they are back or somebody confirms.
func TestFollowALakeThatIsEmptied(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	for i := range 3 {
		p.put(fmt.Sprintf("year=2026/month=11/day=0%d/a.parquet", i+1), spanFile(t, 10*i+1, 10))
	}
	r := p.backend()
	r.untilHas("the files", 3, 30)
	aside := filepath.Join(p.folder, "aside")
	if err := os.Mkdir(aside, 0o755); err != nil {
		t.Fatal(err)
	}
	move := func(from, to string) {
		if err := os.Rename(filepath.Join(from, "year=2026"), filepath.Join(to, "year=2026")); err != nil {
			t.Fatal(err)
		}
	}
	withheld := func(s span.IndexerStatus) bool { return s.State == span.IndexerWithholding && s.WithheldFiles == 3 }
	move(p.lake, aside)
	r.until("files to be withheld", withheld)
	if s := r.status(); s.IndexedSpans != 30 {
		t.Errorf("%d spans are left", s.IndexedSpans)
	}
	if code := r.ready(); code != http.StatusOK {
		t.Errorf("readyz: %d", code)
	}
	if result := p.run("index"); result.code != 1 || !strings.Contains(result.stderr, "--accept-missing") {
		t.Errorf("index: exit code %d\n%s", result.code, result.stderr)
	}
	move(aside, p.lake)
	r.untilHas("the files to be back", 3, 30)
	p.must("verify")

	move(p.lake, aside)
	r.until("files to be withheld again", withheld)
	if result := decode[summary](t, p.must("index", "--accept-missing", "--json")); result.FilesFound != 0 {
		t.Errorf("the emptied lake has %d files", result.FilesFound)
	}
	r.untilHas("the index to be empty", 0, 0)
	p.must("verify")
	r.stop()
	p.assertSound()
}
