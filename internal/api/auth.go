package api

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/apikey"
)

// realm names what a key is for (RFC 9110, section 11.5).
const realm = `Bearer realm="spanlake"`

// needs tells what a request must be allowed to do, 0 if it may be asked by anybody. Whatever is not known to read is taken to
// change something.
func needs(r *http.Request) apikey.Rights {
	if isGRPC(r) {
		return apikey.Read // nothing else is offered over it
	}
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions
	switch path := r.URL.Path; {
	case reads && isOpen(path):
		return 0
	case reads, r.Method == http.MethodPost && path == wire.Prefix+"/sql":
		return apikey.Read
	}
	return apikey.Operate
}

// isOpen tells whether a path shows nothing of the spans: whoever watches over the process has no key, and a browser shows the
// description without one.
func isOpen(path string) bool {
	switch path {
	case "/healthz", "/readyz", "/openapi.json", "/docs":
		return true
	}
	return false
}

// describeKeys says in the description of the API that a key may be needed.
func describeKeys(described *huma.OpenAPI) {
	described.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"key": {Type: "http", Scheme: "bearer",
		Description: "Needed as soon as the server has a key that may read. It takes one that may read for GET and for /api/v1/sql, and one that may " +
			"operate for all else; without one the answer is 401, with one that may not do this 403."}}
	described.Security = []map[string][]string{{}, {"key": {}}}
}

// checkKey refuses what takes a key that the request does not have. As with sending spans, none is needed until there is a key
// that may read: who has only keys for sending goes on as before.
func (s *Server) checkKey(r *http.Request, _ bool) *problem {
	needed := needs(r)
	if needed == 0 || s.keys == nil || !s.keys.Required(apikey.Read) {
		return nil
	}
	err := s.checkCaller(r, needed)
	if err == nil {
		return nil
	}
	if notAllowed, ok := errors.AsType[*apikey.NotAllowedError](err); ok {
		p := newProblem(http.StatusForbidden, wire.TypeNotAllowed, "%v", notAllowed)
		p.challenge = fmt.Sprintf(`%s, error="insufficient_scope", scope=%q`, realm, needed.Words()[0])
		return p
	}
	p := newProblem(http.StatusUnauthorized, wire.TypeUnauthenticated, "%v", err)
	p.challenge = realm
	if errors.Is(err, apikey.ErrUnknown) {
		p.challenge += `, error="invalid_token"` // RFC 6750, section 3.1
	}
	return p
}

// checkCaller looks at the keys of a request and, where there are pages, at its session. That what a browser sends comes from one of them was
// looked at before (checkOrigin).
func (s *Server) checkCaller(r *http.Request, needed apikey.Rights) error {
	if s.sessions != nil {
		return s.sessions.Check(r, needed)
	}
	return apikey.Check(s.keys, r.Header, needed)
}
