package sample

import (
	"encoding/json"
	"slices"
	"testing"
	"time"
)

func TestCalls(t *testing.T) {
	start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	calls := NewCalls(1)
	spans := calls.Append(nil, 995, start)
	spans = calls.Append(spans, 5, start)
	if again := NewCalls(1).Append(nil, 1000, start); !slices.Equal(spans, again) {
		t.Error("the same seed made other spans")
	}

	traces, ids, prompts := map[string]int{}, map[string]bool{}, 0
	for _, s := range spans {
		traces[s.TraceID]++
		if s.IsRoot() != (traces[s.TraceID] == 1) || !s.IsRoot() && !ids[s.ParentSpanID] || ids[s.SpanID] {
			t.Fatalf("span %s with the parent %q in trace %s", s.SpanID, s.ParentSpanID, s.TraceID)
		}
		ids[s.SpanID] = true
		var attributes, resource map[string]any
		if err := json.Unmarshal([]byte(s.Attributes), &attributes); err != nil || len(attributes) != 10 {
			t.Fatalf("%d attributes, %v: %s", len(attributes), err, s.Attributes)
		}
		if err := json.Unmarshal([]byte(s.ResourceAttributes), &resource); err != nil || len(resource) != 5 {
			t.Fatalf("%d attributes of the resource, %v", len(resource), err)
		}
		prompts += len(attributes["input.value"].(string))
		if s.StartTime.Before(start) || !s.EndTime.After(s.StartTime) {
			t.Errorf("from %s to %s", s.StartTime, s.EndTime)
		}
	}
	if len(traces) != 100 || traces[spans[0].TraceID] != 10 {
		t.Errorf("%d traces, the first has %d spans", len(traces), traces[spans[0].TraceID])
	}
	if mean := prompts / len(spans); mean < 290 || mean > 330 {
		t.Errorf("prompts have %d bytes in the mean", mean)
	}
}
