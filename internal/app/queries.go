package app

import (
	"context"

	"github.com/spanlake/spanlake/internal/index"
	"github.com/spanlake/spanlake/internal/lake"
	"github.com/spanlake/spanlake/internal/query"
	"github.com/spanlake/spanlake/internal/span"
)

// Queries answers questions from an index that this process has open, and from files of the lake that it does not know yet. Spans in no
// file are not asked for: whoever has them is another process, or none.
func (a App) Queries(x *index.Index) *query.Queries {
	options := a.queryOptions(Backend)
	options.Catalog = x
	options.Pending = func(ctx context.Context) ([]span.File, int64, error) {
		return x.Unindexed(ctx, span.WholeLake(lake.Scan(ctx, a.Config.Lake)))
	}
	return query.New(options)
}
