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

	"google.golang.org/grpc"

	"github.com/spanlake/spanlake/internal/api"

	"github.com/spanlake/spanlake/internal/apikey"
	"github.com/spanlake/spanlake/internal/jaeger"
	"github.com/spanlake/spanlake/internal/session"
	"github.com/spanlake/spanlake/internal/ui"
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
	// stopReceiveTime of that is for requests that are under way. Whoever is slow, or has connected and says nothing, must not
	// take the time from the flush: exporters send again.
	stopReceiveTime = time.Second
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

// play opens the parts, runs them and closes them in reverse.
func (a App) play(ctx context.Context, cancel context.CancelFunc, role Role, version string, listening func(Addresses)) (err error) {
	p := player{App: a, role: role, metrics: api.NewMetrics(), instance: rand.Text(), secret: rand.Text()}
	a.limitMemory(role)
	if p.keys, err = a.openKeys(); err != nil {
		return err
	}
	if err := p.checkExposed(ctx); err != nil {
		return err
	}
	if role.TakesIn() {
		if p.in, err = a.openIngest(ctx, role, p.keys, p.metrics); err != nil {
			return unlessStopped(ctx, err)
		}
		defer func() { err = errors.Join(err, p.in.close()) }()
	}
	if role.Indexes() {
		if p.index, err = a.openBackend(ctx, role, p.in); err != nil {
			return unlessStopped(ctx, err)
		}
		defer func() { err = errors.Join(err, p.index.close()) }()
	}
	listener, at, err := p.listen(ctx)
	if err != nil {
		return err
	}
	p.at = at
	defer a.advertise(role, Server{URL: at.URL, Instance: p.instance, PID: os.Getpid(), Secret: p.secret})()
	a.announce(role, at)
	if listening != nil {
		listening(at)
	}
	return p.run(ctx, cancel, version, listener)
}

// player is a process in its role: in, index or both are there.
type player struct {
	App
	role     Role
	in       *ingest
	index    *backend
	metrics  *api.Metrics
	instance string
	keys     *apikey.Keys
	// secret opens the HTTP server to who may read the note.
	secret string
	// at is where it listens.
	at Addresses
}

// address is where the role is asked over HTTP, and what sets it.
func (p *player) address() (address, setting string) {
	if p.role == Ingest {
		return p.Config.IngestListen, "--ingest-listen"
	}
	return p.Config.Listen, "--listen"
}

// listen opens all sockets.
func (p *player) listen(ctx context.Context) (net.Listener, Addresses, error) {
	address, setting := p.address()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, Addresses{}, fmt.Errorf("listen on %s (%s): %w", address, setting, err)
	}
	if err := p.checkListener(listener.Addr()); err != nil {
		return nil, Addresses{}, errors.Join(err, listener.Close())
	}
	at := Addresses{URL: clientURL(listener.Addr())}
	if p.in != nil {
		if err := p.in.listen(ctx, p.role, &at); err != nil {
			return nil, at, errors.Join(err, listener.Close())
		}
	}
	return listener, at, nil
}

// run serves until ctx ends. Then spans are no longer taken in, what has arrived is moved into the lake and indexed.
func (p *player) run(ctx context.Context, cancel context.CancelFunc, version string, listener net.Listener) error {
	address, _ := p.address()
	keys := apikey.WithSecret(p.keys, "of this machine", p.secret, apikey.Operate)
	options := api.Options{Metrics: p.metrics, Log: p.Log, Version: version, Instance: p.instance, Hosts: append([]string{address}, p.Config.Hosts...), Keys: keys}
	following, unfollow := context.WithCancel(context.WithoutCancel(ctx))
	defer unfollow()
	var taking, indexing sync.WaitGroup
	var failure error
	if p.index != nil {
		options.Catalog, options.Indexer = p.index, p.index
		p.index.follow(p.App, p.role, p.in, p.metrics)
		options.Queries = p.index.queries
		forJaeger := jaeger.Options{Log: p.Log, AnswerBytes: p.split(p.role).Answer}
		// The index is closed after the handlers have ended.
		calls := jaeger.NewGRPC(p.index.queries, forJaeger, grpc.WaitForHandlers(true))
		defer calls.Stop()
		options.GRPC, options.Jaeger = calls, jaeger.NewHTTP(p.index.queries, forJaeger)
		options.Sessions = session.New(keys)
		pages, err := p.pages(options)
		if err != nil {
			return err
		}
		options.Pages = pages
		indexing.Go(func() { p.index.run(following) })
	}
	if p.in != nil {
		options.Ingest = p.in
		taking.Go(func() { failure = p.in.run(ctx, cancel) })
	}
	err := api.New(options).Serve(ctx, listener)
	cancel() // if it was the server that ended
	taking.Wait()
	if p.in != nil && p.index != nil {
		p.index.catchUp(following)
	}
	unfollow()
	indexing.Wait()
	p.Log.Info("stopped")
	return errors.Join(err, failure)
}

// pages are what people look at.
func (p *player) pages(of api.Options) (*ui.UI, error) {
	options := ui.Options{Queries: p.index.queries, Catalog: p.index, Indexer: p.index, Sessions: of.Sessions, Version: of.Version, Log: p.Log,
		Memory: p.Config.Memory, Machine: p.machine, SendKeyNeeded: func() bool { return p.keys.Required(apikey.Send) }}
	if p.in != nil {
		options.Ingest = p.in
		options.OTLPGRPC, options.OTLPHTTP = p.at.OTLPGRPC, p.at.OTLPHTTP
	}
	return ui.New(options)
}

// unlessStopped is no error if it came from being told to stop.
func unlessStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = nil
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
