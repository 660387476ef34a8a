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

// openBackend opens the index. in is nil unless this process takes spans in as well.
func (a App) openBackend(ctx context.Context, role Role, metrics *api.Metrics, in *ingest) (*backend, error) {
	x, err := a.openWhenRead(ctx, role)
	if err != nil {
		return nil, err
	}
	b := &backend{Index: x, follower: a.NewFollower(x, metrics)}
	b.config.lake, b.config.db = a.Config.Lake, a.Config.DB
	if err := b.connect(a, in); err != nil {
		return nil, errors.Join(err, x.Close())
	}
	return b, nil
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
