package tracetree

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// path is the critical path as text, in the order of time.
func path(t *Tree) string {
	type named struct {
		name string
		Part
	}
	var all []named
	for i := range t.Rows {
		for _, p := range t.Rows[i].Critical {
			all = append(all, named{t.Rows[i].Span.Name, p})
		}
	}
	slices.SortFunc(all, func(a, b named) int { return int(a.From - b.From) })
	var texts []string
	for _, p := range all {
		texts = append(texts, fmt.Sprintf("%s %d-%d", p.name, p.From/time.Millisecond, p.Until/time.Millisecond))
	}
	return strings.Join(texts, ", ")
}

func TestCriticalPath(t *testing.T) {
	of := func(service string, kind span.Kind, s span.Span) span.Span {
		s.ServiceName, s.Kind = service, kind
		return s
	}
	for _, tc := range []struct {
		name  string
		spans []span.Span
		want  string
	}{
		{"one span", []span.Span{at("r", "", 0, 10)}, "r 0-10"},
		{"no duration", []span.Span{at("r", "", 0, 0)}, ""},
		{"one after the other", []span.Span{at("r", "", 0, 100), at("a", "r", 10, 40), at("b", "r", 50, 90)},
			"r 0-10, a 10-40, r 40-50, b 50-90, r 90-100"},
		{"parallel: the one that ends last", []span.Span{at("r", "", 0, 100), at("a", "r", 10, 90), at("b", "r", 10, 60), at("c", "r", 20, 30)},
			"r 0-10, a 10-90, r 90-100"},
		{"one that had ended when the last began", []span.Span{at("r", "", 0, 100), at("a", "r", 0, 40), at("b", "r", 5, 55), at("c", "r", 50, 100)},
			"a 0-40, r 40-50, c 50-100"},
		{"grandchildren", []span.Span{at("r", "", 0, 100), at("a", "r", 10, 90), at("a1", "a", 20, 50), at("a2", "a", 40, 80)},
			"r 0-10, a 10-40, a2 40-80, a 80-90, r 90-100"},
		{"started and left alone", []span.Span{at("r", "", 0, 100), at("a", "r", 10, 40), at("async", "r", 50, 500)},
			"r 0-10, a 10-40, r 40-100"},
		{"begun when the parent had ended", []span.Span{at("r", "", 0, 100), at("after", "r", 100, 500)}, "r 0-100"},
		{"a clock was read a little later", []span.Span{at("r", "", 0, 1000), at("a", "r", 100, 1010)}, "r 0-100, a 100-1000"},
		{"a server whose clock is ahead", []span.Span{at("r", "", 0, 100), of("b", span.KindServer, at("s", "r", 30, 130)), at("s1", "s", 40, 120)},
			"r 0-30, s 30-40, s1 40-100"},
		{"a server whose clock is behind", []span.Span{at("r", "", 20, 100), of("b", span.KindServer, at("s", "r", 0, 60))},
			"s 20-60, r 60-100"},
		{"who takes a message goes on alone", []span.Span{at("r", "", 0, 100), of("b", span.KindConsumer, at("m", "r", 30, 130))}, "r 0-100"},
		{"a message that was waited for", []span.Span{at("r", "", 0, 100), of("b", span.KindConsumer, at("m", "r", 30, 80))},
			"r 0-30, m 30-80, r 80-100"},
		{"backwards", []span.Span{at("r", "", 0, 100), at("n", "r", 60, 40)}, "r 0-100"},
		{"the root is missing", []span.Span{at("a", "gone", 0, 30), at("b", "gone", 20, 60), at("c", "gone", 40, 100), at("c1", "c", 50, 90)},
			"a 0-30, c 40-50, c1 50-90, c 90-100"},
		{"orphans beside a root", []span.Span{at("r", "", 0, 50), at("o", "gone", 60, 100)}, "r 0-50"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := path(New(tc.spans)); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}
