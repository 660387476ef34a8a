package e2e

import (
	"os"
	"testing"
)

// The benchmark of taking spans in runs the whole way, from OTLP into the index, says what it measured and leaves nothing behind.
func TestBenchIngest(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	left := t.TempDir()
	cmd := p.command("bench", "ingest", "--spans", "5k", "--rate", "10k", "--paced-time", "500ms", "--clients", "2", "--gzip", "--memory", "256MB", "--json")
	// What people have set is not for the server that is measured.
	cmd.Env = append(cmd.Env, "TMPDIR="+left, "SPANLAKE_OTLP_GRPC=127.0.0.1:1", "FLUSH_MAX_ROWS=1", "SPANLAKE_API_KEYS=sixteen-characters")
	r := p.finish(cmd)
	if r.code != 0 || r.stderr != "" {
		t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	parts := decode[[]struct {
		Spans        int64   `json:"spans"`
		Rate         int64   `json:"rate"`
		SpansPerCPU  int64   `json:"spans_per_cpu_second"`
		UserMS       int64   `json:"user_ms"`
		AckMedianMS  float64 `json:"ack_median_ms"`
		AckMaxMS     float64 `json:"ack_max_ms"`
		PeakRSSBytes int64   `json:"peak_rss_bytes"`
		Files        int64   `json:"files"`
		BytesPerSpan float64 `json:"bytes_per_span"`
	}](t, r.stdout)
	if len(parts) != 2 || parts[0].Rate != 0 || parts[1].Rate != 10_000 {
		t.Fatalf("%+v", parts)
	}
	for _, part := range parts {
		if part.Spans != 5000 || part.SpansPerCPU <= 0 || part.UserMS <= 0 || part.AckMedianMS <= 0 || part.AckMaxMS < part.AckMedianMS ||
			part.PeakRSSBytes < 50e6 || part.Files < 1 || part.Files > 5 || part.BytesPerSpan < 50 || part.BytesPerSpan > 400 {
			t.Errorf("%+v", part)
		}
	}
	if entries, err := os.ReadDir(left); err != nil || len(entries) > 0 {
		t.Errorf("it left %v behind, %v", entries, err)
	}
}
