package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/spanlake/spanlake/internal/api"
	"github.com/spanlake/spanlake/internal/hot"
	"github.com/spanlake/spanlake/internal/index"
	"github.com/spanlake/spanlake/internal/index/follow"
	"github.com/spanlake/spanlake/internal/lake"
	"github.com/spanlake/spanlake/internal/query"
	"github.com/spanlake/spanlake/internal/span"
)

// backend is the index, what follows the lake into it, and what serves it.
type backend struct {
	*index.Index
	follower *follow.Follower
	config   struct{ lake, db, ingest string }
	// unflushed lets spans go that are indexed, nil if nobody is asked for unflushed spans. client is how another process is
	// asked for them, nil if they are in this one.
	unflushed *hot.Follower
	client    *hot.Client
	queries   *query.Queries
}

// Status is the follower's, as the methods below are: it knows what it still has to do.
func (b *backend) Status(ctx context.Context) (span.IndexerStatus, error) {
	status, err := b.follower.Status(ctx)
	status.Lake, status.Index = b.config.lake, b.config.db
	status.Hot = b.hotSource()
	return status, err
}

// hotSource says where spans are that are in no file yet.
func (b *backend) hotSource() span.HotSource {
	switch {
	case b.unflushed == nil:
		return span.HotSource{State: span.HotOff}
	case b.client == nil:
		return span.HotSource{State: span.HotLocal}
	}
	source := span.HotSource{State: span.HotRemote, Address: b.config.ingest}
	if state := b.unflushed.State(); !state.Reachable {
		source.State = span.HotUnreachable
		if state.Err != nil {
			source.Error = state.Err.Error()
		}
	}
	return source
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

// openBackend opens the index. in is nil unless this process takes spans in as well.
func (a App) openBackend(ctx context.Context, role Role, in *ingest) (*backend, error) {
	x, err := a.openWhenRead(ctx, role)
	if err != nil {
		return nil, err
	}
	b := &backend{Index: x}
	b.config.lake, b.config.db, b.config.ingest = a.Config.Lake, a.Config.DB, a.Config.InternalServer
	if err := b.connect(a, in); err != nil {
		return nil, errors.Join(err, x.Close())
	}
	return b, nil
}

// follow makes what follows the lake, which must be run, since it watches, and what answers questions.
func (b *backend) follow(a App, role Role, in *ingest, metrics *api.Metrics) {
	b.follower = a.NewFollower(b.Index, observer{metrics, b.unflushed})
	options := a.queryOptions(role)
	options.Catalog, options.Pending, options.Source = b.Index, b.follower.Pending, b.hotSource
	switch {
	case in != nil:
		options.Hot = in.store
	case b.client != nil:
		options.Hot = b.client
	}
	b.queries = query.New(options)
}

// queryOptions say how much questions may take.
func (a App) queryOptions(role Role) query.Options {
	split := a.split(role)
	return query.Options{WholeBytes: split.Answer, Parallel: split.questions()}
}

// connect finds the spans that are in no file yet: in this process, or in another one.
func (b *backend) connect(a App, in *ingest) error {
	switch {
	case in != nil:
		b.unflushed = hot.NewFollower(in.store, b.Index, a.Log)
	case a.Config.InternalServer != "":
		client, err := hot.Dial(a.Config.InternalServer)
		if err != nil {
			return fmt.Errorf("--internal-server (SPANLAKE_INTERNAL_SERVER): %w", err)
		}
		b.client = client
		b.unflushed = hot.NewFollower(client, b.Index, a.Log)
	}
	return nil
}

// observer counts batches, and has spans let go as soon as they are indexed.
type observer struct {
	*api.Metrics
	unflushed *hot.Follower
}

// Batch is a step of the index.
func (o observer) Batch(done span.Summary) {
	o.Metrics.Batch(done)
	if o.unflushed != nil {
		o.unflushed.Wake()
	}
}

// run follows the lake until ctx ends.
func (b *backend) run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { b.follower.Run(ctx) })
	if b.unflushed != nil {
		running.Go(func() { b.unflushed.Run(ctx) })
	}
	running.Wait()
}

// catchUpTime is how long stopping waits for the last files to be indexed.
const catchUpTime = time.Second

// catchUp indexes what was flushed at last, so that commands which open the index find it. The next start would as well.
func (b *backend) catchUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, catchUpTime)
	defer cancel()
	_, _ = b.follower.IndexNow(ctx, false) // the follower logs what is wrong
}

// close closes the index.
func (b *backend) close() error {
	var err error
	if b.client != nil {
		err = b.client.Close()
	}
	return errors.Join(err, b.Close())
}

// readerTime is how long the start waits for commands that read the index.
const readerTime = 10 * time.Second

// openWhenRead opens the index for writing. Commands that read it end soon, so it waits for them; another writer does not.
func (a App) openWhenRead(ctx context.Context, role Role) (*index.Index, error) {
	deadline := time.Now().Add(readerTime)
	for told := false; ; told = true {
		x, err := index.Open(ctx, a.indexOptions(role, false))
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
