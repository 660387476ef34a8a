//go:build unix

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"

	"github.com/spanlake/spanlake/internal/span"
)

const (
	// askedService sends traces of tracedSpans spans each, in batches of batchTraces.
	askedService = "asked"
	tracedSpans  = 3
	batchTraces  = 20
	// repeatedService sends every request twice, as clients do that saw no answer. Repeats are in no listing; they are counted
	// until their file is indexed, so this service is not counted.
	repeatedService = "repeated"
)

// sentTraces knows which traces were acknowledged.
type sentTraces struct {
	mu          sync.Mutex
	acked, sent int
}

func (s *sentTraces) counts() (acked, sent int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acked, s.sent
}

// sendBatch sends the next batch, and once more for the service that repeats.
func (s *sentTraces) sendBatch(ctx context.Context, r *running) error {
	s.mu.Lock()
	first := s.sent
	s.sent += batchTraces
	s.mu.Unlock()
	if err := r.postSpans(ctx, tracesFrom(askedService, first)); err != nil {
		return err
	}
	again := tracesFrom(repeatedService, first)
	for range 2 {
		if err := r.postSpans(ctx, again); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked += batchTraces
	return nil
}

// tracesFrom makes a batch of traces, numbered from first.
func tracesFrom(service string, first int) *collector.ExportTraceServiceRequest {
	request := spansFrom(service, uint64(first*tracedSpans+1), batchTraces*tracedSpans, 20)
	spans := request.ResourceSpans[0].ScopeSpans[0].Spans
	for i, s := range spans {
		root := spans[i-i%tracedSpans]
		s.TraceId = traceOf(service, first+i/tracedSpans)
		s.StartTimeUnixNano += uint64(i)
		s.EndTimeUnixNano = s.StartTimeUnixNano + uint64(time.Millisecond)
		s.Attributes = append(s.Attributes, stringValue("batch", strconv.Itoa(first)))
		s.Name = "step"
		if s == root {
			s.Name = "whole"
			continue
		}
		s.ParentSpanId = root.SpanId
	}
	return request
}

func traceOf(service string, number int) []byte {
	id := numbered(uint64(number))
	return append([]byte{0xcd, service[0], 0, 0, 0, 0, 0, 1}, id[:]...)
}

func traceID(number int) string { return fmt.Sprintf("%x", traceOf(askedService, number)) }

// touchSomeFile makes the index read a file of the lake anew.
func (p place) touchSomeFile(random *rand.Rand) {
	p.t.Helper()
	files := p.lakeFiles()
	if len(files) == 0 {
		return
	}
	now := time.Now()
	if err := os.Chtimes(files[random.IntN(len(files))], now, now); err != nil {
		p.t.Fatal(err)
	}
}

// move sends batches, flushes and has files indexed anew, until ctx ends or so many batches are sent.
func (s *sentTraces) move(t *testing.T, r *running, random *rand.Rand, batches int) {
	t.Helper()
	for range batches {
		if t.Failed() {
			return
		}
		if err := s.sendBatch(t.Context(), r); err != nil {
			t.Fatalf("%v\n%s", err, r.stderr)
		}
		switch random.IntN(4) {
		case 0:
			r.flush()
		case 1:
			r.touchSomeFile(random)
		case 2:
			time.Sleep(time.Duration(random.IntN(150)) * time.Millisecond)
		}
	}
}

// TestEachSpanOnceInEveryAnswer asks all the time while spans are acknowledged, flushed, indexed, indexed anew, and while the server
// stops, the index is rebuilt and the server starts again.
func TestEachSpanOnceInEveryAnswer(t *testing.T) {
	p := newPlace(t, "")
	random := rand.New(rand.NewPCG(11, 12))
	sent, asked := &sentTraces{}, make(map[string]int)
	rounds, batches := 3, 25
	if testing.Short() {
		rounds, batches = 2, 12
	}
	questions := (&asker{}).questions()
	// On a slow machine it takes more rounds until each question was asked.
	for round := 0; round < rounds || len(asked) < len(questions) && round < 4*rounds; round++ {
		r := p.serve("--flush-interval", "1s", "--flush-max-rows", "1000")
		stop := ask(t, r.url, sent, asked, uint64(round))
		sent.move(t, r, random, batches)
		// What is still moving when nothing is sent any more.
		time.Sleep(time.Second)
		stop()
		if t.Failed() {
			t.Fatalf("%s", r.stderr)
		}
		r.stop()
		p.rebuildWhileAsked(sent)
	}
	for name := range questions {
		if asked[name] == 0 {
			t.Errorf("%s was never asked", name)
		}
	}
	t.Logf("asked %v", asked)
}

// rebuildWhileAsked rebuilds the index while commands read it.
func (p place) rebuildWhileAsked(sent *sentTraces) {
	p.t.Helper()
	acked, _ := sent.counts()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if r := p.run("rebuild"); r.code != 0 {
			p.t.Errorf("rebuild: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		r := p.run("traces", "--json", "--limit", "10000", "--service", askedService)
		if r.code != 0 {
			p.t.Errorf("traces: exit code %d\n%s", r.code, r.stderr)
			return
		}
		var ids []string
		for _, trace := range decode[[]struct {
			TraceID string `json:"trace_id"`
		}](p.t, r.stdout) {
			ids = append(ids, trace.TraceID)
		}
		(&asker{t: p.t, sent: sent}).once("spanlake traces", ids, acked)
	}
}

// TestEachSpanOnceOverTwoProcesses does the same with a backend beside what takes spans in, which is killed now and then.
func TestEachSpanOnceOverTwoProcesses(t *testing.T) {
	p := newPlace(t, "")
	random := rand.New(rand.NewPCG(13, 14))
	sent, asked := &sentTraces{}, make(map[string]int)
	internal := freePort(t)
	in := p.ingest("--flush-interval", "1s", "--flush-max-rows", "1000", "--internal-listen", internal)
	rounds, batches := 3, 20
	if testing.Short() {
		rounds, batches = 2, 10
	}
	for round := range rounds {
		back := p.start(p.command("backend", "--listen", "127.0.0.1:0", "--poll-interval", "5s", "--internal-server", internal)).listening()
		back.until("the lake was looked at", func(s span.IndexerStatus) bool { return s.State == span.IndexerIdle })
		stop := ask(t, back.url, sent, asked, uint64(round))
		sent.move(t, in, random, batches)
		time.Sleep(500 * time.Millisecond)
		stop()
		back.kill()
	}
	t.Logf("asked %v", asked)
	if len(asked) == 0 {
		t.Error("nothing was asked")
	}
}
