package browser

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

const (
	// chromiumTime is how long Chromium may take to start, and waitTime how long a page may take to become what a test waits for. Both are
	// for a machine that is busy.
	chromiumTime = time.Minute
	waitTime     = time.Minute
)

// tab is a tab of its own, without cookies of others. What its pages complain of fails the test: errors of scripts, refusals of the
// Content-Security-Policy, and every request to another host.
type tab struct {
	t    *testing.T
	ctx  context.Context //nolint:containedctx // chromedp keeps the tab in it
	base string

	mu         sync.Mutex
	complaints []string
	// expected are parts of complaints that the test provokes.
	expected []string
}

// needBrowser skips a test where there is no browser, and in a short run, before it does anything else.
func needBrowser(t *testing.T) context.Context {
	t.Helper()
	if testing.Short() {
		t.Skip("browsers are slow")
	}
	browser, err := chromium()
	if errors.Is(err, errNoChromium) && os.Getenv("SPANLAKE_TEST_BROWSER") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return browser
}

// open opens a tab for the pages of a server.
func (s *server) open() *tab {
	s.t.Helper()
	browser := needBrowser(s.t)
	id, err := newWindow(browser)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithTargetID(id))
	s.t.Cleanup(cancel)
	b := &tab{t: s.t, ctx: ctx, base: s.url}
	chromedp.ListenTarget(ctx, b.hear)
	b.run(network.Enable(), log.Enable(), runtime.Enable(), emulation.SetTimezoneOverride("Europe/Berlin"))
	s.t.Cleanup(b.assertQuiet)
	return b
}

// newWindow opens a window that shares nothing with others. chromedp.WithNewBrowserContext asks for a tab in one, which Chromium refuses as
// long as it has no window ("no browser is open").
func newWindow(browser context.Context) (target.ID, error) {
	ctx := cdp.WithExecutor(browser, chromedp.FromContext(browser).Browser)
	alone, err := target.CreateBrowserContext().WithDisposeOnDetach(true).Do(ctx)
	if err != nil {
		return "", err
	}
	return target.CreateTarget("about:blank").WithBrowserContextID(alone).WithNewWindow(true).Do(ctx)
}

// hear notes what pages complain of.
func (b *tab) hear(event any) {
	complaint := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		complaint = e.ExceptionDetails.Error()
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning {
			for _, argument := range e.Args {
				complaint += string(argument.Value) + argument.Description + " "
			}
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.LevelError || e.Entry.Level == log.LevelWarning {
			complaint = e.Entry.Text + " " + e.Entry.URL
		}
	case *network.EventRequestWillBeSent:
		if asked, err := url.Parse(e.Request.URL); err == nil && asked.Scheme != "data" && asked.Scheme != "blob" && asked.Scheme != "about" &&
			!strings.HasPrefix(e.Request.URL, b.base+"/") {
			complaint = "a request to " + e.Request.URL
		}
	}
	if complaint != "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.complaints = append(b.complaints, complaint)
	}
}

// expect lets pages complain of something that has these words in it.
func (b *tab) expect(words string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expected = append(b.expected, words)
}

// assertQuiet fails the test for what pages complained of and was not expected.
func (b *tab) assertQuiet() {
	b.mu.Lock()
	defer b.mu.Unlock()
next:
	for _, complaint := range b.complaints {
		for _, words := range b.expected {
			if strings.Contains(complaint, words) {
				continue next
			}
		}
		b.t.Errorf("a page complains: %s", complaint)
	}
	b.complaints = nil
}

// run does something within waitTime.
func (b *tab) run(actions ...chromedp.Action) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, waitTime)
	defer cancel()
	if b.ctx.Err() == nil && chromedp.FromContext(b.ctx).Target == nil {
		ctx = b.ctx // the context of the first action is that of the tab
	}
	err := chromedp.Run(ctx, actions...)
	for ctx.Err() == nil && pageWasReplaced(err) {
		time.Sleep(20 * time.Millisecond)
		err = chromedp.Run(ctx, actions...)
	}
	if err != nil {
		b.t.Fatalf("%v\non the page: %s", err, b.glance())
	}
}

// pageWasReplaced tells whether an element was gone before anything was done with it, since its page made way for the next one while it was looked for.
func pageWasReplaced(err error) bool {
	refused, ok := errors.AsType[*cdproto.Error](err)
	return ok && refused.Code == -32000 && slices.ContainsFunc([]string{"node with given id", "not belong to the document", "Node is detached"},
		func(words string) bool { return strings.Contains(refused.Message, words) })
}

// glance is what the page says, shortened, for messages of failed tests.
func (b *tab) glance() string {
	ctx, cancel := context.WithTimeout(b.ctx, time.Second)
	defer cancel()
	var text string
	_ = chromedp.Run(ctx, chromedp.Evaluate("location.href + '\\n' + document.body.innerText.slice(0, 3000)", &text)) // there may be no page
	return text
}

// goTo loads a page of the server and waits until its modules have run.
func (b *tab) goTo(path string) {
	b.t.Helper()
	b.run(chromedp.Navigate(b.base + path))
}

// click clicks on the first element of a CSS selector, once it is visible.
func (b *tab) click(selector string) {
	b.t.Helper()
	b.run(chromedp.Click(selector, chromedp.ByQuery, chromedp.NodeVisible))
}

// fill types into a field that is emptied first.
func (b *tab) fill(selector, text string) {
	b.t.Helper()
	b.run(chromedp.Clear(selector, chromedp.ByQuery), chromedp.SendKeys(selector, text, chromedp.ByQuery))
}

// press presses keys: letters, or those of package kb.
func (b *tab) press(keys string) {
	b.t.Helper()
	b.run(chromedp.KeyEvent(keys))
}

// eval is the value of an expression of JavaScript, which may be a promise.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	var value T
	b.run(chromedp.Evaluate(expression, &value, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	return value
}

// text is what an element shows, "" if there is none.
func (b *tab) text(selector string) string {
	b.t.Helper()
	return eval[string](b, "document.querySelector("+quote(selector)+")?.innerText ?? ''")
}

// count is how many elements there are.
func (b *tab) count(selector string) int {
	b.t.Helper()
	return eval[int](b, "document.querySelectorAll("+quote(selector)+").length")
}

func quote(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err) // strings always have a JSON text
	}
	return string(quoted)
}

// until waits for an expression of JavaScript to be true. One that fails, as may happen while one page makes way for the next, is not true yet.
func (b *tab) until(what, expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, waitTime)
	defer cancel()
	for {
		var is bool
		err := chromedp.Run(ctx, chromedp.Evaluate("Boolean("+expression+")", &is))
		if err == nil && is {
			return
		}
		if ctx.Err() != nil {
			b.t.Fatalf("waited up to %v for %s: %v\non the page: %s", waitTime, what, err, b.glance())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// untilText waits for an element to show some text.
func (b *tab) untilText(selector, text string) {
	b.t.Helper()
	b.until(fmt.Sprintf("%s to say %q", selector, text), "document.querySelector("+quote(selector)+")?.innerText.includes("+quote(text)+")")
}

// resize makes the window another size, such as that of a phone.
func (b *tab) resize(width, height int64) {
	b.t.Helper()
	b.run(chromedp.EmulateViewport(width, height))
}

// dark has the system of the reader say dark, or light.
func (b *tab) dark(on bool) {
	b.t.Helper()
	scheme := "light"
	if on {
		scheme = "dark"
	}
	b.run(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}))
}

// picture writes what the window shows into SPANLAKE_TEST_PICTURES/NAME.png. That it is more than one colour is looked at always.
func (b *tab) picture(name string) {
	b.t.Helper()
	var png []byte
	b.run(chromedp.CaptureScreenshot(&png))
	if len(png) < 4000 {
		b.t.Errorf("the picture %s has %d bytes: it seems to be empty", name, len(png))
	}
	folder := os.Getenv("SPANLAKE_TEST_PICTURES")
	if folder == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(folder, name+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// assertNoOverflow wants nothing to be wider than the window, which is what makes a page hard to read on a phone.
func (b *tab) assertNoOverflow(what string) {
	b.t.Helper()
	if wide := eval[int](b, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); wide > 0 {
		b.t.Errorf("%s is %d pixels wider than the window", what, wide)
	}
}
