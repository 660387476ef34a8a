package otlp

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// rawCall makes a gRPC call by hand over net/http: the body is sent as it is. Its error is the status.
func rawCall(t testing.TB, r *running, encoding string, body []byte, open bool) error {
	t.Helper()
	send := io.Reader(bytes.NewReader(body))
	if open {
		// The pipe is never written to: the body goes on without anything coming.
		never, end := io.Pipe()
		defer func() { _ = end.Close() }()
		send = io.MultiReader(send, never)
	}
	called, err := h2Call(context.Background(), r.GRPCAddr().String(), encoding, send)
	if err != nil {
		return err
	}
	return called
}

// h2Call returns the status of the call.
func h2Call(ctx context.Context, address, encoding string, body io.Reader) (called, failed error) {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+exportMethod, body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/grpc")
	request.Header.Set("TE", "trailers")
	if encoding != "" {
		request.Header.Set("Grpc-Encoding", encoding)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return nil, err
	}
	trailer := response.Trailer
	if response.Header.Get("Grpc-Status") != "" {
		trailer = response.Header
	}
	code, err := strconv.Atoi(trailer.Get("Grpc-Status"))
	if err != nil {
		return nil, err
	}
	said := &spb.Status{Code: int32(code), Message: trailer.Get("Grpc-Message")}
	if details := trailer.Get("Grpc-Status-Details-Bin"); details != "" {
		raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(details, "="))
		if err != nil {
			return nil, err
		}
		if err := proto.Unmarshal(raw, said); err != nil {
			return nil, err
		}
	}
	if codes.Code(code) == codes.OK {
		return nil, nil
	}
	return status.ErrorProto(said), nil
}
