package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/spanlake/spanlake/internal/api/client"
	"github.com/spanlake/spanlake/internal/app"
	"github.com/spanlake/spanlake/internal/config"
	"github.com/spanlake/spanlake/internal/lake"
	"github.com/spanlake/spanlake/internal/otlpbench"
)

const (
	// serverStartTime is how long the server may take to listen, serverIndexTime to index what is flushed, serverStopTime to end.
	serverStartTime = 30 * time.Second
	serverIndexTime = 2 * time.Minute
	serverStopTime  = 30 * time.Second
	// benchPoll is how often it is asked whether it has.
	benchPoll = 20 * time.Millisecond
)

// benchServer is a `spanlake serve` that is measured.
type benchServer struct {
	folder, lake string
	// target is HOST:PORT of OTLP over gRPC.
	target  string
	client  *client.Client
	process *exec.Cmd
	log     *os.File
	// ended is closed when the process has ended, then exit is how.
	ended chan struct{}
	exit  error
}

// serverUse is what a server took from start to end.
type serverUse struct {
	user, system time.Duration
	// peak is the most memory that was resident, in bytes, 0 if the system does not tell.
	peak int64
}

// startBenchServer starts the program itself, in a process of its own, with no settings but the memory and how to sync.
func (s *session) startBenchServer(ctx context.Context, folder string) (*benchServer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	b := &benchServer{folder: folder, lake: filepath.Join(folder, "spans"), ended: make(chan struct{})}
	db, sync := filepath.Join(folder, "index.duckdb"), "full"
	if s.Config.WALNormal {
		sync = "normal"
	}
	b.process = exec.CommandContext(ctx, self, "serve", "--lake", b.lake, "--db", db, "--wal", filepath.Join(folder, "wal.db"), // #nosec G204 -- this program itself
		"--keys-file", filepath.Join(folder, "keys.json"), "--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--listen", "127.0.0.1:0",
		"--memory", strconv.FormatInt(s.Config.Memory, 10), "--wal-sync", sync)
	b.process.Dir = folder // no .env
	b.process.Env = slices.DeleteFunc(os.Environ(), isSetting)
	b.process.Cancel = func() error { return b.process.Process.Signal(os.Interrupt) }
	b.process.WaitDelay = serverStopTime
	if b.log, err = os.Create(filepath.Join(folder, "server.log")); err != nil {
		return nil, err
	}
	b.process.Stderr = b.log
	if err := b.process.Start(); err != nil {
		return nil, errors.Join(err, b.log.Close())
	}
	go func() {
		defer close(b.ended)
		b.exit = b.process.Wait()
	}()
	if err := b.connect(ctx, db); err != nil {
		return nil, b.explain(err)
	}
	return b, nil
}

// isSetting tells whether a variable of the environment is a setting of the program.
func isSetting(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	return slices.ContainsFunc(config.Settings(), func(s config.Setting) bool { return s.Env == name })
}

// connect waits until the server has noted where it is reached.
func (b *benchServer) connect(ctx context.Context, db string) error {
	for start := time.Now(); ; {
		server, ok, err := app.FindServer(db)
		if err != nil {
			return err
		}
		if ok {
			if b.client, err = client.New(server.URL, server.Instance); err != nil {
				return err
			}
			b.client.Authorize(server.Secret)
			status, err := b.client.IngestStatus(ctx)
			b.target = status.OTLPGRPC
			if unreachable := (*client.UnreachableError)(nil); err == nil || !errors.As(err, &unreachable) {
				return err
			}
		}
		if time.Since(start) > serverStartTime {
			return fmt.Errorf("the server does not listen after %s", serverStartTime)
		}
		if err := b.wait(ctx); err != nil {
			return err
		}
	}
}

var errServerEnded = errors.New("the server ended")

// wait waits a moment, or fails if the server has ended.
func (b *benchServer) wait(ctx context.Context) error {
	select {
	case <-b.ended:
		return errors.Join(errServerEnded, b.exit)
	default:
		return sleep(ctx, benchPoll)
	}
}

// while is a context that ends with the server.
func (b *benchServer) while(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-b.ended:
			cancel(errors.Join(errServerEnded, b.exit))
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// settle has the server flush, and waits until all that was acknowledged is indexed. It is an error if there is less or more.
func (b *benchServer) settle(ctx context.Context, sent otlpbench.Result) error {
	if _, err := b.client.Flush(ctx); err != nil {
		return err
	}
	var indexed int64
	for start := time.Now(); ; {
		services, err := b.client.Services(ctx)
		if err != nil {
			return err
		}
		indexed = 0
		for _, service := range services {
			indexed += service.TotalSpans
		}
		if indexed >= sent.Spans {
			break
		}
		if time.Since(start) > serverIndexTime {
			return fmt.Errorf("%s of %s that were acknowledged are missing in the index", humanize.Comma(sent.Spans-indexed), count(sent.Spans, "span"))
		}
		if err := b.wait(ctx); err != nil {
			return err
		}
	}
	repeats, err := b.repeats(ctx)
	if err != nil {
		return err
	}
	// A request that is sent again may have been kept before, and the index knows repeats: it is files that would have too much.
	if indexed > sent.Spans || repeats > sent.Retries*otlpbench.SpansPerRequest {
		return fmt.Errorf("%s were acknowledged, but the index has %s and the lake %s more than once", count(sent.Spans, "span"),
			humanize.Comma(indexed), humanize.Comma(repeats))
	}
	return nil
}

// repeats counts the rows of the lake that the index left out since it has them.
func (b *benchServer) repeats(ctx context.Context) (rows int64, err error) {
	const all = 10_000
	files, err := b.client.Files(ctx, all)
	for _, file := range files {
		rows += file.DuplicateCount
	}
	return rows, err
}

// stop ends the server in order and says what it used.
func (b *benchServer) stop() (used serverUse, err error) {
	b.client.Close()
	used.peak = peakOf(b.process.Process.Pid)
	if err := b.process.Process.Signal(os.Interrupt); err != nil {
		return used, errors.Join(err, b.kill())
	}
	timer := time.NewTimer(serverStopTime)
	defer timer.Stop()
	select {
	case <-b.ended:
	case <-timer.C:
		return used, errors.Join(fmt.Errorf("the server has not ended after %s", serverStopTime), b.kill())
	}
	state := b.process.ProcessState
	used.user, used.system = state.UserTime(), state.SystemTime()
	if used.peak == 0 {
		used.peak = peakOfEnded(state)
	}
	return used, errors.Join(b.exit, b.log.Close())
}

// kill ends the server if it still runs.
func (b *benchServer) kill() error {
	if err := b.process.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-b.ended
	return nil
}

// explain ends the server and adds what it logged last to an error.
func (b *benchServer) explain(err error) error {
	err = errors.Join(err, b.kill())
	_ = b.log.Close() // it may be closed already
	const most = 4096
	if text, readErr := os.ReadFile(b.log.Name()); readErr == nil && len(text) > 0 {
		return fmt.Errorf("%w\nthe server's log ends with:\n%s", err, text[max(0, len(text)-most):])
	}
	return err
}

// lakeSize counts the files of the lake and their bytes.
func (b *benchServer) lakeSize(ctx context.Context) (files, bytes int64, err error) {
	for file, err := range lake.Scan(ctx, b.lake) {
		if err != nil {
			return 0, 0, err
		}
		files++
		bytes += file.Size
	}
	return files, bytes, nil
}

// peakOf is the most memory that a running process has had resident, in bytes, or 0 if the system does not tell. What the system says of a
// process that has ended counts the memory of the one that started it as well, up to then (getrusage(2), ru_maxrss after execve).
func peakOf(pid int) int64 {
	status, err := os.Open("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	defer func() { _ = status.Close() }() // it was only read
	for lines := bufio.NewScanner(status); lines.Scan(); {
		if size, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(size), " kB"), 10, 64)
			if err != nil {
				return 0
			}
			return kilobytes * 1024
		}
	}
	return 0
}
