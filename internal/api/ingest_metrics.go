package api

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spanlake/spanlake/internal/span"
)

// ingestMetrics are what is counted of spans that are taken in.
type ingestMetrics struct {
	accepted, acceptedBytes, refused, repaired *prometheus.CounterVec
	flushes                                    *prometheus.CounterVec
	flushedSpans, flushedBytes                 prometheus.Counter
	flushTime                                  prometheus.Histogram
}

// Ingest makes the metrics count what is taken in as well. It is called once.
func (m *Metrics) Ingest() {
	vector := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, []string{label})
	}
	m.ingest = ingestMetrics{
		accepted:      vector("ingest_spans_accepted_total", "Spans that were acknowledged, by transport.", "transport"),
		acceptedBytes: vector("ingest_bytes_accepted_total", "Uncompressed OTLP that was acknowledged, by transport.", "transport"),
		refused:       vector("ingest_spans_refused_total", "Spans that were not kept, by reason; a request that was refused before its spans were counted counts as one.", "reason"),
		repaired:      vector("ingest_repairs_total", "Values that were changed to be kept: text that was not UTF-8, and what exceeded a limit.", "what"),
		flushes:       vector("flush_total", "Files that were flushed, and attempts that failed, by how they ended.", "result"),
		flushedSpans:  counter("flush_spans_total", "Spans that were moved into files of the lake."),
		flushedBytes:  counter("flush_bytes_total", "Size of the files that spans were moved into."),
		flushTime: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: "flush_duration_seconds",
			Help: "How long it took to move spans into one file of the lake.", Buckets: prometheus.ExponentialBuckets(0.01, 2, 12)}),
	}
	// Both results are there from the start, so that the rate of the first failure is seen.
	m.ingest.flushes.WithLabelValues("ok")
	m.ingest.flushes.WithLabelValues("failed")
	i := m.ingest
	m.registry.MustRegister(i.accepted, i.acceptedBytes, i.refused, i.repaired, i.flushes, i.flushedSpans, i.flushedBytes, i.flushTime)
}

// Accepted counts spans that were acknowledged.
func (m *Metrics) Accepted(transport string, spans, bytes int) {
	m.ingest.accepted.WithLabelValues(transport).Add(float64(spans))
	m.ingest.acceptedBytes.WithLabelValues(transport).Add(float64(bytes))
}

// Refused counts spans that were not kept. A request whose spans were not counted counts as one: nobody must miss it.
func (m *Metrics) Refused(reason string, spans int) {
	m.ingest.refused.WithLabelValues(reason).Add(float64(max(spans, 1)))
}

// Repaired counts values that were changed.
func (m *Metrics) Repaired(what string, n int64) { add(m.ingest.repaired.WithLabelValues(what), n) }

// Flush counts a file that was flushed, or the attempt.
func (m *Metrics) Flush(took time.Duration, done span.Flushed, err error) {
	if err != nil {
		m.ingest.flushes.WithLabelValues("failed").Inc()
		return
	}
	m.ingest.flushes.WithLabelValues("ok").Inc()
	m.ingest.flushTime.Observe(took.Seconds())
	add(m.ingest.flushedSpans, done.Spans)
	add(m.ingest.flushedBytes, done.Bytes)
}
