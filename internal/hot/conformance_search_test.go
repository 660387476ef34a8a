package hot

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/spanlake/spanlake/internal/span"
)

func startsAt(nanos uint64) func(*tracepb.Span) {
	return func(s *tracepb.Span) { s.StartTimeUnixNano = uint64(epoch.UnixNano()) + nanos }
}

// A listing is the same in one piece and page by page, whatever the size of a page.
func pages(t *testing.T, f *fixture, spans Spans) {
	for i := range 50 {
		// Many start at the same time, and some have both ids in common.
		f.add("svc", otlpSpan(i%7, i%5, startsAt(uint64(i%3)), named(fmt.Sprint(i))), otlpSpan(i, i, startsAt(5000), childOf(1)))
	}
	f.publish(10, 30, "a.parquet")
	has := []span.AttributeClause{{{Key: "service.name"}}}
	for _, filter := range []span.Filter{{}, {ServiceName: "svc", Name: "1", NameMatch: span.NameContains}, {Attributes: has}} {
		for _, rootsOnly := range []bool{true, false} {
			for _, limit := range []int{1, 2, 7, 49, 50, 51, MaxLimit} {
				for after, n := (span.Key{}), 0; ; n++ {
					page, err := spans.List(t.Context(), filter, rootsOnly, after, limit)
					want := f.wantList(filter, rootsOnly, after, limit)
					same(t, fmt.Sprintf("List(%v, %v, %d), page %d", filter, rootsOnly, limit, n), page, err, want)
					if len(page) == 0 {
						break
					}
					after = page[len(page)-1].Key()
				}
			}
		}
	}
	at := epoch.Truncate(time.Microsecond)
	for _, after := range []span.Key{
		{StartTime: at}, {StartTime: at, TraceID: traceID(3)}, {StartTime: at, TraceID: strings.ToUpper(traceID(10)), SpanID: "é"},
		{StartTime: at, TraceID: "z"}, {StartTime: at.Add(-time.Microsecond)}, {StartTime: time.Date(1650, 1, 1, 0, 0, 0, 0, time.UTC)},
		{StartTime: time.Date(2290, 1, 1, 0, 0, 0, 0, time.UTC)}, {TraceID: "no time"},
	} {
		rows, err := spans.List(t.Context(), span.Filter{}, false, after, MaxLimit)
		same(t, fmt.Sprintf("List() after %v", after), rows, err, f.wantList(span.Filter{}, false, after, MaxLimit))
	}
}

// search asks for the spans that a filter chooses in all ways.
func search(t *testing.T, f *fixture, spans Spans, what string, filter span.Filter) (chosen int) {
	t.Helper()
	for _, limit := range []int{1, 3, 100} {
		for _, rootsOnly := range []bool{true, false} {
			rows, err := spans.List(t.Context(), filter, rootsOnly, span.Key{}, limit)
			same(t, fmt.Sprintf("%s: List(%v, %d)", what, rootsOnly, limit), rows, err, f.wantList(filter, rootsOnly, span.Key{}, limit))
		}
	}
	matches, err := spans.Matches(t.Context(), filter)
	same(t, what+": Matches()", matches, err, f.wantMatches(filter))
	selected, err := collect(spans.Select(t.Context(), filter))
	same(t, what+": Select()", selected, err, f.wantSelected(by(filter)))
	return len(selected)
}

func filtersMatch(t *testing.T, f *fixture, spans Spans) {
	for i := range 60 {
		edits := []func(*tracepb.Span){named(fmt.Sprint("op ", i%4)), func(s *tracepb.Span) {
			s.Kind, s.Status.Code = tracepb.Span_SpanKind(i%6), tracepb.Status_StatusCode(i%3)
			s.EndTimeUnixNano = s.StartTimeUnixNano + uint64(i) - 5 // some end before they start
		}}
		if i%5 == 0 {
			edits = append(edits, childOf(1))
		}
		f.add([]string{"a", "b", "a/b"}[i%3], otlpSpan(i/2, i, edits...))
	}
	f.publish(1, 20, "a.parquet") // what is sealed and what is not
	failed, server := span.StatusError, span.KindServer
	unset := span.StatusUnset
	for name, tc := range map[string]struct {
		filter span.Filter
		want   int
	}{
		"all of them":     {span.Filter{}, 60},
		"service":         {span.Filter{ServiceName: "a"}, 20},
		"no such service": {span.Filter{ServiceName: "A"}, 0},
		"name":            {span.Filter{Name: "op 1"}, 15},
		"no such name":    {span.Filter{Name: "op"}, 0},
		"begins with":     {span.Filter{Name: "op", NameMatch: span.NamePrefix}, 60},
		"does not begin":  {span.Filter{Name: "p 1", NameMatch: span.NamePrefix}, 0},
		"contains":        {span.Filter{Name: "p 1", NameMatch: span.NameContains}, 15},
		"no case":         {span.Filter{Name: "P 1", NameMatch: span.NameContains}, 0},
		"both":            {span.Filter{ServiceName: "a/b", Name: "op 2"}, 5},
		"from":            {span.Filter{From: epoch.Add(30 * time.Millisecond)}, 30},
		"until":           {span.Filter{Until: epoch.Add(30 * time.Millisecond)}, 30},
		"between":         {span.Filter{From: epoch.Add(10 * time.Millisecond), Until: epoch.Add(10*time.Millisecond + 1000)}, 1},
		"none between":    {span.Filter{From: epoch.Add(11 * time.Millisecond), Until: epoch.Add(11 * time.Millisecond)}, 0},
		"before 1970":     {span.Filter{From: time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC), Until: time.Date(1969, 1, 1, 0, 0, 0, 0, time.UTC)}, 0},
		"after 2262":      {span.Filter{From: time.Date(2400, 1, 1, 0, 0, 0, 0, time.UTC)}, 0},
		"until 2400":      {span.Filter{Until: time.Date(2400, 1, 1, 0, 0, 0, 0, time.UTC)}, 60},
		"at least":        {span.Filter{MinDuration: 20}, 35},
		"at most":         {span.Filter{MaxDuration: 20}, 26},
		"negative":        {span.Filter{MaxDuration: -1}, 5},
		"status":          {span.Filter{StatusCode: &failed}, 20},
		"status unset":    {span.Filter{StatusCode: &unset}, 20},
		"kind":            {span.Filter{Kind: &server}, 10},
		"all": {span.Filter{ServiceName: "a", Name: "op 0", From: epoch, Until: epoch.Add(time.Hour), MinDuration: 1, MaxDuration: 40,
			StatusCode: &unset}, 3},
	} {
		if got := search(t, f, spans, name, tc.filter); got != tc.want {
			t.Errorf("%s: %d spans, want %d", name, got, tc.want)
		}
	}
}

func withValue(key string, value *commonpb.AnyValue) func(*tracepb.Span) {
	return func(s *tracepb.Span) { s.Attributes = append(s.Attributes, &commonpb.KeyValue{Key: key, Value: value}) }
}

// is is a clause of one condition; without a value any will do.
func is(key string, value ...string) span.AttributeClause {
	c := span.AttributeCondition{Key: key}
	if len(value) > 0 {
		c.Value = &value[0]
	}
	return span.AttributeClause{c}
}

func attributesMatch(t *testing.T, f *fixture, spans Spans) {
	for i := range 40 {
		edits := []func(*tracepb.Span){withText("user", fmt.Sprint("u", i%4))}
		if i%2 == 0 {
			edits = append(edits, withValue("n", &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: int64(i % 8)}}))
		}
		if i == 7 {
			edits = append(edits, withValue("ok", &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: true}}), withText("empty", ""),
				withValue("bytes", &commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: []byte{0xff, 0x00, 0x10}}}),
				withValue("nan", &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: math.NaN()}}),
				withValue("float", &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: 1e3}}),
				withText("odd", "a \"quoted\"\n\u2028é"), withText("numeric", "7"))
		}
		if i%3 == 0 {
			edits = append(edits, childOf(1))
		}
		// A request has spans of several times.
		f.add([]string{"a", "b"}[i%2], otlpSpan(i/2, i, edits...), otlpSpan(i, (i*17)%40, withText("other", "user"), childOf(3)))
	}
	f.publish(1, 10, "a.parquet")
	f.publish(5, 20, "b.parquet")
	for name, tc := range map[string]struct {
		clauses []span.AttributeClause
		want    int
	}{
		"key":              {[]span.AttributeClause{is("user")}, 40},
		"value":            {[]span.AttributeClause{is("user", "u1")}, 10},
		"no such value":    {[]span.AttributeClause{is("user", "U1")}, 0},
		"no such key":      {[]span.AttributeClause{is("use")}, 0},
		"a key as a value": {[]span.AttributeClause{is("u1")}, 0},
		"number":           {[]span.AttributeClause{is("n", "4")}, 5},
		"number by value":  {[]span.AttributeClause{is("n", "4.0")}, 5},
		"bool":             {[]span.AttributeClause{is("ok", "true")}, 1},
		"an empty value":   {[]span.AttributeClause{is("empty", "")}, 1},
		"bytes":            {[]span.AttributeClause{is("bytes", "/wAQ")}, 1},
		"not a number":     {[]span.AttributeClause{is("nan", "NaN")}, 1},
		"a large number":   {[]span.AttributeClause{is("float", "1000")}, 1},
		"an exponent":      {[]span.AttributeClause{is("float", "1e+03")}, 1},
		"escaped in JSON":  {[]span.AttributeClause{is("odd", "a \"quoted\"\n\u2028é")}, 1},
		"text of digits":   {[]span.AttributeClause{is("numeric", "7")}, 1},
		"other digits":     {[]span.AttributeClause{is("numeric", "7.0")}, 0},
		"no empty value":   {[]span.AttributeClause{is("user", "")}, 0},
		"of the resource":  {[]span.AttributeClause{is("service.name", "b")}, 40},
		"both":             {[]span.AttributeClause{is("user", "u2"), is("n", "2")}, 5},
		"one or another":   {[]span.AttributeClause{slices.Concat(is("user", "u1"), is("n", "4"))}, 15},
		"not on one span":  {[]span.AttributeClause{is("user"), is("other")}, 0},
		"nothing in it":    {[]span.AttributeClause{{}}, 0},
	} {
		if got := search(t, f, spans, name, span.Filter{Attributes: tc.clauses}); got != tc.want {
			t.Errorf("%s: %d spans, want %d", name, got, tc.want)
		}
	}
	search(t, f, spans, "with others", span.Filter{ServiceName: "a", From: epoch.Add(3 * time.Millisecond), Until: epoch.Add(30 * time.Millisecond),
		Attributes: []span.AttributeClause{is("user", "u2")}})
	before := f.log.reads()
	if _, err := spans.List(t.Context(), span.Filter{Attributes: []span.AttributeClause{is("user")}}, false, span.Key{}, 1); err != nil {
		t.Fatal(err)
	}
	if read := f.log.reads() - before; read > 5 {
		t.Errorf("%d requests were read to find the newest span", read)
	}
}

// Spans are chosen by their time in microseconds, as the index knows it.
func microseconds(t *testing.T, f *fixture, spans Spans) {
	for i := range 30 {
		f.add("svc", otlpSpan(i, i, startsAt(uint64(i)*100)))
	}
	f.publish(1, 12, "a.parquet")
	for _, tc := range []struct{ from, until, want int }{
		{0, 1000, 10}, {999, 1000, 10}, {1, 1999, 10}, {1000, 2999, 10}, {1500, 1600, 0}, {2000, 9999, 10}, {-1, 1, 0}, {2999, 4000, 10},
	} {
		filter := span.Filter{From: epoch.Add(time.Duration(tc.from)), Until: epoch.Add(time.Duration(tc.until))}
		if got := search(t, f, spans, fmt.Sprint(tc), filter); got != tc.want {
			t.Errorf("%+v: %d spans", tc, got)
		}
		compareCounts(t.Context(), t, f, spans, span.CountQuery{From: filter.From, Until: filter.Until})
	}
}

// Names are cut in listings, since memory is bounded; whole spans have them, and filters look at all of a name.
func longNames(t *testing.T, f *fixture, spans Spans) {
	long := strings.Repeat("é", 1000) // 2000 bytes
	f.add("svc", otlpSpan(1, 1, named("x"+long)), otlpSpan(2, 2, named(long)), otlpSpan(3, 3, named(long+"1")))
	f.add(long, otlpSpan(4, 4), otlpSpan(5, 5, named(long[:span.MaxNameBytes])))
	for n, filter := range []span.Filter{
		{Name: long}, {Name: "x" + long}, {Name: long + "1"}, {Name: long[:1024]}, {Name: long + "2"}, {ServiceName: long}, {ServiceName: long[:1024]},
		{Name: long[:1024], NameMatch: span.NamePrefix}, {Name: long, NameMatch: span.NamePrefix}, {Name: long + "1", NameMatch: span.NamePrefix},
		{Name: "1", NameMatch: span.NameContains}, {Name: "é", NameMatch: span.NameContains}, {Name: long, NameMatch: span.NameContains},
		{Name: "p", NameMatch: span.NameContains},
	} {
		want := []int{1, 1, 1, 1, 0, 2, 0, 3, 2, 1, 1, 4, 3, 1}[n]
		if got := search(t, f, spans, fmt.Sprint("filter ", n), filter); got != want {
			t.Errorf("filter %d: %d spans, want %d", n, got, want)
		}
	}
	rows, err := spans.List(t.Context(), span.Filter{Name: "x" + long}, true, span.Key{}, 10)
	if err != nil || len(rows) != 1 || rows[0].Name != "x"+long[:span.MaxNameBytes-2] {
		t.Errorf("List() = %v, %v, want a name that is cut between two characters", rows, err)
	}
	one, err := untruncated(spans.Span(t.Context(), traceID(1), spanID(1), plenty))
	same(t, "Span()", one, err, f.wantSpans(func(s *span.Span) bool { return s.SpanID == spanID(1) }))
}

func oddTimes(t *testing.T, f *fixture, spans Spans) {
	for i, times := range [][2]uint64{{0, 0}, {1, 0}, {farFuture, 0}, {0, farFuture}, {farFuture, farFuture}, {1 << 63, 1<<63 - 1}} {
		f.add("svc", otlpSpan(i, i, func(s *tracepb.Span) { s.StartTimeUnixNano, s.EndTimeUnixNano = times[0], times[1] }))
	}
	compare(t.Context(), t, f, spans)
	for _, filter := range []span.Filter{
		{MinDuration: 1}, {MaxDuration: -1}, {MinDuration: 1<<63 - 1}, {From: time.Unix(0, 1)}, {Until: time.Unix(0, 1)},
		{From: time.Unix(0, 1000)}, {Until: time.Unix(0, 1000)}, {From: time.Unix(0, 1<<63-1)}, {Until: time.Unix(0, 1<<63-1)},
	} {
		search(t, f, spans, fmt.Sprintf("%+v", filter), filter)
	}
	for _, step := range []time.Duration{0, time.Microsecond, time.Hour, 1<<63 - 1 - (1<<63-1)%1000} {
		compareCounts(t.Context(), t, f, spans, span.CountQuery{Step: step, Durations: true})
	}
}

func counts(t *testing.T, f *fixture, spans Spans) {
	for i := range 60 {
		f.add(fmt.Sprint("svc", i%3), otlpSpan(i, i, named(fmt.Sprint("op ", i%4)), startsAt(uint64(i)*1e8), func(s *tracepb.Span) {
			s.Status.Code = tracepb.Status_StatusCode(i % 3)
			s.EndTimeUnixNano = s.StartTimeUnixNano + uint64(i*i*1000) - 5
		}), otlpSpan(i, 2*i, startsAt(uint64(i)*1e8+500), named(strings.Repeat("n", 2000))))
	}
	f.publish(1, 20, "a.parquet")
	f.assign(21, 30, "b.parquet")
	failed := 0
	for _, q := range []span.CountQuery{
		{}, {ServiceName: "svc1"}, {ServiceName: "none"}, {Name: "op 1"}, {ServiceName: "svc2", Name: "op 2", Durations: true},
		{ByName: true}, {Durations: true}, {Step: time.Second}, {Step: 700 * time.Millisecond, ByName: true, Durations: true},
		{From: epoch.Add(time.Second), Until: epoch.Add(4 * time.Second)}, {From: epoch.Add(-time.Hour), Until: epoch.Add(time.Hour)},
		{From: epoch.Add(100 * time.Millisecond), Step: 24 * time.Hour}, {Until: epoch.Add(time.Second), ByName: true, Step: time.Hour},
		{Name: strings.Repeat("n", span.MaxNameBytes), ByName: true},
	} {
		counted, err := spans.Count(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range counted.Counts {
			failed += int(c.Errors)
		}
		if len(q.Name) < span.MaxNameBytes { // which is compared as far as names are kept
			compareCounts(t.Context(), t, f, spans, q)
		} else if len(counted.Counts) != 9 {
			t.Errorf("%d counts of a long name, want 9", len(counted.Counts))
		}
	}
	if failed == 0 {
		t.Error("no errors were counted")
	}
}

// Counts are more than one message takes, and have a bound.
func countsOfAll(t *testing.T, f *fixture, spans Spans) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // on a slow machine
	defer cancel()
	for range 30 {
		all := make([]*tracepb.Span, 100)
		for i := range all {
			n := f.next*1000 + i
			all[i] = otlpSpan(n, n, func(s *tracepb.Span) { s.EndTimeUnixNano = s.StartTimeUnixNano + 1<<(n%60) })
		}
		f.add(fmt.Sprint("svc", f.next), all...)
		f.assign(f.next-1, f.next-1, fmt.Sprint(strings.Repeat("p", 20_000), f.next))
	}
	compareCounts(ctx, t, f, spans, span.CountQuery{Step: time.Millisecond, Durations: true})
	for n := range 10 {
		all := make([]*tracepb.Span, maxCounts/10)
		for i := range all {
			all[i] = otlpSpan(n, i, startsAt(uint64(n*len(all)+i)*1000))
		}
		f.add("many", all...)
	}
	invalid := (*span.InvalidError)(nil)
	if _, err := spans.Count(ctx, span.CountQuery{Step: time.Microsecond}); !errors.As(err, &invalid) || !strings.Contains(err.Error(), "longer step") {
		t.Errorf("Count() = %v, want that the step is too short", err)
	}
	compareCounts(ctx, t, f, spans, span.CountQuery{})
}

func wholeSpansOfIDs(t *testing.T, f *fixture, spans Spans) {
	for i := range 30 {
		f.add("svc", otlpSpan(i, 1), otlpSpan(i, 2, childOf(1)), otlpSpan(i%3, 3), otlpSpan(i, 1, named("again")))
	}
	f.publish(5, 20, "a.parquet")
	refs := []span.Ref{{TraceID: traceID(2), SpanID: spanID(3)}, {TraceID: traceID(7), SpanID: spanID(1), File: "a.parquet"}, {TraceID: traceID(7), SpanID: spanID(1)},
		{TraceID: strings.ToUpper(traceID(10)), SpanID: spanID(2)}, {TraceID: traceID(29), SpanID: spanID(1)}, {TraceID: traceID(99), SpanID: spanID(1)}}
	before := f.log.reads()
	got, err := untruncated(spans.Get(t.Context(), refs, plenty))
	want := f.wantGot(func(s *span.Span) bool {
		return slices.ContainsFunc(refs, func(r span.Ref) bool { return strings.ToLower(r.TraceID) == s.TraceID && r.SpanID == s.SpanID })
	})
	same(t, "Get()", got, err, want)
	if read := f.log.reads() - before; len(want) != 15 || read != 12 {
		t.Errorf("Get() read %d requests for %d spans, want 12 for 15", read, len(want))
	}
	for i := range 2*MaxLimit + 1 { // more than one call takes
		refs = append(refs, span.Ref{TraceID: traceID(1000 + i), SpanID: spanID(1)})
	}
	got, err = untruncated(spans.Get(t.Context(), refs, plenty))
	same(t, "Get() of many", got, err, want)
}

// Whoever counts spans here and in the index is told in which file they will be, before it is there.
func aFileToBe(t *testing.T, f *fixture, spans Spans) {
	generation := func() string {
		t.Helper()
		compare(t.Context(), t, f, spans)
		stats, err := spans.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return stats.Generation
	}
	first := generation()
	changes := func(what string, want bool) {
		t.Helper()
		now := generation()
		if now != first != want {
			t.Errorf("%s: the generation was %q and is %q", what, first, now)
		}
		first = now
	}
	for i := range 9 {
		f.add("svc", otlpSpan(i, i))
	}
	changes("spans come", false)
	f.assign(1, 6, "a.parquet")
	changes("assigned", true)
	f.assign(1, 6, "a.parquet")
	changes("assigned again", false)
	paths, err := spans.Published(t.Context())
	same(t, "Published() before it is", paths, err, []string{})
	f.add("svc", otlpSpan(10, 10))
	f.publish(1, 6, "a.parquet")
	changes("published", false)
	f.assign(7, 8, "b.parquet")
	changes("another", true)
	if err := spans.Release(t.Context(), []string{"a.parquet", "b.parquet"}); err != nil {
		t.Fatal(err)
	}
	f.forget("a.parquet") // b.parquet is not published, so its spans stay
	changes("released", false)
	if other := newFixture(t, Options{}); other.store.instance == f.store.instance {
		t.Error("two stores have the same generation")
	}
}

func whatCannotBeAsked(t *testing.T, f *fixture, spans Spans) {
	f.add("svc", otlpSpan(1, 1))
	ctx := t.Context()
	list := func(filter span.Filter, limit int) error {
		_, err := spans.List(ctx, filter, true, span.Key{}, limit)
		if _, matches := spans.Matches(ctx, filter); limit == 1 && (matches == nil) != (err == nil) {
			t.Errorf("Matches() = %v while List() = %v", matches, err)
		}
		if _, selected := collect(spans.Select(ctx, filter)); limit == 1 && (selected == nil) != (err == nil) {
			t.Errorf("Select() = %v while List() = %v", selected, err)
		}
		return err
	}
	after := func(k span.Key) error { _, err := spans.List(ctx, span.Filter{}, true, k, 1); return err }
	trace := func(id string) error { _, _, err := spans.Trace(ctx, id, plenty); return err }
	one := func(trace, id string) error { _, _, err := spans.Span(ctx, trace, id, plenty); return err }
	get := func(trace, id string) error {
		_, _, err := spans.Get(ctx, []span.Ref{{TraceID: trace, SpanID: id}}, plenty)
		return err
	}
	of := func(id string) error { _, err := spans.TracesOf(ctx, id); return err }
	count := func(q span.CountQuery) error { _, err := spans.Count(ctx, q); return err }
	has := func(c ...span.AttributeClause) span.Filter { return span.Filter{Attributes: c} }
	for name, err := range map[string]error{
		"limit 0":            list(span.Filter{}, 0),
		"limit -1":           list(span.Filter{}, -1),
		"too many":           list(span.Filter{}, MaxLimit+1),
		"huge":               list(span.Filter{}, 1<<62),
		"name not UTF-8":     list(span.Filter{Name: "\xff"}, 1),
		"service no text":    list(span.Filter{ServiceName: "a\x80"}, 1),
		"no such comparison": list(span.Filter{Name: "x", NameMatch: 3}, 1),
		"less than that":     list(span.Filter{Name: "x", NameMatch: -1}, 1),
		"a huge name":        list(span.Filter{Name: strings.Repeat("n", maxText+1)}, 1),
		"key no text":        list(has(is("\xff")), 1),
		"value no text":      list(has(is("k", "\xff")), 1),
		"huge values":        list(has(is("k", strings.Repeat("v", maxText/2)), is("k", strings.Repeat("v", maxText/2))), 1),
		"many clauses":       list(has(slices.Repeat([]span.AttributeClause{{}}, maxConditions+1)...), 1),
		"many conditions":    list(has(slices.Repeat(is("k"), maxConditions+1)), 1),
		"after no text":      after(span.Key{TraceID: "\xff"}),
		"after a huge text":  after(span.Key{SpanID: strings.Repeat("v", maxText+1)}),
		"no trace id":        trace(""),
		"short trace id":     trace("abc"),
		"span for trace":     trace(spanID(1)),
		"no hex":             trace(strings.Repeat("g", 32)),
		"no trace":           one("", spanID(1)),
		"no span id":         one(traceID(1), ""),
		"trace as span":      one(traceID(1), traceID(1)),
		"a megabyte":         one(traceID(1), strings.Repeat("0", 1<<20)),
		"get no trace":       get("", spanID(1)),
		"get no span":        get(traceID(1), ""),
		"traces of nothing":  of(""),
		"traces of a trace":  of(traceID(1)),
		"a negative step":    count(span.CountQuery{Step: -time.Second}),
		"a fraction":         count(span.CountQuery{Step: time.Microsecond + 1}),
		"count no text":      count(span.CountQuery{ServiceName: "\xff"}),
		"count a huge text":  count(span.CountQuery{Name: strings.Repeat("v", maxText+1)}),
	} {
		if invalid := (*span.InvalidError)(nil); !errors.As(err, &invalid) {
			t.Errorf("%s: %v, want an InvalidError", name, err)
		}
	}
	most := has(slices.Repeat([]span.AttributeClause{is("service.name", "svc")}, maxConditions)...)
	if err := list(most, 1); err != nil {
		t.Errorf("as many conditions as may be: %v", err)
	}
}
