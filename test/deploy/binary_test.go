package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/testkit/output"
)

// binary is the program, made by TestMain for all tests.
var binary string

func TestMain(m *testing.M) {
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	folder, err := os.MkdirTemp("", "spanlake-deploy-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	if err := noteSources(); err != nil {
		return 1, err
	}
	binary = filepath.Join(folder, "spanlake")
	build := osexec.Command("go", "build", "-buildvcs=false", "-o", binary, "github.com/spanlake/spanlake/cmd/spanlake")
	if output, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("go build: %w\n%s", err, output)
	}
	return m.Run(), nil
}

// noteSources looks at all that the binary is made of: `go test` keeps results until a file changes that a test looked at.
func noteSources() error {
	for _, folder := range []string{"cmd", "internal"} {
		err := filepath.WalkDir(filepath.Join(root(), folder), func(path string, _ fs.DirEntry, err error) error {
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

// host stands for the containers of a host: it gives them its data folder and its ports, as an engine does.
type host struct {
	t *testing.T
	// data is what is mounted, work an empty folder for what is not: a container cannot write there.
	data, work string
	// ports are those of the host, by those of the containers.
	ports map[string]string
}

func newHost(t *testing.T) *host {
	t.Helper()
	return &host{t, t.TempDir(), t.TempDir(), map[string]string{}}
}

// port is the port of this host for one of a container.
func (h *host) port(inside string) string {
	h.t.Helper()
	if h.ports[inside] == "" {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			h.t.Fatal(err)
		}
		h.ports[inside] = strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
		if err := listener.Close(); err != nil {
			h.t.Fatal(err)
		}
	}
	return h.ports[inside]
}

// address is what a client of this host asks for a port of a container.
func (h *host) address(inside string) string { return "127.0.0.1:" + h.port(inside) }

// value is a value of the environment or an argument as this host needs it: paths and ports are its own, and names of services
// are loopback.
func (h *host) value(text string) string {
	h.t.Helper()
	if rest, ok := strings.CutPrefix(text, dataFolder); ok {
		return h.data + rest
	}
	url, isURL := strings.CutPrefix(text, "http://")
	name, port, err := net.SplitHostPort(url)
	if err != nil {
		return text
	}
	if net.ParseIP(name) == nil {
		name = "127.0.0.1"
	}
	text = net.JoinHostPort(name, h.port(port))
	if isURL {
		text = "http://" + text
	}
	return text
}

// command is the program with arguments and an environment as a container has them, and nothing else.
func (h *host) command(arguments []string, environment map[string]string) *osexec.Cmd {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(h.t.Context()), 2*time.Minute)
	h.t.Cleanup(cancel)
	var mapped []string
	for _, argument := range arguments {
		mapped = append(mapped, h.value(argument))
	}
	cmd := osexec.CommandContext(ctx, binary, mapped...)
	cmd.Dir = h.work
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + h.t.TempDir()}
	for name, value := range environment {
		cmd.Env = append(cmd.Env, name+"="+h.value(value))
	}
	return cmd
}

// container is the program while it runs.
type container struct {
	t     *testing.T
	name  string
	cmd   *osexec.Cmd
	log   *output.Buffer
	ended chan struct{}
}

func (h *host) start(name string, arguments []string, environment map[string]string) *container {
	h.t.Helper()
	c := &container{h.t, name, h.command(arguments, environment), &output.Buffer{}, make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = c.log, c.log
	if err := c.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	go func() {
		defer close(c.ended)
		_ = c.cmd.Wait() // the exit code is looked at
	}()
	h.t.Cleanup(func() {
		_ = c.cmd.Process.Kill() // it has ended unless the test failed
		<-c.ended
		if h.t.Failed() {
			h.t.Logf("the log of %s:\n%s", name, c.log)
		}
	})
	return c
}

// waitHealthy runs a health check until it succeeds, as an engine does.
func (h *host) waitHealthy(c *container, check []string, environment map[string]string) {
	h.t.Helper()
	if len(check) < 2 || check[0] != program {
		h.t.Fatalf("%s: the health check is %q", c.name, check)
	}
	var said []byte
	eventually(h.t, c.name+" to be healthy", func() bool {
		select {
		case <-c.ended:
			h.t.Fatalf("%s ended with %d\n%s", c.name, c.cmd.ProcessState.ExitCode(), c.log)
		default:
		}
		var err error
		said, err = h.command(check[1:], environment).CombinedOutput()
		return err == nil
	}, func() string { return string(said) })
}

// stop stops it as an engine does: SIGTERM, and it must end in time.
func (c *container) stop(within time.Duration) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		c.t.Fatal(err)
	}
	select {
	case <-c.ended:
	case <-time.After(within):
		c.t.Fatalf("%s did not end within %v", c.name, within)
	}
	if code := c.cmd.ProcessState.ExitCode(); code != 0 {
		c.t.Errorf("%s ended with %d\n%s", c.name, code, c.log)
	}
}

// nothingOutside checks that only the data folder was written to: the rest of a container is read-only.
func (h *host) nothingOutside() {
	h.t.Helper()
	entries, err := os.ReadDir(h.work)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, entry := range entries {
		h.t.Errorf("%s was written into the working folder", entry.Name())
	}
}

// get asks an HTTP server and returns the status and the body.
func get(t *testing.T, method, url string, headers ...string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	var body bytes.Buffer
	if _, err := body.ReadFrom(response.Body); err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, body.String()
}

// eventually waits for what other processes do. last says what was seen at the end.
func eventually(t *testing.T, what string, done func() bool, last func() string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute for %s\n%s", what, last())
		}
	}
}
