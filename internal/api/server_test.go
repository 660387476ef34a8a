package api_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/api"
	"github.com/spanlake/spanlake/internal/api/client"
	"github.com/spanlake/spanlake/internal/testkit/output"
)

// server is a whole one, on a port of its own.
type server struct {
	*api.Server
	url  string
	log  *output.Buffer
	stop context.CancelFunc
	done chan error
}

// start serves m until the test ends. change is called before.
func start(t *testing.T, m *memory, o api.Options, change ...func(*api.Server)) *server {
	t.Helper()
	return startOn(t, "127.0.0.1:0", m, o, change...)
}

func startOn(t *testing.T, address string, m *memory, o api.Options, change ...func(*api.Server)) *server {
	t.Helper()
	log := &output.Buffer{}
	o.Catalog, o.Indexer, o.Log = m, m, slog.New(slog.NewTextHandler(log, nil))
	s := &server{Server: api.New(o), log: log, done: make(chan error, 1)}
	s.Limits(0, 0, 0, 50*time.Millisecond)
	for _, c := range change {
		c(s.Server)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	s.url = "http://127.0.0.1:" + port
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	go func() { s.done <- s.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-s.done; err != nil {
			t.Errorf("serve: %v", err)
		}
		s.done <- nil
	})
	return s
}

func (s *server) client(t *testing.T, instance string) *client.Client {
	t.Helper()
	c, err := client.New(s.url, instance)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// answer is all of a response.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request; change may do anything to it before.
func (s *server) do(t *testing.T, method, path, body string, change ...func(*http.Request)) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, c := range change {
		c(r)
	}
	// Each request has its own connection, so that none is left over.
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v after %q", method, path, err, text)
	}
	return answer{response.StatusCode, response.Header, string(text)}
}

func host(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) {
		if value == "" {
			r.Header.Del(name)
			return
		}
		r.Header.Set(name, value)
	}
}

// noGoroutines fails if more goroutines run than before, after a while.
func noGoroutines(t *testing.T, before int) {
	t.Helper()
	for range 200 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	stacks := make([]byte, 1<<20)
	t.Errorf("%d goroutines run, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
}
