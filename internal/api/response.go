package api

import (
	"errors"
	"net/http"
	"time"
)

// response notes what is answered and gives every write a deadline, so that a client that stops reading holds nothing.
type response struct {
	http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration
	// streams: several requests share the connection (HTTP/2). There a deadline that passes ends its request even if nothing waits
	// to be written, so there must be none between writes.
	streams bool
	// status is 0 as long as nothing was answered.
	status int
	// failed is why the answer could not be written.
	failed error
}

// Unwrap lets an http.ResponseController find what the server can do.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader notes the status, unless it is one of those before the answer.
func (w *response) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	defer w.limit()()
	n, err := w.ResponseWriter.Write(b)
	if err != nil {
		w.failed = err
	}
	return n, err
}

// FlushError sends what was written. It is what an http.ResponseController calls.
func (w *response) FlushError() error {
	defer w.limit()()
	err := w.control.Flush()
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		w.failed = err
	}
	return err
}

// Flush is FlushError for those who want an http.Flusher, such as gRPC. They see at the next write what went wrong.
func (w *response) Flush() { _ = w.FlushError() }

// limit bounds how long the client may take for what is written now; what it returns is called after that.
func (w *response) limit() (done func()) {
	// Writers that have no deadlines are those of tests.
	_ = w.control.SetWriteDeadline(time.Now().Add(w.stall))
	return func() {
		if w.streams {
			_ = w.control.SetWriteDeadline(time.Time{})
		}
	}
}

// limitEnd bounds how long the client may take for what is still to be sent when the request is over.
func (w *response) limitEnd() {
	if w.streams {
		_ = w.control.SetWriteDeadline(time.Now().Add(w.stall))
	}
}

func (w *response) code() int {
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}
