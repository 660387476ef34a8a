package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/api"
	"github.com/spanlake/spanlake/internal/api/client"
	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/span"
)

func TestLinesOfAQuery(t *testing.T) {
	s := start(t, newMemory(), api.Options{})
	for body, want := range map[string]string{
		`{"query":"n 2"}`: `{"columns":["number","text <&>"]}
{"row":["0","<&>\n\"\u2028"]}
{"row":["1",null]}
{"end":{"rows":2}}
`,
		`{"query":"n 1","form":"json"}`: `{"columns":["json"]}
{"object":{"number":0,"big":12345678901234567890.10,"text":"<&>\n"}}
{"end":{"rows":1}}
`,
		`{"query":"n 0"}`: `{"columns":["number","text <&>"]}
{"end":{"rows":0}}
`,
		`{"query":"fail 1","form":"json"}`: `{"columns":["json"]}
{"object":{"number":0,"big":12345678901234567890.10,"text":"<&>\n"}}
{"error":{"type":"urn:spanlake:problem:query","title":"Bad Request","status":400,"detail":"Conversion Error: row 1"}}
`,
	} {
		a := s.do(t, "POST", "/api/v1/sql", body)
		if a.status != 200 || a.header.Get("Content-Type") != wire.StreamType || a.body != want {
			t.Errorf("%s: %d %s\n%s\nwant\n%s", body, a.status, a.header.Get("Content-Type"), a.body, want)
		}
	}
	a := s.do(t, "GET", "/api/v1/verify", "")
	if want := `{"difference":{"check":"lake","subject":"b.parquet","problem":"is <gone>"}}
{"difference":{"check":"rows","subject":"c","problem":"p"}}
{"end":{"differences":2}}
`; a.body != want {
		t.Errorf("verify: %s", a.body)
	}
	if a := s.do(t, "HEAD", "/api/v1/verify", ""); a.status != 200 {
		t.Errorf("HEAD of verify: %d", a.status)
	}
}

// TestARowThatIsNoJSONIsAnError: a broken line would be taken for a broken connection.
func TestARowThatIsNoJSONIsAnError(t *testing.T) {
	m := newMemory()
	m.onSelect = func(_ context.Context, _ string, row func([]*string) error) error {
		text := `{"n":NaN}`
		return row([]*string{&text})
	}
	a := start(t, m, api.Options{}).do(t, "POST", "/api/v1/sql", `{"query":"x","form":"json"}`)
	if !strings.Contains(a.body, `{"error":{`) || !strings.Contains(a.body, "invalid character") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// hanging is a query that gives n rows and then lasts until its context ends, which it counts.
func hanging(n int, running *atomic.Int64, ended chan<- error) func(context.Context, string, func([]*string) error) error {
	return func(ctx context.Context, _ string, row func([]*string) error) error {
		running.Add(1)
		defer running.Add(-1)
		for range n {
			if err := row([]*string{nil, nil}); err != nil {
				ended <- err
				return err
			}
		}
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}
}

func TestAQueryEndsWhenItsTimeIsUp(t *testing.T) {
	for name, rows := range map[string]int{"before its first row": 0, "after it": 1} {
		t.Run(name, func(t *testing.T) {
			m := newMemory()
			ended := make(chan error, 1)
			m.onSelect = hanging(rows, new(atomic.Int64), ended)
			s := start(t, m, api.Options{QueryTime: 50 * time.Millisecond})
			_, got, err := collect(t.Context(), s.client(t, ""), "x", span.FormText)
			var refused *client.ServerError
			if !errors.As(err, &refused) || refused.Problem.Type != wire.TypeQueryTime || refused.Problem.Status != 503 || len(got) != rows {
				t.Errorf("%d rows, %v", len(got), err)
			}
			if <-ended == nil {
				t.Error("the query was not told")
			}
		})
	}
}

func TestNoMoreQueriesAtOnceThanAllowed(t *testing.T) {
	m := newMemory()
	var running atomic.Int64
	ended := make(chan error, 10)
	m.onSelect = hanging(0, &running, ended)
	s := start(t, m, api.Options{SQLQueries: 2}, func(s *api.Server) { s.Limits(50*time.Millisecond, 0, 0, 0) })
	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan error, 2)
	for range 2 {
		go func() {
			_, _, err := collect(ctx, s.client(t, ""), "x", span.FormText)
			answered <- err
		}()
	}
	until(t, func() bool { return running.Load() == 2 })
	a := s.do(t, "POST", "/api/v1/sql", `{"query":"x"}`)
	if a.status != 503 || a.header.Get("Retry-After") != "1" || !strings.Contains(a.body, wire.TypeBusy) {
		t.Errorf("%d, Retry-After %q: %s", a.status, a.header.Get("Retry-After"), a.body)
	}
	cancel()
	for range 2 {
		if err := <-answered; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	until(t, func() bool { return running.Load() == 0 })
	m.onSelect = nil
	if a := s.do(t, "POST", "/api/v1/sql", `{"query":"n 1"}`); a.status != 200 {
		t.Errorf("the turns were not given back: %d %s", a.status, a.body)
	}
}

func until(t *testing.T, done func() bool) {
	t.Helper()
	for range 500 {
		if done() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("it does not come to be")
}

// TestAQueryEndsWhenItsClientIsGone: the connection is closed without a word, as by kill -9.
func TestAQueryEndsWhenItsClientIsGone(t *testing.T) {
	m := newMemory()
	var running atomic.Int64
	ended := make(chan error, 1)
	m.onSelect = hanging(0, &running, ended)
	s := start(t, m, api.Options{})
	conn := ask(t, s)
	until(t, func() bool { return running.Load() == 1 })
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// ask sends a query over a connection of its own.
func ask(t *testing.T, s *server) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	const body = `{"query":"x"}`
	_, err = fmt.Fprintf(conn, "POST /api/v1/sql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// TestAQueryEndsWhenItsClientStopsReading: the connection stays open, but nothing is read.
func TestAQueryEndsWhenItsClientStopsReading(t *testing.T) {
	m := newMemory()
	ended := make(chan error, 1)
	m.onSelect = hanging(1<<40, new(atomic.Int64), ended)
	s := start(t, m, api.Options{}, func(s *api.Server) { s.Limits(0, 200*time.Millisecond, 0, 0) })
	ask(t, s)
	select {
	case err := <-ended:
		if err == nil {
			t.Error("no error")
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the query goes on")
	}
	if log := s.log.String(); log != "" {
		t.Errorf("this is no fault of the server, but it logs %s", log)
	}
}

// TestRowsComeBeforeTheQueryEnds: a query that goes on for minutes shows its first row at once.
func TestRowsComeBeforeTheQueryEnds(t *testing.T) {
	m := newMemory()
	ended := make(chan error, 1)
	m.onSelect = hanging(1, new(atomic.Int64), ended)
	s := start(t, m, api.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	err := s.client(t, "").Select(ctx, "x", span.FormText, func([]string) error { return nil }, func([]*string) error {
		cancel() // the query runs still
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the query ended with %v", err)
	}
}

func TestVerifyRunsOnceAtATime(t *testing.T) {
	m := newMemory()
	m.differences = nil
	begun, end := make(chan struct{}), make(chan struct{})
	m.onVerify = func(context.Context) error {
		close(begun)
		<-end
		return nil
	}
	s := start(t, m, api.Options{})
	first := make(chan error, 1)
	go func() {
		_, err := s.client(t, "").Verify(t.Context(), func(span.Difference) {})
		first <- err
	}()
	<-begun
	if a := s.do(t, "GET", "/api/v1/verify", ""); a.status != http.StatusConflict || !strings.Contains(a.body, wire.TypeVerifying) {
		t.Errorf("%d %s", a.status, a.body)
	}
	close(end)
	if err := <-first; err != nil {
		t.Error(err)
	}
	m.onVerify = nil
	if a := s.do(t, "GET", "/api/v1/verify", ""); a.status != 200 {
		t.Errorf("after that: %d %s", a.status, a.body)
	}
}

// TestAStreamInWhichTheServerPanicsIsCut: it must not look complete.
func TestAStreamInWhichTheServerPanicsIsCut(t *testing.T) {
	m := newMemory()
	m.onSelect = func(_ context.Context, _ string, row func([]*string) error) error {
		if err := row([]*string{nil, nil}); err != nil {
			return err
		}
		panic("a mistake")
	}
	s := start(t, m, api.Options{})
	_, rows, err := collect(t.Context(), s.client(t, ""), "x", span.FormText)
	if err == nil || !strings.Contains(err.Error(), "not complete") || len(rows) != 1 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

// TestALongWaitForTheIndexerIsNoReasonToStop: the time for reading a body must not end the request.
func TestALongWaitForTheIndexerIsNoReasonToStop(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as a body may take")
	}
	m := newMemory()
	m.onIndex = func(ctx context.Context, _ bool) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(6 * time.Second):
			return nil
		}
	}
	if _, err := start(t, m, api.Options{}).client(t, "").IndexNow(t.Context(), false); err != nil {
		t.Error(err)
	}
}

// TestTheLastLineOfAStopIsTold: a query that runs when the server ends is told why.
func TestTheLastLineOfAStopIsTold(t *testing.T) {
	m := newMemory()
	ended := make(chan error, 1)
	m.onSelect = hanging(1, new(atomic.Int64), ended)
	s := start(t, m, api.Options{}, func(s *api.Server) { s.Limits(0, 0, 0, time.Second) })
	conn := ask(t, s)
	lines := bufio.NewScanner(conn)
	var last wire.Line
	for lines.Scan() {
		text := lines.Text()
		if strings.HasPrefix(text, `{"row"`) {
			s.stop()
		}
		if strings.HasPrefix(text, `{"error"`) {
			if err := json.Unmarshal([]byte(text), &last); err != nil {
				t.Fatal(err)
			}
		}
	}
	if last.Error == nil || last.Error.Type != wire.TypeStopping {
		t.Errorf("the last line is %+v", last)
	}
}
