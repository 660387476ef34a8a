package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/api"
	"github.com/spanlake/spanlake/internal/api/client"
	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/apikey"
	"github.com/spanlake/spanlake/internal/span"
)

// flushing is an api.Ingest that counts.
type flushing struct{ flushes atomic.Int64 }

// Flush implements api.Ingest.
func (f *flushing) Flush(context.Context) (span.Flushed, error) {
	f.flushes.Add(1)
	return span.Flushed{}, nil
}

// IngestStatus implements api.Ingest.
func (f *flushing) IngestStatus(context.Context) (span.IngestStatus, error) {
	return span.IngestStatus{}, nil
}

// keyring has a key for each kind of rights.
type keyring struct {
	*apikey.Keys
	send, read, operate, both, revoked string
}

func newKeyring(t *testing.T) keyring {
	t.Helper()
	keys, err := apikey.New(filepath.Join(t.TempDir(), "keys.json"), apikey.Given{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	create := func(name string, may apikey.Rights) string {
		key, err := keys.Create(name, may)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	k := keyring{Keys: keys, send: create("sender", apikey.Send), read: create("reader", apikey.Read), operate: create("operator", apikey.Operate),
		both: create("both", apikey.Send|apikey.Read), revoked: create("gone", apikey.Operate)}
	if err := keys.Revoke("gone"); err != nil {
		t.Fatal(err)
	}
	return k
}

func bearer(key string) func(*http.Request) { return header("Authorization", "Bearer "+key) }

// answers says 200 to everything.
func answers(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }

// TestWhoMayDoWhat asks for each route with each kind of key.
func TestWhoMayDoWhat(t *testing.T) {
	k := newKeyring(t)
	const secret = "a-secret-of-the-process"
	taking := &flushing{}
	s := start(t, newMemory(), api.Options{Ingest: taking, Queries: &store{spans: exampleSpans()}, Jaeger: http.HandlerFunc(answers), Instance: "one",
		Keys: apikey.WithSecret(k, "this machine", secret, apikey.Operate)})
	type asker struct {
		name, key string
		// status is what routes answer, by what they need: that may be asked by anybody, read, and operated.
		open, read, operate int
	}
	askers := []asker{
		{"nobody", "", 200, 401, 401},
		{"a wrong key", k.read[:len(k.read)-1] + "0", 200, 401, 401},
		{"a revoked key", k.revoked, 200, 401, 401},
		{"a sender", k.send, 200, 403, 403},
		{"a reader", k.read, 200, 200, 403},
		{"who sends and reads", k.both, 200, 200, 403},
		{"an operator", k.operate, 200, 200, 200},
		{"who has the secret", secret, 200, 200, 200},
	}
	for _, route := range []struct {
		method, path, body string
		needs              string
		found              int // what is answered instead of 200 to who may
	}{
		{"GET", "/healthz", "", "open", 0},
		{"HEAD", "/readyz", "", "open", 0},
		{"GET", "/openapi.json", "", "open", 0},
		{"GET", "/metrics", "", "read", 0},
		{"GET", "/api/v1/services", "", "read", 0},
		{"HEAD", "/api/v1/services", "", "read", 0},
		{"GET", "/api/v1/files?limit=1", "", "read", 0},
		{"GET", "/api/v1/failed", "", "read", 0},
		{"GET", "/api/v1/expired", "", "read", 0},
		{"GET", "/api/v1/size", "", "read", 0},
		{"GET", "/api/v1/indexer", "", "read", 0},
		{"GET", "/api/v1/ingest", "", "read", 0},
		{"GET", "/api/v1/verify", "", "read", 0},
		{"POST", "/api/v1/sql", `{"query":"n 1"}`, "read", 0},
		{"POST", "/api/v1/flush", "", "operate", 0},
		{"POST", "/api/v1/indexer/index", "{}", "operate", 0},
		{"POST", "/api/v1/failed/retry", `{"all":true}`, "operate", 0},
		{"GET", "/api/services", "", "read", 0},
		{"GET", "/api/traces?service=x", "", "read", 0},
		{"POST", "/api/traces", "", "operate", 0},
		// That there is nothing is told to those only who may ask.
		{"GET", "/api/v1/nothing", "", "read", 404},
		{"GET", "/", "", "read", 404},
		{"GET", "/healthz/", "", "read", 404},
		{"POST", "/healthz", "", "operate", 405},
		{"DELETE", "/api/v1/services", "", "operate", 405},
		{"POST", "/api/v1/sql/", "{}", "operate", 404},
		{"PURGE", "/docs", "", "operate", 405},
		{"GET", "/docs", "", "open", 0},
		{"GET", "/api/v1/traces", "", "read", 0},
		{"GET", "/api/v1/traces/" + id(16, 1), "", "read", 0},
		{"GET", "/api/v1/export", "", "read", 0},
		{"HEAD", "/api/v1/tail", "", "read", 0},
		{"GET", "/api/v1/stats/red", "", "read", 0},
		{"GET", "/api/v1/observability/services/a/spans/root", "", "read", 0},
	} {
		for _, a := range askers {
			want := map[string]int{"open": a.open, "read": a.read, "operate": a.operate}[route.needs]
			if want == http.StatusOK && route.found != 0 {
				want = route.found
			}
			got := s.do(t, route.method, route.path, route.body, bearer(a.key))
			if got.status != want {
				t.Errorf("%s %s by %s: %d %s, want %d", route.method, route.path, a.name, got.status, got.body, want)
			}
			if want == http.StatusUnauthorized || want == http.StatusForbidden {
				expectKeyProblem(t, got, route.method == "HEAD", a.key)
			}
		}
	}
	if n := taking.flushes.Load(); n != 2 {
		t.Errorf("%d flushes were done, want those of the two who may", n)
	}
	if log := s.log.String(); strings.Contains(log, "sl_") || strings.Contains(log, secret) {
		t.Errorf("a key is logged: %s", log)
	}
	if keyInHeader := s.do(t, "GET", "/api/v1/services", "", header("X-Junjo-Api-Key", k.read)); keyInHeader.status != 200 {
		t.Errorf("a key in the other header: %d", keyInHeader.status)
	}
}

// TestEveryOperationTakesAKey, whichever are described.
func TestEveryOperationTakesAKey(t *testing.T) {
	k := newKeyring(t)
	s := start(t, newMemory(), api.Options{Ingest: &flushing{}, Queries: &store{spans: exampleSpans()}, Keys: k})
	var described struct {
		Paths      map[string]map[string]json.RawMessage
		Components struct {
			SecuritySchemes map[string]struct{ Type, Scheme string }
		}
		Security []map[string][]string
	}
	if err := json.Unmarshal([]byte(s.do(t, "GET", "/openapi.json", "").body), &described); err != nil {
		t.Fatal(err)
	}
	if scheme := described.Components.SecuritySchemes["key"]; scheme.Type != "http" || scheme.Scheme != "bearer" || len(described.Security) != 2 {
		t.Errorf("keys are described as %+v, %v", scheme, described.Security)
	}
	tried := 0
	for path, operations := range described.Paths {
		for method := range operations {
			method, path = strings.ToUpper(method), strings.NewReplacer("{", "", "}", "").Replace(path)
			for key, want := range map[string]int{"": 401, k.revoked: 401, k.send: 403} {
				if got := s.do(t, method, path, "", bearer(key)); got.status != want {
					t.Errorf("%s %s: %d %s, want %d", method, path, got.status, got.body, want)
				}
			}
			tried++
			if method == "GET" || path == "/api/v1/sql" { // some of which go on until the client leaves
				continue
			}
			if got := s.do(t, method, path, "", bearer(k.read)); got.status != 403 {
				t.Errorf("%s %s with a key that may only read: %d %s", method, path, got.status, got.body)
			}
		}
	}
	if tried < 20 {
		t.Errorf("%d operations were tried", tried)
	}
}

// expectKeyProblem wants a refusal to say what to do, and to say nothing of the key.
func expectKeyProblem(t *testing.T, a answer, head bool, key string) {
	t.Helper()
	challenge := a.header.Get("WWW-Authenticate")
	if !strings.HasPrefix(challenge, `Bearer realm="spanlake"`) {
		t.Errorf("WWW-Authenticate is %q", challenge)
	}
	if key != "" && strings.Contains(a.body+challenge, key) {
		t.Errorf("the answer has the key: %q %s", challenge, a.body)
	}
	if head {
		return
	}
	var p wire.Problem
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || p.Status != a.status || a.header.Get("Content-Type") != wire.ProblemType {
		t.Fatalf("no problem: %v, %s", err, a.body)
	}
	want, kind, hint := "authorization: Bearer KEY", wire.TypeUnauthenticated, ""
	switch {
	case a.status == http.StatusForbidden:
		want, kind, hint = "spanlake keys create NAME --may", wire.TypeNotAllowed, `error="insufficient_scope", scope="`
	case key != "":
		want, hint = "is not accepted", `error="invalid_token"`
	}
	if !strings.Contains(p.Detail, want) || p.Type != kind || !strings.Contains(challenge, hint) {
		t.Errorf("%s %q %q, want %s, %q and %q", p.Type, p.Detail, challenge, kind, want, hint)
	}
}

// TestKeysForSendingLeaveReadingAsItWas: who has keys of an older version needs no new ones.
func TestKeysForSendingLeaveReadingAsItWas(t *testing.T) {
	keys, err := apikey.New("", apikey.Given{Send: []string{"a-key-that-may-send"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, newMemory(), api.Options{Keys: keys})
	for _, key := range []string{"", "a-key-that-may-send", "another"} {
		for path, body := range map[string]string{"/api/v1/sql": `{"query":"n 1"}`, "/api/v1/indexer/index": "{}"} {
			if a := s.do(t, "POST", path, body, bearer(key)); a.status != 200 {
				t.Errorf("%s with the key %q: %d %s", path, key, a.status, a.body)
			}
		}
	}
}

// TestAKeyEndsWhileTheServerRuns: the file is changed by another process, which the server sees within a second.
func TestAKeyEndsWhileTheServerRuns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	open := func() *apikey.Keys {
		keys, err := apikey.New(path, apikey.Given{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	s, commands := start(t, newMemory(), api.Options{Keys: open()}), open()
	services := func(key string) int { return s.do(t, "GET", "/api/v1/services", "", bearer(key)).status }
	if got := services(""); got != 200 {
		t.Fatalf("before there is a key: %d", got)
	}
	key, err := commands.Create("viewer", apikey.Read)
	if err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { return services("") == 401 })
	if got := services(key); got != 200 {
		t.Errorf("with the key: %d", got)
	}
	if err := commands.Revoke("viewer"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	until(t, func() bool { return services(key) == 401 })
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it took %s until the key was refused", took)
	}
	if got := services(""); got != 401 {
		t.Errorf("after the last key is revoked: %d", got)
	}
}

// TestClientsHaveKeys, and are told what to do if they have none.
func TestClientsHaveKeys(t *testing.T) {
	k := newKeyring(t)
	s := start(t, newMemory(), api.Options{Keys: k})
	for name, tc := range map[string]struct {
		key         string
		read, index error
	}{
		"no key":          {"", client.ErrUnauthenticated, client.ErrUnauthenticated},
		"a wrong key":     {"0123456789abcdef", client.ErrUnauthenticated, client.ErrUnauthenticated},
		"one for sending": {k.send, client.ErrNotAllowed, client.ErrNotAllowed},
		"one for reading": {k.read, nil, client.ErrNotAllowed},
		"one for all":     {k.operate, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.client(t, "")
			c.Authorize(tc.key)
			_, readErr := c.Services(t.Context())
			_, _, selectErr := collect(t.Context(), c, "n 1", span.FormText)
			_, indexErr := c.IndexNow(t.Context(), false)
			for what, one := range map[string]struct{ got, want error }{
				"services": {readErr, tc.read}, "sql": {selectErr, tc.read}, "index": {indexErr, tc.index},
			} {
				if !errors.Is(one.got, one.want) {
					t.Errorf("%s: %v, want %v", what, one.got, one.want)
				}
				if one.got != nil && (!strings.Contains(one.got.Error(), "SPANLAKE_API_KEY") || tc.key != "" && strings.Contains(one.got.Error(), tc.key)) {
					t.Errorf("%s: %v, want the setting and no key", what, one.got)
				}
			}
		})
	}
}
