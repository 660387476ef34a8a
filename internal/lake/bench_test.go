package lake

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// BenchmarkWrite measures a file of 100,000 spans in the order in which they might arrive, sorted and written by one goroutine.
func BenchmarkWrite(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	words := strings.Fields("agent policy retrieve schema vector prompt context summary Zürich 東京 ticket invoice")
	spans := makeSpans(10_000, 10)
	for i := range spans {
		var text strings.Builder
		for range 70 {
			text.WriteString(words[rng.IntN(len(words))] + " ")
		}
		spans[i].SpanID = fmt.Sprintf("%016x", rng.Uint64())
		spans[i].Attributes = fmt.Sprintf(`{"gen_ai.operation.name":"chat","input.value":"%s"}`, text.String())
	}
	rng.Shuffle(len(spans), func(i, j int) { spans[i], spans[j] = spans[j], spans[i] })
	writer := newWriter(b, b.TempDir())
	b.ReportAllocs()
	for suffix := uint32(0); b.Loop(); suffix++ {
		got, err := writer.Write("svc", time.Unix(0, 0), suffix, spans)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(got.Bytes)
	}
	b.ReportMetric(float64(b.N*len(spans))/b.Elapsed().Seconds(), "spans/s")
}

// BenchmarkScanner looks at a lake of 100,000 files in the folders of a year, which are in the cache of the system.
func BenchmarkScanner(b *testing.B) {
	const files = 100_000
	root := b.TempDir()
	for i := range files {
		at := time.Date(2025, 1, 1+i%365, 0, 0, i/365, 0, time.UTC)
		path := filepath.Join(root, filePath("checkout-service", at, uint32(i)))
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
