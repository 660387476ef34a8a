package index

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

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

// Whole spans of files of several writers are what was written into them, whoever is asked for, and however little may be read at once.
func TestWholeSpansOfAnyFile(t *testing.T) {
	t.Parallel()
	seed := randomSeed(t)
	for number := range uint64(3) {
		t.Run(fmt.Sprint(number), func(t *testing.T) {
			t.Parallel()
			w := newAttributeWorld(t, seed, number)
			for path, spans := range w.files {
				for i := range spans {
					dropUnlessJSON(&spans[i].Attributes, '{')
					dropUnlessJSON(&spans[i].ResourceAttributes, '{')
				}
				var some []span.Span
				for _, s := range spans {
					if w.random.IntN(2) == 0 {
						some = append(some, s)
					}
				}
				got, truncated, err := w.Whole(t.Context(), refsOf(path, some...), plenty)
				if err != nil || truncated {
					t.Fatalf("Whole() = %t, %v", truncated, err)
				}
				// A repeat within the file comes with the span that it repeats.
				expectWhole(t, got, slices.DeleteFunc(slices.Clone(spans), func(s span.Span) bool {
					return !slices.ContainsFunc(some, func(o span.Span) bool { return o.TraceID == s.TraceID && o.SpanID == s.SpanID })
				}))
			}
			trace := testkit.TraceID(w.random.IntN(30))
			var want []span.Span
			for _, spans := range w.files {
				want = append(want, slices.DeleteFunc(slices.Clone(spans), func(s span.Span) bool { return s.TraceID != trace })...)
			}
			got, _, err := w.WholeTrace(t.Context(), trace, slices.Sorted(maps.Keys(w.files)), plenty)
			if err != nil {
				t.Fatal(err)
			}
			expectWhole(t, got, want)
		})
	}
}

// Files that an ingestion service wrote without Spanlake have fourteen columns, and times of which DuckDB tells the microseconds.
func TestWholeSpansOfAnExistingService(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs(filepath.Join("testdata", "ingestion-spans"))
	if err != nil {
		t.Fatal(err)
	}
	f := openFixture(t, testkit.Lake{Root: root})
	f.sync()
	n, paths := 0, f.column("SELECT file_path FROM parquet_files")
	seen, err := f.Export(t.Context(), span.Filter{}, span.Cold{}, func(s span.Span) error {
		if n++; n%500 != 0 {
			return nil
		}
		got, _, err := f.WholeTrace(t.Context(), s.TraceID, paths, plenty)
		if err != nil || !slices.Contains(got, s) {
			t.Errorf("WholeTrace(%s) = %v, %v: is without %+v", s.TraceID, got, err, s)
		}
		return nil
	})
	if err != nil || seen.Unread != 0 || n != 9288 {
		t.Errorf("Export() yields %d spans, %+v, %v", n, seen, err)
	}
	path := "year=2026/month=11/day=23/chat-api_1795461163_37bd156f.parquet"
	exact := testkit.ReadSpans(t, f.lake.Path(path))
	got, _, err := f.Whole(t.Context(), refsOf(path, exact...), plenty)
	if err != nil {
		t.Fatal(err)
	}
	for i := range exact {
		exact[i].StartTime, exact[i].EndTime = exact[i].StartTime.Truncate(time.Microsecond), exact[i].EndTime.Truncate(time.Microsecond)
	}
	expectWhole(t, got, exact)
}

// What a file has in another way than Spanlake writes it is read as far as it can be; nothing of it fails the others.
func TestWholeSpansOfHostileValues(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.lake.Table(t, "a.parquet", testkit.SpanTable(4).
		With("span_id", "printf('%016x', i + 1)").With("trace_id", "'t'").
		With("start_time", "TIMESTAMP_NS '2026-11-23 12:00:00.123456789'").With("end_time", "CASE WHEN i = 1 THEN NULL ELSE TIMESTAMP_NS '1969-12-31 23:59:59.999999999' END").
		With("span_kind", "CASE i WHEN 0 THEN NULL WHEN 1 THEN 300 ELSE 5000000000 END").With("status_code", "CASE i WHEN 0 THEN -200 END").
		With("duration_ns", "CASE i WHEN 0 THEN 18446744073709551615::UBIGINT END").
		With("attributes", "CASE i WHEN 0 THEN 'no JSON' WHEN 1 THEN '[1]' WHEN 2 THEN '{\"a\":1}' END").
		With("events", "[{'name': 'e' || i}]").With("links", "12").With("trace_state", "'ts'::BLOB").
		With("scope_name", "from_hex('ff')").With("scope_attributes", "MAP {'k': i}").
		With("trace_flags", "CASE i WHEN 0 THEN -1 WHEN 1 THEN 4294967296 WHEN 2 THEN 7 END").
		With("dropped_links_count", "{'no': 'number'}").With("otlp", "'text'"))
	f.sync()
	got, truncated, err := f.WholeTrace(t.Context(), "t", []string{"a.parquet"}, plenty)
	if err != nil || truncated || len(got) != 4 {
		t.Fatalf("WholeTrace() = %v, %t, %v", got, truncated, err)
	}
	got = bySpan(got)
	for i, s := range got {
		if want := time.Date(2026, 11, 23, 12, 0, 0, 123456789, time.UTC); !s.StartTime.Equal(want) {
			t.Errorf("span %d starts at %s", i, s.StartTime)
		}
		if s.Events != fmt.Sprintf(`[{"name":"e%d"}]`, i) || s.TraceState != "ts" || s.Links != "" || s.ScopeName != "" || s.OTLP != "" ||
			s.ScopeAttributes != fmt.Sprintf(`{"k":%d}`, i) || s.DroppedLinksCount != 0 {
			t.Errorf("span %d = %+v", i, s)
		}
	}
	if got[0].Kind != 0 || got[1].Kind != math.MaxInt8 || got[2].Kind != 0 || got[0].StatusCode != math.MinInt8 {
		t.Errorf("kinds and status of %+v", got)
	}
	if got[0].Flags != 0 || got[1].Flags != 0 || got[2].Flags != 7 || got[3].Flags != 0 {
		t.Errorf("flags of %+v", got)
	}
	if got[0].Attributes != "" || got[1].Attributes != "" || got[2].Attributes != `{"a":1}` || got[3].Attributes != "" {
		t.Errorf("attributes of %+v", got)
	}
	if want := time.Date(1969, 12, 31, 23, 59, 59, 999_999_999, time.UTC); !got[0].EndTime.Equal(want) || !got[1].EndTime.IsZero() {
		t.Errorf("ends of %+v", got)
	}
}

// A file that is gone is told, with the spans of the others; so is one that cannot be read, and nobody gets out of the lake.
func TestWholeSpansThatCannotBeRead(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.lake.Spans(t, "a.parquet", testkit.Spans(1, 3)...)
	f.lake.Spans(t, "b.parquet", testkit.Spans(1, 2)...)
	outside := testkit.Lake{Root: f.lake.Root + "2"}
	outside.Spans(t, "c.parquet", testkit.Spans(1, 3)...)
	refs := func(file string) []span.Ref { return refsOf(file, testkit.Span(1, 1), testkit.Span(2, 2)) }

	f.lake.Remove(t, "b.parquet")
	got, _, err := f.Whole(t.Context(), append(refs("b.parquet"), refs("a.parquet")...), plenty)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "b.parquet") || len(got) != 2 {
		t.Errorf("Whole() without a file = %v, %v", got, err)
	}
	// Known already, and then removed.
	f.lake.Remove(t, "a.parquet")
	if _, _, err := f.WholeTrace(t.Context(), testkit.TraceID(1), []string{"a.parquet"}, plenty); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("WholeTrace() without a file = %v", err)
	}
	if err := os.Symlink(outside.Root, f.lake.Path("link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside.Path("c.parquet"), f.lake.Path("link.parquet")); err != nil {
		t.Fatal(err)
	}
	f.lake.Put(t, "damaged.parquet", []byte("PAR1 is no Parquet PAR1"))
	f.lake.Put(t, "folder/x", nil)
	f.lake.Arrow(t, "text.parquet", 2, append(testkit.MinimalColumns(), testkit.Text("name", func(int) string { return "\xff\xfe" }))...)
	name := filepath.Base(outside.Root)
	for _, file := range []string{"../" + name + "/c.parquet", outside.Path("c.parquet"), "link/c.parquet", "link.parquet", "damaged.parquet",
		"folder", "text.parquet", "", ".", "*.parquet", "a\x00.parquet", "folder/../../" + name + "/c.parquet"} {
		got, _, err := f.WholeTrace(t.Context(), testkit.TraceID(1), []string{file}, plenty)
		failure := (*FileError)(nil)
		if len(got) > 0 || !errors.As(err, &failure) || failure.Path != file {
			t.Errorf("WholeTrace() from %q = %v, %v", file, got, err)
		}
	}
}

// An answer has no more bytes than it may have, and says that there are more, in whatever way the file has to be read.
func TestWholeSpansAreBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	long := func(i int) func(*span.Span) {
		return func(s *span.Span) { s.Attributes = fmt.Sprintf(`{"n":%d,"text":%q}`, i, strings.Repeat("x", 10_000)) }
	}
	var spans []span.Span
	for i := range 30 {
		spans = append(spans, testkit.Span(i%3, i, long(i)))
	}
	written := writeWithLake(t, f.lake, slices.Clone(spans)...)
	got, truncated, err := f.Whole(t.Context(), refsOf(written.Path, spans...), 110_000)
	if err != nil || !truncated || len(got) != 10 {
		t.Errorf("Whole() = %d spans, %t, %v", len(got), truncated, err)
	}
	// As if its row groups were very large.
	db, release, err := f.reader()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	files, err := f.open(t.Context(), db, []string{written.Path}, func(_ string, err error) error { return err })
	if err != nil {
		t.Fatal(err)
	}
	for i := range files[0].groups {
		files[0].groups[i].bytes = maxDirectBytes + 1
	}
	want := &wantedSpans{traces: []string{testkit.TraceID(0), testkit.TraceID(1)}}
	for _, room := range []int64{110_000, plenty} {
		r := wholeReader{db: db, left: room}
		err := r.file(t.Context(), files[0], want)
		switch {
		case room == plenty && err == nil:
			asWritten := slices.DeleteFunc(slices.Clone(spans), func(s span.Span) bool { return s.TraceID == testkit.TraceID(2) })
			for i := range asWritten {
				asWritten[i].Events, asWritten[i].ResourceAttributes = "[]", "{}"
			}
			expectWhole(t, r.spans, asWritten)
		case room == plenty || !errors.Is(err, errFull) || len(r.spans) != 10:
			t.Errorf("file() = %d spans, %v", len(r.spans), err)
		}
	}
}
