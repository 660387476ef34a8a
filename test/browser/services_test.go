package browser

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/spanlake/spanlake/internal/span"
)

func TestServices(t *testing.T) {
	s := serve(t, nil)
	s.sample(2000)
	b := s.open()
	b.resize(1280, 1000)
	b.goTo("/services?since=6h")
	first := "table.services tbody tr th"
	busiest := b.text(first)
	if got := b.text("table.services thead [aria-sort=descending]"); !strings.HasPrefix(got, "Spans") {
		t.Errorf("sorted by %q, not by spans", got)
	}
	b.until("a picture of each service", "document.querySelectorAll('table.services .spark .all[d^=M]').length === document.querySelectorAll('table.services tbody tr').length")
	b.until("a map of the services", "document.querySelectorAll('svg.map .node').length === document.querySelectorAll('table.services tbody tr').length")
	b.until("lines between services", "document.querySelectorAll('svg.map .line').length > 0")
	if lines, rows := b.count("svg.map .line"), b.count(".calls tbody tr"); lines != rows {
		t.Errorf("the map has %d lines and the table %d rows", lines, rows)
	}
	b.picture("services-light")
	// Parts that a module gets are pages as well, for who has none.
	for path, want := range map[string]string{"/services/map?since=6h": `<svg class="map"`, "/services/operations?since=6h&service=chat-api": `<table class="operations"`} {
		if answer, text := s.visit(http.MethodGet, path, ""); answer.StatusCode != http.StatusOK || !strings.Contains(text, want) || !strings.Contains(text, `<main id="main"`) {
			t.Errorf("%s is %s without %s", path, answer.Status, want)
		}
	}

	b.click("table.services thead th:first-child a")
	b.until("services by name", "document.querySelector('table.services thead th')?.ariaSort === 'ascending'")
	names := eval[[]string](b, "[...document.querySelectorAll('table.services tbody th')].map(e => e.innerText)")
	for i := 1; i < len(names); i++ {
		if names[i-1] > names[i] {
			t.Errorf("%q is before %q", names[i-1], names[i])
		}
	}
	if at := eval[string](b, "location.search"); !strings.Contains(at, "sort=name") || !strings.Contains(at, "since=6h") {
		t.Errorf("sorted, the page is %s", at)
	}
	b.until("the map again", "document.querySelector('svg.map .node')")
	b.click(fmt.Sprintf("svg.map .node[data-service=%q]", busiest))
	b.untilText("h1", busiest)
	if at := eval[string](b, "location.search"); !strings.Contains(at, "since=6h") {
		t.Errorf("the page of the service has lost its period: %s", at)
	}
}

func TestOneService(t *testing.T) {
	s := serve(t, nil)
	s.sample(2000)
	b := s.open()
	b.resize(1280, 1500)
	services, err := s.client.Services(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	name := services[0].Name
	for i := range services {
		if services[i].TotalSpans > 1000 {
			name = services[i].Name
		}
	}
	b.goTo("/services?since=1h&service=" + name)
	b.until("three charts", "document.querySelectorAll('.chart svg').length === 3")
	b.until("operations", "document.querySelector('table.operations tbody tr')")
	b.until("callers", "document.querySelector('.calls, [aria-label^=Callers] .soft')")
	if got := eval[string](b, "document.querySelector('[data-chart=durations] svg').getAttribute('aria-label')"); !strings.Contains(got, "p95 from") {
		t.Errorf("the chart is called %q", got)
	}
	// The keyboard reads the charts, all at the same time.
	b.run(focus("[data-chart=rate] svg"))
	b.press(kb.Home + kb.ArrowRight + kb.ArrowRight)
	b.until("all readouts", "[...document.querySelectorAll('.readout')].every(e => e.textContent.includes(':'))")
	b.picture("service-light")
	b.dark(true)
	b.picture("service-dark")
	b.dark(false)

	// The links of an operation lead to its traces and errors.
	links := eval[[]string](b, "[...document.querySelectorAll('table.operations a')].filter(a => a.pathname === '/').map(a => a.search)")
	if len(links) == 0 || !strings.Contains(links[0], "name=") || !strings.Contains(links[0], "service="+name) || !strings.Contains(links[0], "since=1h") {
		t.Errorf("operations lead to %q", links)
	}
	// A click on a chart leads to the traces of that point.
	b.click("[data-chart=rate] svg")
	b.until("the traces of a step", "location.pathname === '/' && location.search.includes('from=')")
	b.until("a trace", "document.querySelector('main a[href^=\"/traces/\"]')")
}

func TestServicesOfHostileSpans(t *testing.T) {
	const evil = `<img src=x onerror=alert(1)>"'` + "\u202e`" + `</script><script>alert(2)</script>`
	s := serve(t, nil)
	id := "4bf92f3577b34da6a3ce929d0e0e473"
	long := strings.Repeat("very-long-name/", 40)
	s.send(
		sent{service: evil, trace: id + "1", id: "00f067aa0ba90201", name: evil, failed: evil},
		sent{service: long, trace: id + "1", id: "00f067aa0ba90202", parent: "00f067aa0ba90201", name: long, length: -time.Hour},
		sent{service: evil, trace: id + "1", id: "00f067aa0ba90203", parent: "00f067aa0ba90202", name: "", kind: trace.Span_SPAN_KIND_SERVER},
		sent{service: "", trace: id + "2", id: "00f067aa0ba90204", parent: "00f067aa0ba90203", name: "no service"},
		sent{service: "same", trace: id + "3", id: "00f067aa0ba90205", parent: "00f067aa0ba90205", name: "its own parent"},
		sent{service: "future", trace: id + "4", id: "00f067aa0ba90206", name: "later", start: time.Date(2201, 1, 1, 0, 0, 0, 0, time.UTC)},
	)
	if _, err := s.client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.index()
	b := s.open()
	b.goTo("/services?since=1h")
	b.until("the hostile name as text", "[...document.querySelectorAll('table.services tbody th')].some(e => e.textContent.trim() === "+quote(evil)+")")
	b.until("a map of a circle", "document.querySelectorAll('svg.map .line').length === 2 && document.querySelectorAll('svg.map .line.back').length === 1")
	b.resize(390, 844)
	b.assertNoOverflow("services")
	b.picture("services-hostile-phone")
	b.goTo(eval[string](b, "[...document.querySelectorAll('table.services tbody th a')].find(a => a.textContent.trim() === "+quote(evil)+").getAttribute('href')"))
	b.until("its name as text", "document.querySelector('h1').textContent.trim() === "+quote(evil))
	b.until("its operations", "[...document.querySelectorAll('table.operations th[scope=row]')].some(e => e.textContent === "+quote(evil)+")")
	// The query for its spans finds them, whatever quotes it has.
	query := eval[string](b, "new URLSearchParams([...document.querySelectorAll('table.operations tr')].find(r => r.cells[0].textContent === "+quote(evil)+
		").querySelector('a[href^=\"/sql\"]').search).get('q')")
	found := 0
	err := s.client.Select(t.Context(), query, span.FormText, func([]string) error { return nil }, func([]*string) error { found++; return nil })
	if err != nil || found != 1 {
		t.Errorf("the query for the spans finds %d, %v:\n%s", found, err, query)
	}
	b.until("charts that fit", "document.querySelectorAll('.chart svg').length === 3")
	b.assertNoOverflow("a service")
	b.goTo("/services?since=1h&service=" + "nobody%3Cb%3E")
	b.untilText(".notice.warn", "no spans of a service of this name")
}

func TestServicesWithoutSpans(t *testing.T) {
	s := serve(t, nil)
	b := s.open()
	b.goTo("/services")
	b.untilText("main", "No spans yet")
	b.untilText(".exporters pre", "OTEL_EXPORTER_OTLP_ENDPOINT="+s.otlp)

	// Old spans: the page says when, and leads there.
	s.send(sent{service: "yesterday", trace: "4bf92f3577b34da6a3ce929d0e0e4736", id: "00f067aa0ba902b7", name: "old", start: time.Now().Add(-72 * time.Hour)})
	b.goTo("/services?since=1h")
	b.untilText(".notice", "No span started in this time")
	b.click("#newest")
	b.untilText("table.services tbody td.number", "1")
	b.goTo("/services?since=1h&service=yesterday")
	b.click("#newest")
	b.until("its charts", "document.querySelectorAll('.chart svg').length === 3")

	b.expect("422")
	b.goTo("/services?since=soon")
	b.untilText("main", `since "soon" must be a time such as 15m, 24h or 7d`)
}

func TestServicesInTheDarkAndOnAPhone(t *testing.T) {
	s := serve(t, nil)
	s.sample(800)
	b := s.open()
	b.resize(390, 844)
	b.goTo("/services?since=1h")
	b.until("the map", "document.querySelector('svg.map .node')")
	b.assertNoOverflow("services")
	b.picture("services-phone")
	b.goTo(eval[string](b, "document.querySelector('table.services tbody th a').getAttribute('href')"))
	b.until("the charts", "document.querySelectorAll('.chart svg').length === 3")
	b.until("operations", "document.querySelector('table.operations tbody tr')")
	b.assertNoOverflow("a service")
	b.picture("service-phone")
	b.resize(1280, 1000)
	b.dark(true)
	b.goTo("/services?since=1h")
	b.until("the map", "document.querySelector('svg.map .node')")
	b.picture("services-dark")
}

// focus puts the focus on an element, as a person does with the tab key.
func focus(selector string) chromedp.Action { return chromedp.Focus(selector, chromedp.ByQuery) }

func TestTicksOfCharts(t *testing.T) {
	s := serve(t, nil)
	b := s.open() // in Berlin
	b.goTo("/services")
	charts := "import(document.querySelector('script[src$=\"services.js\"]').src.replace('services.js', 'charts.js'))"
	for call, want := range map[string]string{
		"niceTicks(0)":                     "0 1",
		"niceTicks(0.53)":                  "0 0.2 0.4 0.6000000000000001",
		"niceTicks(1000)":                  "0 500 1000",
		"niceTicks(NaN)":                   "0 1",
		"durationTicks(16.6e9)":            "0 5000000000 10000000000 15000000000 20000000000",
		"durationTicks(5 * 60e9)":          "0 120000000000 240000000000 360000000000",
		"durationTicks(1e9 * 86400 * 400)": "0 10000000000000000 20000000000000000 30000000000000000 40000000000000000",
	} {
		if got := eval[string](b, charts+".then(m => m."+call+".join(' '))"); got != want {
			t.Errorf("%s = %s, want %s", call, got, want)
		}
	}
	for of, want := range map[string]string{
		"Date.UTC(2026, 10, 29, 12, 3), Date.UTC(2026, 10, 29, 13, 3)": "13:15 13:30 13:45 14:00",
		// On the 25th clocks were set back.
		"Date.UTC(2026, 9, 24, 11), Date.UTC(2026, 9, 26, 10)": "Sun 25 12:00 Mon 26",
		"Date.UTC(2026, 0, 1), Date.UTC(2026, 11, 31)":         "04-02 07-02 10-01 12-31",
	} {
		if got := eval[string](b, charts+".then(m => m.timeTicks("+of+", 4)).then(t => t.ticks.map(t.text).join(' '))"); got != want {
			t.Errorf("ticks between %s are %s, want %s", of, got, want)
		}
	}
}
