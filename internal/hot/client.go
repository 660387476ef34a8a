package hot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/spanlake/spanlake/internal/hot/hotpb"
	"github.com/spanlake/spanlake/internal/span"
)

const (
	// callTime is how long a call may take whose context has no deadline.
	callTime = 5 * time.Second
	// searchTime is how long one may take that reads all of the write-ahead log, or may go by until more of an answer comes.
	searchTime = 30 * time.Second
	// connectTime is how long connecting may take: the two processes are on one machine or beside each other.
	connectTime = 2 * time.Second
	// pathsPerCall keeps a Release below what the server takes.
	pathsPerCall = 1000
)

// Client asks another process for its hot spans. When nobody answers there, calls fail at once with ErrUnreachable; it goes on trying to
// connect whenever it is asked, at most every 2 seconds. A call ends after 5 seconds, or 30 if whole spans are searched, unless its context
// says otherwise.
type Client struct {
	conn  *grpc.ClientConn
	calls hotpb.HotClient
	// patience is how long Select waits until more comes.
	patience time.Duration
}

var _ Spans = (*Client)(nil)

// Dial makes a client of the process that listens at target, "host:port". It does not connect yet. Close must be called.
func Dial(target string) (*Client, error) {
	reconnect := backoff.DefaultConfig
	reconnect.BaseDelay, reconnect.MaxDelay = 100*time.Millisecond, 2*time.Second
	conn, err := grpc.NewClient(target,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithNoProxy(), // the other process is near, whatever HTTPS_PROXY says of the rest of the world
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: connectTime}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: pingTime, PermitWithoutStream: true}),
		grpc.WithDisableServiceConfig(), // which the DNS could have
	)
	if err != nil {
		return nil, fmt.Errorf("the ingest service at %q: %w", target, err)
	}
	return &Client{conn: conn, calls: hotpb.NewHotClient(conn), patience: searchTime}, nil
}

// Close ends the connection, and calls that are under way.
func (c *Client) Close() error { return c.conn.Close() }

// receive reads a stream to its end.
func receive[Request, Response any](
	ctx context.Context, c *Client, request *Request, most time.Duration,
	call func(context.Context, *Request, ...grpc.CallOption) (grpc.ServerStreamingClient[Response], error),
	take func(*Response) error,
) error {
	ctx, cancel := withDeadline(ctx, most) // which also ends a stream that is not read to its end
	defer cancel()
	stream, err := call(ctx, request)
	if err != nil {
		return c.toError(ctx, err)
	}
	for {
		response, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return c.toError(ctx, err)
		}
		if err := take(response); err != nil {
			return err
		}
	}
}

// answer is what there is without an error, and nothing with one.
func answer[T any](what T, doing string, err error) (T, error) {
	var invalid *span.InvalidError
	switch {
	case err == nil:
		return what, nil
	case errors.As(err, &invalid):
	default:
		err = fmt.Errorf("%s of the ingest service: %w", doing, err)
	}
	var nothing T
	return nothing, err
}

func withDeadline(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, most)
}

// toError makes of what gRPC says an error that callers can decide on.
func (c *Client) toError(ctx context.Context, err error) error {
	s := status.Convert(err)
	switch s.Code() {
	case codes.Unavailable:
		return fmt.Errorf("%w at %s: %s", ErrUnreachable, c.conn.Target(), s.Message())
	case codes.Unimplemented:
		return fmt.Errorf("%w: %s", ErrVersion, s.Message())
	case codes.InvalidArgument:
		return &span.InvalidError{What: "request", Problem: "is refused by the ingest service: " + s.Message()}
	case codes.Canceled, codes.DeadlineExceeded:
		// Time that went by while nobody answered says more than that it went by.
		if s.Code() == codes.DeadlineExceeded && c.conn.GetState() != connectivity.Ready {
			return fmt.Errorf("%w at %s: %w", ErrUnreachable, c.conn.Target(), context.DeadlineExceeded)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if s.Code() == codes.Canceled {
			// Close was called.
			return fmt.Errorf("%w at %s: %w", ErrUnreachable, c.conn.Target(), context.Canceled)
		}
		return context.DeadlineExceeded
	}
	return errors.New(s.Message())
}
