package query

import (
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// cursor is a span.Key as the next page is asked for.
type cursor struct {
	// Micros are microseconds since 1970.
	Micros  int64  `json:"t"`
	TraceID string `json:"trace,omitempty"`
	SpanID  string `json:"span,omitempty"`
}

func encodeCursor(k span.Key) string {
	text, _ := json.Marshal(cursor{Micros: k.StartTime.UnixMicro(), TraceID: k.TraceID, SpanID: k.SpanID}) // cannot fail
	return base64.RawURLEncoding.EncodeToString(text)
}

// decodeCursor reads what encodeCursor has written; "" is the beginning.
func decodeCursor(text string) (span.Key, error) {
	if text == "" {
		return span.Key{}, nil
	}
	var c cursor
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(raw, &c)
	}
	at := time.UnixMicro(c.Micros).UTC()
	if err != nil || at.Year() < 1600 || at.Year() > 2300 || len(c.TraceID)+len(c.SpanID) > 1<<12 {
		return span.Key{}, &span.InvalidError{What: "cursor", Value: text, Problem: "is none: take the one of the page before, unchanged"}
	}
	return span.Key{StartTime: at, TraceID: c.TraceID, SpanID: c.SpanID}, nil
}
