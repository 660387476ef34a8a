// Package attribute decides whether a span has the attributes that are asked for, and which row groups of a file can have such a span.
package attribute

import (
	"math"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/spanlake/spanlake/internal/span"
)

// maxExact bounds the numbers that are compared by their value: up to there a float64 is exact (IEEE 754, 53 bits).
const maxExact = 1 << 53

// Matches tells whether all clauses hold of a span with these attributes and resource attributes, which are JSON objects. Of keys that
// repeat the first one counts, and text that is not JSON has no attributes.
func Matches(clauses []span.AttributeClause, attributes, resource string) bool {
	if len(clauses) == 0 {
		return true
	}
	own, shared := parse(attributes), parse(resource)
	for _, clause := range clauses {
		holds := false
		for i := range clause {
			if holds = matchesOne(&clause[i], own) || matchesOne(&clause[i], shared); holds {
				break
			}
		}
		if !holds {
			return false
		}
	}
	return true
}

// parse is the object of a text; of anything else ForEach yields nothing that has a key.
func parse(text string) gjson.Result {
	if !gjson.Valid(text) {
		return gjson.Result{}
	}
	object := gjson.Parse(text)
	if !object.IsObject() {
		return gjson.Result{}
	}
	return object
}

func matchesOne(c *span.AttributeCondition, object gjson.Result) (matches bool) {
	object.ForEach(func(key, value gjson.Result) bool {
		if key.String() != c.Key {
			return true
		}
		matches = c.Value == nil || equals(value, *c.Value)
		return false
	})
	return matches
}

// equals compares a value with the text that is asked for.
func equals(value gjson.Result, text string) bool {
	switch value.Type {
	case gjson.String:
		return value.String() == text
	case gjson.True, gjson.False:
		return value.Raw == text
	case gjson.Number:
		if value.Raw == text {
			return true
		}
		asked, ok := Number(text)
		if !ok {
			return false
		}
		n, err := strconv.ParseFloat(value.Raw, 64)
		return err == nil && n == asked
	}
	return false
}

// Number is the number that a text stands for, if it is one that is compared by value: whoever asks for 42 means 42.0 as well.
func Number(text string) (float64, bool) {
	// Only what JSON knows as a number: no hexadecimal digits, underscores, infinities.
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return !strings.ContainsRune("0123456789+-.eE", r) }) {
		return 0, false
	}
	n, err := strconv.ParseFloat(text, 64)
	return n, err == nil && math.Abs(n) < maxExact
}
