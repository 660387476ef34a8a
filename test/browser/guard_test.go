package browser

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/spanlake/spanlake/internal/app"
)

// These need no browser: what a server answers to one, and to who pretends to be one.

// visit asks for a page without following where it leads.
func (s *server) visit(method, path, form string, change ...func(*http.Request)) (answer, string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(form))
	if err != nil {
		s.t.Fatal(err)
	}
	if form != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, f := range change {
		f(r)
	}
	got, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = got.Body.Close() }()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{got.StatusCode, got.Status, got.Header, got.Cookies()}, string(text)
}

// answer is what a server answered, beside the body.
type answer struct {
	StatusCode int
	Status     string
	Header     http.Header
	Cookies    []*http.Cookie
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

const readKey = "a key that may read"

func TestPagesRunNothingThatTheyShow(t *testing.T) {
	s := serveAs(t, app.Serve, nil)
	for _, path := range []string{"/", "/services", "/index", "/sql", "/nowhere", "/traces/00000000000000000000000000000001"} {
		answer, text := s.visit(http.MethodGet, path, "")
		policy := answer.Header.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
			if !strings.Contains(policy, part) {
				t.Errorf("%s: the policy %q lacks %s", path, policy, part)
			}
		}
		if strings.Contains(policy, "unsafe") || answer.Header.Get("X-Content-Type-Options") != "nosniff" || answer.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: headers are %v", path, answer.Header)
		}
		for _, never := range []string{" style=", "<style", " onclick=", " onload=", "javascript:"} {
			if strings.Contains(text, never) {
				t.Errorf("%s has %q, which the policy refuses", path, never)
			}
		}
		if !strings.Contains(text, `<main id="main"`) {
			t.Errorf("%s is no page: %.200s", path, text)
		}
	}
}

func TestAssetsStayAsLongAsTheProgram(t *testing.T) {
	s := serveAs(t, app.Serve, nil)
	_, page := s.visit(http.MethodGet, "/", "")
	_, rest, _ := strings.Cut(page, `href="/assets/`)
	hash, _, _ := strings.Cut(rest, "/")
	answer, text := s.visit(http.MethodGet, "/assets/"+hash+"/app.js", "")
	if answer.StatusCode != http.StatusOK || !strings.Contains(answer.Header.Get("Cache-Control"), "immutable") ||
		!strings.HasPrefix(answer.Header.Get("Content-Type"), "text/javascript") || !strings.Contains(text, "import") {
		t.Errorf("%v %v", answer.Status, answer.Header)
	}
	for _, path := range []string{"/assets/another/app.js", "/assets/" + hash + "/", "/assets/" + hash + "/nothing.js", "/assets/" + hash + "/..%2fpages/layout.html"} {
		if answer, _ := s.visit(http.MethodGet, path, ""); answer.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, answer.Status)
		}
	}
	answer, _ = s.visit(http.MethodGet, "/assets/"+hash+"/app.css", "", header("Accept-Encoding", "gzip"))
	if answer.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("who takes gzip gets %v", answer.Header)
	}
}

func TestWhoHasNoKeyIsAskedForOne(t *testing.T) {
	s := serveAs(t, app.Serve, map[string]string{"read-api-keys": readKey})
	for path, login := range map[string]string{
		"/":                   "/login?next=%2F",
		"/services?service=x": "/login?next=%2Fservices%3Fservice%3Dx",
		"/traces/00":          "/login?next=%2Ftraces%2F00",
		"/nowhere":            "/login?next=%2Fnowhere",
	} {
		answer, text := s.visit(http.MethodGet, path, "")
		if answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != login || strings.Contains(text, "<main") {
			t.Errorf("%s: %s to %s", path, answer.Status, answer.Header.Get("Location"))
		}
	}
	for what, change := range map[string]func(*http.Request){
		"a part of a page": header("Spanlake-Part", "1"), "a guessed session": header("Cookie", "spanlake_session=x"),
	} {
		if answer, _ := s.visit(http.MethodGet, "/index", "", change); answer.StatusCode != http.StatusUnauthorized && answer.StatusCode != http.StatusSeeOther {
			t.Errorf("%s: %s", what, answer.Status)
		}
	}
	if answer, _ := s.visit(http.MethodGet, "/", "", header("Authorization", "Bearer "+readKey)); answer.StatusCode != http.StatusOK {
		t.Errorf("a program with a key: %s", answer.Status)
	}
}

// login gives a key and returns the cookie that came back, and where the answer leads.
func (s *server) login(key, next string, change ...func(*http.Request)) (session, to string, status int) {
	s.t.Helper()
	got, _ := s.visit(http.MethodPost, "/login", url.Values{"key": {key}, "next": {next}}.Encode(), change...)
	for _, c := range got.Cookies {
		if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode {
			s.t.Errorf("the cookie is %v", c)
		}
		session = c.Name + "=" + c.Value
	}
	return session, got.Header.Get("Location"), got.StatusCode
}

func TestASessionMayWhatItsKeyMay(t *testing.T) {
	s := serveAs(t, app.Serve, map[string]string{"read-api-keys": readKey})
	session, to, _ := s.login(readKey, "/index")
	if session == "" || to != "/index" {
		t.Fatalf("the login leads to %q with %q", to, session)
	}
	cookie := header("Cookie", session)
	if answer, _ := s.visit(http.MethodGet, "/index", "", cookie); answer.StatusCode != http.StatusOK {
		t.Errorf("a page: %s", answer.Status)
	}
	if answer, _ := s.visit(http.MethodGet, "/api/v1/services", "", cookie); answer.StatusCode != http.StatusOK {
		t.Errorf("the API: %s", answer.Status)
	}
	// The key may read: it takes another one to operate.
	answer, text := s.visit(http.MethodPost, "/api/v1/flush", "", cookie, header("Content-Type", "application/json"))
	if answer.StatusCode != http.StatusForbidden || !strings.Contains(text, "--may operate") {
		t.Errorf("a flush: %s %s", answer.Status, text)
	}
	// What pages of other sites ask with it is refused, but for following a link.
	for what, c := range map[string]struct {
		method, path, site string
		want               int
	}{
		"a link of another site":           {http.MethodGet, "/", "cross-site", http.StatusOK},
		"the API for another site":         {http.MethodGet, "/api/v1/services", "cross-site", http.StatusForbidden},
		"the API for another port":         {http.MethodGet, "/api/v1/services", "same-site", http.StatusForbidden},
		"a write of another site":          {http.MethodPost, "/api/v1/failed/retry", "cross-site", http.StatusForbidden},
		"a login of another site":          {http.MethodPost, "/login", "cross-site", http.StatusForbidden},
		"a logout of another port's pages": {http.MethodPost, "/logout", "same-site", http.StatusForbidden},
	} {
		answer, _ := s.visit(c.method, c.path, "", cookie, header("Sec-Fetch-Site", c.site), header("Content-Type", "application/json"))
		if answer.StatusCode != c.want {
			t.Errorf("%s: %s, want %d", what, answer.Status, c.want)
		}
	}
	if answer, _ := s.visit(http.MethodPost, "/logout", "", cookie, header("Sec-Fetch-Site", "same-origin")); answer.Header.Get("Location") != "/login" {
		t.Errorf("the logout: %s to %s", answer.Status, answer.Header.Get("Location"))
	}
	if answer, _ := s.visit(http.MethodGet, "/api/v1/services", "", cookie); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("after the logout: %s", answer.Status)
	}
}

func TestFormsThatNobodyCanRead(t *testing.T) {
	s := serveAs(t, app.Serve, map[string]string{"read-api-keys": readKey})
	for what, form := range map[string]string{"not encoded as forms are": "key=%zz", "endless": "key=" + strings.Repeat("x", 1<<20)} {
		answer, text := s.visit(http.MethodPost, "/login", form)
		if answer.StatusCode != http.StatusBadRequest || !strings.Contains(text, "The form could not be read") || len(answer.Cookies) > 0 {
			t.Errorf("%s: %s %.300s", what, answer.Status, text)
		}
	}
	for what, form := range map[string]string{"no key": "key=", "a key for nothing": "key=guess"} {
		answer, text := s.visit(http.MethodPost, "/login", form)
		if answer.StatusCode < http.StatusBadRequest || !strings.Contains(text, `role="alert"`) || len(answer.Cookies) > 0 {
			t.Errorf("%s: %s %.300s", what, answer.Status, text)
		}
	}
}

// A link to the login must not lead anywhere else after it.
func TestTheLoginLeadsToPagesOfThisServer(t *testing.T) {
	s := serveAs(t, app.Serve, map[string]string{"read-api-keys": readKey})
	for next, want := range map[string]string{
		"/traces/abc?span=1": "/traces/abc?span=1", "": "/", "https://evil.example/": "/", "//evil.example/x": "/", "/\\evil.example": "/",
		"/%5cevil.example": "/%5cevil.example", "javascript:alert(1)": "/", "\t//evil.example": "/", "/login?next=/login": "/", "http:/x": "/", "///evil.example": "/",
	} {
		if _, to, status := s.login(readKey, next); to != want || status != http.StatusSeeOther {
			t.Errorf("%q leads to %q (%d), want %q", next, to, status, want)
		}
	}
}

// Keys are for who may read: where nobody needs one, there is no login, and nobody is let in to more.
func TestWithoutKeysThereIsNoLogin(t *testing.T) {
	s := serveAs(t, app.Serve, nil)
	if answer, _ := s.visit(http.MethodGet, "/login?next=/sql", ""); answer.Header.Get("Location") != "/sql" {
		t.Errorf("the login: %s to %q", answer.Status, answer.Header.Get("Location"))
	}
	if answer, _ := s.visit(http.MethodGet, "/", ""); len(answer.Cookies) > 0 {
		t.Errorf("a page sets %v", answer.Cookies)
	}
}

func TestNamesUnderWhichPagesAreReached(t *testing.T) {
	s := serveAs(t, app.Serve, map[string]string{"hosts": "traces.example.com, other.example.com"})
	for host, want := range map[string]int{
		"traces.example.com": http.StatusOK, "Traces.Example.com:8443": http.StatusOK, "other.example.com": http.StatusOK, "localhost:1323": http.StatusOK,
		"evil.example": http.StatusMisdirectedRequest,
	} {
		answer, text := s.visit(http.MethodGet, "/", "", func(r *http.Request) { r.Host = host })
		if answer.StatusCode != want || want != http.StatusOK && !strings.Contains(text, "--hosts") {
			t.Errorf("%s: %s %.300s", host, answer.Status, text)
		}
	}
}
