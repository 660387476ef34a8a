package otlpwire_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
)

// checkSame fails unless Encode makes of a span what the oracle makes of it, byte by byte, or cannot say the same column.
func checkSame(t rapid.TB, s *span.Span) {
	t.Helper()
	want, wantErr := oracleEncode(s)
	got, err := otlpwire.Encode(s)
	if wantErr == nil {
		if err != nil || !bytes.Equal(want, got) {
			t.Fatalf("got %q, %v\nwant %q\nof %+v", got, err, want, s)
		}
		return
	}
	oracleColumn, _ := errors.AsType[*otlpwire.ColumnError](wantErr)
	column, ok := errors.AsType[*otlpwire.ColumnError](err)
	if !ok || column.Column != oracleColumn.Column || column.TraceID != s.TraceID || column.SpanID != s.SpanID || column.Err == nil {
		t.Fatalf("got %q, %v\nwant %v\nof %+v", got, err, wantErr, s)
	}
}

// oneOf draws one of the texts.
func oneOf(t *rapid.T, texts ...string) string { return rapid.SampledFrom(texts).Draw(t, "one") }

// hostileString is a string of JSON, with what its readers disagree about.
func hostileString(t *rapid.T) string {
	var text strings.Builder
	text.WriteByte('"')
	for range rapid.IntRange(0, 4).Draw(t, "parts") {
		text.WriteString(oneOf(t, "a", "#", "name", "東京", "\xff", "\xe6\x9d", "\xed\xa0\x80", "\x7f", " ", "\x00", "\n", "/", "\ufeff", "\ufffd",
			`\"`, `\\`, `\/`, `\b\f\n\r\t`, `\'`, `\u0000`, `\u00E9`, `\ud83d\ude00`, `\ud83d`, `\ude00`, `\ud83d\ud83d\ude00`, `\ud83d\u0041`, `\ud83d\n`,
			`\ud83d\u12`, `\u12g4`, `\u+123`, `\x41`, "long enough for eight bytes at a time", `\`))
	}
	text.WriteByte('"')
	return text.String()
}

func hostileNumber(t *rapid.T) string {
	return oneOf(t, "0", "-0", "1", "-1", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
		"18446744073709551615", "18446744073709551616", "4294967295", "4294967296", "0.1", "1.0", "-1.5e-7", "1E2", "1e+2", "1e999", "-1e999", "1e-999",
		"123456789012345678901234567890", "01", "-", "1.", ".1", "1e", "1e+", "+1", "0x1", "1_0", "NaN", "Infinity", "1a", "--1", "-a")
}

// hostileJSON is a value: JSON, or nearly.
func hostileJSON(t *rapid.T, depth int) string {
	space := func() string { return oneOf(t, "", "", "", "", " ", "\t\r\n", "\v") }
	kinds := 10
	if depth == 0 {
		kinds = 6
	}
	switch rapid.IntRange(0, kinds).Draw(t, "kind") {
	case 0, 1:
		return hostileString(t)
	case 2, 3:
		return hostileNumber(t)
	case 4:
		return oneOf(t, "true", "false", "null", "true", "false", "null", "nul", "True", "nulll", "falsey", "")
	case 5, 6:
		return oneOf(t, "{}", "[]", "[ ]", "{ }", "[,]", "{,}", "[1,]", "{]", "[}", `{"a"}`, `{"a":}`, `{"a":1,}`, `{1:2}`, `{a:1}`, "[1 2]", `["a""b"]`, "[", "{")
	case 7, 8:
		return hostileArray(t, func() string { return space() + hostileJSON(t, depth-1) + space() })
	default:
		return hostileObject(t, depth, hostileString)
	}
}

func hostileArray(t *rapid.T, element func() string) string {
	var parts []string
	for range rapid.IntRange(0, 3).Draw(t, "elements") {
		parts = append(parts, element())
	}
	return "[" + strings.Join(parts, ",") + "]"
}

func hostileObject(t *rapid.T, depth int, key func(*rapid.T) string) string {
	var parts []string
	for range rapid.IntRange(0, 5).Draw(t, "members") {
		parts = append(parts, key(t)+oneOf(t, ":", ": ", "\n:", ":", ":", ":", "::", "")+hostileJSON(t, max(depth-1, 0)))
	}
	return "{" + strings.Join(parts, oneOf(t, ",", ",", ",", " , ", " ")) + "}"
}

// member is a member of an event or link, most often with a value of its kind.
func member(t *rapid.T) string {
	switch key := oneOf(t, "name", "time_nanos", "attributes", "attributes", "dropped_attributes_count", "trace_id", "span_id", "trace_state", "flags", "other"); key {
	case "name", "trace_state":
		return `"` + key + `":` + hostileString(t)
	case "time_nanos", "dropped_attributes_count", "flags":
		return `"` + key + `":` + hostileNumber(t)
	case "attributes":
		return `"` + key + `":` + hostileObject(t, 1, hostileString)
	case "trace_id", "span_id":
		return `"` + key + `":` + oneOf(t, `"4bf92f3577b34da6a3ce929d0e0e4736"`, `"00F067AA0BA902B7"`, `""`, `"\u0030\u0031"`, `"0"`, `"xy"`, `null`, `1`)
	default:
		return `"` + key + `":` + hostileJSON(t, 2)
	}
}

// hostileList is the events or links of a span.
func hostileList(t *rapid.T) string {
	return hostileArray(t, func() string {
		var members []string
		for range rapid.IntRange(0, 4).Draw(t, "members") {
			members = append(members, member(t))
		}
		return "{" + strings.Join(members, ",") + "}"
	})
}

// damaged is the text, or the text with a bit less or more.
func damaged(t *rapid.T, text string) string {
	at := rapid.IntRange(0, len(text)).Draw(t, "at")
	switch rapid.IntRange(0, 19).Draw(t, "damage") {
	case 0:
		return text[:at]
	case 1:
		return text[at:]
	case 2:
		return text[:at] + oneOf(t, "\x00", " ", "\"", "{", "}", "[", "]", ",", ":", "\\", "1", "\xff", "null") + text[at:]
	case 3:
		return text + oneOf(t, " ", "\n\t", ",", "]", "}", "null", "\x00", "{}", ":")
	case 4:
		return oneOf(t, "null", "", " ", " null", "null ", "\ufeff{}", "{}", "[]")
	}
	return text
}

// hostileColumns is a span of another writer.
func hostileColumns(t *rapid.T) span.Span {
	text := func() string {
		return oneOf(t, "", "", "chat-api", "unknown_service", "é", "\xff\xffa", "a\xe6\x9db", "\x00")
	}
	count := func() uint32 { return rapid.SampledFrom([]uint32{0, 0, 1, 1 << 31}).Draw(t, "count") }
	small := rapid.Int8Range(-2, 5)
	s := foreign()
	s.ParentSpanID = oneOf(t, "", "3031323334353637", "0000000000000000", "3031323334353637")
	s.ServiceName, s.Name, s.StatusMessage, s.TraceState = text(), text(), text(), text()
	s.Kind, s.StatusCode = span.Kind(small.Draw(t, "kind")), span.StatusCode(small.Draw(t, "status"))
	s.StartTime = rapid.SampledFrom([]time.Time{s.StartTime, time.Unix(0, 0), time.Date(2550, 1, 2, 3, 4, 5, 6, time.UTC)}).Draw(t, "time")
	s.Flags, s.DroppedAttributesCount, s.DroppedEventsCount, s.DroppedLinksCount = count(), count(), count(), count()
	s.ResourceSchemaURL, s.ScopeSchemaURL, s.ScopeName, s.ScopeVersion = text(), text(), text(), text()
	s.ResourceDroppedAttributesCount, s.ScopeDroppedAttributesCount = count(), count()
	s.ResourceAttributes = oneOf(t, `{}`, `{"service.name":"chat-api"}`, `{"a":1,"service.name":null}`, `{"service\u002ename":1,"b":{"service.name":1}}`, `{"b": 1}`, `[]`)
	s.ScopeAttributes = oneOf(t, "{}", "{}", `{"short":true}`, `null`, `{`)
	s.Attributes = damaged(t, hostileObject(t, 3, hostileString))
	s.Events, s.Links = damaged(t, hostileList(t)), damaged(t, hostileList(t))
	switch rapid.IntRange(0, 9).Draw(t, "which") {
	case 0:
		s.ResourceAttributes = damaged(t, hostileObject(t, 2, hostileString))
	case 1, 2, 3:
		s.Attributes = `{"a":1}`
	case 4, 5, 6:
		s.Events = "[]"
	}
	return s
}

// TestEncodeIsTheSame compares Encode with what it was, on spans of other writers.
func TestEncodeIsTheSame(t *testing.T) {
	check(t, func(t *rapid.T) {
		s := hostileColumns(t)
		checkSame(t, &s)
		// Each column on its own, so that one that cannot be said hides no other.
		for _, column := range []span.Span{{Attributes: s.Attributes}, {Events: s.Events}, {Links: s.Links}, {ResourceAttributes: s.ResourceAttributes}} {
			column.TraceID, column.SpanID, column.StartTime, column.EndTime = s.TraceID, s.SpanID, s.StartTime, s.EndTime
			checkSame(t, &column)
		}
	})
}

// TestJoinIsTheSame compares what Join makes of columns with what it makes of whole messages. One Joiner serves all, as one does in an export.
func TestJoinIsTheSame(t *testing.T) {
	var joiner otlpwire.Joiner
	check(t, func(t *rapid.T) {
		var spans, encoded []span.Span
		failed := 0
		distinct := rapid.SliceOfN(rapid.Custom(hostileColumns), 1, 3).Draw(t, "spans")
		for range rapid.IntRange(0, 12).Draw(t, "count") {
			s := rapid.SampledFrom(distinct).Draw(t, "span")
			s.Name = oneOf(t, "a", "b", strings.Repeat("long", 2000))
			data, err := oracleEncode(&s)
			other := s
			if other.OTLP = string(data); err != nil {
				failed++
			} else {
				encoded = append(encoded, other)
			}
			if err == nil && rapid.IntRange(0, 3).Draw(t, "whole") == 0 {
				s = other
			}
			spans = append(spans, s)
		}
		want, none := otlpwire.Join(encoded)
		got, left := joiner.Join(spans)
		if len(none) > 0 || len(left) != failed || !bytes.Equal(want, got) {
			t.Fatalf("got %q, left out %v\nwant %q, left out %d", got, left, want, failed)
		}
	})
}

// TestEncodeNestsAsDeep as it did, to the level.
func TestEncodeNestsAsDeep(t *testing.T) {
	said := 0
	for _, around := range [][2]string{{"[", "]"}, {`{"a":`, "}"}, {"[[", "]]"}, {`{"a":[`, "]}"}} {
		for _, depth := range []int{1, 498, 499, 500, 501, 502, 998, 999, 1000, 1001, 1002} {
			for _, inner := range []string{"", "0", "[]"} {
				value := strings.Repeat(around[0], depth) + inner + strings.Repeat(around[1], depth)
				for _, s := range []span.Span{
					{Attributes: `{"a":` + value + `}`}, {Events: `[{"attributes":{"a":` + value + `}}]`}, {Events: `[{"other":` + value + `}]`}, {Attributes: value},
				} {
					s.TraceID, s.SpanID, s.StartTime, s.EndTime = foreign().TraceID, foreign().SpanID, foreign().StartTime, foreign().EndTime
					checkSame(t, &s)
					if _, err := otlpwire.Encode(&s); err == nil {
						said++
					}
				}
			}
		}
	}
	if said == 0 {
		t.Error("nothing could be said")
	}
}

// FuzzEncodeIsTheSame compares Encode with what it was.
func FuzzEncodeIsTheSame(f *testing.F) {
	f.Add(`{"a":[1,2.0,null,true,{"b":"c"}]}`, `[{"name":"x","time_nanos":1,"attributes":{}}]`, `[{"trace_id":"","span_id":""}]`, `{"service.name":"a"}`, "a")
	f.Add(`{"\ud83d\ude00":"\ud83d\n","é\xff":-0,"e":1E999}`, `[{"name":"\u0000","name":"b","attributes":{"a":1},"attributes":{}}]`,
		`[{"flags":1,"trace_state":"\/","other":[[{"a":1}]],"dropped_attributes_count":2}]`, `{"service\u002ename":null}`, "unknown_service")
	f.Add(`{"a":"\"#######"} `, `[{"time_nanos":18446744073709551616}]`, `[{"flags":01}]`, `{"a":1,}`, "\xff")
	f.Fuzz(func(t *testing.T, attributes, events, links, resource, text string) {
		s := foreign()
		s.ServiceName, s.Name, s.ScopeName = text, text, text
		checkSame(t, &s)
		for _, one := range []span.Span{{Attributes: attributes}, {Events: events}, {Links: links}, {ResourceAttributes: resource}, {ScopeAttributes: resource}} {
			one.TraceID, one.SpanID, one.StartTime, one.EndTime, one.ServiceName = s.TraceID, s.SpanID, s.StartTime, s.EndTime, text
			checkSame(t, &one)
		}
		s.Attributes, s.Events, s.Links, s.ResourceAttributes = attributes, events, links, resource
		checkSame(t, &s)
	})
}
