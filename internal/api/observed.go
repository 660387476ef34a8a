package api

import (
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/tidwall/gjson"

	"github.com/spanlake/spanlake/internal/span"
)

// observed is a span as the front end of Junjo AI Studio reads it (docs/api.md, "For existing front ends").
type observed struct {
	TraceID       string          `json:"trace_id" example:"4bf92f3577b34da6a3ce929d0e0e4736"`
	SpanID        string          `json:"span_id" example:"00f067aa0ba902b7"`
	ParentSpanID  *string         `json:"parent_span_id" doc:"null for a root."`
	ServiceName   string          `json:"service_name" example:"chat-api"`
	Name          string          `json:"name" example:"POST /chat"`
	Kind          string          `json:"kind" doc:"OpenTelemetry's word in capital letters." example:"SERVER"`
	StartTime     string          `json:"start_time" format:"date-time" example:"2026-11-29T08:00:00.123456Z"`
	EndTime       string          `json:"end_time" format:"date-time" example:"2026-11-29T08:00:00.373456Z"`
	StatusCode    string          `json:"status_code" doc:"OpenTelemetry's number as text: 0 unset, 1 ok, 2 error." example:"1"`
	StatusMessage string          `json:"status_message" doc:"Empty if there is none."`
	Attributes    jsonObject      `json:"attributes_json"`
	Events        []observedEvent `json:"events_json" nullable:"false"`
	Links         []jsonObject    `json:"links_json" nullable:"false"`
	TraceFlags    uint32          `json:"trace_flags"`
	TraceState    *string         `json:"trace_state" doc:"null if there is none."`
}

// observedEvent is an event of it.
type observedEvent struct {
	Name         string     `json:"name"`
	TimeUnixNano uint64     `json:"timeUnixNano" doc:"Nanoseconds since 1970, as a number."`
	Attributes   jsonObject `json:"attributes"`
	Dropped      uint64     `json:"droppedAttributesCount,omitempty"`
}

// jsonObject is the text of an object.
type jsonObject string

// MarshalJSON implements json.Marshaler.
func (o jsonObject) MarshalJSON() ([]byte, error) { return []byte(o), nil }

// Schema implements huma.SchemaProvider.
func (jsonObject) Schema(huma.Registry) *huma.Schema { return &huma.Schema{Type: huma.TypeObject} }

// observedTime has microseconds: the front end takes all digits after the point for microseconds, and those of an offset as well.
const observedTime = "2006-01-02T15:04:05.000000Z"

func observe(s *span.Span) observed {
	return observed{
		TraceID: s.TraceID, SpanID: s.SpanID, ParentSpanID: textOrNull(s.ParentSpanID), ServiceName: s.ServiceName, Name: s.Name,
		Kind: strings.ToUpper(s.Kind.String()), StartTime: inUTC(s.StartTime).Format(observedTime), EndTime: inUTC(s.EndTime).Format(observedTime),
		StatusCode: strconv.Itoa(int(s.StatusCode)), StatusMessage: s.StatusMessage, Attributes: objectOf(s.Attributes),
		Events: eventsOf(s.Events), Links: linksOf(s.Links), TraceFlags: s.Flags, TraceState: textOrNull(s.TraceState),
	}
}

func textOrNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// objectOf is an object as a file has it; what is none becomes an empty one.
func objectOf(text string) jsonObject {
	if !gjson.Valid(text) || !gjson.Parse(text).IsObject() {
		return "{}"
	}
	return jsonObject(text)
}

// objectsOf are the objects in an array as a file has it.
func objectsOf(text string) (objects []gjson.Result) {
	if !gjson.Valid(text) {
		return nil
	}
	array := gjson.Parse(text)
	if !array.IsArray() {
		return nil
	}
	for _, one := range array.Array() {
		if one.IsObject() {
			objects = append(objects, one)
		}
	}
	return objects
}

func linksOf(text string) []jsonObject {
	links := []jsonObject{}
	for _, link := range objectsOf(text) {
		links = append(links, jsonObject(link.Raw))
	}
	return links
}

// eventsOf reads the events of a file. The time has another name in the files of each version of the ingestion service of Junjo AI Studio.
func eventsOf(text string) []observedEvent {
	events := []observedEvent{}
	for _, one := range objectsOf(text) {
		event := observedEvent{Attributes: "{}"}
		one.ForEach(func(key, value gjson.Result) bool {
			switch key.String() {
			case "name":
				event.Name = value.String()
			case "time_nanos", "time_unix_nano", "timeUnixNano":
				event.TimeUnixNano = value.Uint()
			case "attributes":
				event.Attributes = objectOf(value.Raw)
			case "dropped_attributes_count", "droppedAttributesCount":
				event.Dropped = value.Uint()
			}
			return true
		})
		events = append(events, event)
	}
	return events
}
