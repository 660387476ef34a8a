package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// headerTime and bodyTime are how long a client may take to send a request, idleTime how long a connection is kept
	// for the next one.
	headerTime = 5 * time.Second
	bodyTime   = 30 * time.Second
	idleTime   = 2 * time.Minute
	// headerBytes and bodyBytes bound what a request may send.
	headerBytes = 64 << 10
	bodyBytes   = 1 << 20
	// maxStreams is how many requests may be under way on one connection of HTTP/2, windowBytes how much of each, and of all of
	// them, a client may send before it is read.
	maxStreams  = 64
	windowBytes = 256 << 10
	// pingTime is after which silence a connection with requests under way is asked for a sign of life, and how long it may take.
	pingTime = 20 * time.Second
)

// Serve answers requests until ctx ends, which is no error. Requests that run then have a moment to end; after that
// their contexts are cancelled, which interrupts their queries, and their connections are closed. Nothing of the server
// runs anymore when Serve returns, so that the index can be closed. It may be called once.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	s.reachable.Store(!onLoopback(listener.Addr()))
	base, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(errStopping)
	server := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       bodyTime, // counts until the body is read, not while the request runs
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    headerBytes,
		BaseContext:       func(net.Listener) context.Context { return base },
		Protocols:         protocols(),
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerConnection: windowBytes, MaxReceiveBufferPerStream: windowBytes,
			SendPingTimeout: pingTime, PingTimeout: pingTime},
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	server.RegisterOnShutdown(sync.OnceFunc(func() { close(s.ending) }))
	failed := make(chan error, 1)
	var serving sync.WaitGroup
	serving.Go(func() { failed <- server.Serve(listener) })
	var err error
	select {
	case err = <-failed:
		err = fmt.Errorf("serve HTTP on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
		s.shutdown(server, cancel)
	}
	cancel(errStopping)
	if closing := server.Close(); closing != nil && !errors.Is(closing, net.ErrClosed) {
		s.log.Debug("closing connections failed", "error", closing)
	}
	s.running.stop()
	serving.Wait()
	return err
}

// protocols are HTTP/1 and, for gRPC, HTTP/2 without TLS, by clients that know that the server speaks it.
func protocols() *http.Protocols {
	p := &http.Protocols{}
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

// shutdown lets requests end: first by themselves, then by cancelling them, which gives them a moment to tell their
// clients so.
func (s *Server) shutdown(server *http.Server, cancel context.CancelCauseFunc) {
	for _, grace := range []time.Duration{s.limits.grace, s.limits.grace / 4} {
		// The context of Serve has ended already, so it cannot bound the wait.
		patience, done := context.WithTimeout(context.Background(), grace)
		err := server.Shutdown(patience)
		done()
		if err == nil {
			return
		}
		cancel(errStopping)
	}
}

// onLoopback tells whether an address can be reached from this machine only. A socket that is no TCP socket has no
// names to be reached under, so nothing has to be refused there.
func onLoopback(address net.Addr) bool {
	tcp, ok := address.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// running counts what runs, so that the server can wait for it.
type running struct {
	mu      sync.Mutex
	n       int
	stopped bool
	idle    *sync.Cond
}

func newRunning() *running {
	r := &running{}
	r.idle = sync.NewCond(&r.mu)
	return r
}

// enter is false if nothing may begin anymore; otherwise leave must be called.
func (r *running) enter() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return false
	}
	r.n++
	return true
}

func (r *running) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n--
	r.idle.Broadcast()
}

// stop lets nothing begin anymore and waits for what runs.
func (r *running) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	for r.n > 0 {
		r.idle.Wait()
	}
}
