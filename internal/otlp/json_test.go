package otlp

import (
	"context"
	"encoding/json"
	"runtime"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

// repeated is a JSON request with so many elements at one place.
func repeated(before, element string, n int, after string) string {
	return before + element + strings.Repeat(","+element, n-1) + after
}

// TestJSONTakesTheMemoryThatIsSetAside decodes texts that make as many objects of as few bytes as they can.
func TestJSONTakesTheMemoryThatIsSetAside(t *testing.T) {
	const n = 100_000
	for name, text := range map[string]string{
		"resources":  repeated(`{"resourceSpans":[`, `{}`, n, `]}`),
		"scopes":     repeated(`{"resourceSpans":[{"scopeSpans":[`, `{}`, n, `]}]}`),
		"spans":      repeated(`{"resourceSpans":[{"scopeSpans":[{"spans":[`, `{}`, n, `]}]}]}`),
		"events":     repeated(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"events":[`, `{}`, n, `]}]}]}]}`),
		"links":      repeated(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"links":[`, `{}`, n, `]}]}]}]}`),
		"attributes": repeated(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[`, `{}`, n, `]}]}]}]}`),
		"values": repeated(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"value":{"arrayValue":{"values":[`, `{}`, n,
			`]}}}]}]}]}]}`),
		"arrays": repeated(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"value":{"arrayValue":{"values":[`,
			`{"arrayValue":{}}`, n, `]}}}]}]}]}]}`),
		"entity refs": repeated(`{"resourceSpans":[{"resource":{"entityRefs":[`, `{}`, n, `]}}]}`),
		"keys":        repeated(`{"resourceSpans":[{"resource":{"entityRefs":[{"idKeys":[`, `""`, n, `]}]}}]}`),
		"numbers":     repeated(`{"resourceSpans":[{"unknown":[`, `1`, n, `]}]}`),
	} {
		t.Run(name, func(t *testing.T) {
			measured := measureJSON([]byte(text))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			request := ptraceotlp.NewExportRequest()
			if err := request.UnmarshalJSON([]byte(text)); err != nil {
				t.Fatal(err)
			}
			// All that was ever set aside, and not what is left: slices were copied as they grew.
			runtime.ReadMemStats(&after)
			took := int64(after.TotalAlloc-before.TotalAlloc) - int64(len(text)) // the conversion above
			runtime.KeepAlive(request)
			budgeted := measured.bytes()
			t.Logf("%d bytes for each element, %d budgeted", took/n, budgeted/n)
			if took > budgeted {
				t.Errorf("it took %d bytes, and %d were set aside", took, budgeted)
			}
		})
	}
}

// FuzzJSON feeds any text: it is decoded or refused, never more, and the measure is that of a JSON parser.
func FuzzJSON(f *testing.F) {
	f.Add(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0102030405060708090a0b0c0d0e0f10","name":"a\"{"}]}]}]}`)
	f.Add(`{"a":"\\"}`)
	f.Add(`[[[[`)
	f.Fuzz(func(t *testing.T, text string) {
		measured := measureJSON([]byte(text))
		if json.Valid([]byte(text)) {
			wantObjects, wantNesting := measureByParsing(t, text)
			if measured.objects != wantObjects || measured.nesting != wantNesting {
				t.Errorf("%q: %d objects, %d deep, want %d and %d", text, measured.objects, measured.nesting, wantObjects, wantNesting)
			}
		}
		one := newBudget(64 << 20).enter(func() {})
		encoded, err := decodeJSON(context.Background(), one, []byte(text))
		if err != nil {
			if !isRefusal(err) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if err := ptraceotlp.NewExportRequest().UnmarshalProto(encoded); err != nil {
			t.Errorf("%q became protobuf that cannot be decoded: %v", text, err)
		}
	})
}

func measureByParsing(t *testing.T, text string) (objects int64, nesting int) {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	depth := 0
	for decoder.More() {
		token, err := decoder.Token()
		for ; err == nil; token, err = decoder.Token() {
			switch token {
			case json.Delim('{'):
				objects++
				depth++
			case json.Delim('['):
				depth++
			case json.Delim('}'), json.Delim(']'):
				depth--
			}
			nesting = max(nesting, depth)
		}
	}
	return objects, nesting
}
