// Package attribute decides whether a span has the attributes that are asked for, and which row groups of a file can have such a span.
package attribute

import (
	"encoding/json"
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
	if !holds(clauses, attributes, resource) {
		return false
	}
	// gjson reads what is not JSON as well. Whether it is takes longer, and is asked only where it matters; of encoding/json, which bounds how
	// deep it goes: gjson.Valid calls itself for each bracket, and a text of six million of them ends the process.
	own, shared := json.Valid([]byte(attributes)), json.Valid([]byte(resource))
	if own && shared {
		return true
	}
	if !own {
		attributes = ""
	}
	if !shared {
		resource = ""
	}
	return holds(clauses, attributes, resource)
}

// holds tells whether all clauses hold, if both texts are JSON.
func holds(clauses []span.AttributeClause, attributes, resource string) bool {
	own, shared := gjson.Parse(attributes), gjson.Parse(resource)
	for _, clause := range clauses {
		either := false
		for i := range clause {
			if either = matchesOne(&clause[i], own) || matchesOne(&clause[i], shared); either {
				break
			}
		}
		if !either {
			return false
		}
	}
	return true
}

func matchesOne(c *span.AttributeCondition, object gjson.Result) (matches bool) {
	if !object.IsObject() {
		return false
	}
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
