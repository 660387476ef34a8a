package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
	"github.com/spanlake/spanlake/internal/wal"
)

// ingesting is a commandLine with a write-ahead log and API keys of its own.
type ingesting struct {
	commandLine
	wal, keys string
}

func newIngesting(t *testing.T) ingesting {
	t.Helper()
	folder := t.TempDir()
	return ingesting{newCommandLine(t), filepath.Join(folder, "sqlite", "wal.db"), filepath.Join(folder, "keys.json")}
}

// args are those of a role that takes spans in, on ports that are free. No span is flushed before it is asked for.
func (i ingesting) args(role string, more ...string) []string {
	args := []string{role, "--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--listen", "127.0.0.1:0",
		"--ingest-listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0", "--wal", i.wal, "--keys-file", i.keys,
		"--memory", "256MB", "--max-request-size", "32MiB", "--min-free-disk", "0", "--flush-max-age", "1h"}
	return append(args, more...)
}

// flush runs `spanlake flush` beside the log.
func (i ingesting) flush(args ...string) result {
	i.t.Helper()
	return i.run(append([]string{"flush", "--wal", i.wal}, args...)...)
}

// mustFlush returns what it printed.
func (i ingesting) mustFlush(args ...string) string {
	i.t.Helper()
	r := i.flush(args...)
	if r.err != nil || r.stderr != "" {
		i.t.Fatalf("spanlake flush %s: %v\n%s", strings.Join(args, " "), r.err, r.stderr)
	}
	return r.stdout
}

// send sends span number id of service svc in OTLP/JSON, and returns the status of the answer.
func (s *server) send(id int, headers ...string) int {
	s.t.Helper()
	start := testkit.Start.UnixNano()
	body := fmt.Sprintf(`{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"svc"}}]},
		"scopeSpans":[{"spans":[{"traceId":%q,"spanId":"%016x","name":"op","kind":2,"startTimeUnixNano":"%d","endTimeUnixNano":"%d"}]}]}]}`,
		testkit.TraceID(id), id, start, start+1)
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.otlp+"/v1/traces", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatalf("%v\n%s", err, s.stderr)
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode == http.StatusOK && strings.Contains(string(text), "rejectedSpans") {
		s.t.Fatalf("%v, %s", err, text)
	}
	return response.StatusCode
}

// mustSend sends spans that have to be taken.
func (s *server) mustSend(ids ...int) {
	s.t.Helper()
	for _, id := range ids {
		if got := s.send(id); got != http.StatusOK {
			s.t.Fatalf("span %d: HTTP status %d\n%s", id, got, s.stderr)
		}
	}
}

// assertInLake checks that the lake has exactly these spans, each once.
func (i ingesting) assertInLake(ids ...int) {
	i.t.Helper()
	var got, want []string
	for _, path := range files(i.t, i.lake.Root) {
		for _, s := range testkit.ReadSpans(i.t, i.lake.Path(path)) {
			got = append(got, s.ServiceName+" "+s.TraceID)
		}
	}
	for _, id := range ids {
		want = append(want, "svc "+testkit.TraceID(id))
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		i.t.Errorf("the lake has the spans %q, want %q", got, want)
	}
}

// The way of a span through one process: taken in, flushed when somebody asks, indexed, and the rest when it stops.
func TestServe(t *testing.T) {
	i := newIngesting(t)
	s := i.start(i.args("serve")...)
	s.mustSend(1, 2)
	if got := i.mustFlush(); !strings.HasPrefix(got, "2 spans flushed to 1 file of ") {
		t.Errorf("flush, which finds the server, prints %q", got)
	}
	s.mustSend(3)
	if got := s.must("flush"); !strings.HasPrefix(got, "1 span flushed to 1 file of ") {
		t.Errorf("flush --server prints %q", got)
	}
	i.assertInLake(1, 2, 3)
	s.must("index") // waits until it is indexed
	if got := decode[[]span.Service](t, s.must("services", "--json")); len(got) != 1 || got[0].Name != "svc" || got[0].TotalSpans != 3 {
		t.Errorf("services --server = %+v", got)
	}

	s.mustSend(4, 5)
	s.stop()
	i.assertInLake(1, 2, 3, 4, 5)
	if got, want := i.services(), "svc 5"; got != want {
		t.Errorf("what was flushed at last is not indexed: services = %s, want %s", got, want)
	}
	if printed := i.must("verify"); printed != "" {
		t.Errorf("verify says %q", printed)
	}
	for _, note := range []string{i.wal + ".server", i.db + ".server"} {
		if _, err := os.Stat(note); err == nil {
			t.Errorf("%s is left, though nobody is there", note)
		}
	}
}

// What the roles print when they listen, and nothing else.
func TestWhatServersPrint(t *testing.T) {
	for name, start := range map[string]func(ingesting) *server{
		"serve":        func(i ingesting) *server { return i.start(i.args("serve")...) },
		"serve-grpc":   func(i ingesting) *server { return i.start(i.args("serve", "--otlp-http", "off")...) },
		"ingest":       func(i ingesting) *server { return i.start(i.args("ingest")...) },
		"ingest-alone": func(i ingesting) *server { return i.start(i.args("ingest", "--internal-listen", "off")...) },
		"backend":      func(i ingesting) *server { return i.backend() },
	} {
		t.Run(name, func(t *testing.T) {
			i := newIngesting(t)
			s := start(i)
			s.stop()
			assertGolden(t, "listens-"+name, port.ReplaceAllString(i.stable(s.stdout.String()), "127.0.0.1:PORT"))
		})
	}
}

// What flush prints where there is nothing to flush, and that it makes nothing.
func TestFlushOfNothing(t *testing.T) {
	i := newIngesting(t)
	assertGolden(t, "flush-nothing", i.mustFlush())
	assertGolden(t, "flush-nothing-json", i.mustFlush("--json"))
	if _, err := os.Stat(filepath.Dir(i.wal)); err == nil {
		t.Error("flush made a write-ahead log")
	}
	s := i.start(i.args("ingest")...)
	assertGolden(t, "flush-nothing", i.mustFlush())
	assertGolden(t, "flush-nothing-json", s.must("flush", "--json"))
	s.stop()
	assertGolden(t, "flush-nothing", i.mustFlush())
	i.flush("--server", s.url).fails(exitFailure, "nobody answers at "+s.url)
}

// open opens the log as a process does that takes spans in.
func (i ingesting) open() *wal.Log {
	i.t.Helper()
	log, err := wal.Open(i.t.Context(), wal.Options{Path: i.wal})
	if err != nil {
		i.t.Fatal(err)
	}
	return log
}

// append acknowledges spans, as a process did that was killed before it flushed.
func (i ingesting) append(ids ...int) {
	i.t.Helper()
	log := i.open()
	for _, id := range ids {
		one := testkit.Span(id, id)
		data, err := otlpwire.Encode(&one)
		if err != nil {
			i.t.Fatal(err)
		}
		if err := log.Append(i.t.Context(), data, 1); err != nil {
			i.t.Fatal(err)
		}
	}
	if err := log.Close(i.t.Context()); err != nil {
		i.t.Fatal(err)
	}
}

// Without a server the command does the work itself.
func TestFlushWithoutAServer(t *testing.T) {
	i := newIngesting(t)
	i.append(1, 2, 3)
	if got := i.mustFlush(); !strings.HasPrefix(got, "3 spans flushed to 1 file of ") {
		t.Errorf("flush prints %q", got)
	}
	assertGolden(t, "flush-nothing", i.mustFlush())

	// What a server notes of itself, and leaves when it is killed, is no reason not to.
	i.note(`{"url":"http://127.0.0.1:1","instance":"gone","pid":1}`)
	i.append(4, 5)
	got := decode[span.Flushed](t, i.mustFlush("--json", "--flush-max-rows", "1"))
	if got.Files != 2 || got.Spans != 2 || got.Bytes == 0 {
		t.Errorf("flush --json --flush-max-rows 1 = %+v", got)
	}
	i.assertInLake(1, 2, 3, 4, 5)

	// What stayed in the log is taken up by the next server.
	i.append(6)
	s := i.start(i.args("serve")...)
	if got := decode[span.Flushed](t, i.mustFlush("--json")); got.Files != 1 || got.Spans != 1 {
		t.Errorf("flush --json = %+v", got)
	}
	s.stop()
	i.assertInLake(1, 2, 3, 4, 5, 6)
}

// note writes what a server notes of itself beside the log.
func (i ingesting) note(text string) {
	i.t.Helper()
	if err := os.WriteFile(i.wal+".server", []byte(text), 0o644); err != nil {
		i.t.Fatal(err)
	}
}

// Whoever has the log, and whatever is in its place, flush says so and changes nothing.
func TestFlushThatCannotBeDone(t *testing.T) {
	i := newIngesting(t)
	i.append(1)
	log := i.open()
	pid := fmt.Sprintf("process %d", os.Getpid())
	i.flush().fails(exitLocked, i.wal, pid)
	other := i.backend() // which is not the one that has the log
	for _, note := range []string{
		`{"url":"http://127.0.0.1:1","instance":"gone","pid":1}`,
		`{"url":"` + other.url + `","instance":"another","pid":1}`,
		`{"url":`,
	} {
		i.note(note)
		i.flush().fails(exitLocked, i.wal, pid)
	}
	if err := log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	i.mustFlush()
	i.assertInLake(1)

	damaged := newIngesting(t)
	damaged.wal = filepath.Join(t.TempDir(), "wal.db")
	for text, says := range map[string]string{
		"this is no SQLite database": "no SQLite database",
		"":                           "holds acknowledged spans", // only its journal is left
	} {
		path := damaged.wal
		if text == "" {
			path, text = damaged.wal+"-wal", "journal"
			if err := os.RemoveAll(damaged.wal); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		damaged.flush().fails(exitUnusable, damaged.wal, says)
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("%s is now %q, %v", path, got, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// A server of another role says so, rather than which path it does not have.
func TestServersOfAnotherRole(t *testing.T) {
	i := newIngesting(t)
	taking, indexing := i.start(i.args("ingest")...), i.backend()
	indexing.of("flush").fails(exitFailure, indexing.url, "`spanlake serve` and `spanlake ingest` take spans in")
	for _, command := range []string{"services", "files", "failed", "verify", "sql SHOW", "index", "retry --all"} {
		taking.of(strings.Fields(command)...).fails(exitFailure, taking.url, "`spanlake serve` and `spanlake backend` have an index")
	}
}

// Who cannot start says which setting to change, with the exit code of its kind.
func TestServersThatCannotStart(t *testing.T) {
	i := newIngesting(t)
	first := i.start(i.args("ingest")...)
	taken := strings.TrimPrefix(first.url, "http://")
	for _, test := range []struct {
		what string
		code int
		says []string
		args func(ingesting) []string
	}{
		{"too little memory for both", exitUsage, []string{"--memory (SPANLAKE_MEMORY)", `"200 MB"`, "at least 256MB"},
			func(i ingesting) []string { return i.args("serve", "--memory", "200MB") }},
		{"the log of somebody else", exitLocked, []string{i.wal, "in use", fmt.Sprintf("process %d", os.Getpid())},
			func(another ingesting) []string { return another.args("serve", "--wal", i.wal) }},
		{"the same for ingest", exitLocked, []string{i.wal, "in use"},
			func(another ingesting) []string { return another.args("ingest", "--wal", i.wal) }},
		{"a port that is taken", exitFailure, []string{"--listen", taken},
			func(i ingesting) []string { return i.args("serve", "--listen", taken) }},
		{"that of OTLP over HTTP", exitFailure, []string{"--otlp-http", taken},
			func(i ingesting) []string { return i.args("ingest", "--otlp-http", taken) }},
		{"open to everybody", exitUsage, []string{"--insecure"},
			func(i ingesting) []string { return i.args("ingest", "--otlp-http", "0.0.0.0:0") }},
	} {
		t.Run(test.what, func(t *testing.T) {
			another := newIngesting(t)
			another.run(test.args(another)...).fails(test.code, test.says...)
			if left := files(t, filepath.Dir(another.keys)); slices.Contains(left, "sqlite/wal.db.server") {
				t.Errorf("it left %q", left)
			}
		})
	}
	first.mustSend(1)
	first.stop()
	i.assertInLake(1)
}

// Healthcheck says whether a server is well with its exit code.
func TestHealthcheck(t *testing.T) {
	i := newIngesting(t)
	taking, indexing := i.start(i.args("ingest")...), i.backend()
	listen := strings.TrimPrefix(indexing.url, "http://")
	_, number, _ := strings.Cut(listen, ":")
	checks := [][]string{
		{"healthcheck", "--url", taking.url}, {"healthcheck", "--url", indexing.url + "/"}, {"healthcheck", "--server", indexing.url},
		{"healthcheck", "--listen", listen}, {"healthcheck", "--listen", "0.0.0.0:" + number}, {"healthcheck", "--listen", ":" + number},
		{"healthcheck", "--url", taking.url, "--server", "http://127.0.0.1:1"},
	}
	for _, args := range checks {
		if r := runPlain(t, args...); r.err != nil || strings.TrimSpace(r.stdout) != "ok" || r.stderr != "" {
			t.Errorf("%q = %v, %q, %q, want ok", args, r.err, r.stdout, r.stderr)
		}
	}
	runPlain(t, "healthcheck", "--url", taking.otlp).fails(exitFailure, "not well", taking.otlp, "404")
	runPlain(t, "healthcheck", "--url", "::").fails(exitFailure, "--url ::")
	taking.stop()
	indexing.stop()
	for _, args := range checks {
		runPlain(t, args...).fails(exitFailure, "not well")
	}
}

// key is a key as it is shown once.
type key struct {
	Name string   `json:"name"`
	Key  string   `json:"key"`
	May  []string `json:"may"`
}

// keyCommand runs a command on the keys.
func (i ingesting) keyCommand(args ...string) result {
	i.t.Helper()
	return runPlain(i.t, slices.Concat([]string{"keys"}, args, []string{"--keys-file", i.keys})...)
}

// Keys are shown when they are made, and never again.
func TestKeys(t *testing.T) {
	i := newIngesting(t)
	list := func() string {
		t.Helper()
		r := i.keyCommand("list")
		if r.err != nil || r.stderr != "" {
			t.Fatalf("keys list: %v, %q", r.err, r.stderr)
		}
		return when.ReplaceAllString(prefix.ReplaceAllString(r.stdout, "sl_xxxxxxxx"), "2026-01-01T00:00:00Z")
	}
	assertGolden(t, "keys-none", list())
	if r := i.keyCommand("list", "--json"); r.err != nil || r.stdout != "[]\n" {
		t.Errorf("keys list --json without a key = %q, %v", r.stdout, r.err)
	}
	i.keyCommand("revoke", "my-agent").fails(exitFailure, `"my-agent"`, "`spanlake keys list`")

	first := i.keyCommand("create", "my-agent")
	plain := strings.TrimSuffix(first.stdout, "\n")
	if first.err != nil || !strings.HasPrefix(plain, "sl_") || strings.ContainsAny(plain, " \n") {
		t.Fatalf("keys create: %v, %q", first.err, first.stdout)
	}
	if !strings.Contains(first.stderr, "only time that the key my-agent is shown") || strings.Contains(first.stderr, plain) {
		t.Errorf("keys create says %q", first.stderr)
	}
	i.keyCommand("create", "my-agent").fails(exitFailure, `"my-agent"`, "a key of this name exists", "revoke it first")
	second := i.keyCommand("create", "ci", "--json")
	made := decode[key](t, second.stdout)
	if second.err != nil || second.stderr != "" || made.Name != "ci" || !strings.HasPrefix(made.Key, "sl_") || made.Key == plain {
		t.Errorf("keys create --json: %v, %q, %+v", second.err, second.stderr, made)
	}
	third := i.keyCommand("create", "grafana", "--may", "read")
	if third.err != nil || !strings.Contains(third.stderr, "the key grafana") {
		t.Errorf("keys create --may read: %v, %q", third.err, third.stderr)
	}
	assertGolden(t, "keys", list())
	if r := i.keyCommand("revoke", "my-agent"); r.err != nil || r.stdout != "my-agent is revoked\n" {
		t.Errorf("keys revoke: %v, %q", r.err, r.stdout)
	}
	i.keyCommand("revoke", "my-agent").fails(exitFailure, "no active key")
	assertGolden(t, "keys-revoked", list())

	type listed struct {
		Name      string     `json:"name"`
		May       []string   `json:"may"`
		Prefix    string     `json:"prefix"`
		CreatedAt time.Time  `json:"created_at"`
		RevokedAt *time.Time `json:"revoked_at"`
	}
	all := decode[[]listed](t, i.keyCommand("list", "--json").stdout)
	if len(all) != 3 || all[0].Name != "my-agent" || all[0].RevokedAt == nil || all[1].Prefix != made.Key[:11] || all[1].RevokedAt != nil ||
		!slices.Equal(all[1].May, []string{"send"}) || !slices.Equal(all[2].May, []string{"read"}) {
		t.Errorf("keys list --json = %+v", all)
	}
	if text, err := os.ReadFile(i.keys); err != nil || strings.Contains(string(text), plain[11:]) || strings.Contains(string(text), made.Key[11:]) {
		t.Errorf("the file has a key: %v", err)
	}

	s := i.start(i.args("ingest")...)
	for header, want := range map[string]int{
		"Bearer " + made.Key: http.StatusOK, "Bearer " + plain: http.StatusUnauthorized, "": http.StatusUnauthorized,
		"Bearer " + strings.TrimSpace(third.stdout): http.StatusForbidden,
	} {
		if got := s.send(1, "Authorization", header); got != want {
			t.Errorf("a request with %.20q is answered %d, want %d", header, got, want)
		}
	}
}

// A name that cannot be one of a key, and a file that has none, are told apart.
func TestKeysThatCannotBeMade(t *testing.T) {
	i := newIngesting(t)
	for _, name := range []string{"", " ci", "a\nb", strings.Repeat("a", 101)} {
		i.keyCommand("create", name).fails(exitUsage, "1 to 100 bytes", "spanlake keys create --help")
	}
	i.keyCommand("create").fails(exitUsage, "accepts 1 arg(s), received 0", "spanlake keys create --help")
	for _, may := range []string{"", "all", "send,", "Send", "read operate"} {
		i.keyCommand("create", "ci", "--may", may).fails(exitUsage, "--may", "send, read, operate", "spanlake keys create --help")
	}
	i.keyCommand("revoke", "a", "b").fails(exitUsage, "accepts 1 arg(s), received 2", "spanlake keys revoke --help")
	if _, err := os.Stat(i.keys); err == nil {
		t.Error("a file of keys was made")
	}
	for name, text := range map[string]string{
		"no JSON": "keys", "empty": "", "newer": `{"version":2,"keys":[]}`,
		"a bad name": `{"version":1,"keys":[{"name":" ","sha256":"` + strings.Repeat("0", 64) + `"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			i := newIngesting(t)
			if err := os.WriteFile(i.keys, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{{"create", "ci"}, {"list"}, {"list", "--json"}, {"revoke", "ci"}} {
				i.keyCommand(args...).fails(exitFailure, i.keys, "mend the file, or remove it")
			}
			for _, role := range []string{"serve", "ingest"} {
				i.run(i.args(role)...).fails(exitFailure, "--keys-file (SPANLAKE_KEYS_FILE)", i.keys, "mend the file, or remove it")
			}
			if got, err := os.ReadFile(i.keys); err != nil || string(got) != text {
				t.Errorf("the file is now %q, %v", got, err)
			}
		})
	}
}
