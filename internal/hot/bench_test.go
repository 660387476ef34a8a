package hot

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
)

// benchRequests are requests with so many spans in all: random ids, ten spans a trace, and so many attributes with a prompt of 300
// bytes, unless attributes is 0.
func benchRequests(b testing.TB, spans, perRequest, attributes int) []span.Request {
	b.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	prompt := make([]byte, 300)
	for i := range prompt {
		prompt[i] = 'a' + byte(random.IntN(26))
	}
	var trace [16]byte
	made := 0
	requests := make([]span.Request, 0, spans/perRequest)
	for n := range spans / perRequest {
		all := make([]*tracepb.Span, perRequest)
		for i := range all {
			id := make([]byte, 8)
			fill(random, id)
			edits := []func(*tracepb.Span){named(fmt.Sprint("operation ", random.IntN(50)))}
			for a := range attributes - 1 {
				edits = append(edits, withText(fmt.Sprint("attribute.", a), fmt.Sprint("value ", random.IntN(1000))))
			}
			if made%10 == 0 {
				fill(random, trace[:])
			} else {
				edits = append(edits, childOf(made))
			}
			if attributes > 0 {
				edits = append(edits, withText("gen_ai.prompt", string(prompt)))
			}
			all[i] = otlpSpan(1, made, edits...)
			all[i].TraceId, all[i].SpanId = append([]byte{}, trace[:]...), id
			made++
		}
		requests = append(requests, newRequest(b, n+1, fmt.Sprint("service-", n%5), all...))
	}
	return requests
}

func fill(random *rand.Rand, id []byte) {
	for i := range id {
		id[i] = byte(random.Uint32())
	}
}

func heapBytes() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// A span takes no more than is stated, and the store knows how much that is.
func TestMemoryOfASpan(t *testing.T) {
	const spans = 40_000
	for perRequest, most := range map[int]float64{1000: 90, 10: 100, 1: 120} {
		requests := benchRequests(t, spans, perRequest, 0)
		before := heapBytes()
		s := NewStore(newMemoryLog(), Options{})
		for i := range requests {
			s.Add(requests[i : i+1])
		}
		taken, said := (heapBytes()-before)/spans, float64(s.MemoryBytes())/spans
		if taken > most || said < 0.8*taken || said > 1.2*taken {
			t.Errorf("%d spans a request: a span takes %.0f bytes, and MemoryBytes() says %.0f; want up to %.0f", perRequest, taken, said, most)
		}
		t.Logf("%d spans a request: %.1f bytes a span, MemoryBytes() says %.1f", perRequest, taken, said)
		s.Publish(requestID(1), requestID(len(requests)), "a.parquet")
		if err := s.Release(t.Context(), []string{"a.parquet"}); err != nil {
			t.Fatal(err)
		}
		if left := heapBytes() - before; left > 1<<20 {
			t.Errorf("%d spans a request: %.0f bytes are left when all are released", perRequest, left)
		}
		runtime.KeepAlive(requests)
		runtime.KeepAlive(s)
	}
}

// BenchmarkAdd says what a span costs before it is acknowledged, and how much memory it takes.
func BenchmarkAdd(b *testing.B) {
	for _, perRequest := range []int{1000, 100, 10, 1} {
		b.Run(fmt.Sprint(perRequest, "_spans_a_request"), func(b *testing.B) {
			const spans = 100_000
			requests := benchRequests(b, spans, perRequest, 10)
			var s *Store
			before := heapBytes()
			for b.Loop() {
				s = NewStore(newMemoryLog(), Options{})
				for i := range requests {
					s.Add(requests[i : i+1])
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/spans, "ns/span")
			b.ReportMetric((heapBytes()-before)/spans, "bytes/span")
			runtime.KeepAlive(s)
			runtime.KeepAlive(requests)
		})
	}
}

// millionSpans is a store of a million spans, every tenth of them a root, and traces whose requests its log has.
func millionSpans(b *testing.B, perRequest int) (s *Store, traces []string) {
	b.Helper()
	log := newMemoryLog()
	s = NewStore(log, Options{})
	requests := benchRequests(b, 100_000, perRequest, 10)
	log.append(requests...)
	var longest time.Duration
	for n := range 10 {
		for i, r := range requests {
			if n > 0 {
				r.ID, r.Data = requestID(n*len(requests)+i+1), otherTraces(b, r.Data, byte(n))
			}
			start := time.Now()
			s.Add([]span.Request{r})
			longest = max(longest, time.Since(start))
		}
		if n == 0 {
			for _, block := range s.snapshot() {
				for _, r := range block.rows[:min(100, len(block.rows))] {
					traces = append(traces, fmt.Sprintf("%x", r.trace))
				}
			}
		}
	}
	b.Logf("the longest Add took %v", longest)
	return s, traces
}

// otherTraces is a request with other trace ids, which come first in an encoded span.
func otherTraces(b *testing.B, data []byte, n byte) []byte {
	b.Helper()
	data = bytes.Clone(data)
	for one, err := range otlpwire.Spans(data) {
		if err != nil {
			b.Fatal(err)
		}
		one.Span[2+int(n)] ^= 0xff
	}
	return data
}
