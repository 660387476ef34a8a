package e2e

import (
	"os"
	"testing"
)

// maxPeak is the most that the process may have resident with --memory 256MB.
const maxPeak = 280_000_000

// The budget holds for the whole process. A million spans reach the peak that ten million have, too: a batch does not grow.
func TestMemoryBudget(t *testing.T) {
	p := newPlace(t, "")
	p.must("sample", "--spans", "1m")
	got := decode[struct {
		SpansIndexed int64 `json:"spans_indexed"`
		PeakRSSBytes int64 `json:"peak_rss_bytes"`
	}](t, p.must("index", "--memory", "256MB", "--json"))
	if got.SpansIndexed < 1_000_000 || got.PeakRSSBytes > maxPeak {
		t.Errorf("%d spans with a peak of %d bytes, want at most %d", got.SpansIndexed, got.PeakRSSBytes, int64(maxPeak))
	}
}

// The goals for 10 million spans, on a machine that does nothing else: docs/benchmarks.md has what was measured.
//
//	SPANLAKE_TEST_NUMBERS=1 go test -count=1 -run TestNumbers -v ./test/e2e
func TestNumbers(t *testing.T) {
	if os.Getenv("SPANLAKE_TEST_NUMBERS") == "" {
		t.Skip("set SPANLAKE_TEST_NUMBERS: it takes a minute and measures time, which a busy machine falsifies")
	}
	p := newPlace(t, "")
	r := p.run("bench", "index", "--spans", "10m", "--memory", "256MB", "--json")
	if r.code != 0 {
		t.Fatalf("exit code %d: %s", r.code, r.stderr)
	}
	parts := decode[[]struct {
		Name           string  `json:"name"`
		SpansPerSecond float64 `json:"spans_per_second"`
		PeakRSSBytes   int64   `json:"peak_rss_bytes"`
		FirstRate      float64 `json:"first_million_spans_per_second"`
		LastRate       float64 `json:"last_million_spans_per_second"`
		LookupMedianMS float64 `json:"lookup_median_ms"`
		LookupP99MS    float64 `json:"lookup_p99_ms"`
	}](t, r.stdout)
	defaults, ours, textbook := parts[1], parts[2], parts[3]
	t.Logf("%+v", parts)
	for _, goal := range []struct {
		name string
		met  bool
	}{
		{"0.8 of DuckDB alone", ours.SpansPerSecond >= 0.8*defaults.SpansPerSecond},
		{"100 times the textbook schema", ours.SpansPerSecond >= 100*textbook.SpansPerSecond},
		{"a peak of at most 280 MB", ours.PeakRSSBytes <= maxPeak},
		{"the rate of the last million within 20 % of the first", ours.LastRate >= 0.8*ours.FirstRate},
		{"a trace in less than 5 ms, median", ours.LookupMedianMS < 5},
		{"a trace in less than 20 ms, 99 %", ours.LookupP99MS < 20},
	} {
		if !goal.met {
			t.Errorf("missed: %s", goal.name)
		}
	}
}
