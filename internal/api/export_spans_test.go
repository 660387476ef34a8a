package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanlake/spanlake/internal/api"
	"github.com/spanlake/spanlake/internal/span"
)

// manySpans are more than one batch of an export has.
func manySpans(n int) (spans []span.Span) {
	for i := range n {
		s := exampleSpans()[i%3]
		s.SpanID = fmt.Sprintf("%016x", i+1)
		spans = append(spans, s)
	}
	return spans
}

// exported is the answer to an export, its trailer, and what went wrong after its header.
func (s *server) exported(t *testing.T, change ...func(*http.Request)) (answer, http.Header, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/api/v1/export", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range change {
		c(r)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(text)}, response.Trailer, err
}

func TestAnExportHasEverySpan(t *testing.T) {
	spans := manySpans(2500)
	s, st := searching(t, spans)
	a, trailer, err := s.exported(t)
	if err != nil || a.header.Get("Content-Type") != "application/x-ndjson" || !strings.Contains(trailer.Get("Spanlake-Completeness"), `"files_failed":2`) {
		t.Errorf("%v, %v, trailer %v", err, a.header, trailer)
	}
	if lines, n := strings.Count(a.body, "\n"), strings.Count(a.body, `"spanId":"`)-strings.Count(a.body, `"links":`); lines != 3 || n != 2500 {
		t.Errorf("%d lines with %d spans", lines, n)
	}
	for line := range strings.Lines(a.body) {
		if _, ok := decoded(t, line).(map[string]any)["resourceSpans"]; !ok {
			t.Errorf("%s is no TracesData", line)
		}
	}
	got := map[string]span.Span{}
	complete, err := s.client(t, "").Queries().Export(t.Context(), span.Filter{}, func(s span.Span) error { got[s.SpanID] = s; return nil })
	want := map[string]span.Span{}
	for _, one := range spans {
		want[one.SpanID] = one
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" || complete != st.complete {
		t.Errorf("%+v, %v (-want +got):\n%s", complete, err, diff)
	}
}

// Nobody can take an export that was cut for a whole one.
func TestAnExportThatIsCut(t *testing.T) {
	s, st := searching(t, manySpans(3000))
	st.failAfter = 2000
	a, _, err := s.exported(t)
	if err == nil {
		t.Errorf("%d bytes look like all", len(a.body))
	}
	n := 0
	_, err = s.client(t, "").Queries().Export(t.Context(), span.Filter{}, func(span.Span) error { n++; return nil })
	if err == nil || !strings.Contains(err.Error(), "is not complete") {
		t.Errorf("%d spans, %v", n, err)
	}
	if logged := s.log.String(); strings.Count(logged, "the disk is on fire after 2000 spans") != 2 {
		t.Errorf("logged: %s", logged)
	}
	// As long as nothing was sent, the reason is told.
	st.failAfter = 10
	_, err = s.client(t, "").Queries().Export(t.Context(), span.Filter{}, func(span.Span) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "the disk is on fire after 10 spans") {
		t.Errorf("%v", err)
	}
	st.failAfter = 0
	enough := errors.New("enough")
	if _, err = s.client(t, "").Queries().Export(t.Context(), span.Filter{}, func(span.Span) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("what was returned became %v", err)
	}
}

func TestAnExportOfNothing(t *testing.T) {
	s, _ := searching(t, nil)
	for _, accept := range []string{"application/x-ndjson", "application/x-protobuf"} {
		a, trailer, err := s.exported(t, header("Accept", accept))
		if err != nil || a.body != "" || a.header.Get("Content-Type") != accept || trailer.Get("Spanlake-Completeness") == "" {
			t.Errorf("%s: %+v, %v, trailer %v", accept, a, err, trailer)
		}
	}
	if a, _, _ := s.exported(t, header("Accept", "text/csv")); a.status != http.StatusNotAcceptable || !strings.Contains(a.body, "application/x-ndjson and application/x-protobuf") {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := s.do(t, http.MethodHead, "/api/v1/export", ""); a.status != http.StatusOK || a.header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("HEAD: %d %v", a.status, a.header)
	}
}

// slowExport says when an export has begun, and waits then.
type slowExport struct {
	*store
	begun, goOn chan struct{}
}

func (s *slowExport) Export(ctx context.Context, f span.Filter, yield func(span.Span) error) (span.Completeness, error) {
	select {
	case s.begun <- struct{}{}:
	case <-s.goOn:
	}
	<-s.goOn
	return s.store.Export(ctx, f, yield)
}

// One export runs at a time; others wait, and are told after a while.
func TestExportsAreFew(t *testing.T) {
	begun, goOn, done := make(chan struct{}), make(chan struct{}), make(chan error)
	s := start(t, newMemory(),
		api.Options{Queries: &slowExport{store: &store{spans: manySpans(1)}, begun: begun, goOn: goOn}}, func(s *api.Server) { s.Limits(50*time.Millisecond, 0, 0, 0) })
	go func() {
		_, err := s.client(t, "").Queries().Export(t.Context(), span.Filter{}, func(span.Span) error { return nil })
		done <- err
	}()
	<-begun
	if a, _, _ := s.exported(t); a.status != http.StatusServiceUnavailable || !strings.Contains(a.body, "urn:spanlake:problem:busy") {
		t.Errorf("a second export: %d %s", a.status, a.body)
	}
	close(goOn)
	if err := <-done; err != nil {
		t.Errorf("the first export: %v", err)
	}
	if _, err := s.client(t, "").Queries().Export(t.Context(), span.Filter{}, func(span.Span) error { return nil }); err != nil {
		t.Errorf("the next export: %v", err)
	}
}
