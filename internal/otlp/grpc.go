package otlp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"go.opentelemetry.io/collector/config/configauth"
	"go.opentelemetry.io/collector/config/configgrpc"
	"go.opentelemetry.io/collector/config/configoptional"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"
)

const (
	// maxStreams is how many requests one connection may send at the same time.
	maxStreams = 64
	// windowBytes is how much of a request a client may send before it is read. With 64 KiB, the least that gRPC allows, the
	// updates of the window cost 0.2 µs a span.
	windowBytes = 256 << 10
	// frameBuffer is how much is read of a connection at once.
	frameBuffer = 16 << 10
	// headerBytes bounds the headers of a request.
	headerBytes = 64 << 10
	// handshakeTime is how long a client may take to begin.
	handshakeTime = 10 * time.Second
	// idleTime is how long a connection is kept for the next request.
	idleTime = 2 * time.Minute
	// pingTime: clients may ping this often; the server asks after twice this time without a sign of life.
	pingTime = 10 * time.Second
)

// services are those of OTLP, by their signal.
func services() map[string]string {
	return map[string]string{
		"traces":   "opentelemetry.proto.collector.trace.v1.TraceService",
		"metrics":  "opentelemetry.proto.collector.metrics.v1.MetricsService",
		"logs":     "opentelemetry.proto.collector.logs.v1.LogsService",
		"profiles": "opentelemetry.proto.collector.profiles.v1development.ProfilesService",
	}
}

// newGRPC makes the gRPC server.
func (s *Server) newGRPC(ctx context.Context) (*grpc.Server, error) {
	extensions, id := s.authenticator()
	config := configgrpc.NewDefaultServerConfig()
	config.TLS = s.options.tls()
	config.Auth = configoptional.Some(configauth.Config{AuthenticatorID: id})
	config.MaxConcurrentStreams = maxStreams
	config.ReadBufferSize = frameBuffer
	config.WriteBufferSize = frameBuffer
	config.Keepalive = configoptional.Some(configgrpc.KeepaliveServerConfig{
		ServerParameters: configoptional.Some(configgrpc.KeepaliveServerParameters{
			MaxConnectionIdle: idleTime, Time: 2 * pingTime, Timeout: pingTime}),
		EnforcementPolicy: configoptional.Some(configgrpc.KeepaliveEnforcementPolicy{MinTime: pingTime, PermitWithoutStream: true}),
	})
	var options []configgrpc.ToServerOption
	for _, option := range []grpc.ServerOption{
		grpc.ForceServerCodecV2(responseCodec{}),
		grpc.InTapHandle(withCancel),
		grpc.StaticStreamWindowSize(windowBytes),
		grpc.StaticConnWindowSize(windowBytes), // gRPC gives it back whether or not requests are read
		grpc.MaxHeaderListSize(headerBytes),
		grpc.ConnectionTimeout(handshakeTime),
	} {
		options = append(options, configgrpc.WithGrpcServerOption(option))
	}
	server, err := config.ToServer(ctx, extensions, telemetry(), options...)
	if err != nil {
		return nil, fmt.Errorf("OTLP over gRPC: %w", err)
	}
	for signal, service := range services() {
		export := s.exportNothing(signal)
		if signal == "traces" {
			export = s.exportTraces
		}
		// For clients it is a unary method. Here it is a stream, since only then does the handler run before the request
		// has been received.
		server.RegisterService(&grpc.ServiceDesc{ServiceName: service, HandlerType: (*any)(nil),
			Streams: []grpc.StreamDesc{{StreamName: "Export", ClientStreams: true, Handler: export}}}, s)
	}
	return server, nil
}

// exportNothing answers for a signal that is not kept, without reading the request.
func (s *Server) exportNothing(signal string) grpc.StreamHandler {
	return func(any, grpc.ServerStream) error { return s.refuseGRPC(s.notKept(signal)) }
}

// exportTraces is TraceService.Export.
func (s *Server) exportTraces(_ any, stream grpc.ServerStream) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = s.refuseGRPC(s.panicked(cause))
		}
	}()
	ctx := stream.Context()
	cancel, ok := ctx.Value(cancelKey{}).(context.CancelFunc)
	messages, isMessages := grpc.ServerTransportStreamFromContext(ctx).(messageStream)
	if !ok || !isMessages {
		s.log.Error("gRPC is another one than this program was made for")
		return s.refuseGRPC(errInternal())
	}
	if !s.begin() {
		return s.refuseGRPC(errStopping())
	}
	defer s.requests.Done()
	one := s.budget.enter(cancel)
	defer one.leave()
	data, err := s.readMessage(ctx, one, messages)
	if err != nil {
		return s.refuseGRPC(s.refusalOf(err))
	}
	response, refused := s.answer(ctx, "grpc", one, data)
	if refused != nil {
		return s.refuseGRPC(refused)
	}
	reply, err := response.MarshalProto()
	if err != nil {
		return err
	}
	return stream.SendMsg(reply)
}

func (s *Server) refuseGRPC(r *refusal) error {
	s.refuse(r)
	return status.ErrorProto(r.status())
}

// messageStream is what grpc-go's RecvMsg reads messages from. RecvMsg itself sets aside as much as a client announces, or as
// a few compressed bytes become, before anybody is asked; see docs/adr/0011.
type messageStream interface {
	// ReadMessageHeader fills the header, or returns io.EOF if the client has sent everything.
	ReadMessageHeader(header []byte) error
	// Read returns the next n bytes, and waits for them.
	Read(n int) (mem.BufferSlice, error)
	// RecvCompress is how messages are compressed that say they are.
	RecvCompress() string
}

// readMessage receives the one message of a request.
func (s *Server) readMessage(ctx context.Context, one *share, messages messageStream) ([]byte, error) {
	r := reading{share: one, limit: s.options.MaxRequestBytes, decoders: s.decoders, spare: s.spare}
	return r.read(ctx, s.options.ReadTimeout, func() (io.Reader, error) {
		var header [5]byte // gRPC over HTTP/2: one byte that is 1 if the message is compressed, and its length
		if err := messages.ReadMessageHeader(header[:]); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				err = errMalformed("the call has no request message")
			}
			return nil, err
		}
		length := int64(binary.BigEndian.Uint32(header[1:]))
		switch {
		case length > r.limit:
			return nil, errTooLarge(r.limit)
		case header[0] == 0:
			r.length = length
		case header[0] == 1 && messages.RecvCompress() != "":
			r.encoding = messages.RecvCompress()
		default:
			return nil, errMalformed("the request message says that it is compressed, and the call does not say how")
		}
		return &message{stream: messages, left: length}, nil
	})
}

// message reads the one message of a request, up to where the client says that it has sent everything.
type message struct {
	stream messageStream
	left   int64
	ended  error
}

func (m *message) Read(p []byte) (int, error) {
	if m.left == 0 && m.ended == nil {
		var header [5]byte
		if m.ended = m.stream.ReadMessageHeader(header[:]); m.ended == nil {
			m.ended = errMalformed("the call has more than one request message")
		}
	}
	if m.ended != nil || len(p) == 0 {
		return 0, m.ended
	}
	n := int(min(int64(len(p)), m.left, chunkBytes))
	pieces, err := m.stream.Read(n)
	if err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errMalformed("the request message ends before its length")
		}
		m.ended = err
		return 0, err
	}
	defer pieces.Free()
	m.left -= int64(n)
	return pieces.CopyTo(p), nil
}

// cancelKey is where withCancel keeps the function.
type cancelKey struct{}

// withCancel lets a handler end a read that waits for the client: grpc-go has no deadline for it. The context ends with that
// of the stream.
func withCancel(ctx context.Context, _ *tap.Info) (context.Context, error) {
	ctx, cancel := context.WithCancel(ctx)
	return context.WithValue(ctx, cancelKey{}, cancel), nil
}

// responseCodec sends responses that are encoded already.
type responseCodec struct{}

// Name is that of the encoding.
func (responseCodec) Name() string { return "proto" }

// Marshal takes a response as bytes.
func (responseCodec) Marshal(v any) (mem.BufferSlice, error) {
	encoded, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("a response is %T, want bytes", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(encoded)}, nil
}

// Unmarshal is not for requests: see messageStream.
func (responseCodec) Unmarshal(mem.BufferSlice, any) error {
	return errors.New("requests are read as bytes")
}
