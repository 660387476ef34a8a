package wire_test

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/span"
)

// anyFilter draws filters of spans that can be asked over HTTP.
func anyFilter(t *rapid.T) span.Filter {
	text := rapid.StringMatching(`[^\x00]+`)
	f := span.Filter{}
	if rapid.Bool().Draw(t, "has service") {
		f.ServiceName = text.Draw(t, "service")
	}
	if rapid.Bool().Draw(t, "has name") {
		f.Name = text.Draw(t, "name")
		f.NameMatch = rapid.SampledFrom([]span.NameMatch{span.NameExact, span.NamePrefix, span.NameContains}).Draw(t, "match")
	}
	if rapid.Bool().Draw(t, "has from") {
		f.From = time.Unix(rapid.Int64Range(-1<<33, 1<<34).Draw(t, "from"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanos")).UTC()
		if rapid.Bool().Draw(t, "has until") {
			f.Until = f.From.Add(time.Duration(rapid.Int64Range(1, 1<<60).Draw(t, "range")))
		}
	}
	if rapid.Bool().Draw(t, "has durations") {
		f.MinDuration = time.Duration(rapid.Int64Range(0, 1<<60).Draw(t, "min"))
		f.MaxDuration = f.MinDuration + time.Duration(rapid.Int64Range(0, 1<<60).Draw(t, "max"))
	}
	if rapid.Bool().Draw(t, "has status") {
		f.StatusCode = new(span.StatusCode(rapid.IntRange(0, 2).Draw(t, "status")))
	}
	if rapid.Bool().Draw(t, "has kind") {
		f.Kind = new(span.Kind(rapid.IntRange(0, 5).Draw(t, "kind")))
	}
	for range rapid.IntRange(0, 3).Draw(t, "attributes") {
		c := span.AttributeCondition{Key: rapid.StringMatching(`[^\x00=]+`).Draw(t, "key")}
		if rapid.Bool().Draw(t, "has value") {
			c.Value = new(rapid.StringMatching(`[^\x00]*`).Draw(t, "value"))
		}
		f.Attributes = append(f.Attributes, span.AttributeClause{c})
	}
	if rapid.Bool().Draw(t, "LLM") {
		f.Attributes = append(f.Attributes, span.HasLLMCall().Attributes...)
	}
	return f
}

// sent is a query as a server receives it.
func sent(t interface{ Fatal(args ...any) }, query url.Values) url.Values {
	received, err := url.ParseQuery(query.Encode())
	if err != nil {
		t.Fatal(err)
	}
	return received
}

func TestFiltersOfSpansAreReadAsTheyWereMeant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyFilter(t)
		query, err := wire.SpanQuery(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := wire.ParseSpanQuery(sent(t, query))
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Fatalf("%v: %v (-want +got):\n%s", query, err, diff)
		}
	})
}

func TestFiltersOfTracesAreReadAsTheyWereMeant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := span.TraceFilter{Root: anyFilter(t)}
		for _, clause := range want.Root.Attributes {
			want.Has = append(want.Has, span.Filter{Attributes: []span.AttributeClause{clause}})
		}
		want.Root.Attributes = nil
		query, err := wire.TraceQuery(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := wire.ParseTraceQuery(sent(t, query))
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Fatalf("%v: %v (-want +got):\n%s", query, err, diff)
		}
	})
}

// FuzzQueries: whatever is read as a filter can be said again, and means the same.
func FuzzQueries(f *testing.F) {
	for _, seed := range []string{
		"", "service=checkout&name=GET&name_match=prefix", "attribute=a%3Db&attribute=c&has_llm=true&workflow=true", "status=error&kind=server",
		"from=2026-11-29T08:00:00%2B01:00&until=2026-11-30T00:00:00.5Z", "min_duration=250ms&max_duration=1h", "attribute==", "service=%ff", "has_llm=false",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		query, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		filter, err := wire.ParseTraceQuery(query)
		if err != nil {
			if invalid, ok := errors.AsType[*span.InvalidError](err); !ok || invalid.What == "" || invalid.Problem == "" {
				t.Fatalf("%q: %v does not say what is wrong", raw, err)
			}
			return
		}
		said, err := wire.TraceQuery(filter)
		if err != nil {
			t.Fatalf("%q was read as %+v and cannot be said: %v", raw, filter, err)
		}
		again, err := wire.ParseTraceQuery(sent(t, said))
		if err != nil {
			t.Fatalf("%q became %v: %v", raw, said, err)
		}
		byText := cmpopts.SortSlices(func(a, b span.Filter) bool { return condition(a) < condition(b) })
		if diff := cmp.Diff(filter, again, cmpopts.EquateEmpty(), byText); diff != "" {
			t.Errorf("%q became %v:\n%s", raw, said, diff)
		}
	})
}

// condition is a text of the attributes of a filter, to sort by.
func condition(f span.Filter) string {
	var text strings.Builder
	for _, c := range slices.Concat(f.Attributes...) {
		text.WriteString(c.Key)
		if c.Value != nil {
			text.WriteString("=" + *c.Value)
		}
	}
	return text.String()
}

func TestWhatIsWrongWithAQuery(t *testing.T) {
	refused := 0
	for query, want := range map[string]string{
		"from=yesterday":                        `from "yesterday" must be a time such as`,
		"from=2026-11-29T08:00:00+01:00":        "a + is written %2B",
		"from=1700000000":                       "RFC 3339",
		"until=2026-11-29":                      "RFC 3339",
		"min_duration=250":                      `min_duration "250" must be a duration`,
		"max_duration=0s":                       "longer than 0",
		"min_duration=-1s":                      "longer than 0",
		"min_duration=2s&max_duration=1s":       "not be shorter than min_duration",
		"status=ERROR":                          "one of unset, ok, error",
		"status=2":                              "one of unset, ok, error",
		"kind=SERVER":                           "one of unspecified, internal, server, client, producer, consumer",
		"name=a&name_match=regex":               "one of exact, prefix, contains",
		"name_match=prefix":                     "which is not given",
		"attribute=%3Dvalue":                    "key=value, or key for any value",
		"attribute=" + strings.Repeat("a", 300): "",
		strings.Repeat("attribute=a&", 17):      "at most 16",
		"has_llm=yes":                           "true or false",
		"workflow=1":                            "true or false",
		"service=%ff":                           "UTF-8",
		"attribute=a%3D%00":                     "UTF-8 without the character 0",
		"from=2026-11-29T08:00:00Z&until=2026-11-29T08:00:00Z": "later than from",
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		_, err = wire.ParseSpanQuery(values)
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", query, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", query, err, want)
			continue
		}
		refused++
	}
	if refused < 20 {
		t.Errorf("%d queries were refused", refused)
	}
}

func TestWhatCannotBeAsked(t *testing.T) {
	key := func(k string) []span.AttributeClause { return []span.AttributeClause{{{Key: k}}} }
	for name, f := range map[string]span.TraceFilter{
		"a key with =":                  {Has: []span.Filter{{Attributes: key("a=b")}}},
		"no key":                        {Has: []span.Filter{{Attributes: key("")}}},
		"an attribute of the root":      {Root: span.Filter{Attributes: key("a")}},
		"a name of any span":            {Has: []span.Filter{{Name: "n", Attributes: key("a")}}},
		"two attributes of one span":    {Has: []span.Filter{{Attributes: append(key("a"), key("b")...)}}},
		"one of two attributes":         {Has: []span.Filter{{Attributes: []span.AttributeClause{{{Key: "a"}, {Key: "b"}}}}}},
		"a kind that is none":           {Root: span.Filter{Kind: new(span.Kind(9))}},
		"a duration that goes backward": {Root: span.Filter{MinDuration: -1}},
		"a time that RFC 3339 lacks":    {Root: span.Filter{From: time.Date(20_000, 1, 1, 0, 0, 0, 0, time.UTC)}},
	} {
		if query, err := wire.TraceQuery(f); !isInvalid(err) {
			t.Errorf("%s: %v, %v", name, query, err)
		}
	}
}

func isInvalid(err error) bool {
	_, ok := errors.AsType[*span.InvalidError](err)
	return ok
}
