package spantext_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/spantext"
	"github.com/spanlake/spanlake/internal/terminal"
)

var update = flag.Bool("update", false, "write the golden files of testdata anew")

func assertGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: run go test -update if the output is new", err)
	}
	if got != string(want) {
		t.Errorf("%s: run go test -update if this is as it should be\n got:\n%s\nwant:\n%s", path, got, want)
	}
}

func draw(t testing.TB, spans []span.Span, o spantext.Options) string {
	t.Helper()
	var out strings.Builder
	if err := spantext.WriteTrace(&out, spans, o); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

var begin = time.Date(2026, 11, 1, 0, 0, 0, 123_456_789, time.UTC)

// made is a span of a trace: offset and length are in milliseconds.
func made(id, parent, service, name string, offset, length int, edits ...func(*span.Span)) span.Span {
	pad := func(id string) string {
		if id == "" {
			return ""
		}
		return strings.Repeat("0", 16-len(id)) + id
	}
	start := begin.Add(time.Duration(offset) * time.Millisecond)
	s := span.Span{TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", SpanID: pad(id), ParentSpanID: pad(parent), ServiceName: service, Name: name,
		Kind: span.KindClient, StartTime: start, EndTime: start.Add(time.Duration(length) * time.Millisecond)}
	for _, edit := range edits {
		edit(&s)
	}
	return s
}

func failed(message string) func(*span.Span) {
	return func(s *span.Span) { s.StatusCode, s.StatusMessage = span.StatusError, message }
}

// usual is a trace as agents make them.
func usual() []span.Span {
	return []span.Span{
		made("5", "4", "llm-gateway", "chat gpt-4o", 170, 1860, failed("upstream timed out")),
		made("1", "", "web-frontend", "POST /chat", 0, 2310),
		made("2", "1", "chat-api", "chat", 10, 2290),
		made("3", "2", "vector-store", "retrieve", 30, 120),
		made("4", "2", "llm-gateway", "complete", 160, 1880, failed("")),
		made("6", "1", "web-frontend", "render", 2301, 8),
	}
}

func TestTraces(t *testing.T) {
	deep := []span.Span{made("1", "", "agent", "run", 0, 3000)}
	for i := 1; i < 30; i++ {
		deep = append(deep, made(fmt.Sprintf("%x", i+1), fmt.Sprintf("%x", i), "agent", "step "+fmt.Sprint(i), 10*i, 3000-20*i))
	}
	for name, spans := range map[string][]span.Span{
		"usual":   usual(),
		"nothing": {},
		"one":     {made("1", "", "", "", 0, 0)},
		"deep":    deep,
		"no-root": {made("2", "ff", "a", "second", 10, 5), made("1", "fe", "a", "first", 0, 5), made("3", "ff", "a", "third", 11, 5), made("4", "3", "a", "child", 12, 1)},
		"circles": {
			made("1", "", "a", "root", 0, 100), made("2", "2", "a", "own parent", 1, 5), made("3", "4", "a", "of four", 3, 5), made("4", "5", "a", "of five", 2, 5),
			made("5", "3", "a", "of three", 4, 5), made("6", "4", "a", "below the circle", 5, 5),
		},
		"repeated-ids": {
			made("1", "", "a", "root", 0, 100), made("1", "", "a", "root again", 1, 100), made("2", "1", "a", "child", 5, 5), made("2", "1", "a", "child again", 6, 5),
			made("3", "2", "a", "grandchild", 7, 1),
		},
		"odd-times": {
			made("1", "", "a", "root", 100, 100), made("2", "1", "a", "before its parent", 0, 10), made("3", "1", "a", "ends before it starts", 150, -20),
			made("4", "1", "a", "after all others", 300, 100),
		},
		"hostile-names": {
			made("1", "", "sv\x1b[31mc", "clear\x1b[2J", 0, 100), made("2", "1", "聊天服务", "查询 天气 e\u0301", 0, 10), made("3", "1", "a\tb", strings.Repeat("long ", 100), 1, 2),
			made("4", "1", "\u202e", "two\nlines", 1, 2, failed("three\nlines\x00\n"+strings.Repeat("x", 300))),
		},
	} {
		t.Run(name, func(t *testing.T) {
			var all strings.Builder
			for _, width := range []int{80, 120} {
				fmt.Fprintf(&all, "== %d\n%s", width, draw(t, spans, spantext.Options{Width: width}))
			}
			assertGolden(t, name, all.String())
		})
	}
	assertGolden(t, "colours", strings.ReplaceAll(draw(t, usual(), spantext.Options{Width: 100, Colors: true}), "\x1b", "ESC"))
}

// sgr is a colour, which takes no room.
var sgr = regexp.MustCompile("\x1b\\[[0-9]+m")

// check looks for what must hold of every trace: each span has one line, no line is too long, and nothing moves the cursor.
func check(t testing.TB, spans []span.Span, width int, colors bool) {
	t.Helper()
	text := draw(t, spans, spantext.Options{Width: width, Colors: colors})
	if !colors && strings.Contains(text, "\x1b") {
		t.Fatalf("there is an escape sequence: %q", text)
	}
	text = sgr.ReplaceAllString(text, "")
	counts := make(map[string]int)
	for i := range spans {
		counts[terminal.Printable(spans[i].SpanID)]++
	}
	lines := strings.Split(text, "\n")
	ids := make(map[string]int)
	for i, line := range lines {
		if terminal.Printable(line) != line {
			t.Fatalf("line %q has what is not printable", line)
		}
		if got := terminal.Width(line); i >= 3 && got > max(width, 60) {
			t.Fatalf("a line takes %d of %d cells: %q", got, width, line)
		}
		if fields := strings.Fields(line); i > 3 && len(fields) > 2 {
			ids[fields[len(fields)-1]]++
		}
	}
	if width < 120 || len(spans) == 0 {
		return
	}
	for id, n := range counts {
		if ids[id] != n {
			t.Fatalf("span %s has %d lines, want %d:\n%s", id, ids[id], n, text)
		}
	}
}

// FuzzTraces makes traces of bytes: whose parents, times and names are what they like.
func FuzzTraces(f *testing.F) {
	f.Add([]byte("\x01\x00\x02\x01\x03\x02\x04\x04\x05\x06\x06\x05\x07\x09"), "name", 120)
	f.Add([]byte{1, 1, 1, 1, 2, 1, 1, 2}, "汉\x1b[2J", 80)
	f.Add([]byte("00"), "a service with a long name", 60)
	f.Fuzz(func(t *testing.T, links []byte, name string, width int) {
		width = min(max(width, -1), 500)
		var spans []span.Span
		for i := 0; i+1 < len(links); i += 2 {
			parent := ""
			if links[i+1] > 0 {
				parent = fmt.Sprintf("%016x", links[i+1])
			}
			start := begin.Add(time.Duration(int8(links[i+1])) * time.Millisecond)
			spans = append(spans, span.Span{TraceID: "t", SpanID: fmt.Sprintf("%016x", links[i]), ParentSpanID: parent, ServiceName: name, Name: name, StatusMessage: name,
				StatusCode: span.StatusCode(links[i] % 3), StartTime: start, EndTime: start.Add(time.Duration(int8(links[i])) * time.Second)})
		}
		check(t, spans, width, len(links)%2 == 1)
	})
}

// Tens of thousands of spans, beside each other or below each other, are drawn before anybody looks up.
func TestLargeTraces(t *testing.T) {
	const n = 20_000
	random := rand.New(rand.NewPCG(1, 1))
	for name, parent := range map[string]func(int) int{
		"wide": func(int) int { return 1 }, "deep": func(i int) int { return i - 1 }, "any": func(i int) int { return 1 + random.IntN(i-1) },
		"one circle": func(i int) int { return i%n + 1 },
	} {
		spans := make([]span.Span, 0, n)
		for i := 1; i <= n; i++ {
			above := ""
			if i > 1 || name == "one circle" {
				above = fmt.Sprintf("%x", parent(max(i, 2)))
			}
			spans = append(spans, made(fmt.Sprintf("%x", i), above, "svc", "op", i, 10))
		}
		started := time.Now()
		text := draw(t, spans, spantext.Options{Width: 120})
		// It takes 0.1 s; the rest is for machines that are busy with other tests.
		if took := time.Since(started); took > 10*time.Second {
			t.Errorf("%s: it took %s", name, took)
		}
		if lines := strings.Count(text, "\n"); lines < n+4 || lines > n+5 {
			t.Errorf("%s: there are %d lines", name, lines)
		}
	}
}

// The extremes of what a file can hold are times like others.
func TestExtremeTimes(t *testing.T) {
	for _, years := range [][2]int{{1678, 2261}, {2261, 1678}} {
		s := made("1", "", "a", "op", 0, 0)
		s.StartTime, s.EndTime = time.Date(years[0], 1, 1, 0, 0, 0, 0, time.UTC), time.Date(years[1], 1, 1, 0, 0, 0, 0, time.UTC)
		check(t, []span.Span{s, made("2", "1", "a", "op", 0, 1)}, 120, false)
	}
}

func details(t testing.TB, s span.Span, colors bool) string {
	t.Helper()
	var out strings.Builder
	if err := spantext.WriteSpan(&out, &s, spantext.Options{Colors: colors}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestSpans(t *testing.T) {
	assertGolden(t, "span-least", details(t, made("1", "", "web", "op", 0, 5), false))
	all := made("2", "1", "llm-gateway", "chat gpt-4o", 10, 1500, failed("upstream timed out\nafter 3 tries"), func(s *span.Span) {
		s.Attributes = `{"gen_ai.request.model":"gpt-4o","a":"","n":1.50,"big":12345678901234567890,"list":[1, {"x":null}],"nothing":null,"ok":true,` +
			`"prompt":"line one\nline two\n\n  \u001b[31mred","` + strings.Repeat("k", 60) + `":1}`
		s.Events = `[{"name":"first_token","time_nanos":1793491200233456789,"attributes":{"ms":23}},{"name":"","time_nanos":1,"dropped_attributes_count":4}]`
		s.Links = `[{"trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331","trace_state":"a=b","flags":1,"attributes":{"why":"retry"}}]`
		s.ResourceAttributes, s.ResourceSchemaURL = `{"service.name":"llm-gateway","host.name":"h1"}`, "https://opentelemetry.io/schemas/1.37.0"
		s.ScopeName, s.ScopeVersion, s.ScopeAttributes = "openinference", "1.2.3", `{}`
		s.TraceState, s.Flags, s.DroppedAttributesCount, s.DroppedEventsCount, s.DroppedLinksCount = "v=1", 0x101, 1, 2, 3
	})
	assertGolden(t, "span-all", details(t, all, false))
	assertGolden(t, "span-colours", strings.ReplaceAll(details(t, all, true), "\x1b", "ESC"))
	odd := made("3", "", "web", "of another writer", 0, 5, func(s *span.Span) {
		s.Attributes, s.Events, s.Links = `["no object"]`, `{"no":"list"}`, `[{"trace_id":7}]`
		s.ResourceAttributes, s.ScopeAttributes = `{"cut`, `{} {}`
	})
	assertGolden(t, "span-odd", details(t, odd, false))
}

// Whatever the columns of a file say, nothing moves the cursor.
func FuzzSpans(f *testing.F) {
	f.Add(`{"a":"b"}`, `[{"name":"e","time_nanos":5,"attributes":{"x":1}}]`, "name")
	f.Add(`{"\u001b":"\u001b\n"}`, `[{"trace_id":"\u001b"}]`, "\x1b")
	f.Fuzz(func(t *testing.T, object, list, text string) {
		s := made("1", "", text, text, 0, 1, failed(text))
		s.Attributes, s.ResourceAttributes, s.ScopeAttributes, s.Events, s.Links, s.TraceState = object, object, object, list, list, text
		if got := details(t, s, false); terminal.PrintableLines(got) != got {
			t.Errorf("it has what is not printable: %q", got)
		}
	})
}

var errFull = errors.New("full")

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errFull }

func TestWritersThatFail(t *testing.T) {
	s := usual()
	if err := spantext.WriteTrace(failing{}, s, spantext.Options{}); !errors.Is(err, errFull) {
		t.Errorf("WriteTrace: %v", err)
	}
	if err := spantext.WriteSpan(failing{}, &s[0], spantext.Options{}); !errors.Is(err, errFull) {
		t.Errorf("WriteSpan: %v", err)
	}
}
