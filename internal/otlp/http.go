package otlp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"os"
	"time"

	"go.opentelemetry.io/collector/config/configauth"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configoptional"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/spanlake/spanlake/internal/apikey"
)

const (
	contentProtobuf = "application/x-protobuf"
	contentJSON     = "application/json"
	// tracesPath is where traces are sent.
	tracesPath = "/v1/traces"
	// writeTime is how long an answer may take to be read.
	writeTime = 30 * time.Second
	// lingerTime and lingerBytes are how long and how much is read of a request that was refused before its end.
	lingerTime  = time.Second
	lingerBytes = 16 << 20
	// corsAge is how long a browser remembers what it may send.
	corsAge = 600
)

// newHTTP makes the HTTP server.
func (s *Server) newHTTP(ctx context.Context) (*http.Server, error) {
	extensions, id := s.authenticator()
	config := confighttp.NewDefaultServerConfig()
	config.Auth = configoptional.Some(confighttp.AuthConfig{Config: configauth.Config{AuthenticatorID: id}})
	// The Collector's decompressor is off, since it gives snappy and zstd as much memory as a request asks for before it can
	// be accounted for. An empty list is what turns it off; none would be all.
	config.CompressionAlgorithms = []string{}
	config.MaxRequestBodySize = s.options.MaxRequestBytes
	config.ReadHeaderTimeout = handshakeTime
	// A second longer than what begins with the body, so that it is that which ends a slow one. This one is for bodies that
	// nobody reads.
	config.ReadTimeout = s.options.ReadTimeout + time.Second
	// It counts from the header on, so it has to have room for the body and for the disk.
	config.WriteTimeout = s.options.ReadTimeout + 2*writeTime
	config.Keepalive = configoptional.Some(confighttp.KeepaliveServerConfig{IdleTimeout: idleTime})
	if len(s.options.CORSOrigins) > 0 {
		config.CORS = configoptional.Some(confighttp.CORSConfig{AllowedOrigins: s.options.CORSOrigins, MaxAge: corsAge,
			AllowedHeaders: []string{apikey.BearerHeader, apikey.KeyHeader, "content-type", "content-encoding"}})
	}
	server, err := config.ToServer(ctx, extensions, telemetry(), http.HandlerFunc(s.serveHTTP), confighttp.WithErrorHandler(s.refuseKey))
	if err != nil {
		return nil, fmt.Errorf("OTLP over HTTP: %w", err)
	}
	server.MaxHeaderBytes = headerBytes
	server.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerConnection: windowBytes, MaxReceiveBufferPerStream: windowBytes}
	server.ErrorLog = slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)
	return server, nil
}

// serveHTTP answers a request that has passed the authenticator.
func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	source := &body{source: r.Body, limit: s.options.MaxRequestBytes, patience: s.options.ReadTimeout, ended: r.ContentLength == 0}
	r.Body = source
	defer func() {
		if cause := recover(); cause != nil {
			s.refuseHTTP(w, r, s.panicked(cause))
		}
	}()
	if !s.begin() {
		s.refuseHTTP(w, r, errStopping())
		return
	}
	defer s.requests.Done()
	answer, err := s.exportHTTP(w, r)
	if err != nil {
		s.refuseHTTP(w, r, s.refusalOf(err))
		return
	}
	write(w, contentType(r), http.StatusOK, answer)
}

// exportHTTP reads and stores a request, and returns the response in its encoding.
func (s *Server) exportHTTP(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if refused := s.route(w, r); refused != nil {
		return nil, refused
	}
	// A read that waits for the client returns at a deadline that has passed.
	control := http.NewResponseController(w)
	one := s.budget.enter(func() { _ = control.SetReadDeadline(time.Unix(1, 0)) })
	defer one.leave()
	data, err := s.readBody(r, one)
	if err != nil {
		return nil, err
	}
	if contentType(r) == contentJSON {
		if data, err = decodeJSON(r.Context(), one, data); err != nil {
			return nil, err
		}
	}
	response, refused := s.answer(r.Context(), "http", one, data)
	switch {
	case refused != nil:
		return nil, refused
	case contentType(r) == contentJSON:
		return response.MarshalJSON()
	default:
		return response.MarshalProto()
	}
}

// route refuses what is not an export of traces.
func (s *Server) route(w http.ResponseWriter, r *http.Request) *refusal {
	switch r.URL.Path {
	case tracesPath:
	case "/v1/metrics":
		return s.notKept("metrics")
	case "/v1/logs":
		return s.notKept("logs")
	case "/v1development/profiles":
		return s.notKept("profiles")
	default:
		return &refusal{reason: "path", code: codes.NotFound, http: http.StatusNotFound, text: "there is nothing here: spans are sent to " + tracesPath}
	}
	switch {
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		return &refusal{reason: "method", code: codes.Unimplemented, http: http.StatusMethodNotAllowed, text: "spans are sent with POST"}
	case contentType(r) == "":
		return &refusal{reason: "content_type", code: codes.InvalidArgument, http: http.StatusUnsupportedMediaType,
			text: "the content type has to be " + contentProtobuf + " or " + contentJSON}
	}
	return nil
}

// contentType is that of a request, or "" if it is none of OTLP.
func contentType(r *http.Request) string {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err == nil && (media == contentProtobuf || media == contentJSON) {
		return media
	}
	return ""
}

// readBody receives the body of a request.
func (s *Server) readBody(r *http.Request, one *share) ([]byte, error) {
	receiving := reading{share: one, limit: s.options.MaxRequestBytes, decoders: s.decoders, spare: s.spare, encoding: r.Header.Get("Content-Encoding")}
	return receiving.read(r.Context(), s.options.ReadTimeout, func() (io.Reader, error) {
		if r.ContentLength > receiving.limit {
			return nil, errTooLarge(receiving.limit)
		}
		receiving.length = max(r.ContentLength, 0)
		return r.Body, nil
	})
}

// body makes refusals of the errors of net/http.
type body struct {
	source   io.ReadCloser
	limit    int64
	patience time.Duration
	// ended: everything has been read.
	ended bool
}

// Close closes what it reads.
func (b *body) Close() error { return b.source.Close() }

func (b *body) Read(p []byte) (int, error) {
	n, err := b.source.Read(p)
	if err == nil || errors.Is(err, io.EOF) {
		b.ended = err != nil
		return n, err
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return n, errTooLarge(b.limit)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return n, errSlow(b.patience)
	}
	return n, err
}

func (s *Server) refuseHTTP(w http.ResponseWriter, r *http.Request, refused *refusal) {
	s.refuse(refused)
	if refused.retry > 0 {
		w.Header().Set("Retry-After", refused.retrySeconds())
	}
	writeStatus(w, r, refused.http, refused.status())
}

// writeStatus answers with a google.rpc.Status in the encoding of the request (OTLP specification, "OTLP/HTTP Response").
func writeStatus(w http.ResponseWriter, r *http.Request, code int, status *spb.Status) {
	media := contentType(r)
	var encoded []byte
	var err error
	switch media {
	case contentProtobuf:
		encoded, err = proto.Marshal(status)
	case contentJSON:
		encoded, err = protojson.Marshal(status)
	default:
		media, encoded = "text/plain; charset=utf-8", []byte(status.GetMessage()+"\n")
	}
	if err != nil {
		media, encoded = "text/plain; charset=utf-8", []byte(err.Error())
	}
	if source, ok := r.Body.(*body); ok && source.ended {
		write(w, media, code, encoded)
		return
	}
	w.Header().Set("Connection", "close")
	write(w, media, code, encoded)
	linger(w, r)
}

// linger reads some more of a request that was answered early: were the connection closed while the client is sending, the
// system would tell it of that and not of the answer, and it would try again with what can never be taken.
func linger(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 1 {
		return // HTTP/2 ends a stream without ending the connection
	}
	control := http.NewResponseController(w)
	if control.Flush() == nil && control.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		_, _ = io.CopyN(io.Discard, r.Body, lingerBytes) // whatever comes is of no interest
	}
}

// refuseKey is the answer of the Collector's server when the authenticator refuses, of which it passes on a text only: so the
// key is looked at again for the rest. It is not counted again.
func (s *Server) refuseKey(w http.ResponseWriter, r *http.Request, _ string, _ int) {
	refused := s.checkKey(r.Header)
	if refused == nil { // it has become good in between, but its request is lost
		refused = errUnauthenticated(apikey.ErrUnknown)
	}
	if refused.http == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="spanlake"`)
	}
	writeStatus(w, r, refused.http, refused.status())
}

func write(w http.ResponseWriter, media string, code int, body []byte) {
	w.Header().Set("Content-Type", media)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	// A client that is gone needs no answer.
	_, _ = w.Write(body) //nolint:gosec // G705: the content type is never one that a browser runs, and it may not guess
}
