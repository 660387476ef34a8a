package ui

import (
	"errors"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/span"
)

// The parameters that the page has beside those of the API.
const (
	// paramSince is how long before now traces begin.
	paramSince = "since"
	// paramLive is 1 if new traces are added as they arrive.
	paramLive = "live"
	// paramID is a trace or a span to open.
	paramID = "id"
)

const (
	// tracesListed is how many traces are listed unless another number is asked for, and maxTracesListed how many may be.
	tracesListed    = 50
	maxTracesListed = 1000
)

// filterParams are the parameters that choose traces and that the API has too.
func filterParams() []string {
	return []string{wire.ParamService, wire.ParamName, wire.ParamNameMatch, wire.ParamFrom, wire.ParamUntil, wire.ParamMinDuration,
		wire.ParamMaxDuration, wire.ParamStatus, wire.ParamKind, wire.ParamAttribute, wire.ParamHasLLM, wire.ParamWorkflow}
}

// quickRange is a range of time that ends now.
type quickRange struct {
	Word, Text string
	length     time.Duration
}

func quickRanges() []quickRange {
	const day = 24 * time.Hour
	return []quickRange{
		{"15m", "Last 15 minutes", 15 * time.Minute}, {"1h", "Last hour", time.Hour}, {"6h", "Last 6 hours", 6 * time.Hour},
		{"24h", "Last 24 hours", day}, {"7d", "Last 7 days", 7 * day},
	}
}

// search is what the page of traces was asked for.
type search struct {
	// typed are the parameters that say something, as they were given.
	typed url.Values
	// shortened: others were given that say nothing, as the empty fields of a form.
	shortened bool
	filter    span.TraceFilter
	limit     int
	// wrong is what cannot be asked, nil if all can.
	wrong *span.InvalidError
}

// readSearch reads the query of a URL. What is wrong with it is in search.wrong.
func readSearch(query string, now time.Time) search {
	given, err := url.ParseQuery(query)
	s := search{typed: url.Values{}, limit: tracesListed}
	if err != nil {
		s.fail(&span.InvalidError{What: "address", Value: query, Problem: "cannot be read: " + err.Error()})
	}
	for name, values := range given {
		s.keep(name, values)
	}
	s.dropIdle()
	s.readOwn(now)
	return s
}

// fail keeps the first thing that is wrong. err is of this page or of package wire, which says the parameter.
func (s *search) fail(err error) {
	var invalid *span.InvalidError
	if s.wrong == nil && errors.As(err, &invalid) {
		s.wrong = invalid
	}
}

// keep takes the values of a parameter that say something.
func (s *search) keep(name string, values []string) {
	known := append(filterParams(), wire.ParamLimit, wire.ParamCursor, paramSince, paramLive, paramID)
	if !slices.Contains(known, name) {
		s.fail(&span.InvalidError{What: name, Value: strings.Join(values, ", "), Problem: "is no filter: there are " + strings.Join(known, ", ")})
		return
	}
	for _, value := range values {
		// Blanks belong to names and to values of attributes, and come along with the rest when it is pasted.
		if name != wire.ParamService && name != wire.ParamName && name != wire.ParamAttribute {
			value = strings.TrimSpace(value)
		}
		if value == "" {
			s.shortened = true
			continue
		}
		s.typed.Add(name, value)
	}
	if kept := s.typed[name]; len(kept) > 1 && name != wire.ParamAttribute {
		s.fail(&span.InvalidError{What: name, Value: strings.Join(kept, ", "), Problem: "may be given once only"})
	}
}

// dropIdle drops what is there and says nothing, so that links stay short.
func (s *search) dropIdle() {
	idle := map[string]bool{
		wire.ParamNameMatch: s.typed.Get(wire.ParamName) == "" || s.typed.Get(wire.ParamNameMatch) == wire.NameMatchText(span.NameExact),
		wire.ParamHasLLM:    s.typed.Get(wire.ParamHasLLM) == "false",
		wire.ParamWorkflow:  s.typed.Get(wire.ParamWorkflow) == "false",
		wire.ParamLimit:     s.typed.Get(wire.ParamLimit) == strconv.Itoa(tracesListed),
	}
	for name, yes := range idle {
		if yes && s.typed.Has(name) {
			s.typed.Del(name)
			s.shortened = true
		}
	}
}

// readOwn reads what the API has in common with the page, and then what the page has alone.
func (s *search) readOwn(now time.Time) {
	filter, err := wire.ParseTraceQuery(s.typed)
	s.fail(err)
	s.filter = filter
	if text := s.typed.Get(wire.ParamLimit); text != "" {
		if s.limit, err = strconv.Atoi(text); err != nil || s.limit < 1 || s.limit > maxTracesListed {
			s.fail(&span.InvalidError{What: wire.ParamLimit, Value: text, Problem: "must be from 1 to " + strconv.Itoa(maxTracesListed)})
		}
	}
	if text := s.typed.Get(paramLive); text != "" && text != "1" {
		s.fail(&span.InvalidError{What: paramLive, Value: text, Problem: "must be 1, or not be there"})
	}
	s.readSince(now)
}

func (s *search) readSince(now time.Time) {
	text := s.typed.Get(paramSince)
	if text == "" {
		return
	}
	ranges := quickRanges()
	i := slices.IndexFunc(ranges, func(q quickRange) bool { return q.Word == text })
	switch {
	case i < 0:
		words := make([]string, len(ranges))
		for i, q := range ranges {
			words[i] = q.Word
		}
		s.fail(&span.InvalidError{What: paramSince, Value: text, Problem: "must be one of " + strings.Join(words, ", ") + ", or not be there for any time"})
	case s.typed.Has(wire.ParamFrom) || s.typed.Has(wire.ParamUntil):
		s.fail(&span.InvalidError{What: paramSince, Value: text, Problem: "ends now: choose any time to search from and until certain times"})
	default:
		s.filter.Root.From = now.Add(-ranges[i].length)
	}
}

// link is the page with some parameters changed: pairs of name and value, where "" drops it. It begins with the newest traces.
func (s *search) link(changes ...string) string {
	values := url.Values{}
	for name, all := range s.typed {
		if name != wire.ParamCursor && name != paramID {
			values[name] = all
		}
	}
	for i := 0; i+1 < len(changes); i += 2 {
		values.Del(changes[i])
		if changes[i+1] != "" {
			values.Set(changes[i], changes[i+1])
		}
	}
	return pageOf(values)
}

// without is the page without one attribute.
func (s *search) without(attribute int) string {
	all := s.typed[wire.ParamAttribute]
	other := search{typed: maps.Clone(s.typed)}
	other.typed[wire.ParamAttribute] = slices.Concat(all[:attribute], all[attribute+1:])
	return other.link()
}

func pageOf(values url.Values) string {
	if query := values.Encode(); query != "" {
		return "/?" + query
	}
	return "/"
}

// tail is where the API tells of new traces that the filter chooses.
func (s *search) tail() string {
	values := url.Values{}
	for _, name := range filterParams() {
		if all := s.typed[name]; len(all) > 0 {
			values[name] = all
		}
	}
	return wire.Prefix + "/tail?" + values.Encode()
}

// chip is a filter that is set, and the page without it.
type chip struct {
	Name, Text string
	// Time is shown in the zone of the reader.
	Time   time.Time
	Remove string
	// Bound: it is about time.
	Bound bool
}

func (s *search) chips() (all []chip) {
	add := func(param, name string) {
		if text := s.typed.Get(param); text != "" {
			all = append(all, chip{Name: name, Text: text, Remove: s.link(param, "")})
		}
	}
	add(wire.ParamService, "service")
	if text := s.typed.Get(wire.ParamName); text != "" {
		compared := map[string]string{"prefix": "name starts with", "contains": "name contains"}[s.typed.Get(wire.ParamNameMatch)]
		if compared == "" {
			compared = "name"
		}
		all = append(all, chip{Name: compared, Text: text, Remove: s.link(wire.ParamName, "", wire.ParamNameMatch, "")})
	}
	if text := s.typed.Get(paramSince); text != "" {
		all = append(all, chip{Name: "last", Text: text, Remove: s.link(paramSince, ""), Bound: true})
	}
	for _, param := range []string{wire.ParamFrom, wire.ParamUntil} {
		if at, err := wire.ParseTime(param, s.typed.Get(param)); err == nil {
			all = append(all, chip{Name: param, Time: at, Remove: s.link(param, ""), Bound: true})
		} else {
			add(param, param)
		}
	}
	add(wire.ParamMinDuration, "at least")
	add(wire.ParamMaxDuration, "at most")
	add(wire.ParamStatus, "status")
	add(wire.ParamKind, "kind")
	for i, text := range s.typed[wire.ParamAttribute] {
		all = append(all, chip{Name: "attribute", Text: text, Remove: s.without(i)})
	}
	if s.typed.Get(wire.ParamHasLLM) != "" {
		all = append(all, chip{Text: "with LLM call", Remove: s.link(wire.ParamHasLLM, "")})
	}
	if s.typed.Get(wire.ParamWorkflow) != "" {
		all = append(all, chip{Text: "workflow", Remove: s.link(wire.ParamWorkflow, "")})
	}
	return all
}
