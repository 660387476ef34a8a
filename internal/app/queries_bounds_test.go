package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/hot"
	"github.com/spanlake/spanlake/internal/index"
	"github.com/spanlake/spanlake/internal/lake"
	"github.com/spanlake/spanlake/internal/query"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// sizeOf is what whole spans take: their texts alone and with what each span has beside them.
func sizeOf(spans []span.Span) (texts, all int64) {
	for i := range spans {
		all += spans[i].Bytes()
	}
	return all - int64(len(spans))*(&span.Span{}).Bytes(), all
}

// TestAnswersHaveABound asks for whole spans of which an answer may have few, wherever they are.
func TestAnswersHaveABound(t *testing.T) {
	q := newQuestioned(t, 5)
	traces := make(map[string]bool)
	for _, id := range q.rows(t, "trace_id < '8'") { // which are half of them
		trace, _, _ := strings.Cut(id, "/")
		traces[trace] = true
	}
	cut, onlyHot := 0, 0
	for _, most := range []int64{1, 1500, 1 << 20} {
		q.options.WholeBytes = most
		bounded := query.New(q.options)
		for trace := range traces {
			want, _, err := q.queries.Trace(t.Context(), trace)
			if err != nil {
				t.Fatal(err)
			}
			unflushed, _, err := q.options.Hot.Trace(t.Context(), trace, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			got, complete, err := bounded.Trace(t.Context(), trace)
			if errors.Is(err, span.ErrNotFound) && len(got) == 0 && strings.Contains(err.Error(), complete.Reason) {
				err = nil
			}
			texts, _ := sizeOf(got)
			if err != nil || texts > most || !complete.Truncated && len(got) < len(want) || most == 1<<20 && complete.Truncated {
				t.Errorf("up to %d bytes: %d of %d spans with %d bytes, %+v, %v", most, len(got), len(want), texts, complete, err)
			}
			if complete.Truncated {
				cut++
			}
			// What is in a file as well is read once.
			if _, all := sizeOf(unflushed); len(unflushed) == len(want) {
				onlyHot++
				if complete.Truncated != (all > most) {
					t.Errorf("up to %d bytes: of %d unflushed ones %d spans, truncated: %t", most, all, len(got), complete.Truncated)
				}
			}
		}
	}
	if cut == 0 || onlyHot == 0 {
		t.Errorf("%d traces were cut, %d were of unflushed spans", cut, onlyHot)
	}
	for _, most := range []int64{1, 5000, 50_000, 1 << 20} {
		q.options.WholeBytes = most
		got, complete, err := query.New(q.options).Spans(t.Context(), span.Filter{}, 1000)
		texts, _ := sizeOf(got)
		if err != nil || texts > most || complete.Truncated != (most < 1<<20) || (len(got) == 0) != (most == 1) {
			t.Errorf("up to %d bytes: %d spans with %d bytes, %+v, %v", most, len(got), texts, complete, err)
		}
	}
}

// TestUnflushedAndIndexedSpansShareABound has the same span id in many traces, unflushed, and more spans of one of them in an indexed file.
func TestUnflushedAndIndexedSpansShareABound(t *testing.T) {
	f := newFlushing(t, map[string]string{"db": t.TempDir() + "/index.duckdb"})
	long := func(s *span.Span) { s.Attributes = fmt.Sprintf(`{"prompt":%q}`, strings.Repeat("p", 10_000)) }
	writer, err := lake.NewWriter(f.lake.Root)
	if err != nil {
		t.Fatal(err)
	}
	var indexed []span.Span
	for i := range 5 {
		indexed = append(indexed, testkit.Span(0, i, long))
	}
	if _, err := writer.Write(lake.Path("any", testkit.Start, 1), indexed); err != nil {
		t.Fatal(err)
	}
	x, err := f.app.OpenIndex(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.Close() })
	if _, err := x.Sync(t.Context(), f.app.Scan(t.Context()), index.SyncOptions{}); err != nil {
		t.Fatal(err)
	}
	var store *hot.Store
	log, err := f.app.openLog(t.Context(), func(requests []span.Request) { store.Add(requests) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close(context.WithoutCancel(t.Context())) })
	store = hot.NewStore(logOf{log, f.app.Log}, hot.Options{})
	const id = "00f067aa0ba902b7"
	var spans []span.Span
	for i := range 20 {
		spans = append(spans, testkit.Span(i, i, long, func(s *span.Span) { s.SpanID = id }))
	}
	takeIn(t, log, spans)
	options := query.Options{Hot: store, Catalog: x, WholeBytes: 60_000, SearchTime: time.Minute}
	got, complete, err := query.New(options).SpanByID(t.Context(), id)
	if _, all := sizeOf(got); err != nil || len(got) != 5 || all > options.WholeBytes || !complete.Truncated {
		t.Errorf("%d spans with %d bytes, %+v, %v", len(got), all, complete, err)
	}
	// The request that was received last, which has 6 of them, is read first.
	got, complete, err = query.New(options).Spans(t.Context(), span.Filter{}, 10)
	if err != nil || len(got) != 5 || !complete.Truncated || got[0].TraceID != spans[18].TraceID {
		t.Errorf("%d spans, %+v, %v", len(got), complete, err)
	}
	options.WholeBytes = 25_000
	got, complete, err = query.New(options).Trace(t.Context(), spans[0].TraceID)
	if texts, _ := sizeOf(got); err != nil || len(got) != 2 || texts > options.WholeBytes || !complete.Truncated {
		t.Errorf("%d spans with %d bytes, %+v, %v, want one of each", len(got), texts, complete, err)
	}
	options.WholeBytes = 0
	got, complete, err = query.New(options).SpanByID(t.Context(), id)
	if err != nil || len(got) != 20 || complete.Truncated {
		t.Errorf("%d spans, %+v, %v, want all", len(got), complete, err)
	}
}

// TestTimesAreComparedInMicroseconds asks for the spans of one microsecond with bounds in the middle of it and of the next.
func TestTimesAreComparedInMicroseconds(t *testing.T) {
	q := newQuestioned(t, 5)
	for i, row := range testkit.Query(t, "SELECT DISTINCT start_us FROM ("+q.all+") ORDER BY start_us LIMIT 40") {
		micros, err := strconv.ParseInt(row[0], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		at := time.UnixMicro(micros).UTC()
		f := span.Filter{From: at.Add(1 + time.Duration(i)), Until: at.Add(time.Microsecond + time.Duration(i))}
		want := q.rows(t, "start_us = "+row[0])
		// All of them have it.
		for name, clauses := range map[string][]span.AttributeClause{"all": nil, "with an attribute": {{{Key: "http.status"}}}} {
			f.Attributes = clauses
			got, _, err := q.queries.Spans(t.Context(), f, 1000)
			if err != nil || !slices.Equal(ids(got), want) {
				t.Errorf("Spans() %s at %v: %v, %v, want %v", name, at, ids(got), err, want)
			}
		}
	}
}
