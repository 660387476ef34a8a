package jaeger

import (
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

const (
	// searchLookback is how far a search without a beginning goes back, dependencyLookback how far dependencies do: those of Jaeger
	// (cmd/query/app/default_params.go).
	searchLookback     = 48 * time.Hour
	dependencyLookback = 24 * time.Hour
)

// parseSearch reads the parameters of /api/traces, as parseTraceQueryParams of Jaeger does (cmd/query/app/query_parser.go). Those that are
// not known are ignored, as Jaeger does: its clients send some that are for themselves.
func parseSearch(parameters url.Values, now time.Time) (*search, error) {
	s := &search{limit: defaultLimit}
	s.filter.ServiceName, s.filter.Name = parameters.Get("service"), parameters.Get("operation")
	if err := s.parseTimes(parameters, now); err != nil {
		return nil, err
	}
	if text := parameters.Get("limit"); text != "" {
		limit, err := strconv.Atoi(text)
		if err != nil {
			return nil, &span.InvalidError{What: "limit", Value: text, Problem: "must be a number"}
		}
		s.limit = limit
	}
	var err error
	if s.filter.MinDuration, err = parseDuration(parameters, "minDuration"); err != nil {
		return nil, err
	}
	if s.filter.MaxDuration, err = parseDuration(parameters, "maxDuration"); err != nil {
		return nil, err
	}
	if err := checkDurations(s.filter.MinDuration, s.filter.MaxDuration); err != nil {
		return nil, err
	}
	if err := s.parseTags(parameters["tag"], parameters["tags"]); err != nil {
		return nil, err
	}
	return s, nil
}

// parseTimes reads start and end, in microseconds. lookback stands for a start that is missing.
func (s *search) parseTimes(parameters url.Values, now time.Time) error {
	last, ok, err := parseTime(parameters, "end", time.Microsecond)
	if err != nil {
		return err
	}
	if !ok {
		last = now
	}
	start, ok, err := parseTime(parameters, "start", time.Microsecond)
	if err != nil {
		return err
	}
	if !ok {
		start = last.Add(-lookback(parameters.Get("lookback")))
	}
	s.filter.From, s.filter.Until = start, until(last)
	return nil
}

// lookback reads what Jaeger's UI sends beside the times that it means, such as 20m, 2d or custom.
func lookback(text string) time.Duration {
	unit := 24 * time.Hour
	days, ok := strings.CutSuffix(text, "d")
	if !ok {
		days, ok = strings.CutSuffix(text, "w")
		unit *= 7
	}
	if n, err := strconv.ParseUint(days, 10, 16); ok && err == nil && n > 0 {
		return time.Duration(n) * unit
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return d
	}
	return searchLookback
}

func parseTime(parameters url.Values, name string, unit time.Duration) (t time.Time, ok bool, err error) {
	text := parameters.Get(name)
	if text == "" {
		return time.Time{}, false, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	// Jaeger's own clients stay far below the year 2200.
	if err != nil || n < 0 || n > int64(7_258_118_400*time.Second/unit) {
		return time.Time{}, false, &span.InvalidError{What: name, Value: text, Problem: "must be a number of " + unitName(unit) + " since 1970"}
	}
	return time.UnixMicro(n * int64(unit/time.Microsecond)).UTC(), true, nil
}

func unitName(unit time.Duration) string {
	if unit == time.Millisecond {
		return "milliseconds"
	}
	return "microseconds"
}

func parseDuration(parameters url.Values, name string) (time.Duration, error) {
	text := parameters.Get(name)
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, &span.InvalidError{What: name, Value: text, Problem: "must be a duration such as 1.2s, 100ms or 500us"}
	}
	return d, nil
}

// parseTags reads tags as key:value, and as JSON objects.
func (s *search) parseTags(pairs, objects []string) error {
	for _, pair := range pairs {
		key, value, ok := strings.Cut(pair, ":")
		if !ok {
			return &span.InvalidError{What: "tag", Value: pair, Problem: "must be key:value"}
		}
		if err := s.addTag(key, value); err != nil {
			return err
		}
	}
	for _, object := range objects {
		var values map[string]any
		decoder := json.NewDecoder(strings.NewReader(object))
		decoder.UseNumber()
		if err := decoder.Decode(&values); err != nil || decoder.More() {
			return &span.InvalidError{What: "tags", Value: object, Problem: `must be a JSON object such as {"error":"true"}`}
		}
		for _, key := range slices.Sorted(maps.Keys(values)) {
			text, err := tagText(key, values[key])
			if err != nil {
				return err
			}
			if err := s.addTag(key, text); err != nil {
				return err
			}
		}
	}
	return nil
}

// tagText is the value of a tag. Jaeger takes text only.
func tagText(key string, value any) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case json.Number:
		return v.String(), nil
	}
	return "", &span.InvalidError{What: "tag", Value: key, Problem: "must be text, a number or a bool"}
}
