//go:build unix

package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// writer changes a lake at random, and knows what the lake has: the spans of each file.
type writer struct {
	lake   string
	random *rand.Rand
	made   int
	files  map[string]int64
}

// change publishes, rewrites or deletes a file.
func (w *writer) change(t *testing.T) error {
	names := make([]string, 0, len(w.files))
	for name := range w.files {
		names = append(names, name)
	}
	switch choice := w.random.IntN(10); {
	case choice < 2 && len(names) > 10:
		name := names[w.random.IntN(len(names))]
		delete(w.files, name)
		return os.Remove(filepath.Join(w.lake, name))
	case choice < 4 && len(names) > 0:
		return w.publish(t, names[w.random.IntN(len(names))])
	default:
		w.made++
		return w.publish(t, fmt.Sprintf("year=2026/month=11/day=%02d/svc_%d.parquet", 1+w.random.IntN(20), w.made))
	}
}

// publish writes a file with spans that no file had before.
func (w *writer) publish(t *testing.T, name string) error {
	n := 1 + w.random.IntN(20)
	w.made++
	w.files[name] = int64(n)
	return publish(filepath.Join(w.lake, name), spanFile(t, w.made*100, n))
}

// cycles is how many times a backend is ended in the middle.
func cycles(t *testing.T) int {
	t.Helper()
	if text := os.Getenv("SPANLAKE_TEST_CYCLES"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("SPANLAKE_TEST_CYCLES: %v", err)
		}
		return n
	}
	if testing.Short() {
		return 8
	}
	return 25
}

// Ended at any moment, in order or killed, again and again, while files come, change and go: the index has each file of
// the lake once, and is sound.
func TestBackendThatIsEndedAtAnyMoment(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	seed := uint64(time.Now().UnixNano())
	t.Logf("the seed is %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	w := &writer{lake: p.lake, random: rand.New(rand.NewPCG(seed, 1)), files: make(map[string]int64)}
	ends := map[string]int{}
	for cycle := range cycles(t) {
		stop := make(chan struct{})
		var writing sync.WaitGroup
		var failure error
		writing.Go(func() {
			for failure == nil {
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(w.random.IntN(12)) * time.Millisecond):
					failure = w.change(t)
				}
			}
		})
		r := p.launch()
		time.Sleep(time.Duration(random.IntN(400)) * time.Millisecond) // the moment, at random
		s := []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL}[random.IntN(2)]
		listened := r.stdout.String() != ""
		signal(t, r.cmd, s)
		<-r.ended
		close(stop)
		writing.Wait()
		if failure != nil {
			t.Fatal(failure)
		}
		code := cmdCode(r.cmd)
		ends[fmt.Sprintf("%v, listening %v: %d", s, listened, code)]++
		// Before it listens it may not have got as far as to take signals.
		if s == syscall.SIGTERM && code != 0 && listened {
			t.Errorf("cycle %d: after %v the exit code is %d\n%s", cycle, s, code, r.stderr)
		}
		if random.IntN(3) > 0 {
			// On a slow machine more than half of what was indexed may have gone since.
			p.must("index", "--accept-missing")
			p.must("verify")
			w.assertIndexed(p)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("%d files, ends: %v", len(w.files), ends)
	p.must("index", "--accept-missing")
	r := p.backend()
	var spans int64
	for _, n := range w.files {
		spans += n
	}
	r.untilHas("all files", int64(len(w.files)), spans)
	p.must("verify")
	w.assertIndexed(p)
	r.stop()
	p.assertSound()
}

// assertIndexed checks that the index has what the lake has, each file once.
func (w *writer) assertIndexed(p place) {
	p.t.Helper()
	type file struct {
		Path  string `json:"file_path"`
		Spans int64  `json:"row_count"`
	}
	list := decode[[]file](p.t, p.must("files", "--json", "--limit", "10000"))
	seen := make(map[string]bool)
	for _, f := range list {
		if seen[f.Path] {
			p.t.Errorf("%s is listed twice", f.Path)
		}
		seen[f.Path] = true
		if want, ok := w.files[f.Path]; !ok || f.Spans != want {
			p.t.Errorf("%s has %d spans in the index, %d in the lake", f.Path, f.Spans, want)
		}
	}
	var want, got int64
	for name, n := range w.files {
		want += n
		if !seen[name] {
			p.t.Errorf("%s is not in the index", name)
		}
	}
	type service struct {
		Spans int64 `json:"total_spans"`
	}
	for _, s := range decode[[]service](p.t, p.must("services", "--json")) {
		got += s.Spans
	}
	if got != want {
		p.t.Errorf("the services have %d spans, the files %d", got, want)
	}
}
