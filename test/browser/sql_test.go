package browser

import (
	"encoding/csv"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/spanlake/spanlake/internal/app"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/ui"
)

// Every example finds something in a lake that has traces.
func TestSQLExamples(t *testing.T) {
	s := serveAs(t, app.Serve, nil)
	s.sample(300)
	for _, example := range ui.SQLExamples() {
		rows := 0
		err := s.client.Select(t.Context(), example.Query, span.FormText, func([]string) error { return nil }, func([]*string) error { rows++; return nil })
		if err != nil || rows == 0 {
			t.Errorf("%s: %d rows, %v", example.Title, rows, err)
		}
	}
}

// runSQL opens the page with a query and runs it.
func (b *tab) runSQL(text string) {
	b.t.Helper()
	b.goTo("/sql?" + url.Values{"q": {text}}.Encode())
	b.click("#sql-run")
}

func TestSQL(t *testing.T) {
	s := serve(t, nil)
	s.sample(300)
	b := s.open()
	b.goTo("/sql")
	b.untilText(".sql-limits", "Up to 100,000 rows or 67 MB, 5 minutes at most, 4 queries at once")
	for table, column := range map[string]string{"span_metadata": "duration_ns", "spans": "attributes", "daily_stats": "p99_duration_ns"} {
		if !eval[bool](b, "[...document.querySelectorAll('.sql-table')].some(t => t.querySelector('h3').innerText === "+quote(table)+
			" && t.textContent.includes("+quote(column)+") && t.querySelector('p'))") {
			t.Errorf("the table %s with %s is not listed", table, column)
		}
	}
	if n := b.count(".sql-internal .sql-table"); n < 5 || eval[bool](b, "[...document.querySelectorAll('.sql-table')].some(t => !t.querySelector('p'))") {
		t.Errorf("of %d internal tables, not all are described", n)
	}

	// An example fills the editor and the address, and runs when it is told to.
	b.click(".sql-examples a:nth-of-type(5)")
	b.until("the example to be in the editor", "document.querySelector('#sql-query').value.startsWith('SELECT trace_id, count(*)')")
	if b.count("#sql-result *") != 0 {
		t.Error("an example runs by itself")
	}
	b.press(kb.Enter) // a line, and no run
	b.click("#sql-run")
	b.untilText(".sql-bar", "25 rows in ")
	b.until("the address to have the query", "new URLSearchParams(location.search).get('q') === document.querySelector('#sql-query').value")
	b.picture("sql")
	b.dark(true)
	b.picture("sql-dark")
	b.dark(false)
	link := eval[string](b, "document.querySelector('.sql-rows td a').getAttribute('href')")
	if id, ok := strings.CutPrefix(link, "/traces/"); !ok || len(id) != 32 {
		t.Errorf("a trace leads to %s", link)
	}
	b.resize(390, 844)
	b.assertNoOverflow("the page for SQL")
	b.picture("sql-phone")
	b.click(".sql-rows td a")
	b.until("the page of the trace", "location.pathname === "+quote(link))
}

// A link fills the editor and runs nothing; the keyboard does.
func TestSQLByKeyboard(t *testing.T) {
	s := serve(t, nil)
	b := s.open()
	b.goTo("/sql?" + url.Values{"q": {"SELECT 41 + 1 AS answer, NULL AS nothing, '' AS empty, 'NULL' AS word"}}.Encode())
	b.until("the module to have run", "!document.querySelector('#sql-link').hidden")
	b.run(chromedp.Focus("#sql-query", chromedp.ByQuery))
	if b.count("#sql-result *") != 0 {
		t.Error("a link runs its query")
	}
	eval[bool](b, "document.querySelector('#sql-query').dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', ctrlKey: true, cancelable: true, bubbles: true}))")
	b.untilText(".sql-bar", "1 row in ")
	if got := eval[string](b, "[...document.querySelectorAll('.sql-rows tbody td')].map(td => td.innerText + (td.classList.contains('null') ? '!' : '')).join('|')"); got != "42|NULL!||NULL" {
		t.Errorf("the row is %q", got)
	}
	// Tab leaves the editor.
	b.run(chromedp.Focus("#sql-query", chromedp.ByQuery))
	b.press(kb.Tab)
	if at := eval[string](b, "document.activeElement.id"); at != "sql-run" {
		t.Errorf("Tab leads to %q", at)
	}
	b.press(kb.Tab + kb.Tab)
	eval[bool](b, "document.querySelector('#sql-query').setSelectionRange(0, 0) ?? true")
	b.click(".sql-table [data-insert=span_metadata]")
	if got := eval[string](b, "document.querySelector('#sql-query').value"); !strings.HasPrefix(got, "span_metadata SELECT 41") {
		t.Errorf("the editor has %q", got)
	}
}

func TestSQLErrors(t *testing.T) {
	s := serve(t, nil)
	b := s.open()
	b.expect("400") // what is wrong is answered with a status, which Chromium notes
	b.runSQL("SELECT nope\nFROM services")
	b.untilText(".sql-error", "The query failed.")
	if text := b.text(".sql-error pre"); !strings.Contains(text, `Referenced column "nope" not found`) || !strings.Contains(text, "LINE 1: SELECT nope\n               ^") {
		t.Errorf("the error is %q", text)
	}
	b.picture("sql-error")
	b.runSQL("DELETE FROM services")
	b.untilText(".sql-error", "only one statement that reads")
	// One that fails on the way shows what came before.
	b.runSQL("SELECT CASE WHEN range < 5000 THEN range ELSE error('too far') END AS n FROM range(6000)")
	b.untilText(".sql-error", "too far")
}

func TestSQLCancel(t *testing.T) {
	s := serve(t, nil)
	b := s.open()
	b.runSQL("SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range % 7 = b.range % 5")
	b.untilText("#sql-ticker", "s") // a second has gone by, or less
	b.click("#sql-cancel")
	b.untilText(".sql-error", "Cancelled after ")
	// The server has stopped as well: each of its four turns is free at once.
	for range 5 {
		b.runSQL("SELECT 'free' AS turn")
		b.untilText(".sql-rows", "free")
	}
}

// Only so many rows are on the page, all are counted, and what is over the limit is said.
func TestSQLManyRows(t *testing.T) {
	s := serve(t, nil)
	b := s.open()
	b.runSQL("SELECT range AS n FROM range(100001)")
	b.untilText(".sql-bar", "100,000 rows in ")
	b.untilText(".sql-out .notice", "There are more rows: the answer ends at 100,000 rows")
	if n := b.count(".sql-rows tbody tr"); n != 1000 {
		t.Errorf("%d rows are on the page", n)
	}
	b.click(".sql-more button")
	b.until("more rows", "document.querySelectorAll('.sql-rows tbody tr').length === 2000")
	b.untilText(".sql-more", "The first 2,000 of 100,000 rows are shown.")
	b.runSQL("SELECT 1 AS n WHERE false")
	b.untilText(".sql-rows", "No rows")
}

// Whatever values are, they are text, on the page as in files.
func TestSQLHostileValues(t *testing.T) {
	s := serve(t, nil)
	hostile := "<img src=x onerror=alert(1)>"
	s.send(sent{service: hostile, trace: "4bf92f3577b34da6a3ce929d0e0e4736", id: "00f067aa0ba902b7", name: "a \"quote\", a comma\nand '\u202e=cmd()", start: time.Now()})
	if _, err := s.client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.index()
	b := s.open()
	b.runSQL(`SELECT trace_id, span_id, service_name AS "<b>service</b>", name, NULL AS nothing, '' AS empty, '=1+1' AS formula, repeat('x', 10000) AS long FROM span_metadata`)
	b.untilText(".sql-bar", "1 row in ")
	if got := b.text(".sql-rows"); !strings.Contains(got, hostile) || !strings.Contains(got, "<b>service</b>") || b.count(".sql-rows img, .sql-rows b") != 0 {
		t.Errorf("the row is %q", got)
	}
	if got := eval[string](b, "document.querySelectorAll('.sql-rows td a')[1].getAttribute('href')"); got != "/traces/4bf92f3577b34da6a3ce929d0e0e4736?span=00f067aa0ba902b7" {
		t.Errorf("the span leads to %s", got)
	}
	b.click(".sql-rows td button")
	b.until("the whole value", "document.querySelector('.sql-rows td:last-child').textContent.length === 10000")
	b.picture("sql-hostile")

	// What is downloaded is caught where the browser would save it.
	eval[bool](b, "(window.saved = [], URL.createObjectURL = (b) => { saved.push(b); return '#'; }, true)")
	b.click("#sql-csv")
	text := eval[string](b, "saved[0].text()")
	if !strings.HasSuffix(text, "\r\n") || !strings.Contains(text, `,,"",=1+1,`) {
		t.Errorf("the file is %q", text)
	}
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(rows) != 2 || rows[0][2] != "<b>service</b>" || rows[1][2] != hostile || rows[1][3] != "a \"quote\", a comma\nand '\u202e=cmd()" {
		t.Errorf("the file is %q: %v", rows, err)
	}
}

// A key that may read is enough, and a session that has ended leads to the login and back to the query.
func TestSQLWithAKey(t *testing.T) {
	s := serve(t, map[string]string{"read-api-keys": "a key that may read"})
	b := s.open()
	b.goTo("/sql?q=SELECT+7+AS+n")
	b.fill("input[name=key]", "a key that may read"+kb.Enter)
	b.until("the query that was asked for", "document.querySelector('#sql-query')?.value === 'SELECT 7 AS n'")
	b.click("#sql-run")
	b.untilText(".sql-bar", "1 row in ")
}
