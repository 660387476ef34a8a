package lake

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// BenchmarkScanner looks at a lake of 100,000 files in the folders of a year, which are in the cache of the system.
func BenchmarkScanner(b *testing.B) {
	const files = 100_000
	root := b.TempDir()
	for i := range files {
		at := time.Date(2025, 1, 1+i%365, 0, 0, i/365, 0, time.UTC)
		path := filepath.Join(root, Path("checkout-service", at, uint32(i)))
		if i < 365 {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				b.Fatal(err)
			}
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	listed := func(b *testing.B, listing span.Listing) (n int) {
		b.Helper()
		for _, err := range listing.Files {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		return n
	}
	s := NewScanner(root)
	s.now = func() time.Time { return time.Now().Add(time.Hour) }
	for name, look := range map[string]struct {
		look func() span.Listing
		want int
	}{
		"Whole":       {func() span.Listing { return s.Whole(b.Context()) }, files},
		"ChangedIdle": {func() span.Listing { return s.Changed(b.Context()) }, 0},
	} {
		b.Run(name, func(b *testing.B) {
			listed(b, s.Whole(b.Context()))
			b.ReportAllocs()
			for b.Loop() {
				if n := listed(b, look.look()); n != look.want {
					b.Fatalf("%d files", n)
				}
			}
		})
	}
}
