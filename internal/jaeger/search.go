package jaeger

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// search is what a client looks for: traces with a span that has all of it.
type search struct {
	filter span.Filter
	limit  int
	// impossible: no span can have all of it.
	impossible bool
}

// Tags that Jaeger makes of what is no attribute in OpenTelemetry.
const (
	tagError             = "error"
	tagKind              = "span.kind"
	tagStatusCode        = "otel.status_code"
	tagStatusDescription = "otel.status_description"
	tagScopeName         = "otel.scope.name"
	tagScopeVersion      = "otel.scope.version"
	tagTraceState        = "w3c.tracestate"
)

// addTag adds a tag that the span must have.
func (s *search) addTag(key, value string) error {
	switch key {
	case tagError:
		if value == "true" {
			s.addStatus(span.StatusError)
			return nil
		}
	case tagStatusCode:
		for _, code := range []span.StatusCode{span.StatusUnset, span.StatusOK, span.StatusError} {
			if strings.EqualFold(code.String(), value) {
				s.addStatus(code)
				return nil
			}
		}
	case tagKind:
		for kind := span.KindUnspecified; kind <= span.KindConsumer; kind++ {
			if strings.EqualFold(kind.String(), value) {
				s.impossible = s.impossible || s.filter.Kind != nil && *s.filter.Kind != kind
				s.filter.Kind = &kind
				return nil
			}
		}
	case tagStatusDescription, tagScopeName, tagScopeVersion, tagTraceState:
		return &span.InvalidError{What: "tag", Value: key, Problem: "is shown but cannot be searched for: it is no attribute"}
	case "":
		return &span.InvalidError{What: "tag", Value: key, Problem: "must have a key"}
	}
	clause := span.AttributeClause{{Key: key, Value: &value}}
	// Versions of Jaeger's translator show the one under the name of the other, so people search for what they see.
	switch key {
	case "http.status_code":
		clause = append(clause, span.AttributeCondition{Key: "http.response.status_code", Value: &value})
	case "http.response.status_code":
		clause = append(clause, span.AttributeCondition{Key: "http.status_code", Value: &value})
	}
	s.filter.Attributes = append(s.filter.Attributes, clause)
	return nil
}

func (s *search) addStatus(code span.StatusCode) {
	s.impossible = s.impossible || s.filter.StatusCode != nil && *s.filter.StatusCode != code
	s.filter.StatusCode = &code
}

// until is the end of a range that has its last microsecond.
func until(last time.Time) time.Time {
	if last.IsZero() {
		return last
	}
	return last.Truncate(time.Microsecond).Add(time.Microsecond)
}

func checkDurations(least, most time.Duration) error {
	switch {
	case least < 0:
		return &span.InvalidError{What: "minDuration", Value: least.String(), Problem: "must not be negative"}
	case most < 0:
		return &span.InvalidError{What: "maxDuration", Value: most.String(), Problem: "must not be negative"}
	case most > 0 && most < least:
		return &span.InvalidError{What: "maxDuration", Value: most.String(), Problem: "must not be less than minDuration"}
	}
	return nil
}

// parseTraceID reads an id of at most 32 hex digits: Jaeger leaves zeros out at its beginning.
func parseTraceID(text string) (string, error) {
	const digits = 32
	padded := strings.ToLower(text)
	if len(text) < digits {
		padded = strings.Repeat("0", digits-len(text)) + padded
	}
	if _, err := span.ParseTraceID(padded); err != nil || text == "" {
		return "", &span.InvalidError{What: "trace id", Value: text, Problem: fmt.Sprintf("must be from 1 to %d hex digits", digits)}
	}
	return padded, nil
}

// shortTraceID is an id as Jaeger prints it: one of 64 bits has 16 digits.
func shortTraceID(id [16]byte) string {
	if [8]byte(id[:8]) == [8]byte{} {
		return hex.EncodeToString(id[8:])
	}
	return hex.EncodeToString(id[:])
}

// shortTraceIDOf is an id of 32 hex digits as Jaeger prints it.
func shortTraceIDOf(id string) string {
	if b, err := span.ParseTraceID(id); err == nil {
		return shortTraceID(b)
	}
	return id
}
