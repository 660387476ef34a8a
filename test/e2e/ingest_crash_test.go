//go:build unix

package e2e

import (
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/spanlake/spanlake/internal/testkit"
)

// ledger knows what was sent, what was acknowledged, and what of it is in the lake.
type ledger struct {
	mu   sync.Mutex
	next uint64
	// requests are those that were sent: the number of the first span of each.
	requests map[uint64]*sentRequest
	byFirst  []uint64
	// read are the files whose spans were counted, found the requests by the numbers of spans.
	read map[string]bool
}

type sentRequest struct {
	spans int
	acked bool
	// rows are how often each span is in the lake.
	rows []int
}

func newLedger() *ledger {
	return &ledger{next: 1, requests: make(map[uint64]*sentRequest), read: make(map[string]bool)}
}

// take gives out the numbers of n spans.
func (l *ledger) take(n int) (first uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first = l.next
	l.next += uint64(n)
	l.requests[first] = &sentRequest{spans: n, rows: make([]int, n)}
	l.byFirst = append(l.byFirst, first)
	return first
}

func (l *ledger) acknowledge(first uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests[first].acked = true
}

// load sends requests of random size over both transports from several clients until ctx ends or the server is gone.
func (l *ledger) load(ctx context.Context, r *running, seed uint64) (wait func()) {
	connection, err := grpc.NewClient(r.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		r.t.Fatal(err)
	}
	over := collector.NewTraceServiceClient(connection)
	var clients sync.WaitGroup
	for number := range 4 {
		random := rand.New(rand.NewPCG(seed, uint64(number)))
		clients.Go(func() {
			for ctx.Err() == nil {
				n := 1 + random.IntN(60)
				if random.IntN(20) == 0 {
					n = 800 // more than goes into one file
				}
				first := l.take(n)
				request := spansFrom("svc-"+strconv.Itoa(number), first, n, random.IntN(100))
				send := exportSpans(over)
				if number%2 == 0 {
					send = r.postSpans
				}
				if send(ctx, request) != nil {
					return // it was killed, or told to stop
				}
				l.acknowledge(first)
				time.Sleep(time.Duration(random.IntN(8)) * time.Millisecond)
			}
		})
	}
	return func() {
		clients.Wait()
		_ = connection.Close()
	}
}

// exportSpans sends over gRPC.
func exportSpans(c collector.TraceServiceClient) func(context.Context, *collector.ExportTraceServiceRequest) error {
	return func(ctx context.Context, request *collector.ExportTraceServiceRequest) error {
		response, err := c.Export(ctx, request)
		if err != nil {
			return err
		}
		return whole(response)
	}
}

// count reads the files that were not read before. No span may ever be in two rows.
func (l *ledger) count(p place) {
	p.t.Helper()
	for _, path := range p.lakeFiles() {
		if l.read[path] {
			continue
		}
		l.read[path] = true
		for _, s := range testkit.ReadSpans(p.t, path) {
			id, err := hex.DecodeString(s.SpanID)
			if err != nil {
				p.t.Fatal(err)
			}
			l.see(p, path, numberOf(id))
		}
	}
}

func numberOf(id []byte) (n uint64) {
	for _, b := range id {
		n = n<<8 | uint64(b)
	}
	return n
}

func (l *ledger) see(p place, path string, number uint64) {
	p.t.Helper()
	// The request is the last one that begins at or before the number.
	low, high := 0, len(l.byFirst)
	for low < high {
		if middle := (low + high) / 2; l.byFirst[middle] <= number {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low == 0 || number >= l.next {
		p.t.Fatalf("%s has the span %d, which nobody sent", path, number)
	}
	first := l.byFirst[low-1]
	r := l.requests[first]
	if r.rows[number-first]++; r.rows[number-first] > 1 {
		p.t.Errorf("%s has the span %d, which another row has", path, number)
	}
}

// assertKept checks that every acknowledged span is in the lake, and of other requests all or nothing.
func (l *ledger) assertKept(t *testing.T) {
	t.Helper()
	var acked, kept, missing int
	for first, r := range l.requests {
		found := 0
		for _, rows := range r.rows {
			found += rows
		}
		kept += found
		switch {
		case r.acked && found != r.spans:
			missing++
			t.Errorf("of the %d acknowledged spans from %d on, %d are in the lake", r.spans, first, found)
		case !r.acked && found != 0 && found != r.spans:
			t.Errorf("of the %d spans from %d on, which nobody acknowledged, %d are in the lake", r.spans, first, found)
		}
		if r.acked {
			acked += r.spans
		}
	}
	t.Logf("%d requests, %d spans acknowledged, %d in %d files of the lake", len(l.requests), acked, kept, len(l.read))
	if acked == 0 || len(l.read) == 0 {
		t.Error("the test is about spans that were acknowledged and files that were written")
	}
	if missing > 0 {
		t.Errorf("%d acknowledged requests are not whole", missing)
	}
}

// ingestCycles is how many times what takes spans in is killed.
func ingestCycles(t *testing.T) int {
	t.Helper()
	if os.Getenv("SPANLAKE_TEST_CYCLES") != "" {
		return cycles(t)
	}
	if testing.Short() {
		return 6
	}
	return 15
}

// flushOften makes everything happen all the time: flushes, files, their indexing, the release of what they have.
func flushOften() []string {
	return []string{"--flush-max-rows", "400", "--flush-max-age", "1s", "--flush-interval", "1s", "--flush-min-rows", "0"}
}

// Killed at any moment under load, again and again: every span that was acknowledged is in exactly one row of the lake.
func TestServeThatIsKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	seed := uint64(time.Now().UnixNano())
	t.Logf("the seed is %d", seed)
	random := rand.New(rand.NewPCG(seed, 99))
	sent := newLedger()
	for cycle := range ingestCycles(t) {
		r := p.start(p.command(serveArgs(flushOften()...)...))
		if random.IntN(6) == 0 {
			time.Sleep(time.Duration(random.IntN(200)) * time.Millisecond) // while it finishes what the last one left
			r.kill()
			continue
		}
		r.listening()
		r.killUnderLoad(sent, random, seed+uint64(cycle))
		r.client.Close()
		if sent.count(p); t.Failed() {
			t.Fatalf("after cycle %d\n%s", cycle, r.stderr)
		}
	}
	// 256MB are not enough to verify the millions of spans of 200 cycles.
	r := p.serve(append(flushOften(), "--memory", "512MB")...)
	sent.assertWhole(r, r)
	r.end(syscall.SIGTERM)
	p.assertSound()
}

// Taken in by one process and indexed by another, either of which is killed at any moment.
func TestIngestAndBackendThatAreKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	seed := uint64(time.Now().UnixNano())
	t.Logf("the seed is %d", seed)
	random := rand.New(rand.NewPCG(seed, 99))
	sent := newLedger()
	internal := freePort(t)
	ingest := func() *running {
		return p.start(p.command(ingestArgs(append(flushOften(), "--internal-listen", internal)...)...)).listening()
	}
	backend := func() *running { return p.launch("--internal-server", internal) }
	taking, indexing := ingest(), backend()
	for cycle := range ingestCycles(t) {
		switch random.IntN(3) {
		case 0: // the backend only, while the other one goes on
			ctx, cancel := context.WithCancel(t.Context())
			wait := sent.load(ctx, taking, seed+uint64(cycle))
			time.Sleep(time.Duration(random.IntN(500)) * time.Millisecond)
			indexing.kill()
			indexing = backend()
			time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond)
			cancel()
			wait()
		case 1: // both
			taking.killUnderLoad(sent, random, seed+uint64(cycle))
			indexing.kill()
			taking, indexing = ingest(), backend()
		default:
			taking.killUnderLoad(sent, random, seed+uint64(cycle))
			taking = ingest()
		}
		if sent.count(p); t.Failed() {
			t.Fatalf("after cycle %d\n%s\n%s", cycle, taking.stderr, indexing.stderr)
		}
	}
	indexing.listening()
	sent.assertWhole(taking, indexing)
	taking.end(syscall.SIGTERM)
	indexing.stop()
	p.assertSound()
}

// kill ends a server without a warning.
func (r *running) kill() {
	r.t.Helper()
	signal(r.t, r.cmd, syscall.SIGKILL)
	<-r.ended
}

// killUnderLoad kills a server at a random moment while clients send; now and then after it was told to stop.
func (r *running) killUnderLoad(sent *ledger, random *rand.Rand, seed uint64) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	defer cancel()
	wait := sent.load(ctx, r, seed)
	time.Sleep(time.Duration(random.IntN(900)) * time.Millisecond)
	if random.IntN(5) == 0 {
		signal(r.t, r.cmd, syscall.SIGTERM)
		time.Sleep(time.Duration(random.IntN(150)) * time.Millisecond)
		_ = r.cmd.Process.Kill() // unless it has ended already
		<-r.ended
	} else {
		r.kill()
	}
	cancel()
	wait()
	if log := r.stderr.String(); strings.Contains(log, "panic") || strings.Contains(log, "fatal error") {
		r.t.Errorf("it logs\n%s", log)
	}
}

// assertWhole flushes, waits until everything is indexed and released, and looks for what was acknowledged.
func (l *ledger) assertWhole(taking, indexing *running) {
	t := taking.t
	t.Helper()
	taking.flush()
	taking.untilEmpty()
	l.count(taking.place)
	l.assertKept(t)
	var spans int64
	for _, r := range l.requests {
		for _, rows := range r.rows {
			spans += int64(rows)
		}
	}
	indexing.untilHas("all that is in the lake", int64(len(l.read)), spans)
	taking.must("verify")
	const repeated = "SELECT count(*) FROM (SELECT span_id FROM span_metadata GROUP BY span_id HAVING count(*) > 1)"
	if n, err := number(t.Context(), indexing.client, repeated); err != nil || n != 0 {
		t.Errorf("%d spans are more than once in the index, %v", n, err)
	}
	if got, want := strings.TrimSpace(taking.must("sql", "--csv", "SELECT count(*) AS n FROM span_metadata")), fmt.Sprintf("n\n%d", spans); got != want {
		t.Errorf("the index has %q spans, want %q", got, want)
	}
}
