//go:build unix

package wal

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/spanlake/spanlake/internal/span"
)

// benchSpans is how many spans a request of the benchmarks has.
const benchSpans = 1000

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// benchRequest is a request as a client of a language model sends it: per span ids, times, about ten attributes and 300 bytes of
// text.
func benchRequest() []byte {
	random := rand.New(rand.NewPCG(1, 1))
	id := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return b
	}
	words := strings.Fields("the a model answer question user system please explain how to write function that returns list of all open " +
		"orders by customer and region with total amount before tax in euros sorted latest first what is wrong here trace span")
	text := func(key string, value any) *commonpb.KeyValue {
		return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: fmt.Sprint(value)}}}
	}
	scope := &tracepb.ScopeSpans{Scope: &commonpb.InstrumentationScope{Name: "bench", Version: "1.0"}}
	trace := id(16)
	for i := range benchSpans {
		if i%10 == 0 {
			trace = id(16)
		}
		var prompt strings.Builder
		for prompt.Len() < 300 {
			prompt.WriteString(words[random.IntN(len(words))] + " ")
		}
		start := 1_795_461_163_000_000_000 + uint64(i)*1_000_000 + random.Uint64N(1_000_000)
		scope.Spans = append(scope.Spans, &tracepb.Span{
			TraceId: trace, SpanId: id(8), ParentSpanId: id(8), Name: "chat gpt-4o", Kind: tracepb.Span_SPAN_KIND_CLIENT,
			StartTimeUnixNano: start, EndTimeUnixNano: start + random.Uint64N(1_000_000_000),
			Attributes: []*commonpb.KeyValue{
				text("gen_ai.prompt", prompt.String()), text("gen_ai.system", "openai"), text("gen_ai.request.model", "gpt-4o"),
				text("gen_ai.usage.input_tokens", random.IntN(4000)), text("gen_ai.usage.output_tokens", random.IntN(900)),
				text("http.request.method", "POST"), text("url.path", "/v1/chat/completions"), text("server.address", "api.example.com"),
				text("http.response.status_code", 200), text("session.id", random.Uint64()), text("user.id", random.IntN(10_000)),
			},
		})
	}
	data, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource:   &resourcepb.Resource{Attributes: []*commonpb.KeyValue{text("service.name", "bench")}},
		ScopeSpans: []*tracepb.ScopeSpans{scope},
	}}})
	if err != nil {
		panic(err)
	}
	return data
}

// perSpan reports what one span took.
func perSpan(b *testing.B, spans int, cpu time.Duration) {
	b.Helper()
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(spans), "ns/span")
	b.ReportMetric(float64(cpu.Nanoseconds())/float64(spans), "cpu-ns/span")
}

// releaseAll empties the log.
func (f *fixture) releaseAll() {
	for {
		flush, ok, err := f.BeginFlush(f.t.Context(), 1<<40, manyBytes)
		f.must(err)
		if !ok {
			return
		}
		f.publish(flush, "a")
		f.must(f.Release(f.t.Context(), []string{"a"}))
	}
}

// BenchmarkAppend is the whole way of a request, checkpoints included. Released requests make room, as in life.
func BenchmarkAppend(b *testing.B) {
	for _, sync := range []Sync{Full, Normal} {
		for _, goroutines := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("sync=%d/goroutines=%d", sync, goroutines), func(b *testing.B) {
				f := newFixture(b, func(o *Options) { o.Sync = sync })
				benchmarkAppend(b, f, goroutines, benchSpans, benchRequest())
			})
		}
	}
}

func benchmarkAppend(b *testing.B, f *fixture, goroutines, spans int, data []byte) {
	b.SetBytes(int64(len(data)))
	var next atomic.Int64
	latencies := make([]time.Duration, b.N)
	var all sync.WaitGroup
	b.ResetTimer()
	cpu := cpuTime(b)
	for range goroutines {
		all.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				start := time.Now()
				if err := f.Append(b.Context(), data, spans); err != nil {
					b.Error(err)
				}
				latencies[i-1] = time.Since(start)
				if i%200 == 0 {
					f.releaseAll()
				}
			}
		})
	}
	all.Wait()
	f.must(f.do(b.Context(), f.finishCheckpoint))
	b.StopTimer()
	perSpan(b, b.N*spans, cpuTime(b)-cpu)
	slices.Sort(latencies)
	b.ReportMetric(float64(latencies[len(latencies)/2].Microseconds())/1e3, "p50-ms")
	b.ReportMetric(float64(latencies[len(latencies)*99/100].Microseconds())/1e3, "p99-ms")
	b.ReportMetric(float64(latencies[len(latencies)-1].Microseconds())/1e3, "max-ms")
}

// BenchmarkAppendSmall has requests of one span.
func BenchmarkAppendSmall(b *testing.B) {
	for _, goroutines := range []int{1, 64} {
		b.Run(fmt.Sprintf("goroutines=%d", goroutines), func(b *testing.B) {
			benchmarkAppend(b, newFixture(b), goroutines, 1, message(1, 750))
		})
	}
}

// BenchmarkSteady appends 20 requests a second, while others are flushed and released.
func BenchmarkSteady(b *testing.B) {
	f := newFixture(b)
	data := benchRequest()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var latencies []time.Duration
	cpu := cpuTime(b)
	b.ResetTimer()
	var all sync.WaitGroup
	for i := range b.N {
		<-tick.C
		all.Go(func() {
			start := time.Now()
			if err := f.Append(b.Context(), data, benchSpans); err != nil {
				b.Error(err)
			}
			latencies = append(latencies, time.Since(start)) // the next one comes 50 ms later
			if i%50 == 49 {
				f.releaseAll()
			}
		})
	}
	all.Wait()
	b.StopTimer()
	perSpan(b, b.N*benchSpans, cpuTime(b)-cpu)
	slices.Sort(latencies)
	b.ReportMetric(float64(latencies[len(latencies)*99/100].Microseconds())/1e3, "p99-ms")
	b.ReportMetric(float64(latencies[len(latencies)-1].Microseconds())/1e3, "max-ms")
}

func BenchmarkRequests(b *testing.B) {
	f := newFixture(b)
	const requests = 50
	data := benchRequest()
	for range requests {
		f.must(f.Append(b.Context(), data, benchSpans))
	}
	b.SetBytes(int64(requests * len(data)))
	b.ResetTimer()
	cpu := cpuTime(b)
	for b.Loop() {
		for _, err := range f.Requests(b.Context(), span.RequestID{}, lastID) {
			f.must(err)
		}
	}
	perSpan(b, b.N*requests*benchSpans, cpuTime(b)-cpu)
}

func BenchmarkRelease(b *testing.B) {
	f := newFixture(b)
	const requests = 100
	data := benchRequest()
	var cpu time.Duration
	for b.Loop() {
		b.StopTimer()
		for range requests {
			f.must(f.Append(b.Context(), data, benchSpans))
		}
		flush := f.begin(1<<40, manyBytes)
		f.publish(flush, "a")
		b.StartTimer()
		before := cpuTime(b)
		f.must(f.Release(b.Context(), []string{"a"}))
		cpu += cpuTime(b) - before
	}
	perSpan(b, b.N*requests*benchSpans, cpu)
}
