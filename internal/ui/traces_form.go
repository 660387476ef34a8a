package ui

import (
	"fmt"
	"slices"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/terminal"
)

// searchForm is what the fields of the form hold.
type searchForm struct {
	Value map[string]string
	Wrong map[string]string

	Services   []string
	Matches    []nameMatch
	Attributes []string
	Ranges     []quickRange
	Statuses   []string
	Kinds      []string
	Limits     []string
	// Detailed: some of the fields that are folded away is set.
	Detailed bool
}

// nameMatch is a way to compare names.
type nameMatch struct{ Word, Text string }

// manyServices are too many for a list to choose from: they are suggested as one types.
const manyServices = 200

// SuggestServices tells whether there are many services.
func (f searchForm) SuggestServices() bool { return len(f.Services) > manyServices }

// fieldProblem is what is wrong with a field; Text is "" if nothing is.
type fieldProblem struct{ Name, Text string }

// Problem is what is wrong with a field.
func (f searchForm) Problem(name string) fieldProblem { return fieldProblem{name, f.Wrong[name]} }

// Visible are the fields that always show.
func (searchForm) Visible() []string {
	return []string{wire.ParamService, wire.ParamName, wire.ParamNameMatch, paramSince, wire.ParamStatus, wire.ParamMinDuration}
}

// Folded are the fields that are folded away unless one of them is set.
func (searchForm) Folded() []string {
	return []string{wire.ParamMaxDuration, wire.ParamKind, wire.ParamFrom, wire.ParamUntil, wire.ParamLimit, wire.ParamHasLLM, wire.ParamWorkflow,
		wire.ParamAttribute}
}

// form fills the fields with what was typed.
func (s *search) form(services []span.Service) searchForm {
	f := searchForm{Value: make(map[string]string), Wrong: make(map[string]string), Attributes: s.typed[wire.ParamAttribute],
		Matches: []nameMatch{{"contains", "contains"}, {"prefix", "starts with"}, {"exact", "is"}}, Ranges: quickRanges()}
	for name := range s.typed {
		f.Value[name] = s.typed.Get(name)
	}
	for _, one := range services {
		if one.Name != "" {
			f.Services = append(f.Services, one.Name)
		}
	}
	if f.Value[wire.ParamName] == "" {
		f.Value[wire.ParamNameMatch] = wire.NameMatchText(span.NameContains) // what who begins to type means
	} else if f.Value[wire.ParamNameMatch] == "" {
		f.Value[wire.ParamNameMatch] = wire.NameMatchText(span.NameExact)
	}
	// What was typed can be chosen again, even if it is wrong or not known.
	f.Services = including(f.Services, f.Value[wire.ParamService])
	f.Statuses = including(wire.Statuses(), f.Value[wire.ParamStatus])
	f.Kinds = including(wire.Kinds(), f.Value[wire.ParamKind])
	f.Limits = including([]string{"50", "100", "200", "500", "1000"}, f.Value[wire.ParamLimit])
	if word := f.Value[paramSince]; word != "" && !slices.ContainsFunc(f.Ranges, func(q quickRange) bool { return q.Word == word }) {
		f.Ranges = append(f.Ranges, quickRange{Word: word, Text: word})
	}
	if word := f.Value[wire.ParamNameMatch]; !slices.ContainsFunc(f.Matches, func(m nameMatch) bool { return m.Word == word }) {
		f.Matches = append(f.Matches, nameMatch{word, word})
	}
	if s.wrong != nil {
		f.Wrong[s.wrong.What] = fmt.Sprintf("%q %s", terminal.Cut(s.wrong.Value, 60), s.wrong.Problem)
	}
	f.Detailed = slices.ContainsFunc(f.Folded(), s.typed.Has)
	return f
}

func including(all []string, typed string) []string {
	if typed == "" || slices.Contains(all, typed) {
		return all
	}
	return append(all, typed)
}
