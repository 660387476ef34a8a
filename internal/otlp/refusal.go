package otlp

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/spanlake/spanlake/internal/apikey"
)

// retryAfter is when clients are asked to try again, unless who refuses knows better.
const retryAfter = time.Second

// refusal is an answer that says no, in the words of both transports.
type refusal struct {
	// reason is what metrics count by.
	reason string
	code   codes.Code
	http   int
	// retry is when the same request may be sent again; 0: never.
	retry time.Duration
	// text is for the client.
	text string
	// spans are those that were refused, 0 if they were not counted.
	spans int
}

func (r *refusal) Error() string { return r.text }

// status is the refusal as both transports send it. What may be retried has a RetryInfo; without one, clients take
// RESOURCE_EXHAUSTED for final (OTLP specification, "OTLP/gRPC Throttling").
func (r *refusal) status() *spb.Status {
	s := status.New(r.code, r.text)
	if r.retry > 0 {
		if detailed, err := s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(r.retry)}); err == nil {
			s = detailed
		}
	}
	return s.Proto()
}

// retrySeconds is the value of the header Retry-After, which knows whole seconds only.
func (r *refusal) retrySeconds() string { return strconv.Itoa(int(math.Ceil(r.retry.Seconds()))) }

// later is an answer that asks for the same request again. UNAVAILABLE is the code that all exporters retry.
func later(reason string, after time.Duration, text string) *refusal {
	if after <= 0 {
		after = retryAfter
	}
	return &refusal{reason: reason, code: codes.Unavailable, http: http.StatusServiceUnavailable, retry: after, text: text}
}

func errStopping() *refusal {
	return later("stopping", 0, "the server is stopping: send the spans again")
}

func errCrowded() *refusal {
	return later("memory", 0, "too many bytes are being received at once: send the spans again, in smaller requests if they are large")
}

func errSlow(limit time.Duration) *refusal {
	return later("slow", 0, fmt.Sprintf("the request took longer than %v to arrive: send the spans again, in smaller requests", limit))
}

// errCut is for a client that went away. It may yet hear it, and if so, its spans were not stored.
func errCut(err error) *refusal {
	return later("canceled", 0, fmt.Sprintf("the request was not received to its end: %v", err))
}

func errTooLarge(limit int64) *refusal {
	return &refusal{reason: "too_large", code: codes.ResourceExhausted, http: http.StatusRequestEntityTooLarge,
		text: fmt.Sprintf("the request has more than %s after decompression: send the spans in smaller requests", humanize.IBytes(uint64(limit)))}
}

func errTooManySpans(n int) *refusal {
	return &refusal{reason: "too_large", code: codes.ResourceExhausted, http: http.StatusRequestEntityTooLarge,
		text: fmt.Sprintf("the request has %d spans, and %d are the most: send them in smaller requests", n, maxRequestSpans)}
}

// errNeedsMore is for a request that would not fit even if it were alone.
func errNeedsMore(needed, limit int64) *refusal {
	return &refusal{reason: "too_large", code: codes.ResourceExhausted, http: http.StatusRequestEntityTooLarge,
		text: fmt.Sprintf("reading the request takes %s of memory, and %s is the most for all requests: send the spans in smaller requests",
			humanize.IBytes(uint64(needed)), humanize.IBytes(uint64(limit)))}
}

// errMalformed is for what will never be a request, whoever sends it how often.
func errMalformed(format string, a ...any) *refusal {
	return &refusal{reason: "malformed", code: codes.InvalidArgument, http: http.StatusBadRequest, text: fmt.Sprintf(format, a...)}
}

func errInternal() *refusal {
	return &refusal{reason: "internal", code: codes.Internal, http: http.StatusInternalServerError,
		text: "the server failed at this request, which is a bug of it; its log says more"}
}

// errNotKept is for signals other than traces.
func errNotKept(signal string) *refusal {
	return &refusal{reason: signal, code: codes.Unimplemented, http: http.StatusNotFound,
		text: "Spanlake keeps traces only: " + signal + " are not taken; send them elsewhere, or turn their exporter off"}
}

// errUnauthenticated says nothing of the key that came.
func errUnauthenticated(why error) *refusal {
	return &refusal{reason: "unauthenticated", code: codes.Unauthenticated, http: http.StatusUnauthorized, text: why.Error()}
}

// errNotAllowed is for a good key that may not send spans.
func errNotAllowed(why *apikey.NotAllowedError) *refusal {
	return &refusal{reason: "not_allowed", code: codes.PermissionDenied, http: http.StatusForbidden, text: why.Error()}
}
