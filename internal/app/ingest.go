package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/spanlake/spanlake/internal/api"
	"github.com/spanlake/spanlake/internal/apikey"
	"github.com/spanlake/spanlake/internal/config"
	"github.com/spanlake/spanlake/internal/flush"
	"github.com/spanlake/spanlake/internal/hot"
	"github.com/spanlake/spanlake/internal/lake"
	"github.com/spanlake/spanlake/internal/otlp"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/wal"
)

// retryAfter is how long clients wait when there is no room for spans.
const retryAfter = 5 * time.Second

// ingest takes spans in: from the servers into the write-ahead log, and from there into the lake.
type ingest struct {
	app      App
	role     Role
	log      *wal.Log
	store    *hot.Store
	flusher  *flush.Flusher
	receiver *otlp.Server
	internal net.Listener // nil: nobody else is shown what is unflushed
	// refusal is why the last request was refused, nil if it was not.
	refusal atomic.Pointer[refusal]
	// crowded asks for room in the log.
	crowded chan struct{}
}

// hotBytesPerSpan is what an unflushed span takes in memory, in requests of ten spans or more (TestMemoryOfASpan in internal/hot).
const hotBytesPerSpan = 80

// refusal is a request that was refused.
type refusal struct {
	at  time.Time
	err error
}

// openIngest opens the log, finds what is unflushed, and makes the servers. Nothing runs yet.
func (a App) openIngest(ctx context.Context, role Role, keys apikey.Verifier, metrics *api.Metrics) (*ingest, error) {
	c := a.Config
	if role == Serve && c.Memory < ServeMemory {
		return nil, &config.Error{Source: "--memory (SPANLAKE_MEMORY)", Value: humanize.Bytes(uint64(max(c.Memory, 0))),
			Allowed: "at least 256MB for a process that takes spans in and indexes them"}
	}
	if err := checkLake(c.Lake); err != nil {
		return nil, err
	}
	metrics.Ingest()
	i := &ingest{app: a, role: role, crowded: make(chan struct{}, 1)}
	receiver, err := a.newReceiver(ctx, role, keys, i, metrics)
	if err != nil {
		return nil, err
	}
	i.receiver = receiver
	if i.log, err = a.openLog(ctx, func(requests []span.Request) { i.store.Add(requests) }); err != nil {
		return nil, err
	}
	if err := i.recover(ctx, role, metrics); err != nil {
		return nil, errors.Join(err, i.log.Close(context.WithoutCancel(ctx)))
	}
	return i, nil
}

// checkLake refuses a lake that spans could never be moved into. One that is not there yet is made by the first flush.
func checkLake(path string) error {
	info, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return fmt.Errorf("--lake (JUNJO_SPAN_STORAGE_PATH): %w", cmp.Or(err, error(&fs.PathError{Op: "open folder", Path: path, Err: syscall.ENOTDIR})))
	}
	return nil
}

// openLog opens the write-ahead log.
func (a App) openLog(ctx context.Context, committed func([]span.Request)) (*wal.Log, error) {
	c := a.Config
	durability := wal.Full
	if c.WALNormal {
		durability = wal.Normal
	}
	return wal.Open(ctx, wal.Options{Path: c.WAL, Sync: durability, MaxBytes: c.MaxWALSize, MinFreeDisk: c.MinFreeDisk,
		Committed: committed, Log: a.Log})
}

// recover shows what an earlier process left unflushed, and makes what flushes it.
func (i *ingest) recover(ctx context.Context, role Role, metrics *api.Metrics) error {
	log := logOf{i.log, i.app.Log}
	// Spans of published files go before others are refused.
	i.store = hot.NewStore(log, hot.Options{KeepSpans: i.app.split(role).Hot / 2 / hotBytesPerSpan, KeepBytes: i.app.Config.MaxWALSize / 2, Logger: i.app.Log})
	flusher, err := i.app.newFlusher(role, log, i.store, metrics)
	if err != nil {
		return err
	}
	i.flusher = flusher
	first, last := span.RequestID{}, span.RequestID{}
	for b := range last {
		last[b] = 0xff
	}
	for request, err := range log.Requests(ctx, first, last) {
		if err != nil {
			return fmt.Errorf("read what is unflushed: %w", err)
		}
		i.store.Add([]span.Request{request})
	}
	flushes, err := i.log.Flushes(ctx)
	if err != nil {
		return err
	}
	for _, f := range flushes {
		if f.Path != "" {
			i.store.Assign(f.First, f.Last, f.Path) // the file may be there, whatever the log knows of it
		}
		if f.Published {
			i.store.Publish(f.First, f.Last, f.Path)
		}
	}
	return nil
}

func (a App) newFlusher(role Role, log flush.Log, store flush.Hot, observer flush.Observer) (*flush.Flusher, error) {
	writer, err := lake.NewWriter(a.Config.Lake)
	if err != nil {
		return nil, err
	}
	c := a.Config
	return flush.New(log, files{writer}, store, flush.Options{Spans: c.FlushMaxRows, Bytes: min(c.FlushMaxBytes, a.split(role).Piece),
		MaxAge: c.FlushMaxAge, MinSpans: int64(c.FlushMinRows), Interval: c.FlushInterval, Observer: observer, Log: a.Log}), nil
}

// listen opens the servers.
func (i *ingest) listen(ctx context.Context, role Role, at *Addresses) error {
	if err := i.receiver.Start(ctx); err != nil {
		return err
	}
	at.OTLPGRPC, at.OTLPHTTP = i.addresses()
	address := i.app.Config.InternalListen
	if role == Serve || address == "" {
		return nil
	}
	var err error
	if i.internal, err = (&net.ListenConfig{}).Listen(ctx, "tcp", address); err != nil {
		return fmt.Errorf("listen on %s (--internal-listen): %w", address, err)
	}
	at.Internal = i.internal.Addr().String()
	return nil
}

// addresses are where OTLP is taken in, "" if it is not.
func (i *ingest) addresses() (grpc, http string) {
	if a := i.receiver.GRPCAddr(); a != nil {
		grpc = a.String()
	}
	if a := i.receiver.HTTPAddr(); a != nil {
		http = a.String()
	}
	return grpc, http
}

// run flushes, shows what is unflushed and makes room, until ctx ends. Then it ends the servers, and moves what has arrived
// into the lake as far as time allows. If a server ends by itself, it calls end.
func (i *ingest) run(ctx context.Context, end func()) (err error) {
	var running sync.WaitGroup
	running.Go(func() { i.flusher.Run(ctx) })
	running.Go(func() { i.makeRoomWhenAsked(ctx) })
	showing, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var shown sync.WaitGroup
	shown.Go(func() { i.store.Run(showing) })
	if i.internal != nil {
		shown.Go(func() {
			if err := hot.Serve(showing, i.internal, i.store, i.app.Log); err != nil {
				i.app.Log.Error("unflushed spans are not shown to the backend anymore", "error", err)
			}
		})
	}
	select {
	case <-ctx.Done():
	case err = <-i.receiver.Failed():
		end()
	}
	i.drain(context.WithoutCancel(ctx), &running)
	stop()
	shown.Wait()
	return err
}

// FlushHere moves all spans of the write-ahead log into the lake, without a server.
func (a App) FlushHere(ctx context.Context) (flushed span.Flushed, err error) {
	a.limitMemory(Ingest)
	log, err := a.openLog(ctx, nil)
	if err != nil {
		return flushed, err
	}
	defer func() { err = errors.Join(err, log.Close(context.WithoutCancel(ctx))) }()
	flusher, err := a.newFlusher(Ingest, logOf{log, a.Log}, nobody{}, nil)
	if err != nil {
		return flushed, err
	}
	return flusher.Once(ctx)
}

// drain ends the servers, then flushes.
func (i *ingest) drain(ctx context.Context, running *sync.WaitGroup) {
	ctx, cancel := context.WithTimeout(ctx, stopFlushTime)
	defer cancel()
	receiving, stop := context.WithTimeout(ctx, stopReceiveTime)
	i.receiver.Shutdown(receiving)
	stop()
	running.Wait()
	flushed, err := i.flusher.Drain(ctx)
	if err != nil {
		i.app.Log.Warn("not all spans were moved into the lake: they stay in the write-ahead log until the next start", "error", err)
	}
	if flushed.Files > 0 {
		i.app.Log.Info("flushed what was left", "spans", flushed.Spans, "files", flushed.Files)
	}
}

func (i *ingest) makeRoomWhenAsked(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-i.crowded:
			i.makeRoom(ctx)
		}
	}
}

// makeRoom empties a log that is full, even of spans that nobody has said to be indexed: they are in the lake.
func (i *ingest) makeRoom(ctx context.Context) {
	// While flushing fails it is tried again anyway, later each time. Every request that is refused would count as a failure.
	if failures, _ := i.flusher.Failing(); failures == 0 {
		if _, err := i.flusher.Flush(ctx); err != nil {
			return // it is logged and tried again
		}
	}
	paths, err := i.store.Published(ctx)
	if err == nil {
		err = i.store.Release(ctx, paths)
	}
	if err != nil && ctx.Err() == nil {
		i.app.Log.Error("the write-ahead log is full, and what is in the lake cannot be deleted from it", "error", err)
	}
}

// crowdedError says that unflushed spans take as much memory as they may.
type crowdedError struct{ used, limit int64 }

func (e *crowdedError) Error() string {
	return fmt.Sprintf("unflushed spans take %s of memory, and %s is allowed: they are being flushed; raise --memory (SPANLAKE_MEMORY), or "+
		"lower --flush-max-rows (FLUSH_MAX_ROWS)", humanize.Bytes(uint64(e.used)), humanize.Bytes(uint64(e.limit)))
}

const (
	// roomTime is how long a request waits for memory before it is refused: clients that send faster than spans can be flushed
	// are slowed down rather than sent away.
	roomTime = time.Second
	// roomPoll is how often it looks.
	roomPoll = 5 * time.Millisecond
)

// room waits for memory to show further spans as unflushed: it grows with them if they are not flushed as fast as they come.
func (i *ingest) room(ctx context.Context) error {
	limit := i.app.split(i.role).Hot
	for until := time.Now().Add(roomTime); ; {
		used := i.store.MemoryBytes()
		if used <= limit {
			return nil
		}
		if time.Now().After(until) {
			return &crowdedError{used, limit}
		}
		select {
		case <-time.After(roomPoll):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Append keeps a request: it is durable and visible when Append returns nil.
func (i *ingest) Append(ctx context.Context, data []byte, spans int) error {
	err := i.room(ctx)
	if err == nil {
		err = i.log.Append(ctx, data, spans)
	}
	if err == nil {
		if i.refusal.Load() != nil {
			i.refusal.Store(nil)
		}
		i.flusher.Appended()
		return nil
	}
	if ctx.Err() != nil {
		return err
	}
	refused := &span.RefusedError{Reason: "storage", RetryAfter: retryAfter, Err: err}
	full, crowded := (*wal.FullError)(nil), (*crowdedError)(nil)
	switch {
	case errors.As(err, &full):
		refused.Reason = string(full.Reason)
	case errors.As(err, &crowded):
		refused.Reason, refused.RetryAfter = "memory", roomTime
	case errors.Is(err, wal.ErrClosed):
		refused.Reason = "stopping"
	}
	if full != nil || crowded != nil {
		select {
		case i.crowded <- struct{}{}:
		default:
		}
	}
	i.refusal.Store(&refusal{time.Now(), err}) // the receiver logs it
	return refused
}

// Flush moves all spans into the lake.
func (i *ingest) Flush(ctx context.Context) (span.Flushed, error) { return i.flusher.Flush(ctx) }

// refusalTime is how long a refusal is shown when no client tries again.
const refusalTime = time.Minute

// IngestStatus says what is unflushed.
func (i *ingest) IngestStatus(ctx context.Context) (span.IngestStatus, error) {
	stats, err := i.log.Stats(ctx)
	if err != nil {
		return span.IngestStatus{}, err
	}
	shown, err := i.store.Stats(ctx)
	if err != nil {
		return span.IngestStatus{}, err
	}
	grpc, http := i.addresses()
	status := span.IngestStatus{OTLPGRPC: grpc, OTLPHTTP: http, WALBytes: stats.LiveBytes, DamagedRequests: stats.Damaged,
		UnflushedRequests: stats.Requests, UnflushedSpans: stats.Spans, UnflushedBytes: stats.Bytes,
		HotSpans: shown.Spans, PublishedSpans: shown.PublishedSpans, ExpiredSpans: i.store.Expired()}
	if !stats.Oldest.IsZero() {
		status.OldestUnflushed = &stats.Oldest
	}
	if r := i.refusal.Load(); r != nil && time.Since(r.at) < refusalTime {
		status.Refusing = r.err.Error()
	}
	failures, failure := i.flusher.Failing()
	if status.FlushFailures = failures; failure != nil {
		status.LastFlushError = failure.Error()
	}
	return status, nil
}

// close closes the log, and the servers if they were not stopped.
func (i *ingest) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	i.receiver.Shutdown(ctx)
	var err error
	if i.internal != nil {
		if closing := i.internal.Close(); !errors.Is(closing, net.ErrClosed) {
			err = errors.Join(err, closing)
		}
	}
	return errors.Join(err, i.log.Close(ctx))
}
