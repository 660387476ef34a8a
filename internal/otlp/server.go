// Package otlp receives spans: OTLP over gRPC and HTTP, with API keys, limits, and answers that say what to do next.
package otlp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confignet"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	nooptrace "go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"
	"golang.org/x/net/netutil"
	"google.golang.org/grpc"
)

const (
	// maxConnections is how many connections each of the servers holds; further ones wait until one ends.
	maxConnections = 512
	// noticeEvery is how often the same trouble is logged.
	noticeEvery = time.Minute
)

// Sink stores spans.
type Sink interface {
	// Append stores a request: data is a protobuf TracesData message with so many spans. When it returns nil they are durable.
	// Data belongs to the sink until then, and for good if there is an error. An error that is a *span.RefusedError says why there is no room now; all others, too, have
	// the client send the spans again. It must return soon after ctx ends.
	Append(ctx context.Context, data []byte, spans int) error
}

// Server receives spans. Make it with New, and Start it once.
type Server struct {
	options Options
	sink    Sink
	log     *slog.Logger
	notice  notice
	budget  *budget
	// checking is held while a request is checked, by as many as there are processors; checkingLarge by one large request.
	checking, checkingLarge chan struct{}

	decoders *decoders
	spare    spare

	grpc                       *grpc.Server
	http                       *http.Server
	grpcListener, httpListener net.Listener
	grpcConnections            *connections
	failed                     chan error
	serving                    sync.WaitGroup

	running  sync.Mutex // guards stopping, and requests against being added to afterwards
	stopping bool
	requests sync.WaitGroup
}

// New makes a server that hands what it receives to sink. The context is for looking up the names of hosts.
func New(ctx context.Context, options Options, sink Sink) (*Server, error) {
	if err := options.Validate(ctx, net.DefaultResolver.LookupNetIP); err != nil {
		return nil, err
	}
	options = options.withDefaults()
	s := &Server{options: options, sink: sink, log: options.Log, budget: newBudget(options.InFlightBytes),
		checking: make(chan struct{}, runtime.GOMAXPROCS(0)), checkingLarge: make(chan struct{}, 1),
		decoders: newDecoders(), spare: make(spare, spareBuffers), failed: make(chan error, 2)}
	s.notice = notice{log: options.Log, said: map[string]time.Time{}}
	return s, nil
}

// Start listens, and returns when clients can connect.
func (s *Server) Start(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			s.closeListeners()
		}
	}()
	// The servers outlive the context of their start.
	base := context.WithoutCancel(ctx)
	if s.options.GRPC != "" {
		if s.grpc, err = s.newGRPC(base); err != nil {
			return err
		}
		if s.grpcListener, err = s.listen(ctx, s.options.GRPC, "--otlp-grpc"); err != nil {
			return err
		}
	}
	if s.options.HTTP != "" {
		if s.http, err = s.newHTTP(base); err != nil {
			return err
		}
		if s.httpListener, err = s.listen(ctx, s.options.HTTP, "--otlp-http"); err != nil {
			return err
		}
		if s.httpListener, err = s.withTLS(base, s.httpListener); err != nil {
			return err
		}
	}
	if s.grpc != nil {
		s.grpcConnections = newConnections(s.grpcListener)
		s.serving.Go(func() { s.serve("gRPC", s.grpcConnections, s.grpc.Serve) })
	}
	if s.http != nil {
		s.serving.Go(func() { s.serve("HTTP", s.httpListener, s.http.Serve) })
	}
	return nil
}

func (s *Server) serve(what string, listener net.Listener, serve func(net.Listener) error) {
	if err := serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, grpc.ErrServerStopped) {
		s.failed <- fmt.Errorf("serve OTLP over %s on %s: %w", what, listener.Addr(), err)
	}
}

// listen opens the socket of an address, once more making sure of whom it is open to: a name may mean something else by now.
func (s *Server) listen(ctx context.Context, address, setting string) (net.Listener, error) {
	config := confignet.NewDefaultAddrConfig()
	config.Transport, config.Endpoint = confignet.TransportTypeTCP, address
	listener, err := config.Listen(ctx)
	if err != nil {
		return nil, fmt.Errorf("listen for OTLP on %s (%s): %w", address, setting, err)
	}
	if tcp, ok := listener.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		if err := s.options.exposed(address); err != nil {
			_ = listener.Close() // nobody has connected
			return nil, err
		}
	}
	return netutil.LimitListener(listener, maxConnections), nil
}

// withTLS is what confighttp's ToListener does. That has no place for the limit of connections below TLS, where net/http
// has to see TLS connections to speak HTTP/2.
func (s *Server) withTLS(ctx context.Context, listener net.Listener) (net.Listener, error) {
	config := s.options.tls()
	if !config.HasValue() {
		return listener, nil
	}
	loaded, err := config.Get().LoadTLSConfig(ctx)
	if err != nil {
		return listener, fmt.Errorf("OTLP over HTTP: %w", err)
	}
	loaded.NextProtos = []string{"h2", "http/1.1"}
	return tls.NewListener(listener, loaded), nil
}

func (s *Server) closeListeners() {
	for _, listener := range []net.Listener{s.grpcListener, s.httpListener} {
		if listener != nil {
			_ = listener.Close() // what failed before is told
		}
	}
}

// GRPCAddr is where the server listens for gRPC, nil if it does not.
func (s *Server) GRPCAddr() net.Addr { return addressOf(s.grpcListener) }

// HTTPAddr is where the server listens for HTTP, nil if it does not.
func (s *Server) HTTPAddr() net.Addr { return addressOf(s.httpListener) }

func addressOf(listener net.Listener) net.Addr {
	if listener == nil {
		return nil
	}
	return listener.Addr()
}

// Failed receives why one of the servers ended by itself.
func (s *Server) Failed() <-chan error { return s.failed }

// InFlight is the memory that requests hold in this moment, in bytes.
func (s *Server) InFlight() int64 { return s.budget.inUse() }

// Shutdown refuses new requests and lets those that run end. When ctx ends, those that are still being received are told to
// come again later. When it returns nothing of the server runs anymore: the sink is not called again.
func (s *Server) Shutdown(ctx context.Context) {
	s.running.Lock()
	s.stopping = true
	s.running.Unlock()
	ended := make(chan struct{})
	var closing sync.WaitGroup
	if s.http != nil {
		closing.Go(func() { _ = s.http.Shutdown(ctx) }) // an error is that of ctx
	}
	if s.grpc != nil {
		closing.Go(s.grpc.GracefulStop)
	}
	go func() {
		closing.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		s.budget.endAll(errStopping())
		select {
		case <-ended:
		case <-time.After(answerTime):
		}
	}
	if s.grpcConnections != nil { // it has started
		s.grpcConnections.closeAll()
	}
	if s.grpc != nil {
		s.grpc.Stop()
	}
	if s.http != nil {
		_ = s.http.Close() // the listener may be closed already
	}
	<-ended
	s.closeListeners()
	s.serving.Wait()
	s.requests.Wait()
}

// answerTime is how long requests that were ended have to tell their clients.
const answerTime = 500 * time.Millisecond

// telemetry is none: the servers say what matters through the Observer and the log.
func telemetry() component.TelemetrySettings {
	return component.TelemetrySettings{Logger: zap.NewNop(), TracerProvider: nooptrace.NewTracerProvider(), MeterProvider: noopmetric.NewMeterProvider()}
}

// notKept refuses a signal, and logs once that somebody sends it.
func (s *Server) notKept(signal string) *refusal {
	s.notice.once(signal, "somebody sends "+signal+", which are not kept: only traces are")
	return errNotKept(signal)
}

// notice logs what clients can cause at any rate, but rarely.
type notice struct {
	log  *slog.Logger
	mu   sync.Mutex
	said map[string]time.Time
}

// say logs a line unless the same was said less than noticeEvery ago.
func (n *notice) say(what, message string, args ...any) {
	n.mu.Lock()
	last, ok := n.said[what]
	due := !ok || time.Since(last) >= noticeEvery
	if due {
		n.said[what] = time.Now()
	}
	n.mu.Unlock()
	if due {
		n.log.Warn(message, args...)
	}
}

// once logs a line the first time.
func (n *notice) once(what, message string) {
	n.mu.Lock()
	_, said := n.said[what]
	n.said[what] = time.Now()
	n.mu.Unlock()
	if !said {
		n.log.Info(message)
	}
}
