//go:build unix

package e2e

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// At a terminal a bar shows files and spans/s while a pass runs, on standard error: standard output stays as it is.
func TestProgressAtATerminal(t *testing.T) {
	t.Parallel()
	script, err := exec.LookPath("script")
	if err != nil {
		t.Skip("no script(1) to make a terminal with")
	}
	if version, err := exec.CommandContext(t.Context(), script, "--version").Output(); err != nil || !bytes.Contains(version, []byte("util-linux")) {
		t.Skip("script(1) is not the one of util-linux")
	}
	p := newPlace(t, largeLake(t))
	printed := filepath.Join(p.folder, "stdout")
	at := func(arguments string) (stdout, terminal string) {
		t.Helper()
		cmd := p.command()
		cmd.Path, cmd.Args = script, []string{"script", "-qec", "'" + binary + "' " + arguments + " > '" + printed + "'", os.DevNull}
		cmd.Env = append(cmd.Env, "TERM=xterm", "COLUMNS=120")
		r := p.finish(cmd)
		if r.code != 0 {
			t.Fatalf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
		}
		content, err := os.ReadFile(printed)
		if err != nil {
			t.Fatal(err)
		}
		return string(content), r.stdout
	}

	stdout, terminal := at("index --batch-size 1")
	bar := regexp.MustCompile(`[1-9]\d*/\d+ files, [1-9][0-9,]* spans/s +[0-9]+% \|.+\| .*\[[0-9ms]+:[0-9ms]+\]`)
	if !bar.MatchString(terminal) {
		t.Errorf("no bar with files, spans/s and the time that is left:\n%q", terminal)
	}
	if lines := strings.Split(stdout, "\n"); len(lines) != 3 || !strings.Contains(lines[0], "files found") || strings.ContainsAny(stdout, "\r\x1b") {
		t.Errorf("standard output is %q, want the two lines of the summary", stdout)
	}

	if stdout, terminal := at("rebuild --json"); terminal != "" || !strings.HasPrefix(stdout, "{") {
		t.Errorf("with --json there is a bar: %q", terminal)
	}
	if _, terminal := at("services"); terminal != "" {
		t.Errorf("services says %q at a terminal", terminal)
	}
}

// `spanlake sql ... | head -1` is common: the end of the reader is the end of the writer, with no word of complaint.
func TestReaderOfAResultGoesAway(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	p.must("sample", "--traces", "20")
	p.must("index")
	for _, form := range []string{"--csv", "--json"} {
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd := p.command("sql", form, "SELECT i AS number, 'a text that fills pipes' AS text FROM range(20000000) AS r(i)")
		var stderr strings.Builder
		cmd.Stdout, cmd.Stderr = write, &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if err := write.Close(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(read).ReadString('\n'); err != nil || !strings.Contains(line, "number") {
			t.Errorf("%s: the first line is %q: %v", form, line, err)
		}
		if err := read.Close(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was ended by a signal
		status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if !ok || !status.Signaled() || status.Signal() != syscall.SIGPIPE || stderr.Len() > 0 {
			t.Errorf("%s: the process ended with %v and said %q, want a silent SIGPIPE", form, cmd.ProcessState, &stderr)
		}
	}
	p.assertSound()
}
