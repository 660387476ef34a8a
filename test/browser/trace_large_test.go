package browser

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"github.com/spanlake/spanlake/internal/testkit"
)

// largeTrace puts a trace of so many spans into the lake, of about 400 bytes of attributes each, and has it indexed.
func (s *server) largeTrace(n int) {
	s.t.Helper()
	testkit.Lake{Root: s.lake}.Table(s.t, "large.parquet", testkit.SpanTable(n).
		With("trace_id", testkit.Quote(traceID)).
		With("parent_span_id", "CASE WHEN i > 0 THEN printf('%016x', (i - 1) // 3 + 1) END").
		With("service_name", "'service ' || (i % 7)").With("name", "'step ' || (i % 50)").
		With("end_time", fmt.Sprintf("to_timestamp(%d) + to_milliseconds(CASE WHEN i = 0 THEN 30000 ELSE i + (i * 7919) %% 20000 END)", testkit.Start.Unix())).
		With("duration_ns", "CASE WHEN i = 0 THEN 30000 ELSE (i * 7919) % 20000 END * 1000000").
		With("status_code", "CASE WHEN i % 1000 = 999 THEN 2 ELSE 0 END::TINYINT").
		With("attributes", `'{"http.request.method":"GET","user.id":"user-' || i || '","input.value":"' || repeat('some words ', 30) || '"}'`))
	s.index()
}

// TestTraceThatIsTooLarge: what there is room for is shown, and that it is not all.
func TestTraceThatIsTooLarge(t *testing.T) {
	s := serve(t, nil)
	s.largeTrace(40_000)
	b := s.open()
	b.openTrace(traceID)
	b.untilText(".trace-head .notice.warn", "There may be more")
	b.press(kb.End)
	b.until("the last row", "document.activeElement.ariaRowIndex === document.getElementById('rows').ariaRowCount")
}

// TestTraceOf10000Spans measures how long it is from opening the page to a key that has moved to another row, and be seen.
func TestTraceOf10000Spans(t *testing.T) {
	const n = 10_000
	s := serve(t, nil)
	s.largeTrace(n)
	b := s.open()
	b.goTo("/sql") // a page with the shared styles, as those who look at a trace have seen
	var best float64
	for range 3 {
		began := time.Now()
		b.openTrace(traceID)
		b.press(kb.ArrowDown)
		b.expectActive("step 1")
		whole := time.Since(began)
		figures := eval[[]float64](b, `new Promise(done => requestAnimationFrame(() => {
			const n = performance.getEntriesByType("navigation")[0], mark = performance.getEntriesByName("waterfall")[0].startTime;
			done([n.responseStart, n.responseEnd, mark, n.encodedBodySize / 1000, n.decodedBodySize / 1000]);
		}))`)
		t.Logf("10,000 spans: first byte %.0f ms, page read %.0f ms, rows shown and keys heard %.0f ms; with a key pressed, as the test sees it: %v; %.0f kB sent, %.0f kB of HTML",
			figures[0], figures[1], figures[2], whole.Round(time.Millisecond), figures[3], figures[4])
		if best == 0 || figures[2] < best {
			best = figures[2]
		}
	}
	again := eval[float64](b, "(async () => { const began = performance.now(); await (await fetch(location.pathname + '/count')).text(); return performance.now() - began })()")
	t.Logf("asking for the spans once more, as data apart from the page would: %.0f ms", again)
	if best > 10_000 {
		t.Errorf("rows are shown after %.0f ms", best)
	}
	if warnings := b.text(".notice.warn:not([hidden])"); warnings != "" {
		t.Errorf("the page says %s", warnings)
	}
	if rows := b.count(".wf-row"); rows > 100 {
		t.Errorf("%d rows are elements of the page", rows)
	}
	b.picture("trace-10000")
	b.press(kb.End)
	b.until("the last row", "document.activeElement.ariaRowIndex === '10000'")
	b.press("e")
	b.until("an error", "document.activeElement.classList.contains('wf-failed')")
	b.click("#find")
	b.find("user-9876")
	b.untilText("#found", "1 match")
	b.press(kb.Enter)
	b.until("the match", "document.activeElement.classList.contains('wf-found')")
	b.press("1")
	b.until("one row", "document.querySelectorAll('.wf-row').length === 1")
	b.untilText(".wf-hidden", "+9,999 · 10 errors")
}
