// Package app plugs the parts of the program together.
package app

import (
	"context"
	"fmt"
	"iter"
	"log/slog"

	"github.com/spanlake/spanlake/internal/config"
	"github.com/spanlake/spanlake/internal/index"
	"github.com/spanlake/spanlake/internal/lake"
	"github.com/spanlake/spanlake/internal/span"
)

// App is a configured program.
type App struct {
	Config config.Config
	Log    *slog.Logger
}

// New makes an App of its settings.
func New(settings config.Config, log *slog.Logger) App { return App{Config: settings, Log: log} }

// OpenIndex opens the index within the memory budget.
func (a App) OpenIndex(ctx context.Context, readOnly bool) (*index.Index, error) {
	a.limitMemory(Backend)
	return index.Open(ctx, a.IndexOptions(readOnly))
}

// Scan lists the lake.
func (a App) Scan(ctx context.Context) iter.Seq2[span.File, error] {
	return lake.Scan(ctx, a.Config.Lake)
}

// Rebuild makes the index anew from the lake.
func (a App) Rebuild(ctx context.Context, options index.SyncOptions) (span.Summary, error) {
	a.limitMemory(Backend)
	summary, err := index.Rebuild(ctx, a.IndexOptions(false), a.Scan(ctx), options)
	if err != nil {
		return summary, fmt.Errorf("index %s: %w", a.Config.DB, err)
	}
	return summary, nil
}
