package api_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/spanlake/spanlake/internal/api"
)

// described is what the tests look at of the OpenAPI document.
type described struct {
	Paths map[string]map[string]struct {
		OperationID string `json:"operationId"`
		Summary     string `json:"summary"`
		Parameters  []struct {
			Name        string          `json:"name"`
			In          string          `json:"in"`
			Description string          `json:"description"`
			Explode     bool            `json:"explode"`
			Schema      json.RawMessage `json:"schema"`
		} `json:"parameters"`
		Responses map[string]struct {
			Content map[string]struct {
				Example json.RawMessage `json:"example"`
				Schema  json.RawMessage `json:"schema"`
			} `json:"content"`
		} `json:"responses"`
	} `json:"paths"`
}

func describedBy(t *testing.T, s *server) (d described) {
	t.Helper()
	a := s.do(t, http.MethodGet, "/openapi.json", "")
	if err := json.Unmarshal([]byte(a.body), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// Whoever reads the description finds every route about spans, with an example of what it answers, and what every parameter is for.
func TestTheDescriptionIsWhole(t *testing.T) {
	s, _ := searching(t, exampleSpans())
	d := describedBy(t, s)
	for path, media := range map[string]string{
		"/traces": "application/json", "/traces/{trace_id}": "application/json", "/spans/{span_id}": "application/json", "/services": "application/json",
		"/services/{service}/operations": "application/json", "/stats/daily": "application/json", "/stats/red": "application/json",
		"/dependencies": "application/json", "/tail": "text/event-stream", "/export": "application/x-ndjson",
		"/observability/services": "application/json", "/observability/services/{service}/spans": "application/json",
		"/observability/services/{service}/spans/root": "application/json", "/observability/services/{service}/workflows": "application/json",
		"/observability/traces/{trace_id}/spans": "application/json", "/observability/traces/{trace_id}/spans/{span_id}": "application/json",
	} {
		operation, ok := d.Paths["/api/v1"+path]["get"]
		if !ok || operation.Summary == "" {
			t.Errorf("%s is not described", path)
			continue
		}
		if content := operation.Responses["200"].Content[media]; len(content.Example) == 0 || len(content.Schema) == 0 {
			t.Errorf("%s: no example or schema of %s: %+v", path, media, operation.Responses)
		}
		for _, p := range operation.Parameters {
			if p.Description == "" {
				t.Errorf("%s: parameter %s is not described", path, p.Name)
			}
			if p.In == "query" && p.Explode != (p.Name == "attribute") {
				t.Errorf("%s: parameter %s may be repeated: %v", path, p.Name, p.Explode)
			}
		}
	}
}

// The page shows every operation, needs nothing else, and can do no harm.
func TestThePageOfTheDescription(t *testing.T) {
	s, _ := searching(t, exampleSpans())
	a := s.do(t, http.MethodGet, "/docs", "")
	if a.status != http.StatusOK || a.header.Get("Content-Type") != "text/html; charset=utf-8" || s.log.String() != "" {
		t.Fatalf("%d %v\n%s", a.status, a.header, s.log)
	}
	document, err := html.Parse(strings.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	ids, links, style := map[string]bool{}, []string{}, ""
	for node := range document.Descendants() {
		if node.Type != html.ElementNode {
			continue
		}
		switch node.Data {
		case "script", "img", "iframe", "object", "link", "form", "base":
			t.Errorf("the page has <%s>", node.Data)
		case "style":
			style += node.FirstChild.Data
		}
		for _, attribute := range node.Attr {
			switch {
			case attribute.Key == "id":
				ids[attribute.Val] = true
			case attribute.Key == "href":
				links = append(links, attribute.Val)
			case attribute.Key == "style", attribute.Key == "src", strings.HasPrefix(attribute.Key, "on"):
				t.Errorf("<%s> has %s", node.Data, attribute.Key)
			}
		}
	}
	hash := sha256.Sum256([]byte(style))
	if policy := a.header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(hash[:])+"'") {
		t.Errorf("the browser may not take the style: %s", policy)
	}
	for _, want := range []string{"prefers-color-scheme: dark", `name="viewport"`} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the page has no %s", want)
		}
	}
	for _, link := range links {
		if link != "/openapi.json" && !ids[strings.TrimPrefix(link, "#")] {
			t.Errorf("the link %s leads nowhere", link)
		}
	}
	operations := 0
	for path, methods := range describedBy(t, s).Paths {
		for method, operation := range methods {
			operations++
			if !ids[operation.OperationID] {
				t.Errorf("%s %s is not on the page", method, path)
			}
		}
	}
	if operations < 25 || len(links) != operations+1 {
		t.Errorf("%d operations, %d links", operations, len(links))
	}
	for _, path := range curled(a.body, s.url) {
		if answer := s.do(t, http.MethodGet, path, ""); answer.status != http.StatusOK && answer.status != http.StatusNotFound {
			t.Errorf("the page says to ask for %s: %d %s", path, answer.status, answer.body)
		}
	}
}

// curled are the paths that a page says to get, but for those that do not end.
func curled(page, url string) (paths []string) {
	for _, match := range regexp.MustCompile(`curl -s &#39;`+regexp.QuoteMeta(url)+`([^&']*)&#39;</pre>`).FindAllStringSubmatch(page, -1) {
		if !strings.HasPrefix(match[1], "/api/v1/tail") {
			paths = append(paths, match[1])
		}
	}
	return paths
}

// Every role has the page, of what it answers.
func TestThePageWithoutQueries(t *testing.T) {
	a := start(t, newMemory(), api.Options{}).do(t, http.MethodGet, "/docs", "")
	if a.status != http.StatusOK || !strings.Contains(a.body, "/api/v1/sql") || strings.Contains(a.body, "/api/v1/tail") {
		t.Errorf("%d %s", a.status, a.body)
	}
}
