package otlpwire_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/spanlake/spanlake/internal/otlpwire"
)

// hostileBytes is the size of hostile requests. What they take grows with it, which TestHostileAttributes shows at full size.
const hostileBytes = 1 << 20

// wrap puts content into fields, the innermost last.
func wrap(content []byte, numbers ...protowire.Number) []byte {
	for _, number := range slices.Backward(numbers) {
		content = protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), content)
	}
	return content
}

// hostileSpan is a request with one span that has the fields, after its ids.
func hostileSpan(t testing.TB, fields []byte) []byte {
	t.Helper()
	return wrap(append(marshal(t, &tracepb.Span{TraceId: traceID, SpanId: spanID}), fields...), 1, 2, 2)
}

// allocated is how many bytes a call allocates, garbage included.
func allocated(call func()) float64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	call()
	runtime.ReadMemStats(&after)
	return float64(after.TotalAlloc - before.TotalAlloc)
}

// TestHostileMemory sends much of what is smallest, from which objects would become gigabytes. All allocations are counted,
// as if nothing were ever freed, per byte of the request.
func TestHostileMemory(t *testing.T) {
	repeat := func(s string) []byte { return bytes.Repeat([]byte(s), hostileBytes/len(s)) }
	for name, tc := range map[string]struct {
		raw []byte
		// clean and convert bound what is allocated.
		clean, convert float64
	}{
		"empty attributes":          {hostileSpan(t, repeat("\x4a\x00")), 1.1, 0.3},
		"empty events":              {hostileSpan(t, repeat("\x5a\x00")), 1.1, 25},
		"empty links":               {hostileSpan(t, repeat("\x6a\x00")), 1.1, 25},
		"an array of nothing":       {hostileSpan(t, wrap(repeat("\x0a\x00"), 9, 2, 5)), 1.1, 25},
		"a map of nothing":          {hostileSpan(t, wrap(repeat("\x0a\x00"), 9, 2, 6)), 1.1, 2.5},
		"a map of one key":          {hostileSpan(t, wrap(repeat("\x0a\x05\x0a\x01k\x12\x00"), 9, 2, 6)), 1.1, 2.5},
		"empty resources":           {repeat("\x0a\x00"), 0.1, 0.1},
		"empty scopes":              {wrap(repeat("\x12\x00"), 1), 0.1, 0.1},
		"spans without ids":         {wrap(repeat("\x12\x00"), 1, 2), 1.1, 0.1},
		"a resource in many parts":  {wrap(repeat("\x0a\x02\x0a\x00"), 1), 2.1, 0.1},
		"a resource of nothing":     {wrap(repeat("\x0a\x00"), 1, 1), 1.1, 0.1},
		"a name that is all broken": {hostileSpan(t, wrap(repeat("a\xff"), 5)), 8, 7},
		"an attribute of controls":  {hostileSpan(t, wrap(repeat("\x01"), 9, 2, 1)), 0.1, 45},
		"unknown fields":            {hostileSpan(t, repeat("\x98\x06\x00")), 0.1, 7},
	} {
		t.Run(name, func(t *testing.T) {
			size := float64(len(tc.raw))
			var clean []byte
			var err error
			if got := allocated(func() { clean, _, err = otlpwire.Clean(tc.raw, otlpwire.Limits{}) }) / size; got > tc.clean {
				t.Errorf("Clean allocates %.2f bytes per byte", got)
			}
			if err != nil {
				t.Fatal(err)
			}
			var converter otlpwire.Converter
			got := allocated(func() {
				for s, err := range otlpwire.Spans(clean) {
					if err != nil {
						t.Fatal(err)
					}
					converter.Span(s)
				}
			}) / size
			if got > tc.convert {
				t.Errorf("the Converter allocates %.2f bytes per byte", got)
			}
		})
	}
}

// TestHostileAttributes sends as much as a request may have: 64 MiB of empty attributes.
func TestHostileAttributes(t *testing.T) {
	attributes := 32 << 20
	if testing.Short() {
		attributes = 1 << 20
	}
	raw := hostileSpan(t, bytes.Repeat([]byte("\x4a\x00"), attributes))
	var report otlpwire.Report
	var err error
	if got := allocated(func() { _, report, err = otlpwire.Clean(raw, otlpwire.Limits{}) }) / (1 << 20); got > float64(attributes>>19)+1 {
		t.Errorf("Clean allocates %.1f MiB", got)
	}
	if want := (otlpwire.Report{Accepted: 1, DroppedAttributes: int64(attributes) - 1024}); err != nil || report != want {
		t.Errorf("%+v, %v", report, err)
	}
}

// nest wraps content that many times. The heads are written backwards and turned round, so that nothing is copied each time.
func nest(levels int, numbers ...protowire.Number) []byte {
	var heads []byte
	for range levels {
		for _, number := range numbers {
			head := protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.BytesType), uint64(len(heads)))
			slices.Reverse(head)
			heads = append(heads, head...)
		}
	}
	slices.Reverse(heads)
	return heads
}

// TestNestingOfAMillionLevels: stacks stay small, and what is cut is told.
func TestNestingOfAMillionLevels(t *testing.T) {
	levels := 1_000_000
	if testing.Short() {
		levels = 100_000
	}
	for name, tc := range map[string]struct {
		raw    []byte
		report otlpwire.Report
		ok     bool
	}{
		"arrays": {hostileSpan(t, wrap(nest(levels, 1, 5), 9, 2)), otlpwire.Report{Accepted: 1, CutValues: 1}, true},
		"maps":   {hostileSpan(t, wrap(nest(levels, 2, 1, 6), 9, 2)), otlpwire.Report{Accepted: 1, CutValues: 1}, true},
		"groups": {hostileSpan(t, append(bytes.Repeat([]byte{0x9b, 0x06}, levels), bytes.Repeat([]byte{0x9c, 0x06}, levels)...)),
			otlpwire.Report{}, false},
		"groups without end": {bytes.Repeat([]byte{0x0b}, levels), otlpwire.Report{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			clean, report, err := otlpwire.Clean(tc.raw, otlpwire.Limits{Depth: 1 << 30})
			if tc.ok != (err == nil) || report != tc.report {
				t.Fatalf("%+v, %v", report, err)
			}
			if tc.ok != (proto.Unmarshal(clean, &coltracepb.ExportTraceServiceRequest{}) == nil) && tc.ok {
				t.Error("what was cleaned cannot be read")
			}
			// Nobody need have cleaned what the rest reads.
			var converter otlpwire.Converter
			for s, err := range otlpwire.Spans(tc.raw) {
				if err != nil {
					continue
				}
				if out := converter.Span(s); !json.Valid([]byte(out.Attributes)) {
					t.Error("no JSON")
				}
			}
		})
	}
}

// TestMergingHasABound: parts of singular messages within parts of singular messages would be copied on each level.
func TestMergingHasABound(t *testing.T) {
	content := wrap(bytes.Repeat([]byte{'x'}, 1<<20), 1)
	for range 30 {
		// A value that is an array in two parts, the second of which holds the next value.
		content = append(wrap(wrap(nil, 1), 5), wrap(wrap(content, 1), 5)...)
	}
	raw := hostileSpan(t, wrap(content, 9, 2))
	if err := proto.Unmarshal(raw, &coltracepb.ExportTraceServiceRequest{}); err != nil {
		t.Fatal(err)
	}
	var err error
	if got := allocated(func() { _, _, err = otlpwire.Clean(raw, otlpwire.Limits{}) }) / (1 << 20); got > 5 {
		t.Errorf("%.1f MiB were allocated for 1 MiB", got)
	}
	if !errors.Is(err, otlpwire.ErrMalformed) || !strings.Contains(err.Error(), "merged") {
		t.Error(err)
	}
}

// TestRememberedTextsHaveABound: a client that sends another resource each time does not fill the memory.
func TestRememberedTextsHaveABound(t *testing.T) {
	var converter otlpwire.Converter
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 20_000 {
		request := withResource(withSpans(&tracepb.Span{}))
		name := fmt.Sprintf("service-%d-%s", i, strings.Repeat("x", 1000))
		request.ResourceSpans[0].Resource.Attributes = append(request.ResourceSpans[0].Resource.Attributes, text("service.name", name))
		if got := convert(t, &converter, marshal(t, request))[0]; got.ServiceName != name || got.ResourceAttributes != `{"service.name":"`+name+`"}` {
			t.Fatalf("the texts of another resource: %+v", got)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 12<<20 {
		t.Errorf("%d MiB are remembered", grown>>20)
	}
	runtime.KeepAlive(&converter)
}
