package api

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/spanlake/spanlake/internal/api/wire"
)

const (
	grpcType = "application/grpc"
	// grpcPattern and jaegerPattern stand for the routes of others in metrics.
	grpcPattern   = "POST /grpc"
	jaegerPattern = "GET /api/"
)

// isGRPC tells whether a request is a call of gRPC. Its content type says it, with the encoding of messages after a +
// (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md). gRPC-Web is another protocol.
func isGRPC(r *http.Request) bool {
	rest, ok := strings.CutPrefix(strings.ToLower(r.Header.Get("Content-Type")), grpcType)
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// serveGRPC passes a call on.
func (s *Server) serveGRPC(w http.ResponseWriter, r *http.Request) {
	r.Pattern = grpcPattern
	switch {
	case r.ProtoMajor < 2:
		// Nobody who speaks HTTP/1 reads the status of a call.
		writeProblem(w, newProblem(http.StatusHTTPVersionNotSupported, "", "gRPC takes HTTP/2, and this request came over %s", r.Proto))
	case s.grpc == nil:
		writeStatus(w, newProblem(http.StatusNotImplemented, "", "this server has no gRPC: `spanlake serve` and `spanlake backend` do"))
	default:
		s.grpc.ServeHTTP(w, r)
	}
}

// writeStatus answers a call with a problem, as a response that has a status and no messages ("Trailers-Only").
func writeStatus(w http.ResponseWriter, p *problem) {
	h := w.Header()
	h.Set("Content-Type", grpcType)
	h.Set("Grpc-Status", strconv.Itoa(int(codeOf(p.Status))))
	h.Set("Grpc-Message", percentEncoded(p.Detail))
	w.WriteHeader(http.StatusOK)
}

// codeOf is the code of gRPC for a status of HTTP.
func codeOf(status int) codes.Code {
	switch status {
	case http.StatusUnauthorized:
		return codes.Unauthenticated
	case http.StatusForbidden:
		return codes.PermissionDenied
	case http.StatusMisdirectedRequest:
		return codes.FailedPrecondition // to come again is of no use
	case http.StatusNotImplemented:
		return codes.Unimplemented
	case http.StatusServiceUnavailable:
		return codes.Unavailable
	}
	return codes.Internal
}

// codeFor is what metrics count a request under. The status of a call is 200 in HTTP whatever came of it, so it is taken from the
// trailers.
func codeFor(w *response, r *http.Request) int {
	given := w.Header().Get("Grpc-Status")
	if given == "" || !isGRPC(r) {
		return w.code()
	}
	code, err := strconv.Atoi(given)
	if err != nil {
		return http.StatusInternalServerError
	}
	switch codes.Code(code) {
	case codes.OK:
		return http.StatusOK
	case codes.InvalidArgument, codes.FailedPrecondition, codes.OutOfRange:
		return http.StatusBadRequest
	case codes.Unauthenticated:
		return http.StatusUnauthorized
	case codes.PermissionDenied:
		return http.StatusForbidden
	case codes.NotFound:
		return http.StatusNotFound
	case codes.ResourceExhausted:
		return http.StatusTooManyRequests
	case codes.Unimplemented:
		return http.StatusNotImplemented
	case codes.Unavailable, codes.Canceled:
		return http.StatusServiceUnavailable
	case codes.DeadlineExceeded:
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}

// percentEncoded is a message as a header can have it: everything but printable ASCII, and the percent sign, as bytes in hex.
func percentEncoded(message string) string {
	var out strings.Builder
	for i := range len(message) {
		if c := message[i]; c < ' ' || c > '~' || c == '%' {
			fmt.Fprintf(&out, "%%%02X", c)
		} else {
			out.WriteByte(c)
		}
	}
	return out.String()
}

// inJaeger tells whether a request is for Jaeger's API.
func (s *Server) inJaeger(r *http.Request) bool {
	return s.jaeger != nil && strings.HasPrefix(r.URL.Path, "/api/") && r.URL.Path != wire.Prefix && !inAPI(r)
}

// serveJaeger passes a request on.
func (s *Server) serveJaeger(w http.ResponseWriter, r *http.Request) {
	s.jaeger.ServeHTTP(w, r)
	if r.Pattern == "" {
		r.Pattern = jaegerPattern // a mux has set it otherwise
	}
}
