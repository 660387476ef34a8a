package browser

import (
	"strings"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/demo"
	"github.com/spanlake/spanlake/internal/span"
)

// history puts the last day of a demo into the lake and has it indexed.
func (s *server) history() {
	s.t.Helper()
	h, err := demo.NewHistory(s.lake, 7, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	if err := h.Rest(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.index()
}

// one asks for one text in SQL.
func (s *server) one(query string) (text string) {
	s.t.Helper()
	err := s.client.Select(s.t.Context(), query, span.FormText, func([]string) error { return nil }, func(row []*string) error {
		text = *row[0]
		return nil
	})
	if err != nil || text == "" {
		s.t.Fatalf("%q, %v", text, err)
	}
	return text
}

// TestADemo goes through all pages with the traces of a demo, as somebody does who has just started it. The README has its pictures.
func TestADemo(t *testing.T) {
	s := serve(t, nil)
	s.history()
	b := s.open()
	b.resize(1400, 860)
	b.goTo("/?limit=200")
	b.until("many traces", "document.querySelectorAll('main a[href*=\"/traces/\"]').length >= 200")
	b.settle()
	b.picture("demo-traces")

	// A workflow in which a tool failed, and the answer of a model in it.
	trace := s.one(`SELECT trace_id FROM span_metadata GROUP BY trace_id
		HAVING count(*) BETWEEN 17 AND 24 AND sum(CAST(name LIKE 'chat %' AS INT)) >= 3
			AND sum(CAST(name LIKE 'execute_tool %' AND status_code = 2 AS INT)) = 1 AND max(duration_ns) < 8e9
		ORDER BY max(start_time) DESC, trace_id LIMIT 1`)
	answer := s.one("SELECT span_id FROM span_metadata WHERE trace_id = '" + trace + "' AND name LIKE 'chat %' ORDER BY start_time OFFSET 1 LIMIT 1")
	b.goTo("/traces/" + trace + "?span=" + answer)
	b.until("messages of the model", "[...document.querySelectorAll('aside, .panel, #panel, main')].some(e => /assistant/i.test(e.innerText) && /user/i.test(e.innerText))")
	b.settle()
	b.picture("demo-trace")

	b.goTo("/services")
	b.untilText("main", "agent-orchestrator")
	b.settle()
	b.picture("demo-services")
	b.goTo("/index")
	b.untilText("main", "All is well")
	b.picture("demo-index")
	b.goTo("/sql")
	b.click("#sql-run")
	b.until("rows", "document.querySelectorAll('.sql-rows tbody tr').length > 5")
	b.picture("demo-sql")
	if at := eval[string](b, "location.origin"); !strings.HasPrefix(s.url, at) {
		t.Errorf("it ends at %s", at)
	}
}
