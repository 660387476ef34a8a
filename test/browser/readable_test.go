package browser

import (
	_ "embed" // what runs in the page
	"fmt"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/terminal"
)

//go:embed readable.js
var readable string

// assertReadable wants texts to have the contrast of WCAG AA, in light and dark, everything that is used to have a name, and nothing to be wider
// than a phone.
func (b *tab) assertReadable(page string) {
	b.t.Helper()
	for _, dark := range []bool{false, true} {
		b.dark(dark)
		for _, problem := range eval[[]string](b, readable) {
			b.t.Errorf("%s (dark: %v): %s", page, dark, problem)
		}
	}
	b.dark(false)
	b.resize(390, 844)
	b.assertNoOverflow(page + " on a phone")
	b.resize(1280, 800)
}

const hostileName = `<img src=x onerror=alert(1)> "quoted" 'single' </script><script>alert(2)</script> \u0000 {{.}}`

// TestEveryPageIsReadable, with names that try to be something else than text.
func TestEveryPageIsReadable(t *testing.T) {
	s := serve(t, nil)
	s.sample(60)
	s.send(sent{service: hostileName, trace: "0000000000000000000000000000beef", id: "00000000000000aa", name: hostileName, length: 90 * time.Millisecond,
		attributes: map[string]any{hostileName: hostileName, "gen_ai.operation.name": "chat", "gen_ai.request.model": hostileName}, failed: hostileName},
		sent{service: "callee", trace: "0000000000000000000000000000beef", id: "00000000000000ab", parent: "00000000000000aa", name: hostileName})
	b := s.open()
	b.expect("404")
	b.expect("422")
	for _, page := range []string{"/", "/?status=error&attribute=%3Cimg%20src=x%20onerror=alert(1)%3E", "/?min_duration=%3Cimg%20src=x%20onerror=alert(1)%3E",
		"/traces/0000000000000000000000000000beef", "/traces/0000000000000000000000000000beef?span=00000000000000aa", "/traces/%3Cimg%20src=x%20onerror=alert(1)%3E",
		"/services", "/services?service=chat-api", "/index", "/sql", "/sql?q=%3Cimg%20src=x%20onerror=alert(1)%3E", "/nowhere"} {
		b.goTo(page)
		b.settle()
		b.assertReadable(page)
		if n := b.count("img[src=x], img[onerror]"); n != 0 {
			t.Errorf("%s made %d elements of a name", page, n)
		}
	}
}

// settle waits until no request is under way.
func (b *tab) settle() {
	b.t.Helper()
	b.until("the page to be quiet", `(() => {
		const n = performance.getEntriesByType("resource").length;
		const quiet = document.readyState === "complete" && n === window.lastResources;
		window.lastResources = n;
		return quiet;
	})()`)
}

// Durations look the same whether the server or a module writes them.
func TestDurationsOfModules(t *testing.T) {
	s := serve(t, nil)
	b := s.open()
	b.goTo("/")
	module := "import(new URL('format.js', document.querySelector('script[type=module]').src)).then(m => %s)"
	for _, d := range []time.Duration{0, 1, 999, 1000, 1004, 1005, 9_994, 9_995, 99_949, 99_951, 999_499, 999_501, 1_234_567, 59 * time.Second, 59_949 * time.Millisecond,
		59_951 * time.Millisecond, 61 * time.Second, 3599 * time.Second, time.Hour, 95 * time.Hour, 97 * time.Hour, 100 * 24 * time.Hour, -time.Second} {
		if got, want := eval[string](b, fmt.Sprintf(module, fmt.Sprintf("m.duration(%d)", int64(d)))), terminal.Duration(d); got != want {
			t.Errorf("%d ns: a module says %s, the server %s", int64(d), got, want)
		}
	}
}
