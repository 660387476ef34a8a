//go:build unix

package e2e

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// One process writes at a time: all others are told which one it is, with an exit code of its own. It is held still
// here, so that it is surely at work when they come.
func TestIndexThatAnotherProcessWrites(t *testing.T) {
	t.Parallel()
	p := newPlace(t, largeLake(t))
	writer := p.command("index", "--batch-size", "1")
	if err := writer.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the writer to open the index", func() bool { return p.heldBy(t) == writer.Process.Pid })
	signal(t, writer, syscall.SIGSTOP)

	for _, args := range [][]string{
		{"index"}, {"services"}, {"files"}, {"failed"}, {"verify"}, {"sql", "SELECT 1"}, {"retry", "--all"}, {"rebuild"},
	} {
		p.assertHeld(p.run(args...), args, writer)
	}

	signal(t, writer, syscall.SIGCONT)
	if err := writer.Wait(); err != nil {
		t.Fatalf("the writer was disturbed: %v", err)
	}
	p.assertSound()
}

// Any number of processes may read at the same time; a writer is told who reads.
func TestIndexThatAnotherProcessReads(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	p.must("sample", "--traces", "20")
	p.must("index")
	// It has more to say than fits in a pipe, and nobody listens any more after the first line.
	reader := p.command("sql", "--csv", "SELECT i AS number, 'a text that fills pipes' AS text FROM range(20000000) AS r(i)")
	out, err := reader.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := reader.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}

	p.must("services")
	p.must("verify")
	for _, args := range [][]string{{"index"}, {"retry", "--all"}} {
		p.assertHeld(p.run(args...), args, reader)
	}
	// A rebuild puts another file in the place: the reader goes on with the old one.
	p.must("rebuild")

	signal(t, reader, syscall.SIGKILL)
	_ = reader.Wait() // it was killed
	p.must("index")
	p.assertSound()
}

// Several first runs at the same moment, as from a cron job and a person: one does the work, the others do it after it
// or are told who does, and the index is sound.
func TestFirstRunsAtTheSameMoment(t *testing.T) {
	t.Parallel()
	lake := newPlace(t, "")
	lake.must("sample", "--traces", "100")
	rounds := 10
	if testing.Short() {
		rounds = 3
	}
	for range rounds {
		p := newPlace(t, lake.lake)
		var all [4]ended
		var runs sync.WaitGroup
		for i := range all {
			cmd := p.command("index", "--json")
			runs.Go(func() { all[i] = p.finish(cmd) })
		}
		runs.Wait()
		done := 0
		for _, r := range all {
			switch {
			case r.code == 0 && r.stderr == "":
				done++
			case r.code != 3 || !strings.Contains(r.stderr, "is in use by process"):
				t.Errorf("exit code %d: %s", r.code, r.stderr)
			}
		}
		if done == 0 {
			t.Error("nobody did the work")
		}
		p.assertSound()
	}
}

// A link to an index is as good as its path, also after a crash and for rebuild: what DuckDB keeps beside the file is one thing.
func TestIndexBehindALink(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	p.must("sample", "--traces", "20")
	p.must("index")
	link := filepath.Join(p.folder, "link.duckdb")
	if err := os.Symlink(p.db, link); err != nil {
		t.Fatal(err)
	}
	p.must("sample", "--traces", "20", "--seed", "2")
	for _, command := range []string{"index", "verify", "rebuild", "verify"} {
		p.must(command, "--db", link)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v %v", info, err)
	}
	p.assertSound()
}

// assertHeld checks what a command says when another process holds the index.
func (p place) assertHeld(r ended, args []string, holder *exec.Cmd) {
	p.t.Helper()
	holds := fmt.Sprintf("the index %s is in use by process %d (%s %s", p.db, holder.Process.Pid, binary, holder.Args[1])
	if r.code != 3 || r.stdout != "" || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, holds) {
		p.t.Errorf("%q: exit code %d, want 3 and one line that says %q\n%s%s", args, r.code, holds, r.stdout, r.stderr)
	}
}

// heldBy is the process that has a lock on the index, or 0.
func (p place) heldBy(t *testing.T) int {
	t.Helper()
	file, err := os.OpenFile(p.db, os.O_RDWR, 0)
	if err != nil {
		return 0 // not there yet
	}
	defer func() { _ = file.Close() }()
	lock := syscall.Flock_t{Type: syscall.F_WRLCK}
	if err := syscall.FcntlFlock(file.Fd(), syscall.F_GETLK, &lock); err != nil {
		t.Fatal(err)
	}
	if lock.Type == syscall.F_UNLCK {
		return 0
	}
	return int(lock.Pid)
}

func signal(t *testing.T, cmd *exec.Cmd, s os.Signal) {
	t.Helper()
	if err := cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}
