package terminal_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/spanlake/spanlake/internal/terminal"
)

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "chat gpt-4o": "chat gpt-4o", "汉字 é́": "汉字 é́", "a\tb\n": `a\tb\n`, "\x1b[31mred": `\x1b[31mred`, "bell\a": `bell\a`,
		"\u202egnp.exe": `\u202egnp.exe`, "a\x80b": "a\ufffdb", "back\\slash": "back\\slash", "\u009b2J": `\u009b2J`, "quote'": "quote'",
	} {
		if got := terminal.Printable(text); got != want {
			t.Errorf("Printable(%q) = %q, want %q", text, got, want)
		}
	}
	if got, want := terminal.PrintableLines("a\n\x1bb\n"), "a\n\\x1bb\n"; got != want {
		t.Errorf("PrintableLines = %q, want %q", got, want)
	}
}

func TestWidths(t *testing.T) {
	for text, want := range map[string]int{"": 0, "abc": 3, "汉字": 4, "e\u0301": 1, "👩": 2, "é": 1, "한국": 4} {
		if got := terminal.Width(text); got != want {
			t.Errorf("Width(%q) = %d, want %d", text, got, want)
		}
	}
	for _, test := range []struct {
		text  string
		width int
		want  string
	}{
		{"abcdef", 6, "abcdef"}, {"abcdef", 5, "abcd…"}, {"abcdef", 1, "…"}, {"abcdef", 0, ""}, {"abcdef", -1, ""}, {"", 0, ""},
		{"汉字汉字", 8, "汉字汉字"}, {"汉字汉字", 7, "汉字汉…"}, {"汉字汉字", 6, "汉字…"}, {"e\u0301e\u0301e\u0301", 2, "e\u0301…"},
	} {
		if got := terminal.Cut(test.text, test.width); got != test.want {
			t.Errorf("Cut(%q, %d) = %q, want %q", test.text, test.width, got, test.want)
		}
	}
	if got := terminal.Pad("汉", 4) + "|" + terminal.PadLeft("汉", 4) + "|" + terminal.Pad("long", 2); got != "汉  |  汉|long" {
		t.Errorf("padded is %q", got)
	}
}

// What Cut leaves is no wider than asked, and a beginning of the text.
func FuzzCut(f *testing.F) {
	f.Add("汉字 e\u0301 👩‍👩‍👧 abc", 5)
	f.Add("🇩🇪🇫🇷", 3)
	f.Fuzz(func(t *testing.T, text string, width int) {
		text = terminal.Printable(text)
		cut := terminal.Cut(text, width)
		if got := terminal.Width(cut); got > max(width, 0) {
			t.Errorf("Cut(%q, %d) = %q, which takes %d", text, width, cut, got)
		}
		if cut != text && !strings.HasPrefix(text, strings.TrimSuffix(cut, "…")) || !utf8.ValidString(cut) {
			t.Errorf("Cut(%q, %d) = %q", text, width, cut)
		}
	})
}

func TestTablesLineUp(t *testing.T) {
	var out strings.Builder
	err := terminal.Table(&out, []string{"SERVICE", "SPANS", "END"}, [][]string{{"聊天服务", "1", "x"}, {"e\u0301", "22222222", ""}, {"a\tb", "3", "yy"}})
	want := "SERVICE   SPANS     END\n聊天服务  1         x\ne\u0301         22222222  \n" + `a\tb      3         yy` + "\n"
	if err != nil || out.String() != want {
		t.Errorf("%v, got:\n%s\nwant:\n%s", err, out.String(), want)
	}
	if err := terminal.Table(failing{}, []string{"A"}, nil); !errors.Is(err, errFull) {
		t.Errorf("of a writer that fails: %v", err)
	}
}

var errFull = errors.New("full")

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errFull }

func TestDurations(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0ns", 999: "999ns", 1000: "1.00µs", 9994: "9.99µs", 9996: "10.0µs", 99_960: "100µs", 999_499: "999µs", 999_500: "1.00ms",
		12_345_678: "12.3ms", 999_499_999: "999ms", 999_500_000: "1.00s", time.Second: "1.00s", 59_949 * time.Millisecond: "59.9s",
		59_950 * time.Millisecond: "1m00s", 61 * time.Second: "1m01s", 59*time.Minute + 59*time.Second: "59m59s",
		59*time.Minute + 59_600*time.Millisecond: "1h00m", 26*time.Hour + 5*time.Minute: "26h05m", -5 * time.Millisecond: "-5.00ms",
		95*time.Hour + 59*time.Minute: "95h59m", 96 * time.Hour: "4d00h", 999*24*time.Hour + 23*time.Hour: "999d23h", 1000 * 24 * time.Hour: "1000d",
		math.MaxInt64: "106751d", math.MinInt64: "-106751d",
	} {
		if got := terminal.Duration(d); got != want {
			t.Errorf("Duration(%d) = %s, want %s", d, got, want)
		}
	}
}

func TestBars(t *testing.T) {
	for _, test := range []struct {
		offset, length float64
		cells          int
		want           string
	}{
		{0, 1, 4, "████"}, {0, 0, 4, "▏"}, {1, 0, 4, "   ▏"}, {0.5, 0.5, 4, "  ██"}, {0.25, 0.125, 4, " ▌"}, {0.9, 1, 4, "   █"}, {0, 0.999, 2, "██"},
		{-1, 2, 3, "███"}, {math.NaN(), math.Inf(1), 3, "███"}, {0, 1, 0, ""}, {0, -1, 3, "▏"},
	} {
		if got := terminal.Bar(test.offset, test.length, test.cells); got != test.want {
			t.Errorf("Bar(%v, %v, %d) = %q, want %q", test.offset, test.length, test.cells, got, test.want)
		}
	}
}

func TestColours(t *testing.T) {
	var colors terminal.Colors
	seen := make(map[terminal.Color]bool)
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		color := colors.Of(name)
		if seen[color] || color == terminal.Red || colors.Of(name) != color {
			t.Errorf("the colour of %s is %q", name, color)
		}
		seen[color] = true
	}
	if got := terminal.Paint("x", terminal.Red, true) + terminal.Paint("x", terminal.Red, false) + terminal.Paint("", terminal.Red, true); got != "\x1b[31mx\x1b[0mx" {
		t.Errorf("painted is %q", got)
	}
}
