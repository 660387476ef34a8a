package index_test

import (
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// BenchmarkList lists the newest spans of a million.
func BenchmarkList(b *testing.B) {
	root, _ := benchLake(b, 1_000_000, 0)
	x := openBench(b, root)
	syncBench(b, x, root)
	failed := span.StatusError
	for _, bm := range []struct {
		name   string
		filter span.Filter
		roots  bool
		limit  int
	}{
		{"roots", span.Filter{}, true, 50},
		{"roots of a service", span.Filter{ServiceName: "web-frontend"}, true, 50},
		{"roots that failed", span.Filter{ServiceName: "web-frontend", StatusCode: &failed}, true, 50},
		{"roots that took long", span.Filter{ServiceName: "web-frontend", MinDuration: 10 * time.Second}, true, 50},
		{"roots of a service without any", span.Filter{ServiceName: "vector-db"}, true, 50},
		{"spans by a part of the name", span.Filter{Name: "chat", NameMatch: span.NameContains}, false, 50},
		{"ten thousand spans", span.Filter{}, false, 10_000},
	} {
		b.Run(bm.name, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := x.List(b.Context(), bm.filter, bm.roots, span.Key{}, bm.limit, span.Cold{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("pages of root spans", func(b *testing.B) {
		var after span.Key
		for b.Loop() {
			rows, _, err := x.List(b.Context(), span.Filter{}, true, after, 500, span.Cold{})
			if err != nil {
				b.Fatal(err)
			}
			after = span.Key{}
			if len(rows) == 500 {
				after = rows[len(rows)-1].Key()
			}
		}
	})
	if err := x.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkCounts counts a million spans.
func BenchmarkCounts(b *testing.B) {
	root, _ := benchLake(b, 1_000_000, 0)
	x := openBench(b, root)
	syncBench(b, x, root)
	for name, q := range map[string]span.CountQuery{
		"services": {},
		"days":     {Step: 24 * time.Hour, Durations: true},
		"hours":    {Step: time.Hour, Durations: true, ByName: true},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := x.Counts(b.Context(), q, span.Cold{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	if err := x.Close(); err != nil {
		b.Fatal(err)
	}
}
