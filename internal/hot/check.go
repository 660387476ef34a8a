package hot

import (
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/spanlake/spanlake/internal/span"
)

// What may be asked. The internal interface takes 1 MiB (requestBytes), which all of it together stays below.
const (
	// MaxLimit bounds what one call of List lists.
	MaxLimit = 10_000
	// maxConditions and maxText bound a filter: its conditions on attributes, and all of its text.
	maxConditions = 100
	maxText       = 256 << 10
	// maxCounts bounds the answer of a Count that divides services.
	maxCounts = 100_000
)

func checkLimit(limit int) error {
	if limit < 1 || limit > MaxLimit {
		return &span.InvalidError{What: "limit", Value: strconv.Itoa(limit), Problem: fmt.Sprintf("must be from 1 to %d", MaxLimit)}
	}
	return nil
}

// argument is a text of a question.
type argument struct{ what, value string }

func checkTexts(texts ...argument) error {
	size := 0
	for _, t := range texts {
		if !utf8.ValidString(t.value) {
			return &span.InvalidError{What: t.what, Value: t.value, Problem: "must be UTF-8"}
		}
		if size += len(t.value); size > maxText {
			return &span.InvalidError{What: t.what, Value: t.value, Problem: fmt.Sprintf("is too long: a filter has up to %d bytes", maxText)}
		}
	}
	return nil
}

// checkFilter says what is wrong with a filter.
func checkFilter(f *span.Filter) error {
	if f.NameMatch < span.NameExact || f.NameMatch > span.NameContains {
		return &span.InvalidError{What: "name match", Value: strconv.Itoa(int(f.NameMatch)), Problem: "is none"}
	}
	texts := []argument{{"service name", f.ServiceName}, {"span name", f.Name}}
	conditions := 0
	for _, clause := range f.Attributes {
		conditions += max(1, len(clause))
		for i := range clause {
			texts = append(texts, argument{"attribute key", clause[i].Key})
			if clause[i].Value != nil {
				texts = append(texts, argument{"attribute value", *clause[i].Value})
			}
		}
	}
	if conditions > maxConditions {
		return &span.InvalidError{What: "filter", Value: strconv.Itoa(conditions), Problem: fmt.Sprintf("conditions are too many: up to %d are looked at", maxConditions)}
	}
	return checkTexts(texts...)
}

// checkKey says what is wrong with a place in a listing.
func checkKey(k *span.Key) error {
	return checkTexts(argument{"trace id", k.TraceID}, argument{"span id", k.SpanID})
}

// checkCount says what is wrong with a question of Count.
func checkCount(q *span.CountQuery) error {
	// The index knows start times in microseconds only.
	if q.Step < 0 || q.Step%time.Microsecond != 0 {
		return &span.InvalidError{What: "step", Value: q.Step.String(), Problem: "must be whole microseconds, and not negative"}
	}
	return checkTexts(argument{"service name", q.ServiceName}, argument{"span name", q.Name})
}
