//go:build unix

package e2e

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/spanlake/spanlake/internal/span"
)

// Nothing is there on the first start, and what is told to stop leaves every acknowledged span in files.
func TestStoppingFlushes(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(place) *running{
		"serve":  func(p place) *running { return p.serve() },
		"ingest": func(p place) *running { return p.ingest() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, "")
			for round, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
				r := start(p)
				r.send(r.dial(), spansFrom("svc", uint64(1+100*round), 60, 10))
				if err := r.postSpans(t.Context(), spansFrom("svc", uint64(61+100*round), 40, 10)); err != nil {
					t.Fatal(err)
				}
				if got := r.taking(); got.UnflushedSpans != 100 || got.HotSpans < 100 || got.OldestUnflushed == nil {
					t.Errorf("before it stops the status is %+v, want 100 unflushed spans", got)
				}
				r.end(s)
				p.assertInLake(1, 100*(round+1))
				if log := r.stderr.String(); strings.Contains(log, "level=ERROR") || strings.Contains(log, "level=WARN") {
					t.Errorf("after %v it logs\n%s", s, log)
				}
				for _, note := range []string{p.wal() + ".server", p.wal() + "-wal", p.wal() + "-shm"} {
					if _, err := os.Stat(note); err == nil {
						t.Errorf("%s was left behind", note)
					}
				}
			}
		})
	}
}

// Whoever has connected and says nothing, or stops half-way, does not keep the others' spans from being flushed.
func TestStoppingFlushesWhateverClientsDo(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	r := p.ingest()
	for _, said := range []string{"", "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"} {
		for _, address := range []string{r.grpc, r.http} {
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			if _, err := io.WriteString(conn, said); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.send(r.dial(), spansFrom("svc", 1, 50, 10))
	r.end(syscall.SIGTERM)
	p.assertInLake(1, 50)
}

// While nobody is there, spans stay in the log. What takes them in next shows and flushes them.
func TestSpansOutliveTheProcess(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	r := p.ingest()
	r.send(r.dial(), spansFrom("svc", 1, 50, 10))
	r.kill()
	if files := p.lakeFiles(); len(files) != 0 {
		t.Fatalf("the test is about spans that are in no file, and there are %q", files)
	}
	r = p.serve()
	if got := r.taking(); got.UnflushedSpans != 50 || got.HotSpans != 50 {
		t.Errorf("after a kill the status is %+v, want 50 unflushed spans", got)
	}
	if got := r.flush(); got.Files != 1 || got.Spans != 50 {
		t.Errorf("flush = %+v, want 50 spans in a file", got)
	}
	r.untilEmpty()
	r.untilHas("the file", 1, 50)
	if got := r.flush(); got != (span.Flushed{}) {
		t.Errorf("a flush of nothing = %+v", got)
	}
	r.stop()
	p.assertInLake(1, 50)
	p.assertSound()
}

// The write-ahead log belongs to one process; a second one says which, and costs the first nothing.
func TestASecondProcessOnTheSameLog(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	r := p.ingest()
	pid := strconv.Itoa(r.cmd.Process.Pid)
	second := newPlace(t, "") // of another index
	for _, args := range [][]string{ingestArgs("--wal", p.wal()), serveArgs("--wal", p.wal())} {
		got := second.run(args...)
		if got.code != 3 || !strings.Contains(got.stderr, pid) || !strings.Contains(got.stderr, p.wal()) {
			t.Errorf("%s: exit code %d, %q, want 3 and the process %s that has %s", args[0], got.code, got.stderr, pid, p.wal())
		}
	}
	r.send(r.dial(), spansFrom("svc", 1, 10, 10))
	r.end(syscall.SIGTERM)
	p.assertInLake(1, 10)
}

// The command finds the server that has the log, or is told where it is, or does the work itself.
func TestFlushCommand(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	if got := decode[span.Flushed](t, p.must("flush", "--json")); got != (span.Flushed{}) {
		t.Errorf("without a log it says %+v", got)
	}
	if _, err := os.Stat(filepath.Dir(p.wal())); err == nil {
		t.Error("flush made a log")
	}
	r := p.ingest()
	c := r.dial()
	r.send(c, spansFrom("svc", 1, 10, 10))
	if got := decode[span.Flushed](t, p.must("flush", "--json")); got.Files != 1 || got.Spans != 10 || got.Bytes == 0 {
		t.Errorf("beside the server it says %+v", got)
	}
	r.send(c, spansFrom("svc", 11, 10, 10))
	if got := newPlace(t, "").must("flush", "--server", r.url); !strings.HasPrefix(got, "10 spans flushed to 1 file of ") {
		t.Errorf("from elsewhere it says %q", got)
	}
	p.assertInLake(1, 20)
	r.send(c, spansFrom("svc", 21, 10, 10))
	r.kill()
	if got := p.must("flush"); !strings.HasPrefix(got, "10 spans flushed to 1 file of ") {
		t.Errorf("without a server it says %q", got)
	}
	p.assertInLake(1, 30)
	if got := decode[span.Flushed](t, p.must("flush", "--json")); got != (span.Flushed{}) {
		t.Errorf("a second time it says %+v", got)
	}
	if got := p.run("flush", "--server", r.url); got.code != 1 || !strings.Contains(got.stderr, r.url) {
		t.Errorf("a server that is gone: exit code %d, %q", got.code, got.stderr)
	}
}

// metric is the value of a metric with these labels, or -1.
func metric(text, name string) float64 {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err == nil {
				return n
			}
		}
	}
	return -1
}

// What is taken in, refused, unflushed and flushed is counted.
func TestMetricsOfIngest(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	r := p.ingest()
	r.send(r.dial(), spansFrom("svc", 1, 10, 10))
	if err := r.postSpans(t.Context(), spansFrom("svc", 11, 5, 10)); err != nil {
		t.Fatal(err)
	}
	bad := spansFrom("svc", 16, 3, 10)
	bad.ResourceSpans[0].ScopeSpans[0].Spans[1].SpanId = nil
	if err := r.postSpans(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "1 spans are rejected") {
		t.Errorf("a span without an id: %v", err)
	}
	expect := func(when string, want map[string]float64) {
		t.Helper()
		code, text := r.get("/metrics")
		if code != 200 {
			t.Fatalf("%s: status %d", when, code)
		}
		for name, value := range want {
			if got := metric(text, "spanlake_"+name); got != value {
				t.Errorf("%s: %s is %v, want %v", when, name, got, value)
			}
		}
		if t.Failed() {
			t.Logf("%s", text)
		}
	}
	expect("before a flush", map[string]float64{
		`ingest_spans_accepted_total{transport="grpc"}`: 10, `ingest_spans_accepted_total{transport="http"}`: 7,
		`ingest_spans_refused_total{reason="invalid"}`: 1, "wal_requests": 3, "wal_spans": 17, "hot_spans": 17,
		"flush_spans_total": 0, `flush_total{result="ok"}`: 0, `flush_total{result="failed"}`: 0, "ingest_refusing": 0,
	})
	_, text := r.get("/metrics")
	for _, name := range []string{"spanlake_wal_oldest_age_seconds", "spanlake_wal_data_bytes", "spanlake_wal_size_bytes"} {
		if metric(text, name) <= 0 {
			t.Errorf("%s is %v", name, metric(text, name))
		}
	}
	r.flush()
	expect("after a flush", map[string]float64{
		"wal_requests": 0, "wal_spans": 0, "wal_oldest_age_seconds": 0, "flush_spans_total": 17,
		`flush_total{result="ok"}`: 1, "flush_duration_seconds_count": 1, "flush_failures": 0,
	})
	r.end(syscall.SIGTERM)
}

// A backend answers without the process that takes spans in, says so, and finds it when it comes, goes and comes back.
func TestBackendWithoutIngest(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	p.put("year=2026/month=11/day=01/a.parquet", spanFile(t, 1, 10))
	internal := freePort(t)
	b := p.backend("--internal-server", internal)
	b.untilHas("the file", 1, 10)
	b.until("nobody to answer for unflushed spans", func(s span.IndexerStatus) bool {
		return s.Hot.State == span.HotUnreachable && s.Hot.Address == internal && s.Hot.Error != ""
	})
	if got := b.ready(); got != 200 {
		t.Errorf("without unflushed spans /readyz is %d", got)
	}
	for round := range 2 {
		r := p.ingest("--internal-listen", internal)
		b.until("unflushed spans of the other process", func(s span.IndexerStatus) bool {
			return s.Hot.State == span.HotRemote && s.Hot.Error == ""
		})
		r.send(r.dial(), spansFrom("svc", uint64(1+10*round), 10, 10))
		r.flush()
		r.untilEmpty() // the backend has said that they are indexed
		b.untilHas("what was flushed", int64(2+round), int64(20+10*round))
		if round == 0 {
			r.kill()
		} else {
			r.end(syscall.SIGTERM)
		}
		b.until("nobody to answer again", func(s span.IndexerStatus) bool { return s.Hot.State == span.HotUnreachable })
	}
	b.stop()
	p.assertSound()
}

// In one process there is nobody to reach.
func TestServeHasItsSpansInTheProcess(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	r := p.serve()
	if got := r.status().Hot; got.State != span.HotLocal {
		t.Errorf("unflushed spans are %+v", got)
	}
	r.stop()
	b := p.backend("--internal-server", "off")
	if got := b.status().Hot; got.State != span.HotOff {
		t.Errorf("of a backend that asks nobody they are %+v", got)
	}
	b.stop()
}

func TestHealthcheck(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	r := p.ingest()
	if got := p.must("healthcheck", "--url", r.url); !strings.Contains(got, "ok") {
		t.Errorf("of a server that is well it prints %q", got)
	}
	b := p.backend()
	listen := strings.TrimPrefix(b.url, "http://")
	p.must("healthcheck", "--listen", listen)
	b.stop()
	r.end(syscall.SIGTERM)
	for _, args := range [][]string{{"--url", r.url}, {"--listen", listen}} {
		got := p.run(append([]string{"healthcheck"}, args...)...)
		if got.code != 1 || !regexp.MustCompile(`not well.*`+regexp.QuoteMeta(strings.TrimPrefix(args[1], "http://"))).MatchString(got.stderr) {
			t.Errorf("%q of a server that is gone: exit code %d, %q", args, got.code, got.stderr)
		}
	}
}

// Who cannot start says which setting to change, and leaves no process behind that holds the log.
func TestWhatCannotStart(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	taken := p.backend()
	port := strings.TrimPrefix(taken.url, "http://")
	unusable := filepath.Join(p.folder, "no-database")
	if err := os.WriteFile(unusable, []byte("this is no SQLite database"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		code  int
		names string
		args  []string
	}{
		{1, "--otlp-grpc", ingestArgs("--otlp-grpc", port)},
		{1, "--otlp-http", ingestArgs("--otlp-http", port)},
		{1, "--ingest-listen", ingestArgs("--ingest-listen", port)},
		{1, "--internal-listen", ingestArgs("--internal-listen", port)},
		{2, "--memory", serveArgs("--memory", "200MB")},
		{2, "--flush-max-rows", ingestArgs("--flush-max-rows", "0")},
		{4, unusable, ingestArgs("--wal", unusable)},
	} {
		if got := newPlace(t, "").run(c.args...); got.code != c.code || !strings.Contains(got.stderr, c.names) {
			t.Errorf("%q: exit code %d, %q, want %d and a word on %s", c.args, got.code, got.stderr, c.code, c.names)
		}
	}
	taken.stop()
}
