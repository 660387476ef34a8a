package index

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/spanlake/spanlake/internal/attribute"
	"github.com/spanlake/spanlake/internal/lake"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// attributeWorld is a lake of whole spans in files of several writers, of which some are indexed and others pending.
type attributeWorld struct {
	*fixture
	random *rand.Rand
	// files has the spans of each file, as they are read from it.
	files map[string][]span.Span
	cold  span.Cold
}

// attributeKeys and attributeValues are what attributes have, as JSON in several ways of writing it, and what is asked of them.
var (
	attributeKeys   = []string{`k`, `\u006b`, `http.status`, `a\"b`, `back\\slash`, `ключ`, ``, `deep`}
	attributeValues = []string{`"v"`, `"\u0076"`, `"a\"b"`, `42`, `42.0`, `4.2e1`, `"42"`, `true`, `"true"`, `null`, `[1,"v"]`, `{"k":"v"}`,
		`9007199254740993`, `""`, `"` + strings.Repeat("long", 60) + `"`}
	askedKeys   = []string{"k", "http.status", `a"b`, `back\slash`, "ключ", "", "nowhere"}
	askedValues = []string{"v", `a"b`, "42", "42.0", "true", "null", "", "9007199254740993", strings.Repeat("long", 60), "nope"}
)

func (w *attributeWorld) object() string {
	switch w.random.IntN(12) {
	case 0:
		return "{}"
	case 1:
		return `{"k":"v"` // no JSON
	case 2:
		return `["k","v"]`
	}
	var parts []string
	for range 1 + w.random.IntN(3) {
		parts = append(parts, `"`+attributeKeys[w.random.IntN(len(attributeKeys))]+`":`+attributeValues[w.random.IntN(len(attributeValues))])
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func (w *attributeWorld) anySpan(id int) span.Span {
	return testkit.Span(w.random.IntN(30), id, func(s *span.Span) {
		s.StartTime = testkit.Start.Add(time.Duration(w.random.IntN(3_000)) * time.Millisecond)
		s.EndTime = s.StartTime.Add(time.Duration(w.random.IntN(5)) * time.Microsecond)
		s.ServiceName = []string{"svc", "other"}[w.random.IntN(2)]
		s.Name = []string{"GET /", "POST /", "get"}[w.random.IntN(3)]
		s.StatusCode, s.Kind = span.StatusCode(w.random.IntN(3)), span.Kind(w.random.IntN(6))
		s.Attributes, s.ResourceAttributes, s.Events = w.object(), `{"service.name":"svc"}`, "[]"
		if w.random.IntN(4) == 0 {
			s.ResourceAttributes = w.object()
		}
	})
}

// put writes a file with our writer, in several row groups, or as another one would.
func (w *attributeWorld) put(path string, spans []span.Span) {
	w.t.Helper()
	if w.random.IntN(3) == 0 {
		w.lake.Table(w.t, path, foreignTable(spans))
	} else {
		slices.SortFunc(spans, func(a, b span.Span) int {
			return strings.Compare(a.TraceID, b.TraceID)*2 + a.StartTime.Compare(b.StartTime)
		})
		writer, err := lake.NewWriter(w.lake.Root)
		if err != nil {
			w.t.Fatal(err)
		}
		size := 1 + w.random.IntN(10)
		_, err = writer.WriteSorted(path, func(yield func([]span.Span, error) bool) {
			for part := range slices.Chunk(slices.Clone(spans), size) {
				if !yield(part, nil) {
					return
				}
			}
		})
		if err != nil {
			w.t.Fatal(err)
		}
		testkit.Touch(w.t, w.lake.Path(path))
	}
	w.files[path] = spans
}

// foreignTable is a file of fourteen columns, unsorted and without filters.
func foreignTable(spans []span.Span) *testkit.Table {
	texts := func(field func(*span.Span) string) string {
		var all []string
		for i := range spans {
			all = append(all, testkit.Quote(field(&spans[i])))
		}
		return "list_extract([" + strings.Join(all, ", ") + "], i + 1)"
	}
	return testkit.SpansTable(spans...).
		With("attributes", texts(func(s *span.Span) string { return s.Attributes })).
		With("resource_attributes", texts(func(s *span.Span) string { return s.ResourceAttributes }))
}

func newAttributeWorld(t *testing.T, seed, number uint64) *attributeWorld {
	t.Helper()
	w := &attributeWorld{fixture: newFixture(t, quiet, func(o *Options) { o.Threads = 2 }), random: rand.New(rand.NewPCG(seed, number)),
		files: make(map[string][]span.Span)}
	var known []span.Span
	pending := make(map[string][]span.Span)
	for file := range 3 + w.random.IntN(4) {
		var spans []span.Span
		for i := range 1 + w.random.IntN(40) {
			s := w.anySpan(1000*file + i)
			if len(known) > 0 && w.random.IntN(5) == 0 {
				s = known[w.random.IntN(len(known))] // a repeat
			}
			spans = append(spans, s)
		}
		known = append(known, spans...)
		path := fmt.Sprintf("day=%d/%d.parquet", file%2, file)
		if file > 0 && w.random.IntN(3) == 0 {
			pending[path] = spans
		} else {
			w.put(path, spans)
		}
	}
	w.sync()
	for path, spans := range pending {
		w.put(path, spans)
		now, err := w.stat(&item{file: span.File{Path: path}})
		if err != nil {
			t.Fatal(err)
		}
		w.cold.Pending = append(w.cold.Pending, now)
	}
	return w
}

// anyAttributeFilter is what may be asked.
func anyAttributeFilter(r *rapid.T) span.Filter {
	var f span.Filter
	f.ServiceName = rapid.SampledFrom([]string{"", "", "svc", "other", "nobody"}).Draw(r, "service")
	f.Name = rapid.SampledFrom([]string{"", "", "GET /", "GET", "/"}).Draw(r, "name")
	f.NameMatch = span.NameMatch(rapid.IntRange(0, 2).Draw(r, "match"))
	if rapid.Bool().Draw(r, "from") {
		f.From = testkit.Start.Add(time.Duration(rapid.IntRange(0, 3000).Draw(r, "after")) * time.Millisecond)
	}
	if rapid.Bool().Draw(r, "until") {
		f.Until = testkit.Start.Add(time.Duration(rapid.IntRange(0, 3000).Draw(r, "before")) * time.Millisecond)
	}
	if rapid.IntRange(0, 3).Draw(r, "status") == 0 {
		code := span.StatusCode(rapid.IntRange(0, 2).Draw(r, "code"))
		f.StatusCode = &code
	}
	for range rapid.IntRange(0, 2).Draw(r, "clauses") {
		var clause span.AttributeClause
		for range rapid.IntRange(1, 2).Draw(r, "conditions") {
			condition := span.AttributeCondition{Key: rapid.SampledFrom(askedKeys).Draw(r, "key")}
			if rapid.Bool().Draw(r, "equals") {
				value := rapid.SampledFrom(askedValues).Draw(r, "value")
				condition.Value = &value
			}
			clause = append(clause, condition)
		}
		f.Attributes = append(f.Attributes, clause)
	}
	return f
}

// chooses is what a filter means, told plainly.
func chooses(f *span.Filter, s *span.Span) bool {
	m := span.Metadata{TraceID: s.TraceID, SpanID: s.SpanID, ServiceName: s.ServiceName, Name: s.Name, Kind: s.Kind, StartTime: s.StartTime,
		EndTime: s.EndTime, Duration: s.Duration(), StatusCode: s.StatusCode}
	return f.Match(&m) && attribute.Matches(f.Attributes, s.Attributes, s.ResourceAttributes)
}
