package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/spanlake/spanlake/internal/api/client"
	"github.com/spanlake/spanlake/internal/app"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/wal"
)

func newFlushCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "flush",
		Short: "Move all spans that are in no file yet into the lake",
		Long: "Flush asks the running `spanlake serve` or `spanlake ingest` that has the write-ahead log to move everything in it into\n" +
			"the lake, and waits. If none runs, it does so itself.",
		Example: "  spanlake flush\n" +
			"  spanlake flush --server http://127.0.0.1:1324",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := newSession(cmd)
			if err != nil {
				return err
			}
			flushed, err := s.flush(cmd.Context())
			if err != nil {
				return err
			}
			if s.json {
				return writeJSON(s.stdout, flushed)
			}
			_, err = fmt.Fprintf(s.stdout, "%s flushed to %s of %s\n", count(flushed.Spans, "span"), count(flushed.Files, "file"),
				humanize.Bytes(uint64(max(flushed.Bytes, 0))))
			return err
		},
	}
	addIngestSettings(cmd.Flags(), "wal", "flush-max-rows", "flush-max-mb")
	addJSONFlag(cmd, "print one object")
	return cmd
}

// flush asks the server that has the write-ahead log, or does it here.
func (s *session) flush(ctx context.Context) (span.Flushed, error) {
	if s.Config.Server != "" {
		return flushAt(ctx, s.Config.Server, "", s.Config.APIKey)
	}
	// Opened it would be made, to no purpose.
	if !wal.Exists(s.Config.WAL) {
		return span.Flushed{}, nil
	}
	flushed, err := s.FlushHere(ctx)
	locked := (*wal.LockedError)(nil)
	if !errors.As(err, &locked) {
		return flushed, err
	}
	found, ok, findErr := app.FindServer(s.Config.WAL)
	if findErr != nil || !ok {
		return span.Flushed{}, errors.Join(err, findErr)
	}
	flushed, askErr := flushAt(ctx, found.URL, found.Instance, found.Secret)
	if unreachable := (*client.UnreachableError)(nil); errors.As(askErr, &unreachable) || errors.Is(askErr, client.ErrOtherInstance) {
		return span.Flushed{}, err
	}
	return flushed, askErr
}

func flushAt(ctx context.Context, url, instance, key string) (span.Flushed, error) {
	c, err := client.New(url, instance)
	if err != nil {
		return span.Flushed{}, err
	}
	defer c.Close()
	c.Authorize(key)
	return c.Flush(ctx)
}
