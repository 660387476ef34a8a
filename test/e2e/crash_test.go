//go:build unix

package e2e

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Ctrl-C and SIGTERM end a pass soon, with a word and an exit code of their own. What was committed stays, and the next
// pass goes on from there.
func TestInterruptedIndexGoesOn(t *testing.T) {
	t.Parallel()
	lake := largeLake(t)
	whole := newPlace(t, lake)
	all := whole.index()
	size := whole.diskBytes()

	p := newPlace(t, lake)
	for part, sent := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		cmd := p.command("index", "--batch-size", "1")
		var stdout, stderr strings.Builder
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		enough := size * int64(part+1) / 4
		eventually(t, "a part of the index", func() bool { return p.diskBytes() > enough })
		signal(t, cmd, sent)
		asked := time.Now()
		_ = cmd.Wait() // the exit code is looked at
		if took := time.Since(asked); took > 20*time.Second {
			t.Errorf("after %v it took %v to end", sent, took)
		}
		if code := cmd.ProcessState.ExitCode(); code != 130 || stdout.Len() > 0 ||
			!strings.Contains(stderr.String(), "interrupted: what was committed stays, run it again to go on") {
			t.Fatalf("after %v: exit code %d, want 130\n%s%s", sent, code, &stdout, &stderr)
		}
	}

	rest := p.index()
	if rest.FilesUnchanged == 0 || rest.FilesIndexed == 0 || rest.FilesUnchanged+rest.FilesIndexed != all.FilesFound {
		t.Errorf("of %d files %d were there and %d were indexed after the interruptions", all.FilesFound, rest.FilesUnchanged, rest.FilesIndexed)
	}
	p.assertSound()
	if got, want := p.must("services", "--json"), whole.must("services", "--json"); got != want {
		t.Errorf("services are\n%swant\n%s", got, want)
	}
}

// Killed at any moment, again and again, the index has whole files only, and in the end all of them once.
func TestKilledIndexGoesOn(t *testing.T) {
	t.Parallel()
	lake := filepath.Join(t.TempDir(), "lake")
	if err := makeSample(lake, 30_000, 200); err != nil {
		t.Fatal(err)
	}
	whole := newPlace(t, lake)
	begun := time.Now()
	whole.index("--batch-size", "1")
	took := time.Since(begun)

	kills := 10
	if testing.Short() {
		kills = 4
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("a whole pass takes %v, the seed of the moments is %d", took, seed)
	random := rand.New(rand.NewPCG(seed, 0))
	p := newPlace(t, lake)
	for killed := 0; killed < kills; {
		cmd := p.command("index", "--batch-size", "1")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		moment := time.AfterFunc(time.Duration(random.Int64N(int64(took)/4)), func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		moment.Stop()
		if err != nil {
			killed++
			p.assertWholeFilesOnly()
			continue
		}
		// It was done before the kill came: once more from the beginning.
		p.assertSound()
		if err := os.Remove(p.db); err != nil {
			t.Fatal(err)
		}
	}

	p.index()
	p.assertSound()
	if got, want := p.must("services", "--json"), whole.must("services", "--json"); got != want {
		t.Errorf("services are\n%swant\n%s", got, want)
	}
}

// assertWholeFilesOnly checks that an index whose pass was ended in the middle lacks files, and is sound otherwise.
func (p place) assertWholeFilesOnly() {
	p.t.Helper()
	r := p.run("verify", "--json")
	if r.code == 1 && r.stdout == "" && strings.Contains(r.stderr, "there is no index yet") {
		return // it was killed before it had one
	}
	type difference struct {
		Check, Subject, Problem string
	}
	if r.code > 1 {
		p.t.Fatalf("verify: exit code %d: %s", r.code, r.stderr)
	}
	for _, d := range decode[[]difference](p.t, r.stdout) {
		if d.Check != "lake" || d.Problem != "is in the lake but not in the index" {
			p.t.Errorf("verify: %s: %s %s", d.Check, d.Subject, d.Problem)
		}
	}
}

// A rebuild that is killed leaves the old index as it was, and the next one is not disturbed by what is left of it.
func TestKilledRebuildLeavesTheOldIndex(t *testing.T) {
	t.Parallel()
	p := newPlace(t, largeLake(t))
	p.index()
	before := p.must("services", "--json")
	cmd := p.command("rebuild")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a part of the new index", func() bool {
		info, err := os.Stat(p.db + ".rebuild")
		return err == nil && info.Size() > 1<<20
	})
	if got := p.must("services", "--json"); got != before {
		t.Errorf("while the new index is made, services are\n%swant\n%s", got, before)
	}
	signal(t, cmd, syscall.SIGKILL)
	_ = cmd.Wait() // it was killed
	if got := p.must("services", "--json"); got != before {
		t.Errorf("after the kill services are\n%swant\n%s", got, before)
	}
	p.must("rebuild")
	p.assertSound()
	if got := p.must("services", "--json"); got != before {
		t.Errorf("after the second rebuild services are\n%swant\n%s", got, before)
	}
}
