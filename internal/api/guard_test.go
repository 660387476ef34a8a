package api_test

import (
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/api"
	"github.com/spanlake/spanlake/internal/api/wire"
)

func TestWhatIsRefused(t *testing.T) {
	s := start(t, newMemory(), api.Options{Instance: "one", Hosts: []string{"Traces.Example.com."}})
	const cross = "cross-site"
	for name, tc := range map[string]struct {
		method, path, body string
		change             func(*http.Request)
		status             int
		detail             string // a part of the problem
	}{
		"a name of a stranger":        {"GET", "/api/v1/services", "", host("evil.example:80"), 421, "evil.example"},
		"the same for all routes":     {"GET", "/metrics", "", host("evil.example"), 421, "evil.example"},
		"localhost":                   {"GET", "/api/v1/services", "", host("LOCALHOST:1"), 200, ""},
		"an address":                  {"GET", "/api/v1/services", "", host("[::1]:80"), 200, ""},
		"a name of the settings":      {"GET", "/api/v1/services", "", host("traces.example.COM:80"), 200, ""},
		"a container name":            {"GET", "/api/v1/services", "", host("spanlake:80"), 421, "spanlake"},
		"a page that changes":         {"POST", "/api/v1/indexer/index", "{}", header("Sec-Fetch-Site", cross), 403, "other sites"},
		"a page that starts work":     {"GET", "/api/v1/verify", "", header("Sec-Fetch-Site", cross), 403, "other sites"},
		"a page of another port":      {"GET", "/api/v1/verify", "", header("Sec-Fetch-Site", "same-site"), 403, "other sites"},
		"a page of an old browser":    {"POST", "/api/v1/indexer/index", "{}", header("Origin", "http://evil.example"), 403, "other sites"},
		"a link to what is no API":    {"GET", "/healthz", "", header("Sec-Fetch-Site", cross), 200, ""},
		"the own page":                {"POST", "/api/v1/indexer/index", "{}", header("Sec-Fetch-Site", "same-origin"), 200, ""},
		"a form":                      {"POST", "/api/v1/indexer/index", "{}", header("Content-Type", "text/plain"), 415, "application/json"},
		"no type":                     {"POST", "/api/v1/indexer/index", "{}", header("Content-Type", ""), 415, "application/json"},
		"a type that only ends so":    {"POST", "/api/v1/indexer/index", "{}", header("Content-Type", "text/x+json"), 415, "application/json"},
		"a type with a charset":       {"POST", "/api/v1/indexer/index", "{}", header("Content-Type", "application/json; charset=UTF-8"), 200, ""},
		"another instance":            {"POST", "/api/v1/indexer/index", "{}", header(wire.InstanceHeader, "two"), 412, `"two"`},
		"no body":                     {"POST", "/api/v1/indexer/index", "", nil, 400, "body is required"},
		"a body that is no JSON":      {"POST", "/api/v1/indexer/index", "{", nil, 400, "unexpected end"},
		"a body with more after it":   {"POST", "/api/v1/indexer/index", "{} {}", nil, 400, "after top-level value"},
		"an unknown field":            {"POST", "/api/v1/indexer/index", `{"acceptmissing":true}`, nil, 422, "body.acceptmissing"},
		"a field of another type":     {"POST", "/api/v1/indexer/index", `{"accept_missing":1}`, nil, 422, "expected boolean"},
		"too long a body":             {"POST", "/api/v1/sql", `{"query":"` + strings.Repeat("x", 1<<20) + `"}`, nil, 413, "limit=1048576"},
		"an unknown form":             {"POST", "/api/v1/sql", `{"query":"n 1","form":"xml"}`, nil, 422, "text, json"},
		"no query":                    {"POST", "/api/v1/sql", `{}`, nil, 422, "query"},
		"a query that is wrong":       {"POST", "/api/v1/sql", `{"query":"wrong"}`, nil, 400, "syntax error"},
		"retry of nothing":            {"POST", "/api/v1/failed/retry", `{}`, nil, 422, "file_path"},
		"retry of too much":           {"POST", "/api/v1/failed/retry", `{"all":true,"file_path":"x"}`, nil, 422, "file_path"},
		"retry of what has not":       {"POST", "/api/v1/failed/retry", `{"file_path":"x"}`, nil, 404, "not among the failed"},
		"an unknown parameter":        {"GET", "/api/v1/files?limt=3", "", nil, 422, "allowed are limit"},
		"none is known":               {"GET", "/api/v1/services?x=1", "", nil, 422, "none is allowed"},
		"on a stream":                 {"GET", "/api/v1/verify?x=1", "", nil, 422, "none is allowed"},
		"a parameter twice":           {"GET", "/api/v1/files?limit=1&limit=2", "", nil, 422, "once"},
		"a parameter without a value": {"GET", "/api/v1/files?limit=", "", nil, 422, "must have a value"},
		"a query that is no query":    {"GET", "/api/v1/files?limit=1;x", "", nil, 400, "cannot be read"},
		"too small":                   {"GET", "/api/v1/files?limit=0", "", nil, 422, ">= 1"},
		"too large":                   {"GET", "/api/v1/files?limit=10001", "", nil, 422, "<= 10000"},
		"no number":                   {"GET", "/api/v1/files?limit=ten", "", nil, 422, "invalid integer"},
		"no path":                     {"GET", "/api/v1/nothing", "", nil, 404, "/api/v1/nothing"},
		"no path at all":              {"GET", "/", "", nil, 404, "/openapi.json"},
		"another method":              {"GET", "/api/v1/sql", "", nil, 405, "allowed are POST"},
		"another method for a list":   {"DELETE", "/api/v1/services", "", nil, 405, "allowed are GET, HEAD"},
		"a question of a browser":     {"OPTIONS", "/api/v1/services", "", nil, 405, "allowed are GET, HEAD"},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.change == nil {
				tc.change = func(*http.Request) {}
			}
			a := s.do(t, tc.method, tc.path, tc.body, tc.change)
			if a.status != tc.status {
				t.Fatalf("%d %s, want %d", a.status, a.body, tc.status)
			}
			if inAPI := strings.HasPrefix(tc.path, "/api/v1/"); inAPI != (a.header.Get(wire.InstanceHeader) == "one") {
				t.Errorf("instance %q", a.header.Get(wire.InstanceHeader))
			}
			if a.header.Get("X-Content-Type-Options") != "nosniff" {
				t.Error("no nosniff")
			}
			if tc.status == http.StatusOK {
				return
			}
			var p wire.Problem
			if err := json.Unmarshal([]byte(a.body), &p); err != nil || p.Status != tc.status || a.header.Get("Content-Type") != wire.ProblemType {
				t.Fatalf("no problem: %v, %s %s", err, a.header.Get("Content-Type"), a.body)
			}
			if !strings.Contains(p.Text(), tc.detail) {
				t.Errorf("%q does not say %q", p.Text(), tc.detail)
			}
		})
	}
}

// TestAContainerNameIsAnsweredIfContainersCanAsk: on more than the loopback interface, a name without a dot is fine.
func TestAContainerNameIsAnsweredIfContainersCanAsk(t *testing.T) {
	s := startOn(t, "0.0.0.0:0", newMemory(), api.Options{})
	for name, want := range map[string]int{"spanlake:8080": 200, "spanlake.": 200, "spanlake.evil.example": 421, "evil.example.": 421} {
		if a := s.do(t, "GET", "/metrics", "", host(name)); a.status != want {
			t.Errorf("%s: %d, want %d", name, a.status, want)
		}
	}
}

// TestARequestWithoutHostIsAnswered: HTTP/1.0 needs none, and browsers always send one.
func TestARequestWithoutHostIsAnswered(t *testing.T) {
	s := start(t, newMemory(), api.Options{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte("GET /healthz HTTP/1.0\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 15)
	if _, err := conn.Read(line); err != nil || string(line) != "HTTP/1.0 200 OK" {
		t.Errorf("%q, %v", line, err)
	}
}

func TestAPanicIsAnsweredWithoutItsReason(t *testing.T) {
	m := newMemory()
	m.services = nil
	s := start(t, m, api.Options{})
	var none *memory
	broken := start(t, newMemory(), api.Options{}, func(s *api.Server) { s.SetCatalog(none) })
	a := broken.do(t, "GET", "/api/v1/services", "")
	if a.status != 500 || strings.Contains(a.body, "nil pointer") || a.header.Get("Content-Type") != wire.ProblemType {
		t.Errorf("%d %s", a.status, a.body)
	}
	if !strings.Contains(broken.log.String(), "nil pointer") {
		t.Errorf("the log does not say why: %s", broken.log)
	}
	// The goroutine that asks for the metrics must not end the process.
	if a := broken.do(t, "GET", "/metrics", ""); a.status != 200 || strings.Contains(a.body, "spanlake_index_size_bytes") {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := s.do(t, "GET", "/api/v1/services", ""); a.body != "[]\n" {
		t.Errorf("an empty list is %q", a.body)
	}
}

func TestTimesThatJSONCannotHaveDoNotBreakAList(t *testing.T) {
	m := newMemory()
	m.services[0].LastSeen = time.Date(290000, 1, 1, 0, 0, 0, 0, time.UTC)
	m.services[0].FirstSeen = time.Date(-290000, 1, 1, 0, 0, 0, 0, time.UTC)
	m.services[1].LastSeen = time.Date(2026, 1, 1, 1, 0, 0, 0, time.FixedZone("", 3600))
	a := start(t, m, api.Options{}).do(t, "GET", "/api/v1/services", "")
	for _, want := range []string{`"last_seen":"9999-12-31T23:59:59.999999Z"`, `"first_seen":"0000-01-01T00:00:00Z"`, `"last_seen":"2026-01-01T00:00:00Z"`} {
		if !strings.Contains(a.body, want) {
			t.Errorf("%s is not in %s", want, a.body)
		}
	}
}

func TestTheDescriptionIsOneOfOpenAPI(t *testing.T) {
	a := start(t, newMemory(), api.Options{Version: "v1.2.3"}).do(t, "GET", "/openapi.json", "")
	var described struct {
		OpenAPI string `json:"openapi"`
		Info    struct{ Version string }
		Paths   map[string]map[string]any
	}
	if err := json.Unmarshal([]byte(a.body), &described); err != nil || described.OpenAPI != "3.1.0" || described.Info.Version != "v1.2.3" {
		t.Fatalf("%v: %s", err, a.body)
	}
	for path, method := range map[string]string{
		"/indexer": "get", "/indexer/index": "post", "/services": "get", "/files": "get", "/failed": "get", "/failed/retry": "post",
		"/expired": "get", "/size": "get", "/sql": "post", "/verify": "get",
	} {
		if described.Paths["/api/v1"+path][method] == nil {
			t.Errorf("%s %s is not described", method, path)
		}
	}
	if strings.Contains(a.body, `["array","null"]`) {
		t.Error("lists are described as if they could be null")
	}
}
