package main

import (
	"context"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/testkit/output"
)

// server is a command of this process that runs until it is stopped.
type server struct {
	t *testing.T
	// url and otlp are where it is reached over HTTP: by commands, and by those who send spans.
	url, otlp      string
	stdout, stderr *output.Buffer
	cancel         context.CancelFunc
	ended          chan error
	hasEnded       bool
}

// start runs a server on the lake and the index of c, and waits until it listens.
func (c commandLine) start(args ...string) *server {
	c.t.Helper()
	args = slices.Concat(args, []string{"--lake", c.lake.Root, "--db", c.db})
	ctx, cancel := context.WithCancel(context.Background()) // of the test it would end before the server is stopped
	s := &server{t: c.t, stdout: &output.Buffer{}, stderr: &output.Buffer{}, cancel: cancel, ended: make(chan error, 1)}
	go func() { s.ended <- Run(ctx, args, s.stdout, s.stderr) }()
	c.t.Cleanup(s.stop)
	for deadline := time.Now().Add(20 * time.Second); !s.listens(); time.Sleep(5 * time.Millisecond) {
		select {
		case err := <-s.ended:
			s.hasEnded = true
			c.t.Fatalf("spanlake %s ended: %v\n%s", strings.Join(args, " "), err, s.stderr)
		default:
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("spanlake %s does not listen: %q\n%s", strings.Join(args, " "), s.stdout, s.stderr)
		}
	}
	return s
}

// listens reads where the server listens, of which it prints the URL at last.
func (s *server) listens() bool {
	for line := range strings.Lines(s.stdout.String()) {
		what, address, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " on ")
		switch {
		case !strings.HasSuffix(line, "\n"):
		case what == "Taking OTLP over HTTP":
			s.otlp = "http://" + address
		case strings.HasPrefix(what, "Following "), strings.HasPrefix(what, "Writing to "):
			s.url = address
			return true
		}
	}
	return false
}

// stop ends the server as a signal does, which is no failure.
func (s *server) stop() {
	s.t.Helper()
	if s.hasEnded {
		return
	}
	s.hasEnded = true
	began := time.Now()
	s.cancel()
	if err := <-s.ended; exitCode(err) != exitOK {
		s.t.Errorf("the server ended with %v\n%s", err, s.stderr)
	}
	if took := time.Since(began); took > 9*time.Second {
		s.t.Errorf("it took %s to stop", took)
	}
}

// of is a command that asks the server, from where there is neither its lake nor its index.
func (s *server) of(args ...string) result {
	s.t.Helper()
	return newCommandLine(s.t).run(append(args, "--server", s.url)...)
}

// must is of a command that has to succeed.
func (s *server) must(args ...string) string {
	s.t.Helper()
	r := s.of(args...)
	if r.err != nil || r.stderr != "" {
		s.t.Fatalf("spanlake %s --server: %v\n%s", strings.Join(args, " "), r.err, r.stderr)
	}
	return r.stdout
}

// files are those below a folder, relative to it.
func files(t *testing.T, folder string) (paths []string) {
	t.Helper()
	if err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			path, err = filepath.Rel(folder, path)
			paths = append(paths, filepath.ToSlash(path))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return paths
}
