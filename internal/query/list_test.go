package query

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// rowsOf makes rows of words "when/trace": when counts the seconds back from now on, a name after a colon tells spans of the same place
// apart, and a file after an @ says where the row is from.
func rowsOf(words string) (rows []span.Row) {
	for word := range strings.FieldsSeq(words) {
		word, file, _ := strings.Cut(word, "@")
		word, name, _ := strings.Cut(word, ":")
		back, trace, _ := strings.Cut(word, "/")
		start := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC).Add(-time.Duration(back[0]-'0') * time.Second)
		rows = append(rows, span.Row{Metadata: span.Metadata{TraceID: trace, SpanID: "s", Name: name, StartTime: start, EndTime: start}, File: file})
	}
	return rows
}

func TestMerge(t *testing.T) {
	type source struct {
		words string
		more  bool
	}
	for name, tc := range map[string]struct {
		sources []source
		limit   int
		want    string
		more    bool
	}{
		"nothing":                      {nil, 3, "", false},
		"empty listings":               {[]source{{"", false}, {"", false}}, 3, "", false},
		"one":                          {[]source{{"1/a 2/b", false}}, 3, "1/a 2/b", false},
		"one that has more":            {[]source{{"1/a 2/b", true}}, 2, "1/a 2/b", true},
		"in order":                     {[]source{{"1/a 4/d", false}, {"2/b 3/c", false}}, 9, "1/a 2/b 3/c 4/d", false},
		"by trace at the same time":    {[]source{{"1/b 1/d", false}, {"1/a 1/c", false}}, 9, "1/a 1/b 1/c 1/d", false},
		"cut to the limit":             {[]source{{"1/a 4/d", false}, {"2/b 3/c", false}}, 3, "1/a 2/b 3/c", true},
		"the limit exactly":            {[]source{{"1/a 4/d", false}, {"2/b 3/c", false}}, 4, "1/a 2/b 3/c 4/d", false},
		"the first end counts":         {[]source{{"1/a 3/c", true}, {"2/b 4/d", true}}, 9, "1/a 2/b 3/c", true},
		"whichever listing ends first": {[]source{{"2/b 4/d", true}, {"1/a 3/c", true}}, 9, "1/a 2/b 3/c", true},
		"ends with no more do not":     {[]source{{"1/a", false}, {"2/b 4/d", true}}, 9, "1/a 2/b 4/d", true},
		"nothing beyond the end":       {[]source{{"1/a", true}, {"2/b 3/c", false}}, 9, "1/a", true},
		"at the end itself":            {[]source{{"1/a 2/b", true}, {"2/b:other 3/c", false}}, 9, "1/a 2/b 2/b:other", true},
		"more, and none beyond":        {[]source{{"1/a 2/b", true}, {"1/c", false}}, 9, "1/a 1/c 2/b", true},
		"the limit before the end":     {[]source{{"1/a 5/e", true}, {"2/b 3/c", false}}, 2, "1/a 2/b", true},
		"more of nothing":              {[]source{{"", true}, {"1/a", false}}, 9, "1/a", false},
		"same place":                   {[]source{{"1/a:x 1/a:y 2/b", false}}, 1, "1/a:x 1/a:y", true},
		"same place in both":           {[]source{{"1/a:x 2/b", false}, {"1/a:y 3/c", false}}, 1, "1/a:x 1/a:y", true},
		"same place at the very end":   {[]source{{"1/a 2/b:x 2/b:y 2/b:z", false}}, 2, "1/a 2/b:x 2/b:y 2/b:z", false},
		"same place behind the limit":  {[]source{{"1/a 2/b:x 2/b:y", false}}, 1, "1/a", true},
		"repeats":                      {[]source{{"1/a 2/b", false}, {"1/a@f 2/b@f 3/c@f", false}}, 9, "1/a 2/b 3/c@f", false},
		"repeats in one":               {[]source{{"1/a@f 1/a@g 2/b@f", false}}, 9, "1/a@f 2/b@f", false},
		"repeats do not fill a page":   {[]source{{"1/a 2/b", false}, {"1/a@f 2/b@f 3/c@f", false}}, 3, "1/a 2/b 3/c@f", false},
		"the first repeat counts":      {[]source{{"1/a@f", false}, {"1/a", false}}, 9, "1/a@f", false},
		"a repeat at the end":          {[]source{{"1/a 2/b", true}, {"2/b@f 3/c@f", false}}, 9, "1/a 2/b", true},
	} {
		var sources []listing
		for _, s := range tc.sources {
			sources = append(sources, listing{rowsOf(s.words), s.more})
		}
		got := merge(tc.limit, sources...)
		if want := rowsOf(tc.want); !slices.Equal(got.rows, want) || got.more != tc.more {
			t.Errorf("%s: got %v, more: %t, want %s, more: %t", name, got.rows, got.more, tc.want, tc.more)
		}
	}
}

func TestFilterInMicros(t *testing.T) {
	at := time.Date(2026, 11, 24, 12, 0, 0, 123_456_789, time.FixedZone("", 3600))
	got := filterInMicros(span.Filter{From: at, Until: time.Unix(-1, 999_999_999), Name: "n"})
	if !got.From.Equal(at.Add(-789)) || !got.Until.Equal(time.Unix(-1, 999_999_000)) || got.Name != "n" {
		t.Errorf("got %+v", got)
	}
	if got := filterInMicros(span.Filter{}); !got.From.IsZero() || !got.Until.IsZero() {
		t.Errorf("no bound became %+v", got)
	}
}
