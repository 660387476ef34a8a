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
)

// Role is what a process does: take spans in, index them, or both.
type Role int

// The roles.
const (
	// Backend follows the lake and serves the index.
	Backend Role = iota
	// Ingest takes spans in and writes them to the lake.
	Ingest
	// Serve is both.
	Serve
)

// Indexes tells whether the role has an index.
func (r Role) Indexes() bool { return r != Ingest }

// TakesIn tells whether the role takes spans in.
func (r Role) TakesIn() bool { return r != Backend }

// Addresses are where a process is reached, "" if it does not listen for that.
type Addresses struct {
	// URL is of the HTTP server that every role has.
	URL string
	// OTLPGRPC, OTLPHTTP and Internal are HOST:PORT.
	OTLPGRPC, OTLPHTTP, Internal string
}

const (
	// stopTime is how long a process may take to stop once its context has ended. What is committed is safe whenever it
	// ends; stopping in order only spares the next start the work of replaying DuckDB's write-ahead log.
	stopTime = 4500 * time.Millisecond
	// stopFlushTime comes on top where spans are taken in: those that arrived are moved into the lake. Together they stay
	// below the 10 seconds that container engines wait.
	stopFlushTime = 4500 * time.Millisecond
)

// Run plays a role until ctx ends, which is no error. listening is called once, with where clients reach it.
func (a App) Run(ctx context.Context, role Role, version string, listening func(Addresses)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- a.play(ctx, cancel, role, version, listening) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	limit := stopTime
	if role.TakesIn() {
		limit += stopFlushTime
	}
	patience := time.NewTimer(limit)
	defer patience.Stop()
	select {
	case err := <-done:
		return err
	case <-patience.C:
		a.Log.Warn("not everything stopped in time, ending all the same: what was acknowledged or committed is safe", "time", limit)
		return nil
	}
}

// play starts the parts in order and stops them in reverse.
func (a App) play(ctx context.Context, cancel context.CancelFunc, role Role, version string, listening func(Addresses)) (err error) {
	metrics := api.NewMetrics()
	instance := rand.Text()
	options := api.Options{Metrics: metrics, Log: a.Log, Version: version, Instance: instance}
	address, setting := a.Config.Listen, "--listen"
	if role == Ingest {
		address, setting = a.Config.IngestListen, "--ingest-listen"
	}
	options.Hosts = []string{address}
	a.limitMemory(role)

	var in *ingest
	if role.TakesIn() {
		if in, err = a.openIngest(ctx, role, metrics); err != nil {
			return stoppedEarly(ctx, err)
		}
		defer func() { err = errors.Join(err, in.close()) }()
		options.Ingest = in
	}
	var b *backend
	if role.Indexes() {
		if b, err = a.openBackend(ctx, role, in); err != nil {
			return stoppedEarly(ctx, err)
		}
		defer func() { err = errors.Join(err, b.close()) }()
		options.Catalog, options.Indexer = b, b
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen on %s (%s): %w", address, setting, err)
	}
	at := Addresses{URL: clientURL(listener.Addr())}
	if in != nil {
		if err := in.listen(ctx, role, &at); err != nil {
			return errors.Join(err, listener.Close())
		}
	}
	server := Server{URL: at.URL, Instance: instance, PID: os.Getpid()}
	defer a.advertise(role, server)()
	a.announce(role, at)
	if listening != nil {
		listening(at)
	}

	// The index follows until the last spans are in the lake.
	following, unfollow := context.WithCancel(context.WithoutCancel(ctx))
	defer unfollow()
	var taking, running sync.WaitGroup
	var failure error
	if b != nil {
		b.follow(a, metrics)
		running.Go(func() { b.run(following) })
	}
	if in != nil {
		taking.Go(func() { failure = in.run(ctx, cancel) })
	}
	err = api.New(options).Serve(ctx, listener)
	cancel() // if it was the server that ended
	taking.Wait()
	err = errors.Join(err, failure)
	if in != nil && b != nil {
		b.catchUp(following)
	}
	unfollow()
	running.Wait()
	a.Log.Info("stopped")
	return err
}

// stoppedEarly is no error if it came from being told to stop.
func stoppedEarly(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// announce logs what runs.
func (a App) announce(role Role, at Addresses) {
	split, c := a.split(role), a.Config
	if role.TakesIn() {
		a.Log.Info("taking spans in", "otlp_grpc", at.OTLPGRPC, "otlp_http", at.OTLPHTTP, "wal", c.WAL, "lake", c.Lake,
			"url", at.URL, "internal", at.Internal)
	}
	if role.Indexes() {
		a.Log.Info("following the lake", "lake", c.Lake, "index", c.DB, "url", at.URL, "memory", c.Memory,
			"duckdb_memory", split.DuckDB, "duckdb_threads", split.Threads, "poll", c.PollInterval)
	}
}
