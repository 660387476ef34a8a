package api_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/spanlake/spanlake/internal/api"
	"github.com/spanlake/spanlake/internal/span"
)

// A request that was refused before its spans were counted is counted all the same: alerts ask for an increase.
func TestWhatIsTakenInIsCounted(t *testing.T) {
	m := api.NewMetrics()
	m.Ingest()
	m.Accepted("grpc", 7, 700)
	m.Refused("invalid", 2)
	m.Refused("malformed", 0)
	m.Repaired("strings", 3)
	m.Flush(time.Second, span.Flushed{Files: 1, Spans: 7, Bytes: 1000}, nil)
	m.Flush(time.Second, span.Flushed{}, errors.New("failed"))
	text := start(t, newMemory(), api.Options{Metrics: m}).do(t, "GET", "/metrics", "").body
	if problems, err := promlint.New(strings.NewReader(text)).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	for _, want := range []string{
		`spanlake_ingest_spans_accepted_total{transport="grpc"} 7`, `spanlake_ingest_bytes_accepted_total{transport="grpc"} 700`,
		`spanlake_ingest_spans_refused_total{reason="invalid"} 2`, `spanlake_ingest_spans_refused_total{reason="malformed"} 1`,
		`spanlake_ingest_repairs_total{what="strings"} 3`, `spanlake_flush_total{result="ok"} 1`, `spanlake_flush_total{result="failed"} 1`,
		"spanlake_flush_spans_total 7", "spanlake_flush_bytes_total 1000", "spanlake_flush_duration_seconds_count 1",
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("%s is missing", want)
		}
	}
}
