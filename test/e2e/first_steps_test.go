package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// The first command of the README works on a fresh folder as it stands, once the program is built: it starts a server, sends it a
// span, adds a sample, and shows services and traces. Only the ports are others here.
func TestFirstCommandOfTheReadme(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(readme), "```sh\n")
	block, _, _ = strings.Cut(block, "```")
	_, steps, found := strings.Cut(block, "go build ./cmd/spanlake &&\n")
	if !found || !strings.Contains(steps, "127.0.0.1:4318/") {
		t.Fatalf("the first command of the README builds no ./spanlake or sends nothing to it:\n%s", block)
	}
	fresh := t.TempDir()
	if err := os.Symlink(binary, filepath.Join(fresh, "spanlake")); err != nil {
		t.Fatal(err)
	}
	otlp, listen := freePort(t), freePort(t)
	steps = strings.ReplaceAll(steps, "127.0.0.1:4318/", otlp+"/")
	// Whatever becomes of the steps, the server ends, and with 0.
	sh := exec.CommandContext(t.Context(), "sh", "-c", steps+"\ncode=$?; kill $! && wait $! && exit $code")
	sh.Dir, sh.Env = fresh, append(cleanEnv(), "SPANLAKE_OTLP_HTTP="+otlp, "SPANLAKE_LISTEN="+listen, "SPANLAKE_OTLP_GRPC=127.0.0.1:0")
	output, err := sh.CombinedOutput()
	if err != nil {
		serve, _ := os.ReadFile(filepath.Join(fresh, "serve.log"))
		t.Fatalf("%v\n%s\n%s", err, output, serve)
	}
	for _, want := range []string{
		`(?m)^{"partialSuccess":{}}$`, `traces of [0-9,]+ spans in`, `(?m)^chat-api +[0-9,]+ `,
		`(?m)^my-agent +1 `, `my-agent +invoke_agent +250ms .* 4bf92f3577b34da6a3ce929d0e0e4736\n`,
		`✗ execute_tool send_email`,
	} {
		if !regexp.MustCompile(want).Match(output) {
			t.Errorf("nothing like %s is printed:\n%s", want, output)
		}
	}
	verify := exec.CommandContext(t.Context(), "./spanlake", "verify")
	verify.Dir, verify.Env = fresh, cleanEnv()
	if output, err := verify.CombinedOutput(); err != nil || len(output) > 0 {
		t.Errorf("verify: %v\n%s", err, output)
	}
}

// The process ends with the exit code of what went wrong, one line on standard error and nothing on standard output.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	notes := filepath.Join(p.folder, "notes.txt")
	if err := os.WriteFile(notes, []byte("no database at all"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"services"}, 1, "there is no index yet: run `spanlake index` first"},
		{[]string{"indx"}, 2, "did you mean index?"},
		{[]string{"index", "--memory", "lots"}, 2, `"lots" is not allowed: must be a size`},
		{[]string{"index", "--db", notes}, 4, notes + " is not a DuckDB database"},
	} {
		r := p.run(test.args...)
		if r.code != test.code || r.stdout != "" || !strings.HasPrefix(r.stderr, "spanlake: ") || !strings.Contains(r.stderr, test.says) ||
			strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("%q: exit code %d, want %d saying %q\n%s%s", test.args, r.code, test.code, test.says, r.stdout, r.stderr)
		}
	}
}

// A query of - comes from standard input.
func TestQueryFromStandardInput(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	p.must("sample", "--traces", "20")
	p.must("index")
	cmd := p.command("sql", "--csv", "-")
	cmd.Stdin = strings.NewReader("SELECT count(*) > 0 AS spans\nFROM span_metadata -- of several lines\n")
	if r := p.finish(cmd); r != (ended{stdout: "spans\ntrue\n"}) {
		t.Errorf("%+v", r)
	}
}

// Errors may quote what somebody sent as a span: a terminal must not obey that.
func TestErrorsAreHarmlessToTerminals(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	testkit.Lake{Root: p.lake}.Spans(t, "spans.parquet", testkit.Span(1, 1, func(s *span.Span) { s.ServiceName = "\x1b[2Jcleared" }))
	p.must("index")
	r := p.run("sql", "SELECT service_name::INTEGER FROM span_metadata")
	if r.code != 2 || strings.Contains(r.stderr, "\x1b") || !strings.Contains(r.stderr, `\x1b[2Jcleared`) {
		t.Errorf("exit code %d: %q", r.code, r.stderr)
	}
}

// What cannot be printed is a failure, so that nobody takes half a result for a whole one.
func TestOutputThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("no device that is always full: %v", err)
	}
	defer func() { _ = full.Close() }()
	p := newPlace(t, "")
	p.must("sample", "--traces", "20")
	p.must("index")
	for _, args := range [][]string{
		{"services"}, {"files", "--json"}, {"index"}, {"index", "--json"}, {"sql", "FROM services"}, {"sql", "--csv", "FROM services"},
		{"sql", "--json", "FROM services"},
	} {
		cmd := p.command(args...)
		cmd.Stdout = full
		if r := p.finish(cmd); r.code != 1 || !strings.Contains(r.stderr, "no space left on device") {
			t.Errorf("%q: exit code %d: %s", args, r.code, r.stderr)
		}
	}
}

// The comparison with DuckDB alone and with the textbook schema has four parts, each with figures that can be true.
func TestBenchmark(t *testing.T) {
	t.Parallel()
	type part struct {
		Name           string  `json:"name"`
		Spans          int64   `json:"spans"`
		SpansPerSecond int64   `json:"spans_per_second"`
		PeakRSSBytes   int64   `json:"peak_rss_bytes"`
		IndexBytes     int64   `json:"index_bytes"`
		LookupMedianMS float64 `json:"lookup_median_ms"`
		LookupP99MS    float64 `json:"lookup_p99_ms"`
	}
	p := newPlace(t, "")
	temporary := t.TempDir()
	cmd := p.command("bench", "index", "--spans", "20k", "--json")
	cmd.Env = append(cmd.Env, "TMPDIR="+temporary)
	r := p.finish(cmd)
	if r.code != 0 {
		t.Fatalf("exit code %d: %s", r.code, r.stderr)
	}
	parts := decode[[]part](t, r.stdout)
	var names []string
	for _, part := range parts {
		names = append(names, part.Name)
		if part.Spans < 20_000 || part.SpansPerSecond < 100 || part.PeakRSSBytes < 10<<20 || part.PeakRSSBytes > 4<<30 || part.IndexBytes < 100<<10 {
			t.Errorf("%+v cannot be true", part)
		}
	}
	if got, want := strings.Join(names, " "), "duckdb duckdb-defaults spanlake textbook"; got != want {
		t.Fatalf("the parts are %s, want %s", got, want)
	}
	plain, ours, textbook := parts[0], parts[2], parts[3]
	if ours.Spans != plain.Spans {
		t.Errorf("DuckDB alone took in %d spans, Spanlake %d", plain.Spans, ours.Spans)
	}
	if ours.SpansPerSecond < 2*textbook.SpansPerSecond {
		t.Errorf("Spanlake took in %d spans/s, the textbook schema %d", ours.SpansPerSecond, textbook.SpansPerSecond)
	}
	if ours.LookupMedianMS <= 0 || ours.LookupP99MS < ours.LookupMedianMS {
		t.Errorf("look-ups: median %v ms, p99 %v ms", ours.LookupMedianMS, ours.LookupP99MS)
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("left in the temporary folder: %v %v", left, err)
	}
}
