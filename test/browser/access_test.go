package browser

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

func TestLogin(t *testing.T) {
	s := serve(t, map[string]string{"read-api-keys": "a key that may read"})
	b := s.open()
	b.expect("401") // a wrong key
	b.goTo("/services?service=x")
	b.untilText("h1", "Log in")
	if at := eval[string](b, "location.pathname"); at != "/login" {
		t.Errorf("without a key the page is %s", at)
	}
	b.fill("input[name=key]", "a guess"+kb.Enter)
	b.untilText(".notice.error", "not accepted")
	b.fill("input[name=key]", "a key that may read"+kb.Enter)
	b.until("the page that was asked for", "location.pathname + location.search === '/services?service=x'")
	if cookies := eval[string](b, "document.cookie"); strings.Contains(cookies, "session") {
		t.Errorf("a script sees the session: %q", cookies)
	}
	// The API takes the session of the page.
	if status := eval[int](b, "fetch('/api/v1/services').then(a => a.status)"); status != http.StatusOK {
		t.Errorf("the API answers %d to the page", status)
	}
	b.click("form[action='/logout'] button")
	b.untilText("h1", "Log in")
	b.goTo("/")
	b.untilText("h1", "Log in")
}

func TestDarkAndLight(t *testing.T) {
	s := serve(t, nil)
	b := s.open()
	back := "getComputedStyle(document.body).backgroundColor"
	b.dark(true)
	b.goTo("/")
	dark := eval[string](b, back)
	b.click("#theme")
	light := eval[string](b, back)
	if dark == light {
		t.Errorf("dark and light are both %s", dark)
	}
	b.goTo("/services")
	if got := eval[string](b, back); got != light {
		t.Errorf("the next page is %s, not %s as was chosen", got, light)
	}
}

func TestPagesThatAreNotThere(t *testing.T) {
	s := serve(t, nil)
	b := s.open()
	b.expect("404")
	b.goTo("/nowhere/<img src=x onerror=alert(1)>")
	b.untilText("main", "Nothing is at /nowhere/<img src=x onerror=alert(1)>.")
}
