package browser

import (
	"fmt"

	"testing"

	"github.com/chromedp/chromedp"
)

// traceRows are the rows of the list of traces.
const traceRows = "#list ol.rows > li"

func TestTracesPictures(t *testing.T) {
	s := serve(t, nil)
	s.sample(300)
	b := s.open()
	for _, dark := range []bool{false, true} {
		theme := map[bool]string{false: "light", true: "dark"}[dark]
		b.dark(dark)
		b.resize(1280, 800)
		b.goTo("/")
		b.until("points", "document.querySelectorAll('.point').length === 50")
		b.assertNoOverflow("the page of traces")
		b.picture("traces-" + theme)
		b.goTo("/?status=error&min_duration=1ms&attribute=gen_ai.request.model&has_llm=true&since=24h")
		b.until("chips", "document.querySelectorAll('.chip').length === 5")
		b.picture("traces-search-" + theme)
		b.resize(390, 844)
		b.goTo("/")
		b.until("points", "document.querySelectorAll('.point').length === 50")
		b.assertNoOverflow("the page of traces on a phone")
		b.picture("traces-phone-" + theme)
		b.run(scrollTo(600))
		b.picture("traces-phone-list-" + theme)
	}
}

func scrollTo(y int) chromedp.Action {
	return chromedp.Evaluate(fmt.Sprintf("scrollTo(0, %d)", y), nil)
}
