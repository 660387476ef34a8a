package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/spanlake/spanlake/internal/span"
)

// healthz says that the process answers, and asks nothing of the index: an index that is busy is no reason to restart it.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "ok") }

// readyz says whether answers are as complete as the lake was when the indexer last looked at it, and whether spans are
// taken in.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), s.limits.scrape)
	defer cancel()
	if s.ingest != nil {
		status, err := inTurn(ctx, s.running, s.ingestTurn, s.ingest.IngestStatus)
		if err == nil && status.Refusing != "" {
			err = fmt.Errorf("requests are refused: %s", status.Refusing)
		}
		if err != nil {
			writeText(w, http.StatusServiceUnavailable, fmt.Sprintf("not ready: no spans are taken in: %v", err))
			return
		}
	}
	if s.indexer == nil {
		writeText(w, http.StatusOK, "ok")
		return
	}
	status, err := inTurn(ctx, s.running, s.statusTurn, s.indexer.Status)
	if err != nil {
		writeText(w, http.StatusServiceUnavailable, fmt.Sprintf("not ready: the indexer does not say what it is doing: %v", err))
		return
	}
	code, text := readiness(status)
	writeText(w, code, text)
}

func readiness(status span.IndexerStatus) (code int, text string) {
	switch status.State {
	case span.IndexerIdle, span.IndexerIndexing:
		return http.StatusOK, "ok"
	case span.IndexerWithholding:
		return http.StatusOK, fmt.Sprintf("ok, but %d files are gone from the lake and stay in the index until they are back or "+
			"somebody confirms that they are gone", status.WithheldFiles)
	case span.IndexerStarting:
		return http.StatusServiceUnavailable, "not ready: the indexer has not yet looked at the whole lake"
	case span.IndexerFailing:
		return http.StatusServiceUnavailable, fmt.Sprintf("not ready: the indexer failed %d times in a row and tries again: %s", status.Failures, status.LastError)
	case span.IndexerStopped:
		return http.StatusServiceUnavailable, "not ready: the indexer was told to end"
	}
	return http.StatusServiceUnavailable, fmt.Sprintf("not ready: the indexer is %q", string(status.State))
}

func writeText(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text+"\n") // the client is gone
}

// scrape answers Prometheus. A source that fails or takes too long costs its own metrics and no others: they are absent
// then, which alerts can ask for, and not old or zero, which would be taken for true.
func (s *Server) scrape(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), s.limits.scrape)
	defer cancel()
	seen := gauges{version: s.version, now: time.Now()}
	var all sync.WaitGroup
	if s.indexer != nil {
		all.Go(func() {
			seen.status = askFor(ctx, s, s.statusTurn, "the indexer does not say what it is doing, so its metrics are missing", s.indexer.Status)
		})
		all.Go(func() {
			seen.size = askFor(ctx, s, s.sizeTurn, "the size of the index is not known, so its metrics are missing", s.catalog.Size)
		})
	}
	if s.ingest != nil {
		all.Go(func() {
			seen.ingest = askFor(ctx, s, s.ingestTurn, "what takes spans in does not say what it is doing, so its metrics are missing", s.ingest.IngestStatus)
		})
	}
	all.Wait()
	now := prometheus.NewRegistry()
	if err := now.Register(seen); err != nil {
		panic(err) // a collector without descriptions is always accepted
	}
	promhttp.HandlerFor(prometheus.Gatherers{s.metrics.registry, now}, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError,
		ErrorLog:      scrapeLog{s},
	}).ServeHTTP(w, r)
}

// askFor asks a source, and logs that its metrics are missing if it does not answer.
func askFor[T any](ctx context.Context, s *Server, turn chan struct{}, missing string, ask func(context.Context) (T, error)) *T {
	value, err := inTurn(ctx, s.running, turn, ask)
	if err != nil {
		s.log.Warn(missing, "error", err)
		return nil
	}
	return &value
}

// inTurn asks a source and waits for it no longer than ctx lasts. While it has not answered nobody asks it again, so
// that a source that hangs holds one goroutine and not one for each scrape.
func inTurn[T any](ctx context.Context, running *running, turn chan struct{}, ask func(context.Context) (T, error)) (T, error) {
	var none T
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return none, fmt.Errorf("it has not answered the question before: %w", ctx.Err())
	}
	if !running.enter() {
		<-turn
		return none, errStopping
	}
	type answer struct {
		value T
		err   error
	}
	answered := make(chan answer, 1)
	go func() {
		defer running.leave()
		defer func() { <-turn }()
		var a answer
		// No handler is around this goroutine that would recover.
		defer func() {
			if reason := recover(); reason != nil {
				a.err = fmt.Errorf("panic: %v", reason)
			}
			answered <- a
		}()
		a.value, a.err = ask(ctx)
	}()
	select {
	case a := <-answered:
		return a.value, a.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// scrapeLog logs what promhttp cannot write.
type scrapeLog struct{ s *Server }

// Println implements promhttp.Logger.
func (l scrapeLog) Println(what ...any) { l.s.log.Debug("metrics", "error", fmt.Sprint(what...)) }

// gauges are what the sources said at one moment; nil: they did not.
type gauges struct {
	version string
	now     time.Time
	status  *span.IndexerStatus
	size    *span.IndexSize
	ingest  *span.IngestStatus
}

// Describe says nothing in advance, since any source may be missing.
func (gauges) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (g gauges) Collect(out chan<- prometheus.Metric) {
	gauge := func(name, help string, value float64) {
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc(namespace+"_"+name, help, nil, nil), prometheus.GaugeValue, value)
	}
	out <- prometheus.MustNewConstMetric(prometheus.NewDesc(namespace+"_build_info", "Always 1; the labels say what runs.",
		[]string{"version", "go_version"}, nil), prometheus.GaugeValue, 1, g.version, runtime.Version())
	if g.size != nil {
		gauge("index_size_bytes", "Size of the database file of the index.", float64(g.size.FileBytes))
		gauge("index_wal_size_bytes", "Size of the write-ahead log of the index.", float64(g.size.WALBytes))
		gauge("duckdb_memory_bytes", "What DuckDB holds under its memory limit.", float64(g.size.MemoryBytes))
		gauge("duckdb_spilled_bytes", "What DuckDB has moved to temporary files.", float64(g.size.SpilledBytes))
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc(namespace+"_duckdb_memory_waits_total",
			"How often something waited until it was alone, since memory for DuckDB was short.", nil, nil),
			prometheus.CounterValue, float64(g.size.MemoryWaits))
	}
	if g.ingest != nil {
		g.collectIngest(gauge)
	}
	if g.status == nil {
		return
	}
	gauge("index_files", "Files in the index.", float64(g.status.IndexedFiles))
	gauge("index_spans", "Spans in the index.", float64(g.status.IndexedSpans))
	gauge("indexer_pending_files", "Files that wait to be indexed.", float64(g.status.PendingFiles))
	gauge("indexer_pending_bytes", "Size of the files that wait to be indexed.", float64(g.status.PendingBytes))
	gauge("indexer_unfinished_files", "Files that are still being written.", float64(g.status.UnfinishedFiles))
	gauge("indexer_withheld_files", "Files that are gone from the lake but stay in the index until somebody confirms.", float64(g.status.WithheldFiles))
	lag := 0.0
	if g.status.OldestPending != nil {
		lag = max(g.now.Sub(*g.status.OldestPending).Seconds(), 0)
	}
	gauge("indexer_lag_seconds", "Age of the oldest file that waits to be indexed, 0 if none does.", lag)
	watching := 0.0
	if g.status.Watching {
		watching = 1
	}
	gauge("indexer_watching", "Whether changes of the lake are seen at once (1) or by polling only (0).", watching)
	failed := prometheus.NewDesc(namespace+"_index_failed_files", "Files that could not be indexed, by the type of the error.", []string{"error_type"}, nil)
	for kind, n := range g.status.FailedFiles {
		out <- prometheus.MustNewConstMetric(failed, prometheus.GaugeValue, float64(n), kind)
	}
}

func (g gauges) collectIngest(gauge func(name, help string, value float64)) {
	gauge("wal_requests", "Requests in the write-ahead log that are in no file of the lake yet.", float64(g.ingest.UnflushedRequests))
	gauge("wal_spans", "Spans in the write-ahead log that are in no file of the lake yet.", float64(g.ingest.UnflushedSpans))
	gauge("wal_data_bytes", "Uncompressed OTLP in the write-ahead log that is in no file of the lake yet.", float64(g.ingest.UnflushedBytes))
	gauge("wal_size_bytes", "What counts against --max-wal-size: the pages of the write-ahead log that are in use, and its journal.", float64(g.ingest.WALBytes))
	gauge("wal_damaged_requests", "Requests that are set aside in the write-ahead log, since the disk gave back other bytes than were written.", float64(g.ingest.DamagedRequests))
	age := 0.0
	if g.ingest.OldestUnflushed != nil {
		age = max(g.now.Sub(*g.ingest.OldestUnflushed).Seconds(), 0)
	}
	gauge("wal_oldest_age_seconds", "Age of the oldest span that is in no file of the lake yet, 0 if there is none.", age)
	gauge("hot_spans", "Spans that are shown as unflushed.", float64(g.ingest.HotSpans))
	gauge("hot_published_spans", "Spans that are shown as unflushed, though they are in files, since these are not known to be indexed.", float64(g.ingest.PublishedSpans))
	gauge("hot_expired_spans", "Spans that have been let go though nobody said that their files are indexed, since the server started.", float64(g.ingest.ExpiredSpans))
	gauge("flush_failures", "Failed flushes in a row.", float64(g.ingest.FlushFailures))
	refusing := 0.0
	if g.ingest.Refusing != "" {
		refusing = 1
	}
	gauge("ingest_refusing", "Whether requests are refused at present (1), since the disk, the write-ahead log or the memory for hot spans is full.", refusing)
}
