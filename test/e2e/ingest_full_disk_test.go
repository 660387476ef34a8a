//go:build linux

package e2e

import (
	"errors"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/spanlake/spanlake/internal/api/client"
)

// retryDelay is when a gRPC error says that the request may be sent again, 0 if it does not.
func retryDelay(err error) time.Duration {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

// room bounds the size of all files that the process writes, as a disk that is full does; 0 takes the bound away.
func (r *running) room(bytes uint64) {
	r.t.Helper()
	var limit unix.Rlimit
	if err := unix.Prlimit(r.cmd.Process.Pid, unix.RLIMIT_FSIZE, nil, &limit); err != nil {
		r.t.Fatal(err)
	}
	if limit.Cur = bytes; bytes == 0 {
		limit.Cur = limit.Max
	}
	if err := unix.Prlimit(r.cmd.Process.Pid, unix.RLIMIT_FSIZE, &limit, nil); err != nil {
		r.t.Fatal(err)
	}
}

// tries sends a request over both transports. What is refused has to be refused so that clients send it again.
type tries struct {
	*caller
	r *running
	// next is the number of the next span; refused counts requests.
	next    uint64
	refused int
	kept    map[uint64]bool
}

func (r *running) tries() *tries {
	return &tries{caller: r.caller(), r: r, next: 1, kept: make(map[uint64]bool)}
}

// send sends n spans over each transport, and tells how many requests were taken.
func (c *tries) send(n, text int) (taken int) {
	t := c.r.t
	t.Helper()
	_, err := c.grpc.Export(t.Context(), spansFrom("svc", c.next, n, text))
	taken += c.note(n, err == nil)
	if code := grpcCode(err); err != nil && (code != codes.Unavailable && code != codes.ResourceExhausted || retryDelay(err) == 0) {
		t.Errorf("gRPC refuses with %v %v, which no client tries again", err, status.Convert(err).Details())
	}
	err = c.r.postSpans(t.Context(), spansFrom("svc", c.next, n, text))
	taken += c.note(n, err == nil)
	if refused := (*refusedError)(nil); errors.As(err, &refused) {
		seconds, _ := strconv.Atoi(refused.header.Get("Retry-After")) // 0 is what it must not be
		if refused.code != http.StatusServiceUnavailable && refused.code != http.StatusTooManyRequests || seconds <= 0 {
			t.Errorf("HTTP refuses with %v and %v, which no client tries again", err, refused.header)
		}
	} else if err != nil {
		t.Errorf("HTTP: %v", err)
	}
	return taken
}

func (c *tries) note(n int, taken bool) int {
	first := c.next
	c.next += uint64(n)
	if !taken {
		c.refused++
		return 0
	}
	for i := range n {
		c.kept[first+uint64(i)] = true
	}
	return 1
}

// assertKept checks that the lake has what was taken, each span once, and nothing of what was refused.
func (c *tries) assertKept(p place) {
	p.t.Helper()
	rows := make(map[uint64]int)
	for _, s := range p.lakeSpans() {
		n, err := strconv.ParseUint(s.SpanID, 16, 64)
		if err != nil {
			p.t.Fatal(err)
		}
		if rows[n]++; rows[n] > 1 || !c.kept[n] {
			p.t.Errorf("the span %d is in the lake %d times, and taken: %v", n, rows[n], c.kept[n])
		}
	}
	for n := range c.kept {
		if rows[n] == 0 {
			p.t.Errorf("the span %d was taken, and is not in the lake", n)
		}
	}
}

// The disk is full at one step or another. Clients are told to try again, flushes fail and leave everything where it is, and
// when there is room it all goes on without a restart.
func TestAFullDiskWhileSpansAreTakenIn(t *testing.T) {
	t.Parallel()
	for role, start := range map[string]func(place) *running{
		"ingest": func(p place) *running { return p.ingest() },
		"serve":  func(p place) *running { return p.serve() },
	} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, "")
			r := start(p)
			c := r.tries()
			c.send(10, 10)
			var refused, flushFailed int
			for _, size := range []uint64{1, 6_000, 40_000, 90_000, 200_000, 600_000, 1_500_000} {
				c.send(100, 3000) // 300 kB that do not compress
				r.room(size)
				before := c.refused
				for range 3 {
					c.send(10, 500)
				}
				if refused += c.refused - before; c.refused == before+6 { // one that was taken would say that all is well again
					if code, text := r.get("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(text, "refused") {
						t.Errorf("with files of %d bytes at most /readyz is %d, %q", size, code, text)
					}
				}
				flushed, err := r.client.Flush(t.Context())
				if failed := (*client.ServerError)(nil); errors.As(err, &failed) {
					flushFailed++
				} else if err != nil {
					t.Fatalf("with files of %d bytes at most: %v", size, err)
				}
				t.Logf("with files of %d bytes at most: %d requests refused, flushed %+v, %v", size, c.refused-before, flushed, err)
				c.send(10, 500)
				r.room(0)
				if c.send(10, 10) != 2 {
					t.Errorf("when there is room again spans are refused\n%s", r.stderr)
				}
				r.flush()
				if got := r.taking(); got.UnflushedSpans != 0 || got.Refusing != "" || got.FlushFailures != 0 || got.LastFlushError != "" {
					t.Errorf("when there is room again the status is %+v", got)
				}
				if t.Failed() {
					t.Fatalf("%s", r.stderr)
				}
			}
			if refused == 0 || flushFailed == 0 {
				t.Errorf("%d requests were refused and %d flushes failed: neither may be 0", refused, flushFailed)
			}
			if log := r.stderr.String(); !strings.Contains(log, "spans are refused") || !strings.Contains(log, "cannot be moved into the lake") {
				t.Errorf("the log does not say what is wrong\n%s", log)
			}
			if role == "serve" {
				r.untilEmpty()
				r.untilHas("all that was taken", int64(len(p.lakeFiles())), int64(len(c.kept)))
				p.must("verify")
			}
			r.end(syscall.SIGTERM)
			c.assertKept(p)
		})
	}
}

// There is room for what the log writes and none for a file of the lake: spans are taken in, flushing fails and is tried
// again by itself until it succeeds, and nothing is left of the attempts.
func TestADiskThatIsTooFullForAFile(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	// Age is looked at more often than a failed flush is tried again, and must not keep that from happening.
	r := p.ingest("--flush-max-mb", "1000", "--flush-max-rows", "1000000", "--flush-interval", "1s")
	c := r.tries()
	c.send(400, 3000) // 2.4 MB
	// SQLite's journal, which is as large now, begins anew when the log has been idle for a moment.
	time.Sleep(2500 * time.Millisecond)
	const size = 500_000
	r.room(size)
	if taken := c.send(10, 100); taken != 2 {
		t.Fatalf("of 2 requests %d were taken\n%s", taken, r.stderr)
	}
	var failed *client.ServerError
	if _, err := r.client.Flush(t.Context()); !errors.As(err, &failed) || !strings.Contains(err.Error(), p.lake) {
		t.Fatalf("flush with files of %d bytes at most: %v, want an error that names the file", size, err)
	}
	if taken := c.send(10, 100); taken != 2 {
		t.Errorf("after a flush that failed, of 2 requests %d were taken\n%s", taken, r.stderr)
	}
	if got := r.taking(); got.FlushFailures == 0 || !strings.Contains(got.LastFlushError, p.lake) || got.HotSpans != int64(len(c.kept)) {
		t.Errorf("the status is %+v, want a failed flush and all %d spans shown", got, len(c.kept))
	}
	_, metrics := r.get("/metrics")
	if metric(metrics, "spanlake_flush_failures") < 1 || metric(metrics, `spanlake_flush_total{result="failed"}`) < 1 {
		t.Errorf("the failure is not counted\n%s", metrics)
	}
	if files := p.lakeFiles(); len(files) != 0 {
		t.Errorf("the lake has %q", files)
	}
	eventually(t, "the flush to be tried again and again", func() bool { return r.taking().FlushFailures >= 3 })
	r.room(0)
	eventually(t, "the flush to succeed", func() bool { return len(p.lakeFiles()) == 1 && r.taking().FlushFailures == 0 })
	r.end(syscall.SIGTERM)
	c.assertKept(p)
	left, err := filepath.Glob(filepath.Join(p.lake, "*", "*", "*", ".*"))
	if err != nil || len(left) != 0 {
		t.Errorf("%q were left behind, %v", left, err)
	}
}

// Told to stop on a disk that is full, it ends in time, says what it could not do, and the next process does it.
func TestStoppingOnAFullDisk(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	r := p.ingest()
	c := r.tries()
	c.send(100, 100)
	r.room(1)
	r.end(syscall.SIGTERM)
	if log := r.stderr.String(); !strings.Contains(log, "stay in the write-ahead log") {
		t.Errorf("the log does not say that spans are left\n%s", log)
	}
	if files := p.lakeFiles(); len(files) != 0 {
		t.Fatalf("the test is about spans that are not flushed, and there are %q", files)
	}
	r = p.ingest()
	if got := r.taking(); got.HotSpans != int64(len(c.kept)) {
		t.Errorf("the next process shows %d spans, want %d", got.HotSpans, len(c.kept))
	}
	r.end(syscall.SIGTERM)
	c.assertKept(p)
}

// A log that is as large as it may be empties itself, and its clients go on.
func TestAFullLogMakesRoom(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	r := p.ingest("--max-wal-size", "16MB", "--flush-max-mb", "1000", "--flush-max-rows", "1000000")
	c := r.tries()
	began := time.Now()
	for sent := 0; sent < 60; { // 1.2 MB each, which do not compress
		before := c.refused
		sent += c.send(400, 3000)
		if c.refused > before {
			time.Sleep(50 * time.Millisecond)
		}
		if time.Since(began) > 90*time.Second {
			t.Fatalf("in 90 s %d requests were taken\n%s", sent, r.stderr)
		}
	}
	t.Logf("%d requests were refused in %v", c.refused, time.Since(began))
	if c.refused == 0 {
		t.Error("nothing was refused, which the test is about")
	}
	if log := r.stderr.String(); !strings.Contains(log, "--max-wal-size") {
		t.Errorf("the log does not name the setting\n%s", log)
	}
	_, metrics := r.get("/metrics")
	if metric(metrics, `spanlake_ingest_spans_refused_total{reason="wal_size"}`) < 1 {
		t.Errorf("what was refused is not counted\n%s", metrics)
	}
	r.end(syscall.SIGTERM)
	c.assertKept(p)
}

// A disk that has less free space than is to stay free takes nothing, and says why.
func TestADiskWithTooLittleFree(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	r := p.ingest("--min-free-disk", "1000000TB")
	c := r.tries()
	if c.send(10, 10) != 0 {
		t.Error("spans are taken")
	}
	if code, text := r.get("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(text, "--min-free-disk") {
		t.Errorf("/readyz is %d, %q", code, text)
	}
	if code, _ := r.get("/healthz"); code != http.StatusOK {
		t.Errorf("/healthz is %d: there is no use in a restart", code)
	}
	if log := r.stderr.String(); strings.Count(log, "level=WARN") != 1 || !strings.Contains(log, "--min-free-disk") {
		t.Errorf("it logs, of one thing that is wrong,\n%s", log)
	}
	_, metrics := r.get("/metrics")
	if metric(metrics, "spanlake_ingest_refusing") != 1 || metric(metrics, `spanlake_ingest_spans_refused_total{reason="disk"}`) < 1 {
		t.Errorf("what was refused is not counted\n%s", metrics)
	}
	r.end(syscall.SIGTERM)
}
