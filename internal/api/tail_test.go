package api_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanlake/spanlake/internal/api"
	"github.com/spanlake/spanlake/internal/api/client"
	"github.com/spanlake/spanlake/internal/span"
)

// following is a server with a tail of root spans.
func following(t *testing.T, change ...func(*api.Server)) (*server, *store) {
	t.Helper()
	st := &store{arriving: make(chan []span.Metadata), complete: span.Completeness{Hot: span.HotSource{State: span.HotLocal}}}
	return start(t, newMemory(), api.Options{Queries: st}, change...), st
}

func root(n byte) span.Metadata {
	s := exampleSpans()[0]
	s.TraceID, s.Name = id(16, n), "<&>\n\"\u2028"
	return metadataOf(&s)
}

// opened is a tail that goes on until it is closed, or the test ends.
type opened struct {
	*bufio.Reader
	status int
	header http.Header
	close  func()
}

// open begins a tail and reads it line by line.
func (s *server) open(t *testing.T, query string) opened {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/api/v1/tail"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	t.Cleanup(transport.CloseIdleConnections)
	response, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	end := func() { _ = response.Body.Close() } // it was only read
	t.Cleanup(end)
	return opened{bufio.NewReader(response.Body), response.StatusCode, response.Header, end}
}

func (o opened) line(t *testing.T) string {
	t.Helper()
	text, err := o.ReadString('\n')
	if err != nil {
		t.Fatalf("%v after %q", err, text)
	}
	return text
}

func TestATailShowsTracesAsTheyArrive(t *testing.T) {
	s, st := following(t)
	tail := s.open(t, "?service=shop&attribute=a&attribute=b")
	if tail.status != http.StatusOK || tail.header.Get("Content-Type") != "text/event-stream" ||
		!strings.Contains(tail.header.Get("Spanlake-Completeness"), "in_process") {
		t.Fatalf("%d %v", tail.status, tail.header)
	}
	want := []string{": spanlake\n", "\n"}
	go func() { st.arriving <- []span.Metadata{root(1), root(2)} }()
	const data = `","span_id":"0000000000000001","service_name":"shop/é ..","name":"<&>\n\"\u2028","kind":"server",` +
		`"start_time":"2026-11-29T08:00:00.123456Z","end_time":"2026-11-29T08:00:00.373456Z","duration_ns":250000000,"status_code":"error"}` + "\n"
	for _, n := range []byte{1, 2} {
		want = append(want, "event: trace\n", `data: {"trace_id":"`+id(16, n)+data, "\n")
	}
	for i, text := range want {
		if got := tail.line(t); got != text {
			t.Errorf("line %d: %q, want %q", i, got, text)
		}
	}
}

func TestATailOverTheClient(t *testing.T) {
	s, st := following(t)
	want := []span.Metadata{root(1), root(2), root(3)}
	for i := range want {
		want[i].ParentSpanID = ""
	}
	go func() {
		st.arriving <- want[:2]
		st.arriving <- want[2:]
	}()
	enough := errors.New("enough")
	var got []span.Metadata
	err := s.client(t, "").Queries().Tail(t.Context(), span.TraceFilter{Has: []span.Filter{span.HasLLMCall()}}, func(roots []span.Metadata) error {
		if got = append(got, roots...); len(got) == len(want) {
			return enough
		}
		return nil
	})
	if diff := cmp.Diff(want, got); !errors.Is(err, enough) || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		st.arriving <- want[:1]
		cancel()
	}()
	if err := s.client(t, "").Queries().Tail(ctx, span.TraceFilter{}, func([]span.Metadata) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestATailSaysThatItIsStillThere(t *testing.T) {
	s, _ := following(t, func(s *api.Server) { s.Heartbeat(20 * time.Millisecond) })
	tail := s.open(t, "")
	for _, want := range []string{": spanlake\n", "\n", ": still here\n", "\n", ": still here\n"} {
		if got := tail.line(t); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A tail does not keep the server from stopping, and says why it ends.
func TestATailEndsWithTheServer(t *testing.T) {
	s, _ := following(t, func(s *api.Server) { s.Limits(0, 0, 0, 30*time.Second) })
	tail := s.open(t, "")
	tail.line(t)
	tail.line(t)
	began := time.Now()
	s.stop()
	rest, err := io.ReadAll(tail)
	if err != nil || !strings.HasPrefix(string(rest), "event: error\ndata: {") || !strings.Contains(string(rest), "urn:spanlake:problem:stopping") {
		t.Errorf("%q, %v", rest, err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s to stop", took)
	}
}

func TestATailThatFailsSaysWhy(t *testing.T) {
	s, st := following(t)
	n := 0
	st.fail = func(context.Context) error {
		if n++; n > 1 { // the first one is asked for how complete it is
			return errors.New("the disk is on fire")
		}
		return nil
	}
	err := s.client(t, "").Queries().Tail(t.Context(), span.TraceFilter{}, func([]span.Metadata) error { return nil })
	if _, ok := errors.AsType[*client.ServerError](err); !ok || !strings.Contains(err.Error(), "the disk is on fire") {
		t.Errorf("%v", err)
	}
	if logged := s.log.String(); !strings.Contains(logged, "the disk is on fire") {
		t.Errorf("logged: %s", logged)
	}
}

// Tails are few, end with their clients, and leave nothing behind.
func TestTailsAreFew(t *testing.T) {
	s, _ := following(t)
	before := runtime.NumGoroutine()
	var tails []opened
	for range 8 {
		tail := s.open(t, "")
		if got := tail.line(t); got != ": spanlake\n" {
			t.Fatalf("%d %q", tail.status, got)
		}
		tails = append(tails, tail)
	}
	a := s.do(t, http.MethodGet, "/api/v1/tail", "")
	if a.status != http.StatusServiceUnavailable || !strings.Contains(a.body, "urn:spanlake:problem:busy") || a.header.Get("Retry-After") == "" {
		t.Errorf("one too many: %d %s", a.status, a.body)
	}
	for _, tail := range tails {
		tail.close()
	}
	noGoroutines(t, before+2)
	if a := s.do(t, http.MethodHead, "/api/v1/tail", ""); a.status != http.StatusOK || a.header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("HEAD after that: %d %v", a.status, a.header)
	}
	if s.log.String() != "" {
		t.Errorf("logged: %s", s.log)
	}
}

// A client that stops reading is let go.
func TestATailThatNobodyReads(t *testing.T) {
	s, st := following(t, func(s *api.Server) { s.Limits(0, 100*time.Millisecond, 0, 0) })
	s.open(t, "")
	many := make([]span.Metadata, 5000)
	for i := range many {
		many[i] = root(byte(i))
		many[i].Name = strings.Repeat("x", 1000)
	}
	deadline := time.After(20 * time.Second)
	for sent := 0; ; sent++ {
		select {
		case st.arriving <- many:
			continue
		case <-deadline:
			t.Fatalf("the tail still reads after %d times 5 MB", sent)
		case <-time.After(2 * time.Second): // nobody takes more
		}
		break
	}
	if s.log.String() != "" {
		t.Errorf("logged: %s", s.log)
	}
}
