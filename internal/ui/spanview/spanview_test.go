package spanview

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

func secondsAfter1970(n int64) time.Time { return time.Unix(n, 0).UTC() }

func TestAttributesByNamespace(t *testing.T) {
	v := Of(&span.Span{Attributes: `{"b.k.10":1,"b.k.9":"two\nlines","flat":true,"a.json":"{\"x\":[1,{\"y\":null}]}","a.list":["x","y"],"b":{"c":{"d":1}},"a":null,
		"a.same":1,"a.same":2,"with=sign.k":"v","a.float":1e400,"":"empty"}`}, nil)
	var got []string
	for _, g := range v.Attributes.Groups {
		for _, r := range g.Rows {
			got = append(got, fmt.Sprintf("%s %s%s %s %s find=%s", g.Name, r.Prefix, r.Key, r.Body.Type, bodyText(&r.Body), r.Find))
		}
	}
	want := []string{
		`a a.float number 1e400 find=/?attribute=a.float%3D1e400`,
		`a a.json object JSON {"x":[1,{"y":null}]} find=`,
		`a a.list array ["x", "y"] find=`,
		`a a.same number 1 find=/?attribute=a.same%3D1`,
		`a a.same number 2 find=/?attribute=a.same%3D2`,
		"b b.k.9 string two\nlines find=",
		`b b.k.10 number 1 find=/?attribute=b.k.10%3D1`,
		`with=sign with=sign.k string v find=`,
		`  string empty find=`,
		` a null null find=`,
		` b object JSON {"c":{"d":1}} find=`,
		` flat boolean true find=/?attribute=flat%3Dtrue`,
	}
	if a, b := strings.Join(got, "\n"), strings.Join(want, "\n"); a != b {
		t.Errorf("got\n%s\nwant\n%s", a, b)
	}
}

func TestDamagedColumns(t *testing.T) {
	s := &span.Span{Attributes: `{"a":1,`, Events: `{"no":"array"}`, Links: `[3]`, ResourceAttributes: `"text"`, ScopeAttributes: `{`, StatusMessage: "m"}
	v := Of(s, nil)
	var what []string
	for _, p := range v.Problems {
		what = append(what, p.What+": "+p.Text.All)
	}
	if got := strings.Join(what, "\n"); got != "Attributes: {\"a\":1,\nEvents: {\"no\":\"array\"}\nLinks: [3]\nResource: \"text\"\nScope: {" {
		t.Errorf("the problems are\n%s", got)
	}
	if v.Attributes.Count != 1 {
		t.Errorf("%d attributes were read before the damage", v.Attributes.Count)
	}
	if v := Of(&span.Span{Attributes: "null", Events: "null", Links: "null"}, nil); len(v.Problems) != 0 {
		t.Errorf("null is a problem: %+v", v.Problems)
	}
}

func TestEventsAndLinks(t *testing.T) {
	v := Of(&span.Span{TraceID: "t1", StartTime: secondsAfter1970(10), StatusMessage: "no index",
		Events: `[{"name":"exception","time_nanos":10500000000,"attributes":{"exception.type":"E","exception.message":"no index","exception.stacktrace":"a\nb"}},
			{"name":"early","time_nanos":9000000000,"attributes":{"k":"v"}},{"name":"never","attributes":{}},{"name":"huge","time_nanos":18446744073709551615}]`,
		Links: `[{"trace_id":"t1","span_id":"s1","attributes":{"why":"retry"}},{"trace_id":"t/2?","span_id":"<s>","trace_state":"a=b"},{}]`}, nil)
	if len(v.Exceptions) != 1 || v.Exceptions[0].Type != "E" || v.Exceptions[0].Message != nil || v.Exceptions[0].Stacktrace.All != "a\nb" || v.Exceptions[0].Offset != "+500ms" {
		t.Errorf("the exceptions are %+v", v.Exceptions)
	}
	var got []string
	for _, e := range v.Events {
		got = append(got, fmt.Sprintf("%s %s %v %s", e.Name, e.Offset, e.Above, e.Hint))
	}
	if text := strings.Join(got, "\n"); text != "exception +500ms true exception.type = E\nearly -1.00s false k = v\nnever  false \nhuge  false " {
		t.Errorf("the events are\n%s", text)
	}
	if len(v.Links) != 3 || v.Links[0].Address != "/traces/t1?span=s1" || !v.Links[0].Same || v.Links[1].Address != "/traces/t%2F2%3F?span=%3Cs%3E" ||
		v.Links[1].Same || v.Links[2].Address != "" {
		t.Errorf("the links are %+v", v.Links)
	}
}

func TestLongTextsAreFolded(t *testing.T) {
	lines := strings.Repeat("a line\n", 40)
	for _, tc := range []struct {
		name, text string
		head       int
		cut        bool
		size       string
	}{
		{"short", "a\nb", 0, false, ""},
		{"almost long", strings.Repeat("x", 1_100), 0, false, ""},
		{"one line more", strings.Repeat("l\n", 13), 0, false, ""},
		{"many lines", lines, 12*7 - 1, false, "41 lines, 280 B"},
		{"one long line", strings.Repeat("x", 5_000), 1_000, false, "5.0 kB"},
		{"enormous", strings.Repeat("x", 300_000), 1_000, true, "300 kB"},
		{"half a character", strings.Repeat("x", 999) + strings.Repeat("é", 400), 999, false, "1.8 kB"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRoom("")
			got := r.fold(tc.text)
			if len(got.Head) != tc.head || got.Cut != tc.cut || got.Size != tc.size || len(got.All) > maxText || !got.Cut && got.All != tc.text {
				t.Errorf("got %d bytes of %d, cut %v, %q", len(got.Head), len(got.All), got.Cut, got.Size)
			}
		})
	}
}

// TestOrigin looks at what is shown at the end.
func TestOrigin(t *testing.T) {
	v := Of(&span.Span{SpanID: "a/b", ParentSpanID: "p", TraceID: "t", Flags: 0x301, StartTime: time.Date(2026, 1, 2, 3, 4, 5, 123456789, time.UTC),
		EndTime: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), ResourceAttributes: `{"service.name":"s","host.name":"h"}`, ResourceDroppedAttributesCount: 2}, nil)
	if v.Flags() != "0x301" || v.Start.Exact != "2026-01-02 03:04:05.123456789 UTC" || v.Duration != -123456789 || v.API != "/api/v1/spans/a%2Fb" ||
		v.Parent != "/traces/t?span=p" || v.Resource.Count != 2 || v.Resource.Dropped != 2 {
		t.Errorf("got %+v", v)
	}
}
