package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/spanlake/spanlake/internal/api"
	"github.com/spanlake/spanlake/internal/index"
	"github.com/spanlake/spanlake/internal/lake"
	"github.com/spanlake/spanlake/internal/sample"
	"github.com/spanlake/spanlake/internal/span"
)

func newBenchFollowCommand() *cobra.Command {
	var spans string
	var files int
	cmd := &cobra.Command{
		Use:   "follow",
		Short: "Measure how soon new files are visible, and whether indexing holds readers up",
		Long: "Bench follow indexes a sample of --spans in a temporary folder and follows it, as the backend does. Three readers ask\n" +
			"without a pause: the list of services, one trace, the latest root spans. Then --files files of 1,000 spans are renamed\n" +
			"into the lake one by one, and each is looked up until it is there. At last 40 files of 100,000 spans land at once.",
		Example: "  spanlake bench follow --spans 10m --memory 256MB",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := newSession(cmd)
			if err != nil {
				return err
			}
			n, err := parseCount("--spans", spans)
			if err != nil {
				return err
			}
			if files < 1 {
				return fmt.Errorf("--files %d is not allowed: must be at least 1: %w", files, errUsage)
			}
			return s.benchFollow(cmd.Context(), n, files)
		},
	}
	cmd.Flags().StringVar(&spans, "spans", "2m", "how many spans the index has before, such as 500k or 10m")
	cmd.Flags().IntVar(&files, "files", 500, "how many files land one by one")
	addJSONFlag(cmd, "print an array of objects")
	return cmd
}

// benchFollow measures in this process, with the parts that the backend runs.
func (s *session) benchFollow(ctx context.Context, spans int64, files int) (err error) {
	folder, err := os.MkdirTemp("", "spanlake-bench-")
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	b := followBench{session: s, folder: folder, random: rand.New(rand.NewPCG(1, 1))} // #nosec G404 -- the same files each time
	s.Config.Lake, s.Config.DB = filepath.Join(folder, "lake"), filepath.Join(folder, "index.duckdb")
	b.say("writing and indexing a sample of %s ...\n", count(spans, "span"))
	end := time.Now().Add(-time.Hour)
	if err := b.sample(ctx, s.Config.Lake, sample.Options{Spans: spans, Seed: 1, End: end, Start: sampleStart(end, spans)}); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if err := s.withIndex(ctx, false, func(x *index.Index) error { return b.run(ctx, x, files) }); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if s.json {
		return writeJSON(s.stdout, b.results)
	}
	return b.print()
}

// followBench is one run of the benchmark.
type followBench struct {
	*session
	folder  string
	random  *rand.Rand
	results []distribution
}

// say tells people what is going on.
func (b *followBench) say(format string, args ...any) {
	out := &printer{w: b.stderr}
	out.printf(format, args...)
}

func (b *followBench) sample(ctx context.Context, root string, o sample.Options) error {
	_, err := sample.Generate(ctx, root, o)
	return err
}

func (b *followBench) run(ctx context.Context, x *index.Index, files int) error {
	if _, err := x.Sync(ctx, b.Scan(ctx), index.SyncOptions{}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	follower := b.NewFollower(x, api.NewMetrics())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		follower.Run(ctx)
	}()
	defer func() {
		cancel()
		<-ended
	}()
	if _, err := follower.IndexNow(ctx, false); err != nil {
		return err
	}
	readers, err := b.newReaders(ctx, x)
	if err != nil {
		return err
	}
	b.say("reading for 5 s while nothing happens ...\n")
	err = readers.during(ctx, "nothing happens", func() error { return sleep(ctx, 5*time.Second) })
	if err != nil {
		return err
	}
	b.say("renaming %s into the lake, one by one ...\n", count(int64(files), "file"))
	var visible []time.Duration
	err = readers.during(ctx, "small files land", func() (err error) {
		visible, err = b.landOneByOne(ctx, x, files)
		return err
	})
	if err != nil {
		return err
	}
	b.results = append(b.results, newDistribution("from rename to visible", visible))
	b.say("40 files of 100,000 spans land at once ...\n")
	burst := filepath.Join(b.folder, "burst")
	end := time.Now()
	if err := b.sample(ctx, burst, sample.Options{Spans: 4_000_000, SpansPerFile: 100_000, Seed: 2, Start: end.Add(-time.Hour), End: end}); err != nil {
		return err
	}
	err = readers.during(ctx, "large files land", func() error {
		if err := b.moveAll(ctx, burst); err != nil {
			return err
		}
		_, err := follower.IndexNow(ctx, false)
		return err
	})
	b.results = append(readers.results, b.results...)
	return err
}

// landOneByOne renames files into the lake and says how long each took to be visible to a query.
func (b *followBench) landOneByOne(ctx context.Context, x *index.Index, files int) ([]time.Duration, error) {
	staging, err := lake.NewWriter(filepath.Join(b.folder, "staging"))
	if err != nil {
		return nil, err
	}
	var took []time.Duration
	for i := range files {
		spans := b.spans(1000)
		written, err := staging.Write(lake.Path("bench", time.Now(), uint32(i)), spans)
		if err != nil {
			return nil, err
		}
		start := time.Now()
		if err := b.move(filepath.Join(b.folder, "staging"), written.Path); err != nil {
			return nil, err
		}
		for {
			found, err := x.TraceSpans(ctx, spans[0].TraceID)
			if err != nil {
				return nil, err
			}
			if len(found) > 0 {
				break
			}
			if time.Since(start) > time.Minute {
				return nil, fmt.Errorf("%s is not visible after a minute", written.Path)
			}
			if err := sleep(ctx, time.Millisecond); err != nil {
				return nil, err
			}
		}
		took = append(took, time.Since(start))
		if err := sleep(ctx, time.Duration(b.random.IntN(100))*time.Millisecond); err != nil {
			return nil, err
		}
	}
	return took, nil
}

// move renames a file of another lake into ours.
func (b *followBench) move(from, path string) error {
	target := filepath.Join(b.Config.Lake, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	return os.Rename(filepath.Join(from, filepath.FromSlash(path)), target)
}

func (b *followBench) moveAll(ctx context.Context, from string) error {
	for file, err := range lake.Scan(ctx, from) {
		if err != nil {
			return err
		}
		if err := b.move(from, file.Path); err != nil {
			return err
		}
	}
	return nil
}

// spans are n spans that began a moment ago, ten of each trace.
func (b *followBench) spans(n int) []span.Span {
	id := func(bytes int) string {
		raw := make([]byte, bytes)
		for i := range raw {
			raw[i] = byte(b.random.Uint32())
		}
		return hex.EncodeToString(raw)
	}
	spans := make([]span.Span, n)
	trace, start := "", time.Now().Add(-time.Minute)
	for i := range spans {
		parent := ""
		if i%10 == 0 {
			trace = id(16)
		} else {
			parent = spans[i-i%10].SpanID
		}
		at := start.Add(time.Duration(i) * time.Millisecond)
		spans[i] = span.Span{TraceID: trace, SpanID: id(8), ParentSpanID: parent, ServiceName: "bench", Name: "op",
			Kind: span.KindServer, StartTime: at, EndTime: at.Add(time.Duration(b.random.IntN(1e9))), StatusCode: span.StatusOK,
			Attributes: `{"bench":true}`, Events: "[]", ResourceAttributes: `{"service.name":"bench"}`}
	}
	return spans
}

// sleep waits, or until ctx ends.
func sleep(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
