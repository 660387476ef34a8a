package main

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// curled is a command of docs/api.md, and the lines that it shows.
type curled struct {
	path, accept string
	shown        []string
}

// curls finds the commands of docs/api.md that get something of spans.
func curls(t *testing.T) (all []curled) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "api.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Spans\n")
	section, _, _ = strings.Cut(section, "\n## Streams\n")
	command := regexp.MustCompile(`^\$ curl -sN?(?: -H 'Accept: ([^']*)')?(?: -o \S+)? 'http://127\.0\.0\.1:1323(/[^']*)'$`)
	inside := false
	for line := range strings.Lines(section) {
		line = strings.TrimSuffix(line, "\n")
		switch found := command.FindStringSubmatch(line); {
		case strings.HasPrefix(line, "```"):
			inside = line == "```console"
		case !inside:
		case found != nil:
			all = append(all, curled{path: found[2], accept: found[1]})
		case strings.HasPrefix(line, "$"):
			t.Errorf("%s is not understood", line)
		default:
			all[len(all)-1].shown = append(all[len(all)-1].shown, line)
		}
	}
	return all
}

// TestCommandsOfTheDocumentation runs what docs/api.md says of spans, on the lake that it speaks of, and compares what it shows up to "...".
func TestCommandsOfTheDocumentation(t *testing.T) {
	i := newIngesting(t)
	i.must("sample")
	s := i.start(i.args("serve")...)
	s.must("index") // waits until it is indexed
	all := curls(t)
	if len(all) != 17 {
		t.Errorf("%d commands are found", len(all))
	}
	for _, c := range all {
		if strings.HasPrefix(c.path, "/api/v1/tail") {
			continue // TestRESTTail reads one
		}
		a := s.fetch(t, c.path, c.accept)
		body := string(a.body)
		if a.code != http.StatusOK || body == "" || c.accept != "" && a.header.Get("Content-Type") != c.accept {
			t.Errorf("%s: %s %s", c.path, a.status, body)
		}
		for _, shown := range c.shown {
			if beginning, cut := strings.CutSuffix(shown, "..."); !strings.HasPrefix(body, beginning) || !cut && shown != strings.TrimSpace(body) {
				t.Errorf("%s shows\n%s\nbut the documentation says\n%s", c.path, body[:min(len(body), len(shown)+20)], shown)
			}
		}
	}
}
