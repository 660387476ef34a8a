package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
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
	encoded bytes.Buffer
	// head is the line before all others; nil: none.
	head    any
	begun   bool
	flushed time.Time
	lines   int64
	// bytes are those of the lines, without the head. maxLines and maxBytes bound them; 0: not at all.
	bytes, maxLines, maxBytes int64
}

// errFull says that a line would be more than a stream may have.
var errFull = errors.New("the answer is as long as was asked for")

func newStream(w http.ResponseWriter) *stream {
	s := &stream{w: w, control: http.NewResponseController(w), buffer: bufio.NewWriterSize(w, streamBuffer)}
	s.encoder = json.NewEncoder(&s.encoded)
	s.encoder.SetEscapeHTML(false)
	return s
}

// line sends a line, or is errFull. A consumer that is slower than the lines come gets them as it reads; one that stops reading makes
// it fail after a while.
func (s *stream) line(value any) error {
	if err := s.begin(); err != nil {
		return err
	}
	if s.maxLines > 0 && s.lines >= s.maxLines {
		return errFull
	}
	if err := s.encode(value); err != nil {
		return err
	}
	if s.maxBytes > 0 && s.bytes+int64(s.encoded.Len()) > s.maxBytes {
		return errFull
	}
	s.bytes += int64(s.encoded.Len())
	if _, err := s.buffer.Write(s.encoded.Bytes()); err != nil {
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
	return s.put(s.head)
}

// encode makes a line, which encoded holds until the next one.
func (s *stream) encode(value any) error {
	s.encoded.Reset()
	return s.encoder.Encode(value)
}

// put sends a line whatever the bounds are.
func (s *stream) put(value any) error {
	if err := s.encode(value); err != nil {
		return err
	}
	_, err := s.buffer.Write(s.encoded.Bytes())
	return err
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
	_ = s.put(wire.Ending{End: end})
	_ = s.flush()
}

// fail says why the stream is not complete.
func (s *stream) fail(p *problem) {
	if !s.begun {
		writeProblem(s.w, p)
		return
	}
	_ = s.put(wire.Failure{Error: p.wire()})
	_ = s.flush()
}

// lost tells whether the client is gone, or has stopped reading.
func (s *stream) lost() bool { return lost(s.w) }

func lost(w http.ResponseWriter) bool {
	r, ok := w.(*response)
	return ok && r.failed != nil
}
