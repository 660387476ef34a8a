package wal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// told is what a child said before it was killed.
type told struct {
	acknowledged, releasing map[int]bool
	// flushes are what became of each.
	flushes map[int64]string
	ranges  map[int64]string
}

// killWorking lets a child work on the log and kills it after some time.
func (said *told) killWorking(t *testing.T, path string, first int, after time.Duration) {
	t.Helper()
	cmd := command(t.Context(), childWork, path, fmt.Sprintf("%s=%d", childFirst, first))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(out)
	var timer *time.Timer
	for scanner.Scan() {
		if timer == nil { // from its first line on, so that slow starts leave no children without work
			timer = time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		}
		said.line(t, scanner.Text())
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the child was not killed")
	}
}

func (said *told) line(t *testing.T, line string) {
	t.Helper()
	verb, rest, _ := strings.Cut(line, " ")
	var n int
	if _, err := fmt.Sscan(rest, &n); err != nil {
		return // cut off by the kill
	}
	switch verb {
	case "acknowledged":
		said.acknowledged[n] = true
	case "releasing":
		said.releasing[n] = true
	case "begun":
		_, said.ranges[int64(n)], _ = strings.Cut(rest, " ")
		said.flushes[int64(n)] = verb
	default:
		said.flushes[int64(n)] = verb
	}
}

func TestKilledAtAnyMomentNothingAcknowledgedIsLost(t *testing.T) {
	cycles := 12
	if testing.Short() {
		cycles = 3
	}
	path := testPath(t)
	said := told{acknowledged: map[int]bool{}, releasing: map[int]bool{}, flushes: map[int64]string{}, ranges: map[int64]string{}}
	for cycle := range cycles {
		said.killWorking(t, path, cycle*1_000_000, time.Duration(rand.IntN(200))*time.Millisecond)
		f := openFixture(t, path)
		f.compare(&said)
		f.close()
	}
	t.Logf("%d acknowledged, %d flushes", len(said.acknowledged), len(said.flushes))
	if len(said.acknowledged) < 10*cycles {
		t.Errorf("only %d requests were acknowledged", len(said.acknowledged))
	}
}

// compare looks that the log has what was acknowledged, and its flushes are as they were said to be, or one step further.
func (f *fixture) compare(said *told) {
	f.t.Helper()
	stored := map[int]bool{}
	var before span.RequestID
	for r, err := range f.Requests(f.t.Context(), span.RequestID{}, lastID) {
		f.must(err)
		if stored[r.Spans] {
			f.t.Errorf("%d is there twice", r.Spans)
		}
		if stored[r.Spans] = true; !bytes.Equal(r.Data, message(r.Spans, workSize(r.Spans))) {
			f.t.Errorf("%d is not what was appended", r.Spans)
		}
		if bytes.Compare(r.ID[:], before[:]) <= 0 {
			f.t.Errorf("%d has id %x after %x", r.Spans, r.ID, before)
		}
		before = r.ID
	}
	for n := range said.acknowledged {
		if !stored[n] && !said.releasing[n] {
			f.t.Errorf("%d was acknowledged and is lost", n)
		}
	}
	flushes, err := f.Flushes(f.t.Context())
	f.must(err)
	found := map[int64]string{}
	for _, flush := range flushes {
		path := fmt.Sprintf("%d.parquet", flush.ID)
		switch {
		case flush.Published && flush.Path == path:
			found[flush.ID] = "published"
		case flush.Path == path:
			found[flush.ID] = "path"
		case flush.Path == "" && !flush.Published:
			found[flush.ID] = "begun"
		default:
			f.t.Errorf("flush %+v", flush)
		}
		if want, ok := said.ranges[flush.ID]; ok && want != fmt.Sprintf("%x %x", flush.First, flush.Last) {
			f.t.Errorf("flush %d has the range %x to %x, want %s", flush.ID, flush.First, flush.Last, want)
		}
		if _, err := f.Request(f.t.Context(), flush.First); err != nil && (!flush.Published || !errors.Is(err, ErrNotFound)) {
			f.t.Errorf("the first request of flush %d: %v", flush.ID, err)
		}
	}
	next := map[string]string{"begun": "path", "path": "published", "published": "", "released": ""}
	for id, state := range said.flushes {
		got := found[id]
		if state == "released" && got != "" || state != "released" && got != state && got != next[state] {
			f.t.Errorf("flush %d was said to be %s and is %q", id, state, got)
		}
		if got == "" {
			delete(said.flushes, id)
			continue
		}
		said.flushes[id] = got
	}
}
