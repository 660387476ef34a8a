package app_test

import (
	"context"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/spanlake/spanlake/internal/api/client"
	"github.com/spanlake/spanlake/internal/app"
	"github.com/spanlake/spanlake/internal/config"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
	"github.com/spanlake/spanlake/internal/testkit/output"
)

// TestMain checks that nothing of a backend outlives it. The database that writes the files of tests stays open; that of a
// backend, left open, would leave its write-ahead log beside the index, which stop looks for.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"))
}

// running is a backend in this process.
type running struct {
	t      *testing.T
	app    app.App
	lake   testkit.Lake
	logs   *output.Buffer
	client *client.Client
	cancel context.CancelFunc
	ended  chan error
}

// start runs a backend over a new lake.
func start(t *testing.T, flags map[string]string) *running {
	t.Helper()
	l := testkit.NewLake(t)
	settings := map[string]string{
		"lake": l.Root, "db": filepath.Join(t.TempDir(), "index", "x.duckdb"), "listen": "127.0.0.1:0", "memory": "256MB", "poll-interval": "5s", "internal-server": "off",
	}
	maps.Copy(settings, flags)
	c, err := config.Load(settings, func(string) (string, bool) { return "", false }, filepath.Join(t.TempDir(), ".env"))
	if err != nil {
		t.Fatal(err)
	}
	r := &running{t: t, lake: l, logs: &output.Buffer{}}
	r.app = app.New(c, slog.New(slog.NewTextHandler(r.logs, nil)))
	r.run()
	t.Cleanup(r.stop)
	return r
}

// run starts the backend, for the first time or again.
func (r *running) run() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.ended = cancel, make(chan error, 1)
	url := make(chan string, 1)
	go func() { r.ended <- r.app.Run(ctx, app.Backend, "test", func(at app.Addresses) { url <- at.URL }) }()
	select {
	case at := <-url:
		c, err := client.New(at, "")
		if err != nil {
			r.t.Fatal(err)
		}
		r.client = c
	case <-time.After(10 * time.Second):
		r.t.Fatalf("the backend does not start\n%s", r.logs)
	case err := <-r.ended:
		r.t.Fatalf("Run() = %v\n%s", err, r.logs)
	}
}

// stop stops the backend, which must not take long nor leave anything behind.
func (r *running) stop() {
	r.t.Helper()
	if r.cancel == nil {
		return
	}
	r.client.Close()
	began := time.Now()
	r.cancel()
	if err := <-r.ended; err != nil {
		r.t.Errorf("Run() = %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		r.t.Errorf("it took %s to stop", took)
	}
	r.cancel = nil
	left, err := os.ReadDir(filepath.Dir(r.app.Config.DB))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, entry := range left {
		if entry.Name() != filepath.Base(r.app.Config.DB) {
			r.t.Errorf("%s was left beside the index", entry.Name())
		}
	}
}

// status is what the indexer says of itself.
func (r *running) status() span.IndexerStatus {
	r.t.Helper()
	status, err := r.client.Status(r.t.Context())
	if err != nil {
		r.t.Fatalf("Status() = %v\n%s", err, r.logs)
	}
	return status
}

// eventually waits until the status is as it should be.
func (r *running) eventually(what string, done func(span.IndexerStatus) bool) {
	r.t.Helper()
	var last span.IndexerStatus
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if last = r.status(); done(last) {
			return
		}
	}
	r.t.Fatalf("waited for %s, but the status is %+v\n%s", what, last, r.logs)
}

func (r *running) assertSound() {
	r.t.Helper()
	n, err := r.client.Verify(r.t.Context(), func(d span.Difference) { r.t.Errorf("Verify(): %s: %s %s", d.Check, d.Subject, d.Problem) })
	if err != nil || n != 0 {
		r.t.Errorf("Verify() = %d, %v", n, err)
	}
}

// The whole way: a lake that is not there yet appears, files come, change and go, and the backend is started again.
func TestBackendFollowsTheLake(t *testing.T) {
	r := start(t, nil)
	r.eventually("the first look", func(s span.IndexerStatus) bool { return s.State == span.IndexerIdle })

	for day := range 3 {
		r.lake.Spans(t, "year=2026/month=11/day=0"+string(rune('1'+day))+"/a.parquet", testkit.Spans(100*day+1, 50)...)
	}
	r.eventually("new files in new folders", func(s span.IndexerStatus) bool { return s.IndexedFiles == 3 && s.IndexedSpans == 150 })
	r.lake.Spans(t, "year=2026/month=11/day=01/a.parquet", testkit.Spans(1, 20)...)
	r.eventually("a file that was rewritten", func(s span.IndexerStatus) bool { return s.IndexedFiles == 3 && s.IndexedSpans == 120 })
	r.lake.Remove(t, "year=2026/month=11/day=02/a.parquet")
	r.eventually("a file that went", func(s span.IndexerStatus) bool { return s.IndexedFiles == 2 && s.IndexedSpans == 70 })
	r.assertSound()

	r.stop()
	r.lake.Spans(t, "year=2026/month=11/day=03/b.parquet", testkit.Spans(1001, 5)...)
	r.run()
	r.eventually("what came while it did not run", func(s span.IndexerStatus) bool { return s.IndexedFiles == 3 && s.IndexedSpans == 75 })
	r.assertSound()
}

// A port that is taken costs the start, and the message names the setting.
func TestAPortThatIsTaken(t *testing.T) {
	r := start(t, nil)
	second := r.app
	second.Config.DB = filepath.Join(t.TempDir(), "other.duckdb")
	second.Config.Listen = strings.TrimPrefix(url(t, r), "http://")
	err := second.Run(t.Context(), app.Backend, "test", nil)
	if err == nil || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("Run() on a port that is taken = %v, want an error that names --listen", err)
	}
}

// url is where the backend is reached.
func url(t *testing.T, r *running) string {
	t.Helper()
	server, ok, err := app.FindServer(r.app.Config.DB)
	if err != nil || !ok {
		t.Fatalf("FindServer() = %v, %v", ok, err)
	}
	return server.URL
}
