package wire

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// ParseAttribute reads a condition of an attribute: key=value, or key alone if any value will do. The key ends at the first =, so keys
// with a = in them cannot be said.
func ParseAttribute(text string) (span.AttributeCondition, error) {
	key, value, hasValue := strings.Cut(text, "=")
	if key == "" {
		return span.AttributeCondition{}, &span.InvalidError{What: ParamAttribute, Value: text, Problem: "must be key=value, or key for any value"}
	}
	if !hasValue {
		return span.AttributeCondition{Key: key}, nil
	}
	return span.AttributeCondition{Key: key, Value: &value}, nil
}

// attributeText is what ParseAttribute reads.
func attributeText(c span.AttributeCondition) (string, error) {
	if strings.Contains(c.Key, "=") {
		return "", &span.InvalidError{What: ParamAttribute, Value: c.Key, Problem: "cannot be asked over HTTP: the key has a ="}
	}
	if c.Value == nil {
		return c.Key, nil
	}
	return c.Key + "=" + *c.Value, nil
}

// ParseTime reads a time as RFC 3339 has it. name is that of the parameter, for the error.
func ParseTime(name, text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, text)
	// In UTC it may be in a year that RFC 3339 cannot say.
	if t = t.UTC(); err == nil && t.Year() >= 0 && t.Year() <= 9999 {
		return t, nil
	}
	problem := "must be a time such as 2026-11-29T08:00:00Z (RFC 3339)"
	if strings.Contains(text, " ") {
		problem += "; in a URL a + is written %2B"
	}
	return time.Time{}, &span.InvalidError{What: name, Value: text, Problem: problem}
}

// ParseDuration reads a duration as Go writes it. name is that of the parameter, for the error.
func ParseDuration(name, text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, &span.InvalidError{What: name, Value: text, Problem: "must be a duration longer than 0, such as 250ms, 1.5s, 2m or 1h"}
	}
	return d, nil
}

// NameMatches are the words for how names are compared.
func NameMatches() []string { return words(span.NameContains, NameMatchText) }

// Statuses are the words of status codes.
func Statuses() []string { return words(span.StatusError, span.StatusCode.String) }

// Kinds are the words of kinds.
func Kinds() []string { return words(span.KindConsumer, span.Kind.String) }

// words are those of the numbers from 0 to last.
func words[T ~int | ~int8](last T, word func(T) string) (all []string) {
	for n := T(0); n <= last; n++ {
		all = append(all, word(n))
	}
	return all
}

// NameMatchText is the word for how names are compared.
func NameMatchText(m span.NameMatch) string {
	switch m {
	case span.NamePrefix:
		return "prefix"
	case span.NameContains:
		return "contains"
	case span.NameExact:
	}
	return "exact"
}

// ParseNameMatch reads one of NameMatches.
func ParseNameMatch(text string) (span.NameMatch, error) {
	return word[span.NameMatch](ParamNameMatch, text, NameMatches())
}

// ParseStatus reads one of Statuses.
func ParseStatus(text string) (span.StatusCode, error) {
	return word[span.StatusCode](ParamStatus, text, Statuses())
}

// ParseKind reads one of Kinds.
func ParseKind(text string) (span.Kind, error) { return word[span.Kind](ParamKind, text, Kinds()) }

func word[T ~int | ~int8](name, text string, allowed []string) (T, error) {
	n := slices.Index(allowed, text)
	if n < 0 {
		return 0, &span.InvalidError{What: name, Value: text, Problem: "must be one of " + strings.Join(allowed, ", ")}
	}
	return T(n), nil
}

// number reads the word of a kind or status code, or what stands for one that OpenTelemetry does not define, such as kind(9).
func number[T ~int8](what, text string, allowed []string) (T, error) {
	if inner, ok := strings.CutPrefix(text, what+"("); ok {
		if digits, ok := strings.CutSuffix(inner, ")"); ok {
			if n, err := strconv.ParseInt(digits, 10, 8); err == nil {
				return T(n), nil
			}
		}
	}
	return word[T](what, text, allowed)
}
