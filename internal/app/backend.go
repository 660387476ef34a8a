package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/spanlake/spanlake/internal/api"
	"github.com/spanlake/spanlake/internal/index"
	"github.com/spanlake/spanlake/internal/index/follow"
	"github.com/spanlake/spanlake/internal/lake"
	"github.com/spanlake/spanlake/internal/span"
)

// stopTime is how long the backend may take to stop once its context has ended. What is committed is safe whenever the
// process ends; stopping in order only spares the next start the work of replaying DuckDB's write-ahead log.
const stopTime = 4500 * time.Millisecond

// backend is the index, what follows the lake into it, and what serves it.
type backend struct {
	*index.Index
	follower *follow.Follower
	config   struct{ lake, db string }
}

// Status is the follower's, as the methods below are: it knows what it still has to do.
func (b *backend) Status(ctx context.Context) (span.IndexerStatus, error) {
	status, err := b.follower.Status(ctx)
	status.Lake, status.Index = b.config.lake, b.config.db
	return status, err
}

// IndexNow is the follower's.
func (b *backend) IndexNow(ctx context.Context, acceptMissing bool) (span.Summary, error) {
	return b.follower.IndexNow(ctx, acceptMissing)
}

// Retry is the follower's.
func (b *backend) Retry(ctx context.Context, path string) error { return b.follower.Retry(ctx, path) }

// RetryAll is the follower's.
func (b *backend) RetryAll(ctx context.Context) (int64, error) { return b.follower.RetryAll(ctx) }

// Verify is the follower's.
func (b *backend) Verify(ctx context.Context, found func(span.Difference)) (int, error) {
	return b.follower.Verify(ctx, found)
}

// Backend follows the lake and serves the index until ctx ends, which is no error. listening is called once, with the
// address that clients reach it at.
func (a App) Backend(ctx context.Context, version string, listening func(url string)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- a.runBackend(ctx, cancel, version, listening) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	patience := time.NewTimer(stopTime)
	defer patience.Stop()
	select {
	case err := <-done:
		return err
	case <-patience.C:
		a.Log.Warn("not everything stopped in time, ending all the same: what was committed is safe", "time", stopTime)
		return nil
	}
}

// runBackend starts the parts in order and stops them in reverse.
func (a App) runBackend(ctx context.Context, cancel context.CancelFunc, version string, listening func(url string)) error {
	x, err := a.openWhenRead(ctx)
	if ctx.Err() != nil {
		return nil // told to stop before it began
	}
	if err != nil {
		return err
	}
	defer func() { _ = x.Close() }() // a second time it does nothing
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", a.Config.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s (--listen): %w", a.Config.Listen, err)
	}
	metrics := api.NewMetrics()
	b := &backend{Index: x, follower: a.NewFollower(x, metrics)}
	b.config.lake, b.config.db = a.Config.Lake, a.Config.DB
	instance := rand.Text()
	server := api.New(api.Options{Catalog: b, Indexer: b, Metrics: metrics, Log: a.Log, Version: version, Instance: instance,
		Hosts: []string{a.Config.Listen}})

	url := clientURL(listener.Addr())
	forget, err := advertise(a.Config.DB, Server{URL: url, Instance: instance, PID: os.Getpid()})
	if err != nil {
		a.Log.Warn("commands will not find this server by itself, they need --server", "url", url, "error", err)
	}
	defer forget()
	split := SplitMemory(a.Config.Memory, cpus())
	a.Log.Info("following the lake", "lake", a.Config.Lake, "index", a.Config.DB, "url", url, "memory", a.Config.Memory,
		"duckdb_memory", split.DuckDB, "duckdb_threads", split.Threads, "poll", a.Config.PollInterval)
	if listening != nil {
		listening(url)
	}

	var following sync.WaitGroup
	following.Go(func() { b.follower.Run(ctx) })
	err = server.Serve(ctx, listener)
	cancel() // if it was the server that ended
	following.Wait()
	err = errors.Join(err, x.Close())
	a.Log.Info("stopped")
	return err
}

// readerTime is how long the start waits for commands that read the index.
const readerTime = 10 * time.Second

// openWhenRead opens the index for writing. Commands that read it end soon, so it waits for them; another writer does not.
func (a App) openWhenRead(ctx context.Context) (*index.Index, error) {
	deadline := time.Now().Add(readerTime)
	for told := false; ; told = true {
		x, err := a.OpenIndex(ctx, false)
		var locked *index.LockedError
		if !errors.As(err, &locked) || index.LockedBy(a.Config.DB, true) != nil || time.Now().After(deadline) {
			return x, err
		}
		if !told {
			a.Log.Info("waiting for a command that reads the index", "pid", locked.PID, "command", locked.Command)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// NewFollower makes what follows the lake into an index.
func (a App) NewFollower(x *index.Index, observer follow.Observer) *follow.Follower {
	options := follow.Options{
		Poll:      a.Config.PollInterval,
		Retention: a.Retention(),
		Remove:    func(file span.File) error { return lake.Remove(a.Config.Lake, file) },
		List:      a.Scan,
		Observer:  observer,
		Log:       a.Log,
	}
	if watcher, err := lake.NewWatcher(a.Config.Lake, a.Log); err != nil {
		a.Log.Warn("cannot watch the lake, new files are found by polling only", "poll", a.Config.PollInterval, "error", err)
	} else {
		options.Watcher = watcher
	}
	return follow.New(x, lake.NewScanner(a.Config.Lake), options)
}

// Retention is the policy of the settings.
func (a App) Retention() span.RetentionPolicy {
	return span.RetentionPolicy{Days: a.Config.RetainDays, Bytes: a.Config.RetainBytes}
}

// clientURL is where clients on this machine reach a listener.
func clientURL(address net.Addr) string {
	host, port, err := net.SplitHostPort(address.String())
	if err != nil {
		return "http://" + address.String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}
