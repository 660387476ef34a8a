package api_test

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spanlake/spanlake/internal/api"
	"github.com/spanlake/spanlake/internal/attribute"
	"github.com/spanlake/spanlake/internal/span"
)

// store answers what is asked of a few spans, as the query layer does, but from memory: it is what answers are compared with. What
// the query layer makes of a real index is tested where both are plugged together.
type store struct {
	spans    []span.Span
	complete span.Completeness
	// arriving gets root spans that a tail shows.
	arriving chan []span.Metadata
	// fail replaces what is answered by an error.
	fail func(ctx context.Context) error
	// failAfter is after how many spans an export fails; 0: never.
	failAfter int
}

var _ api.Queries = (*store)(nil)

func (s *store) answer(ctx context.Context) (span.Completeness, error) {
	if s.fail != nil {
		if err := s.fail(ctx); err != nil {
			return span.Completeness{}, err
		}
	}
	return s.complete, ctx.Err()
}

func metadataOf(s *span.Span) span.Metadata {
	return span.Metadata{
		TraceID: s.TraceID, SpanID: s.SpanID, ParentSpanID: s.ParentSpanID, ServiceName: s.ServiceName, Name: s.Name, Kind: s.Kind,
		StartTime: s.StartTime.Truncate(time.Microsecond), EndTime: s.EndTime.Truncate(time.Microsecond), Duration: s.Duration(), StatusCode: s.StatusCode,
	}
}

func chosen(f *span.Filter, s *span.Span) bool {
	m := metadataOf(s)
	return f.Match(&m) && attribute.Matches(f.Attributes, s.Attributes, s.ResourceAttributes)
}

// choose lists the spans that a filter chooses, newest first.
func (s *store) choose(f span.Filter) (all []span.Span) {
	for i := range s.spans {
		if chosen(&f, &s.spans[i]) {
			all = append(all, s.spans[i])
		}
	}
	slices.SortStableFunc(all, func(a, b span.Span) int {
		x, y := metadataOf(&a), metadataOf(&b)
		return x.Key().Compare(y.Key())
	})
	return all
}

func (s *store) roots(f span.TraceFilter) []span.Span {
	return slices.DeleteFunc(s.choose(f.Root), func(root span.Span) bool {
		return !root.IsRoot() || slices.ContainsFunc(f.Has, func(has span.Filter) bool {
			return !slices.ContainsFunc(s.spans, func(one span.Span) bool { return one.TraceID == root.TraceID && chosen(&has, &one) })
		})
	})
}

func checkLimit(limit int) error {
	if limit < 1 || limit > 10_000 {
		return &span.InvalidError{What: "limit", Value: strconv.Itoa(limit), Problem: "must be from 1 to 10000"}
	}
	return nil
}

func (s *store) Traces(ctx context.Context, f span.TraceFilter, cursor string, limit int) (span.TracePage, error) {
	complete, err := s.answer(ctx)
	if err := cmp.Or(err, checkLimit(limit)); err != nil {
		return span.TracePage{}, err
	}
	first := 0
	if cursor != "" {
		if first, err = strconv.Atoi(cursor); err != nil {
			return span.TracePage{}, &span.InvalidError{What: "cursor", Value: cursor, Problem: "is none: take the one of the page before, unchanged"}
		}
	}
	page := span.TracePage{Roots: []span.Metadata{}, Completeness: complete}
	for i, root := range s.roots(f) {
		if i == first+limit {
			page.Next = strconv.Itoa(i)
			break
		}
		if i >= first {
			page.Roots = append(page.Roots, metadataOf(&root))
		}
	}
	return page, nil
}

func (s *store) RootSpans(ctx context.Context, f span.TraceFilter, limit int) ([]span.Span, span.Completeness, error) {
	complete, err := s.answer(ctx)
	all := s.roots(f)
	return all[:min(max(limit, 0), len(all))], complete, cmp.Or(err, checkLimit(limit))
}

func (s *store) Spans(ctx context.Context, f span.Filter, limit int) ([]span.Span, span.Completeness, error) {
	complete, err := s.answer(ctx)
	all := s.choose(f)
	return all[:min(max(limit, 0), len(all))], complete, cmp.Or(err, checkLimit(limit))
}

// find lists spans by start time.
func (s *store) find(ctx context.Context, what string, is func(*span.Span) bool) ([]span.Span, span.Completeness, error) {
	complete, err := s.answer(ctx)
	all := slices.DeleteFunc(s.choose(span.Filter{}), func(one span.Span) bool { return !is(&one) })
	slices.Reverse(all)
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("%s %w", what, span.ErrNotFound)
	}
	return all, complete, err
}

func (s *store) Trace(ctx context.Context, traceID string) ([]span.Span, span.Completeness, error) {
	return s.find(ctx, fmt.Sprintf("trace %q", traceID), func(one *span.Span) bool { return one.TraceID == traceID })
}

func (s *store) Span(ctx context.Context, traceID, spanID string) ([]span.Span, span.Completeness, error) {
	return s.find(ctx, fmt.Sprintf("span %q in trace %q", spanID, traceID), func(one *span.Span) bool { return one.TraceID == traceID && one.SpanID == spanID })
}

func (s *store) SpanByID(ctx context.Context, spanID string) ([]span.Span, span.Completeness, error) {
	return s.find(ctx, fmt.Sprintf("span %q", spanID), func(one *span.Span) bool { return one.SpanID == spanID })
}

func (s *store) Services(ctx context.Context) ([]span.Service, span.Completeness, error) {
	complete, err := s.answer(ctx)
	byName := map[string]*span.Service{}
	for _, one := range s.choose(span.Filter{}) {
		m := metadataOf(&one)
		service := byName[m.ServiceName]
		if service == nil {
			service = &span.Service{Name: m.ServiceName, LastSeen: m.StartTime}
			byName[m.ServiceName] = service
		}
		service.FirstSeen = m.StartTime
		service.TotalSpans++
	}
	var all []span.Service
	for _, service := range byName {
		all = append(all, *service)
	}
	slices.SortFunc(all, func(a, b span.Service) int { return strings.Compare(a.Name, b.Name) })
	return all, complete, err
}

func (s *store) Operations(ctx context.Context, service string) ([]span.Operation, span.Completeness, error) {
	complete, err := s.answer(ctx)
	var all []span.Operation
	for _, one := range s.choose(span.Filter{ServiceName: service}) {
		all = append(all, span.Operation{Name: one.Name, Kind: one.Kind})
	}
	slices.SortFunc(all, func(a, b span.Operation) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind))
	})
	return slices.Compact(all), complete, err
}

func (s *store) Statistics(ctx context.Context, q span.CountQuery) ([]span.Statistics, span.Completeness, error) {
	complete, err := s.answer(ctx)
	var all []span.Statistics
	for _, one := range s.choose(span.Filter{ServiceName: q.ServiceName, Name: q.Name, From: q.From, Until: q.Until}) {
		key := span.Statistics{ServiceName: one.ServiceName, Start: one.StartTime.Truncate(q.Step)}
		if q.ByName {
			key.Name = one.Name
		}
		i := slices.IndexFunc(all, func(s span.Statistics) bool {
			return s.ServiceName == key.ServiceName && s.Name == key.Name && s.Start.Equal(key.Start)
		})
		if i < 0 {
			i, all = len(all), append(all, key)
		}
		all[i].SpanCount++
		if one.StatusCode == span.StatusError {
			all[i].ErrorCount++
		}
	}
	return all, complete, err
}

func (s *store) Dependencies(ctx context.Context, from, until time.Time) ([]span.Dependency, span.Completeness, error) {
	complete, err := s.answer(ctx)
	var all []span.Dependency
	for _, child := range s.choose(span.Filter{From: from, Until: until}) {
		for i := range s.spans {
			parent := &s.spans[i]
			if parent.TraceID == child.TraceID && parent.SpanID == child.ParentSpanID && parent.ServiceName != child.ServiceName {
				all = append(all, span.Dependency{Parent: parent.ServiceName, Child: child.ServiceName, Calls: 1})
			}
		}
	}
	return all, complete, err
}

func (s *store) Tail(ctx context.Context, _ span.TraceFilter, yield func([]span.Metadata) error) error {
	if _, err := s.answer(ctx); err != nil {
		return err
	}
	for {
		select {
		case roots := <-s.arriving:
			if err := yield(roots); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *store) Export(ctx context.Context, f span.Filter, yield func(span.Span) error) (span.Completeness, error) {
	complete, err := s.answer(ctx)
	if err != nil {
		return complete, err
	}
	for i, one := range s.choose(f) {
		if s.failAfter > 0 && i == s.failAfter {
			return complete, fmt.Errorf("the disk is on fire after %d spans", i)
		}
		if err := yield(one); err != nil {
			return complete, err
		}
	}
	return complete, ctx.Err()
}

func (s *store) Completeness(ctx context.Context, _ time.Time) (span.Completeness, error) {
	return s.answer(ctx)
}

// id is one of OpenTelemetry's ids.
func id(bytes int, n byte) string {
	raw := make([]byte, bytes)
	raw[bytes-1] = n
	return hex.EncodeToString(raw)
}

// exampleSpans are two traces of two services, and a span of another writer that OTLP cannot say.
func exampleSpans() []span.Span {
	start := time.Date(2026, 11, 29, 8, 0, 0, 123_456_789, time.UTC)
	one := func(trace, number, parent byte, service, name string, after, takes time.Duration, change ...func(*span.Span)) span.Span {
		s := span.Span{
			TraceID: id(16, trace), SpanID: id(8, number), ServiceName: service, Name: name, Kind: span.KindServer, StatusCode: span.StatusOK,
			StartTime: start.Add(after), EndTime: start.Add(after + takes), Attributes: "{}", Events: "[]", Links: "[]", ScopeAttributes: "{}",
			ResourceAttributes: `{"service.name":` + strconv.Quote(service) + `}`,
		}
		if parent != 0 {
			s.ParentSpanID = id(8, parent)
		}
		for _, c := range change {
			c(&s)
		}
		return s
	}
	return []span.Span{
		one(1, 1, 0, "shop/é ..", "POST /cart", 0, 250*time.Millisecond, func(s *span.Span) {
			s.StatusCode, s.StatusMessage, s.TraceState, s.Flags = span.StatusError, "no <stock>", "a=b", 257
			s.Attributes = `{"http.response.status_code":500,"big":9007199254740993}`
			s.Events = `[{"name":"exception","time_nanos":1795939200123456789,"attributes":{"exception.type":"E"},"dropped_attributes_count":2}]`
			s.Links = `[{"trace_id":"` + id(16, 9) + `","span_id":"` + id(8, 9) + `"}]`
		}),
		one(1, 2, 1, "llm", "chat", 10*time.Millisecond, 100*time.Millisecond, func(s *span.Span) {
			s.Kind, s.Attributes = span.KindClient, `{"gen_ai.operation.name":"chat"}`
		}),
		one(2, 3, 0, "llm", "chat", time.Minute, time.Second, func(s *span.Span) {
			s.Kind, s.StatusCode, s.Attributes = span.KindInternal, span.StatusUnset, `{"junjo.span_type":"workflow"}`
		}),
	}
}

// foreign is a span of another writer that OTLP cannot say.
func foreign() span.Span {
	s := exampleSpans()[2]
	s.TraceID, s.SpanID, s.Attributes, s.Events = "trace/1", "span #1", "no JSON", `[{"name":"e","timeUnixNano":"5"},7,{"time_unix_nano":6,"attributes":[]}]`
	return s
}
