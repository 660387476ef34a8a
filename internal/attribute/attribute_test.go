package attribute

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/spanlake/spanlake/internal/span"
)

func TestMatches(t *testing.T) {
	const attributes = `{"a":"x","n":200,"f":42.0,"e":2e2,"b":true,"z":null,"l":[1],"o":{"k":1},"a.b":"dot","twice":1,"twice":2,"q\"":"\u00e9","big":9007199254740993,"half":1.5}`
	const resource = `{"service.name":"api","a":"y"}`
	for _, tc := range []struct {
		key   string
		value *string
		want  bool
	}{
		{"a", new("x"), true},
		{"a", new("y"), true}, // of the resource
		{"a", new("z"), false},
		{"a", nil, true},
		{"n", new("200"), true},
		{"n", new("200.0"), true},
		{"n", new("2e2"), true},
		{"n", new("0xC8"), false},
		{"e", new("200"), true},
		{"f", new("42"), true},
		{"half", new("1.50"), true},
		{"half", new("1.6"), false},
		{"b", new("true"), true},
		{"b", new("True"), false},
		{"z", nil, true},
		{"z", new("null"), false},
		{"l", new("[1]"), false},
		{"l", nil, true},
		{"o", new(`{"k":1}`), false},
		{"o.k", nil, false},
		{"a.b", new("dot"), true},
		{"twice", new("1"), true},
		{"twice", new("2"), false},
		{`q"`, new("é"), true},
		{"big", new("9007199254740993"), true},
		{"big", new("9007199254740992"), false},
		{"", nil, false},
		{"service.name", new("api"), true},
	} {
		clauses := []span.AttributeClause{{{Key: tc.key, Value: tc.value}}}
		if got := Matches(clauses, attributes, resource); got != tc.want {
			t.Errorf("%s %v: %t", tc.key, tc.value, got)
		}
		var b Builder
		b.Add(attributes, resource)
		if tc.want && !Open(b.Filter()).MayMatch(clauses) {
			t.Errorf("%s %v: the filter says that it cannot be", tc.key, tc.value)
		}
	}
	for _, broken := range []string{"", "{", `{"a":"x"`, "[]", `"a"`, "null", `{"a":"x"} x`} {
		if Matches([]span.AttributeClause{{{Key: "a"}}}, broken, "{}") {
			t.Errorf("%q has an attribute", broken)
		}
	}
	if !Matches([]span.AttributeClause{{{Key: "no"}, {Key: "a"}}, {{Key: "n"}}}, attributes, resource) {
		t.Error("one condition of a clause is enough")
	}
	if Matches([]span.AttributeClause{{{Key: "a"}}, {{Key: "no"}}}, attributes, resource) {
		t.Error("all clauses must hold")
	}
}

// TestDeepTextsAreHarmless: whoever writes a file may nest as deep as it likes.
func TestDeepTextsAreHarmless(t *testing.T) {
	clauses := []span.AttributeClause{{{Key: "a"}}}
	for _, open := range []string{"[", `{"a":`, `{"a":[`} {
		deep := strings.Repeat(open, 8_000_000/len(open))
		if Matches(clauses, deep, `{"b":1}`) || Matches(clauses, `{"a":`+deep+`}`, deep) {
			t.Errorf("%s without an end has an attribute", open)
		}
		var b Builder
		b.Add(deep, `{"a":`+deep)
		Open(b.Filter()).MayMatch(clauses)
	}
}

func TestMatchesWhatIsThere(t *testing.T) {
	if Matches([]span.AttributeClause{{{Key: "a", Value: new("x")}}}, `{"a":"y"}`, `{"b":"x"}`) {
		t.Error("a value of another key matches")
	}
}

func randomValue(t *rapid.T) any {
	return rapid.OneOf(
		rapid.Custom(func(t *rapid.T) any {
			return rapid.SampledFrom([]string{"", "x", "1", "1.0", "true", "é", strings.Repeat("long", 40)}).Draw(t, "s")
		}),
		rapid.Custom(func(t *rapid.T) any {
			return json.Number(rapid.SampledFrom([]string{"0", "-0", "1", "1.0", "1e0", "1.5", "-3", "9007199254740992", "1e300", "12345678901234567890"}).Draw(t, "n"))
		}),
		rapid.Custom(func(t *rapid.T) any { return rapid.Bool().Draw(t, "b") }),
		rapid.Just[any](nil),
		rapid.Just[any]([]any{"x"}),
	).Draw(t, "value")
}

func randomObject(t *rapid.T) string {
	keys := rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "a.b", ""}), rapid.Custom(randomValue), 0, 4).Draw(t, "object")
	text, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestFiltersMissNothing: what matches in a row group is never ruled out by its filter.
func TestFiltersMissNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b Builder
		type pair struct{ attributes, resource string }
		var spans []pair
		for range rapid.IntRange(1, 4).Draw(t, "spans") {
			p := pair{randomObject(t), randomObject(t)}
			spans = append(spans, p)
			b.Add(p.attributes, p.resource)
		}
		groups, err := Decode(Encode([]RowGroup{{"a", "b", b.Filter()}}))
		if err != nil {
			t.Fatal(err)
		}
		filter := Open(groups[0].Filter)
		for range 10 {
			c := span.AttributeCondition{Key: rapid.SampledFrom([]string{"a", "b", "a.b", ""}).Draw(t, "key")}
			if rapid.Bool().Draw(t, "valued") {
				value := rapid.SampledFrom([]string{"", "x", "0", "-0", "1", "1.0", "1.5", "1.50", "true", "9007199254740992", "1e300", strings.Repeat("long", 40), "é"}).Draw(t, "value")
				c.Value = &value
			}
			clauses := []span.AttributeClause{{c}}
			for _, p := range spans {
				if Matches(clauses, p.attributes, p.resource) && !filter.MayMatch(clauses) {
					t.Fatalf("%q=%v matches %v, which the filter rules out", c.Key, c.Value, p)
				}
			}
		}
	})
}

func TestFiltersRuleOut(t *testing.T) {
	var b Builder
	for i := range 10_000 {
		b.Add(`{"user.id":"u`+strings.Repeat("1", i%50)+`","n":`+string(rune('0'+i%10))+`}`, `{"service.name":"api"}`)
	}
	f := Open(b.Filter())
	wrong := 0
	for i := range 1000 {
		if f.MayMatch([]span.AttributeClause{{{Key: "user.id", Value: new("nobody" + strings.Repeat("x", i%100) + string(rune('a'+i%26)))}}}) {
			wrong++
		}
	}
	if wrong > 10 {
		t.Errorf("%d of 1000 values that are not there may be there", wrong)
	}
}

func FuzzOpen(f *testing.F) {
	var b Builder
	b.Add(`{"a":1}`, "{}")
	f.Add(b.Filter(), Encode([]RowGroup{{"a", "b", []byte{1, 7}}}))
	f.Fuzz(func(_ *testing.T, filter []byte, text string) {
		Open(filter).MayMatch([]span.AttributeClause{{{Key: "a", Value: new("1")}}})
		groups, err := Decode(text)
		if err == nil {
			for _, g := range groups {
				Open(g.Filter).MayMatch([]span.AttributeClause{{{Key: "a"}}})
			}
		}
	})
}
