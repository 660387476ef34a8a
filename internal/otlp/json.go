package otlp

import (
	"context"

	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

const (
	// maxNesting bounds how deep a JSON request nests: its decoder takes stack for each level.
	maxNesting = 1000
	// objectBytes is what the decoder sets aside for one JSON object at most, with its place in slices that grow, and
	// elementBytes what it does for whatever follows a comma. Measured: 253 and 89, see TestJSONTakesTheMemoryThatIsSetAside.
	objectBytes  = 384
	elementBytes = 128
)

// decodeJSON makes protobuf of a request in JSON. Its decoder makes an object of every "{}", hundreds of bytes of three, so
// that the memory is set aside before it runs.
func decodeJSON(ctx context.Context, one *share, data []byte) ([]byte, error) {
	measured := measureJSON(data)
	if measured.nesting > maxNesting {
		return nil, errMalformed("the request nests more than %d deep", maxNesting)
	}
	if err := one.take(ctx, measured.bytes()); err != nil {
		return nil, err
	}
	request := ptraceotlp.NewExportRequest()
	if err := request.UnmarshalJSON(data); err != nil {
		return nil, errMalformed("not an OTLP trace request in JSON: %v", err)
	}
	encoded, err := request.MarshalProto()
	if err != nil {
		return nil, err
	}
	one.shrink(int64(cap(encoded)))
	return encoded, nil
}

// jsonMeasure is what can be told of a JSON text without decoding it.
type jsonMeasure struct {
	length, objects, commas int64
	// nesting is how deep objects and arrays nest.
	nesting int
}

// bytes is the memory that decoding takes at most. Strings are copied once for the objects and once for the protobuf.
func (m *jsonMeasure) bytes() int64 {
	return m.objects*objectBytes + m.commas*elementBytes + 2*m.length
}

// measureJSON counts what makes objects. The text need not be valid.
func measureJSON(text []byte) (m jsonMeasure) {
	m.length = int64(len(text))
	depth, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			inString = !inString
		case inString:
			if c == '\\' {
				i++
			}
		case c == '{', c == '[':
			if c == '{' {
				m.objects++
			}
			depth++
			m.nesting = max(m.nesting, depth)
		case c == '}', c == ']':
			depth--
		case c == ',':
			m.commas++
		}
	}
	return m
}
