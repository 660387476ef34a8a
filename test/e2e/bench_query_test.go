package e2e

import (
	"os"
	"testing"
)

// The benchmark of answers asks every question of cold servers, of a warm one and with many clients, and leaves nothing behind.
func TestBenchQuery(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	left := t.TempDir()
	cmd := p.command("bench", "query", "--spans", "30k", "--cold", "2", "--warm-time", "200ms", "--client-time", "1s", "--memory", "256MB", "--json")
	cmd.Env = append(cmd.Env, "TMPDIR="+left, "SPANLAKE_LISTEN=127.0.0.1:1", "SPANLAKE_READ_API_KEYS=sixteen-characters")
	r := p.finish(cmd)
	if r.code != 0 || r.stderr != "" {
		t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	type times struct {
		What     string  `json:"what"`
		N        int     `json:"n"`
		MedianMS float64 `json:"median_ms"`
		P90MS    float64 `json:"p90_ms"`
		P99MS    float64 `json:"p99_ms"`
		MaxMS    float64 `json:"max_ms"`
	}
	got := decode[struct {
		Spans     int64 `json:"spans"`
		Dropped   bool  `json:"files_dropped_from_memory"`
		Questions []struct {
			What   string  `json:"what"`
			GoalMS float64 `json:"goal_p99_ms"`
			Cold   times   `json:"cold"`
			Warm   times   `json:"warm"`
		} `json:"questions"`
		Clients      times `json:"clients"`
		Errors       int64 `json:"errors"`
		PeakRSSBytes int64 `json:"peak_rss_bytes"`
	}](t, r.stdout)
	if got.Spans < 30_000 || len(got.Questions) < 9 || got.Clients.N < 16 || got.Errors != 0 || got.PeakRSSBytes < 50e6 {
		t.Errorf("%+v", got)
	}
	for _, q := range got.Questions {
		if q.Cold.N != 2 || q.Warm.N < 1 || q.Cold.MedianMS <= 0 || q.Warm.MedianMS <= 0 || q.Warm.P99MS < q.Warm.MedianMS {
			t.Errorf("%+v", q)
		}
	}
	if entries, err := os.ReadDir(left); err != nil || len(entries) > 0 {
		t.Errorf("it left %v behind, %v", entries, err)
	}
}
