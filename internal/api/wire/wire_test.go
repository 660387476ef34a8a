package wire_test

import (
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/span"
)

// TestSummariesStayAsTheyAre: durations are sent as milliseconds and must not lose what they had.
func TestSummariesStayAsTheyAre(t *testing.T) {
	for _, d := range []time.Duration{0, 1, 999, time.Millisecond + 1, time.Hour + 123456789, 100 * 24 * time.Hour} {
		want := span.Summary{Elapsed: d, LongestSort: d}
		if got := wire.FromSummary(want).Span(); got != want {
			t.Errorf("%s became %+v", d, got)
		}
	}
}

func TestTextOfProblems(t *testing.T) {
	for want, p := range map[string]wire.Problem{
		"no table x":     {Status: 400, Detail: "no table x"},
		"502 Bad":        {Status: 502, Title: "Bad"},
		"wrong: a: b; c": {Detail: "wrong", Errors: []wire.Detail{{Location: "a", Message: "b"}, {Message: "c"}}},
	} {
		if got := p.Text(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// What a query may take by default is told by constants, and to readers of the API by the tags of the request.
func TestLimitsOfQueriesAreThoseOfTheirTags(t *testing.T) {
	request := reflect.TypeFor[wire.SQLRequest]()
	for name, want := range map[string]int64{"MaxRows": wire.SQLMaxRows, "MaxBytes": wire.SQLMaxBytes} {
		field, _ := request.FieldByName(name)
		if got := field.Tag.Get("default"); got != strconv.FormatInt(want, 10) {
			t.Errorf("the default of %s is %s, want %d", name, got, want)
		}
	}
}
