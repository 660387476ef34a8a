package browser

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"

	"github.com/spanlake/spanlake/internal/app"
)

func TestIndexWhenAllIsWell(t *testing.T) {
	s := serve(t, nil)
	s.sample(1500)
	s.send(sent{service: "chat-api", trace: "4bf92f3577b34da6a3ce929d0e0e4736", id: "00f067aa0ba902b7", name: "hot"})
	b := s.open()
	b.resize(1280, 1000)
	b.goTo("/index")
	b.untilText("#verdict h1", "All is well")
	status, err := s.client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	figures := b.text("#figures")
	for _, want := range []string{"Indexed spans", "1 span", "Hot spans", "Memory", "of 256 MB", "Free disk of the lake, index, write-ahead log"} {
		if !strings.Contains(figures, want) {
			t.Errorf("the figures do not have %q:\n%s", want, figures)
		}
	}
	if status.IndexedFiles != int64(b.count("#files tbody tr")) && b.count("#files tbody tr") != 20 {
		t.Errorf("%d files are listed of %d", b.count("#files tbody tr"), status.IndexedFiles)
	}
	if layers := b.count("#ingest path[data-service].painted"); layers < 5 {
		t.Errorf("the picture of the last day has %d services", layers)
	}
	if b.count("#ingest path.unflushed[d^=M]") != 1 {
		t.Error("the picture of the last day lacks what is in no file")
	}
	b.picture("index-light")
	b.dark(true)
	b.picture("index-dark")
	b.resize(390, 844)
	b.assertNoOverflow("the index")
	b.picture("index-phone")

	// As long as the server cannot be reached, it says that it is old.
	eval[bool](b, "{ window.real = window.fetch; window.fetch = () => Promise.reject(new TypeError('Failed to fetch')); true }")
	b.untilText("#gone", "The server does not answer")
	eval[bool](b, "{ window.fetch = window.real; true }")
	b.until("that to be over", "!document.querySelector('#gone')")

	// It follows what happens by itself.
	s.send(sent{service: "chat-api", trace: "4bf92f3577b34da6a3ce929d0e0e4737", id: "00f067aa0ba902b8", name: "another"})
	b.untilText("#figures", "2 spans")
}

func TestRetryOfAFailedFile(t *testing.T) {
	s := serve(t, map[string]string{"poll-interval": "1h"})
	s.sample(100)
	files, err := s.client.Files(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(filepath.Join(s.lake, filepath.FromSlash(files[0].Path)))
	if err != nil {
		t.Fatal(err)
	}
	const name = `<b onmouseover=alert(1)>"cut" & 'copied'.parquet`
	cut := slices.Clone(good)
	clear(cut[len(cut)-8:])
	s.putOld(name, cut)
	s.index()
	b := s.open()
	b.resize(1280, 800)
	b.goTo("/index")
	b.untilText("#verdict h1", "Look at this")
	b.untilText("#verdict li", "1 file could not be indexed")
	b.untilText("#failed th.path", name)
	b.untilText("#failed .tag.error", "1")
	b.untilText("#failed .why", "truncated")
	b.picture("index-failed-light")
	b.dark(true)
	b.picture("index-failed-dark")
	b.dark(false)

	// It fails again as long as nothing has changed.
	b.click("#failed [data-retry]")
	b.untilText("#said", name+" has failed again")
	b.until("two tries", "document.querySelector('#failed tr[data-path]').dataset.tries === '2'")

	// The good file has the size and the age of the bad one: nobody notices it until the button is clicked.
	s.putOld(name, good)
	b.click("#failed [data-retry]")
	b.untilText("#said", name+" has not failed this time")
	b.untilText("#failed", "Every file of the lake could be indexed")
	b.untilText("#verdict h1", "All is well")
	b.untilText("#files", name)
}

func TestIndexWhenSpansAreTakenInElsewhere(t *testing.T) {
	s := serveAs(t, app.Backend, map[string]string{"internal-server": "127.0.0.1:1"})
	b := s.open()
	b.goTo("/index")
	b.untilText("#verdict h1", "Something is wrong")
	b.untilText("#verdict li", "The process that takes spans in, at 127.0.0.1:1, does not answer")
	b.untilText("#figures", "taken in by the process at 127.0.0.1:1")

	// Without modules everything is there as well, but for what changes.
	b.run(emulation.SetScriptExecutionDisabled(true))
	b.goTo("/index")
	b.run(emulation.SetScriptExecutionDisabled(false))
	b.untilText("#verdict h1", "Something is wrong")
	b.untilText("#files", "No file is indexed yet")
}

func TestRetryTakesAKeyThatMayOperate(t *testing.T) {
	s := serve(t, map[string]string{"read-api-keys": readKey})
	s.putOld("garbage.parquet", []byte("this is no Parquet file, and will not become one"))
	b := s.open()
	b.goTo("/login?next=/index")
	b.fill("input[name=key]", readKey+"\r")
	b.untilText("#failed th.path", "garbage.parquet")
	b.untilText("#failed .why", "not_parquet")
	b.untilText("#failed .notice", "a key that may operate")
	if b.count("#failed button") != 0 {
		t.Error("there is a button that may not be used")
	}
	b.resize(390, 844)
	b.assertNoOverflow("the index with a failed file")
}

// putOld puts a file into the lake at once, as one that nobody writes any more and of the same age each time.
func (s *server) putOld(name string, content []byte) {
	s.t.Helper()
	beside := filepath.Join(filepath.Dir(s.lake), "beside")
	if err := os.WriteFile(beside, content, 0o600); err != nil {
		s.t.Fatal(err)
	}
	old := time.Now().Truncate(24 * time.Hour).Add(-time.Hour)
	if err := errors.Join(os.Chtimes(beside, old, old), os.MkdirAll(s.lake, 0o750), os.Rename(beside, filepath.Join(s.lake, name))); err != nil {
		s.t.Fatal(err)
	}
}
