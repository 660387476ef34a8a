package query

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

func TestACursorIsAPlace(t *testing.T) {
	at := time.Date(2026, 11, 24, 12, 0, 0, 123_456_000, time.UTC)
	for name, want := range map[string]span.Key{
		"a span":         {StartTime: at, TraceID: strings.Repeat("a", 32), SpanID: "00f067aa0ba902b7"},
		"only a time":    {StartTime: at},
		"of any writers": {StartTime: at, TraceID: "é \x00 \"quoted\" \u2028 <&>", SpanID: strings.Repeat("x", 1000)},
		"before 1970":    {StartTime: at.AddDate(-300, 0, 0), TraceID: "t", SpanID: "s"},
		"1970":           {StartTime: time.Unix(0, 0).UTC(), TraceID: "t", SpanID: "s"},
		"far away":       {StartTime: at.AddDate(250, 0, 0), TraceID: "t", SpanID: "s"},
	} {
		if got, err := decodeCursor(encodeCursor(want)); err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, want)
		}
	}
	if got, err := decodeCursor(""); err != nil || !got.IsZero() {
		t.Errorf("without a cursor: %+v, %v, want the beginning", got, err)
	}
}

func TestWhatIsNoCursor(t *testing.T) {
	encode := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	for name, text := range map[string]string{
		"no base64": "%%%", "padded": base64.URLEncoding.EncodeToString([]byte(`{"t":1}`)), "empty": encode(" "), "no JSON": encode("x"),
		"a list": encode("[]"), "a text": encode(`{"t":"1"}`), "a fraction": encode(`{"t":1.5}`), "two": encode(`{"t":1}{"t":1}`),
		"long ago": encode(`{"t":-9000000000000000000}`), "in the year 100,000": encode(`{"t":3093000000000000000}`),
		"overflow": encode(`{"t":9223372036854775808}`), "huge ids": encode(`{"t":1,"trace":"` + strings.Repeat("x", 1<<12+1) + `"}`),
		"half of one": encodeCursor(span.Key{StartTime: time.Unix(1, 0), TraceID: "t"})[:10],
	} {
		got, err := decodeCursor(text)
		if invalid := (*span.InvalidError)(nil); !errors.As(err, &invalid) || invalid.What != "cursor" || !got.IsZero() {
			t.Errorf("%s: %+v, %v, want an InvalidError", name, got, err)
		}
	}
}

// FuzzCursor: whatever is sent as a cursor is refused, or is a place that has a cursor.
func FuzzCursor(f *testing.F) {
	f.Add("")
	f.Add("%%%")
	f.Add(encodeCursor(span.Key{StartTime: time.Unix(1_795_461_163, 0), TraceID: strings.Repeat("a", 32), SpanID: strings.Repeat("b", 16)}))
	for _, text := range []string{`{"t":-1}`, `{"t":9223372036854775807}`, `{"T":1,"Trace":"x","t":2}`, `{"t":1,"span":"\ud800"}`, `null`, `{"t":null}`, "{\"t\":1,\"trace\":\"\xff\"}"} {
		f.Add(base64.RawURLEncoding.EncodeToString([]byte(text)))
	}
	f.Fuzz(func(t *testing.T, text string) {
		key, err := decodeCursor(text)
		if err != nil {
			if invalid := (*span.InvalidError)(nil); !errors.As(err, &invalid) {
				t.Fatalf("decodeCursor(%q) = %v, want an InvalidError", text, err)
			}
			return
		}
		if text == "" {
			return
		}
		again, err := decodeCursor(encodeCursor(key))
		if err != nil || again != key || key.IsZero() || key.Compare(again) != 0 {
			t.Fatalf("decodeCursor(%q) = %+v, whose cursor is %+v, %v", text, key, again, err)
		}
	})
}
