// Package browser drives the pages as people do: in a real Chromium without a window, against a real server.
//
// Without a Chromium the tests are skipped, unless SPANLAKE_TEST_BROWSER=required; SPANLAKE_TEST_BROWSER=PATH names one. Pictures of
// the pages are written into the folder SPANLAKE_TEST_PICTURES, if it is set.
package browser

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

// chromium is one process for all tests, started when the first of them wants it.
var chromium = sync.OnceValues(startChromium)

// stopChromium is called when all tests have ended.
var stopChromium = func() {}

func TestMain(m *testing.M) {
	code := m.Run()
	stopChromium()
	os.Exit(code)
}

// errNoChromium says that there is none on this machine.
var errNoChromium = errors.New("no Chromium: install it (Debian: chromium), or name one in SPANLAKE_TEST_BROWSER")

func findChromium() (string, error) {
	asked := os.Getenv("SPANLAKE_TEST_BROWSER")
	if asked != "" && asked != "required" {
		return exec.LookPath(asked)
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errNoChromium
}

func startChromium() (context.Context, error) {
	path, err := findChromium()
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "spanlake-browser-")
	if err != nil {
		return nil, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(folder), chromedp.NoSandbox,
		chromedp.DisableGPU, chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("force-color-profile", "srgb"),
		chromedp.Flag("disable-field-trial-config", true), chromedp.WindowSize(1280, 800), chromedp.WSURLReadTimeout(chromiumTime))
	allocator, cancelAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	stopChromium = func() {
		cancel()
		cancelAllocator()
		_ = os.RemoveAll(folder) // it lies in the folder for temporary files
	}
	if err := chromedp.Run(ctx); err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return ctx, nil
}
