package app

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/spanlake/spanlake/internal/hot"
	"github.com/spanlake/spanlake/internal/index"
	"github.com/spanlake/spanlake/internal/lake"
	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/query"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
	"github.com/spanlake/spanlake/internal/wal"
)

// questioned is a lake with files that are indexed and files that are not, beside spans that are in no file, in one or in an indexed one,
// and a view of DuckDB's own over all of them, which is what answers are compared with.
type questioned struct {
	queries *query.Queries
	options query.Options // of queries
	all     string        // the SQL of a list of all spans, each once
}

// The vocabulary is small, so that filters find some spans and not others.
func randomSpans(random *rand.Rand, traces int) []span.Span {
	pick := func(words ...string) string { return words[random.IntN(len(words))] }
	var all []span.Span
	for range traces {
		trace := fmt.Sprintf("%016x%016x", random.Uint64(), random.Uint64())
		// Three clusters with a year between them, in which many spans start in the same microsecond.
		start := testkit.Start.AddDate(-random.IntN(3), 0, 0).Add(time.Duration(random.IntN(200)) * 10 * time.Millisecond)
		root := ""
		for i := range 1 + random.IntN(5) {
			s := span.Span{
				TraceID: trace, SpanID: fmt.Sprintf("%016x", random.Uint64()|1), ParentSpanID: root,
				ServiceName: pick("api", "worker", "it's"), Name: pick("GET /", "GET /a", "POST /a", "chat %", "chat_x", "é"),
				Kind: span.Kind(random.IntN(6)), StatusCode: span.StatusCode(random.IntN(3)),
				StartTime: start.Add(time.Duration(random.IntN(4)) * 10 * time.Millisecond).Add(time.Duration(random.IntN(3)) * 300),
				Attributes: "{" + strings.Join([]string{
					fmt.Sprintf(`"http.status":%s`, pick("200", "404", `"200"`, "200.0")),
					fmt.Sprintf(`"user":%q`, pick("ann", "bob", "o'hara", "%")),
					fmt.Sprintf(`"flag":%s`, pick("true", "false")),
					fmt.Sprintf(`%q:%q`, pick("gen_ai.system", "other", "openinference.span.kind"), pick("LLM", "AGENT")),
				}[:1+random.IntN(4)], ",") + "}",
				Events: "[]", ResourceAttributes: fmt.Sprintf(`{"region":%q}`, pick("eu", "us")),
			}
			s.EndTime = s.StartTime.Add(time.Duration(random.IntN(4)) * time.Millisecond)
			if random.IntN(6) == 0 {
				s.EndTime = s.StartTime.Add(1500 * time.Nanosecond)
			}
			if i == 0 {
				root = s.SpanID
			}
			all = append(all, s)
		}
	}
	return all
}

// newQuestioned makes it. Repeats of what is not indexed are in no list, but they are counted until their file is indexed.
func newQuestioned(t *testing.T, repeats int) questioned {
	t.Helper()
	f := newFlushing(t, map[string]string{"db": t.TempDir() + "/index.duckdb"})
	random := rand.New(rand.NewPCG(5, 6))
	writer, err := lake.NewWriter(f.lake.Root)
	if err != nil {
		t.Fatal(err)
	}
	suffix := uint32(0)
	write := func(spans []span.Span) string {
		suffix++
		path := lake.Path("any", testkit.Start, suffix)
		if _, err := writer.Write(path, slices.Clone(spans)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	beside := t.TempDir()
	shadow, err := lake.NewWriter(beside)
	if err != nil {
		t.Fatal(err)
	}

	old := randomSpans(random, 60)
	write(old[:len(old)/2])
	write(old[len(old)/3:]) // repeats a part of the file before
	published := randomSpans(random, 30)
	indexedPath := write(published)
	x, err := f.app.OpenIndex(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.Close() })
	if _, err := x.Sync(t.Context(), f.app.Scan(t.Context()), index.SyncOptions{}); err != nil {
		t.Fatal(err)
	}
	pending := randomSpans(random, 30)
	write(append(slices.Clone(pending), old[:repeats]...)) // repeats some of an indexed file
	both := randomSpans(random, 20)
	pendingPath := write(both)
	unflushed := randomSpans(random, 30)
	if _, err := shadow.Write("unflushed.parquet", slices.Clone(unflushed)); err != nil {
		t.Fatal(err)
	}

	var store *hot.Store
	log, err := f.app.openLog(t.Context(), func(requests []span.Request) { store.Add(requests) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close(context.WithoutCancel(t.Context())) })
	store = hot.NewStore(logOf{log, f.app.Log}, hot.Options{})
	// What is published is so many requests, as a flush has them.
	publish := func(spans []span.Span, path string) {
		takeIn(t, log, spans)
		flushed, ok, err := log.BeginFlush(t.Context(), 1<<20, 1<<30)
		if err != nil || !ok {
			t.Fatalf("begin a flush: %t, %v", ok, err)
		}
		if err := log.SetPath(t.Context(), flushed.ID, path); err != nil {
			t.Fatal(err)
		}
		store.Assign(flushed.First, flushed.Last, path)
		if err := log.Published(t.Context(), flushed.ID); err != nil {
			t.Fatal(err)
		}
		store.Publish(flushed.First, flushed.Last, path)
	}
	publish(published, indexedPath)
	publish(both, pendingPath)
	takeIn(t, log, unflushed)

	options := query.Options{Hot: store, Catalog: x, Source: func() span.HotSource { return span.HotSource{State: span.HotLocal} },
		Pending: func(ctx context.Context) ([]span.File, int64, error) {
			return x.Unindexed(ctx, span.WholeLake(f.app.Scan(ctx)))
		}}
	return questioned{
		queries: query.New(options), options: options,
		all: `SELECT DISTINCT ON (trace_id, span_id, service_name, name, span_kind, epoch_us(start_time), epoch_us(end_time), status_code)
			*, epoch_us(start_time) AS start_us FROM read_parquet([` + testkit.Quote(f.lake.Root+"/**/*.parquet") + `, ` +
			testkit.Quote(beside+"/unflushed.parquet") + `], hive_partitioning = false)`,
	}
}

// takeIn appends spans to the log, in requests of a few.
func takeIn(t *testing.T, log *wal.Log, spans []span.Span) {
	t.Helper()
	for part := range slices.Chunk(spans, 7) {
		var data []byte
		for i := range part {
			one, err := otlpwire.Encode(&part[i])
			if err != nil {
				t.Fatal(err)
			}
			data = append(data, one...)
		}
		if err := log.Append(t.Context(), data, len(part)); err != nil {
			t.Fatal(err)
		}
	}
}

// asked is a random filter, and the same in SQL.
type asked struct {
	filter span.Filter
	sql    []string
}

func (a asked) where() string { return strings.Join(append([]string{"true"}, a.sql...), " AND ") }

func randomFilter(t *rapid.T) asked {
	var a asked
	maybe := func(what string, add func()) {
		if rapid.IntRange(0, 3).Draw(t, what) == 0 {
			add()
		}
	}
	pick := func(what string, words ...string) string { return rapid.SampledFrom(words).Draw(t, what) }
	maybe("by service", func() {
		a.filter.ServiceName = pick("service", "api", "worker", "it's", "none")
		a.sql = append(a.sql, "service_name = "+testkit.Quote(a.filter.ServiceName))
	})
	maybe("by name", func() {
		a.filter.Name = pick("name", "GET /", "GET /a", "/a", "chat", "%", "_", "é", "none")
		a.filter.NameMatch = rapid.SampledFrom([]span.NameMatch{span.NameExact, span.NamePrefix, span.NameContains}).Draw(t, "match")
		a.sql = append(a.sql, map[span.NameMatch]string{span.NameExact: "name = ", span.NamePrefix: "starts_with(name, ",
			span.NameContains: "contains(name, "}[a.filter.NameMatch]+testkit.Quote(a.filter.Name)+strings.Repeat(")", min(int(a.filter.NameMatch), 1)))
	})
	moment := func(what string) time.Time {
		at := testkit.Start.AddDate(-rapid.IntRange(0, 2).Draw(t, what), 0, 0).Add(time.Duration(rapid.IntRange(0, 203).Draw(t, what)) * 10 * time.Millisecond)
		return at.Add(time.Duration(rapid.IntRange(0, 999).Draw(t, what+" ns"))) // which do not count, but are often just after a span starts
	}
	maybe("from a time", func() {
		a.filter.From = moment("from")
		a.sql = append(a.sql, "start_us >= "+strconv.FormatInt(a.filter.From.UnixMicro(), 10))
	})
	maybe("until a time", func() {
		a.filter.Until = moment("until")
		a.sql = append(a.sql, "start_us < "+strconv.FormatInt(a.filter.Until.UnixMicro(), 10))
	})
	duration := func(what string) time.Duration {
		return rapid.SampledFrom([]time.Duration{1, 1500, 1501, time.Millisecond, 2 * time.Millisecond}).Draw(t, what)
	}
	maybe("at least", func() {
		a.filter.MinDuration = duration("min")
		a.sql = append(a.sql, "duration_ns >= "+strconv.FormatInt(int64(a.filter.MinDuration), 10))
	})
	maybe("at most", func() {
		a.filter.MaxDuration = duration("max")
		a.sql = append(a.sql, "duration_ns <= "+strconv.FormatInt(int64(a.filter.MaxDuration), 10))
	})
	maybe("by status", func() {
		status := span.StatusCode(rapid.IntRange(0, 2).Draw(t, "status"))
		a.filter.StatusCode = &status
		a.sql = append(a.sql, "status_code = "+strconv.Itoa(int(status)))
	})
	maybe("by kind", func() {
		kind := span.Kind(rapid.IntRange(0, 5).Draw(t, "kind"))
		a.filter.Kind = &kind
		a.sql = append(a.sql, "span_kind = "+strconv.Itoa(int(kind)))
	})
	return a
}

func randomCondition(t *rapid.T) (span.AttributeCondition, string) {
	key := rapid.SampledFrom([]string{"http.status", "user", "flag", "gen_ai.system", "openinference.span.kind", "region", "none"}).Draw(t, "key")
	path := testkit.Quote(`$."` + key + `"`)
	if rapid.Bool().Draw(t, "exists") {
		return span.AttributeCondition{Key: key}, fmt.Sprintf("(json_exists(attributes, %[1]s) OR json_exists(resource_attributes, %[1]s))", path)
	}
	value := rapid.SampledFrom([]string{"200", "404", "ann", "o'hara", "%", "true", "LLM", "eu", "none"}).Draw(t, "value")
	texts := testkit.Quote(value)
	if value == "200" {
		texts += ", '200.0'" // numbers are compared by value
	}
	return span.AttributeCondition{Key: key, Value: &value}, fmt.Sprintf(
		"coalesce(json_extract_string(attributes, %[1]s) IN (%[2]s) OR json_extract_string(resource_attributes, %[1]s) IN (%[2]s), false)", path, texts)
}

// withAttributes adds clauses to a filter.
func (a asked) withAttributes(t *rapid.T, most int) asked {
	for range rapid.IntRange(0, most).Draw(t, "clauses") {
		var clause span.AttributeClause
		var either []string
		for range rapid.IntRange(1, 2).Draw(t, "conditions") {
			condition, text := randomCondition(t)
			clause, either = append(clause, condition), append(either, text)
		}
		a.filter.Attributes = append(a.filter.Attributes, clause)
		a.sql = append(a.sql, "("+strings.Join(either, " OR ")+")")
	}
	return a
}

// rows are the spans that a condition chooses, newest first, as "trace/span".
func (q questioned) rows(t *testing.T, where string) []string {
	t.Helper()
	var all []string
	for _, row := range testkit.Query(t, "SELECT trace_id, span_id FROM ("+q.all+") AS s WHERE "+where+" ORDER BY start_us DESC, trace_id, span_id") {
		all = append(all, row[0]+"/"+row[1])
	}
	return all
}

const isRoot = "coalesce(parent_span_id, '') = ''"

// TestTracesAreWhatAScanOfTheLakeFinds goes through all pages of random searches and compares them with plain SQL over all files.
func TestTracesAreWhatAScanOfTheLakeFinds(t *testing.T) {
	q := newQuestioned(t, 5)
	found := 0
	rapid.Check(t, func(r *rapid.T) {
		root := randomFilter(r)
		f, where := span.TraceFilter{Root: root.filter}, root.where()+" AND "+isRoot
		for range rapid.IntRange(0, 2).Draw(r, "has") {
			some := randomFilter(r).withAttributes(r, 2)
			// The times are those of the trace.
			some.filter.From, some.filter.Until = time.Time{}, time.Time{}
			some.sql = slices.DeleteFunc(some.sql, func(condition string) bool { return strings.HasPrefix(condition, "start_us") })
			f.Has = append(f.Has, some.filter)
			where += " AND trace_id IN (SELECT trace_id FROM (" + q.all + ") WHERE " + some.where() + ")"
		}
		want := q.rows(t, where)
		var got []string
		limit := rapid.IntRange(1, 40).Draw(r, "limit")
		for cursor := ""; ; {
			page, err := q.queries.Traces(t.Context(), f, cursor, limit)
			if err != nil {
				r.Fatal(err)
			}
			if !page.Complete() {
				r.Fatalf("not complete: %+v", page.Completeness)
			}
			for i := range page.Roots {
				got = append(got, page.Roots[i].TraceID+"/"+page.Roots[i].SpanID)
			}
			if page.Next == "" {
				break
			}
			if cursor == page.Next {
				r.Fatal("the cursor stands still")
			}
			cursor = page.Next
		}
		found += len(got)
		if !slices.Equal(got, want) {
			r.Fatalf("%+v, in SQL %s:\ngot  %d %v\nwant %d %v", f, where, len(got), got, len(want), want)
		}
	})
	if found == 0 {
		t.Error("nothing was ever found")
	}
}

// TestSpansAreWhatAScanOfTheLakeFinds compares lists of whole spans, and exports, with plain SQL.
func TestSpansAreWhatAScanOfTheLakeFinds(t *testing.T) {
	q := newQuestioned(t, 5)
	rapid.Check(t, func(r *rapid.T) {
		a := randomFilter(r).withAttributes(r, 2)
		want := q.rows(t, a.where())
		limit := rapid.IntRange(1, 300).Draw(r, "limit")
		spans, complete, err := q.queries.Spans(t.Context(), a.filter, limit)
		if err != nil || !complete.Complete() {
			r.Fatalf("%+v, %v", complete, err)
		}
		got := ids(spans)
		// Those that share the last place come together.
		if len(got) > len(want) || len(got) < min(limit, len(want)) || !slices.Equal(got, want[:len(got)]) {
			r.Fatalf("%+v, in SQL %s:\ngot  %d %v\nwant %d %v", a.filter, a.where(), len(got), got, len(want), want)
		}
		var exported []span.Span
		complete, err = q.queries.Export(t.Context(), a.filter, func(s span.Span) error {
			exported = append(exported, s)
			return nil
		})
		if err != nil || !complete.Complete() {
			r.Fatalf("%+v, %v", complete, err)
		}
		got = ids(exported)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			r.Fatalf("export %+v, in SQL %s:\ngot  %d %v\nwant %d %v", a.filter, a.where(), len(got), got, len(want), want)
		}
	})
}

func ids(spans []span.Span) []string {
	var all []string
	for i := range spans {
		all = append(all, spans[i].TraceID+"/"+spans[i].SpanID)
	}
	return all
}

// TestCountsAreWhatAScanOfTheLakeFinds compares statistics with plain SQL.
func TestCountsAreWhatAScanOfTheLakeFinds(t *testing.T) {
	q := newQuestioned(t, 0)
	rapid.Check(t, func(r *rapid.T) {
		a := randomFilter(r)
		c := span.CountQuery{ServiceName: a.filter.ServiceName, From: a.filter.From, Until: a.filter.Until,
			Step: rapid.SampledFrom([]time.Duration{0, time.Second, time.Hour, 24 * time.Hour}).Draw(r, "step"), ByName: rapid.Bool().Draw(r, "by name")}
		where := []string{"true"}
		if c.ServiceName != "" {
			where = append(where, "service_name = "+testkit.Quote(c.ServiceName))
		}
		for bound, at := range map[string]time.Time{">= ": c.From, "< ": c.Until} {
			if !at.IsZero() {
				where = append(where, "start_us "+bound+strconv.FormatInt(at.UnixMicro(), 10))
			}
		}
		name, step := "''", "0"
		if c.ByName {
			name = "name"
		}
		if c.Step > 0 {
			step = fmt.Sprintf("start_us // %[1]d * %[1]d", c.Step.Microseconds())
		}
		want := testkit.Query(t, fmt.Sprintf(`SELECT service_name, %s AS n, %s AS at, count(*), count(*) FILTER (status_code = 2), CAST(sum(duration_ns) AS BIGINT)
			FROM (%s) WHERE %s GROUP BY ALL ORDER BY ALL`, name, step, q.all, strings.Join(where, " AND ")))
		all, complete, err := q.queries.Statistics(t.Context(), c)
		if err != nil || !complete.Complete() {
			r.Fatalf("%+v, %v", complete, err)
		}
		var got [][]string
		for i := range all {
			s := &all[i]
			at, sum := int64(0), 0.0
			if !s.Start.IsZero() {
				at = s.Start.UnixMicro()
			}
			if s.AvgDuration != nil {
				sum = *s.AvgDuration * float64(s.SpanCount)
			}
			got = append(got, []string{s.ServiceName, s.Name, strconv.FormatInt(at, 10), strconv.FormatInt(s.SpanCount, 10),
				strconv.FormatInt(s.ErrorCount, 10), strconv.FormatFloat(sum, 'f', 0, 64)})
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			r.Fatalf("%+v:\ngot  %v\nwant %v", c, got, want)
		}
	})
	services, _, err := q.queries.Services(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got [][]string
	for _, s := range services {
		got = append(got, []string{s.Name, strconv.FormatInt(s.TotalSpans, 10), strconv.FormatInt(s.FirstSeen.UnixMicro(), 10), strconv.FormatInt(s.LastSeen.UnixMicro(), 10)})
	}
	want := testkit.Query(t, "SELECT service_name, count(*), min(start_us), max(start_us) FROM ("+q.all+") GROUP BY ALL ORDER BY 1")
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("services:\ngot  %v\nwant %v", got, want)
	}
}

// TestEverySpanIsFoundByItsIDs looks each span up, alone and in its trace.
func TestEverySpanIsFoundByItsIDs(t *testing.T) {
	q := newQuestioned(t, 5)
	traces := make(map[string][]string)
	for _, id := range q.rows(t, "true") {
		trace, one, _ := strings.Cut(id, "/")
		traces[trace] = append(traces[trace], one)
	}
	for trace, want := range traces {
		spans, complete, err := q.queries.Trace(t.Context(), strings.ToUpper(trace))
		if err != nil || !complete.Complete() {
			t.Fatalf("%+v, %v", complete, err)
		}
		var got []string
		for i := range spans {
			got = append(got, spans[i].SpanID)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("trace %s has %v, want %v", trace, got, want)
		}
		one, _, err := q.queries.Span(t.Context(), trace, want[0])
		if err != nil || len(one) != 1 || one[0].TraceID != trace || one[0].SpanID != want[0] {
			t.Errorf("span %s of trace %s: %v, %v", want[0], trace, one, err)
		}
		byID, _, err := q.queries.SpanByID(t.Context(), want[0])
		if err != nil || len(byID) != 1 || byID[0] != one[0] {
			t.Errorf("span %s: %v, %v", want[0], byID, err)
		}
	}
}
