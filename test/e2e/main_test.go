// Package e2e runs the whole program as people do: as a process, with signals, pipes, terminals and kill -9.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/config"
	"github.com/spanlake/spanlake/internal/sample"
)

// Made by TestMain for all tests.
var (
	binary string
	shared string // a folder for what tests share
)

func TestMain(m *testing.M) {
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	if shared, err = os.MkdirTemp("", "spanlake-e2e-"); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(shared)) }()
	if err := noteSources(); err != nil {
		return 1, err
	}
	binary = filepath.Join(shared, "spanlake")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", binary, "github.com/spanlake/spanlake/cmd/spanlake")
	if output, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("go build: %w\n%s", err, output)
	}
	return m.Run(), nil
}

// noteSources looks at all that the binary is made of: `go test` keeps results until a file changes that a test looked at.
func noteSources() error {
	for _, folder := range []string{"cmd", "internal"} {
		err := filepath.WalkDir(filepath.Join("..", "..", folder), func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			_, err = os.Stat(path)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// largeLake is a lake of 40 files (12 in a short run) that takes a second or more to index. Tests only read it.
func largeLake(t *testing.T) string {
	t.Helper()
	lake, err := makeLargeLake()
	if err != nil {
		t.Fatal(err)
	}
	return lake
}

var makeLargeLake = sync.OnceValues(func() (string, error) {
	spans := int64(1_000_000)
	if testing.Short() {
		spans = 300_000
	}
	lake := filepath.Join(shared, "large")
	return lake, makeSample(lake, spans, 25_000)
})

// makeSample writes a lake with files of a size that the command `sample` does not offer.
func makeSample(lake string, spans, spansPerFile int64) error {
	end := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	options := sample.Options{Spans: spans, SpansPerFile: spansPerFile, Seed: 7, Start: end.Add(-time.Hour), End: end}
	_, err := sample.Generate(context.Background(), lake, options)
	return err
}

// place is where commands run: a folder with a lake and an index.
type place struct {
	t                *testing.T
	folder, lake, db string
}

// newPlace has no index yet. A lake of "" is one that is still empty.
func newPlace(t *testing.T, lake string) place {
	t.Helper()
	folder := t.TempDir()
	if lake == "" {
		lake = filepath.Join(folder, "lake")
	}
	return place{t, folder, lake, filepath.Join(folder, "index", "spanlake.duckdb")}
}

// ended is what a command left behind.
type ended struct {
	stdout, stderr string
	code           int // -1 if a signal ended it
}

// command is the program with the lake and the index of p, and with no settings but these. It is killed when it hangs: late enough
// for a server that lives as long as a test does, which took two minutes under the race detector on a busy machine.
func (p place) command(args ...string) *exec.Cmd {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.t.Context()), 8*time.Minute)
	p.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = p.folder
	cmd.Env = append(cleanEnv(), "JUNJO_SPAN_STORAGE_PATH="+p.lake, "JUNJO_DUCKDB_PATH="+p.db)
	return cmd
}

// cleanEnv is the environment without settings of the program.
func cleanEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return slices.ContainsFunc(config.Settings(), func(s config.Setting) bool { return strings.HasPrefix(variable, s.Env+"=") })
	})
}

// run runs a command to its end.
func (p place) run(args ...string) ended {
	p.t.Helper()
	return p.finish(p.command(args...))
}

// finish runs a command that was prepared.
func (p place) finish(cmd *exec.Cmd) ended {
	p.t.Helper()
	var stdout, stderr bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &stdout
	}
	cmd.Stderr = &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return ended{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// must runs a command that has to succeed without a word on its standard error, and returns what it printed.
func (p place) must(args ...string) string {
	p.t.Helper()
	r := p.run(args...)
	if r.code != 0 || r.stderr != "" {
		p.t.Fatalf("spanlake %s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// summary is what tests look at of `index --json`.
type summary struct {
	FilesFound     int   `json:"files_found"`
	FilesIndexed   int   `json:"files_indexed"`
	FilesUnchanged int   `json:"files_unchanged"`
	SpansIndexed   int64 `json:"spans_indexed"`
}

func (p place) index(args ...string) summary {
	p.t.Helper()
	return decode[summary](p.t, p.must(append([]string{"index", "--json"}, args...)...))
}

// assertSound checks that verify has nothing to say, and that nothing is left beside the index.
func (p place) assertSound() {
	p.t.Helper()
	if r := p.run("verify"); r != (ended{}) {
		p.t.Errorf("verify: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	entries, err := os.ReadDir(filepath.Dir(p.db))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.Name() != filepath.Base(p.db) {
			p.t.Errorf("%s was left beside the index", entry.Name())
		}
	}
}

func decode[T any](t *testing.T, text string) (value T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%v in %.300q", err, text)
	}
	return value
}

// eventually waits for what another process does.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute for %s", what)
		}
	}
}

// diskBytes is the size of the index with its write-ahead log.
func (p place) diskBytes() (total int64) {
	for _, path := range []string{p.db, p.db + ".wal"} {
		if info, err := os.Stat(path); err == nil {
			total += info.Size()
		}
	}
	return total
}
