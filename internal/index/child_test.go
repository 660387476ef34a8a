package index

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"testing"

	"github.com/spanlake/spanlake/internal/lake"
)

// What the child is told.
const (
	childDB   = "SPANLAKE_TEST_DB"
	childLake = "SPANLAKE_TEST_LAKE"
)

// Roles of the child.
const (
	// childSync makes one pass, file by file.
	childSync = "sync"
	// childHold and childHoldReadOnly open the index, say so with a line and hold it until their input ends.
	childHold         = "hold"
	childHoldReadOnly = "hold-read-only"
)

// command is this test binary in another role.
func command(ctx context.Context, role string, o Options) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+role, childDB+"="+o.Path, childLake+"="+o.Lake)
	return cmd
}

func runChild(role string) int {
	ctx := context.Background()
	o := Options{
		Path: os.Getenv(childDB), Lake: os.Getenv(childLake), Memory: 100e6, Threads: 1, BatchSize: 1, Limits: DefaultLimits(),
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), ReadOnly: role == childHoldReadOnly,
	}
	err := func() error {
		if role == childFullDisk {
			return runOnFullDisk(ctx, o)
		}
		x, err := Open(ctx, o)
		if err != nil {
			return err
		}
		if role == childSync {
			_, _ = fmt.Fprintln(os.Stdout, "begins")
			_, err = x.Sync(ctx, lake.Scan(ctx, o.Lake), SyncOptions{})
		} else {
			_, _ = fmt.Fprintln(os.Stdout, "holds")
			_, err = io.Copy(io.Discard, os.Stdin)
		}
		if err != nil {
			return err
		}
		return x.Close()
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// holdIndex lets another process hold the index until the test ends, and returns its process id.
func holdIndex(t *testing.T, role string, o Options) int {
	t.Helper()
	cmd := command(context.Background(), role, o)
	cmd.Stderr = os.Stderr
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
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the process that held the index: %v", err)
		}
	})
	if _, err := fmt.Fscanln(out, new(string)); err != nil {
		t.Fatalf("the other process does not hold the index: %v", err)
	}
	return cmd.Process.Pid
}
