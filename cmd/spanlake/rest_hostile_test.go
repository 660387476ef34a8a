package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// describedGet are the parameters of an operation that gets something.
type describedGet struct {
	Parameters []struct {
		Name string `json:"name"`
		In   string `json:"in"`
	} `json:"parameters"`
}

// TestRESTHostileParameters gives every parameter of every route what would do harm if it became a part of a statement or of a path. It is
// refused, or taken for a name that nothing has: no span is shown, nothing is changed, and nothing is logged as a failure of the server.
func TestRESTHostileParameters(t *testing.T) {
	i := newIngesting(t)
	s := i.start(i.args("serve")...)
	request, err := os.ReadFile(filepath.Join("testdata", "rest", "request.json"))
	if err != nil {
		t.Fatal(err)
	}
	s.sendBody(string(request))
	i.mustFlush()
	s.must("index") // waits until it is indexed
	before := s.ask(t, "/traces")
	var described struct {
		Paths map[string]struct{ Get *describedGet }
	}
	if err := json.Unmarshal(s.fetch(t, "/openapi.json", "").body, &described); err != nil {
		t.Fatal(err)
	}
	hostile := []string{
		"' OR '1'='1", "' OR 1=1 --", "'; DROP TABLE span_metadata; --", `" OR ""="`, "\\' OR 1=1 --", "') UNION SELECT * FROM span_metadata --", "$1", "?", "%", "_%", "*",
		"../../../../etc/passwd", "..", "/etc/passwd", "file:///etc/passwd", `..\..\x`, "*.parquet", "{{7*7}}", "${jndi:ldap://x}", "<script>alert(1)</script>", "a\r\nX-Bad: 1",
		"=' OR 1=1 --", "a=' OR '1'='1", "a.b='}]", `"]=1`, "\u0000", "\xff\xfe", strings.Repeat("a", 20_000), strings.Repeat("(", 5_000), "-1", "9223372036854775808", "1e309", "NaN",
	}
	asked := 0
	for path, methods := range described.Paths {
		if methods.Get == nil || !strings.HasPrefix(path, "/api/v1/") || path == "/api/v1/tail" {
			continue
		}
		for _, p := range methods.Get.Parameters {
			for _, value := range hostile {
				if p.In != "query" && p.In != "path" {
					continue
				}
				asked++
				s.askHostile(t, path, p.In, p.Name, value)
			}
		}
	}
	if asked < 50*len(hostile) {
		t.Errorf("%d questions were asked", asked)
	}
	if after := s.ask(t, "/traces"); after != before {
		t.Errorf("something was changed: %s", after)
	}
	if log := s.stderr.String(); strings.Contains(log, "level=ERROR") {
		t.Errorf("the server has failed:\n%s", log)
	}
}

// askHostile asks with one parameter that nothing has.
func (s *server) askHostile(t *testing.T, path, in, name, value string) {
	t.Helper()
	target, query := path, ""
	for _, parameter := range []string{"service", "trace_id", "span_id"} {
		known := url.PathEscape("shop/web")
		if in == "path" && name == parameter {
			known = strings.ReplaceAll(url.PathEscape(value), ".", "%2E")
		}
		target = strings.ReplaceAll(target, "{"+parameter+"}", known)
	}
	if in == "query" {
		query = "?" + url.Values{name: {value}}.Encode()
		if name == "name_match" {
			query += "&name=x"
		}
	}
	a := s.fetch(t, target+query, "")
	switch a.code {
	case http.StatusOK:
	case http.StatusBadRequest, http.StatusNotFound, http.StatusUnprocessableEntity:
		if a.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s%s: %s %s", target, query, a.status, a.body)
		}
	default:
		t.Errorf("%s%s: %s %s", target, query, a.status, a.body)
	}
	// What is asked for has a name that nothing has: that it comes back as a part of an error is all.
	if a.code == http.StatusOK && strings.Contains(string(a.body), "0af7651916cd43dd8448eb211c80319c") || a.header.Get("X-Bad") != "" {
		t.Errorf("%s with %s=%.100q shows spans: %.300s", path, name, value, a.body)
	}
}
