package browser

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// moveTo moves the mouse onto an element.
func moveTo(ctx context.Context, selector string) error {
	var at []float64
	err := chromedp.Evaluate("(r => [r.x + r.width / 2, r.y + r.height / 2])(document.querySelector("+quote(selector)+").getBoundingClientRect())", &at).Do(ctx)
	if err != nil {
		return err
	}
	return input.DispatchMouseEvent(input.MouseMoved, at[0], at[1]).Do(ctx)
}

func (b *tab) untilLive() {
	b.t.Helper()
	b.until("live mode", "document.getElementById('live')?.dataset.state === 'open'")
}

func TestNewTracesDoNotMoveWhatIsLookedAt(t *testing.T) {
	s := serve(t, nil)
	s.sendTraces("shop", 0, numbered("GET", 40)...)
	b := s.open()
	b.goTo("/?service=shop")
	b.list(40)
	b.click("#live")
	b.untilLive()
	if query := b.query(); query != "?service=shop&live=1" {
		t.Errorf("live mode has the address %q", query)
	}
	// At the top they come in by themselves, those that were asked for only.
	s.send(sent{service: "mail", trace: traceNumber(900), id: "0000000000000001", name: "not of the shop"})
	s.sendTraces("shop", 100, "first")
	b.list(41)
	if names := b.names(); !strings.HasPrefix(names, "first, GET 39") || strings.Contains(names, "not of") {
		t.Errorf("listed: %s", names)
	}

	// Whoever has scrolled gets told.
	eval[bool](b, "(scrollTo(0, 500), true)")
	b.until("the page to be scrolled", "scrollY === 500")
	place := "document.querySelectorAll('" + traceRows + "')[20].getBoundingClientRect().top"
	text := "document.querySelectorAll('" + traceRows + "')[20].innerText"
	before, row := eval[float64](b, place), eval[string](b, text)
	s.sendTraces("shop", 200, "second")
	s.sendTraces("shop", 201, "third")
	b.untilText("#pill", "2 new traces")
	if now, same := eval[float64](b, place), eval[string](b, text); now != before || same != row {
		t.Errorf("the row %q at %v became %q at %v", row, before, same, now)
	}
	b.picture("traces-live-pill")
	b.click("#pill")
	b.list(43)
	b.until("the top of the page", "scrollY === 0")
	if names := b.names(); !strings.HasPrefix(names, "third, second, first, GET 39") {
		t.Errorf("listed: %s", names)
	}

	// So does whoever points at a row, until the mouse has gone.
	b.run(chromedp.ActionFunc(func(ctx context.Context) error { return moveTo(ctx, traceRows+":nth-child(3) .kind") }))
	s.sendTraces("shop", 300, "fourth")
	b.untilText("#pill", "1 new trace")
	if n := b.count(traceRows); n != 43 {
		t.Errorf("%d rows are listed under the mouse", n)
	}
	b.run(chromedp.ActionFunc(func(ctx context.Context) error { return moveTo(ctx, "h1") }))
	b.list(44)

	// A row that came by itself is the same as the one that the server makes.
	rows := "[...document.querySelectorAll('" + traceRows + "')].slice(0, 4).map(e => e.outerHTML.replaceAll(' class=\"fade\"', '')).join('\\n')"
	live := eval[string](b, rows)
	b.goTo("/?service=shop")
	b.list(44)
	if served := eval[string](b, rows); served != live {
		t.Errorf("rows that came live are\n%s\nnot\n%s", live, served)
	}
	// A link to live mode is live, and ends when told to.
	b.goTo("/?live=1")
	b.untilLive()
	b.click("#live")
	b.until("the end of live mode", "location.search === '' && document.getElementById('live').ariaPressed === 'false'")
}

func TestLiveModeSaysWhatIsWrong(t *testing.T) {
	s := serve(t, nil)
	s.sendTraces("shop", 0, "GET /")
	b := s.open()
	b.expect("503")
	b.goTo("/?until=2026-01-01T00:00:00Z")
	b.until("no live mode for the past", "document.getElementById('live').disabled")
	// As many tails as are allowed.
	for range 8 {
		asked, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/api/v1/tail", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(asked)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatal(err, answer)
		}
		defer func() { _ = answer.Body.Close() }()
	}
	b.goTo("/?live=1")
	b.untilText("#live-says", "8 tails run already, which is as many as are allowed at once: ask again later. Trying again…")
}

func TestNamesOfTracesAreText(t *testing.T) {
	s := serve(t, nil)
	s.send(sent{service: hostile, trace: traceNumber(1), id: "0000000000000001", name: hostile, attributes: map[string]any{hostile: hostile}})
	b := s.open()
	b.goTo("/")
	b.list(1)
	check := func(where string) {
		t.Helper()
		if b.count("img[src=x]") != 0 || eval[bool](b, "[...document.querySelectorAll('*')].some(e => e.hasAttribute('onerror'))") {
			t.Errorf("%s: a name became HTML", where)
		}
	}
	check("the list")
	for _, what := range []string{
		"document.querySelector('" + traceRows + " bdi').textContent", "document.querySelector('" + traceRows + " .service').textContent",
		"document.querySelector('.legend bdi').textContent", "document.querySelector('select[name=service]').options[1].value",
		"document.querySelector('#plot title').textContent.split('\\n')[0]",
	} {
		if got := eval[string](b, what); got != hostile {
			t.Errorf("%s is %q", what, got)
		}
	}
	b.choose("select[name=service]", hostile)
	eval[string](b, "document.querySelector('input[name=name]').value = "+quote(hostile)) // keys cannot type all of it
	b.click("#search button.primary")
	b.until("the search", "location.search.includes('service=')")
	b.list(1)
	check("the filters")
	if chips := eval[string](b, "document.querySelectorAll('.chip bdi')[1].textContent"); chips != hostile {
		t.Errorf("the filter is told as %q", chips)
	}
	b.picture("traces-hostile")
	b.goTo("/?live=1")
	b.untilLive()
	s.send(sent{service: hostile + "2", trace: traceNumber(2), id: "0000000000000001", name: hostile + strings.Repeat("x", 5000)})
	b.list(2)
	check("live mode")
	b.resize(390, 844)
	b.assertNoOverflow("the page of traces with a long name")
}

func TestTheFirstSpanShowsByItself(t *testing.T) {
	s := serve(t, map[string]string{"api-keys": "a key that may send"})
	b := s.open()
	b.goTo("/")
	b.untilText("#unused", "Nothing was received yet")
	at := strings.TrimPrefix(s.otlp, "http://")
	for _, part := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + at, "OTEL_EXPORTER_OTLP_HEADERS=x-junjo-api-key=KEY", "spanlake keys create"} {
		b.untilText("#unused", part)
	}
	b.assertNoOverflow("the page before the first span")
	b.picture("traces-unused")
	s.sample(20)
	b.list(20)
}

func TestTracesPictures(t *testing.T) {
	s := serve(t, nil)
	s.sample(300)
	b := s.open()
	for _, dark := range []bool{false, true} {
		theme := map[bool]string{false: "light", true: "dark"}[dark]
		b.dark(dark)
		b.resize(1280, 800)
		b.goTo("/")
		b.list(50)
		b.assertNoOverflow("the page of traces")
		b.picture("traces-" + theme)
		b.goTo("/?status=error&min_duration=1ms&attribute=gen_ai.request.model&has_llm=true&since=24h")
		b.until("the filters", "document.querySelectorAll('.chip').length === 5")
		b.picture("traces-search-" + theme)
		b.resize(390, 844)
		b.goTo("/")
		b.list(50)
		b.assertNoOverflow("the page of traces on a phone")
		b.picture("traces-phone-" + theme)
		b.run(chromedp.Evaluate(fmt.Sprintf("scrollTo(0, %d)", 600), nil))
		b.picture("traces-phone-list-" + theme)
	}
}
