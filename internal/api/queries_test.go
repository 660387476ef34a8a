package api_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/spanlake/spanlake/internal/api"
	"github.com/spanlake/spanlake/internal/api/client"
	"github.com/spanlake/spanlake/internal/span"
)

// searching is a server that answers what is asked of spans.
func searching(t *testing.T, spans []span.Span) (*server, *store) {
	t.Helper()
	st := &store{spans: spans, complete: span.Completeness{Hot: span.HotSource{State: span.HotUnreachable, Address: "a:1", Error: "é\n\u2028"}, FilesPending: 1, FilesFailed: 2}}
	return start(t, newMemory(), api.Options{Queries: st, Instance: "one"}), st
}

// asker is what the client has of api.Queries.
type asker interface {
	Traces(ctx context.Context, f span.TraceFilter, cursor string, limit int) (span.TracePage, error)
	Trace(ctx context.Context, traceID string) ([]span.Span, span.Completeness, error)
	Span(ctx context.Context, traceID, spanID string) ([]span.Span, span.Completeness, error)
	SpanByID(ctx context.Context, spanID string) ([]span.Span, span.Completeness, error)
	Services(ctx context.Context) ([]span.Service, span.Completeness, error)
	Operations(ctx context.Context, service string) ([]span.Operation, span.Completeness, error)
	Statistics(ctx context.Context, query span.CountQuery) ([]span.Statistics, span.Completeness, error)
	Dependencies(ctx context.Context, from, until time.Time) ([]span.Dependency, span.Completeness, error)
	Tail(ctx context.Context, f span.TraceFilter, yield func([]span.Metadata) error) error
	Export(ctx context.Context, f span.Filter, yield func(span.Span) error) (span.Completeness, error)
}

var (
	_ asker = (*store)(nil)
	_ asker = client.Queries{}
)

// got is all that a method returned.
type got struct {
	Answer   any
	Complete span.Completeness
	Error    string
	// Is says what the error is.
	NotFound, Invalid bool
}

func result(answer any, complete span.Completeness, err error) got {
	g := got{Answer: answer, Complete: complete}
	if err != nil {
		_, g.Invalid = errors.AsType[*span.InvalidError](err)
		g = got{Error: err.Error(), NotFound: errors.Is(err, span.ErrNotFound), Invalid: g.Invalid}
	}
	return g
}

// TestTheClientAsksAsWellAsTheQueryLayer: what comes over HTTP is what the server was answered, to the nanosecond.
func TestTheClientAsksAsWellAsTheQueryLayer(t *testing.T) {
	s, st := searching(t, exampleSpans())
	remote := s.client(t, "one").Queries()
	day := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)
	failed, internal, of := span.StatusError, span.KindInternal, "500"
	status := span.Filter{Attributes: []span.AttributeClause{{{Key: "http.response.status_code", Value: &of}}}}
	traces := func(f span.TraceFilter, cursor string, limit int) func(context.Context, asker) got {
		return func(ctx context.Context, q asker) got {
			page, err := q.Traces(ctx, f, cursor, limit)
			return result(page, page.Completeness, err)
		}
	}
	export := func(f span.Filter) func(context.Context, asker) got {
		return func(ctx context.Context, q asker) got {
			var spans []span.Span
			complete, err := q.Export(ctx, f, func(s span.Span) error { spans = append(spans, s); return nil })
			return result(spans, complete, err)
		}
	}
	statistics := func(query span.CountQuery) func(context.Context, asker) got {
		return func(ctx context.Context, q asker) got { return results(q.Statistics(ctx, query)) }
	}
	for name, ask := range map[string]func(context.Context, asker) got{
		"all traces":         traces(span.TraceFilter{}, "", 10),
		"a page":             traces(span.TraceFilter{}, "", 1),
		"the next page":      traces(span.TraceFilter{}, "1", 1),
		"a cursor":           traces(span.TraceFilter{}, "x", 1),
		"no limit":           traces(span.TraceFilter{}, "", 0),
		"traces of a name":   traces(span.TraceFilter{Root: span.Filter{ServiceName: "shop/é ..", Name: "POST", NameMatch: span.NamePrefix}}, "", 10),
		"traces that failed": traces(span.TraceFilter{Root: span.Filter{StatusCode: &failed, MinDuration: time.Millisecond}}, "", 10),
		"traces of a kind":   traces(span.TraceFilter{Root: span.Filter{Kind: &internal, From: day, Until: day.Add(24 * time.Hour)}}, "", 10),
		"traces with an LLM": traces(span.TraceFilter{Has: []span.Filter{span.HasLLMCall(), status}}, "", 10),
		"none of the traces": traces(span.TraceFilter{Root: span.Filter{MinDuration: time.Hour}}, "", 10),
		"a trace":            func(ctx context.Context, q asker) got { return results(q.Trace(ctx, id(16, 1))) },
		"no trace":           func(ctx context.Context, q asker) got { return results(q.Trace(ctx, "../x y?#%é")) },
		"a span":             func(ctx context.Context, q asker) got { return results(q.Span(ctx, id(16, 1), id(8, 2))) },
		"no span":            func(ctx context.Context, q asker) got { return results(q.Span(ctx, id(16, 1), id(8, 7))) },
		"a span by its id":   func(ctx context.Context, q asker) got { return results(q.SpanByID(ctx, id(8, 3))) },
		"no span by its id":  func(ctx context.Context, q asker) got { return results(q.SpanByID(ctx, "..")) },
		"services":           func(ctx context.Context, q asker) got { return results(q.Services(ctx)) },
		"operations":         func(ctx context.Context, q asker) got { return results(q.Operations(ctx, "shop/é ..")) },
		"no operations":      func(ctx context.Context, q asker) got { return results(q.Operations(ctx, "..")) },
		"days":               statistics(span.CountQuery{Step: 24 * time.Hour}),
		"steps":              statistics(span.CountQuery{From: day, Until: day.Add(24 * time.Hour), Step: 10 * time.Minute, ByName: true, Name: "chat"}),
		"dependencies": func(ctx context.Context, q asker) got {
			return results(q.Dependencies(ctx, day, day.Add(24*time.Hour)))
		},
		"all spans":       export(span.Filter{}),
		"spans of an LLM": export(span.HasLLMCall()),
		"no spans":        export(span.Filter{ServiceName: "none"}),
	} {
		t.Run(name, func(t *testing.T) {
			want, have := ask(t.Context(), st), ask(t.Context(), remote)
			if diff := cmp.Diff(want, have, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if want.Error == "" && want.Complete.Hot.State != span.HotUnreachable {
				t.Errorf("the store was not asked: %+v", want)
			}
		})
	}
}

// results is result for methods whose answer has a type.
func results[T any](answer T, complete span.Completeness, err error) got {
	return result(answer, complete, err)
}

func TestWhatTheServerRefuses(t *testing.T) {
	s, _ := searching(t, exampleSpans())
	prefix, refused := "/api/v1", 0
	for path, want := range map[string]string{
		"/traces?from=yesterday":                          `"location":"query.from"`,
		"/traces?colour=red":                              "allowed are service, name, name_match",
		"/traces?status=error&status=ok":                  "must be given once",
		"/traces?attribute=a&attribute=":                  "must have a value",
		"/traces?attribute=a&attribute=%3Db":              "key=value, or key for any value",
		"/traces?limit=10001":                             "from 1 to 10000",
		"/traces?limit=many":                              "invalid integer",
		"/traces?cursor=x":                                `"location":"query.cursor"`,
		"/traces?service=%FF":                             "UTF-8",
		"/traces/%00":                                     `"location":"path.trace_id"`,
		"/spans/%FF":                                      `"location":"path.span_id"`,
		"/services/%FF/operations":                        `"location":"path.service_name"`,
		"/stats/daily?from=x":                             `"location":"query.from"`,
		"/stats/daily?step=1h":                            "unknown query parameter",
		"/stats/daily?service=%00":                        `"location":"query.service"`,
		"/stats/red?step=0s":                              "longer than 0",
		"/stats/red?step=1ms":                             "more than 1000 times",
		"/stats/red?step=1ns":                             "a millisecond or longer",
		"/stats/red?until=x":                              `"location":"query.until"`,
		"/dependencies?from=x":                            `"location":"query.from"`,
		"/tail?limit=5":                                   "unknown query parameter",
		"/tail?kind=robot":                                "one of unspecified, internal",
		"/export?max_duration=x":                          `"location":"query.max_duration"`,
		"/observability/services?limit=5":                 "none is allowed",
		"/observability/services/a/spans?limit=0":         "from 1 to 10000",
		"/observability/services/a/spans/root?has_llm=no": "has_llm",
		"/observability/traces/%FF/spans":                 `"location":"path.trace_id"`,
		"/observability/traces/a/spans/%FF":               `"location":"path.span_id"`,
	} {
		a := s.do(t, http.MethodGet, prefix+path, "")
		if a.status != http.StatusUnprocessableEntity || a.header.Get("Content-Type") != "application/problem+json" || !strings.Contains(a.body, want) {
			t.Errorf("%s: %d %s, want %q", path, a.status, a.body, want)
			continue
		}
		refused++
	}
	if refused != 28 {
		t.Errorf("%d were refused", refused)
	}
}

// A question that fails is told as a problem, and nothing is logged unless the server is at fault.
func TestQuestionsThatFail(t *testing.T) {
	s, st := searching(t, exampleSpans())
	paths := []string{"/traces", "/traces/" + id(16, 1), "/spans/" + id(8, 1), "/services", "/services/a/operations", "/stats/daily", "/stats/red", "/dependencies",
		"/observability/services", "/observability/services/a/spans", "/observability/services/a/spans/root", "/observability/services/a/workflows",
		"/observability/traces/" + id(16, 1) + "/spans", "/observability/traces/" + id(16, 1) + "/spans/" + id(8, 1), "/export", "/tail"}
	st.fail = func(context.Context) error { return errors.New("the disk is on fire") }
	for _, path := range paths {
		if a := s.do(t, http.MethodGet, "/api/v1"+path, ""); a.status != http.StatusInternalServerError || !strings.Contains(a.body, "the disk is on fire") {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if logged := strings.Count(s.log.String(), "the disk is on fire"); logged != len(paths) {
		t.Errorf("%d of %d failures were logged:\n%s", logged, len(paths), s.log)
	}
	for _, path := range []string{"/traces/x", "/spans/x", "/observability/traces/x/spans", "/observability/traces/x/spans/y"} {
		st.fail = nil
		a := s.do(t, http.MethodGet, "/api/v1"+path, "")
		if a.status != http.StatusNotFound || !strings.Contains(a.body, `was not found`) || !strings.Contains(a.header.Get("Spanlake-Completeness"), `"files_pending":1`) {
			t.Errorf("%s: %d %s %v", path, a.status, a.body, a.header)
		}
	}
}

// A question that takes too long is ended and told so.
func TestQuestionsHaveATimeLimit(t *testing.T) {
	st := &store{fail: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
	s := start(t, newMemory(), api.Options{Queries: st, QueryTime: 20 * time.Millisecond})
	for _, path := range []string{"/traces", "/traces/a", "/services", "/stats/red", "/observability/services/a/spans"} {
		if a := s.do(t, http.MethodGet, "/api/v1"+path, ""); a.status != http.StatusServiceUnavailable || !strings.Contains(a.body, "query-time") {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if s.log.String() != "" {
		t.Errorf("logged: %s", s.log)
	}
}
