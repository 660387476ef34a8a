package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/spanlake/spanlake/internal/api"
	"github.com/spanlake/spanlake/internal/api/client"
	"github.com/spanlake/spanlake/internal/app"
	"github.com/spanlake/spanlake/internal/index"
	"github.com/spanlake/spanlake/internal/span"
)

// local is the api.Catalog in this process; a client.Client is the one of a running backend.
type local struct {
	*index.Index
	app app.App
}

func (l local) Verify(ctx context.Context, found func(span.Difference)) (int, error) {
	return l.Index.Verify(ctx, l.app.Scan(ctx), index.VerifyOptions{}, found)
}

// withCatalog runs work on the index. A backend is asked if --server names one, or if one holds the index.
func (s *session) withCatalog(ctx context.Context, readOnly bool, work func(api.Catalog) error) error {
	server, err := s.server(ctx, readOnly)
	if err != nil {
		return err
	}
	if server != nil {
		defer server.Close()
		return work(server)
	}
	err = s.withIndex(ctx, readOnly, func(x *index.Index) error { return work(local{x, s.App}) })
	if locked := (*index.LockedError)(nil); errors.As(err, &locked) {
		// A backend may have started since we looked.
		if server, serverErr := s.server(ctx, readOnly); serverErr == nil && server != nil {
			defer server.Close()
			return work(server)
		}
	}
	return err
}

// errHere says that a command works in its own process only.
var errHere = errors.New("does its work itself, so no server can be asked to do it: leave --server (SPANLAKE_SERVER) out")

// here refuses --server for a command that cannot ask a server.
func (s *session) here(cmd *cobra.Command) error {
	if s.Config.Server == "" {
		return nil
	}
	return fmt.Errorf("%s %w: %w", cmd.CommandPath(), errHere, errUsage)
}

// server is the backend to ask, or nil if there is none: the one of --server, or the one that holds the index and has noted
// where it is reached.
func (s *session) server(ctx context.Context, readOnly bool) (*client.Client, error) {
	if s.Config.Server != "" {
		server, err := client.New(s.Config.Server, "")
		if err != nil {
			return nil, err
		}
		server.Authorize(s.Config.APIKey)
		return server, nil
	}
	locked := index.LockedBy(s.Config.DB, readOnly)
	if locked == nil {
		return nil, nil
	}
	found, ok, err := app.FindServer(s.Config.DB)
	if err != nil || !ok {
		return nil, errors.Join(locked, err)
	}
	server, err := client.New(found.URL, found.Instance)
	if err != nil {
		return nil, errors.Join(locked, err)
	}
	server.Authorize(found.Secret)
	// Left by a backend that was killed, the note says nothing of who holds the index now.
	_, err = server.Status(ctx)
	if unreachable := (*client.UnreachableError)(nil); errors.As(err, &unreachable) || errors.Is(err, client.ErrOtherInstance) {
		server.Close()
		return nil, locked
	}
	return server, nil
}
