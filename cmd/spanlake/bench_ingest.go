package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/spanlake/spanlake/internal/otlpbench"
	"github.com/spanlake/spanlake/internal/terminal"
)

func newBenchIngestCommand() *cobra.Command {
	var o benchIngestOptions
	var spans, rate string
	cmd := &cobra.Command{
		Use:   "ingest",
		Short: "Measure taking spans in: rate, CPU, acknowledgements, memory, size",
		Long: "Bench ingest starts `spanlake serve` in a temporary folder and sends made-up spans to it over OTLP gRPC, 1,000 in a\n" +
			"request, with ten attributes and a prompt of 300 bytes each: first --spans as fast as they are acknowledged, then, to a\n" +
			"new server, --rate a second. What is acknowledged is durable. At the end all is flushed and indexed, the server is\n" +
			"stopped, and it is an error if a span is missing. CPU time is that of the server's process from start to end.\n" +
			"TMPDIR chooses the disk: on one that is memory, syncing costs nothing.",
		Example: "  spanlake bench ingest --memory 256MB\n  spanlake bench ingest --spans 10m --memory 256MB --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			s, err := newSession(cmd)
			if err != nil {
				return err
			}
			if o.spans, err = parseCount("--spans", spans); err != nil {
				return err
			}
			if o.rate, err = parseCount("--rate", rate); err != nil {
				return err
			}
			if o.clients < 1 || o.clients > maxBenchClients {
				return fmt.Errorf("--clients %d is not allowed: must be from 1 to %d: %w", o.clients, maxBenchClients, errUsage)
			}
			if o.pacedTime < 0 || o.pacedTime > maxPacedTime {
				return fmt.Errorf("--paced-time %s is not allowed: must be from 0s to %s: %w", o.pacedTime, maxPacedTime, errUsage)
			}
			return s.benchIngest(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&spans, "spans", "2m", "how many spans are sent as fast as they are acknowledged, such as 500k or 10m")
	cmd.Flags().StringVar(&rate, "rate", "20k", "how many spans are sent each second when acknowledgements are timed")
	cmd.Flags().DurationVar(&o.pacedTime, "paced-time", 10*time.Second, "how long they are sent at that rate; 0 leaves this part out")
	cmd.Flags().IntVar(&o.clients, "clients", 4, "how many connections there are, each with one request at a time")
	cmd.Flags().BoolVar(&o.gzip, "gzip", false, "compress requests")
	addIngestSettings(cmd.Flags(), "wal-sync")
	addJSONFlag(cmd, "print an array of objects")
	return cmd
}

const (
	maxBenchClients = 64
	maxPacedTime    = 24 * time.Hour
)

type benchIngestOptions struct {
	spans, rate int64
	pacedTime   time.Duration
	clients     int
	gzip        bool
}

// ingestPart is what was measured at one rate. Times of acknowledgements are counted as otlpbench.Result says.
type ingestPart struct {
	Name string `json:"name"`
	// Rate is in spans/s, 0 is as fast as they are acknowledged.
	Rate    int64 `json:"rate"`
	Spans   int64 `json:"spans"`
	Retries int64 `json:"retries"`
	// ElapsedMS is until the last acknowledgement, IndexedMS until all spans are in the lake and in the index.
	ElapsedMS        int64   `json:"elapsed_ms"`
	IndexedMS        int64   `json:"indexed_ms"`
	SpansPerSecond   int64   `json:"spans_per_second"`
	IndexedPerSecond int64   `json:"indexed_spans_per_second"`
	UserMS           int64   `json:"user_ms"`
	SystemMS         int64   `json:"system_ms"`
	SpansPerCPU      int64   `json:"spans_per_cpu_second"`
	AckMedianMS      float64 `json:"ack_median_ms"`
	AckP99MS         float64 `json:"ack_p99_ms"`
	AckMaxMS         float64 `json:"ack_max_ms"`
	PeakRSSBytes     int64   `json:"peak_rss_bytes"`
	Files            int64   `json:"files"`
	LakeBytes        int64   `json:"lake_bytes"`
	BytesPerSpan     float64 `json:"bytes_per_span"`
}

func (s *session) benchIngest(ctx context.Context, o benchIngestOptions) (err error) {
	folder, err := os.MkdirTemp("", "spanlake-bench-")
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	load, err := otlpbench.NewLoad(o.spans)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	send := otlpbench.Options{Clients: o.clients, Gzip: o.gzip, Requests: (o.spans + otlpbench.SpansPerRequest - 1) / otlpbench.SpansPerRequest}
	fast, err := s.benchIngestPart(ctx, filepath.Join(folder, "fast"), load, send)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	fast.Name = "as fast as acknowledged"
	parts := []ingestPart{fast}
	if o.pacedTime > 0 {
		send.Interval = time.Second * otlpbench.SpansPerRequest / time.Duration(o.rate)
		send.Requests = max(1, int64(o.pacedTime/send.Interval))
		paced, err := s.benchIngestPart(ctx, filepath.Join(folder, "paced"), load, send)
		if err != nil {
			return fmt.Errorf("bench: %w", err)
		}
		paced.Name, paced.Rate = humanize.Comma(o.rate)+" spans/s", o.rate
		parts = append(parts, paced)
	}
	if s.json {
		return writeJSON(s.stdout, parts)
	}
	return printIngest(s, parts)
}

// benchIngestPart measures one server, from its start to its end.
func (s *session) benchIngestPart(ctx context.Context, folder string, load *otlpbench.Load, send otlpbench.Options) (part ingestPart, err error) {
	server, err := s.startBenchServer(ctx, folder)
	if err != nil {
		return part, err
	}
	defer func() {
		if err != nil {
			err = server.explain(err)
		}
	}()
	bar := s.newProgress()
	send.Target, send.Progress = server.target, bar.sent(send.Requests*otlpbench.SpansPerRequest)
	start := time.Now()
	sending, done := server.while(ctx)
	sent, err := load.Send(sending, send)
	done()
	bar.finish()
	if err != nil {
		return part, err
	}
	if err := server.settle(ctx, sent); err != nil {
		return part, err
	}
	indexed := time.Since(start)
	used, err := server.stop()
	if err != nil {
		return part, err
	}
	part = ingestPart{Spans: sent.Spans, Retries: sent.Retries, ElapsedMS: sent.Elapsed.Milliseconds(), IndexedMS: indexed.Milliseconds(),
		SpansPerSecond: perSecond(sent.Spans, sent.Elapsed), IndexedPerSecond: perSecond(sent.Spans, indexed),
		UserMS: used.user.Milliseconds(), SystemMS: used.system.Milliseconds(), SpansPerCPU: perSecond(sent.Spans, used.user+used.system),
		PeakRSSBytes: used.peak}
	took := newDistribution("", sent.Acknowledged)
	part.AckMedianMS, part.AckP99MS, part.AckMaxMS = took.MedianMS, took.P99MS, took.MaxMS
	part.Files, part.LakeBytes, err = server.lakeSize(ctx)
	part.BytesPerSpan = float64(part.LakeBytes) / float64(max(part.Spans, 1))
	return part, err
}

func perSecond(n int64, time time.Duration) int64 {
	return int64(float64(n) / max(time.Seconds(), 1e-9))
}

// sent draws how many of so many spans are acknowledged.
func (p *progress) sent(of int64) func(spans int64) {
	if p.bar == nil {
		return nil
	}
	p.bar.ChangeMax64(of)
	var drawing sync.Mutex
	return func(spans int64) {
		drawing.Lock()
		defer drawing.Unlock()
		p.bar.Describe(humanize.Comma(perSecond(spans, time.Since(p.start))) + " spans/s")
		_ = p.bar.Set64(spans) // a terminal that cannot be written to is no reason to stop
	}
}

func printIngest(s *session, parts []ingestPart) error {
	header := []string{""}
	rows := [][]string{{"spans"}, {"acknowledged spans/s"}, {"spans/s until all are indexed"}, {"spans per second of CPU"}, {"CPU: user + system"},
		{"acknowledgement: median"}, {"99 %"}, {"longest"}, {"sent again"}, {"peak memory"}, {"files"}, {"bytes per span"}}
	for i := range parts {
		p := &parts[i]
		header = append(header, p.Name)
		ms := func(ms float64) string { return humanize.FormatFloat("#,###.#", ms) + " ms" }
		seconds := func(ms int64) string { return strconv.FormatFloat(float64(ms)/1000, 'f', 1, 64) }
		for row, cell := range []string{humanize.Comma(p.Spans), humanize.Comma(p.SpansPerSecond), humanize.Comma(p.IndexedPerSecond),
			humanize.Comma(p.SpansPerCPU), seconds(p.UserMS) + " + " + seconds(p.SystemMS) + " s", ms(p.AckMedianMS), ms(p.AckP99MS), ms(p.AckMaxMS),
			count(p.Retries, "request"), humanize.Bytes(uint64(max(p.PeakRSSBytes, 0))), humanize.Comma(p.Files),
			humanize.FormatFloat("#,###.#", p.BytesPerSpan)} {
			rows[row] = append(rows[row], cell)
		}
	}
	return terminal.Table(s.stdout, header, rows)
}
