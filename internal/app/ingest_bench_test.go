package app_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/spanlake/spanlake/internal/api/client"
	"github.com/spanlake/spanlake/internal/app"
	"github.com/spanlake/spanlake/internal/config"
	"github.com/spanlake/spanlake/internal/otlpbench"
)

// BenchmarkServe is `spanlake bench ingest` in one process, so that profiles can be taken: what a span costs from OTLP to the index, the
// client's part included. Run it with -benchtime 500x: N is requests of 1,000 spans. Few of them differ, since their memory is this process's
// too; so the files are smaller than those of other texts.
func BenchmarkServe(b *testing.B) {
	folder := b.TempDir()
	settings, err := config.Load(map[string]string{
		"lake": filepath.Join(folder, "spans"), "db": filepath.Join(folder, "index.duckdb"), "wal": filepath.Join(folder, "wal.db"),
		"keys-file": filepath.Join(folder, "keys.json"), "listen": "127.0.0.1:0", "otlp-grpc": "127.0.0.1:0", "otlp-http": "127.0.0.1:0",
		"memory": "256MB",
	}, func(string) (string, bool) { return "", false }, filepath.Join(folder, ".env"))
	if err != nil {
		b.Fatal(err)
	}
	load, err := otlpbench.NewLoad(8 * otlpbench.SpansPerRequest)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	at, ended := make(chan app.Addresses, 1), make(chan error, 1)
	go func() {
		ended <- app.New(settings, slog.New(slog.DiscardHandler)).Run(ctx, app.Serve, "bench", func(a app.Addresses) { at <- a })
	}()
	var addresses app.Addresses
	select {
	case addresses = <-at:
	case err := <-ended:
		b.Fatal(err)
	}
	c, err := client.New(addresses.URL, "")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	sent, err := load.Send(ctx, otlpbench.Options{Target: addresses.OTLPGRPC, Requests: int64(b.N), Clients: 4})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := c.Flush(ctx); err != nil {
		b.Fatal(err)
	}
	c.Close()
	cancel()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(sent.Spans)/b.Elapsed().Seconds(), "spans/s")
}
