package client

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/span"
)

// ErrOtherInstance says that the process which answers is not the one that has the index.
var ErrOtherInstance = errors.New("another process answers there than the one that has the index: it may have been started again, so try once more")

// ErrOtherRole says that the process which answers has not what it is asked for.
var ErrOtherRole = errors.New("does not do this: `spanlake serve` and `spanlake backend` have an index, " +
	"`spanlake serve` and `spanlake ingest` take spans in")

// ErrUnauthenticated says that the server wants an API key, or another one than it was sent.
var ErrUnauthenticated = errors.New("give one that it accepts with --api-key (SPANLAKE_API_KEY)")

// ErrNotAllowed says that the API key is good, but not for this.
var ErrNotAllowed = errors.New("give another one with --api-key (SPANLAKE_API_KEY)")

// UnreachableError says that nobody answers.
type UnreachableError struct {
	URL string
	Err error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("nobody answers at %s: %v: check that `spanlake serve`, `spanlake ingest` or `spanlake backend` listens there", e.URL, e.Err)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// ServerError is what a server answered that did not do what it was asked.
type ServerError struct {
	URL     string
	Problem wire.Problem
}

func (e *ServerError) Error() string { return e.Problem.Text() }

// Unwrap lets errors.Is find what the index would have returned.
func (e *ServerError) Unwrap() error {
	switch e.Problem.Type {
	case wire.TypeNotFailed:
		return span.ErrNotFailed
	case wire.TypeNotFound:
		return span.ErrNotFound
	case wire.TypeOtherInstance:
		return ErrOtherInstance
	}
	return nil
}

// problem is the error that the index would have returned, as far as there is one.
func (c *Client) problem(p wire.Problem) error {
	err := &ServerError{URL: c.base.String(), Problem: p}
	if invalid, ok := invalidOf(p); ok {
		return invalid
	}
	switch {
	case p.Type == wire.TypeQuery:
		return &span.QueryError{Err: err}
	case p.Type == wire.TypeUnauthenticated:
		return fmt.Errorf("%s: %w: %w", err.URL, err, ErrUnauthenticated)
	case p.Type == wire.TypeNotAllowed:
		return fmt.Errorf("%s: %w: %w", err.URL, err, ErrNotAllowed)
	case p.Type == "" && p.Status == http.StatusNotFound:
		return fmt.Errorf("%s %w", err.URL, ErrOtherRole)
	}
	return err
}
