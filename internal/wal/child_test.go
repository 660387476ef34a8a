package wal

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
)

// What the child is told.
const (
	childPath  = "SPANLAKE_TEST_WAL"
	childFirst = "SPANLAKE_TEST_FIRST"
)

// Roles of the child.
const (
	// childHold opens the log, says so with a line and holds it until its input ends.
	childHold = "hold"
	// childWork appends requests from a number on, and flushes and releases some, until it is killed. It says what it is about
	// to do and what is done.
	childWork = "work"
	// childFullDisk works while files cannot grow beyond a size, as on a full disk, and then when they can.
	childFullDisk = "full-disk"
)

// command is this test binary in another role.
func command(ctx context.Context, role, path string, env ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(append(os.Environ(), childEnv+"="+role, childPath+"="+path), env...)
	cmd.Stderr = os.Stderr
	return cmd
}

func runChild(role string) int {
	ctx := context.Background()
	path := os.Getenv(childPath)
	err := func() error {
		if role == childFullDisk {
			return runOnFullDisk(ctx, path)
		}
		l, err := Open(ctx, Options{Path: path})
		if err != nil {
			return err
		}
		if role == childWork {
			first, err := strconv.Atoi(os.Getenv(childFirst))
			if err != nil {
				return err
			}
			return work(ctx, l, first)
		}
		_, _ = fmt.Fprintln(os.Stdout, "holds")
		if _, err = io.Copy(io.Discard, os.Stdin); err != nil {
			return err
		}
		return l.Close(ctx)
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// workSize is the size of a request of work: most are small, some take many pages.
func workSize(n int) int {
	if n%7 == 0 {
		return 150_000
	}
	return 500
}

// work appends from four goroutines, each every fourth number, and flushes and releases beside them.
func work(ctx context.Context, l *Log, first int) error {
	failed := make(chan error)
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = fmt.Fprintf(os.Stdout, format+"\n", args...)
	}
	for g := range 4 {
		go func() {
			for n := first + g; ; n += 4 {
				if err := l.Append(ctx, message(n, workSize(n)), n); err != nil {
					failed <- err
				}
				say("acknowledged %d", n)
			}
		}()
	}
	go func() {
		for {
			if err := workFlush(ctx, l, say); err != nil {
				failed <- err
			}
		}
	}()
	return <-failed
}

// workFlush takes a flush through its states.
func workFlush(ctx context.Context, l *Log, say func(string, ...any)) error {
	f, ok, err := l.BeginFlush(ctx, 1<<40, 1_000_000)
	if err != nil || !ok {
		return err
	}
	say("begun %d %x %x", f.ID, f.First, f.Last)
	path := fmt.Sprintf("%d.parquet", f.ID)
	if err := l.SetPath(ctx, f.ID, path); err != nil {
		return err
	}
	say("path %d", f.ID)
	if err := l.Published(ctx, f.ID); err != nil {
		return err
	}
	say("published %d", f.ID)
	if f.ID%3 != 0 {
		return nil // stays
	}
	for r, err := range l.Requests(ctx, f.First, f.Last) {
		if err != nil {
			return err
		}
		say("releasing %d", r.Spans)
	}
	if err := l.Release(ctx, []string{path}); err != nil {
		return err
	}
	say("released %d", f.ID)
	return nil
}

// hold lets another process hold the log until the test ends or end is called, and returns its process id.
func hold(t *testing.T, path string) (pid int, end func()) {
	t.Helper()
	cmd := command(context.Background(), childHold, path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end = sync.OnceFunc(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the process that held the log: %v", err)
		}
	})
	t.Cleanup(end)
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("the other process does not hold the log: %q %v", line, err)
	}
	return cmd.Process.Pid, end
}
