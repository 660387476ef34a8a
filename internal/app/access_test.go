package app_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/api/client"
	"github.com/spanlake/spanlake/internal/app"
	"github.com/spanlake/spanlake/internal/span"
)

const readKey = "a-key-that-may-read"

// The note beside the index has a secret for those who may read it, and for nobody else.
func TestTheNoteOpensTheServer(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "index")
	db := filepath.Join(folder, "x.duckdb")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	// What another version, or somebody else, left open to all.
	if err := os.WriteFile(db+".server.tmp", []byte("left"), 0o666); err != nil {
		t.Fatal(err)
	}
	r := start(t, map[string]string{"db": db, "read-api-keys": readKey})
	note, ok, err := app.FindServer(db)
	if err != nil || !ok || len(note.Secret) < 26 {
		t.Fatalf("FindServer() = %v, %v with a secret of %d characters", ok, err, len(note.Secret))
	}
	info, err := os.Stat(db + ".server")
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode != 0o600 {
		t.Errorf("the note has mode %o, want 600", mode)
	}
	if _, err := r.client.Services(t.Context()); !errors.Is(err, client.ErrUnauthenticated) {
		t.Errorf("without a key: %v", err)
	}
	r.client.Authorize(readKey)
	if _, err := r.client.Services(t.Context()); err != nil {
		t.Errorf("with the key of the settings: %v", err)
	}
	if _, err := r.client.IndexNow(t.Context(), false); !errors.Is(err, client.ErrNotAllowed) {
		t.Errorf("a key for reading operates: %v", err)
	}
	r.client.Authorize(note.Secret)
	if _, err := r.client.IndexNow(t.Context(), false); err != nil {
		t.Errorf("with the secret: %v", err)
	}
	r.stop()
	r.run()
	again, _, err := app.FindServer(db)
	if err != nil || again.Secret == note.Secret {
		t.Errorf("the secret outlives its process: %v", err)
	}
	if log := r.logs.String(); strings.Contains(log, note.Secret) || strings.Contains(log, again.Secret) || strings.Contains(log, readKey) {
		t.Errorf("a secret is logged: %s", log)
	}
}

// Who may not read the note is told what to do.
func TestANoteOfSomebodyElse(t *testing.T) {
	db := filepath.Join(t.TempDir(), "x.duckdb")
	if err := os.WriteFile(db+".server", []byte("{}"), 0); err != nil {
		t.Fatal(err)
	}
	_, _, err := app.FindServer(db)
	note, ok := errors.AsType[*app.NoteError](err)
	if os.Geteuid() == 0 { // who may read everything
		if err != nil {
			t.Errorf("FindServer() = %v", err)
		}
		note, ok = &app.NoteError{Path: db + ".server", Err: os.ErrPermission}, true
	}
	if !ok || !strings.Contains(note.Error(), "--server") || !strings.Contains(note.Error(), db+".server") {
		t.Errorf("FindServer() = %v, want an error that says what to do", err)
	}
}

// Nobody can read or operate from another machine by accident.
func TestHTTPOpenToOthers(t *testing.T) {
	for name, c := range map[string]struct {
		flags map[string]string
		opens bool
	}{
		"nothing":            {map[string]string{}, false},
		"all of IPv6":        {map[string]string{"listen": "[::]:0"}, false},
		"no host":            {map[string]string{"listen": ":0"}, false},
		"a key for sending":  {map[string]string{"api-keys": "a-key-that-may-send"}, false},
		"a key for reading":  {map[string]string{"read-api-keys": readKey}, true},
		"said so":            {map[string]string{"insecure": "true"}, true},
		"on loopback":        {map[string]string{"listen": "127.0.0.1:0"}, true},
		"a name of loopback": {map[string]string{"listen": "localhost:0"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, nil)
			r.stop()
			another := r.app
			another.Config.DB = filepath.Join(t.TempDir(), "other.duckdb")
			another.Config.Listen = "0.0.0.0:0"
			if listen := c.flags["listen"]; listen != "" {
				another.Config.Listen = listen
			}
			another.Config.Insecure = c.flags["insecure"] != ""
			if key := c.flags["read-api-keys"]; key != "" {
				another.Config.ReadAPIKeys = []string{key}
			}
			if key := c.flags["api-keys"]; key != "" {
				another.Config.APIKeys = []string{key}
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			opened := false
			err := another.Run(ctx, app.Backend, "test", func(app.Addresses) {
				opened = true
				cancel()
			})
			exposed := (*app.ExposedError)(nil)
			if opened != c.opens || errors.As(err, &exposed) == c.opens {
				t.Fatalf("it listens: %v, %v", opened, err)
			}
			if c.opens {
				return
			}
			for _, word := range []string{"--listen", "spanlake keys create NAME --may read", "SPANLAKE_READ_API_KEYS", "--insecure"} {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q does not say %q", err, word)
				}
			}
			if _, err := os.Stat(another.Config.DB); err == nil {
				t.Error("an index was made all the same")
			}
		})
	}
}

// A query that would take days ends when its client is gone or its time is up: DuckDB itself stops, and is asked again.
func TestDuckDBStopsWithTheClient(t *testing.T) {
	r := start(t, nil)
	const endless = "SELECT count(*) FROM range(1000000000) a, range(1000000000) b WHERE a.range * b.range = 7"
	address := url(t, r)
	for round := range 2 { // four run at once: were they still there, the second round would wait
		var connections []net.Conn
		for range 4 {
			conn, err := net.Dial("tcp", strings.TrimPrefix(address, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			body := fmt.Sprintf(`{"query":%q}`, endless)
			if _, err := fmt.Fprintf(conn, "POST /api/v1/sql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
				len(body), body); err != nil {
				t.Fatal(err)
			}
			connections = append(connections, conn)
		}
		time.Sleep(300 * time.Millisecond) // they are at work
		if n := finishedQueries(t, address); n != 4*round {
			t.Fatalf("%d queries have ended before their clients left, want %d", n, 4*round)
		}
		for _, conn := range connections {
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		for finishedQueries(t, address) != 4*(round+1) {
			if time.Since(began) > 20*time.Second {
				t.Fatal("queries go on after their clients left")
			}
			time.Sleep(10 * time.Millisecond)
		}
		// A second is what is promised; the rest is for machines that are busy with other tests.
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %s", took)
		} else {
			t.Logf("it took %s", took)
		}
	}
	var n int
	if err := r.client.Select(t.Context(), "SELECT 42", span.FormText, func([]string) error { return nil }, func([]*string) error { n++; return nil }); err != nil || n != 1 {
		t.Errorf("after that: %d rows, %v", n, err)
	}
	began := time.Now()
	response, err := http.Post(address+"/api/v1/sql", "application/json", strings.NewReader(fmt.Sprintf(`{"query":%q,"timeout":"200ms"}`, endless)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if took := time.Since(began); err != nil || response.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(text), "200ms") || took > 5*time.Second {
		t.Errorf("a query of 200ms: %s after %s, %s, %v", response.Status, took, text, err)
	}
}

// finishedQueries counts the queries that the server is done with, by its metrics.
func finishedQueries(t *testing.T, address string) (n int) {
	t.Helper()
	response, err := http.Get(address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "spanlake_http_request_duration_seconds_count{") && strings.Contains(line, `route="/api/v1/sql"`) {
			var one int
			if _, err := fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &one); err != nil {
				t.Fatal(err)
			}
			n += one
		}
	}
	return n
}
