package jaeger

import (
	"errors"
	"fmt"
	"strings"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
)

const (
	// chunkBytes is about how much one message has.
	chunkBytes = 1 << 20
	// messageBytes is the most that one may have: Jaeger's client takes 4 MiB, which is gRPC's default and no setting of Jaeger.
	messageBytes = 4<<20 - 1<<10
	// warnings is the attribute in which Jaeger's query service looks for warnings about a span (internal/jptrace/attributes.go).
	warningsAttribute = "@jaeger@warnings"
)

// send sends traces, one after the other, with what is missing as warnings of their first spans.
func (s *service) send(ids, warnings []string, stream grpc.ServerStreamingServer[tracepb.TracesData]) error {
	sent := int64(0)
	for i, id := range ids {
		trace, err := s.trace(stream.Context(), id)
		if errors.Is(err, span.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		last := sent+trace.bytes >= s.answerBytes && i < len(ids)-1
		if last {
			trace.warnings = append(trace.warnings, s.tooMuch(i+1, len(ids)))
		}
		trace.warnings = append(trace.warnings, warnings...)
		warnings = nil
		if err := sendTrace(trace, stream); err != nil {
			return err
		}
		if last {
			return nil
		}
		sent += trace.bytes
	}
	return nil
}

// sendTrace sends a trace as messages that have spans of this trace only.
func sendTrace(t *encodedTrace, stream grpc.ServerStreamingServer[tracepb.TracesData]) error {
	var chunk []byte
	flush := func() error {
		if len(chunk) == 0 {
			return nil
		}
		// Fields that a message does not know are sent as they are, so what is encoded need not be decoded first.
		message := &tracepb.TracesData{}
		message.ProtoReflect().SetUnknown(chunk)
		chunk = nil
		return stream.Send(message)
	}
	for i, encoded := range t.spans {
		t.spans[i] = nil
		var warnings []string
		if i == 0 {
			warnings = t.warnings
		}
		encoded, err := fit(encoded, warnings)
		if err != nil {
			return err
		}
		if len(chunk)+len(encoded) > chunkBytes {
			if err := flush(); err != nil {
				return err
			}
		}
		// Messages of protobuf one after the other are one message with the spans of both.
		chunk = append(chunk, encoded...)
	}
	return flush()
}

// fit makes a span as large as one message may be and gives it warnings.
func fit(encoded []byte, warnings []string) ([]byte, error) {
	if len(warnings) == 0 && len(encoded) <= messageBytes {
		return encoded, nil
	}
	if len(encoded) > messageBytes {
		warnings = append(warnings, fmt.Sprintf("the span has %d MiB, Jaeger takes 4: values, events and links are cut", len(encoded)>>20))
	}
	limits := otlpwire.Limits{AttributeBytes: messageBytes / 4, SharedBytes: messageBytes / 4}
	for smaller := encoded; ; {
		data := &tracepb.TracesData{}
		if err := proto.Unmarshal(smaller, data); err != nil {
			return nil, err
		}
		warn(data, warnings)
		// Fields that repeat do not matter: these are a whole message.
		full, err := proto.Marshal(data)
		if err != nil || len(full) <= messageBytes {
			return full, err
		}
		if limits.AttributeBytes < 16 {
			return nil, fmt.Errorf("a span of %d bytes could not be made small enough for Jaeger", len(encoded))
		}
		if smaller, _, err = otlpwire.Clean(encoded, limits); err != nil {
			return nil, err
		}
		limits = tighter(limits)
	}
}

// tighter are limits that leave about a quarter.
func tighter(l otlpwire.Limits) otlpwire.Limits {
	defaults := otlpwire.DefaultLimits()
	for _, limit := range []struct{ value, standard *int }{
		{&l.Attributes, &defaults.Attributes}, {&l.Events, &defaults.Events}, {&l.Links, &defaults.Links},
	} {
		if *limit.value == 0 {
			*limit.value = *limit.standard
		}
		*limit.value = max(*limit.value/4, 1)
	}
	l.AttributeBytes, l.SharedBytes = l.AttributeBytes/4, l.SharedBytes/4
	return l
}

// warn adds warnings to the span of a message.
func warn(data *tracepb.TracesData, warnings []string) {
	values := make([]*commonpb.AnyValue, len(warnings))
	for i, text := range warnings {
		values[i] = &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: strings.ToValidUTF8(text, "\uFFFD")}}
	}
	list := &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: values}}}
	for _, resource := range data.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				s.Attributes = append(s.Attributes, &commonpb.KeyValue{Key: warningsAttribute, Value: list})
			}
		}
	}
}
