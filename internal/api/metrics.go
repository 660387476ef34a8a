package api

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/spanlake/spanlake/internal/span"
)

// Metrics are what is counted while the server runs. What the index and the indexer know at any time is asked of them
// when somebody looks. Make them with NewMetrics; all methods may be called at the same time.
type Metrics struct {
	registry *prometheus.Registry

	filesIndexed, spansIndexed, filesRemoved, duplicates prometheus.Counter
	filesFailed, cycles                                  *prometheus.CounterVec
	retiredFiles, retiredBytes                           prometheus.Counter
	cycleTime                                            prometheus.Histogram
	requestTime                                          *prometheus.HistogramVec
	ingest                                               ingestMetrics
}

// NewMetrics makes metrics that are all zero, with those of Go and of the process.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry:     prometheus.NewRegistry(),
		filesIndexed: counter("indexer_files_indexed_total", "Files taken into the index."),
		spansIndexed: counter("indexer_spans_indexed_total", "Spans taken into the index, repeats left out."),
		filesRemoved: counter("indexer_files_removed_total", "Files that left the index since they are gone from the lake."),
		duplicates:   counter("indexer_duplicate_spans_total", "Spans left out since the index has them already."),
		filesFailed: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: "indexer_files_failed_total",
			Help: "Attempts to index a file that failed, by the type of the error."}, []string{"error_type"}),
		cycles: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: "indexer_cycles_total",
			Help: "Times that the indexer looked at the lake, by how it ended."}, []string{"result"}),
		retiredFiles: counter("retention_files_removed_total", "Files that retention deleted from the lake."),
		retiredBytes: counter("retention_bytes_removed_total", "Size of the files that retention deleted from the lake."),
		cycleTime: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: "indexer_cycle_duration_seconds",
			Help: "How long the indexer took to look at the lake and take in what was new.", Buckets: prometheus.ExponentialBuckets(0.01, 4, 10)}),
		requestTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: "http_request_duration_seconds",
			Help:    "How long requests took until the last byte was written, by the pattern of their route.",
			Buckets: []float64{.001, .005, .025, .1, .25, 1, 5, 30, 120, 600}}, []string{"route", "method", "code"}),
	}
	// Both results are there from the start, so that the rate of the first failure is seen.
	m.cycles.WithLabelValues("ok")
	m.cycles.WithLabelValues("failed")
	m.registry.MustRegister(m.filesIndexed, m.spansIndexed, m.filesRemoved, m.duplicates, m.filesFailed, m.cycles, m.retiredFiles,
		m.retiredBytes, m.cycleTime, m.requestTime, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

const namespace = "spanlake"

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
}

// Cycle counts a look at the lake, and how long it and what it led to took. err is why it failed, or nil.
func (m *Metrics) Cycle(took time.Duration, err error) {
	result := "ok"
	if err != nil {
		result = "failed"
	}
	m.cycles.WithLabelValues(result).Inc()
	m.cycleTime.Observe(took.Seconds())
}

// Batch counts what was committed at once: of the summary only the files indexed and removed, the spans indexed and the
// duplicates. Files that failed are counted by Failed, which knows why.
func (m *Metrics) Batch(s span.Summary) {
	add(m.filesIndexed, s.FilesIndexed)
	add(m.spansIndexed, s.SpansIndexed)
	add(m.filesRemoved, s.FilesRemoved)
	add(m.duplicates, s.Duplicates)
}

// Failed counts a file that could not be indexed. The type is one of the words that docs/formats/lake.md lists.
func (m *Metrics) Failed(errorType string) { m.filesFailed.WithLabelValues(errorType).Inc() }

// Retired counts files that retention deleted from the lake, and their size.
func (m *Metrics) Retired(files int, bytes int64) {
	add(m.retiredFiles, int64(files))
	add(m.retiredBytes, bytes)
}

// add never goes down, since a counter that does makes client_golang panic.
func add(c prometheus.Counter, n int64) { c.Add(float64(max(n, 0))) }

// request counts a request that was answered. Its route is the pattern that it matched, since clients choose the path
// and the method: each value would be a series of its own.
func (m *Metrics) request(pattern, method string, code int, took time.Duration) {
	route := "none"
	if _, path, ok := strings.Cut(pattern, " "); ok {
		route = path
	} else if pattern != "" {
		route = pattern // of a handler that looks at the method itself
	}
	if !slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions}, method) {
		method = "other"
	}
	m.requestTime.WithLabelValues(route, method, strconv.Itoa(code)).Observe(took.Seconds())
}
