package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/api/client"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit/output"
)

// demoRun is a `spanlake demo` of this process.
type demoRun struct {
	t              *testing.T
	temp, home     string
	stdout, stderr output.Buffer
	ended          chan error
	cancel         context.CancelFunc
}

// startDemo starts a demo where the settings of its user lead elsewhere, and no port is to be had that it would like.
func startDemo(t *testing.T, args ...string) *demoRun {
	t.Helper()
	d := &demoRun{t: t, temp: t.TempDir(), home: t.TempDir(), ended: make(chan error, 1)}
	t.Setenv("TMPDIR", d.temp)
	t.Chdir(d.home)
	for _, name := range []string{"SPANLAKE_LISTEN", "SPANLAKE_MEMORY", "JUNJO_SPAN_STORAGE_PATH", "JUNJO_WAL_SQLITE_PATH", "SPANLAKE_READ_API_KEYS", "SPANLAKE_SERVER"} {
		t.Setenv(name, "elsewhere")
	}
	if err := os.WriteFile(".env", []byte("JUNJO_DUCKDB_PATH=elsewhere/x.duckdb\nSPANLAKE_BATCH=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, port := range []string{"1323", "4317", "4318"} {
		if l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:"+port); err == nil { // or it is taken already
			t.Cleanup(func() { _ = l.Close() })
		}
	}
	ctx, cancel := context.WithCancel(context.Background()) // that of the test would end too early
	d.cancel = cancel
	go func() { d.ended <- Run(ctx, append([]string{"demo"}, args...), &d.stdout, &d.stderr) }()
	return d
}

var demoURL = regexp.MustCompile(`(?m)^Spanlake demo: (http://127\.0\.0\.1:\d+)/  \(Ctrl-C ends it`)

// url waits until it is printed.
func (d *demoRun) url() string {
	d.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if found := demoURL.FindStringSubmatch(d.stdout.String()); found != nil {
			return found[1]
		}
		select {
		case err := <-d.ended:
			d.t.Fatalf("the demo ended: %v\n%s%s", err, &d.stdout, &d.stderr)
		default:
		}
	}
	d.t.Fatalf("the demo prints no URL: %q %q", &d.stdout, &d.stderr)
	return ""
}

// wait waits for its end, which has to be in order, and says what it left among temporary files.
func (d *demoRun) wait() []string {
	d.t.Helper()
	if err := <-d.ended; exitCode(err) != exitOK {
		d.t.Errorf("the demo ended with %v\n%s", err, &d.stderr)
	}
	if left := files(d.t, d.home); len(left) != 1 || left[0] != ".env" {
		d.t.Errorf("in the folder of its user it left %v", left)
	}
	left, err := filepath.Glob(filepath.Join(d.temp, "*"))
	if err != nil {
		d.t.Fatal(err)
	}
	return left
}

// Whatever the environment says, the demo has a history at once, and soon what happens now; when it ends nothing is left.
func TestDemo(t *testing.T) {
	d := startDemo(t)
	defer d.cancel()
	began := time.Now()
	url := d.url()
	for _, port := range []string{"1323", "4317", "4318"} {
		if !strings.Contains(d.stderr.String(), "Port "+port+" is taken by another program") {
			t.Errorf("nothing is said of port %s: %s", port, &d.stderr)
		}
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	page, err := http.DefaultClient.Do(request)
	if err != nil || page.StatusCode != http.StatusOK {
		t.Fatalf("its first page: %v, %v", page, err)
	}
	_ = page.Body.Close() // it was only asked for
	c, err := client.New(url, "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	roots := span.TraceFilter{}
	first, err := c.Queries().Traces(t.Context(), roots, "", 100)
	if err != nil || len(first.Roots) != 100 {
		t.Fatalf("it begins with %d traces: %v", len(first.Roots), err)
	}
	until(t, "live traces and all of the history", func() bool {
		now, err := c.Queries().Traces(t.Context(), roots, "", 1)
		if err != nil {
			t.Fatal(err)
		}
		services, err := c.Services(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		day := false
		for _, s := range services {
			day = day || s.Name == "web-frontend" && s.FirstSeen.Before(began.Add(-23*time.Hour))
		}
		return day && len(now.Roots) == 1 && now.Roots[0].StartTime.After(began)
	})
	d.cancel()
	if left := d.wait(); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
	if n := strings.Count(d.stdout.String(), "http://"); n != 1 {
		t.Errorf("it prints %d URLs:\n%s", n, &d.stdout)
	}
}

// until waits for something to be true.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute for %s", what)
		}
	}
}

// It ends by itself when it is told to, and keeps its folder if it is told to.
func TestDemoThatIsKept(t *testing.T) {
	d := startDemo(t, "--duration", "4s", "--keep", "--no-open", "--listen", "127.0.0.1:0")
	defer d.cancel()
	d.url()
	left := d.wait()
	if len(left) != 1 || !strings.Contains(d.stdout.String(), "the data stays in "+left[0]+")") {
		t.Fatalf("it left %v and says %s", left, &d.stdout)
	}
	for _, name := range []string{"spans", "index.duckdb", "wal.db"} {
		if _, err := os.Stat(filepath.Join(left[0], name)); err != nil {
			t.Error(err)
		}
	}
}

// A demo that cannot start leaves nothing behind either.
func TestDemoThatFails(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for code, args := range map[int][]string{
		exitFailure: {"--listen", l.Addr().String()}, exitUsage: {"--memory", "1MB"},
	} {
		temp := t.TempDir()
		t.Setenv("TMPDIR", temp)
		if r := runPlain(t, append([]string{"demo"}, args...)...); exitCode(r.err) != code || r.stdout != "" {
			t.Errorf("demo %v: %v, %q", args, r.err, r.stdout)
		}
		if left := files(t, temp); len(left) > 0 {
			t.Errorf("demo %v left %v", args, left)
		}
	}
	t.Setenv("TMPDIR", t.TempDir())
	runPlain(t, "demo", "--listen", "0.0.0.0:0").fails(exitUsage, "--insecure")
}

func TestOpener(t *testing.T) {
	desktop := func(name string) string { return map[string]string{"DISPLAY": ":0"}[name] }
	none := func(string) string { return "" }
	for _, c := range []struct {
		system string
		env    func(string) string
		want   string
	}{{"linux", desktop, "xdg-open"}, {"linux", none, ""}, {"darwin", none, "open"}, {"windows", none, "rundll32 url.dll,FileProtocolHandler"}} {
		if got := strings.Join(opener(c.system, c.env), " "); got != c.want {
			t.Errorf("on %s it is opened with %q, want %q", c.system, got, c.want)
		}
	}
}
