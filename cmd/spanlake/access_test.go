package main

import (
	"encoding/json"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/spanlake/spanlake/internal/span"
)

// key makes a key for a server.
func (i ingesting) key(name, may string) string {
	i.t.Helper()
	r := i.keyCommand("create", name, "--may", may)
	if r.err != nil {
		i.t.Fatal(r.err)
	}
	return strings.TrimSpace(r.stdout)
}

// get asks a server for a path with a key, and returns the status of the answer.
func (s *server) get(path, key string) int {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = response.Body.Close() // it was only read
	return response.StatusCode
}

// Commands that find the server by its note need no key, and others one that may do what they ask. (Of the index, only another
// process sees who has it: test/e2e.)
func TestCommandsWithAndWithoutKeys(t *testing.T) {
	i := newIngesting(t)
	send, read, operate := i.key("agent", "send"), i.key("grafana", "read"), i.key("ci", "operate")
	s := i.start(i.args("serve")...)
	if got := s.send(1, "X-Junjo-Api-Key", send); got != http.StatusOK {
		t.Fatalf("a span with a key is answered %d", got)
	}

	// The note is enough, and a key in the environment is for another server.
	t.Setenv("SPANLAKE_API_KEY", "a-key-of-another-server")
	if got := i.mustFlush(); !strings.HasPrefix(got, "1 span flushed") {
		t.Errorf("flush prints %q", got)
	}
	s.of("services").fails(exitFailure, s.url, "is not accepted", "SPANLAKE_API_KEY")
	t.Setenv("SPANLAKE_API_KEY", "")
	s.of("services").fails(exitFailure, s.url, "an API key is needed", "--api-key (SPANLAKE_API_KEY)")
	t.Setenv("SPANLAKE_API_KEY", send)
	s.of("services").fails(exitFailure, `the API key "agent" may only send`, "--may read", "SPANLAKE_API_KEY")
	s.must("index", "--api-key", operate) // a flag beats the environment
	t.Setenv("SPANLAKE_API_KEY", read)
	if got := decode[[]span.Service](t, s.must("services", "--json")); len(got) != 1 {
		t.Errorf("services --server = %+v", got)
	}
	rows := s.must("sql", "--json", "FROM range(100001)") // one more than are sent to who does not ask for all
	if all := []json.RawMessage(nil); json.Unmarshal([]byte(rows), &all) != nil || len(all) != 100_001 {
		t.Errorf("sql --server prints %d rows", len(all))
	}
	for _, command := range []string{"flush", "index", "retry --all"} {
		s.of(strings.Fields(command)...).fails(exitFailure, `the API key "grafana" may only read`, "--may operate")
	}
	for _, command := range []string{"flush", "index", "services"} {
		s.must(command, "--api-key", operate)
	}

	for path, want := range map[string][2]int{"/healthz": {200, 200}, "/readyz": {200, 200}, "/openapi.json": {200, 200}, "/metrics": {401, 200},
		"/api/v1/services": {401, 200}} {
		if none, some := s.get(path, ""), s.get(path, read); none != want[0] || some != want[1] {
			t.Errorf("%s is answered %d without a key and %d with one, want %v", path, none, some, want)
		}
	}
	if r := runPlain(t, "healthcheck", "--url", s.url); r.err != nil {
		t.Errorf("healthcheck takes a key: %v", r.err)
	}
	s.stop()
	for _, key := range []string{send, read, operate} {
		if text := s.stdout.String() + s.stderr.String(); strings.Contains(text, key) {
			t.Errorf("the server prints the key %s: %s", key, text)
		}
	}
}

// The roles that run apart are found by their own notes, and take keys from the same file.
func TestKeysOfRolesApart(t *testing.T) {
	i := newIngesting(t)
	read := i.key("prometheus", "read")
	taking := i.start(i.args("ingest")...)
	indexing := i.start("backend", "--listen", "127.0.0.1:0", "--internal-server", "off", "--memory", "192MB", "--keys-file", i.keys)
	taking.mustSend(1) // sending takes no key as long as none may send
	if got := i.mustFlush(); !strings.HasPrefix(got, "1 span flushed") {
		t.Errorf("flush prints %q", got)
	}
	for _, s := range []*server{taking, indexing} {
		if none, some := s.get("/metrics", ""), s.get("/metrics", read); none != 401 || some != 200 {
			t.Errorf("%s: /metrics is answered %d without a key and %d with one", s.url, none, some)
		}
	}
	taking.of("flush").fails(exitFailure, "an API key is needed")
	if runtime.GOOS == "windows" {
		return
	}
	for _, note := range []string{i.wal + ".server", i.db + ".server"} {
		if info, err := os.Stat(note); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the note %s: %v, %v, want mode 600", note, info.Mode(), err)
		}
	}
}

// Roles that others could read end with exit code 2, and say what to do.
func TestRolesOpenToOthers(t *testing.T) {
	i := newIngesting(t)
	for _, args := range [][]string{
		i.args("serve", "--listen", "0.0.0.0:0"), i.args("ingest", "--ingest-listen", "0.0.0.0:0"),
		{"backend", "--listen", "0.0.0.0:0", "--internal-server", "off", "--keys-file", i.keys},
	} {
		i.run(args...).fails(exitUsage, "-listen)", "0.0.0.0:0", "spanlake keys create NAME --may read", "--insecure")
	}
	i.key("agent", "send")
	i.run(i.args("serve", "--listen", "0.0.0.0:0")...).fails(exitUsage, "--may read")
	i.key("viewer", "read")
	i.start(i.args("serve", "--listen", "0.0.0.0:0")...)
}
