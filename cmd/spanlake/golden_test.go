package main

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// What every command prints on a small lake, from an empty folder on. testdata/*.golden are the outputs as people see them.
func TestCommandsOnASmallLake(t *testing.T) {
	c := newCommandLine(t)
	for _, step := range []struct {
		golden string
		args   []string
	}{
		{"sample", []string{"sample", "--traces", "200", "--seed", "7"}},
		{"index", []string{"index"}},
		{"index-again", []string{"index"}},
		{"services", []string{"services"}},
		{"files", []string{"files"}},
		{"failed-none", []string{"failed"}},
		{"retry-none", []string{"retry", "--all"}},
		{"sql-table", []string{"sql", "FROM services ORDER BY total_spans DESC LIMIT 3"}},
		{"sql-json", []string{"sql", "--json", "FROM services ORDER BY total_spans DESC LIMIT 3"}},
		{"sql-csv", []string{"sql", "--csv", "FROM services ORDER BY total_spans DESC LIMIT 3"}},
		{"rebuild", []string{"rebuild"}},
	} {
		t.Run(step.golden, func(t *testing.T) {
			assertGolden(t, step.golden, c.stable(c.must(step.args...)))
		})
	}
	if printed := c.must("verify"); printed != "" {
		t.Errorf("verify of a sound index is not silent: %q", printed)
	}
	if got, want := c.must("verify", "--json"), "[]\n"; got != want {
		t.Errorf("verify --json of a sound index = %q, want %q", got, want)
	}
}

// What the commands say of files that cannot be indexed, until they can.
func TestCommandsOnABadFile(t *testing.T) {
	c := newCommandLine(t)
	c.lake.Spans(t, "good.parquet", testkit.Spans(1, 3)...)
	c.lake.Spans(t, "other.parquet", testkit.Spans(4, 2)...)
	c.lake.Put(t, "notes.parquet", []byte("hello, this is no Parquet file"))

	indexed := c.run("index")
	if indexed.err != nil {
		t.Fatalf("one bad file costs one file, but index failed: %v", indexed.err)
	}
	assertGolden(t, "bad-index", c.stable(indexed.stdout))
	if !strings.Contains(indexed.stderr, "notes.parquet") || !strings.Contains(indexed.stderr, "not_parquet") {
		t.Errorf("the log does not tell of the bad file: %q", indexed.stderr)
	}
	assertGolden(t, "bad-failed", c.must("failed"))
	assertGolden(t, "bad-index-again", c.stable(c.must("index")))
	if printed := c.must("verify"); printed != "" {
		t.Errorf("a file that is recorded as failed is no difference, but verify says %q", printed)
	}

	assertGolden(t, "bad-retry", c.must("retry", "notes.parquet"))
	if due := c.failed(); len(due) != 1 || !due[0].Due || due[0].RetryCount != 0 || due[0].ErrorType != "not_parquet" {
		t.Errorf("after retry, failed --json = %+v", due)
	}
	assertGolden(t, "bad-failed-due", c.must("failed"))
	if again := c.run("index"); again.err != nil || !strings.Contains(again.stderr, "notes.parquet") {
		t.Errorf("after retry, index does not try the file again: %v %q", again.err, again.stderr)
	}
	if again := c.failed(); len(again) != 1 || again[0].Due || again[0].RetryCount != 1 {
		t.Errorf("after another try, failed --json = %+v", again)
	}

	c.lake.Spans(t, "notes.parquet", testkit.Spans(6, 1)...)
	c.must("index")
	if got := c.failed(); len(got) != 0 {
		t.Errorf("the file was repaired, but failed --json = %+v", got)
	}
	if got, want := c.services(), "svc 6"; got != want {
		t.Errorf("services = %s, want %s", got, want)
	}
}

func (c commandLine) failed() []span.FailedFile {
	c.t.Helper()
	return decode[[]span.FailedFile](c.t, c.must("failed", "--json"))
}

// Every command has help with an example, and asking for it is not a failure.
func TestHelpOfEveryCommandShowsAnExample(t *testing.T) {
	var check func(t *testing.T, command *cobra.Command)
	check = func(t *testing.T, command *cobra.Command) {
		path := strings.Fields(command.CommandPath())
		r := runPlain(t, append(path[1:], "--help")...)
		if r.err != nil || r.stderr != "" {
			t.Errorf("%s --help: %v %q", command.CommandPath(), r.err, r.stderr)
		}
		_, examples, _ := strings.Cut(r.stdout, "\nExamples:\n")
		first, _, _ := strings.Cut(examples, "\n")
		if !strings.HasPrefix(first, "  spanlake ") {
			t.Errorf("%s --help has no example:\n%s", command.CommandPath(), r.stdout)
		}
		own, _, _ := strings.Cut(r.stdout, "\nGlobal Flags:\n") // those are in the help of spanlake itself
		assertGolden(t, filepath.Join("help", strings.Join(path, "-")), own)
		for _, child := range command.Commands() {
			if child.IsAvailableCommand() {
				check(t, child)
			}
		}
	}
	check(t, newRoot())
}

// Without a command, help is what people need.
func TestWithoutACommandHelpIsShown(t *testing.T) {
	for command, want := range map[string]string{"": "--help", "bench": "bench --help"} {
		got, help := runPlain(t, strings.Fields(command)...), runPlain(t, strings.Fields(want)...)
		if got.err != nil || got.stdout == "" || got.stdout != help.stdout {
			t.Errorf("spanlake %s: %v\n%s", command, got.err, got.stdout)
		}
	}
}

// The files of testdata/ingestion-spans were written by an ingestion service that Spanlake did not have a hand in.
func TestFilesOfAnExistingServiceAreIndexed(t *testing.T) {
	c := newCommandLine(t)
	c.lake.Root = filepath.Join("..", "..", "internal", "index", "testdata", "ingestion-spans")
	c.must("index")
	if got, want := c.services(), "chat-api 5120, telemetrygen 1608, tool runner/é 2048, web-frontend 512"; got != want {
		t.Errorf("services = %s, want %s", got, want)
	}
	if got, want := c.must("failed"), "No file has failed.\n"; got != want {
		t.Errorf("failed = %q, want %q", got, want)
	}
	if printed := c.must("verify"); printed != "" {
		t.Errorf("verify is not silent: %s", printed)
	}
}

// A command that is interrupted says that nothing is lost, and has an exit code of its own.
func TestInterruptedCommand(t *testing.T) {
	c := newCommandLine(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr strings.Builder
	err := Run(ctx, []string{"index", "--lake", c.lake.Root, "--db", c.db}, &stdout, &stderr)
	if got := exitCode(err); got != exitInterrupted || !errors.Is(err, context.Canceled) {
		t.Errorf("exit code %d, want %d: %v", got, exitInterrupted, err)
	}
	if err != nil && !strings.Contains(err.Error(), "what was committed stays, run it again to go on") {
		t.Errorf("the message does not say what to do: %v", err)
	}
}
