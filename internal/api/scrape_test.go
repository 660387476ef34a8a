package api_test

import (
	"context"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/spanlake/spanlake/internal/api"
	"github.com/spanlake/spanlake/internal/span"
)

// counted are metrics in which everything was counted once.
func counted() *api.Metrics {
	m := api.NewMetrics()
	m.Cycle(1500*time.Millisecond, nil)
	m.Cycle(time.Second, errors.New("failed"))
	m.Batch(span.Summary{FilesIndexed: 1, SpansIndexed: 2, FilesRemoved: 3, Duplicates: 4, FilesFailed: -1})
	m.Batch(span.Summary{FilesIndexed: -1})
	m.Failed("truncated")
	m.Retired(5, 6)
	return m
}

func TestMetricsAreNamedAsPrometheusWants(t *testing.T) {
	s := start(t, newMemory(), api.Options{Metrics: counted(), Version: "v1"})
	s.do(t, "GET", "/api/v1/files?limit=1", "")
	s.do(t, "GET", "/api/v1/nothing/secret", "")
	s.do(t, "FROB", "/api/v1/files", "")
	a := s.do(t, "GET", "/metrics", "")
	problems, err := promlint.New(strings.NewReader(a.body)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	for _, want := range []string{
		`spanlake_indexer_files_indexed_total 1`, `spanlake_indexer_spans_indexed_total 2`, `spanlake_indexer_files_removed_total 3`,
		`spanlake_indexer_duplicate_spans_total 4`, `spanlake_indexer_files_failed_total{error_type="truncated"} 1`,
		`spanlake_indexer_cycles_total{result="ok"} 1`, `spanlake_indexer_cycles_total{result="failed"} 1`,
		`spanlake_retention_files_removed_total 5`, `spanlake_retention_bytes_removed_total 6`, `spanlake_indexer_cycle_duration_seconds_sum 2.5`,
		`spanlake_index_files 2`, `spanlake_index_spans 5`, `spanlake_index_failed_files{error_type="truncated"} 1`, `spanlake_indexer_pending_files 1`,
		`spanlake_indexer_watching 1`, `spanlake_index_wal_size_bytes 2`, `spanlake_duckdb_spilled_bytes 4`, `spanlake_duckdb_memory_waits_total 5`, `version="v1"} 1`,
		`spanlake_http_request_duration_seconds_count{code="200",method="GET",route="/api/v1/files"} 1`,
		`spanlake_http_request_duration_seconds_count{code="404",method="GET",route="none"} 1`,
		`spanlake_http_request_duration_seconds_count{code="405",method="other",route="none"} 1`,
		"go_goroutines", "process_start_time_seconds",
	} {
		if !strings.Contains(a.body, want) {
			t.Errorf("%s is missing", want)
		}
	}
	if strings.Contains(a.body, "secret") {
		t.Error("the path of a client is a label")
	}
	var names []string
	for _, match := range regexp.MustCompile(`(?m)^# TYPE (spanlake_\S+ \S+)$`).FindAllStringSubmatch(a.body, -1) {
		names = append(names, match[1])
	}
	slices.Sort(names)
	golden, err := os.ReadFile("testdata/metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(golden), strings.Join(names, "\n")+"\n"); diff != "" {
		t.Errorf("names are a promise to those who have dashboards (-golden +now):\n%s", diff)
	}
}

func TestAScrapeDoesWithoutASourceThatFailsOrHangs(t *testing.T) {
	for name, tc := range map[string]func(*memory){
		"size fails": func(m *memory) {
			m.onSize = func(context.Context) (span.IndexSize, error) { return span.IndexSize{}, errors.New("x") }
		},
		"size hangs": func(m *memory) {
			m.onSize = func(ctx context.Context) (span.IndexSize, error) { <-ctx.Done(); return span.IndexSize{}, ctx.Err() }
		},
		"size hangs and does not listen": func(m *memory) {
			m.onSize = func(context.Context) (span.IndexSize, error) { time.Sleep(time.Second); return span.IndexSize{}, nil }
		},
		"size panics": func(m *memory) {
			m.onSize = func(context.Context) (span.IndexSize, error) { panic("x") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory()
			tc(m)
			s := start(t, m, api.Options{}, func(s *api.Server) { s.Limits(0, 0, 100*time.Millisecond, 0) })
			for range 2 {
				begun := time.Now()
				a := s.do(t, "GET", "/metrics", "")
				if a.status != 200 || strings.Contains(a.body, "spanlake_index_size_bytes") || !strings.Contains(a.body, "spanlake_index_files 2") {
					t.Errorf("%d: %s", a.status, a.body)
				}
				if took := time.Since(begun); took > 900*time.Millisecond {
					t.Errorf("it took %s", took)
				}
			}
		})
	}
	m := newMemory()
	m.onStatus = func(context.Context) (span.IndexerStatus, error) { return span.IndexerStatus{}, errors.New("x") }
	a := start(t, m, api.Options{}).do(t, "GET", "/metrics", "")
	if a.status != 200 || strings.Contains(a.body, "spanlake_index_files") || !strings.Contains(a.body, "spanlake_index_size_bytes 1") {
		t.Errorf("%d: %s", a.status, a.body)
	}
}

func TestLagIsZeroIfNothingWaits(t *testing.T) {
	m := newMemory()
	s := start(t, m, api.Options{})
	if a := s.do(t, "GET", "/metrics", ""); !regexp.MustCompile(`(?m)^spanlake_indexer_lag_seconds [1-9]`).MatchString(a.body) {
		t.Error("a file waits, but there is no lag")
	}
	for _, oldest := range []*time.Time{nil, new(time.Now().Add(time.Hour))} {
		m.status.OldestPending = oldest
		if a := s.do(t, "GET", "/metrics", ""); !strings.Contains(a.body, "spanlake_indexer_lag_seconds 0\n") {
			t.Errorf("oldest %v: %s", oldest, a.body)
		}
	}
}

func TestHealthAndReadiness(t *testing.T) {
	for name, tc := range map[string]struct {
		status span.IndexerStatus
		err    error
		code   int
		says   string
	}{
		"starting":    {span.IndexerStatus{State: span.IndexerStarting}, nil, 503, "not yet looked"},
		"idle":        {span.IndexerStatus{State: span.IndexerIdle}, nil, 200, "ok"},
		"indexing":    {span.IndexerStatus{State: span.IndexerIndexing}, nil, 200, "ok"},
		"failing":     {span.IndexerStatus{State: span.IndexerFailing, Failures: 3, LastError: "disk full"}, nil, 503, "3 times in a row and tries again: disk full"},
		"withholding": {span.IndexerStatus{State: span.IndexerWithholding, WithheldFiles: 7}, nil, 200, "7 files are gone"},
		"stopped":     {span.IndexerStatus{State: span.IndexerStopped}, nil, 503, "told to end"},
		"a new state": {span.IndexerStatus{State: "dreaming"}, nil, 503, "dreaming"},
		"no answer":   {span.IndexerStatus{}, errors.New("locked"), 503, "locked"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory()
			m.onStatus = func(context.Context) (span.IndexerStatus, error) { return tc.status, tc.err }
			s := start(t, m, api.Options{})
			if a := s.do(t, "GET", "/readyz", ""); a.status != tc.code || !strings.Contains(a.body, tc.says) || !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") {
				t.Errorf("readyz: %d %s", a.status, a.body)
			}
			if a := s.do(t, "GET", "/healthz", ""); a.status != 200 || a.body != "ok\n" {
				t.Errorf("healthz: %d %s", a.status, a.body)
			}
		})
	}
}
