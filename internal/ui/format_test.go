package ui

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanlake/spanlake/internal/span"
)

func TestNoticesSayWhatIsMissing(t *testing.T) {
	if all := notices(span.Completeness{Hot: span.HotSource{State: span.HotLocal}}); len(all) > 0 {
		t.Errorf("a complete answer has notices: %q", all)
	}
	got := notices(span.Completeness{
		Hot:          span.HotSource{State: span.HotUnreachable, Address: "127.0.0.1:50060", Error: "connection refused"},
		FilesPending: 1, FilesFailed: 2, Truncated: true, Reason: "the search took longer than 10s",
	})
	want := []string{
		"Spans of the last minutes are missing: the process that takes them in, at 127.0.0.1:50060, does not answer (connection refused).",
		"1 file of the lake waits to be indexed and is not in this answer.",
		"2 files could not be indexed and may have spans of this time: see Index.",
		"There may be more: the search took longer than 10s.",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTimes(t *testing.T) {
	berlin := time.FixedZone("CET", 3600)
	for _, c := range []struct {
		at   time.Time
		want string
	}{
		{time.Time{}, ""},
		{time.Date(2026, 11, 29, 19, 3, 30, 123_456_789, berlin),
			`<time datetime="2026-11-29T18:03:30.123456Z" title="2026-11-29 18:03:30.123 UTC">2026-11-29 18:03:30.123 UTC</time>`},
	} {
		if got := string(timeTag(c.at)); got != c.want {
			t.Errorf("%v: %s", c.at, got)
		}
	}
	// A year that no browser knows must not break out of the element.
	if got := string(timeTag(time.Unix(1<<55, 0))); strings.Count(got, "<") != 2 || strings.Count(got, `"`) != 4 {
		t.Errorf("a time far away is %s", got)
	}
}

func TestAsManyServicesAsThereAreColoursDifferInColour(t *testing.T) {
	var c colours
	seen := make(map[int]string)
	for i := range colourCount {
		name := fmt.Sprintf("service %d", i)
		c.add(name)
		c.add(name)
		n := c.number[name] % colourCount
		if other, ok := seen[n]; ok {
			t.Errorf("%s has the colour of %s", name, other)
		}
		seen[n] = name
	}
	c.add("one more")
	if len(c.number) != colourCount+1 || c.number["service 0"] != 0 {
		t.Errorf("the numbers are %v", c.number)
	}
}

// Each colour that is given out must be in the style.
func TestTheStyleHasAllColours(t *testing.T) {
	style, err := files.ReadFile("assets/app.css")
	if err != nil {
		t.Fatal(err)
	}
	module, err := files.ReadFile("assets/colours.js")
	if err != nil {
		t.Fatal(err)
	}
	for i := range colourCount {
		if !strings.Contains(string(style), fmt.Sprintf("\n.c%d {", i)) {
			t.Errorf("app.css has no colour %d", i)
		}
	}
	if strings.Contains(string(style), fmt.Sprintf("\n.c%d {", colourCount)) || !strings.Contains(string(module), fmt.Sprintf("const count = %d;", colourCount)) {
		t.Error("app.css, colours.js and the server count colours differently")
	}
}
