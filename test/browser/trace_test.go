package browser

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/spanlake/spanlake/internal/span"
)

// activeRow is the name of the row that keys are for, and that has the focus.
const activeRow = "document.activeElement?.closest?.('.wf-row')?.querySelector('.wf-text').textContent ?? ''"

// rowNames are the names of the rows that are shown, from top to bottom.
const rowNames = `[...document.querySelectorAll('.wf-row')].sort((a, b) => a.ariaRowIndex - b.ariaRowIndex)
	.map(r => '.'.repeat(r.getAttribute('aria-level') - 1) + r.querySelector('.wf-text').textContent).join(' ')`

// openTrace opens a trace and waits for its rows.
func (b *tab) openTrace(path string) {
	b.t.Helper()
	b.goTo("/traces/" + path)
	b.until("the waterfall", "document.documentElement.dataset.ready === 'trace'")
}

// expectActive wants a row to be the one that keys are for.
func (b *tab) expectActive(name string) {
	b.t.Helper()
	b.until("the row "+name+" to be active", activeRow+" === "+quote(name))
}

const traceID = "0123456789abcdef0123456789abcdef"

// spanID makes an id of a number.
func spanID(n int) string { return fmt.Sprintf("%016x", n+1) }

// find puts a text into the search of a trace.
func (b *tab) find(query string) {
	b.t.Helper()
	b.run(chromedp.Evaluate(`{
		const field = document.getElementById("find");
		field.value = `+quote(query)+`;
		field.dispatchEvent(new Event("input"));
	}`, nil))
}

// family is a trace of seven spans, two of which failed.
func family(trace string) []sent {
	start := time.Now().Add(-time.Hour)
	one := func(n, parent int, service, name string, from, until int) sent {
		s := sent{service: service, trace: trace, id: spanID(n), name: name, start: start.Add(time.Duration(from) * time.Millisecond),
			length: time.Duration(until-from) * time.Millisecond}
		if parent >= 0 {
			s.parent = spanID(parent)
		}
		return s
	}
	all := []sent{
		one(0, -1, "shop", "POST /order", 0, 1000),
		one(1, 0, "shop", "validate", 50, 150),
		one(2, 0, "payments", "charge", 200, 900),
		one(3, 2, "payments", "card network", 300, 500),
		one(4, 2, "bank", "transfer", 550, 880),
		one(5, 4, "bank", "ledger", 600, 700),
		one(6, 0, "mail", "send receipt", 910, 960),
	}
	all[3].failed, all[5].failed = "declined by issuer", "row is locked"
	all[6].attributes = map[string]any{"messaging.template": "receipt \"large\" <b>"}
	return all
}

func TestTraceKeys(t *testing.T) {
	s := serve(t, nil)
	s.send(family(traceID)...)
	b := s.open()
	b.openTrace(traceID)
	const all = "POST /order .validate .charge ..card network ..transfer ...ledger .send receipt"
	if got := eval[string](b, rowNames); got != all {
		t.Errorf("the rows are %s", got)
	}
	steps := []struct{ keys, want string }{
		{kb.ArrowDown, "validate"}, {kb.ArrowDown, "charge"}, {kb.ArrowRight, "card network"}, {kb.ArrowLeft, "charge"},
		{kb.End, "send receipt"}, {kb.Home, "POST /order"}, {kb.PageDown, "send receipt"}, {kb.PageUp, "POST /order"},
		{"e", "card network"}, {"e", "ledger"}, {"e", "card network"}, {"E", "ledger"}, {kb.ArrowLeft, "transfer"}, {kb.ArrowLeft, "transfer"},
		{kb.ArrowDown, "send receipt"}, {kb.ArrowUp, "transfer"}, {kb.ArrowLeft, "charge"},
	}
	for _, step := range steps {
		b.press(step.keys)
		b.expectActive(step.want)
	}
	// transfer is closed, and says what it hides.
	b.untilText(".wf-hidden.wf-bad", "+1 · 1 error")
	levels := func(want string) {
		t.Helper()
		b.until("the levels to be "+want, "document.querySelector('#levels option:checked').textContent === "+quote(want))
	}
	levels("3") // transfer is on the third, and the only one there that can be closed
	if got := eval[string](b, "[...document.querySelectorAll('[aria-expanded=false] .wf-text')].map(e => e.textContent).join()"); got != "transfer" {
		t.Errorf("closed are %s", got)
	}
	b.press("1")
	b.until("one row", rowNames+" === 'POST /order'")
	b.expectActive("POST /order")
	b.press("2")
	b.until("two levels", rowNames+" === 'POST /order .validate .charge .send receipt'")
	levels("2")
	b.press("e") // opens what it is in, but not transfer
	b.expectActive("card network")
	b.press("9")
	b.until("all rows", rowNames+" === "+quote(all))
	b.click(".wf-row[aria-level='2'] .wf-toggle")
	b.until("charge to be closed", rowNames+" === 'POST /order .validate .charge .send receipt'")
	b.run(chromedp.SetValue("#levels", "4", chromedp.ByQuery), chromedp.Evaluate("document.getElementById('levels').dispatchEvent(new Event('change'))", nil))
	b.until("all rows", rowNames+" === "+quote(all))

	b.press("?")
	b.untilText("dialog", "next error")
	b.press(kb.Escape)
	b.until("no dialog", "!document.querySelector('dialog').open")
	critical := "document.querySelectorAll('.wf-critical').length"
	// order to 50, validate, order, charge, card, charge, transfer, ledger, transfer, charge, order, receipt, order
	if n := eval[int](b, critical); n != 13 {
		t.Errorf("the critical path has %d parts", n)
	}
	b.press("c")
	b.until("no critical path", critical+" === 0")
}

func TestTraceDetailAndHistory(t *testing.T) {
	s := serve(t, nil)
	s.send(family(traceID)...)
	b := s.open()
	address := func(span string) {
		t.Helper()
		b.until("the address to have "+span, "(new URLSearchParams(location.search).get('span') ?? '') === "+quote(span))
		b.until("the panel to be as the address", "document.getElementById('detail').hidden === "+fmt.Sprint(span == ""))
	}
	b.openTrace(traceID + "?span=" + spanID(5))
	b.until("the row of the link", "document.querySelector('.wf-selected .wf-text')?.textContent === 'ledger'")
	address(spanID(5))
	b.until("the detail", "document.querySelector('.wf-detail-body').childElementCount > 0")

	// A link may say more, and stays as it was.
	const all = "?span=0000000000000002&q=bank&from=100000000&until=400000000"
	b.openTrace(traceID + all)
	b.untilText("#unzoom", "100ms to 400ms")
	b.untilText("#found", "2 matches")
	address(spanID(1))
	if got := eval[string](b, "location.search"); got != all {
		t.Errorf("the address became %s", got)
	}
	b.openTrace(traceID + "?span=" + spanID(50))
	b.untilText("#lost", "not among the spans")

	b.openTrace(traceID)
	address("")
	b.press(kb.ArrowDown)
	b.press(kb.Enter)
	b.expectActive("validate")
	address(spanID(1))
	b.press(kb.ArrowDown) // the panel follows
	address(spanID(2))
	b.press(kb.Escape)
	address("")
	b.click(".wf-row:nth-child(2)")
	address(spanID(1))
	// What the detail links to is selected, and Back leads back.
	b.run(chromedp.Evaluate(`{
		const link = document.createElement("a");
		link.href = location.pathname + "?span=`+spanID(4)+`";
		link.dataset.span = "`+spanID(4)+`";
		link.textContent = "the parent";
		document.querySelector(".wf-detail-body").append(link);
		link.click();
	}`, nil))
	address(spanID(4))
	b.until("the row of the link", "document.querySelector('.wf-selected .wf-text')?.textContent === 'transfer'")
	for _, before := range []string{spanID(1), "", spanID(2), ""} {
		b.run(chromedp.Evaluate("history.back()", nil))
		address(before)
	}
}

func TestTraceSearch(t *testing.T) {
	s := serve(t, nil)
	s.send(family(traceID)...)
	b := s.open()
	b.openTrace(traceID)
	b.press("/")
	b.until("the field to have the focus", "document.activeElement.id === 'find'")
	for query, want := range map[string]string{
		"CARD":         "1 match",   // a name
		"bank":         "2 matches", // a service
		"locked":       "1 match",   // a message
		spanID(3)[10:]: "1 match",   // an id
		`"large" <b>`:  "1 match",   // a value
		"messaging.t":  "1 match",   // a key
		"nowhere":      "no match",  // nothing
		`\":{`:         "no match",  // JSON itself is no match
		"service.name": "1 of 7",    // of the resource
	} {
		b.find(query)
		b.untilText("#found", want)
	}
	b.find("bank")
	b.untilText("#found", "2 matches")
	b.press(kb.Enter)
	b.expectActive("transfer")
	b.untilText("#found", "1 of 2")
	b.press("n")
	b.expectActive("ledger")
	b.untilText("#found", "2 of 2")
	b.press("N")
	b.expectActive("transfer")
	b.press("1") // closed: the next match opens what it is in
	b.press("n")
	b.expectActive("transfer")
	b.press("n")
	b.expectActive("ledger")
	if marks := b.count(".wf-row mark"); marks != 2 {
		t.Errorf("%d marks", marks)
	}
	b.until("the search to be in the address", "new URLSearchParams(location.search).get('q') === 'bank'")
	b.openTrace(traceID + "?q=bank")
	b.untilText("#found", "2 matches")
	b.press("/")
	b.until("the field to have the focus", "document.activeElement.id === 'find'")
	b.press(kb.Escape)
	b.until("an empty search", "document.getElementById('find').value === '' && location.search === ''")
	b.click("[data-find='payments']")
	b.expectActive("charge")
	b.click("#next-error")
	b.expectActive("card network")
}

func TestTraceZoom(t *testing.T) {
	s := serve(t, nil)
	s.send(family(traceID)...)
	b := s.open()
	b.openTrace(traceID)
	drag := func(selector string, from, until float64) {
		t.Helper()
		box := eval[[]float64](b, "(b => [b.left, b.top + b.height / 2, b.width])(document.querySelector("+quote(selector)+").getBoundingClientRect())")
		mouse := func(kind input.MouseType, share float64) chromedp.Action {
			return input.DispatchMouseEvent(kind, box[0]+share*box[2], box[1]).WithButton(input.Left).WithClickCount(1)
		}
		b.run(mouse(input.MousePressed, from), mouse(input.MouseMoved, (from+until)/2), mouse(input.MouseMoved, until), mouse(input.MouseReleased, until))
	}
	drag("#axis", 0.2, 0.9)
	b.untilText("#unzoom", "200ms to 900ms")
	b.until("the time to be in the address", "Math.round(new URLSearchParams(location.search).get('from') / 1e7) === 20")
	// validate ended before what is seen.
	b.untilText(".wf-off", "‹")
	b.click("#unzoom")
	b.until("the whole trace", "document.getElementById('unzoom').hidden && location.search === ''")
	b.press(kb.End)
	b.press("z")
	b.until("the last span to fill the view", "document.querySelector('.wf-active .wf-bar').offsetWidth > 0.85 * document.querySelector('.wf-active .wf-time').offsetWidth")
	b.press("0")
	b.until("the whole trace", "document.getElementById('unzoom').hidden")
}

func TestTraceOfOddSpans(t *testing.T) {
	s := serve(t, nil)
	const evil = "<img src=x onerror=alert(1)>"
	start := time.Now().Add(-time.Hour)
	odd := func(id, parent, service, name string, from, length time.Duration) sent {
		return sent{service: service, trace: traceID, id: id, parent: parent, name: name, start: start.Add(from), length: length, failed: "\"'" + evil}
	}
	s.send(
		odd(spanID(0), "", "", evil, 0, time.Second),
		odd(spanID(1), spanID(0), evil, strings.Repeat("long ", 4000), 0, time.Nanosecond),
		odd(spanID(2), spanID(0), "b", "early and late", -time.Minute, 2*time.Minute),
		odd(spanID(3), spanID(0), "b", "backwards", 500*time.Millisecond, -300*time.Millisecond),
		odd(spanID(4), spanID(99), "b", "orphan", 0, time.Second),
		odd(spanID(5), spanID(6), "b", "circle a", 0, time.Second),
		odd(spanID(6), spanID(5), "b", "circle b", time.Millisecond, time.Second),
		odd(spanID(7), spanID(7), "b", "own parent", 2*time.Millisecond, time.Second),
		odd(spanID(8), spanID(0), "b", "twin 1", time.Millisecond, time.Second),
		odd(spanID(8), spanID(0), "b", "twin 2", 2*time.Millisecond, time.Second),
	)
	b := s.open()
	b.openTrace(traceID)
	b.untilText("h1", evil)
	names := eval[string](b, rowNames)
	for _, want := range []string{evil, ".long ", ".early and late", ".backwards", " orphan", " circle a .circle b", " own parent", ".twin 1", ".twin 2"} {
		if !strings.Contains(names, want) {
			t.Errorf("no row %q in %q", want, names)
		}
	}
	if n := b.count("main img"); n != 0 {
		t.Errorf("%d pictures were made of names", n)
	}
	for selector, want := range map[string]int{".wf-early": 1, ".wf-backwards": 1, ".wf-odd": 5} {
		if got := b.count(selector); got != want {
			t.Errorf("%d times %s, want %d", got, selector, want)
		}
	}
	if n := eval[int](b, "[...document.querySelectorAll('.wf-bar')].filter(e => e.offsetWidth < 2).length"); n != 0 {
		t.Errorf("%d bars cannot be seen", n)
	}
	b.untilText(".trace-head", "1 span has a parent that is not here")
	b.untilText(".trace-head", "circles, which were cut at 2 spans")
	b.assertNoOverflow("a trace of odd spans")
	b.picture("trace-odd")

	b.expect("404")
	b.goTo("/traces/" + strings.Repeat("f", 32))
	b.untilText("h1", "There is no such trace")
}

func TestTraceOfOneSpan(t *testing.T) {
	s := serve(t, nil)
	s.send(sent{service: "cron", trace: traceID, id: spanID(0), name: "tick", start: time.Now().Add(-2 * time.Second)})
	b := s.open()
	b.openTrace(traceID)
	if got := eval[string](b, rowNames); got != "tick" || b.text("#trace-duration") != "1.00ms" {
		t.Errorf("the rows are %s, the duration %s", got, b.text("#trace-duration"))
	}
	b.picture("trace-one")
	// It is young: what comes later is told.
	s.send(sent{service: "cron", trace: traceID, id: spanID(1), parent: spanID(0), name: "late"})
	b.untilText("#news", "1 more span has arrived")
	b.click("#news button")
	b.until("the new span", rowNames+" === 'tick .late'")
}

// TestTraceAxis: ticks are round, and their labels differ however near they are.
func TestTraceAxis(t *testing.T) {
	s := serve(t, nil)
	s.send(family(traceID)...)
	b := s.open()
	b.openTrace(traceID)
	for _, tc := range []struct {
		from, until float64
		most        int
		want        string
	}{
		{0, 1e9, 5, "0 200ms 400ms 600ms 800ms 1.0s"},
		{0, 7, 4, "0 2ns 4ns 6ns"},
		{1_234_560_000, 1_234_590_000, 4, "1.23456s 1.23457s 1.23458s 1.23459s"},
		{999e3, 1002e3, 4, "999µs 1.000ms 1.001ms 1.002ms"},
		{0, 600e9, 5, "0 2m00s 4m00s 6m00s 8m00s 10m00s"},
		{0, 86400e9 * 400, 4, "0 100d00h 200d00h 300d00h 400d00h"},
	} {
		got := eval[string](b, fmt.Sprintf(`import(document.querySelector("script[src$='trace-time.js']").src).then(m => {
			const { step, all } = m.ticks(%f, %f, %d);
			return all.map((at) => m.tickLabel(at, step)).join(" ");
		})`, tc.from, tc.until, tc.most))
		if got != tc.want {
			t.Errorf("from %f to %f: %s, want %s", tc.from, tc.until, got, tc.want)
		}
	}
}

// sampleTrace is the id of a trace of the sample with so many spans, whose root failed.
func (s *server) sampleTrace(least, most int) string {
	s.t.Helper()
	failed := span.StatusError
	page, err := s.client.Queries().Traces(s.t.Context(), span.TraceFilter{Root: span.Filter{StatusCode: &failed}}, "", 100)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, root := range page.Roots {
		spans, _, err := s.client.Queries().Trace(s.t.Context(), root.TraceID)
		if err != nil {
			s.t.Fatal(err)
		}
		if len(spans) >= least && len(spans) <= most {
			return root.TraceID
		}
	}
	s.t.Fatalf("no trace of the sample has %d to %d spans", least, most)
	return ""
}

func TestTracePictures(t *testing.T) {
	s := serve(t, nil)
	s.sample(600)
	id := s.sampleTrace(20, 60)
	b := s.open()
	b.openTrace(id)
	b.untilText("#trace-tokens", " in, ")
	b.picture("trace-light")
	b.press("e")
	b.press(kb.Enter)
	b.until("the detail", "document.querySelector('.wf-detail-body').childElementCount > 0")
	b.settle()
	b.picture("trace-detail-light")
	b.assertReadable("a trace with the detail of a span")
	b.press("1")
	b.find("chat")
	b.untilText("#found", "1 of")
	b.assertReadable("a trace that is closed and searched")
	b.find("")
	b.press("9")
	b.dark(true)
	b.picture("trace-detail-dark")
	b.press(kb.Escape)
	b.picture("trace-dark")
	b.resize(390, 844)
	b.assertNoOverflow("a trace")
	b.picture("trace-phone")
	b.click(".wf-row .wf-bar")
	b.until("the detail", "document.querySelector('.wf-detail-body').childElementCount > 0")
	b.assertNoOverflow("a trace with the detail of a span")
	b.picture("trace-phone-detail")
}
