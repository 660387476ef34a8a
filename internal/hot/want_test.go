package hot

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/spanlake/spanlake/internal/attribute"
	"github.com/spanlake/spanlake/internal/span"
)

// each calls with every span of the list.
func (f *fixture) each(call func(l *listed, s *span.Span)) {
	for i := range f.list {
		for j := range f.list[i].spans {
			call(&f.list[i], &f.list[i].spans[j])
		}
	}
}

// wantSpans are the spans of the list that are chosen, in the order of Trace.
func (f *fixture) wantSpans(chosen func(*span.Span) bool) []span.Span {
	all := f.wantSelected(chosen)
	inOrderOfTrace(all)
	return all
}

func inOrderOfTrace(spans []span.Span) {
	slices.SortStableFunc(spans, func(a, b span.Span) int {
		return cmp.Or(a.StartTime.Compare(b.StartTime), cmp.Compare(a.SpanID, b.SpanID))
	})
}

// wantGot are the spans of the list that are chosen, in the order of Get.
func (f *fixture) wantGot(chosen func(*span.Span) bool) []span.Span {
	all := []span.Span{}
	for _, l := range slices.Backward(f.list) {
		for _, s := range l.spans {
			if chosen(&s) {
				all = append(all, s)
			}
		}
	}
	return all
}

// firstOf are the first of the spans that have maxBytes together, and whether there are more.
func firstOf(spans []span.Span, maxBytes int64) (some []span.Span, truncated bool) {
	sum := int64(0)
	for i := range spans {
		if sum += spans[i].Bytes(); sum > maxBytes {
			return spans[:i], true
		}
	}
	return spans, false
}

// wantSelected are the spans of the list that are chosen, as they were received.
func (f *fixture) wantSelected(chosen func(*span.Span) bool) []span.Span {
	all := []span.Span{}
	f.each(func(_ *listed, s *span.Span) {
		if chosen(s) {
			all = append(all, *s)
		}
	})
	return all
}

// by chooses as a filter says.
func by(filter span.Filter) func(*span.Span) bool {
	filter.From, filter.Until = filter.From.Truncate(time.Microsecond), filter.Until.Truncate(time.Microsecond)
	return func(s *span.Span) bool {
		m := span.Metadata{ServiceName: s.ServiceName, Name: s.Name, Kind: s.Kind, StatusCode: s.StatusCode,
			StartTime: s.StartTime.Truncate(time.Microsecond), Duration: s.EndTime.Sub(s.StartTime)}
		return filter.Match(&m) && attribute.Matches(filter.Attributes, s.Attributes, s.ResourceAttributes)
	}
}

// wantList are the spans of the list that match, in the order of List.
func (f *fixture) wantList(filter span.Filter, rootsOnly bool, after span.Key, limit int) []span.Metadata {
	all := []span.Metadata{}
	chosen := by(filter)
	f.each(func(_ *listed, s *span.Span) {
		m := span.Metadata{
			TraceID: s.TraceID, SpanID: s.SpanID, ParentSpanID: s.ParentSpanID, ServiceName: span.CutName(s.ServiceName), Name: span.CutName(s.Name),
			Kind: s.Kind, StartTime: s.StartTime, EndTime: s.EndTime, Duration: s.EndTime.Sub(s.StartTime), StatusCode: s.StatusCode,
		}
		if chosen(s) && (s.IsRoot() || !rootsOnly) && (after.IsZero() || m.Key().Compare(after) > 0) {
			all = append(all, m)
		}
	})
	slices.SortStableFunc(all, func(a, b span.Metadata) int { return a.Key().Compare(b.Key()) })
	n := min(limit, len(all))
	for n > 0 && n < len(all) && all[n].Key() == all[n-1].Key() {
		n++
	}
	return all[:n]
}

func (f *fixture) wantMatches(filter span.Filter) []span.TraceMatch {
	newest := map[string]time.Time{}
	chosen := by(filter)
	f.each(func(_ *listed, s *span.Span) {
		if known, ok := newest[s.TraceID]; chosen(s) && (!ok || s.StartTime.After(known)) {
			newest[s.TraceID] = s.StartTime
		}
	})
	all := []span.TraceMatch{}
	for id, start := range newest {
		all = append(all, span.TraceMatch{TraceID: id, Start: start})
	}
	slices.SortFunc(all, func(a, b span.TraceMatch) int {
		return cmp.Or(b.Start.Compare(a.Start), cmp.Compare(a.TraceID, b.TraceID))
	})
	return all
}

func (f *fixture) wantTracesOf(id string) []string {
	traces := []string{}
	f.each(func(_ *listed, s *span.Span) {
		if s.SpanID == id {
			traces = append(traces, s.TraceID)
		}
	})
	slices.Sort(traces)
	return slices.Compact(traces)
}

// wantCount is what Count answers but for the generation, in order.
func (f *fixture) wantCount(q span.CountQuery) span.HotCounts {
	counts, sums := map[string]*span.Count{}, map[string]*big.Int{}
	chosen := by(span.Filter{ServiceName: q.ServiceName, Name: q.Name, From: q.From, Until: q.Until})
	f.each(func(l *listed, s *span.Span) {
		if !chosen(s) {
			return
		}
		c := span.Count{File: l.assigned, ServiceName: s.ServiceName, First: s.StartTime, Last: s.StartTime}
		if q.ByName {
			c.Name = span.CutName(s.Name)
		}
		if q.Step > 0 {
			micros, step := s.StartTime.UnixMicro(), q.Step.Microseconds()
			c.Start = time.UnixMicro(micros / step * step).UTC()
		}
		key := fmt.Sprint(c.File, "|", c.ServiceName, "|", c.Name, "|", c.Start)
		sum := counts[key]
		if sum == nil {
			sum = &c
			counts[key], sums[key] = sum, new(big.Int)
			if q.Durations {
				c.Durations = map[int16]int64{}
			}
		}
		sum.Spans++
		if s.StatusCode == span.StatusError {
			sum.Errors++
		}
		if s.StartTime.Before(sum.First) {
			sum.First = s.StartTime
		}
		if s.StartTime.After(sum.Last) {
			sum.Last = s.StartTime
		}
		if q.Durations {
			d := s.EndTime.Sub(s.StartTime)
			sums[key].Add(sums[key], big.NewInt(int64(d)))
			sum.DurationSum, _ = sums[key].Float64()
			sum.Durations[span.DurationBucket(int64(d))]++
		}
	})
	want := span.HotCounts{Files: []string{}, Counts: []span.Count{}}
	for _, l := range f.list {
		if l.assigned != "" {
			want.Files = append(want.Files, l.assigned)
		}
	}
	slices.Sort(want.Files)
	want.Files = slices.Compact(want.Files)
	for _, c := range counts {
		want.Counts = append(want.Counts, *c)
	}
	return inOrder(want)
}

// inOrder is what was counted without the generation, in an order.
func inOrder(counts span.HotCounts) span.HotCounts {
	counts.Generation = ""
	counts.Counts = slices.Clone(counts.Counts)
	slices.SortFunc(counts.Counts, func(a, b span.Count) int {
		return cmp.Or(strings.Compare(a.File, b.File), strings.Compare(a.ServiceName, b.ServiceName), strings.Compare(a.Name, b.Name),
			a.Start.Compare(b.Start))
	})
	return counts
}

func (f *fixture) wantStats() (stats span.HotStats) {
	for _, l := range f.list {
		stats.Requests++
		stats.Spans += int64(len(l.spans))
		stats.Bytes += int64(len(l.request.Data))
		if l.path != "" {
			stats.PublishedSpans += int64(len(l.spans))
		} else if stats.Oldest.IsZero() {
			stats.Oldest = l.request.Received
		}
	}
	return stats
}
