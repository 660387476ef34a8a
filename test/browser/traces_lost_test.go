package browser

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/cdproto/emulation"
)

// cable is between a browser and a server, and can be pulled.
type cable struct {
	*httptest.Server
	pulled atomic.Bool
}

func newCable(t *testing.T, to string) *cable {
	t.Helper()
	at, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(at)
	proxy.FlushInterval = -1
	proxy.ErrorLog = log.New(io.Discard, "", 0) // browsers go without a word
	c := &cable{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.pulled.Load() {
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(c.Close)
	t.Cleanup(c.CloseClientConnections) // tails do not end by themselves
	return c
}

func (c *cable) pull() {
	c.pulled.Store(true)
	c.CloseClientConnections()
}

// TestLiveModeComesBack: what comes while the connection is lost is there when it is back.
func TestLiveModeComesBack(t *testing.T) {
	s := serve(t, nil)
	s.sendTraces("shop", 0, "before")
	c := newCable(t, s.url)
	b := s.open()
	b.base = c.URL
	b.expect("net::ERR")
	b.goTo("/?live=1")
	b.untilLive()
	c.pull()
	b.untilText("#live-says", "The connection is lost. Trying again…")
	s.sendTraces("shop", 1, "meanwhile")
	c.pulled.Store(false)
	b.untilLive()
	b.list(2)
	if says := b.text("#live-says"); !strings.HasPrefix(says, "Live: new traces appear") {
		t.Errorf("the page says %q", says)
	}
	s.sendTraces("shop", 2, "after")
	b.list(3)
	if names := b.names(); names != "after, meanwhile, before" {
		t.Errorf("listed: %s", names)
	}
}

// TestNobodyLooks: a tab in the background leaves the server alone after a minute, which the test makes a short one.
func TestNobodyLooks(t *testing.T) {
	s := serve(t, nil)
	s.sendTraces("shop", 0, "before")
	b := s.open()
	b.goTo("/?live=1")
	b.untilLive()
	look := func(hidden string) {
		eval[bool](b, "(() => { Object.defineProperty(document, 'hidden', {configurable: true, get: () => "+hidden+"}); return document.dispatchEvent(new Event('visibilitychange')); })()")
	}
	eval[bool](b, "(() => { const was = window.setTimeout; window.setTimeout = (f, ms) => was(f, ms === 60000 ? 1 : ms); return true; })()")
	look("true")
	b.untilText("#live-says", "Paused while this tab is hidden.")
	s.sendTraces("shop", 1, "meanwhile")
	if n := b.count(traceRows); n != 1 {
		t.Errorf("%d traces are listed in a tab that is hidden", n)
	}
	look("false")
	b.untilLive()
	b.list(2)
}

// TestLiveModeIsBounded: rows that are too many go, and a link leads to them.
func TestLiveModeIsBounded(t *testing.T) {
	s := serve(t, nil)
	s.sample(1100)
	b := s.open()
	b.goTo("/?limit=1000")
	b.list(1000)
	oldest := eval[string](b, "[...document.querySelectorAll('"+traceRows+"')].at(-1).dataset.trace")
	b.click("#live")
	b.untilLive()
	s.sendTraces("shop", 0, "new")
	b.until("the new trace", "document.querySelector('"+traceRows+" bdi').textContent === 'new'")
	b.list(1000)
	b.click(".after a")
	b.until("older traces", "location.search.includes('until=')")
	b.until("the one that went", `document.querySelector('[data-trace="`+oldest+`"]')`)
}

func TestLiveModeFromNothing(t *testing.T) {
	s := serve(t, nil)
	s.sendTraces("shop", 0, "other")
	b := s.open()
	b.goTo("/?service=mail")
	b.untilText("#nothing", "No trace matches")
	b.click("#live")
	b.untilLive()
	s.sendTraces("mail", 1, "first")
	b.list(1)
	if b.count("#nothing") != 0 {
		t.Error("the page still says that there is nothing")
	}
}

func TestTracesWithoutJavaScript(t *testing.T) {
	s := serve(t, nil)
	s.sendTraces("shop", 0, numbered("GET", 3)...)
	b := s.open()
	b.run(emulation.SetScriptExecutionDisabled(true))
	b.goTo("/?limit=2")
	if n, wide := b.count(traceRows), b.text("#summary"); n != 2 || !strings.Contains(wide, "p95 30.0ms") {
		t.Errorf("%d traces are listed, and counted is %q", n, wide)
	}
	b.picture("traces-without-javascript")
	b.click("a.more")
	listed := "[...document.querySelectorAll('" + traceRows + " bdi')].map(e => e.textContent).join(', ')"
	b.until("the next page", "location.search.includes('cursor=') && "+listed+" === 'GET 0'")
	b.fill("input[name=min_duration]", "15ms")
	b.click("#search button.primary")
	b.until("the search", "location.search === '?limit=2&min_duration=15ms' && "+listed+" === 'GET 2, GET 1'")
}
