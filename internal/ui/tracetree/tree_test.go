package tracetree

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/spanlake/spanlake/internal/span"
)

var begin = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// at makes a span of service "a" from one millisecond of the trace to another.
func at(id, parent string, from, until int) span.Span {
	return span.Span{
		SpanID: id, ParentSpanID: parent, Name: id, ServiceName: "a",
		StartTime: begin.Add(time.Duration(from) * time.Millisecond), EndTime: begin.Add(time.Duration(until) * time.Millisecond),
	}
}

// drawn is a tree as text: depth, name and marks of each row.
func drawn(t *Tree) string {
	var lines []string
	for i := range t.Rows {
		r := &t.Rows[i]
		line := strings.Repeat(".", r.Depth) + r.Span.Name
		for mark, name := range map[Marks]string{Orphan: "orphan", Cycle: "cycle"} {
			if r.Marks&mark != 0 {
				line += " " + name
			}
		}
		for _, mark := range []struct {
			mark Marks
			name string
		}{{Early, "early"}, {Late, "late"}, {Repeated, "repeated"}} {
			if r.Marks&mark.mark != 0 {
				line += " " + mark.name
			}
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestRows(t *testing.T) {
	for _, tc := range []struct {
		name  string
		spans []span.Span
		want  []string
		root  int
	}{
		{"one", []span.Span{at("r", "", 0, 9)}, []string{"r"}, 0},
		{"children by their start, whatever the order they come in",
			[]span.Span{at("b", "r", 5, 6), at("a1", "a", 2, 3), at("a", "r", 1, 4), at("r", "", 0, 9)},
			[]string{"r", ".a", "..a1", ".b"}, 0},
		{"several roots", []span.Span{at("y", "", 3, 4), at("x", "", 0, 1), at("y1", "y", 3, 4)}, []string{"x", "y", ".y1"}, 0},
		{"orphans, the longest of which names the trace", []span.Span{at("o", "gone", 0, 1), at("p", "gone", 2, 9), at("p1", "p", 3, 4)},
			[]string{"o orphan", "p orphan", ".p1"}, 1},
		{"a root is the root though an orphan is longer", []span.Span{at("o", "gone", 0, 50), at("r", "", 1, 2)}, []string{"o orphan", "r"}, 1},
		{"its own parent", []span.Span{at("s", "s", 0, 1)}, []string{"s cycle"}, 0},
		{"a circle with a tail", []span.Span{at("a", "c", 2, 8), at("b", "a", 1, 8), at("c", "b", 3, 8), at("t", "c", 4, 5)},
			[]string{"b cycle", ".c", "..a early", "..t"}, 0},
		{"clocks differ", []span.Span{at("r", "", 2, 9), at("e", "r", 0, 5), at("l", "r", 5, 12), at("n", "r", 7, 6)},
			[]string{"r", ".e early", ".l late", ".n"}, 0},
		{"ids repeat: the parent is the one of the same service",
			[]span.Span{at("r", "", 0, 9), {SpanID: "x", ParentSpanID: "r", Name: "client", ServiceName: "other", StartTime: begin, EndTime: begin},
				at("x", "r", 1, 5), at("y", "x", 2, 3)},
			[]string{"r", ".client repeated", ".x repeated", "..y"}, 0},
		{"the parent has the same id", []span.Span{at("r", "", 0, 9), at("x", "r", 1, 5), at("x", "x", 2, 4)},
			[]string{"r", ".x repeated", "..x repeated"}, 0},
		{"no ids at all", []span.Span{{Name: "n"}, {Name: "m"}}, []string{"n repeated", "m repeated"}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := New(tc.spans)
			if want := strings.Join(tc.want, "\n"); drawn(got) != want {
				t.Errorf("got\n%s\nwant\n%s", drawn(got), want)
			}
			if got.Root != tc.root {
				t.Errorf("the root is row %d", got.Root)
			}
		})
	}
	if got := New(nil); len(got.Rows) != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

func TestSums(t *testing.T) {
	failed := func(s span.Span) span.Span { s.StatusCode = span.StatusError; return s }
	got := New([]span.Span{at("r", "", 10, 90), failed(at("a", "r", 20, 30)), failed(at("a1", "a", 20, 25)), at("b", "r", 0, 95)})
	if got.Errors != 2 || !got.Start.Equal(begin) || got.Duration != 95*time.Millisecond {
		t.Errorf("%d errors from %v for %v", got.Errors, got.Start, got.Duration)
	}
	var below []string
	for _, r := range got.Rows {
		below = append(below, fmt.Sprintf("%s %d %d", r.Span.Name, r.Below, r.ErrorsBelow))
	}
	if want := []string{"r 3 2", "b 0 0", "a 1 1", "a1 0 0"}; !slices.Equal(below, want) {
		t.Errorf("got %q, want %q", below, want)
	}
}

// TestChain is as deep as traces get, and deeper: nothing may call itself.
func TestChain(t *testing.T) {
	const deep = 200_000
	spans := make([]span.Span, deep)
	for i := range spans {
		parent := ""
		if i > 0 {
			parent = fmt.Sprint(i - 1)
		}
		spans[i] = at(fmt.Sprint(i), parent, i, 2*deep-i)
	}
	slices.Reverse(spans)
	got := New(spans)
	if last := got.Rows[deep-1]; last.Depth != deep-1 || got.Rows[0].Below != deep-1 || len(last.Critical) != 1 {
		t.Errorf("the last row is %+v", last)
	}
	spans[deep-1].ParentSpanID = fmt.Sprint(deep - 1) // a circle of all
	if got := New(spans); got.Cycles != 1 || len(got.Rows) != deep {
		t.Errorf("%d cycles, %d rows", got.Cycles, len(got.Rows))
	}
}

func TestTimesOfAnyYear(t *testing.T) {
	odd := at("r", "", 0, 1)
	odd.StartTime, odd.EndTime = time.Time{}, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	if got := New([]span.Span{odd, at("a", "r", 0, 1)}); got.Duration <= 0 || got.Rows[0].Until != got.Duration {
		t.Errorf("from %v for %v", got.Start, got.Duration)
	}
}

// TestAnySpans: whatever comes, each span has one row, below its parent, and the critical path is one line.
func TestAnySpans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.SampledFrom([]string{"", "a", "b", "c", "d", "e", "f"})
		spans := make([]span.Span, rapid.IntRange(1, 12).Draw(t, "spans"))
		for i := range spans {
			from := rapid.IntRange(0, 20).Draw(t, "from")
			spans[i] = at(id.Draw(t, "id"), id.Draw(t, "parent"), from, from+rapid.IntRange(-3, 20).Draw(t, "length"))
			spans[i].ServiceName = rapid.SampledFrom([]string{"a", "b"}).Draw(t, "service")
		}
		got := New(spans)
		seen := make(map[*span.Span]bool)
		var parts []Part
		for i, r := range got.Rows {
			if seen[r.Span] {
				t.Fatalf("%s is there twice", r.Span.Name)
			}
			seen[r.Span] = true
			if r.Parent >= i || r.Parent >= 0 && (i > r.Parent+got.Rows[r.Parent].Below || got.Rows[r.Parent].Span.SpanID != r.Span.ParentSpanID) {
				t.Fatalf("row %d of %s below %d", i, r.Span.Name, r.Parent)
			}
			parts = append(parts, r.Critical...)
		}
		if len(seen) != len(spans) {
			t.Fatalf("%d rows of %d spans", len(seen), len(spans))
		}
		slices.SortFunc(parts, func(a, b Part) int { return int(a.From - b.From) })
		for i, p := range parts {
			if p.From >= p.Until || p.From < 0 || p.Until > got.Duration || i > 0 && p.From < parts[i-1].Until {
				t.Fatalf("the critical path is %v", parts)
			}
		}
	})
}

func BenchmarkNew(b *testing.B) {
	spans := make([]span.Span, 10_000)
	for i := range spans {
		parent := ""
		if i > 0 {
			parent = fmt.Sprint((i - 1) / 4)
		}
		spans[i] = at(fmt.Sprint(i), parent, i, 2*len(spans)-i)
		spans[i].Attributes = `{"gen_ai.operation.name":"chat","gen_ai.usage.input_tokens":100,"input.value":"` + strings.Repeat("some words ", 50) + `"}`
	}
	b.ReportAllocs()
	for b.Loop() {
		New(spans)
	}
}
