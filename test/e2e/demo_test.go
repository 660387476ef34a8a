//go:build unix

package e2e

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A demo that is killed leaves its folder; the next one deletes it, and that of a demo that runs is left alone. SIGTERM ends one with 0.
func TestDemosThatAreKilled(t *testing.T) {
	t.Parallel()
	temp := t.TempDir()
	start := func() *exec.Cmd {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), binary, "demo", "--listen", "127.0.0.1:0")
		cmd.Dir, cmd.Env = t.TempDir(), append(cleanEnv(), "TMPDIR="+temp)
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(stdout).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "Spanlake demo: http://127.0.0.1:") {
			t.Fatalf("the demo prints %q: %v", line, err)
		}
		return cmd
	}
	folders := func() []string {
		t.Helper()
		found, err := filepath.Glob(filepath.Join(temp, "spanlake-demo-*"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	killed := start()
	left := folders()
	if len(left) != 1 {
		t.Fatalf("a demo has the folders %v", left)
	}
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait() // it was killed
	first := start()
	if _, err := os.Stat(left[0]); !os.IsNotExist(err) {
		t.Errorf("what the killed demo left is still there: %v", err)
	}
	second := start()
	if now := folders(); len(now) != 2 {
		t.Errorf("two demos have the folders %v", now)
	}
	for _, running := range []*exec.Cmd{first, second} {
		if err := running.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := running.Wait(); err != nil {
			t.Errorf("after SIGTERM: %v", err)
		}
	}
	if now := folders(); len(now) > 0 {
		t.Errorf("left are %v", now)
	}
}
