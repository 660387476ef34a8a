package otlpbench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	exportMethod = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
	// answerTime is how long one try may take, patience how long a request is tried again.
	answerTime = time.Minute
	patience   = 2 * time.Minute
	// pause is before the next try if the server does not say how long to wait.
	pause = 100 * time.Millisecond
)

// client is a connection to an OTLP server that sends requests which are bytes already.
type client struct{ connection *grpc.ClientConn }

func newClient(target string, compress bool) (client, error) {
	options := []grpc.CallOption{grpc.ForceCodecV2(codec{})}
	if compress {
		options = append(options, grpc.UseCompressor(gzip.Name))
	}
	connection, err := grpc.NewClient("passthrough:///"+target, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(), grpc.WithDefaultCallOptions(options...))
	if err != nil {
		return client{}, fmt.Errorf("connect to %s: %w", target, err)
	}
	return client{connection}, nil
}

// send sends a request until it is acknowledged, as the OTLP specification asks: again after the time that the server names, and not at
// all if it will never work (https://opentelemetry.io/docs/specs/otlp/#failures).
func (c client) send(ctx context.Context, data []byte) (retries int, err error) {
	for start := time.Now(); ; retries++ {
		var answer []byte
		try, cancel := context.WithTimeout(ctx, answerTime)
		err := c.connection.Invoke(try, exportMethod, &data, &answer)
		cancel()
		if err == nil {
			return retries, refusedOf(answer)
		}
		wait, again := retryAfter(err)
		if !again || ctx.Err() != nil || time.Since(start)+wait > patience {
			return retries, fmt.Errorf("the server refused a request for good, or for %s: %w", patience, err)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return retries, ctx.Err()
		}
	}
}

// retryAfter tells whether a request is to be sent again, and after how long.
func retryAfter(err error) (wait time.Duration, again bool) {
	state, ok := status.FromError(err)
	if !ok {
		return 0, false
	}
	wait = pause
	told := false
	for _, detail := range state.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			told = true
			wait = max(info.GetRetryDelay().AsDuration(), 0)
		}
	}
	switch state.Code() { //nolint:exhaustive // all others are final
	case codes.ResourceExhausted:
		return wait, told
	case codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.OutOfRange, codes.Unavailable, codes.DataLoss:
		return wait, true
	default:
		return 0, false
	}
}

// RejectedError says that a server did not keep spans that it has no reason to refuse.
type RejectedError struct {
	Spans  int64
	Reason string
}

func (e *RejectedError) Error() string {
	return fmt.Sprintf("the server rejected %d spans: %s", e.Spans, e.Reason)
}

// refusedOf reads the partial_success of an ExportTraceServiceResponse.
func refusedOf(answer []byte) error {
	partial, _, err := fields(answer)
	if err != nil || partial == nil {
		return err
	}
	reason, rejected, err := fields(partial)
	if err != nil || rejected == 0 {
		return err
	}
	return &RejectedError{Spans: int64(rejected), Reason: string(reason)}
}

var errAnswer = errors.New("the server's answer is no ExportTraceServiceResponse")

// fields returns the one field of bytes and the one number that a message has.
func fields(message []byte) (text []byte, number uint64, err error) {
	for len(message) > 0 {
		field, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return nil, 0, errAnswer
		}
		message = message[n:]
		switch kind {
		case protowire.BytesType:
			text, n = protowire.ConsumeBytes(message)
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(message)
		default:
			n = protowire.ConsumeFieldValue(field, kind, message)
		}
		if n < 0 {
			return nil, 0, errAnswer
		}
		message = message[n:]
	}
	return text, number, nil
}

// codec passes bytes through. They are copied: gRPC may still read them when the call has ended.
type codec struct{}

// Name is what the content type says.
func (codec) Name() string { return "proto" }

// Marshal takes a *[]byte.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	data, ok := v.(*[]byte)
	if !ok {
		return nil, fmt.Errorf("cannot send a %T", v)
	}
	return mem.BufferSlice{mem.Copy(*data, mem.DefaultBufferPool())}, nil
}

// Unmarshal takes a *[]byte.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	target, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("cannot receive a %T", v)
	}
	*target = data.Materialize()
	return nil
}
