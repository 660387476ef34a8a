package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spanlake/spanlake/internal/config"
	"github.com/spanlake/spanlake/internal/testkit"
)

var update = flag.Bool("update", false, "write the golden files of testdata anew")

// TestMain forgets the settings of whoever runs the tests.
func TestMain(m *testing.M) {
	for _, setting := range config.Settings() {
		if err := os.Unsetenv(setting.Env); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// commandLine runs commands on a lake and an index of its own.
type commandLine struct {
	t    *testing.T
	lake testkit.Lake
	db   string
}

// newCommandLine has an empty lake and no index yet.
func newCommandLine(t *testing.T) commandLine {
	t.Helper()
	return commandLine{t, testkit.NewLake(t), filepath.Join(t.TempDir(), "index", "spanlake.duckdb")}
}

// newSample has a small lake, always the same one, and its index.
func newSample(t *testing.T) commandLine {
	t.Helper()
	c := newCommandLine(t)
	c.must("sample", "--traces", "200", "--seed", "7")
	c.must("index")
	return c
}

// sampleFile is the only file of that lake.
const sampleFile = "year=2026/month=10/day=31/web-frontend_1793491186_a73057f8.parquet"

// result is what a command line left behind.
type result struct {
	t              *testing.T
	args           []string
	stdout, stderr string
	err            error
}

// run runs a command with the lake and the index of c.
func (c commandLine) run(args ...string) result {
	c.t.Helper()
	return runPlain(c.t, slices.Concat(args, []string{"--lake", c.lake.Root, "--db", c.db})...)
}

// runPlain runs a command line as it stands.
func runPlain(t *testing.T, args ...string) result {
	t.Helper()
	var stdout, stderr strings.Builder
	err := Run(t.Context(), args, &stdout, &stderr)
	return result{t, args, stdout.String(), stderr.String(), err}
}

// must runs a command that has to succeed and to have nothing to complain of, and returns what it printed.
func (c commandLine) must(args ...string) string {
	c.t.Helper()
	r := c.run(args...)
	if r.err != nil || r.stderr != "" {
		c.t.Fatalf("spanlake %s: %v\n%s", strings.Join(args, " "), r.err, r.stderr)
	}
	return r.stdout
}

// fails checks the exit code of a command, that its message has all the words, and that it printed nothing else.
func (r result) fails(code int, words ...string) {
	r.t.Helper()
	if got := exitCode(r.err); got != code {
		r.t.Errorf("spanlake %s: exit code %d, want %d: %v", strings.Join(r.args, " "), got, code, r.err)
		return
	}
	for _, word := range words {
		if !strings.Contains(r.err.Error(), word) {
			r.t.Errorf("spanlake %s says %q, want it to say %q", strings.Join(r.args, " "), r.err, word)
		}
	}
	if r.stdout != "" {
		r.t.Errorf("spanlake %s failed, but printed %q", strings.Join(r.args, " "), r.stdout)
	}
}

// decode reads JSON of which no field may be unknown to T, and after which nothing else may come.
func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var value T
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&value); err != nil {
		t.Fatalf("%v in %.300q", err, text)
	}
	if decoder.More() {
		t.Fatalf("more than one JSON value: %.300q", text)
	}
	return value
}

// What differs from one run to the next.
var (
	took   = regexp.MustCompile(` in [0-9.]+[mµ]?s \([0-9,]+ spans/s`)
	memory = regexp.MustCompile(`[0-9.]+ [kMG]B at most in memory`)
	port   = regexp.MustCompile(`127\.0\.0\.1:[0-9]+`)
	prefix = regexp.MustCompile(`sl_[a-z2-7]{8}`)
	when   = regexp.MustCompile(`20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z`)
)

// stable is an output without what differs from one run to the next.
func (c commandLine) stable(output string) string {
	output = strings.NewReplacer(c.lake.Root, "LAKE", c.db, "DB").Replace(output)
	return memory.ReplaceAllString(took.ReplaceAllString(output, " in TIME (RATE spans/s"), "MEMORY at most in memory")
}

// assertGolden compares an output with a file of testdata.
func assertGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: run go test -update if the output is new", err)
	}
	if got != string(want) {
		t.Errorf("%s: run go test -update if this is as it should be\n got:\n%s\nwant:\n%s", path, got, want)
	}
}

// lines joins lines of expected output.
func lines(all ...string) string { return strings.Join(all, "\n") + "\n" }

// services are the services of an index and their numbers of spans.
func (c commandLine) services() string {
	c.t.Helper()
	type service struct {
		ServiceName string `json:"service_name"`
		FirstSeen   string `json:"first_seen"`
		LastSeen    string `json:"last_seen"`
		TotalSpans  int64  `json:"total_spans"`
	}
	var all []string
	r := c.run("services", "--json") // it may say that a file has failed
	if r.err != nil {
		c.t.Fatal(r.err)
	}
	for _, s := range decode[[]service](c.t, r.stdout) {
		all = append(all, fmt.Sprintf("%s %d", s.ServiceName, s.TotalSpans))
	}
	return strings.Join(all, ", ")
}
