//go:build unix

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/api/client"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
	"github.com/spanlake/spanlake/internal/testkit/output"
)

// running is a server in a process of its own.
type running struct {
	place
	cmd            *exec.Cmd
	url            string
	client         *client.Client
	stdout, stderr *output.Buffer
	ended          chan struct{}
	// grpc, http and internal are HOST:PORT of what takes spans in and shows them, "" if it does not.
	grpc, http, internal string
}

// launch starts a backend without waiting for it.
func (p place) launch(args ...string) *running {
	p.t.Helper()
	return p.start(p.command(append([]string{"backend", "--listen", "127.0.0.1:0", "--poll-interval", "5s", "--internal-server", "off"}, args...)...))
}

// start starts a server without waiting for it.
func (p place) start(cmd *exec.Cmd) *running {
	p.t.Helper()
	r := &running{place: p, cmd: cmd, stdout: &output.Buffer{}, stderr: &output.Buffer{}, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = r.stdout, r.stderr
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		defer close(r.ended)
		_ = cmd.Wait() // the exit code is looked at
	}()
	p.t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has ended unless the test failed
		<-r.ended
	})
	return r
}

// backend starts a backend and waits until it listens.
func (p place) backend(args ...string) *running {
	p.t.Helper()
	return p.launch(args...).listening()
}

// listening waits until a server listens, and notes where.
func (r *running) listening() *running {
	r.t.Helper()
	eventually(r.t, "the server to listen", func() bool {
		if r.hasEnded() {
			r.t.Fatalf("the server ended with %d\n%s", cmdCode(r.cmd), r.stderr)
		}
		return r.addresses()
	})
	c, err := client.New(r.url, "")
	if err != nil {
		r.t.Fatal(err)
	}
	r.client = c
	r.t.Cleanup(c.Close)
	return r
}

// addresses reads what a server printed of where it listens. The last line, and the only one of a backend, has its URL.
func (r *running) addresses() (all bool) {
	r.t.Helper()
	printed := r.stdout.String()
	for line := range strings.Lines(printed) {
		if !strings.HasSuffix(line, "\n") {
			return false
		}
		said, address, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " on ")
		switch said {
		case "Taking OTLP over gRPC":
			r.grpc = address
		case "Taking OTLP over HTTP":
			r.http = address
		case "Showing unflushed spans":
			r.internal = address
		case "Following " + r.lake, "Writing to " + r.lake + ", health and metrics":
			r.url = address
			return true
		default:
			ok = false
		}
		if !ok {
			r.t.Fatalf("the server says %q", line)
		}
	}
	return false
}

func (r *running) hasEnded() bool {
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}

func cmdCode(cmd *exec.Cmd) int { return cmd.ProcessState.ExitCode() }

// stop ends the backend in order, which must not take long nor leave anything behind but, where a transaction or a query was
// cut off, the write-ahead log: the driver can then keep the database from being closed in order, and the next start
// replays it.
func (r *running) stop() {
	r.t.Helper()
	r.end(syscall.SIGTERM)
	entries, err := os.ReadDir(filepath.Dir(r.db))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.Name() != filepath.Base(r.db) && entry.Name() != filepath.Base(r.db)+".wal" {
			r.t.Errorf("%s was left beside the index\n%s", entry.Name(), r.stderr)
		}
	}
}

// end ends the backend with a signal that asks it to.
func (r *running) end(s syscall.Signal) {
	r.t.Helper()
	r.client.Close()
	signal(r.t, r.cmd, s)
	asked := time.Now()
	<-r.ended
	if took := time.Since(asked); took > 8*time.Second { // 5 s, and some for a machine that is busy
		r.t.Errorf("after %v it took %v to end", s, took)
	}
	if code := cmdCode(r.cmd); code != 0 {
		r.t.Errorf("after %v the exit code is %d\n%s", s, code, r.stderr)
	}
}

// status is what the indexer says of itself.
func (r *running) status() span.IndexerStatus {
	r.t.Helper()
	status, err := r.client.Status(r.t.Context())
	if err != nil {
		r.t.Fatalf("status: %v\n%s", err, r.stderr)
	}
	return status
}

// until waits until the status is as it should be.
func (r *running) until(what string, done func(span.IndexerStatus) bool) {
	r.t.Helper()
	var last span.IndexerStatus
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if last = r.status(); done(last) {
			return
		}
	}
	r.t.Fatalf("waited a minute for %s, but the status is %+v\n%s", what, last, r.stderr)
}

// untilHas waits until the index has so many files and spans and nothing is left to do.
func (r *running) untilHas(what string, files, spans int64) {
	r.t.Helper()
	r.until(what, func(s span.IndexerStatus) bool {
		return s.State == span.IndexerIdle && s.IndexedFiles == files && s.IndexedSpans == spans
	})
}

// ready is what /readyz answers.
func (r *running) ready() int {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.url+"/readyz", http.NoBody)
	if err != nil {
		r.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	return response.StatusCode
}

// number asks the backend for one number.
func number(ctx context.Context, c *client.Client, query string) (n int64, err error) {
	err = c.Select(ctx, query, span.FormText, func([]string) error { return nil }, func(row []*string) error {
		_, err := fmt.Sscan(*row[0], &n)
		return err
	})
	return n, err
}

// spanFile is a Parquet file with n spans, numbered from first.
func spanFile(t *testing.T, first, n int) []byte {
	t.Helper()
	return testkit.ArrowBytes(t, n,
		testkit.Text("trace_id", func(i int) string { return testkit.TraceID(first + i) }),
		testkit.Text("span_id", func(i int) string { return testkit.TraceID(first + i)[16:] }),
		testkit.Text("service_name", func(int) string { return "svc" }),
		testkit.Text("name", func(int) string { return "op" }),
		testkit.Nanos("start_time", func(i int) int64 { return testkit.Start.UnixNano() + int64(first+i)*1000 }),
		testkit.Nanos("end_time", func(i int) int64 { return testkit.Start.UnixNano() + int64(first+i)*1000 + 500 }),
	)
}

// put publishes a file as writers do: under a hidden name first.
func (p place) put(rel string, content []byte) {
	p.t.Helper()
	if err := publish(filepath.Join(p.lake, rel), content); err != nil {
		p.t.Fatal(err)
	}
}

func publish(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	temporary := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".tmp")
	if err := os.WriteFile(temporary, content, 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

// Commands ask the backend that holds the index, found beside the index or named by --server.
func TestBackendIsAskedByCommands(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	p.put("year=2026/month=11/day=01/a.parquet", spanFile(t, 1, 10))
	p.put("year=2026/month=11/day=02/bad.parquet", []byte("no Parquet"))
	old := testkit.Start.AddDate(0, 0, -1)
	if err := os.Chtimes(filepath.Join(p.lake, "year=2026/month=11/day=02/bad.parquet"), old, old); err != nil {
		t.Fatal(err)
	}
	r := p.backend()
	r.untilHas("the first file", 1, 10)

	elsewhere := newPlace(t, "")
	for _, from := range []struct {
		place
		args []string
	}{{p, nil}, {elsewhere, []string{"--server", r.url}}} {
		for command, want := range map[string]string{
			"services": "svc", "files": "day=01/a.parquet", "failed": "day=02/bad.parquet", "verify": "",
			"sql SELECT count(*) AS n FROM span_metadata": "10", "index": "1 unchanged",
		} {
			args := []string{command}
			if query, ok := strings.CutPrefix(command, "sql "); ok {
				args = []string{"sql", query}
			}
			r := from.run(append(args, from.args...)...)
			// Services says that the file is missing that failed.
			if r.code != 0 || r.stderr != "" && command != "services" {
				t.Errorf("%q %q: exit code %d, %s", args, from.args, r.code, r.stderr)
			}
			if got := r.stdout; !strings.Contains(got, want) || want == "" && got != "" {
				t.Errorf("%q %q prints %q, want %q", args, from.args, got, want)
			}
		}
	}
	if _, err := os.Stat(elsewhere.db); err == nil {
		t.Error("--server made an index")
	}

	type failed struct {
		RetryCount int `json:"retry_count"`
	}
	p.must("retry", "--all")
	eventually(t, "the failed file to be tried again", func() bool {
		list := decode[[]failed](t, p.must("failed", "--json"))
		return len(list) == 1 && list[0].RetryCount > 0
	})
	p.assertHeld(p.run("rebuild"), []string{"rebuild"}, r.cmd)
	p.assertHeld(p.run("backend", "--listen", "127.0.0.1:0"), []string{"backend"}, r.cmd)
	r.stop()
	p.assertSound()
}

// What a backend that was killed left beside the index says nothing of who holds it now.
func TestBackendThatWasKilled(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	p.put("a.parquet", spanFile(t, 1, 10))
	r := p.backend()
	r.untilHas("the file", 1, 10)
	signal(t, r.cmd, syscall.SIGKILL)
	<-r.ended
	if _, err := os.Stat(p.db + ".server"); err != nil {
		t.Fatalf("the test is about a note that was left: %v", err)
	}
	p.must("services")
	p.put("b.parquet", spanFile(t, 11, 10))
	p.index()
	p.must("verify")
	r = p.backend()
	r.untilHas("both files", 2, 20)
	p.must("verify")
	r.stop()
	p.assertSound()
}
