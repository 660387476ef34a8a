package ui

import (
	"cmp"
	"fmt"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/span"
)

// tracesBody is what the page of traces shows.
type tracesBody struct {
	Form  searchForm
	Chips []chip
	// Problem is why there is no list.
	Problem *trouble
	traceList
	// Unused: no span was ever received. Exporters say how to send some.
	Unused    bool
	Exporters exporters
	// Searched: some filter was set.
	Searched bool
	// AnyTime is the page without bounds of time, "" if it has none. Everything is the one without any filter.
	AnyTime, Everything string
	// Tail is where new traces are told of; "": there is no such thing for this page.
	Tail string
	Live bool
	// Until is when no more new ones will come.
	Until time.Time
}

// traceList is a part of the list.
type traceList struct {
	Rows []traceRow
	// More is the page that goes on, and Newest the one to begin with again, "" if there is none.
	More, Newest string
	Notices      span.Completeness
	Summary      traceSummary
}

// traceRow is a trace as it is listed.
type traceRow struct {
	span.Metadata
	// Bar is how long it took, in percent of the longest.
	Bar string
}

// traceSummary is of the traces that are listed.
type traceSummary struct {
	Count, Errors int64
	// First and Last are the first and last start.
	First, Last time.Time
	P50, P95    time.Duration
}

// Over is the time from the first start to the last.
func (s traceSummary) Over() time.Duration { return s.Last.Sub(s.First) }

// exporters are what the template of that name shows.
type exporters struct {
	Endpoint  string
	KeyNeeded bool
}

// showTraces lists traces, newest first. A module that goes on with the list gets the rows alone.
func (u *UI) showTraces(w http.ResponseWriter, r *http.Request) error {
	s := readSearch(r.URL.RawQuery, time.Now())
	if s.wrong == nil && s.typed.Has(paramID) {
		if done, err := u.openID(w, r, &s); done || err != nil {
			return err
		}
	}
	if s.wrong == nil && s.shortened && !wantsPart(r) {
		http.Redirect(w, r, pageOf(s.typed), http.StatusSeeOther)
		return nil
	}
	if wantsPart(r) {
		return u.showMoreTraces(w, r, s)
	}
	services, _, err := u.Queries.Services(r.Context())
	if err != nil {
		return err
	}
	body := tracesBody{Live: s.typed.Has(paramLive), AnyTime: s.link(paramSince, "", wire.ParamFrom, "", wire.ParamUntil, ""),
		Chips: s.chips(), Everything: "/", Until: s.filter.Root.Until, Exporters: u.exporters(r)}
	if body.AnyTime == s.link() {
		body.AnyTime = ""
	}
	body.Searched = len(body.Chips) > 0
	if s.wrong == nil {
		body.traceList, err = u.listTraces(r, s)
	}
	if s.wrong != nil {
		err = s.wrong
	}
	if err != nil {
		body.Problem = u.troubleOf(r, err)
	} else if !s.typed.Has(wire.ParamCursor) {
		body.Tail = s.tail()
	}
	body.Form = s.form(services)
	body.Unused = err == nil && len(services) == 0 && len(body.Rows) == 0
	v := view{Page: "traces", Title: "Traces", Styles: []string{"traces.css"}, Scripts: []string{"traces.js"}, Body: body}
	if body.Problem != nil {
		v.Status = body.Problem.Status
	}
	u.show(w, r, v)
	return nil
}

// showMoreTraces sends the rows alone.
func (u *UI) showMoreTraces(w http.ResponseWriter, r *http.Request, s search) error {
	if s.wrong != nil {
		return s.wrong
	}
	list, err := u.listTraces(r, s)
	if err != nil {
		return err
	}
	u.showPart(w, "traces", "rows", list)
	return nil
}

func (u *UI) listTraces(r *http.Request, s search) (traceList, error) {
	cursor := s.typed.Get(wire.ParamCursor)
	page, err := u.Queries.Traces(r.Context(), s.filter, cursor, s.limit)
	if err != nil {
		return traceList{}, err
	}
	list := traceList{Notices: page.Completeness, Summary: summarize(page.Roots)}
	var longest time.Duration
	for i := range page.Roots {
		longest = max(longest, page.Roots[i].Duration)
	}
	for i := range page.Roots {
		list.Rows = append(list.Rows, traceRow{Metadata: page.Roots[i], Bar: barWidth(page.Roots[i].Duration, longest)})
	}
	if page.Next != "" {
		list.More = s.link(wire.ParamCursor, page.Next)
	}
	if cursor != "" {
		list.Newest = s.link()
	}
	return list, nil
}

// barWidth is a duration in percent of the longest one; what took any time at all can be seen. assets/traces-list.js does the same.
func barWidth(d, longest time.Duration) string {
	if d <= 0 || longest <= 0 {
		return "0%"
	}
	return fmt.Sprintf("%.1f%%", max(100*float64(d)/float64(longest), 0.8))
}

// summarize counts. assets/traces-list.js does the same when rows come later.
func summarize(roots []span.Metadata) (s traceSummary) {
	durations := make([]time.Duration, 0, len(roots))
	for i := range roots {
		root := &roots[i]
		if root.StatusCode == span.StatusError {
			s.Errors++
		}
		if s.First.IsZero() || root.StartTime.Before(s.First) {
			s.First = root.StartTime
		}
		if root.StartTime.After(s.Last) {
			s.Last = root.StartTime
		}
		durations = append(durations, root.Duration)
	}
	s.Count = int64(len(roots))
	slices.Sort(durations)
	s.P50, s.P95 = quantile(durations, 0.50), quantile(durations, 0.95)
	return s
}

// quantile is the smallest duration that so many are not longer than.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(int(math.Ceil(q*float64(len(sorted)))), 1)-1]
}

// exporters say where to send spans, as seen from who looks at the page.
func (u *UI) exporters(r *http.Request) exporters {
	host, port, err := net.SplitHostPort(cmp.Or(u.OTLPHTTP, ":4318"))
	if err != nil {
		host, port = "", "4318"
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		if host, _, err = net.SplitHostPort(r.Host); err != nil {
			host = strings.Trim(r.Host, "[]") // it has no port
		}
	}
	if host == "" {
		host = "localhost"
	}
	return exporters{Endpoint: "http://" + net.JoinHostPort(host, port), KeyNeeded: u.SendKeyNeeded != nil && u.SendKeyNeeded()}
}
