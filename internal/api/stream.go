package api

import (
	"bufio"
	"encoding/json"
	"net/http"
	"time"

	"github.com/spanlake/spanlake/internal/api/wire"
)

const (
	// streamBuffer is what is collected before it is sent, if flushInterval does not end earlier.
	streamBuffer  = 32 << 10
	flushInterval = 250 * time.Millisecond
)

// stream sends lines of JSON. It begins with the first line, so that what goes wrong before is answered as any other
// error is, with a status. Its last line says that it is complete, or why it is not.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	buffer  *bufio.Writer
	encoder *json.Encoder
	// head is the line before all others; nil: none.
	head    any
	begun   bool
	flushed time.Time
	lines   int64
}

func newStream(w http.ResponseWriter) *stream {
	s := &stream{w: w, control: http.NewResponseController(w), buffer: bufio.NewWriterSize(w, streamBuffer)}
	s.encoder = json.NewEncoder(s.buffer)
	s.encoder.SetEscapeHTML(false)
	return s
}

// line sends a line. A consumer that is slower than the lines come gets them as it reads; one that stops reading makes
// it fail after a while.
func (s *stream) line(value any) error {
	if err := s.begin(); err != nil {
		return err
	}
	if err := s.encoder.Encode(value); err != nil {
		return err
	}
	s.lines++
	if now := time.Now(); now.Sub(s.flushed) >= flushInterval {
		s.flushed = now
		return s.flush()
	}
	return nil
}

func (s *stream) begin() error {
	if s.begun {
		return nil
	}
	s.begun = true
	s.w.Header().Set("Content-Type", wire.StreamType)
	s.w.WriteHeader(http.StatusOK)
	if s.head == nil {
		return nil
	}
	return s.encoder.Encode(s.head)
}

func (s *stream) flush() error {
	if err := s.buffer.Flush(); err != nil {
		return err
	}
	return s.control.Flush()
}

// end sends the last line of a stream that is complete. If that cannot be sent, the client sees that it is missing.
func (s *stream) end(end wire.End) {
	if err := s.begin(); err != nil {
		return
	}
	_ = s.encoder.Encode(wire.Ending{End: end})
	_ = s.flush()
}

// fail says why the stream is not complete.
func (s *stream) fail(p *problem) {
	if !s.begun {
		writeProblem(s.w, p)
		return
	}
	_ = s.encoder.Encode(wire.Failure{Error: p.wire()})
	_ = s.flush()
}

// lost tells whether the client is gone, or has stopped reading.
func (s *stream) lost() bool { return lost(s.w) }

func lost(w http.ResponseWriter) bool {
	r, ok := w.(*response)
	return ok && r.failed != nil
}
