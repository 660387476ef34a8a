package ui

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// layersOfNodes are the services from left to right and, in a layer, from top to bottom.
func layersOfNodes(m mapLayout, names string) string {
	type at struct {
		x, y float64
		name byte
	}
	var all []at
	for i, p := range m.nodes {
		all = append(all, at{p.X, p.Y, names[i]})
	}
	slices.SortFunc(all, func(a, b at) int {
		if a.x != b.x {
			return int(math.Copysign(1, a.x-b.x))
		}
		return int(math.Copysign(1, a.y-b.y))
	})
	var text strings.Builder
	for i, a := range all {
		if i > 0 && all[i-1].x != a.x {
			text.WriteByte(' ')
		}
		text.WriteByte(a.name)
	}
	return text.String()
}

// callsOf reads calls such as "a>b b>c:9".
func callsOf(text, names string) (calls []mapCall) {
	for one := range strings.FieldsSeq(text) {
		c := mapCall{from: strings.IndexByte(names, one[0]), to: strings.IndexByte(names, one[2]), calls: 1}
		if len(one) > 3 {
			if _, err := fmt.Sscanf(one[3:], ":%d", &c.calls); err != nil {
				panic(err)
			}
		}
		calls = append(calls, c)
	}
	return calls
}

func TestMapLayout(t *testing.T) {
	for name, tc := range map[string]struct{ names, calls, want, turned string }{
		"nothing":                        {"", "", "", ""},
		"one":                            {"a", "", "a", ""},
		"a chain":                        {"abc", "c>b b>a", "c b a", ""},
		"a diamond":                      {"abcd", "a>b a>c b>d c>d", "a bc d", ""},
		"a long call passes a layer":     {"abc", "a>b b>c a>c", "a b c", ""},
		"who is called late stands late": {"abcd", "a>b b>c d>c", "a bd c", ""},
		"both ways: the fewer turn":      {"ab", "a>b:3 b>a:5", "b a", "a>b"},
		"a circle turns at its weakest":  {"abc", "a>b:9 b>c:1 c>a:9", "c a b", "b>c"},
		"crossings are avoided":          {"abcd", "a>d b>c", "ab dc", ""},
		"alone is below":                 {"abcz", "a>b b>c", "az b c", ""},
	} {
		t.Run(name, func(t *testing.T) {
			calls := callsOf(tc.calls, tc.names)
			m := layOut(len(tc.names), calls)
			if got := layersOfNodes(m, tc.names); got != tc.want {
				t.Errorf("the layers are %q, want %q", got, tc.want)
			}
			var turned []string
			for i, c := range calls {
				if m.turned[i] {
					turned = append(turned, string([]byte{tc.names[c.from], '>', tc.names[c.to]}))
				}
			}
			if got := strings.Join(turned, " "); got != tc.turned {
				t.Errorf("turned are %q, want %q", got, tc.turned)
			}
		})
	}
}

// TestAnyMap looks at maps of any calls: nothing covers anything else, lines go from left to right between their services, and the same
// calls give the same map.
func TestAnyMap(t *testing.T) {
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 1))
		n := 1 + random.IntN(mostNodes)
		var calls []mapCall
		for range random.IntN(3 * n) {
			if a, b := random.IntN(n), random.IntN(n); a != b && !slices.ContainsFunc(calls, func(c mapCall) bool { return c.from == a && c.to == b }) {
				calls = append(calls, mapCall{a, b, random.Int64N(1000)})
			}
		}
		m := layOut(n, calls)
		if again := layOut(n, calls); !reflect.DeepEqual(m, again) {
			t.Fatalf("seed %d: the same calls give two maps", seed)
		}
		for i, a := range m.nodes {
			if a.X < 0 || a.Y < 0 || a.X+nodeWidth > m.width || a.Y+nodeHeight > m.height || math.IsNaN(a.X+a.Y) {
				t.Errorf("seed %d: service %d at %v is not on the map of %.0f x %.0f", seed, i, a, m.width, m.height)
			}
			for j, b := range m.nodes[:i] {
				if math.Abs(a.X-b.X) < nodeWidth && math.Abs(a.Y-b.Y) < nodeHeight {
					t.Errorf("seed %d: services %d and %d are at %v and %v", seed, i, j, a, b)
				}
			}
		}
		for i, c := range calls {
			from, to := c.ends(m.turned[i])
			line := m.lines[i]
			if start, end := line[0], line[len(line)-1]; start.X != m.nodes[from].X+nodeWidth || end.X != m.nodes[to].X ||
				math.Abs(start.Y-m.nodes[from].Y-nodeHeight/2) > nodeHeight/2 || math.Abs(end.Y-m.nodes[to].Y-nodeHeight/2) > nodeHeight/2 {
				t.Errorf("seed %d: the call %v goes from %v to %v, between services at %v and %v", seed, c, start, end, m.nodes[from], m.nodes[to])
			}
			if !slices.IsSortedFunc(line, func(a, b mapPoint) int { return int(math.Copysign(1, a.X-b.X)) }) {
				t.Errorf("seed %d: the call %v goes back and forth: %v", seed, c, line)
			}
		}
	}
}

func TestMapOfTooManyServices(t *testing.T) {
	var counts []span.Statistics
	var calls []span.Dependency
	for i := range 100 {
		counts = append(counts, span.Statistics{ServiceName: fmt.Sprintf("s%02d", i), SpanCount: int64(i + 1)})
		calls = append(calls, span.Dependency{Parent: fmt.Sprintf("s%02d", i), Child: fmt.Sprintf("s%02d", (i+1)%100), Calls: 1})
	}
	p := period{From: time.Unix(0, 0), Until: time.Unix(3600, 0)}
	m := mapOf(counts, calls, "", p, p)
	if len(m.Nodes) != mostNodes || m.Hidden != 40 || m.Nodes[0].Name != "s40" {
		t.Errorf("shown are %d services from %s on, %d are hidden", len(m.Nodes), m.Nodes[0].Name, m.Hidden)
	}
	m = mapOf(counts, calls, "s05", p, p)
	var names []string
	for i := range m.Nodes {
		names = append(names, m.Nodes[i].Name)
	}
	if want := []string{"s04", "s05", "s06"}; !slices.Equal(names, want) || len(m.Lines) != 2 {
		t.Errorf("around s05 are %q with %d lines, want %q with 2", names, len(m.Lines), want)
	}
	// All call all: the lines of most calls are drawn, in a time that a page may take.
	calls = nil
	for i := range 100 {
		for j := range 100 {
			calls = append(calls, span.Dependency{Parent: fmt.Sprintf("s%02d", i), Child: fmt.Sprintf("s%02d", j), Calls: int64(i * j)})
		}
	}
	began := time.Now()
	m = mapOf(counts, calls, "", p, p)
	if took := time.Since(began); len(m.Lines) != mostLines || m.HiddenLines != mostNodes*(mostNodes-1)-mostLines || took > 30*time.Second {
		t.Errorf("of calls between all, %d are drawn and %d not, after %v", len(m.Lines), m.HiddenLines, took)
	}
	// What calls itself is shown without a line, and services of which nothing was counted are there with their calls.
	m = mapOf(nil, []span.Dependency{{Parent: "a", Child: "a", Calls: 3}, {Parent: "a", Child: "", Calls: 1}}, "", p, p)
	if len(m.Nodes) != 2 || len(m.Lines) != 1 || m.Nodes[0].Link != "" || m.Nodes[0].Short != "(no service)" {
		t.Errorf("the map has %d services and %d lines: %+v", len(m.Nodes), len(m.Lines), m.Nodes)
	}
}
