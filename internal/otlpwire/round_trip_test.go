package otlpwire_test

import (
	"encoding/json"
	"testing"
	"unicode/utf8"
	"unsafe"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit/otlpgen"
)

func marshal(t rapid.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// same tells whether two slices are the same memory.
func same(a, b []byte) bool { return len(a) == len(b) && unsafe.SliceData(a) == unsafe.SliceData(b) }

// convert makes span.Span of all spans of a cleaned request.
func convert(t rapid.TB, converter *otlpwire.Converter, data []byte) (spans []span.Span) {
	t.Helper()
	for s, err := range otlpwire.Spans(data) {
		if err != nil {
			t.Fatal(err)
		}
		spans = append(spans, converter.Span(s))
	}
	return spans
}

// decode reads what Encode makes of a span.
func decode(t rapid.TB, s *span.Span) *tracepb.TracesData {
	t.Helper()
	b, err := otlpwire.Encode(s)
	if err != nil {
		t.Fatalf("%v\nof %+v", err, s)
	}
	data := &tracepb.TracesData{}
	if err := proto.Unmarshal(b, data); err != nil {
		t.Fatal(err)
	}
	return data
}

// check runs a property on 1,000 random requests, most of which are small.
func check(t *testing.T, property func(*rapid.T)) {
	t.Helper()
	rounds := 10
	if testing.Short() {
		rounds = 1
	}
	for range rounds {
		rapid.Check(t, property)
	}
}

// TestNothingIsLost sends random spans through everything and compares what comes out. One Converter serves all, as one
// does in the program.
func TestNothingIsLost(t *testing.T) {
	var converter otlpwire.Converter
	check(t, func(t *rapid.T) {
		request := otlpgen.Request(t)
		raw := marshal(t, request)
		clean, report, err := otlpwire.Clean(raw, otlpwire.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		want := otlpgen.Split(request)
		if !same(clean, raw) || report != (otlpwire.Report{Accepted: len(want)}) {
			t.Fatalf("something was changed, and nothing had to be: %+v", report)
		}
		spans := convert(t, &converter, clean)
		if len(spans) != len(want) {
			t.Fatalf("got %d spans, want %d", len(spans), len(want))
		}
		for i := range spans {
			got := decode(t, &spans[i])
			if !otlpgen.Equal(want[i], got) {
				t.Fatalf("sent: %s\ngot:  %s\nfrom %+v", prototext.Format(want[i]), prototext.Format(got), spans[i])
			}
			checkTexts(t, &spans[i])
			checkExactWhenSaid(t, want[i], &spans[i])
		}
	})
}

// checkTexts checks that the JSON texts are JSON.
func checkTexts(t rapid.TB, s *span.Span) {
	t.Helper()
	for column, text := range map[string]string{
		"attributes": s.Attributes, "events": s.Events, "resource_attributes": s.ResourceAttributes,
		"links": s.Links, "scope_attributes": s.ScopeAttributes,
	} {
		if !json.Valid([]byte(text)) || !utf8.ValidString(text) {
			t.Fatalf("%s is not JSON: %q", column, text)
		}
	}
}

// checkExactWhenSaid checks that the field OTLP is set if, and only if, the other fields cannot say everything.
func checkExactWhenSaid(t rapid.TB, want *tracepb.TracesData, s *span.Span) {
	t.Helper()
	if s.OTLP == "" {
		return
	}
	without := *s
	without.OTLP = ""
	b, err := otlpwire.Encode(&without)
	if err != nil {
		t.Fatalf("%v\nof %+v", err, s)
	}
	got := &tracepb.TracesData{}
	if err := proto.Unmarshal(b, got); err != nil {
		t.Fatal(err)
	}
	if otlpgen.Equal(want, got) {
		t.Fatalf("OTLP is set, yet the rest says it all: %+v", s)
	}
}

// TestTheSameIsReadAsTheLibraryReads compares with the protobuf library on bytes that are a request, then damaged.
func TestTheSameIsReadAsTheLibraryReads(t *testing.T) {
	check(t, func(t *rapid.T) {
		raw := marshal(t, otlpgen.Request(t))
		for range rapid.IntRange(0, 4).Draw(t, "damages") {
			if len(raw) > 0 {
				at := rapid.IntRange(0, len(raw)-1).Draw(t, "at")
				raw[at] = rapid.Byte().Draw(t, "byte")
			}
		}
		checkAgainstLibrary(t, raw)
	})
}

// FuzzClean compares verdict and result with those of the protobuf library.
func FuzzClean(f *testing.F) {
	for i := range 20 {
		f.Add(marshal(f, rapid.Custom(otlpgen.Request).Example(i)))
	}
	f.Fuzz(func(t *testing.T, raw []byte) { checkAgainstLibrary(t, raw) })
}

func checkAgainstLibrary(t rapid.TB, raw []byte) {
	t.Helper()
	before := string(raw)
	clean, report, err := otlpwire.Clean(raw, otlpwire.Limits{})
	if string(raw) != before {
		t.Fatal("the request was written to")
	}
	var want, got coltracepb.ExportTraceServiceRequest
	libraryError := proto.Unmarshal(raw, &want)
	switch {
	case err != nil && libraryError == nil:
		t.Fatalf("%v, but the library reads it", err)
	case err != nil:
		return
	}
	if cleanError := proto.Unmarshal(clean, &got); cleanError != nil {
		t.Fatalf("what Clean has made: %v (before: %v)", cleanError, libraryError)
	}
	if libraryError != nil && same(clean, raw) {
		t.Fatalf("Clean found nothing to change: %+v, but the library: %v", report, libraryError)
	}
	unchanged := otlpwire.Report{Accepted: report.Accepted}
	if libraryError == nil && report == unchanged && !proto.Equal(&want, &got) {
		t.Fatalf("changed without a word:\n%s\ninto\n%s", prototext.Format(&want), prototext.Format(&got))
	}
	if spans := otlpgen.Split(&got); len(spans) != report.Accepted {
		t.Fatalf("%d spans are in it, %d were told", len(spans), report.Accepted)
	}
	again, second, err := otlpwire.Clean(clean, otlpwire.Limits{})
	if err != nil || second != (otlpwire.Report{Accepted: report.Accepted}) || !same(again, clean) {
		t.Fatalf("what was cleaned is not clean: %+v, %v", second, err)
	}
	checkSpans(t, clean, &got)
}

// checkSpans checks that spans come out as the library reads them.
func checkSpans(t rapid.TB, clean []byte, request *coltracepb.ExportTraceServiceRequest) {
	t.Helper()
	want := otlpgen.Split(request)
	var converter otlpwire.Converter
	for i, s := range convert(t, &converter, clean) {
		checkTexts(t, &s)
		if got := decode(t, &s); !otlpgen.Equal(want[i], got) {
			t.Fatalf("sent: %s\ngot:  %s\nfrom %+v", prototext.Format(want[i]), prototext.Format(got), s)
		}
	}
}

// FuzzSpans reads bytes that nobody has cleaned: errors are fine, panics are not.
func FuzzSpans(f *testing.F) {
	for i := range 20 {
		f.Add(marshal(f, rapid.Custom(otlpgen.Request).Example(i)))
	}
	f.Fuzz(func(_ *testing.T, raw []byte) {
		var converter otlpwire.Converter
		for s, err := range otlpwire.Spans(raw) {
			if err != nil {
				return
			}
			converter.Span(s)
		}
	})
}
