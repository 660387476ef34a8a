package hot

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/spanlake/spanlake/internal/hot/hotpb"
	"github.com/spanlake/spanlake/internal/span"
)

const (
	// chunkBytes is about how much one message of an answer has, far below the 4 MiB that gRPC takes.
	chunkBytes = 256 << 10
	// requestBytes bounds what a caller may send: the paths of a Release, the ids of a ReadSpans.
	requestBytes = 1 << 20
	// maxCalls bounds what one connection may ask at a time.
	maxCalls = 64
	// grace is how long calls may go on when the server is told to end.
	grace = 2 * time.Second
	// pingAfter and pingTime find connections that are dead without having been closed.
	pingAfter = 10 * time.Second
	pingTime  = 5 * time.Second
)

// Served is what a server serves: a Store.
type Served interface {
	Spans
	// Encoded yields what Trace answers, or Span unless spanID is "", in the order in which it was received, as protobuf TracesData messages
	// with one span each. EncodedGet and EncodedSelect do so for Get and Select, in their order.
	Encoded(ctx context.Context, traceID, spanID string, maxBytes int64, yield func([]byte) error) (truncated bool, err error)
	EncodedGet(ctx context.Context, refs []span.Ref, maxBytes int64, yield func([]byte) error) (truncated bool, err error)
	EncodedSelect(ctx context.Context, f span.Filter) iter.Seq2[[]byte, error]
}

// Register adds the internal interface to a gRPC server.
func Register(server grpc.ServiceRegistrar, spans Served) {
	hotpb.RegisterHotServer(server, &service{spans: spans})
}

// Serve answers other processes, and health checks, until ctx ends, which is no error. The interface has neither encryption
// nor authentication: it is for loopback, or a network that only the two roles share. It closes the listener.
func Serve(ctx context.Context, listener net.Listener, spans Served, logger *slog.Logger) error {
	if tcp, ok := listener.Addr().(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		logger.Warn("the internal interface has no authentication: let nobody but the backend reach it", "address", listener.Addr().String())
	}
	server := grpc.NewServer(
		grpc.MaxRecvMsgSize(requestBytes),
		grpc.MaxConcurrentStreams(maxCalls),
		grpc.MaxHeaderListSize(16<<10),
		grpc.ConnectionTimeout(5*time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingAfter, Timeout: pingTime}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingAfter / 2, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true),
	)
	Register(server, spans)
	healthy := health.NewServer()
	healthy.SetServingStatus(hotpb.Hot_ServiceDesc.ServiceName, grpc_health_v1.HealthCheckResponse_SERVING)
	grpc_health_v1.RegisterHealthServer(server, healthy)

	failed := make(chan error, 1)
	var serving sync.WaitGroup
	serving.Go(func() { failed <- server.Serve(listener) })
	defer serving.Wait()
	select {
	case err := <-failed:
		server.Stop()
		return fmt.Errorf("serve the internal interface on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	healthy.Shutdown()
	hurry := time.AfterFunc(grace, server.Stop)
	defer hurry.Stop()
	server.GracefulStop()
	return nil
}

// sendChunks sends a list in parts of about chunkBytes.
func sendChunks[T any](all []T, size func(T) int, send func([]T) error) error {
	from, bytes := 0, 0
	for i := range all {
		if bytes += size(all[i]); bytes >= chunkBytes || i == len(all)-1 {
			if err := send(all[from : i+1]); err != nil {
				return err
			}
			from, bytes = i+1, 0
		}
	}
	return nil
}

// toStatus gives an error the code by which the client knows it again.
func toStatus(err error) error {
	var invalid *span.InvalidError
	switch {
	case errors.As(err, &invalid):
		return status.Error(codes.InvalidArgument, err.Error())
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.DeadlineExceeded, err.Error())
	}
	return status.Error(codes.Internal, err.Error())
}
