package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/api"
	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/span"
)

// asked is how a query was answered: how many rows came, how many bytes they had, and how it ended.
type asked struct {
	rows, bytes int
	end         *wire.End
	failed      *wire.Problem
}

// ask sends a query with more fields than itself.
func (s *server) ask(t *testing.T, query, fields string) asked {
	t.Helper()
	a := s.do(t, "POST", "/api/v1/sql", fmt.Sprintf(`{"query":%q%s}`, query, fields))
	if a.status != 200 {
		var p wire.Problem
		if err := json.Unmarshal([]byte(a.body), &p); err != nil || p.Status != a.status {
			t.Fatalf("%d %s", a.status, a.body)
		}
		return asked{failed: &p}
	}
	var got asked
	for text := range strings.Lines(a.body) {
		var line wire.Line
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		switch {
		case got.end != nil || got.failed != nil:
			t.Fatalf("a line after the end: %s", text)
		case line.Row != nil, line.Object != nil:
			got.rows, got.bytes = got.rows+1, got.bytes+len(text)
		default:
			got.end, got.failed = line.End, line.Error
		}
	}
	return got
}

func TestLimitsOfAQuery(t *testing.T) {
	s := start(t, newMemory(), api.Options{})
	const row = `{"row":["0","<&>\n\"\u2028"]}` + "\n" // of an even number; that of an odd one has null
	const odd = `{"row":["1",null]}` + "\n"
	for name, tc := range map[string]struct {
		query, fields string
		rows          int
		truncated     bool
	}{
		"fewer than the limit":        {"n 2", `,"max_rows":3`, 2, false},
		"as many":                     {"n 3", `,"max_rows":3`, 3, false},
		"one more":                    {"n 4", `,"max_rows":3`, 3, true},
		"objects":                     {"n 4", `,"max_rows":3,"form":"json"`, 3, true},
		"no row at all":               {"n 0", `,"max_rows":1`, 0, false},
		"the default":                 {"n 100001", ``, 100_000, true},
		"null is the default":         {"n 100001", `,"max_rows":null`, 100_000, true},
		"all":                         {"n 100001", `,"max_rows":0`, 100_001, false},
		"bytes of two rows":           {"n 2", fmt.Sprintf(`,"max_bytes":%d`, len(row)+len(odd)), 2, false},
		"a byte less":                 {"n 2", fmt.Sprintf(`,"max_bytes":%d`, len(row)+len(odd)-1), 1, true},
		"not even one":                {"n 2", `,"max_bytes":1`, 0, true},
		"all bytes":                   {"n 2", `,"max_bytes":0`, 2, false},
		"whichever is reached before": {"n 4", fmt.Sprintf(`,"max_rows":3,"max_bytes":%d`, len(row)), 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			got := s.ask(t, tc.query, tc.fields)
			if got.end == nil || got.end.Rows == nil || *got.end.Rows != int64(tc.rows) || got.rows != tc.rows || got.end.Truncated != tc.truncated {
				t.Errorf("%d rows, end %+v, failed %+v, want %d rows and %v", got.rows, got.end, got.failed, tc.rows, tc.truncated)
			}
		})
	}
	if log := s.log.String(); log != "" {
		t.Errorf("a limit is no failure, but the log has %s", log)
	}
}

// TestATruncatedQueryEnds: nothing runs for rows that nobody gets.
func TestATruncatedQueryEnds(t *testing.T) {
	m := newMemory()
	var given atomic.Int64
	m.onSelect = func(_ context.Context, _ string, row func([]*string) error) error {
		for {
			if err := row([]*string{nil, nil}); err != nil {
				return fmt.Errorf("as the index might say it: %w", err)
			}
			given.Add(1)
		}
	}
	got := start(t, m, api.Options{}).ask(t, "x", `,"max_rows":7`)
	if got.rows != 7 || got.end == nil || !got.end.Truncated || given.Load() != 7 {
		t.Errorf("%+v, %d rows were given", got, given.Load())
	}
}

// TestTheDefaultBoundsBytes: an answer of few rows may be too large as well.
func TestTheDefaultBoundsBytes(t *testing.T) {
	m := newMemory()
	text := strings.Repeat("x", 1<<20)
	m.onSelect = func(_ context.Context, _ string, row func([]*string) error) error {
		for range 65 {
			if err := row([]*string{&text, nil}); err != nil {
				return err
			}
		}
		return nil
	}
	s := start(t, m, api.Options{})
	if got := s.ask(t, "x", ""); got.rows != 63 || got.bytes > 64<<20 || got.end == nil || !got.end.Truncated {
		t.Errorf("%d rows of %d bytes, %+v", got.rows, got.bytes, got.end)
	}
	if _, rows, err := collect(t.Context(), s.client(t, ""), "x", span.FormText); err != nil || len(rows) != 65 {
		t.Errorf("the client gets %d rows, %v, want all", len(rows), err)
	}
}

func TestLimitsThatCannotBe(t *testing.T) {
	s := start(t, newMemory(), api.Options{QueryTime: 90 * time.Second})
	for fields, says := range map[string]string{
		`,"max_rows":-1`:        "body.max_rows",
		`,"max_rows":1.5`:       "body.max_rows",
		`,"max_rows":"7"`:       "body.max_rows",
		`,"max_bytes":-1`:       "body.max_bytes",
		`,"timeout":5`:          "body.timeout",
		`,"timeout":"5"`:        "longer than 1m30s",
		`,"timeout":"0s"`:       "longer than 1m30s",
		`,"timeout":"-1s"`:      "longer than 1m30s",
		`,"timeout":"90.1s"`:    "longer than 1m30s",
		`,"timeout":"soon"`:     "longer than 1m30s",
		`,"timeout":"9e999h"`:   "longer than 1m30s",
		`,"timeout_seconds":10`: "unexpected property",
	} {
		got := s.ask(t, "n 1", fields)
		if got.failed == nil || got.failed.Status != 422 || !strings.Contains(got.failed.Text(), says) {
			t.Errorf("%s: %+v, want 422 and %q", fields, got.failed, says)
		}
	}
	for _, fields := range []string{`,"timeout":"90s"`, `,"timeout":"1m30s"`, `,"timeout":"1ms500us"`, `,"timeout":""`} {
		if got := s.ask(t, "n 1", fields); got.end == nil {
			t.Errorf("%s: %+v", fields, got.failed)
		}
	}
}

func TestAQueryEndsAfterTheTimeThatWasAskedFor(t *testing.T) {
	m := newMemory()
	ended := make(chan error, 1)
	m.onSelect = hanging(1, new(atomic.Int64), ended)
	began := time.Now()
	got := start(t, m, api.Options{}).ask(t, "x", `,"timeout":"50ms"`)
	if got.rows != 1 || got.failed == nil || got.failed.Type != wire.TypeQueryTime || got.failed.Status != 503 || !strings.Contains(got.failed.Detail, "50ms") {
		t.Errorf("%+v", got)
	}
	if err := <-ended; err == nil || time.Since(began) > 10*time.Second {
		t.Errorf("the query ended with %v after %s", err, time.Since(began))
	}
}

// TestTheClientWantsAllRows, however many there are.
func TestTheClientWantsAllRows(t *testing.T) {
	s := start(t, newMemory(), api.Options{})
	if _, rows, err := collect(t.Context(), s.client(t, ""), "n 100001", span.FormText); err != nil || len(rows) != 100_001 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}
