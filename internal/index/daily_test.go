package index

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// mergeAlways merges daily durations after each batch, each service and day alone.
func mergeAlways(f *fixture) *fixture {
	f.dailyTail, f.dailyPart = 1, 1
	return f
}

// dailyStats are all rows of the view, as text.
func (f *fixture) dailyStats() []string {
	f.t.Helper()
	return f.column(`SELECT 'daily ' || s::VARCHAR FROM daily_stats s ORDER BY day, service_name`)
}

func TestBucketsOfDurations(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, tc := range []struct {
		duration, bucket, stands int64
	}{
		{0, 0, 0},
		{1, 1, 1},
		{2, 36, 2},
		{-1, -1, -1},
		{-2, -36, -2},
		{1_000_000, 692, 994_913},
		{-1_000_000, -692, -994_913},
		{math.MaxInt64, 2185, math.MaxInt64},
		{-math.MaxInt64, -2185, -math.MaxInt64},
		{math.MinInt64, -2185, -math.MaxInt64},
	} {
		bucket := f.number("SELECT duration_bucket($1::BIGINT)", tc.duration)
		if bucket != tc.bucket {
			t.Errorf("duration_bucket(%d) = %d, want %d", tc.duration, bucket, tc.bucket)
		}
		if got := f.number("SELECT bucket_duration($1::SMALLINT)", bucket); got != tc.stands {
			t.Errorf("bucket_duration(%d) = %d, want %d", bucket, got, tc.stands)
		}
	}
	f.expect("SELECT duration_bucket(NULL::BIGINT) IS NULL AND bucket_duration(NULL::SMALLINT) IS NULL", "true")
	// What stands for a duration is at most 1 % and half a nanosecond away from it, whichever side of an edge it is on.
	f.expect(`
WITH durations AS (SELECT unnest(range(1, 100000)) AS ns
                   UNION ALL
                   SELECT CAST(pow(101 / 99, i) AS BIGINT) + d FROM range(600, 2183) AS b(i), range(-2, 3) AS e(d))
SELECT ns || ' ' || bucket_duration(duration_bucket(ns)) FROM durations
WHERE abs(bucket_duration(duration_bucket(ns)) - ns) > ns * 0.0100001 + 0.5
   OR abs(bucket_duration(duration_bucket(ns)) - ns) > ns * 0.02
   OR duration_bucket(-ns) <> -duration_bucket(ns)`)
}

func TestTheDayOfASpanIsThatOfUTC(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for start, day := range map[string]string{
		"1970-01-01 00:00:00Z":             "1970-01-01",
		"1969-12-31 23:59:59.999999Z":      "1969-12-31",
		"2026-11-23 23:59:59.999999Z":      "2026-11-23",
		"2026-11-24 00:30:00+01":           "2026-11-23",
		"294247-01-10 04:00:54.775806Z":    "294247-01-10",
		"290309-12-22 (BC) 00:00:00+00":    "290309-12-22 (BC)",
		"0001-01-01 (BC) 00:00:00.000001Z": "0001-01-01 (BC)",
	} {
		if got := f.column("SELECT CAST(utc_day(CAST($1 AS TIMESTAMPTZ)) AS VARCHAR)", start); got[0] != day {
			t.Errorf("utc_day(%s) = %s, want %s", start, got[0], day)
		}
	}
}

// randomDurations is a file of spans of five services on four days, whose durations go over 12 orders of magnitude; some are
// zero, negative, as long as can be, or missing.
func randomDurations(rows int, seed uint64) *testkit.Table {
	random := func(salt, n int) string {
		return fmt.Sprintf("CAST(hash(i, %d, %d::UBIGINT) %% %d AS BIGINT)", salt, seed, n)
	}
	long := "CAST(pow(10, " + random(1, 12_000) + " / 1000.0) AS BIGINT)"
	return testkit.SpanTable(rows).
		With("service_name", "'svc' || "+random(2, 4)).
		With("start_time", "TIMESTAMPTZ '2026-11-20 00:00:00Z' + to_days(CAST("+random(3, 4)+" AS INTEGER)) + to_milliseconds(i)").
		With("status_code", random(4, 3)).
		With("span_id", "printf('%016x', hash(i, "+fmt.Sprint(seed)+"::UBIGINT))").
		With("duration_ns", "CASE WHEN "+random(2, 4)+" = 3 AND "+random(3, 4)+" = 1 THEN NULL ELSE CASE "+random(5, 40)+
			" WHEN 0 THEN 0 WHEN 1 THEN NULL WHEN 2 THEN -9223372036854775808 WHEN 3 THEN 9223372036854775807 WHEN 4 THEN -"+long+
			" WHEN 5 THEN -"+long+" WHEN 6 THEN 1 ELSE "+long+" END END")
}

// exactSQL compares the view with what the spans say.
const exactSQL = `
WITH exact AS (
    SELECT service_name, CAST(start_time AT TIME ZONE 'UTC' AS DATE) AS day, count(*) AS spans,
           count(*) FILTER (status_code = 2) AS errors, avg(duration_ns) AS average,
           quantile_disc(duration_ns, 0.50) AS p50, quantile_disc(duration_ns, 0.95) AS p95, quantile_disc(duration_ns, 0.99) AS p99
    FROM span_metadata GROUP BY ALL)
SELECT s::VARCHAR || ' ' || e::VARCHAR
FROM exact e FULL JOIN daily_stats s USING (service_name, day)
WHERE (span_count, error_count) IS DISTINCT FROM (spans, errors)
   OR (avg_duration_ns IS NULL) <> (average IS NULL) OR abs(avg_duration_ns - average) > abs(average) * 1e-9
   OR (p50_duration_ns IS NULL) <> (p50 IS NULL) OR abs(p50_duration_ns::DOUBLE - p50) > abs(p50::DOUBLE) * 0.02
   OR (p95_duration_ns IS NULL) <> (p95 IS NULL) OR abs(p95_duration_ns::DOUBLE - p95) > abs(p95::DOUBLE) * 0.02
   OR (p99_duration_ns IS NULL) <> (p99 IS NULL) OR abs(p99_duration_ns::DOUBLE - p99) > abs(p99::DOUBLE) * 0.02`

// Whatever the durations are, counts are exact, averages are, and percentiles are within 2 %.
func TestDailyStatisticsOfAnyDurations(t *testing.T) {
	t.Parallel()
	seed := randomSeed(t)
	for _, rows := range []int{1, 2, 7, 100, 20_000} {
		for _, merged := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d spans, merged %t", rows, merged), func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, batchSize(1))
				if merged {
					mergeAlways(f)
				}
				f.lake.Table(t, "a.parquet", randomDurations(rows, seed))
				f.lake.Table(t, "b.parquet", randomDurations(rows, seed+1))
				f.sync()
				f.expect(exactSQL)
				f.expect("SELECT DISTINCT span_count > 0 FROM daily_stats", "true")
				f.lake.Remove(t, "a.parquet")
				f.sync()
				f.expect(exactSQL)
			})
		}
	}
}

// A service without durations has spans and errors, but nothing to tell of durations; and a day that loses its only
// duration has no quantiles any more.
func TestDailyStatisticsWithoutDurations(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.lake.Table(t, "a.parquet", testkit.SpanTable(3).With("duration_ns", "NULL::BIGINT").With("status_code", "2"))
	want := "svc,2026-11-23,3,3,NULL,NULL,NULL,NULL"
	const text = `SELECT concat_ws(',', service_name, day, span_count, error_count, coalesce(avg_duration_ns::VARCHAR, 'NULL'),
		coalesce(p50_duration_ns::VARCHAR, 'NULL'), coalesce(p95_duration_ns::VARCHAR, 'NULL'), coalesce(p99_duration_ns::VARCHAR, 'NULL'))
		FROM daily_stats`
	f.sync()
	f.expect(text, want)
	f.lake.Spans(t, "b.parquet", testkit.Span(9, 9))
	f.sync()
	f.expect(text, "svc,2026-11-23,4,3,1000000.0,994913,994913,994913")
	f.lake.Remove(t, "b.parquet")
	f.sync()
	f.expect(text, want)
	f.lake.Remove(t, "a.parquet")
	f.sync()
	f.expect(text)
}

// Columns and types are a contract.
func TestTheColumnsOfDailyStatistics(t *testing.T) {
	t.Parallel()
	newFixture(t).expect("SELECT column_name || ' ' || column_type FROM (DESCRIBE daily_stats)",
		"service_name VARCHAR", "day DATE", "span_count BIGINT", "error_count BIGINT", "avg_duration_ns DOUBLE",
		"p50_duration_ns BIGINT", "p95_duration_ns BIGINT", "p99_duration_ns BIGINT")
}

// Files come, change and go, repeat each other and bring spans of past days: an index that lived through it says what a new
// one says, and what a rebuilt one says, whether and when its tail is merged.
func TestDailyStatisticsAreThoseOfAFreshIndex(t *testing.T) {
	t.Parallel()
	seed := randomSeed(t)
	l := testkit.NewLake(t)
	lazy := openFixture(t, l, batchSize(2))
	eager := mergeAlways(openFixture(t, l, batchSize(1)))
	random := rand.New(rand.NewPCG(seed, 0))
	late := func(s *span.Span) {
		s.StartTime = s.StartTime.AddDate(0, 0, -random.IntN(400))
		s.EndTime = s.StartTime.Add(time.Duration(random.Int64N(1e12) - 1e9))
		s.StatusCode = span.StatusCode(random.IntN(3))
	}
	lateSpans := func() []span.Span {
		spans := make([]span.Span, 50)
		for i := range spans {
			spans[i] = testkit.Span(1000+i, random.IntN(1e6), late)
		}
		return spans
	}
	old := lateSpans()
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"new files", func() {
			l.Table(t, "a.parquet", randomDurations(2000, seed))
			l.Table(t, "b.parquet", randomDurations(2000, seed+1))
		}},
		{"late spans", func() { l.Spans(t, "late.parquet", old...) }},
		{"repeats", func() {
			l.Table(t, "c.parquet", randomDurations(3000, seed))
			l.Spans(t, "later.parquet", slices.Concat(old, lateSpans())...)
		}},
		{"a touched file", func() { testkit.Touch(t, l.Path("b.parquet")) }},
		{"another content", func() { l.Table(t, "b.parquet", randomDurations(1000, seed+2)) }},
		{"the first of repeats gone", func() { l.Remove(t, "a.parquet"); l.Remove(t, "late.parquet") }},
		{"damage", func() { l.Put(t, "c.parquet", []byte("PAR1 and then nothing")) }},
		{"all but late spans gone", func() { l.Remove(t, "b.parquet") }},
	} {
		step.do()
		lazy.sync()
		eager.sync()
		fresh := openFixture(t, l)
		fresh.sync()
		want := fresh.dailyStats()
		for name, f := range map[string]*fixture{"lazy": lazy, "eager": eager} {
			if got := f.dailyStats(); !slices.Equal(got, want) {
				t.Errorf("after %s the %s index has\n%s\na fresh one\n%s", step.name, name, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
		if n, merged := eager.number("SELECT count(*) FROM daily_durations_tail"), eager.number("SELECT count(*) FROM daily_durations"); n > 0 && n*dailyTailShare >= merged {
			t.Errorf("after %s %d rows wait to be merged into %d", step.name, n, merged)
		}
		eager.expect("SELECT count(*) FROM (SELECT 1 FROM daily_durations GROUP BY service_name, day, bucket HAVING count(*) > 1)", "0")
		eager.expect("SELECT count(*) FROM daily_durations WHERE span_count <= 0", "0")
	}
	if n := lazy.number("SELECT count(*) FROM daily_durations"); n != 0 {
		t.Errorf("%d rows of the lazy index are merged", n)
	}
	before := lazy.dailyStats()
	mergeAlways(lazy) // the first merge, of all that has happened
	if err := lazy.mergeDaily(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := lazy.dailyStats(); !slices.Equal(before, after) {
		t.Errorf("merging made\n%s\nof\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
	lazy.assertSound()
}

// A short tail, or one that is short beside what it would be merged into, waits.
func TestTheTailIsMergedWhenItIsLongEnough(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.dailyTail = 10
	insert := func(table string, rows int64) {
		f.exec(fmt.Sprintf("INSERT INTO %s SELECT 'svc', DATE '2026-11-23' + i::INTEGER, 1, 1, 0, 1 FROM range(%d) AS r(i)", table, rows))
	}
	for _, step := range []struct{ add, merged, tail int64 }{
		{9, 0, 9},
		{1, 9, 0}, // of a day that the tail has already
		{50, 50, 0},
		{12, 50, 12},
		{1, 50, 0},
	} {
		insert("daily_durations_tail", step.add)
		if err := f.mergeDaily(t.Context()); err != nil {
			t.Fatal(err)
		}
		merged, tail := f.number("SELECT count(*) FROM daily_durations"), f.number("SELECT count(*) FROM daily_durations_tail")
		if merged != step.merged || tail != step.tail {
			t.Errorf("after %d more rows %d are merged and %d wait, want %+v", step.add, merged, tail, step)
		}
	}
}
