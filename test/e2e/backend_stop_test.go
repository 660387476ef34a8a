//go:build unix

package e2e

import (
	"bufio"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// Either signal stops the backend in order, whatever it is doing, and the next one goes on where it was.
func TestBackendStopsInTheMiddle(t *testing.T) {
	t.Parallel()
	lake := largeLake(t)
	whole := newPlace(t, lake)
	all := whole.index()

	p := newPlace(t, lake)
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		r := p.backend("--batch-size", "1")
		before := r.status().IndexedFiles
		r.until("a part of the lake", func(s span.IndexerStatus) bool { return s.IndexedFiles > before })
		r.end(s)
		if log := r.stderr.String(); strings.Contains(log, "level=ERROR") {
			t.Errorf("after %v it logs\n%s", s, log)
		}
	}
	// While it indexes, it also sends the answer to a query that nobody takes.
	r := p.backend("--batch-size", "1")
	r.streamNobodyTakes()
	r.stop()

	r = p.backend()
	r.untilHas("the whole lake", int64(all.FilesFound), all.SpansIndexed)
	p.must("verify")
	r.stop()
	p.assertSound()
	if got, want := p.must("services", "--json"), whole.must("services", "--json"); got != want {
		t.Errorf("services are\n%swant\n%s", got, want)
	}
}

// The second signal ends the backend at once, and costs nothing but a look at what DuckDB had not yet moved into its file.
func TestBackendThatIsToldTwice(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	p.put("a.parquet", spanFile(t, 1, 10))
	r := p.backend()
	r.untilHas("the file", 1, 10)
	r.streamNobodyTakes()
	asked := time.Now()
	signal(t, r.cmd, syscall.SIGTERM)
	for !r.hasEnded() {
		_ = r.cmd.Process.Signal(syscall.SIGINT) // unless it has just ended
		select {
		case <-r.ended:
		case <-time.After(20 * time.Millisecond):
		}
	}
	if took, code := time.Since(asked), cmdCode(r.cmd); took > 5*time.Second || code > 0 {
		t.Errorf("after two signals it took %v to end, with exit code %d\n%s", took, code, r.stderr)
	}
	p.index()
	p.must("verify")
	r = p.backend()
	r.untilHas("the file again", 1, 10)
	r.stop()
	p.assertSound()
}

// streamNobodyTakes has the backend send more than anybody reads, until the test ends.
func (r *running) streamNobodyTakes() {
	r.t.Helper()
	body := strings.NewReader(`{"query": "SELECT i, 'a text that fills pipes' AS text FROM range(3000000) AS r(i)"}`)
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.url+"/api/v1/sql", body)
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = response.Body.Close() })
	if line, err := bufio.NewReader(response.Body).ReadString('\n'); err != nil || response.StatusCode != http.StatusOK {
		r.t.Fatalf("status %d, %q, %v", response.StatusCode, line, err)
	}
}

// A query that needs more than the memory leaves nothing behind when the backend ends in the middle of it, in order or not.
func TestBackendEndsWhileAQuerySpills(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	p.put("a.parquet", spanFile(t, 1, 10))
	for _, s := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		r := p.backend("--memory", "192MB")
		r.untilHas("the file", 1, 10)
		query := p.command("sql", "SELECT i, hash(i) AS text FROM range(200000000) AS r(i) ORDER BY 2")
		var stderr strings.Builder
		query.Stderr = &stderr
		if err := query.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the query to need the disk", func() bool {
			spilled, err := filepath.Glob(p.db + ".tmp/*")
			return err == nil && len(spilled) > 0
		})
		if s == syscall.SIGTERM {
			r.end(s)
		} else {
			signal(t, r.cmd, s)
			<-r.ended
		}
		if err := query.Wait(); err == nil || stderr.Len() == 0 {
			t.Errorf("after %v the query says %q, %v", s, &stderr, err)
		}
	}
	p.index()
	p.assertSound()
}

// The oldest files go when the lake is larger than it may be, and who asks first is told which.
func TestBackendRetains(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	var size int
	for day := range 10 {
		content := spanFile(t, 100*day+1, 10)
		size = max(size, len(content))
		p.put(fmt.Sprintf("year=2026/month=10/day=%02d/a.parquet", day+1), content)
	}
	bound := fmt.Sprint(4*size + size/2) // some files are a few bytes smaller
	r := p.backend()
	r.untilHas("all files", 10, 100)
	type file struct {
		Path string `json:"file_path"`
	}
	expired := decode[[]file](t, p.must("retain", "--retain-bytes", bound, "--dry-run", "--json"))
	for i, f := range expired {
		if want := fmt.Sprintf("year=2026/month=10/day=%02d/a.parquet", i+1); f.Path != want {
			t.Errorf("number %d to go is %s, want %s", i, f.Path, want)
		}
	}
	if len(expired) != 6 {
		t.Errorf("%d files are to go, want 6", len(expired))
	}
	p.assertHeld(p.run("retain", "--retain-bytes", bound), []string{"retain"}, r.cmd)
	r.stop()

	r = p.backend("--retain-bytes", bound)
	r.untilHas("the oldest files to go", 4, 40)
	p.must("verify")
	for _, f := range decode[[]file](t, p.must("files", "--json")) {
		if f.Path < "year=2026/month=10/day=07" {
			t.Errorf("%s was kept", f.Path)
		}
	}
	if result := p.index(); result.FilesFound != 4 || result.FilesUnchanged != 4 {
		t.Errorf("after retention the lake has %+v", result)
	}
	r.stop()
	p.assertSound()
}
