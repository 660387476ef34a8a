package ui

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

func TestReadPeriod(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 34, 56, 0, time.UTC)
	for query, want := range map[string]string{
		"":          "2026-11-28T12:34:56Z 2026-11-29T12:34:56Z",
		"since=1h":  "2026-11-29T11:34:56Z 2026-11-29T12:34:56Z",
		"since=7d":  "2026-11-22T12:34:56Z 2026-11-29T12:34:56Z",
		"since=90s": "2026-11-29T12:33:26Z 2026-11-29T12:34:56Z",
		"since=1ms": "", "since=-1h": "", "since=soon": "", "since=0d": "", "since=4000d": "", "since=99999999999999999999d": "",
		"from=2026-11-01T00:00:00Z&until=2026-11-02T00:00:00%2B01:00": "2026-11-01T00:00:00Z 2026-11-01T23:00:00Z",
		"from=2026-11-29T12:00:00Z":                                   "2026-11-29T12:00:00Z 2026-11-29T12:34:56Z",
		"until=2026-11-02T00:00:00Z":                                  "2026-11-01T00:00:00Z 2026-11-02T00:00:00Z",
		"from=2026-11-02T00:00:00Z&until=2026-11-01T00:00:00Z":        "",
		"from=2026-11-30T00:00:00Z":                                   "",
		"from=1000-11-30T00:00:00Z":                                   "",
		"from=yesterday":                                              "",
	} {
		asked, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		p, err := readPeriod(asked, now)
		got := p.From.Format(time.RFC3339) + " " + p.Until.Format(time.RFC3339)
		if invalid := (*span.InvalidError)(nil); want == "" {
			if !errors.As(err, &invalid) {
				t.Errorf("%s: %s, %v, want an *InvalidError", query, got, err)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", query, got, err, want)
		}
		if again, err := readPeriod(p.query(), now); err != nil || again != p {
			t.Errorf("%s: asked again as %s it is %v, %v", query, p.query().Encode(), again, err)
		}
	}
}

func TestStepsOfAPeriod(t *testing.T) {
	p := period{From: time.Unix(-90, 0), Until: time.Unix(121, 0)}
	steps := p.steps(time.Minute)
	if len(steps) != 5 || steps[0].Unix() != -120 || steps[4].Unix() != 120 {
		t.Errorf("the steps are %v", steps)
	}
	if got := p.last(time.Minute); got.From.Unix() != 61 || got.Until != p.Until {
		t.Errorf("the last minute is %v", got)
	}
	for length, want := range map[time.Duration]time.Duration{time.Hour: time.Minute, 61 * time.Minute: time.Hour, 60 * time.Hour: time.Hour,
		61 * time.Hour: day, 60 * day: 2 * day, 365 * day: 7 * day} {
		p := period{From: time.Unix(0, 0), Until: time.Unix(0, 0).Add(length)}
		if got := p.stepFor(60, time.Minute, time.Hour); got != want {
			t.Errorf("%v is divided into steps of %v, want %v", length, got, want)
		}
	}
}

func TestRatesAndShares(t *testing.T) {
	for _, tc := range []struct {
		n    int64
		in   time.Duration
		want string
	}{{0, time.Hour, "0"}, {5, 0, "0"}, {1, day, "1/day"}, {24, day, "1/h"}, {90, time.Hour, "1.50/min"}, {3600, time.Hour, "1/s"}, {123456789, time.Hour, "34,294/s"}} {
		if got := rateText(tc.n, tc.in); got != tc.want {
			t.Errorf("%d in %v are %s, want %s", tc.n, tc.in, got, tc.want)
		}
	}
	for _, tc := range []struct {
		part, whole float64
		want        string
	}{{0, 0, "0 %"}, {0, 9, "0 %"}, {1, 1e6, "< 0.1 %"}, {1, 100, "1.0 %"}, {99, 1000, "9.9 %"}, {9.96, 100, "10 %"}, {999, 1000, "> 99 %"}, {7, 7, "100 %"}} {
		if got := shareText(tc.part, tc.whole); got != tc.want {
			t.Errorf("%v of %v are %s, want %s", tc.part, tc.whole, got, tc.want)
		}
	}
}

func TestSparks(t *testing.T) {
	p := period{From: time.Unix(0, 0), Until: time.Unix(240, 0)}
	steps := p.steps(time.Minute)
	s := sparkOf(steps, time.Minute, []span.Statistics{{Start: time.Unix(60, 0), SpanCount: 4000, ErrorCount: 1}, {Start: time.Unix(180, 0), SpanCount: 2000},
		{Start: time.Unix(999, 0), SpanCount: 9e9}})
	if want := "M30.0 24v-24.0h24.0V24zM90.0 24v-12.0h24.0V24z"; s.All != want {
		t.Errorf("the bars are %s, want %s", s.All, want)
	}
	if want := "M30.0 24v-1.0h24.0V24z"; s.Errors != want { // one in thousands is seen
		t.Errorf("the bars of errors are %s, want %s", s.Errors, want)
	}
	if want := "at most 4,000 spans in a minute"; s.Label != want {
		t.Errorf("it is called %q, want %q", s.Label, want)
	}
	if s := sparkOf(nil, time.Minute, nil); s.All != "" {
		t.Errorf("no time has the bars %s", s.All)
	}
}

func TestSortingServices(t *testing.T) {
	fast, slow := int64(1), int64(2)
	rows := func() []serviceRow {
		return []serviceRow{
			{Name: "b", numbers: numbers{Spans: 10, Errors: 5, P95: &fast}},
			{Name: "a", numbers: numbers{Spans: 10, Errors: 0, P95: nil}},
			{Name: "c", numbers: numbers{Spans: 30, Errors: 1, P95: &slow}},
		}
	}
	for query, want := range map[string]string{"": "cba", "sort=name": "abc", "sort=name&order=desc": "cba", "sort=errors": "bca", "sort=p95": "cba",
		"sort=p95&order=asc": "abc", "sort=nonsense": "cba"} {
		asked, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		sorted := rows()
		columns := sortServices(sorted, asked)
		got := ""
		for _, r := range sorted {
			got += r.Name
		}
		if got != want {
			t.Errorf("%q sorts %s, want %s", query, got, want)
		}
		by := slices.IndexFunc(columns, func(c column) bool { return c.Sorted != "none" })
		if by < 0 || !strings.Contains(columns[by].Link, "order=") {
			t.Errorf("%q: no column turns the order: %+v", query, columns)
		}
	}
}

func TestNewestSpan(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 30, 0, 0, time.UTC)
	past, future := span.Service{LastSeen: now.Add(-72 * time.Hour)}, span.Service{LastSeen: now.Add(1000 * time.Hour)}
	for name, tc := range map[string]struct {
		all  []span.Service
		want time.Time
	}{"past": {[]span.Service{past}, past.LastSeen}, "future": {[]span.Service{future}, future.LastSeen},
		"both": {[]span.Service{past, future}, past.LastSeen}, "turned": {[]span.Service{future, past}, past.LastSeen}} {
		newest, link := newestOf(tc.all, "/services", now)
		if newest != tc.want {
			t.Errorf("%s: %v, want %v", name, newest, tc.want)
		}
		at, err := url.Parse(link)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := readPeriod(at.Query(), now); err != nil || newest.Before(p.From) || !newest.Before(p.Until) {
			t.Errorf("%s: %s does not have %v: %v", name, link, newest, err)
		}
	}
}

func TestTimeOfOperations(t *testing.T) {
	second, back := 1e9, -5e9
	p := period{From: time.Unix(0, 0), Until: time.Unix(60, 0), Since: "1m"}
	body := operationsOf([]span.Statistics{
		{ServiceName: "s", Name: "a", SpanCount: 3, AvgDuration: &second}, {ServiceName: "s", Name: "b&c", SpanCount: 1, AvgDuration: &second},
		{ServiceName: "s", Name: "clock set back", SpanCount: 1, AvgDuration: &back}, {ServiceName: "s", Name: "", SpanCount: 1},
	}, p, url.Values{})
	got := ""
	for _, r := range body.Rows {
		got += r.Name + " " + r.Share + " " + r.Traces + "\n"
	}
	want := "a 75 % /?name=a&service=s&since=1m\nb&c 25 % /?name=b%26c&service=s&since=1m\nclock set back 0 % /?name=clock+set+back&service=s&since=1m\n 0 % \n"
	if got != want {
		t.Errorf("the operations are\n%swant\n%s", got, want)
	}
}
