package wal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/spanlake/spanlake/internal/span"
)

// childEnv makes the test binary play another process: see child_test.go.
const childEnv = "SPANLAKE_TEST_CHILD"

func TestMain(m *testing.M) {
	if role := os.Getenv(childEnv); role != "" {
		os.Exit(runChild(role))
	}
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("database/sql.(*DB).connectionOpener"))
}

// fixture is an open log.
type fixture struct {
	*Log
	t    testing.TB
	logs *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

func testPath(t testing.TB) string { return filepath.Join(t.TempDir(), "sqlite", "wal.db") }

func newFixture(t testing.TB, edits ...func(*Options)) *fixture {
	t.Helper()
	return openFixture(t, testPath(t), edits...)
}

func openFixture(t testing.TB, path string, edits ...func(*Options)) *fixture {
	t.Helper()
	f := &fixture{t: t, logs: &lockedBuffer{}}
	o := Options{Path: path, Log: slog.New(slog.NewTextHandler(f.logs, nil))}
	for _, edit := range edits {
		edit(&o)
	}
	l, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	f.Log = l
	t.Cleanup(f.close)
	return f
}

func (f *fixture) close() {
	f.t.Helper()
	if err := f.Close(context.Background()); err != nil {
		f.t.Error(err)
	}
}

// reopen closes the log and opens it again.
func (f *fixture) reopen(edits ...func(*Options)) *fixture {
	f.t.Helper()
	f.close()
	return openFixture(f.t, f.path, edits...)
}

// message is a request of some size that compresses to about a third.
func message(n, size int) []byte {
	random := rand.New(rand.NewPCG(uint64(n), 1))
	text := fmt.Appendf(nil, "request %d ", n)
	for len(text) < size {
		text = strconv.AppendUint(append(text, " gen_ai.request.model.temperature="...), random.Uint64(), 16)
	}
	return text[:size]
}

func (f *fixture) append(first, last, size int) {
	f.t.Helper()
	for n := first; n <= last; n++ {
		if err := f.Append(f.t.Context(), message(n, size), n); err != nil {
			f.t.Fatalf("append %d: %v", n, err)
		}
	}
}

var lastID = span.RequestID(bytes.Repeat([]byte{0xff}, 16))

// spans are the numbers of spans of all requests in the log, which tests number them with. Damaged ones are negative.
func (f *fixture) spans() (spans []int) {
	f.t.Helper()
	for r, err := range f.Requests(f.t.Context(), span.RequestID{}, lastID) {
		var damaged *DamagedError
		switch {
		case errors.As(err, &damaged):
			spans = append(spans, -damaged.Spans)
		case err != nil:
			f.t.Fatal(err)
		default:
			spans = append(spans, r.Spans)
		}
	}
	return spans
}

func (f *fixture) begin(maxSpans int, maxBytes int64) span.Flush {
	f.t.Helper()
	flush, ok, err := f.BeginFlush(f.t.Context(), maxSpans, maxBytes)
	if err != nil || !ok {
		f.t.Fatalf("BeginFlush: %v, %v", ok, err)
	}
	return flush
}

func (f *fixture) publish(flush span.Flush, path string) {
	f.t.Helper()
	f.must(f.SetPath(f.t.Context(), flush.ID, path))
	f.must(f.Published(f.t.Context(), flush.ID))
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) stats() Stats {
	f.t.Helper()
	s, err := f.Stats(f.t.Context())
	f.must(err)
	return s
}

// numbers are those from first to last.
func numbers(first, last int) (all []int) {
	for n := first; n <= last; n++ {
		all = append(all, n)
	}
	return all
}
