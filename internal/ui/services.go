package ui

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/terminal"
)

const (
	// mostServices and mostOperations bound the rows of a table.
	mostServices   = 500
	mostOperations = 200
)

// servicesBody is the page of all services.
type servicesBody struct {
	Period  period
	Periods []choice
	Columns []column
	Rows    []serviceRow
	// Silent are services that have no spans in the period, Hidden the rows that are not shown.
	Silent, Hidden int
	// Empty: there is no service at all, and Send says where to send spans.
	Empty bool
	Send  exporters
	// Newest is set if there are no spans in the period: when the newest one started, and NewestLink is a period that has it.
	Newest     time.Time
	NewestLink string
	// Step is how long a bar of the small pictures is. They and the map come later: they take longer than the rest.
	Step                string
	SparksLink, MapLink string
	Completeness        span.Completeness
}

// NameColumn is the column before the pictures, OtherColumns are those behind them.
func (b *servicesBody) NameColumn() []column { return b.Columns[:1] }

// OtherColumns are the columns behind the pictures.
func (b *servicesBody) OtherColumns() []column { return b.Columns[1:] }

// column is the head of a column by which can be sorted.
type column struct {
	Label, Link string
	// Sorted is ascending, descending or none, Number: its cells are numbers.
	Sorted string
	Number bool
}

// numbers are what is counted of a service or an operation.
type numbers struct {
	Spans, Errors        int64
	P50, P95, P99        *int64
	Rate, ErrorShare     string
	Median, Most95, Most string
}

func numbersOf(s span.Statistics, in time.Duration) numbers {
	return numbers{Spans: s.SpanCount, Errors: s.ErrorCount, P50: s.P50, P95: s.P95, P99: s.P99,
		Rate: rateText(s.SpanCount, in), ErrorShare: shareText(float64(s.ErrorCount), float64(s.SpanCount)),
		Median: durationText(s.P50), Most95: durationText(s.P95), Most: durationText(s.P99)}
}

// serviceRow is a service in the table.
type serviceRow struct {
	numbers
	Name string
	// Link is "" for spans without a service: they cannot be asked for.
	Link        string
	First, Last time.Time
}

func (u *UI) showServices(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	p, service, err := readServiceQuery(query)
	if err != nil {
		return err
	}
	if service != "" {
		return u.showService(w, r, p, service)
	}
	body, err := u.allServices(r, p)
	if err != nil {
		return err
	}
	u.showServicesPage(w, r, "Services", servicesPage{All: body})
	return nil
}

// servicesPage is one of the pages about services.
type servicesPage struct {
	All  *servicesBody
	One  *serviceBody
	Part *servicesPart
}

func (u *UI) showServicesPage(w http.ResponseWriter, r *http.Request, title string, body servicesPage) {
	u.show(w, r, view{Page: "services", Title: title, Scripts: []string{"services.js"}, Styles: []string{"services.css"}, Body: body})
}

// allServices asks for what the table shows.
func (u *UI) allServices(r *http.Request, p period) (*servicesBody, error) {
	ctx, query := r.Context(), r.URL.Query()
	all, complete, err := u.Queries.Services(ctx)
	if err != nil {
		return nil, err
	}
	body := &servicesBody{Period: p, Periods: periodChoices("/services", query, p), Completeness: complete, Empty: len(all) == 0}
	if body.Empty {
		body.Send = u.exporters(r)
		return body, nil
	}
	totals, complete, err := u.Queries.Statistics(ctx, span.CountQuery{From: p.From, Until: p.Until})
	if err != nil {
		return nil, err
	}
	body.Completeness = complete
	body.Rows = serviceRows(all, totals, p)
	body.Silent = len(body.Rows) - len(totals)
	if len(totals) == 0 {
		body.Newest, body.NewestLink = newestOf(all, "/services", time.Now())
	}
	body.Step = stepText(sparkStep(p))
	body.Columns = sortServices(body.Rows, query)
	if body.Hidden = max(len(body.Rows)-mostServices, 0); body.Hidden > 0 {
		body.Rows = body.Rows[:mostServices]
	}
	body.SparksLink, body.MapLink = "/services/sparks?"+p.query().Encode(), "/services/map?"+p.query().Encode()
	return body, nil
}

// serviceRows are all services, those without spans in the period as well.
func serviceRows(all []span.Service, totals []span.Statistics, p period) (rows []serviceRow) {
	of := make(map[string]span.Statistics, len(totals))
	for _, s := range totals {
		of[s.ServiceName] = s
	}
	for _, s := range all {
		row := serviceRow{numbers: numbersOf(of[s.Name], p.length()), Name: s.Name, First: s.FirstSeen, Last: s.LastSeen}
		if s.Name != "" {
			link := p.query()
			link.Set(wire.ParamService, s.Name)
			row.Link = "/services?" + link.Encode()
		}
		rows = append(rows, row)
		delete(of, s.Name)
	}
	for _, s := range totals { // one that has come in between
		if _, ok := of[s.ServiceName]; ok {
			rows = append(rows, serviceRow{numbers: numbersOf(s, p.length()), Name: s.ServiceName})
		}
	}
	return rows
}

// newestOf is when the newest span started, and a period that has it. Services whose clocks are ahead count if there are no others.
func newestOf(all []span.Service, path string, now time.Time) (newest time.Time, link string) {
	for _, s := range all {
		if !newest.IsZero() && s.LastSeen.After(now) && !newest.After(now) {
			continue
		}
		if s.LastSeen.After(newest) || newest.After(now) && !s.LastSeen.After(now) {
			newest = s.LastSeen
		}
	}
	p := period{From: newest.Add(-23 * time.Hour).Truncate(time.Hour), Until: newest.Add(time.Hour).Truncate(time.Hour)}
	return newest, path + "?" + p.query().Encode()
}

// sparkStep is how long a bar of a small picture is. Spans of up to three days are counted one by one, longer periods by what is kept of
// each day.
func sparkStep(p period) time.Duration {
	return p.stepFor(31, 2*time.Minute, 15*time.Minute, time.Hour, 3*time.Hour, day)
}

// serviceSpark is the small picture of a service.
type serviceSpark struct {
	Name  string
	Spark spark
}

// showSparks sends the small pictures of all services in a period.
func (u *UI) showSparks(w http.ResponseWriter, r *http.Request) error {
	p, err := readPeriod(r.URL.Query(), time.Now())
	if err != nil {
		return err
	}
	step := sparkStep(p)
	counts, _, err := u.Queries.Statistics(r.Context(), span.CountQuery{From: p.From, Until: p.Until, Step: step})
	if err != nil {
		return err
	}
	of := make(map[string][]span.Statistics)
	for _, c := range counts {
		of[c.ServiceName] = append(of[c.ServiceName], c)
	}
	steps := p.steps(step)
	sparks := make([]serviceSpark, 0, len(of))
	for name, counts := range of {
		sparks = append(sparks, serviceSpark{name, sparkOf(steps, step, counts)})
	}
	slices.SortFunc(sparks, func(a, b serviceSpark) int { return strings.Compare(a.Name, b.Name) })
	u.showPart(w, "services", "sparks", sparks)
	return nil
}

// stepText is a step for people, behind "by" or "each".
func stepText(step time.Duration) string {
	unit, name := time.Second, "second"
	for _, one := range []struct {
		unit time.Duration
		name string
	}{{day, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}} {
		if step%one.unit == 0 {
			unit, name = one.unit, one.name
			break
		}
	}
	switch step {
	case day:
		return "day (UTC)"
	case unit:
		return name
	}
	return terminal.Count(int64(step/unit), name)
}

// sortKey is a column by which rows are sorted. less is by what the column shows; most that are looked for are at its upper end.
type sortKey[T any] struct {
	name, label string
	number      bool
	compare     func(a, b *T) int
}

const (
	paramSort  = "sort"
	paramOrder = "order"
)

// sortRows sorts as the page was asked for, by the key number usual if nobody says, and tells the heads of the columns.
func sortRows[T any](rows []T, path string, query url.Values, usual int, keys []sortKey[T]) (columns []column) {
	by := keys[usual]
	for _, key := range keys {
		if key.name == query.Get(paramSort) {
			by = key
		}
	}
	// Numbers begin with the largest, names with A.
	descending := query.Get(paramOrder) == "desc" || query.Get(paramOrder) != "asc" && by.number
	slices.SortStableFunc(rows, func(a, b T) int {
		if descending {
			return by.compare(&b, &a)
		}
		return by.compare(&a, &b)
	})
	for _, key := range keys {
		c := column{Label: key.label, Number: key.number, Sorted: "none"}
		order := ""
		if key.name == by.name {
			c.Sorted, order = "ascending", "desc"
			if descending {
				c.Sorted, order = "descending", "asc"
			}
		}
		c.Link = with(path, query, map[string]string{paramSort: key.name, paramOrder: order})
		columns = append(columns, c)
	}
	return columns
}

func compareDurations(a, b *int64) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	return cmp.Compare(*a, *b)
}

func sortServices(rows []serviceRow, query url.Values) []column {
	share := func(r *serviceRow) float64 { return float64(r.Errors) / float64(max(r.Spans, 1)) }
	return sortRows(rows, "/services", query, 1, []sortKey[serviceRow]{
		{"name", "Service", false, func(a, b *serviceRow) int { return strings.Compare(a.Name, b.Name) }},
		{"spans", "Spans", true, func(a, b *serviceRow) int { return cmp.Compare(a.Spans, b.Spans) }},
		{"rate", "Rate", true, func(a, b *serviceRow) int { return cmp.Compare(a.Spans, b.Spans) }},
		{"errors", "Errors", true, func(a, b *serviceRow) int { return cmp.Compare(share(a), share(b)) }},
		{"p50", "p50", true, func(a, b *serviceRow) int { return compareDurations(a.P50, b.P50) }},
		{"p95", "p95", true, func(a, b *serviceRow) int { return compareDurations(a.P95, b.P95) }},
		{"p99", "p99", true, func(a, b *serviceRow) int { return compareDurations(a.P99, b.P99) }},
		{"first", "First seen", true, func(a, b *serviceRow) int { return a.First.Compare(b.First) }},
		{"last", "Last seen", true, func(a, b *serviceRow) int { return a.Last.Compare(b.Last) }},
	})
}
