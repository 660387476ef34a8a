package span

import (
	"encoding/hex"
	"errors"
	"fmt"
)

// InvalidError says that what was asked for cannot be: an id that is none, a limit out of bounds.
type InvalidError struct {
	// What is the name of the argument, Value what it was, Problem what is wrong with it.
	What, Value, Problem string
}

func (e *InvalidError) Error() string {
	const shown = 100 // whoever sends nonsense may send much of it
	if len(e.Value) > shown {
		return fmt.Sprintf("%s %q... %s", e.What, e.Value[:shown], e.Problem)
	}
	return fmt.Sprintf("%s %q %s", e.What, e.Value, e.Problem)
}

// ErrReleased says that a request has left the write-ahead log, since its spans are in an indexed file.
var ErrReleased = errors.New("the request has left the write-ahead log")

// ParseTraceID reads 32 hex digits. An error is an *InvalidError.
func ParseTraceID(s string) (id [16]byte, err error) {
	err = parseID("trace id", s, id[:])
	return id, err
}

// ParseSpanID reads 16 hex digits. An error is an *InvalidError.
func ParseSpanID(s string) (id [8]byte, err error) {
	err = parseID("span id", s, id[:])
	return id, err
}

func parseID(what, s string, id []byte) error {
	if len(s) == hex.EncodedLen(len(id)) {
		if _, err := hex.Decode(id, []byte(s)); err == nil {
			return nil
		}
	}
	return &InvalidError{What: what, Value: s, Problem: fmt.Sprintf("must be %d hex digits", hex.EncodedLen(len(id)))}
}

// ErrNotFound says that there is no such trace or span.
var ErrNotFound = errors.New("was not found")
