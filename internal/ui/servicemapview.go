package ui

import (
	"cmp"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/terminal"
)

const (
	// mostNodes is how many services a map shows.
	mostNodes = 60
	// mostLines is how many lines it has: more cannot be told apart.
	mostLines = 300
	// mostMapTime bounds the time of which calls are counted: each span is looked up by its parent.
	mostMapTime = day
)

// mapBody is a map of services, as a picture and as a table.
type mapBody struct {
	// Service is set if only its neighbours are shown.
	Service string
	Period  period
	// Cut: the period of the page is longer than that of the map.
	Cut   bool
	Nodes []mapNode
	Lines []mapLine
	// Hidden are services that are not shown, HiddenLines pairs of those that are.
	Hidden, HiddenLines int
	Width, Height       string
	Completeness        span.Completeness
}

// mapNode is a service on the map.
type mapNode struct {
	numbers
	Name, Short, Link, Label string
	X, Y                     string
	// Load is the width of its bar: how many spans it has, on a scale on which ten times as many are one step more.
	Load string
	// Current: the page is about it.
	Current bool
}

// mapLine are the calls from one service to another.
type mapLine struct {
	Parent, Child         string
	ParentLink, ChildLink string
	Calls                 int64
	Path, Width           string
	// X and Y are where the number stands.
	X, Y string
	// Back: it goes from right to left.
	Back bool
}

// showMap is a part of the pages of services.
func (u *UI) showMap(w http.ResponseWriter, r *http.Request) error {
	ctx, query := r.Context(), r.URL.Query()
	asked, service, err := readServiceQuery(query)
	if err != nil {
		return err
	}
	p := asked.last(mostMapTime)
	counts, _, err := u.Queries.Statistics(ctx, span.CountQuery{From: p.From, Until: p.Until})
	if err != nil {
		return err
	}
	calls, complete, err := u.Queries.Dependencies(ctx, p.From, p.Until)
	if err != nil {
		return err
	}
	body := mapOf(counts, calls, service, p, asked)
	body.Completeness = complete
	if wantsPart(r) {
		u.showPart(w, "services", "map", body)
		return nil
	}
	u.showServicesPage(w, r, "Service map", servicesPage{Part: &servicesPart{Service: service, Back: with("/services", query, nil), Map: body}})
	return nil
}

// mapOf makes the map of calls. With a service it is of the calls from and to it.
func mapOf(counts []span.Statistics, calls []span.Dependency, service string, p, asked period) *mapBody {
	if service != "" {
		calls = slices.DeleteFunc(slices.Clone(calls), func(c span.Dependency) bool { return c.Parent != service && c.Child != service })
	}
	names, hidden := mapNames(counts, calls, service)
	number := make(map[string]int, len(names))
	for i, name := range names {
		number[name] = i
	}
	drawn := slices.DeleteFunc(slices.Clone(calls), func(c span.Dependency) bool {
		_, known := number[c.Parent]
		_, both := number[c.Child]
		return !known || !both || c.Parent == c.Child
	})
	slices.SortStableFunc(drawn, func(a, b span.Dependency) int { return cmp.Compare(b.Calls, a.Calls) })
	hiddenLines := max(len(drawn)-mostLines, 0)
	drawn = drawn[:len(drawn)-hiddenLines]
	between := make([]mapCall, 0, len(drawn))
	for _, c := range drawn {
		between = append(between, mapCall{number[c.Parent], number[c.Child], c.Calls})
	}
	layout := layOut(len(names), between)
	body := &mapBody{Service: service, Period: p, Cut: p != asked, Hidden: hidden, HiddenLines: hiddenLines, Width: pixels(layout.width), Height: pixels(layout.height)}
	body.addNodes(names, counts, layout, asked)
	body.addLines(drawn, layout, asked)
	return body
}

// mapNames are the services of the map, the busiest if there are too many, in the order of their names.
func mapNames(counts []span.Statistics, calls []span.Dependency, service string) (names []string, hidden int) {
	spans := make(map[string]int64)
	for _, c := range calls {
		spans[c.Parent], spans[c.Child] = spans[c.Parent]+0, spans[c.Child]+0
	}
	for _, c := range counts {
		if _, neighbour := spans[c.ServiceName]; neighbour || service == "" || service == c.ServiceName {
			spans[c.ServiceName] = c.SpanCount
		}
	}
	for name := range spans {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(spans[b], spans[a]), strings.Compare(a, b)) })
	if hidden = max(len(names)-mostNodes, 0); hidden > 0 {
		if at := slices.Index(names, service); at >= mostNodes {
			names[mostNodes-1] = service
		}
		names = names[:mostNodes]
	}
	slices.Sort(names)
	return names, hidden
}

func (b *mapBody) addNodes(names []string, counts []span.Statistics, layout mapLayout, asked period) {
	const nameWidth, inner = 19, nodeWidth - 24
	of := make(map[string]span.Statistics, len(counts))
	most := int64(1)
	for _, c := range counts {
		of[c.ServiceName] = c
		most = max(most, c.SpanCount)
	}
	for i, name := range names {
		n := mapNode{numbers: numbersOf(of[name], b.Period.length()), Name: name, Current: name == b.Service && name != "",
			Short: terminal.Cut(terminal.Printable(cmp.Or(name, "(no service)")), nameWidth), Link: serviceLink(name, asked),
			X: pixels(layout.nodes[i].X), Y: pixels(layout.nodes[i].Y)}
		n.Load = pixels(inner * math.Log10(1+float64(n.Spans)) / math.Log10(1+float64(most)))
		n.Label = fmt.Sprintf("%s: %s, %s errors, p95 %s", cmp.Or(name, "spans without a service"), n.Rate, n.ErrorShare, n.Most95)
		b.Nodes = append(b.Nodes, n)
	}
}

func serviceLink(name string, p period) string {
	if name == "" {
		return ""
	}
	link := p.query()
	link.Set(wire.ParamService, name)
	return "/services?" + link.Encode()
}

func (b *mapBody) addLines(calls []span.Dependency, layout mapLayout, asked period) {
	const thin, thicker = 1.25, 4.5
	most := int64(1)
	for _, c := range calls {
		most = max(most, c.Calls)
	}
	for i, c := range calls {
		l := mapLine{Parent: c.Parent, Child: c.Child, ParentLink: serviceLink(c.Parent, asked), ChildLink: serviceLink(c.Child, asked),
			Calls: c.Calls, Back: layout.turned[i], Path: curve(layout.lines[i]),
			Width: pixels(thin + thicker*math.Log10(1+float64(c.Calls))/math.Log10(1+float64(most)))}
		// The number stands where the line arrives, since more lines leave a service than reach it.
		points := layout.lines[i]
		from, to := points[len(points)-2], points[len(points)-1]
		if l.Back {
			from, to = points[1], points[0]
		}
		const near = 0.62
		l.X, l.Y = pixels(from.X+(to.X-from.X)*near), pixels(from.Y+(to.Y-from.Y)*bend(near)-5)
		b.Lines = append(b.Lines, l)
	}
}

// bend is how far up or down a curve has come at a share of its way.
func bend(t float64) float64 { return t * t * (3 - 2*t) }

// curve is the path of a line: bends between services and layers, straight where it passes one.
func curve(points []mapPoint) string {
	var path strings.Builder
	for i, p := range points {
		switch {
		case i == 0:
			fmt.Fprintf(&path, "M%.1f %.1f", p.X, p.Y)
		case i%2 == 0:
			fmt.Fprintf(&path, "H%.1f", p.X)
		default:
			middle := (points[i-1].X + p.X) / 2
			fmt.Fprintf(&path, "C%.1f %.1f %.1f %.1f %.1f %.1f", middle, points[i-1].Y, middle, p.Y, p.X, p.Y)
		}
	}
	return path.String()
}

func pixels(x float64) string { return fmt.Sprintf("%.1f", x) }
