package follow_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// Once the file of a span was noticed, who asks for what is pending first and the index second always gets it, once.
func TestNothingIsBetweenPendingAndIndexed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, testkit.NewLake(t))
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan int)
	go func() {
		seen, answers := 0, 0
		defer func() { asked <- answers }()
		for ; ctx.Err() == nil; answers++ {
			files, total, err := f.Pending(t.Context())
			if err != nil || int64(len(files)) != total {
				t.Errorf("Pending() = %d files, %d in all, %v", len(files), total, err)
				return
			}
			rows, unread, err := f.index.List(t.Context(), span.Filter{}, false, span.Key{}, 10_000, span.Cold{Pending: files})
			if err != nil || unread.Unread != 0 || len(rows) < seen {
				t.Errorf("List() = %d spans, %+v, %v, after %d before", len(rows), unread, err, seen)
				return
			}
			seen = len(rows)
		}
	}()
	const files = 30
	for i := range files {
		f.lake.Spans(t, fmt.Sprintf("day=%d/%d.parquet", i%3, i), testkit.Spans(10*i, 10)...)
		if i%5 == 0 {
			time.Sleep(30 * time.Millisecond)
		}
	}
	f.eventually("all files", func(s span.IndexerStatus) bool { return s.IndexedSpans == 10*files })
	cancel()
	if answers := <-asked; answers == 0 {
		t.Error("nothing was asked meanwhile")
	}
	if pending, total, err := f.Pending(t.Context()); err != nil || total != 0 || len(pending) != 0 {
		t.Errorf("Pending() = %v, %d, %v in the end", pending, total, err)
	}
}
