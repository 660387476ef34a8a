package otlp

import (
	"context"
	"errors"
	"runtime/debug"

	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
)

// largeBytes is from where on requests are checked one at a time: a copy, if something has to be changed, is large as well.
const largeBytes = 4 << 20

// maxRequestSpans is how many spans a request may have. Each takes memory until it is flushed, however small it is: 64 MiB of
// the smallest ones are two million. Exporters send 512 at a time (OTEL_BSP_MAX_EXPORT_BATCH_SIZE), Collectors 8,192.
const maxRequestSpans = 100_000

// answer makes the response to a request in protobuf that has been read.
func (s *Server) answer(ctx context.Context, transport string, from *share, data []byte) (ptraceotlp.ExportResponse, *refusal) {
	response := ptraceotlp.NewExportResponse()
	report, refused := s.store(ctx, from, data)
	if refused != nil {
		refused.spans = report.Accepted
		return response, refused
	}
	s.options.Observer.Accepted(transport, report.Accepted, len(data))
	for what, n := range map[string]int64{
		"strings": report.RepairedStrings, "long_values": report.TruncatedValues, "attributes": report.DroppedAttributes,
		"events": report.DroppedEvents, "links": report.DroppedLinks, "deep_values": report.CutValues,
	} {
		if n > 0 {
			s.options.Observer.Repaired(what, n)
		}
	}
	if report.Rejected > 0 {
		s.options.Observer.Refused("invalid", report.Rejected)
		partial := response.PartialSuccess()
		partial.SetRejectedSpans(int64(report.Rejected))
		partial.SetErrorMessage(report.Reason)
	}
	return response, nil
}

// store checks a request and hands what can be kept of it to the sink.
func (s *Server) store(ctx context.Context, from *share, data []byte) (otlpwire.Report, *refusal) {
	// For the copy that there is if something has to be changed.
	if err := from.take(ctx, int64(len(data))); err != nil {
		return otlpwire.Report{}, s.refusalOf(err)
	}
	clean, report, err := s.clean(ctx, data)
	if err != nil {
		return otlpwire.Report{}, s.refusalOf(err)
	}
	if n := report.Accepted + report.Rejected; n > maxRequestSpans {
		return report, errTooManySpans(n)
	}
	from.shrink(int64(cap(clean)))
	if report.Accepted == 0 {
		return report, nil
	}
	if err := s.sink.Append(ctx, clean, report.Accepted); err != nil {
		return report, s.refusalOf(err)
	}
	s.spare.give(data)
	return report, nil
}

// clean checks a request, not many at the same time: the copy grows for a moment to more than what is accounted for.
func (s *Server) clean(ctx context.Context, data []byte) (clean []byte, report otlpwire.Report, err error) {
	turn := s.checking
	if len(data) > largeBytes {
		turn = s.checkingLarge
	}
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return nil, report, ctx.Err()
	}
	clean, report, err = otlpwire.Clean(data, s.options.Limits)
	if errors.Is(err, otlpwire.ErrMalformed) {
		err = errMalformed("%v", err)
	}
	return clean, report, err
}

// refusalOf finds the answer to an error. What nobody foresaw may be retried: the spans are not stored, and the client is
// the only one who has them.
func (s *Server) refusalOf(err error) *refusal {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r
	}
	if refused, ok := errors.AsType[*span.RefusedError](err); ok {
		s.notice.say(refused.Reason, "spans are refused for now, and clients asked to send them again", "reason", refused.Reason, "error", err)
		return later(refused.Reason, refused.RetryAfter, "spans cannot be stored now ("+refused.Reason+"): send them again")
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return later("canceled", 0, "the request was given up before the spans were stored")
	}
	s.notice.say("error", "spans cannot be stored, and clients are asked to send them again", "error", err)
	return later("error", 0, "spans cannot be stored now: send them again")
}

// refuse counts a refusal.
func (s *Server) refuse(r *refusal) { s.options.Observer.Refused(r.reason, r.spans) }

// panicked is the answer to a request that made something panic. It costs this request, and not the spans of all others.
func (s *Server) panicked(cause any) *refusal {
	s.log.Error("a request made the server panic", "panic", cause, "stack", string(debug.Stack()))
	return errInternal()
}

// begin is false if no request may begin anymore; otherwise s.requests.Done must be called at its end.
func (s *Server) begin() bool {
	s.running.Lock()
	defer s.running.Unlock()
	if !s.stopping {
		s.requests.Add(1)
	}
	return !s.stopping
}
