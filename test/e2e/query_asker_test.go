//go:build unix

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// asker asks one server and holds each answer against what was acknowledged before and sent after.
type asker struct {
	t      *testing.T
	url    string
	sent   *sentTraces
	random *rand.Rand
	asked  map[string]int
}

// getJSON is an answer of the API.
func (a *asker) getJSON(ctx context.Context, path string, into any) error {
	text, err := a.getText(ctx, path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w in %.300s", path, err, text)
	}
	return nil
}

func (a *asker) getText(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: status %d: %.300s", path, response.StatusCode, text)
	}
	return text, err
}

// between checks that a count is not below what was acknowledged before the question, nor above what was sent when it was answered.
func (a *asker) between(what string, got, acked, perTrace int) {
	_, sent := a.sent.counts()
	if got < acked*perTrace || got > sent*perTrace {
		a.t.Errorf("%s: %d, but %d were acknowledged before and %d sent after", what, got, acked*perTrace, sent*perTrace)
	}
}

// once checks that ids hold what was acknowledged, each once.
func (a *asker) once(what string, ids []string, acked int) {
	seen := make(map[string]int, len(ids))
	for _, id := range ids {
		if seen[id]++; seen[id] == 2 {
			a.t.Errorf("%s: %s is there twice", what, id)
		}
	}
	missing := 0
	for n := range acked {
		if seen[traceID(n)] == 0 {
			missing++
		}
	}
	if missing > 0 {
		a.t.Errorf("%s: %d of %d acknowledged traces are missing", what, missing, acked)
	}
}

type tracesPage struct {
	Traces []struct {
		TraceID string `json:"trace_id"`
		Name    string `json:"name"`
	} `json:"traces"`
	NextCursor   *string `json:"next_cursor"`
	Completeness struct {
		Hot struct {
			State string `json:"state"`
		} `json:"hot"`
		FilesPending int  `json:"files_pending"`
		Truncated    bool `json:"truncated"`
	} `json:"completeness"`
}

// pages goes through all pages of a listing.
func (a *asker) pages(ctx context.Context, query string) (ids []string, err error) {
	cursor := ""
	// Files that were touched are told as pending, so that is no error.
	pending := 0
	defer func() {
		if a.t.Failed() {
			a.t.Logf("%s: %d traces, up to %d files pending, %v", query, len(ids), pending, err)
		}
	}()
	for {
		path := "/api/v1/traces?" + query
		if cursor != "" {
			path += "&cursor=" + url.QueryEscape(cursor)
		}
		var page tracesPage
		if err := a.getJSON(ctx, path, &page); err != nil {
			return nil, err
		}
		pending = max(pending, page.Completeness.FilesPending)
		for _, trace := range page.Traces {
			ids = append(ids, trace.TraceID)
			if trace.Name != "whole" {
				a.t.Errorf("%s: %s is no root", query, trace.Name)
			}
		}
		if page.Completeness.Truncated {
			a.t.Errorf("%s: truncated", query)
		}
		if page.NextCursor == nil {
			return ids, nil
		}
		cursor = *page.NextCursor
	}
}

// questions are what is asked, by name. Each gets how many traces were acknowledged before.
func (a *asker) questions() map[string]func(ctx context.Context, acked int) error {
	return map[string]func(ctx context.Context, acked int) error{
		"services": func(ctx context.Context, acked int) error {
			var services []struct {
				Name  string `json:"service_name"`
				Spans int    `json:"total_spans"`
			}
			err := a.getJSON(ctx, "/api/v1/services", &services)
			for _, s := range services {
				if s.Name == askedService {
					a.between("services", s.Spans, acked, tracedSpans)
				}
			}
			return err
		},
		"daily": func(ctx context.Context, acked int) error {
			return a.statistics(ctx, "/api/v1/stats/daily?service="+askedService, acked)
		},
		"red": func(ctx context.Context, acked int) error {
			return a.statistics(ctx, "/api/v1/stats/red?step=1m&service="+askedService, acked)
		},
		"pages": func(ctx context.Context, acked int) error {
			ids, err := a.pages(ctx, "service="+askedService+"&limit="+strconv.Itoa(7+a.random.IntN(300)))
			if err == nil {
				a.once("pages", ids, acked)
			}
			return err
		},
		"repeats": func(ctx context.Context, _ int) error {
			ids, err := a.pages(ctx, "service="+repeatedService+"&limit=1000")
			if err == nil {
				a.once("repeats", ids, 0)
			}
			return err
		},
		"attribute": a.askAttribute,
		"trace":     a.askTrace,
		"spans":     a.askSpans,
		"export":    a.askExport,
		"jaeger":    a.askJaeger,
	}
}

func (a *asker) statistics(ctx context.Context, path string, acked int) error {
	var answer struct {
		Statistics []struct {
			Spans int `json:"span_count"`
		} `json:"statistics"`
	}
	err := a.getJSON(ctx, path, &answer)
	total := 0
	for _, s := range answer.Statistics {
		total += s.Spans
	}
	if err == nil {
		a.between(path, total, acked, tracedSpans)
	}
	return err
}

func (a *asker) askAttribute(ctx context.Context, acked int) error {
	if acked == 0 {
		return nil
	}
	batch := a.random.IntN(acked/batchTraces) * batchTraces
	ids, err := a.pages(ctx, fmt.Sprintf("service=%s&limit=13&attribute=%s", askedService, url.QueryEscape("batch="+strconv.Itoa(batch))))
	if err != nil {
		return err
	}
	var want []string
	for n := range batchTraces {
		want = append(want, traceID(batch+n))
	}
	slices.Sort(ids)
	if !slices.Equal(ids, want) {
		a.t.Errorf("attribute batch=%d: got %d traces, want %d: %v", batch, len(ids), len(want), ids)
	}
	return nil
}

func (a *asker) askTrace(ctx context.Context, acked int) error {
	if acked == 0 {
		return nil
	}
	id := traceID(a.random.IntN(acked))
	var spans []struct {
		SpanID string `json:"span_id"`
	}
	if err := a.getJSON(ctx, "/api/v1/observability/traces/"+id+"/spans", &spans); err != nil {
		return err
	}
	slices.SortFunc(spans, func(x, y struct {
		SpanID string `json:"span_id"`
	}) int {
		return strings.Compare(x.SpanID, y.SpanID)
	})
	if len(slices.Compact(slices.Clone(spans))) != tracedSpans || len(spans) != tracedSpans {
		a.t.Errorf("trace %s has spans %v", id, spans)
	}
	return nil
}

func (a *asker) askSpans(ctx context.Context, acked int) error {
	var spans []struct {
		TraceID string  `json:"trace_id"`
		SpanID  string  `json:"span_id"`
		Parent  *string `json:"parent_span_id"`
	}
	if err := a.getJSON(ctx, "/api/v1/observability/services/"+askedService+"/spans?limit=10000", &spans); err != nil {
		return err
	}
	var roots []string
	seen := make(map[string]bool)
	for _, s := range spans {
		if seen[s.SpanID] {
			a.t.Errorf("spans: %s is there twice", s.SpanID)
		}
		seen[s.SpanID] = true
		if s.Parent == nil {
			roots = append(roots, s.TraceID)
		}
	}
	a.once("spans", roots, acked)
	a.between("spans", len(spans), acked, tracedSpans)
	return nil
}

func (a *asker) askExport(ctx context.Context, acked int) error {
	text, err := a.getText(ctx, "/api/v1/export?service="+askedService)
	if err != nil {
		return err
	}
	var roots []string
	total := 0
	for line := range bytes.Lines(text) {
		var data struct {
			ResourceSpans []struct {
				ScopeSpans []struct {
					Spans []struct {
						TraceID string `json:"traceId"`
						Parent  string `json:"parentSpanId"`
					} `json:"spans"`
				} `json:"scopeSpans"`
			} `json:"resourceSpans"`
		}
		if err := json.Unmarshal(line, &data); err != nil {
			return fmt.Errorf("export: %w in %.200s", err, line)
		}
		for _, rs := range data.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					total++
					if s.Parent == "" {
						roots = append(roots, s.TraceID)
					}
				}
			}
		}
	}
	a.once("export", roots, acked)
	a.between("export", total, acked, tracedSpans)
	return nil
}

func (a *asker) askJaeger(ctx context.Context, acked int) error {
	var answer struct {
		Data []struct {
			TraceID string `json:"traceID"`
			Spans   []any  `json:"spans"`
		} `json:"data"`
	}
	if err := a.getJSON(ctx, "/api/traces?service="+askedService+"&limit=40&lookback=1h", &answer); err != nil {
		return err
	}
	var ids []string
	for _, trace := range answer.Data {
		ids = append(ids, trace.TraceID)
		if len(trace.Spans) != tracedSpans {
			a.t.Errorf("jaeger: trace %s has %d spans", trace.TraceID, len(trace.Spans))
		}
	}
	a.once("jaeger", ids, 0)
	if want := min(acked, 40); len(ids) < want {
		a.t.Errorf("jaeger: %d traces, want %d", len(ids), want)
	}
	return nil
}

// run asks until ctx ends; what was asked is answered. While the server is down there is nobody to ask.
func (a *asker) run(ctx context.Context) {
	questions := a.questions()
	var names []string
	for name := range questions {
		names = append(names, name)
	}
	slices.Sort(names)
	for i := 0; ctx.Err() == nil && !a.t.Failed(); i++ {
		if i%len(names) == 0 { // each is asked as often, on slow machines too
			a.random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		}
		name := names[i%len(names)]
		acked, _ := a.sent.counts()
		if err := a.answer(ctx, questions[name], acked); err != nil {
			if _, ok := errors.AsType[*url.Error](err); !ok {
				a.t.Error(err)
			}
			return
		}
		a.asked[name]++
	}
}

// answer asks a question, which may take long on a busy machine and is not given up when others are not asked any more.
func (a *asker) answer(ctx context.Context, question func(context.Context, int) error, acked int) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return question(ctx, acked)
}

// ask runs several askers until stop is called, which counts what they asked.
func ask(t *testing.T, url string, sent *sentTraces, total map[string]int, seed uint64) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	askers := make([]*asker, 3)
	for i := range askers {
		askers[i] = &asker{t: t, url: url, sent: sent, random: rand.New(rand.NewPCG(uint64(i), seed)), asked: make(map[string]int)}
		running.Go(func() { askers[i].run(ctx) })
	}
	return func() {
		cancel()
		running.Wait()
		for _, a := range askers {
			for name, n := range a.asked {
				total[name] += n
			}
		}
	}
}
