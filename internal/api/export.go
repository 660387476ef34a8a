package api

import (
	"bufio"
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
)

const (
	// maxExports is how many exports run at once: one reads as fast as the disk gives.
	maxExports = 1
	// batchSpans and batchBytes end a batch of an export.
	batchSpans = 1000
	batchBytes = 1 << 20
)

type exportInput struct {
	FilterInput
	AcceptInput
}

// exportOperation registers the stream of all spans.
func (s *Server) exportOperation(api huma.API) {
	o := asks(operation("export-spans", http.MethodGet, "/export", "All spans that a filter chooses, in OTLP"),
		"In no order. In JSON each line is a TracesData message of OTLP; with `Accept: application/x-protobuf` each message follows its length, a varint. "+
			"An export that fails ends without the end of the response (with curl: exit code 18 or 92). The trailer Spanlake-Completeness says what a whole one does not have.")
	o.Responses = map[string]*huma.Response{"200": {
		Description: "TracesData messages. The trailer Spanlake-Completeness follows the last one.",
		Content: map[string]*huma.MediaType{
			wire.StreamType:   {Schema: tracesDataSchema(), Example: tracesDataExample()},
			wire.ProtobufType: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
		},
	}}
	huma.Register(api, o, func(ctx context.Context, in *exportInput) (*huma.StreamResponse, error) {
		media, p := accepted(in.Accept, wire.StreamType, wire.ProtobufType)
		if p != nil {
			return nil, p
		}
		wait := time.NewTimer(s.limits.queryWait)
		defer wait.Stop()
		select {
		case s.exports <- struct{}{}:
		case <-ctx.Done():
			return nil, s.problemOf(ctx, ctx.Err())
		case <-wait.C:
			return nil, busy("an export runs already, and %d at once is allowed", cap(s.exports))
		}
		return &huma.StreamResponse{Body: func(ctx huma.Context) {
			defer func() { <-s.exports }()
			r, w := humago.Unwrap(ctx)
			s.export(w, r, in.spans, media)
		}}, nil
	})
}

// export sends spans. As long as nothing was sent an error is answered with a status; after that the connection is closed.
func (s *Server) export(w http.ResponseWriter, r *http.Request, f span.Filter, media string) {
	out := &exporter{w: w, buffer: bufio.NewWriterSize(w, streamBuffer), media: media}
	if r.Method == http.MethodHead {
		out.begin()
		return
	}
	complete, err := s.spans.Export(r.Context(), f, out.add)
	if err == nil {
		err = out.send()
	}
	if err == nil {
		out.begin() // of no span as well
		err = out.buffer.Flush()
	}
	if err != nil {
		if lost(w) {
			panic(http.ErrAbortHandler) // nobody reads it, and it is no fault of the server
		}
		failure := s.problemOf(r.Context(), err)
		if !out.begun {
			failure.completeness = &complete
			writeProblem(w, failure)
			return
		}
		panic(http.ErrAbortHandler)
	}
	if out.left > 0 {
		leftOut(&complete, out.left, out.why)
	}
	w.Header().Set(wire.CompletenessHeader, wire.CompletenessText(complete))
}

// exporter sends spans in batches.
type exporter struct {
	w      http.ResponseWriter
	buffer *bufio.Writer
	media  string
	begun  bool

	batch  []span.Span
	bytes  int
	joiner otlpwire.Joiner
	// left is how many spans OTLP cannot say, and why one of them.
	left int
	why  error
}

func (e *exporter) begin() {
	if e.begun {
		return
	}
	e.begun = true
	e.w.Header().Set("Content-Type", e.media)
	e.w.Header().Set("Vary", "Accept")
	e.w.Header().Set("Trailer", wire.CompletenessHeader)
	e.w.WriteHeader(http.StatusOK)
}

func (e *exporter) add(s span.Span) error {
	e.batch = append(e.batch, s)
	e.bytes += len(s.Attributes) + len(s.Events) + len(s.Links) + len(s.ResourceAttributes) + len(s.OTLP)
	if len(e.batch) < batchSpans && e.bytes < batchBytes {
		return nil
	}
	return e.send()
}

// send sends the batch.
func (e *exporter) send() error {
	data, left := e.joiner.Join(e.batch)
	if len(left) > 0 {
		e.left += len(left)
		e.why = left[0]
	}
	e.batch, e.bytes = e.batch[:0], 0
	if len(data) == 0 {
		return nil
	}
	prefix, suffix := protowire.AppendVarint(nil, uint64(len(data))), []byte(nil)
	if e.media == wire.StreamType {
		var err error
		if data, err = otlpwire.JSON(data); err != nil {
			return err
		}
		prefix, suffix = nil, []byte{'\n'}
	}
	e.begin()
	for _, part := range [][]byte{prefix, data, suffix} {
		if _, err := e.buffer.Write(part); err != nil {
			return err
		}
	}
	return nil
}
