package ui

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/ui/tracetree"
)

func TestTextSearch(t *testing.T) {
	s := span.Span{
		Attributes: `{"http.route":"/Orders/{id}","n":42,"ok":true,"nested":{"list":["Größe","a\"b","x\u0026y"]},"none":null}`,
		Events:     `[{"name":"exception","attributes":{"exception.message":"line 1\nline 2"}}]`,
		Links:      `[{"trace_id":"abc123"}]`, ResourceAttributes: `{"host.name":"node-1"}`, ScopeName: "Some.Library", TraceState: "vendor=x",
	}
	for query, want := range map[string]bool{
		"orders": true, "HTTP.ROUTE": true, "/orders/{id}": true, "42": true, "true": true, "größe": true, `a"b`: true, "x&y": true,
		"line 1\nline 2": true, "exception.message": true, "abc123": true, "node-1": true, "some.lib": true, "vendor": true,
		`":"`: false, "u0026": false, "false": false, "nothing of it": false, "{": true, "}]": false,
	} {
		if got := newTextSearch(query).in(&s); got != want {
			t.Errorf("%q: %t", query, got)
		}
	}
	if broken := (span.Span{Attributes: `{"a":"b\x"`}); !newTextSearch(`"a":`).in(&broken) || newTextSearch("c").in(&broken) {
		t.Error("what is no JSON is searched as a text")
	}
	deep := span.Span{Attributes: strings.Repeat(`[`, 1_000_000) + `"\n"`}
	if newTextSearch("x").in(&deep) {
		t.Error("found what is not there")
	}
}

func TestWaterfall(t *testing.T) {
	start := time.Date(2026, 11, 29, 12, 0, 0, 5_000_000, time.UTC)
	w := newWaterfall("t", tracetree.New([]span.Span{
		{SpanID: "r", Name: "</script><script>", ServiceName: "a", StartTime: start, EndTime: start.Add(100), Kind: span.KindServer},
		{SpanID: "c", ParentSpanID: "r", Name: strings.Repeat("é", 400), ServiceName: "b", StartTime: start.Add(10), EndTime: start.Add(40),
			StatusCode: span.StatusError, StatusMessage: "broken", Attributes: `{"gen_ai.usage.input_tokens":3,"gen_ai.request.model":"m"}`},
		{SpanID: "d", ParentSpanID: "r", Name: "n", ServiceName: "a", StartTime: start.Add(50), EndTime: start.Add(45)},
	}))
	got, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"trace":"t","duration":100,` +
		`"names":["\u003c/script\u003e\u003cscript\u003e","` + strings.Repeat("é", 300) + `…","n"],"services":["a","b"],"models":["","m"],` +
		`"id":["r","c","d"],"parent":[-1,0,0],"below":[2,0,0],"name":[0,1,2],"service":[0,1,0],"kind":[2,0,0],"status":[0,2,0],"marks":[0,0,0],` +
		`"from":[0,10,50],"length":[100,30,-5],"messages":{"1":"broken"},"parts":{"0":[40,100,0,10],"1":[10,40]},"tokens":{"1":[3,0,1,1]}}`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestServicesOf(t *testing.T) {
	got := servicesOf([]span.Span{{ServiceName: "a"}, {ServiceName: "b"}, {ServiceName: "b", StatusCode: span.StatusError}, {ServiceName: ""}})
	want := []serviceSpans{{"b", 2, 1}, {"", 1, 0}, {"a", 1, 0}}
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("got %v", got)
	}
}
