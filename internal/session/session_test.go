package session

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spanlake/spanlake/internal/apikey"
)

func sessions(t *testing.T) (*Sessions, *apikey.Keys) {
	t.Helper()
	keys, err := apikey.New("", apikey.Given{Read: []string{"a key that may read"}, Send: []string{"a key that may send"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return New(keys), keys
}

func login(t *testing.T, s *Sessions, key string) (*http.Cookie, error) {
	t.Helper()
	w := httptest.NewRecorder()
	err := s.Begin(w, httptest.NewRequest(http.MethodPost, "http://127.0.0.1:1323/login", http.NoBody), key)
	cookies := w.Result().Cookies()
	if (err == nil) != (len(cookies) == 1) {
		t.Fatalf("%v, and the cookies are %v", err, cookies)
	}
	if err != nil {
		return nil, err
	}
	return cookies[0], nil
}

func find(s *Sessions, c *http.Cookie) (may apikey.Rights, ok bool) {
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:1323/", http.NoBody)
	r.AddCookie(c)
	_, may, ok = s.Find(r)
	return may, ok
}

func TestACookieStandsForAKey(t *testing.T) {
	s, _ := sessions(t)
	c, err := login(t, s, " a key that may read ")
	if err != nil {
		t.Fatal(err)
	}
	if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Secure || strings.Contains(c.Value, "key") {
		t.Errorf("the cookie is %v", c)
	}
	if may, ok := find(s, c); !ok || may != apikey.Read {
		t.Errorf("the session may %v, %v", may, ok)
	}
	for _, other := range []*http.Cookie{{Name: c.Name, Value: c.Value + "x"}, {Name: c.Name, Value: ""}, {Name: "other", Value: c.Value}} {
		if _, ok := find(s, other); ok {
			t.Errorf("the cookie %v has a session", other)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:1323/logout", http.NoBody)
	r.AddCookie(c)
	s.End(httptest.NewRecorder(), r)
	if _, ok := find(s, c); ok {
		t.Error("it goes on after its end")
	}
}

func TestKeysThatLetNobodyIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := sessions(t)
		for key, want := range map[string]error{"": apikey.ErrMissing, "another": apikey.ErrUnknown} {
			if _, err := login(t, s, key); !errors.Is(err, want) {
				t.Errorf("%q: %v, want %v", key, err, want)
			}
		}
		if _, err := login(t, s, "a key that may send"); err == nil || !strings.Contains(err.Error(), "--may read") {
			t.Errorf("a key for sending: %v", err)
		}
	})
}

func TestWrongKeysAreSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := sessions(t)
		begun := time.Now()
		results := make(chan error, 3*maxFailing)
		for range cap(results) {
			go func() {
				_, err := login(t, s, "a guess")
				results <- err
			}()
		}
		busy := 0
		for range cap(results) {
			if errors.Is(<-results, ErrBusy) {
				busy++
			}
		}
		if took := time.Since(begun); took != failTime || busy != 2*maxFailing {
			t.Errorf("%d guesses took %v, and %d were not tried", cap(results), took, busy)
		}
	})
}

func TestSessionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := sessions(t)
		unused, err := login(t, s, "a key that may read")
		if err != nil {
			t.Fatal(err)
		}
		used, err := login(t, s, "a key that may read")
		if err != nil {
			t.Fatal(err)
		}
		const step = idleTime - time.Hour
		for since := step; since < wholeTime; since += step {
			time.Sleep(step)
			if _, ok := find(s, used); !ok {
				t.Fatalf("a session that is used has ended after %v", since)
			}
		}
		time.Sleep(step)
		for name, c := range map[string]*http.Cookie{"unused": unused, "used for a month": used} {
			if _, ok := find(s, c); ok {
				t.Errorf("the session goes on: %s", name)
			}
		}
	})
}

func TestThereAreOnlySoManySessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := sessions(t)
		first, err := login(t, s, "a key that may read")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		for range maxSessions {
			if _, err := login(t, s, "a key that may read"); err != nil {
				t.Fatal(err)
			}
		}
		if _, ok := find(s, first); ok || len(s.open) != maxSessions {
			t.Errorf("there are %d sessions, and the oldest is there: %v", len(s.open), ok)
		}
	})
}

func TestARevokedKeyEndsItsSessions(t *testing.T) {
	keys := &revocable{}
	s := New(keys)
	c, err := login(t, s, "any")
	if err != nil {
		t.Fatal(err)
	}
	keys.revoked = true
	if _, ok := find(s, c); ok {
		t.Error("the session goes on")
	}
}

// revocable accepts any key until it is revoked.
type revocable struct{ revoked bool }

// Required implements apikey.Verifier, as does Verify.
func (*revocable) Required(apikey.Rights) bool { return true }

// Verify implements apikey.Verifier.
func (r *revocable) Verify(string) (string, apikey.Rights, bool) { return "k", apikey.Read, !r.revoked }

func TestServersOnOneHostHaveCookiesOfTheirOwn(t *testing.T) {
	names := make(map[string]string)
	for _, host := range []string{"127.0.0.1:1323", "127.0.0.1:1324", "[::1]:99", "example.com", "h:x;y"} {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.Host = host
		names[host] = cookieName(r)
	}
	want := map[string]string{"127.0.0.1:1323": "spanlake_session_1323", "127.0.0.1:1324": "spanlake_session_1324", "[::1]:99": "spanlake_session_99",
		"example.com": "spanlake_session", "h:x;y": "spanlake_session"}
	for host, name := range want {
		if names[host] != name {
			t.Errorf("%s: %s, want %s", host, names[host], name)
		}
	}
}

func TestWhatARequestMayDo(t *testing.T) {
	s, _ := sessions(t)
	c, err := login(t, s, "a key that may read")
	if err != nil {
		t.Fatal(err)
	}
	var notAllowed *apikey.NotAllowedError
	for what, tc := range map[string]struct {
		header string
		cookie bool
		needed apikey.Rights
		want   func(error) bool
	}{
		"nothing":                      {"", false, apikey.Read, func(err error) bool { return errors.Is(err, apikey.ErrMissing) }},
		"a session":                    {"", true, apikey.Read, func(err error) bool { return err == nil }},
		"a session that may less":      {"", true, apikey.Operate, func(err error) bool { return errors.As(err, &notAllowed) }},
		"a key":                        {"a key that may read", false, apikey.Read, func(err error) bool { return err == nil }},
		"a key that may send":          {"a key that may send", false, apikey.Read, func(err error) bool { return errors.As(err, &notAllowed) }},
		"a wrong key beside a session": {"a guess", true, apikey.Read, func(err error) bool { return errors.Is(err, apikey.ErrUnknown) }},
	} {
		r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:1323/", http.NoBody)
		if tc.header != "" {
			r.Header.Set("Authorization", "Bearer "+tc.header)
		}
		if tc.cookie {
			r.AddCookie(c)
		}
		if err := s.Check(r, tc.needed); !tc.want(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := New(nil).Check(httptest.NewRequest(http.MethodGet, "/", http.NoBody), apikey.Operate); err != nil {
		t.Errorf("without keys: %v", err)
	}
}
