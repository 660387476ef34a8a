package jaeger

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/spanlake/spanlake/internal/span"
)

// Spans of OpenTelemetry become spans of Jaeger as in Jaeger's own translator (github.com/open-telemetry/opentelemetry-collector-contrib/
// pkg/translator/jaeger), and become JSON as in Jaeger's query service. That translator is not used since it brings two more libraries of
// protobuf and thrift for a format in between.

const (
	childOf     = "CHILD_OF"
	followsFrom = "FOLLOWS_FROM"
	// refTypeKey is the attribute of a link that says what it is in Jaeger.
	refTypeKey = "opentracing.ref_type"
	// serviceNameKey is the attribute of a resource that is no tag of a process.
	serviceNameKey = "service.name"
	// eventKey is the field of a log with the name of the event.
	eventKey = "event"
	// maxSafe is the largest integer that all numbers of JavaScript up to it can say.
	maxSafe = 1<<53 - 1
)

// processes are those of a trace.
type processes struct {
	all map[string]processJSON
	// ids by the text of a process.
	ids map[string]string
}

func newProcesses() *processes {
	return &processes{all: make(map[string]processJSON), ids: make(map[string]string)}
}

// id is that of a process, which is one that was seen before if it is equal to it.
func (p *processes) id(process processJSON) (string, error) {
	text, err := json.Marshal(process)
	if err != nil {
		return "", err
	}
	id, ok := p.ids[string(text)]
	if !ok {
		id = "p" + strconv.Itoa(len(p.ids)+1)
		p.ids[string(text)], p.all[id] = id, process
	}
	return id, nil
}

// spanOf makes JSON of an encoded span.
func (p *processes) spanOf(encoded []byte) (spanJSON, error) {
	var unmarshaler ptrace.ProtoUnmarshaler
	traces, err := unmarshaler.UnmarshalTraces(encoded)
	if err != nil {
		return spanJSON{}, err
	}
	resource := traces.ResourceSpans().At(0)
	scope := resource.ScopeSpans().At(0)
	process := processJSON{ServiceName: unknownService, Tags: tagsOf(resource.Resource().Attributes(), serviceNameKey)}
	if name, ok := resource.Resource().Attributes().Get(serviceNameKey); ok && name.AsString() != "" {
		process.ServiceName = name.AsString()
	}
	id, err := p.id(process)
	if err != nil {
		return spanJSON{}, err
	}
	s := scope.Spans().At(0)
	return spanJSON{
		TraceID:       shortTraceID(s.TraceID()),
		SpanID:        spanID(s.SpanID()),
		Flags:         s.Flags() & 1, // sampled, which is the same bit in W3C's flags and in Jaeger's
		OperationName: s.Name(),
		References:    referencesOf(s),
		StartTime:     uint64(s.StartTimestamp()) / uint64(time.Microsecond),
		Duration:      duration(s.StartTimestamp(), s.EndTimestamp()),
		Tags:          spanTags(s, scope.Scope()),
		Logs:          logsOf(s.Events()),
		ProcessID:     id,
	}, nil
}

// unknownService is what Spanlake lists a service as that does not say its name, as OpenTelemetry does.
const unknownService = "unknown_service"

func spanID(id pcommon.SpanID) string { return hex.EncodeToString(id[:]) }

// duration is in microseconds. One that is negative, since a clock was set back, is none: clients read it as a positive number.
func duration(start, end pcommon.Timestamp) uint64 {
	if end < start {
		return 0
	}
	return uint64(end-start) / uint64(time.Microsecond)
}

// referencesOf are the parent and the links. A link to the parent says only what kind of reference it is.
func referencesOf(s ptrace.Span) []referenceJSON {
	references := make([]referenceJSON, 0, s.Links().Len()+1)
	if !s.ParentSpanID().IsEmpty() {
		references = append(references, referenceJSON{childOf, shortTraceID(s.TraceID()), spanID(s.ParentSpanID())})
	}
	for _, link := range s.Links().All() {
		kind := followsFrom
		if is, ok := link.Attributes().Get(refTypeKey); ok && is.Str() == "child_of" {
			kind = childOf
		}
		if !s.ParentSpanID().IsEmpty() && link.TraceID() == s.TraceID() && link.SpanID() == s.ParentSpanID() {
			references[0].RefType = kind
			continue
		}
		references = append(references, referenceJSON{kind, shortTraceID(link.TraceID()), spanID(link.SpanID())})
	}
	return references
}

// spanTags are the attributes and what Jaeger has no other place for.
func spanTags(s ptrace.Span, scope pcommon.InstrumentationScope) []tagJSON {
	tags := tagsOf(s.Attributes(), "")
	text := func(key, value string) {
		if value != "" {
			tags = append(tags, tagJSON{key, "string", value})
		}
	}
	text(tagScopeName, scope.Name())
	text(tagScopeVersion, scope.Version())
	text(tagKind, kindName(span.Kind(s.Kind())))
	switch s.Status().Code() {
	case ptrace.StatusCodeError:
		text(tagStatusCode, "ERROR")
		tags = append(tags, tagJSON{tagError, "bool", true})
	case ptrace.StatusCodeOk:
		text(tagStatusCode, "OK")
	case ptrace.StatusCodeUnset:
	}
	text(tagStatusDescription, s.Status().Message())
	text(tagTraceState, s.TraceState().AsRaw())
	return sorted(tags)
}

// logsOf are the events, with their names as a first field.
func logsOf(events ptrace.SpanEventSlice) []logJSON {
	logs := make([]logJSON, 0, events.Len())
	for _, event := range events.All() {
		fields := tagsOf(event.Attributes(), "")
		if _, ok := event.Attributes().Get(eventKey); event.Name() != "" && !ok {
			fields = append([]tagJSON{{eventKey, "string", event.Name()}}, fields...)
		}
		logs = append(logs, logJSON{uint64(event.Timestamp()) / uint64(time.Microsecond), fields})
	}
	return logs
}

// tagsOf are attributes by key, without one of them.
func tagsOf(attributes pcommon.Map, without string) []tagJSON {
	tags := make([]tagJSON, 0, attributes.Len())
	for key, value := range attributes.All() {
		if key != without {
			tags = append(tags, tagOf(key, value))
		}
	}
	return sorted(tags)
}

func sorted(tags []tagJSON) []tagJSON {
	slices.SortStableFunc(tags, func(a, b tagJSON) int { return cmp.Compare(a.Key, b.Key) })
	return tags
}

func tagOf(key string, value pcommon.Value) tagJSON {
	switch value.Type() {
	case pcommon.ValueTypeBool:
		return tagJSON{key, "bool", value.Bool()}
	case pcommon.ValueTypeInt:
		if n := value.Int(); n > maxSafe || n < -maxSafe {
			return tagJSON{key, "int64", strconv.FormatInt(n, 10)}
		}
		return tagJSON{key, "int64", value.Int()}
	case pcommon.ValueTypeDouble:
		if n := value.Double(); math.IsNaN(n) || math.IsInf(n, 0) {
			return tagJSON{key, "float64", strconv.FormatFloat(n, 'g', -1, 64)} // JSON has no such numbers
		}
		return tagJSON{key, "float64", value.Double()}
	case pcommon.ValueTypeBytes:
		return tagJSON{key, "binary", value.Bytes().AsRaw()}
	case pcommon.ValueTypeEmpty, pcommon.ValueTypeStr, pcommon.ValueTypeMap, pcommon.ValueTypeSlice:
	}
	return tagJSON{key, "string", value.AsString()}
}
