package index

import (
	"cmp"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/spanlake/spanlake/internal/lake"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

const plenty = 1 << 40

// fullSpan is a span with something in every field.
func fullSpan(trace, id int, edits ...func(*span.Span)) span.Span {
	return testkit.Span(trace, id, append([]func(*span.Span){func(s *span.Span) {
		s.ParentSpanID, s.StatusMessage = "00000000000000aa", "a message"
		s.StartTime = s.StartTime.Add(time.Duration(123 + id))
		s.EndTime = s.StartTime.Add(time.Duration(1_234_567_891 + id))
		s.Attributes, s.Events = `{"n":1,"s":"a\"b"}`, `[{"name":"e","time_nanos":1,"attributes":{}}]`
		s.ResourceAttributes, s.Links = `{"service.name":"svc"}`, `[{"trace_id":"x","span_id":"y"}]`
		s.TraceState, s.Flags = "a=b", math.MaxUint32
		s.DroppedAttributesCount, s.DroppedEventsCount, s.DroppedLinksCount = 1, 2, 3
		s.ScopeName, s.ScopeVersion, s.ScopeAttributes, s.ScopeSchemaURL = "scope", "v1", `{"a":[1]}`, "https://scope"
		s.ScopeDroppedAttributesCount, s.ResourceSchemaURL, s.ResourceDroppedAttributesCount = 4, "https://resource", 5
		s.OTLP = "\x00\xff\x01"
	}}, edits...)...)
}

// bySpan sorts spans as a test expects them.
func bySpan(spans []span.Span) []span.Span {
	return slices.SortedFunc(slices.Values(spans), func(a, b span.Span) int {
		return cmp.Or(strings.Compare(a.TraceID, b.TraceID), strings.Compare(a.SpanID, b.SpanID), a.StartTime.Compare(b.StartTime))
	})
}

func expectWhole(t *testing.T, got, want []span.Span) {
	t.Helper()
	if diff := gocmp.Diff(bySpan(want), bySpan(got)); diff != "" {
		t.Errorf("whole spans differ (-want +got):\n%s", diff)
	}
}

func refsOf(file string, spans ...span.Span) []span.Ref {
	var refs []span.Ref
	for _, s := range spans {
		refs = append(refs, span.Ref{TraceID: s.TraceID, SpanID: s.SpanID, File: file})
	}
	return refs
}

// Every field comes back as it was written, exact to the nanosecond, before and after 1970 and with clocks that were set back.
func TestWholeSpansAreWhatWasWritten(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	spans := []span.Span{
		fullSpan(1, 1), fullSpan(1, 2, func(s *span.Span) { s.EndTime = s.StartTime.Add(-5 * time.Nanosecond) }),
		fullSpan(2, 3, func(s *span.Span) { s.StartTime = time.Unix(-5, -1).UTC(); s.EndTime = time.Unix(-5, 1).UTC() }),
		fullSpan(2, 4, func(s *span.Span) {
			s.StartTime = time.Date(1700, 1, 1, 0, 0, 0, 999_999_999, time.UTC)
			s.EndTime = time.Date(2250, 1, 1, 0, 0, 0, 1_000, time.UTC) // too far apart for duration_ns
		}),
		fullSpan(3, 5, func(s *span.Span) { s.StartTime = s.StartTime.Truncate(time.Microsecond) }),
		{TraceID: testkit.TraceID(4), SpanID: "0000000000000006", StartTime: testkit.Start, EndTime: testkit.Start, ServiceName: "s",
			Attributes: "{}", Events: "[]", ResourceAttributes: "{}"},
	}
	written := writeWithLake(t, f.lake, slices.Clone(spans)...)
	for trace := 1; trace <= 4; trace++ {
		got, truncated, err := f.WholeTrace(t.Context(), testkit.TraceID(trace), []string{written.Path}, plenty)
		if err != nil || truncated {
			t.Fatalf("WholeTrace() = %t, %v", truncated, err)
		}
		expectWhole(t, got, slices.DeleteFunc(slices.Clone(spans), func(s span.Span) bool { return s.TraceID != testkit.TraceID(trace) }))
	}
	got, truncated, err := f.Whole(t.Context(), refsOf(written.Path, spans[0], spans[3], spans[3], spans[5]), plenty)
	if err != nil || truncated {
		t.Fatalf("Whole() = %t, %v", truncated, err)
	}
	expectWhole(t, got, []span.Span{spans[0], spans[3], spans[5]})
	// A pair of ids of which each is there is not yet a span.
	mixed := []span.Ref{{TraceID: spans[0].TraceID, SpanID: spans[3].SpanID, File: written.Path}}
	if got, _, err := f.Whole(t.Context(), mixed, plenty); err != nil || len(got) > 0 {
		t.Errorf("Whole() of a span that is not there = %v, %v", got, err)
	}
}

var _ = errors.Is
var _ = fs.ErrNotExist
var _ = os.Remove
var _ = filepath.Join
var _ lake.Written
