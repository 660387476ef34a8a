package otlp

import (
	"context"

	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

const (
	// maxNesting bounds how deep a JSON request nests: its decoder takes stack for each level.
	maxNesting = 1000
	// objectBytes is what the decoder sets aside for one JSON object at most, with its place in a slice that grows. Measured:
	// see TestJSONTakesTheMemoryThatIsSetAside.
	objectBytes = 1024
)

// decodeJSON makes protobuf of a request in JSON. Its decoder makes an object of every "{}", hundreds of bytes of three, so
// that the memory is set aside before it runs.
func decodeJSON(ctx context.Context, one *share, data []byte) ([]byte, error) {
	objects, nesting := measureJSON(data)
	if nesting > maxNesting {
		return nil, errMalformed("the request nests more than %d deep", maxNesting)
	}
	// The strings are copied once for the objects and once for the protobuf.
	need := objects*objectBytes + 2*int64(len(data))
	if err := one.take(ctx, need); err != nil {
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
	one.shrink(max(int64(cap(encoded)), 0))
	return encoded, nil
}

// measureJSON counts the objects in a JSON text and how deep objects and arrays nest. It need not be valid.
func measureJSON(text []byte) (objects int64, nesting int) {
	depth, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			inString = !inString
		case '\\':
			if inString {
				i++
			}
		case '{', '[':
			if inString {
				continue
			}
			if text[i] == '{' {
				objects++
			}
			depth++
			nesting = max(nesting, depth)
		case '}', ']':
			if !inString {
				depth--
			}
		}
	}
	return objects, nesting
}
