package ui

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanlake/spanlake/internal/span"
)

func TestLinksToTracesSayWhatIsSetOnly(t *testing.T) {
	for query, want := range map[string]string{
		"":             "/",
		"service=shop": "/?service=shop",
		"service=&name=&name_match=contains&since=&from=&until=&min_duration=&status=&kind=&attribute=&limit=50": "/",
		"name=GET+%2F&name_match=exact":                   "/?name=GET+%2F",
		"name=+two++blanks+&name_match=prefix":            "/?name=+two++blanks+&name_match=prefix",
		"min_duration=+250ms+&from=+2026-11-29T08:00:00Z": "/?from=2026-11-29T08%3A00%3A00Z&min_duration=250ms",
		"has_llm=false&workflow=true":                     "/?workflow=true",
		"attribute=b%3D1&attribute=&attribute=a":          "/?attribute=b%3D1&attribute=a",
		"live=1&limit=100":                                "/?limit=100&live=1",
	} {
		s := readSearch(query, time.Now())
		if s.wrong != nil {
			t.Errorf("%q cannot be asked: %v", query, s.wrong)
		}
		if got := pageOf(s.typed); got != want {
			t.Errorf("%q leads to %s, not to %s", query, got, want)
		}
		// Whoever is led there is led nowhere else.
		if again := readSearch(strings.TrimPrefix(strings.TrimPrefix(want, "/"), "?"), time.Now()); again.shortened {
			t.Errorf("%s is not short enough yet", want)
		}
	}
}

func TestSearchesThatCannotBe(t *testing.T) {
	for query, want := range map[string]string{
		"sevrice=shop":                       `sevrice "shop" is no filter`,
		"service=a&service=b":                `service "a, b" may be given once only`,
		"since=1y":                           `since "1y" must be one of 15m, 1h, 6h, 24h, 7d`,
		"since=1h&from=2026-11-29T08:00:00Z": `since "1h" ends now`,
		"limit=0":                            `limit "0" must be from 1 to 1000`,
		"limit=1001":                         `limit "1001" must be from 1 to 1000`,
		"limit=many":                         `limit "many" must be from 1 to 1000`,
		"live=yes":                           `live "yes" must be 1`,
		"status=bad":                         `status "bad" must be one of unset, ok, error`,
		"from=tomorrow":                      `from "tomorrow" must be a time`,
		"attribute=%3Dx":                     `attribute "=x" must be key=value`,
		"name=%zz":                           "cannot be read",
		"service=%ff":                        "must be UTF-8",
	} {
		s := readSearch(query, time.Now())
		if s.wrong == nil || !strings.Contains(s.wrong.Error(), want) {
			t.Errorf("%q: %v, not %s", query, s.wrong, want)
			continue
		}
		if f := s.form(nil); f.Wrong[s.wrong.What] == "" {
			t.Errorf("%q: nothing is beside the field %s", query, s.wrong.What)
		}
	}
}

func TestTimeBeforeNow(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	s := readSearch("since=6h&service=shop", now)
	if want := now.Add(-6 * time.Hour); !s.filter.Root.From.Equal(want) || s.filter.Root.ServiceName != "shop" {
		t.Errorf("the filter is %+v", s.filter)
	}
	if got := s.tail(); got != "/api/v1/tail?service=shop" {
		t.Errorf("new traces are told of at %s", got) // they are all new enough
	}
}

func TestEachFilterCanBeTakenAway(t *testing.T) {
	s := readSearch("service=shop&name=GET&name_match=prefix&from=2026-11-29T08:00:00Z&status=error&attribute=a=1&attribute=b&has_llm=true&cursor=x", time.Now())
	type removal struct{ Name, Text, Remove string }
	var got []removal
	for _, c := range s.chips() {
		if !c.Time.IsZero() {
			c.Text = c.Time.Format(time.TimeOnly)
		}
		got = append(got, removal{c.Name, c.Text, c.Remove})
	}
	const from = "from=2026-11-29T08%3A00%3A00Z"
	want := []removal{
		{"service", "shop", "/?attribute=a%3D1&attribute=b&" + from + "&has_llm=true&name=GET&name_match=prefix&status=error"},
		{"name starts with", "GET", "/?attribute=a%3D1&attribute=b&" + from + "&has_llm=true&service=shop&status=error"},
		{"from", "08:00:00", "/?attribute=a%3D1&attribute=b&has_llm=true&name=GET&name_match=prefix&service=shop&status=error"},
		{"status", "error", "/?attribute=a%3D1&attribute=b&" + from + "&has_llm=true&name=GET&name_match=prefix&service=shop"},
		{"attribute", "a=1", "/?attribute=b&" + from + "&has_llm=true&name=GET&name_match=prefix&service=shop&status=error"},
		{"attribute", "b", "/?attribute=a%3D1&" + from + "&has_llm=true&name=GET&name_match=prefix&service=shop&status=error"},
		{"", "with LLM call", "/?attribute=a%3D1&attribute=b&" + from + "&name=GET&name_match=prefix&service=shop&status=error"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("filters that are set (-want +got):\n%s", diff)
	}
	if s.typed.Encode() != readSearch(s.typed.Encode(), time.Now()).typed.Encode() {
		t.Error("making links changed the search")
	}
}

func TestWhatTheListComesTo(t *testing.T) {
	at := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	var roots []span.Metadata
	for i := range 20 {
		roots = append(roots, span.Metadata{StartTime: at.Add(-time.Duration(i) * time.Second), Duration: time.Duration(20-i) * time.Millisecond})
	}
	roots[3].StatusCode = span.StatusError
	s := summarize(roots)
	want := traceSummary{Count: 20, Errors: 1, First: at.Add(-19 * time.Second), Last: at, P50: 10 * time.Millisecond, P95: 19 * time.Millisecond}
	if s != want || s.Over() != 19*time.Second {
		t.Errorf("%+v, not %+v", s, want)
	}
	if empty := summarize(nil); empty != (traceSummary{}) || empty.Over() != 0 {
		t.Errorf("of nothing: %+v", empty)
	}
}

func TestBarsAreRelativeToTheLongest(t *testing.T) {
	for _, tc := range []struct {
		d, longest time.Duration
		want       string
	}{
		{time.Second, time.Second, "100.0%"}, {time.Millisecond * 500, time.Second, "50.0%"}, {1, time.Hour, "0.8%"},
		{0, time.Second, "0%"}, {-time.Second, time.Second, "0%"}, {-time.Second, 0, "0%"},
	} {
		if got := barWidth(tc.d, tc.longest); got != tc.want {
			t.Errorf("%v of %v is %s, not %s", tc.d, tc.longest, got, tc.want)
		}
	}
}

func TestWhereToSendSpans(t *testing.T) {
	for _, tc := range []struct{ listens, host, want string }{
		{"127.0.0.1:4318", "127.0.0.1:1323", "http://127.0.0.1:4318"},
		{"0.0.0.0:14318", "lake.example:1323", "http://lake.example:14318"},
		{"[::]:4318", "[::1]:1323", "http://[::1]:4318"},
		{"", "lake.example", "http://lake.example:4318"},
		{"", "[fe80::1]", "http://[fe80::1]:4318"},
		{":4318", "", "http://localhost:4318"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = tc.host
		u := &UI{Options: Options{OTLPHTTP: tc.listens, SendKeyNeeded: func() bool { return true }}}
		if got := u.exporters(r); got.Endpoint != tc.want || !got.KeyNeeded {
			t.Errorf("%q seen from %q is %+v, not %s", tc.listens, tc.host, got, tc.want)
		}
	}
}
