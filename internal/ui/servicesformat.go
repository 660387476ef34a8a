package ui

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/terminal"
)

// none is shown where there is no number.
const none = "–"

// rateText is how often something happened, in the unit in which that is a number to read.
func rateText(n int64, in time.Duration) string {
	seconds := in.Seconds()
	if n <= 0 || seconds <= 0 {
		return "0"
	}
	perSecond := float64(n) / seconds
	for _, unit := range []struct {
		seconds float64
		name    string
	}{{1, "/s"}, {60, "/min"}, {3600, "/h"}} {
		if rate := perSecond * unit.seconds; rate >= 0.995 {
			return shortNumber(rate) + unit.name
		}
	}
	return shortNumber(perSecond*24*3600) + "/day"
}

// shortNumber has three digits, and no zeros at its end.
func shortNumber(n float64) string {
	text := humanize.Comma(int64(n + 0.5))
	switch {
	case n < 9.995:
		text = strings.TrimSuffix(fmt.Sprintf("%.2f", n), ".00")
	case n < 99.95:
		text = strings.TrimSuffix(fmt.Sprintf("%.1f", n), ".0")
	}
	return text
}

// shareText is a share in percent. What is little is never shown as nothing.
func shareText(part, whole float64) string {
	if part <= 0 || whole <= 0 {
		return "0 %"
	}
	switch percent := part / whole * 100; {
	case percent < 0.1:
		return "< 0.1 %"
	case percent < 9.95:
		return fmt.Sprintf("%.1f %%", percent)
	case percent < 99.5 || part >= whole:
		return fmt.Sprintf("%.0f %%", percent)
	default:
		return "> 99 %"
	}
}

func durationText(ns *int64) string {
	if ns == nil {
		return none
	}
	return terminal.Duration(time.Duration(*ns))
}

// spark is a small picture of spans over time, and of the errors among them.
type spark struct {
	Width, Height int
	// All and Errors are paths of bars.
	All, Errors string
	// Label says in words what is to be seen.
	Label string
}

const sparkWidth, sparkHeight = 120, 24

// sparkOf draws counts by step, missing steps left out of the list.
func sparkOf(steps []time.Time, step time.Duration, counts []span.Statistics) spark {
	s := spark{Width: sparkWidth, Height: sparkHeight}
	if len(steps) == 0 {
		return s
	}
	most, all := int64(0), make([]span.Statistics, len(steps))
	for _, c := range counts {
		if i := int(c.Start.Sub(steps[0]) / step); i >= 0 && i < len(all) {
			all[i] = c
			most = max(most, c.SpanCount)
		}
	}
	if most == 0 {
		s.Label = "no spans"
		return s
	}
	var bars, errors strings.Builder
	for i, c := range all {
		bar(&bars, i, len(all), float64(c.SpanCount)/float64(most))
		bar(&errors, i, len(all), float64(c.ErrorCount)/float64(most))
	}
	s.All, s.Errors = bars.String(), errors.String()
	s.Label = "at most " + terminal.Count(most, "span") + " in a " + stepText(step)
	return s
}

// bar adds the i-th of n bars to a path. One that is more than nothing can be seen.
func bar(path *strings.Builder, i, n int, share float64) {
	if share <= 0 {
		return
	}
	width := float64(sparkWidth) / float64(n)
	height := max(share*sparkHeight, 1)
	fmt.Fprintf(path, "M%.1f %dv-%.1fh%.1fV%dz", float64(i)*width, sparkHeight, height, max(width*0.8, 0.6), sparkHeight)
}
