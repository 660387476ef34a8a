package ui

import (
	"maps"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/span"
)

const (
	day = 24 * time.Hour
	// periodUsual is the period if nobody says, periodMost the longest.
	periodUsual = "24h"
	periodMost  = 3660 * day
)

// period is the time that a page is about.
type period struct {
	From, Until time.Time
	// Since is how the period was asked for, "" if it has fixed ends.
	Since string
}

// readPeriod reads since, or from and until, of which until may be missing. The error is a *span.InvalidError.
func readPeriod(query url.Values, now time.Time) (period, error) {
	now = now.UTC()
	from, until := query.Get(wire.ParamFrom), query.Get(wire.ParamUntil)
	if from == "" && until == "" {
		since := query.Get(paramSince)
		if since == "" {
			since = periodUsual
		}
		length, err := readSince(since)
		return period{From: now.Add(-length), Until: now, Since: since}, err
	}
	p := period{Until: now}
	var err error
	if until != "" {
		if p.Until, err = wire.ParseTime(wire.ParamUntil, until); err != nil {
			return p, err
		}
	}
	p.From = p.Until.Add(-day)
	if from != "" {
		if p.From, err = wire.ParseTime(wire.ParamFrom, from); err != nil {
			return p, err
		}
	}
	if !p.From.Before(p.Until) {
		return p, &span.InvalidError{What: wire.ParamUntil, Value: until, Problem: "must be later than " + wire.ParamFrom}
	}
	if p.length() > periodMost {
		return p, &span.InvalidError{What: wire.ParamFrom, Value: from, Problem: "is more than ten years before " + wire.ParamUntil}
	}
	return p, nil
}

// readServiceQuery reads the period that a page about services is asked for, and the service, "" for all.
func readServiceQuery(query url.Values) (p period, service string, err error) {
	if p, err = readPeriod(query, time.Now()); err != nil {
		return p, "", err
	}
	service = query.Get(wire.ParamService)
	return p, service, wire.CheckText(wire.ParamService, service)
}

func readSince(text string) (time.Duration, error) {
	length := time.Duration(0)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n > 0 && n <= int(periodMost/day) {
			length = time.Duration(n) * day
		}
	} else if d, err := time.ParseDuration(text); err == nil && d >= time.Second && d <= periodMost {
		length = d
	}
	if length == 0 {
		return 0, &span.InvalidError{What: paramSince, Value: text, Problem: "must be a time such as 15m, 24h or 7d, from a second to ten years"}
	}
	return length, nil
}

func (p period) length() time.Duration { return p.Until.Sub(p.From) }

// query is how the same period is asked for.
func (p period) query() url.Values {
	if p.Since != "" {
		return url.Values{paramSince: {p.Since}}
	}
	return url.Values{wire.ParamFrom: {p.From.Format(time.RFC3339Nano)}, wire.ParamUntil: {p.Until.Format(time.RFC3339Nano)}}
}

// last is the end of the period, no longer than most.
func (p period) last(most time.Duration) period {
	if p.length() > most {
		p.From, p.Since = p.Until.Add(-most), ""
	}
	return p
}

// stepFor is the step, of a rising list, that divides the period into no more than most; longer ones are whole days.
func (p period) stepFor(most int, steps ...time.Duration) time.Duration {
	length := p.length()
	for _, step := range steps {
		if length <= time.Duration(most)*step {
			return step
		}
	}
	return time.Duration(int64(length/day)/int64(most)+1) * day
}

// steps are where the steps of the period begin: at multiples of step since 1970, the first one perhaps before From.
func (p period) steps(step time.Duration) []time.Time {
	us := step.Microseconds()
	first := p.From.UnixMicro()
	first -= ((first % us) + us) % us
	var all []time.Time
	for at := first; at < p.Until.UnixMicro(); at += us {
		all = append(all, time.UnixMicro(at).UTC())
	}
	return all
}

// choice is a link among others, one of which is where the reader is.
type choice struct {
	Label, Link string
	Current     bool
}

// periodChoices are the usual periods. Everything else that the page was asked for stays.
func periodChoices(path string, asked url.Values, current period) (all []choice) {
	for _, since := range []string{"1h", "6h", "24h", "7d", "30d"} {
		all = append(all, choice{Label: since, Link: with(path, asked, map[string]string{paramSince: since, wire.ParamFrom: "", wire.ParamUntil: ""}),
			Current: current.Since == since})
	}
	return all
}

// with is a link to a page that is asked the same but for some parameters; "" takes one away.
func with(path string, asked url.Values, change map[string]string) string {
	query := url.Values{}
	maps.Copy(query, asked)
	for name, value := range change {
		if query.Del(name); value != "" {
			query.Set(name, value)
		}
	}
	if len(query) == 0 {
		return path
	}
	return path + "?" + query.Encode()
}
