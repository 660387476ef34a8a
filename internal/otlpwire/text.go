package otlpwire

import (
	"errors"
	"fmt"

	"go.opentelemetry.io/collector/pdata/ptrace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// JSON is a TracesData message in the JSON of OTLP, in which ids are hex digits
// (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding). It cannot say fields that OTLP does not know.
func JSON(tracesData []byte) ([]byte, error) {
	traces, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(tracesData)
	if err != nil {
		// It refuses groups, which fields that it does not know may be.
		known, knownErr := withoutUnknown(tracesData)
		if knownErr != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, errors.Join(err, knownErr))
		}
		if traces, err = (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(known); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
	}
	text, err := (&ptrace.JSONMarshaler{}).MarshalTraces(traces)
	if err != nil {
		return nil, fmt.Errorf("spans in the JSON of OTLP: %w", err)
	}
	return text, nil
}

func withoutUnknown(tracesData []byte) ([]byte, error) {
	var message tracepb.TracesData
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(tracesData, &message); err != nil {
		return nil, err
	}
	return proto.Marshal(&message)
}
