package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/span"
)

// maxTails is how many tails run at once: each looks for new spans by itself.
const maxTails = 8

var errEnding = errors.New("the tail has ended")

// tailOperation registers the stream of new traces.
func (s *Server) tailOperation(api huma.API) {
	o := asks(operation("tail-traces", http.MethodGet, "/tail", "Root spans as they arrive"),
		"Server-sent events, with the filters of `/traces`: for each root span an event `trace` with what `/traces` lists of it, a comment every 15 seconds, and at the end, "+
			"unless the client ends it, an event `error` with a problem. Shown are root spans that started within 15 minutes before they arrive, from when the stream begins.")
	o.Responses = map[string]*huma.Response{"200": {
		Description: "Server-sent events",
		Headers:     completenessHeader(),
		Content: map[string]*huma.MediaType{wire.EventsType: {
			Schema:  &huma.Schema{Type: huma.TypeString},
			Example: "event: trace\ndata: {\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\", ...}\n\n",
		}},
	}}
	huma.Register(api, o, func(ctx context.Context, in *FilterInput) (*huma.StreamResponse, error) {
		select {
		case s.tails <- struct{}{}:
		default:
			return nil, busy("%d tails run already, which is as many as are allowed at once", cap(s.tails))
		}
		complete, err := s.spans.Completeness(ctx, time.Now())
		if err != nil {
			<-s.tails
			return nil, s.incomplete(ctx, err, complete)
		}
		return &huma.StreamResponse{Body: func(ctx huma.Context) {
			defer func() { <-s.tails }()
			r, w := humago.Unwrap(ctx)
			w.Header().Set(wire.CompletenessHeader, wire.CompletenessText(complete))
			s.tail(w, r, in.traces)
		}}, nil
	})
}

func completenessHeader() map[string]*huma.Param {
	return map[string]*huma.Param{wire.CompletenessHeader: {Description: "What the answer does not have, as JSON.", Schema: &huma.Schema{Type: huma.TypeString}}}
}

// busy refuses what too many do at once.
func busy(format string, args ...any) *problem {
	p := newProblem(http.StatusServiceUnavailable, wire.TypeBusy, format+": ask again later", args...)
	p.retryAfter = 10 * time.Second
	return p
}

// tail sends root spans until the client goes, stalls, or the server stops.
func (s *Server) tail(w http.ResponseWriter, r *http.Request, f span.TraceFilter) {
	events := &events{w: w, control: http.NewResponseController(w)}
	w.Header().Set("Content-Type", wire.EventsType)
	if r.Method == http.MethodHead {
		return
	}
	if events.send(": spanlake\n\n") != nil {
		return
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	var beating sync.WaitGroup
	beating.Go(func() { s.beat(ctx, cancel, events) })
	err := s.spans.Tail(ctx, f, func(roots []span.Metadata) error { return events.roots(roots) })
	cause := context.Cause(ctx)
	if errors.Is(cause, errStopping) {
		_ = events.failure(s.problemOf(ctx, cause).wire())
	} else if ctx.Err() == nil && !events.lost {
		_ = events.failure(s.problemOf(ctx, err).wire())
	}
	cancel(errEnding)
	beating.Wait()
}

// beat sends a comment now and then, so that neither side takes a silent connection for a broken one, until ctx ends. It ends ctx when
// the server stops, which would wait for the tail otherwise, or the client is gone.
func (s *Server) beat(ctx context.Context, cancel context.CancelCauseFunc, events *events) {
	ticker := time.NewTicker(s.limits.heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.ending:
			cancel(errStopping)
			return
		case <-ticker.C:
			if err := events.send(": still here\n\n"); err != nil {
				cancel(err)
				return
			}
		}
	}
}

// events sends server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).
type events struct {
	mu      sync.Mutex
	w       http.ResponseWriter
	control *http.ResponseController
	// lost: the client is gone or has stopped reading.
	lost bool
}

// send sends text at once.
func (e *events) send(text string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, err := e.w.Write([]byte(text))
	if err == nil {
		err = e.control.Flush()
	}
	e.lost = e.lost || err != nil
	return err
}

// roots sends an event for each root span.
func (e *events) roots(roots []span.Metadata) error {
	var text bytes.Buffer
	for i := range roots {
		if err := event(&text, wire.EventTrace, traceInUTC(wire.FromMetadata(roots[i]))); err != nil {
			return err
		}
	}
	return e.send(text.String())
}

func (e *events) failure(p wire.Problem) error {
	var text bytes.Buffer
	if err := event(&text, wire.EventError, p); err != nil {
		return err
	}
	return e.send(text.String())
}

// event writes an event, whose data is one line.
func event(to *bytes.Buffer, kind string, data any) error {
	to.WriteString("event: " + kind + "\ndata: ")
	encoder := json.NewEncoder(to)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(data); err != nil {
		return err
	}
	to.WriteByte('\n')
	return nil
}
