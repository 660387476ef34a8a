package api

import (
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/spanlake/spanlake/internal/api/wire"
)

// handle is around everything that the server answers.
func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	out := &response{ResponseWriter: w, control: http.NewResponseController(w), stall: s.limits.stall, streams: r.ProtoMajor >= 2}
	// First of all, so that a refusal says as well whose it is.
	s.setHeaders(out.Header(), inAPI(r))
	if !s.running.enter() {
		refuse(out, r, newProblem(http.StatusServiceUnavailable, wire.TypeStopping, "%v", errStopping))
		return
	}
	defer s.running.leave()
	start := time.Now()
	defer func() { s.metrics.request(r.Pattern, r.Method, codeFor(out, r), time.Since(start)) }()
	// What is written last is sent when this returns.
	defer out.limitEnd()
	defer s.recovered(out, r)
	s.answer(out, r)
}

// answer refuses what must not be answered and passes the rest on.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	guarded := inAPI(r) || s.inJaeger(r)
	checks := []func(*http.Request, bool) *problem{s.checkHost, s.checkOrigin, s.checkKey}
	pages := s.inPages(r)
	if pages {
		checks = checks[:2] // whoever has no key is asked for one on a page
	}
	for _, check := range checks {
		if p := check(r, guarded); p != nil {
			refuse(w, r, p)
			return
		}
	}
	if pages {
		s.pages.ServeHTTP(w, r)
		return
	}
	if isGRPC(r) {
		s.serveGRPC(w, r)
		return
	}
	if s.inJaeger(r) {
		s.serveJaeger(w, r)
		return
	}
	for _, check := range []func(*http.Request, bool) *problem{s.checkInstance, checkContentType} {
		if p := check(r, inAPI(r)); p != nil {
			writeProblem(w, p)
			return
		}
	}
	if _, pattern := s.mux.Handler(r); pattern == "" {
		s.unrouted(w, r)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// refuse says why a request is not answered, in the form that its client understands.
func refuse(w http.ResponseWriter, r *http.Request, p *problem) {
	if isGRPC(r) {
		writeStatus(w, p)
		return
	}
	writeProblem(w, p)
}

// inAPI tells whether a request is for the API, and not for health or metrics.
func inAPI(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, wire.Prefix+"/") || r.URL.Path == wire.Prefix
}

// inPages tells whether a request is for a page, or for what belongs to one.
func (s *Server) inPages(r *http.Request) bool {
	if s.pages == nil || isGRPC(r) || inAPI(r) || strings.HasPrefix(r.URL.Path, "/api/") || r.URL.Path == "/api" {
		return false
	}
	_, pattern := s.mux.Handler(r)
	return pattern == ""
}

// setHeaders tells browsers to make nothing of an answer but what it says it is: no page, script or frame, and nothing
// that other sites may embed.
func (s *Server) setHeaders(h http.Header, inAPI bool) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	if inAPI && s.instance != "" {
		h.Set(wire.InstanceHeader, s.instance)
	}
}

// checkHost refuses requests for a name that a stranger may have pointed at this server. A page of evil.example can let
// its own name resolve to 127.0.0.1 after it was loaded (DNS rebinding), and is then of the same origin as this server for
// the browser. What gives it away is the Host header, which has the name.
//
// 421 is the status for requests that are for another authority (RFC 9110, section 15.5.20).
func (s *Server) checkHost(r *http.Request, _ bool) *problem {
	// HTTP/1.0 without a Host header is what some load balancers send to see whether a server is up; browsers always
	// have one.
	if r.Host == "" || s.knows(hostname(r.Host)) {
		return nil
	}
	return newProblem(http.StatusMisdirectedRequest, "", "this server does not go by the name %q: use its IP address or localhost, "+
		"or have the server started with it in --hosts (SPANLAKE_HOSTS)", hostname(r.Host))
}

// knows tells whether the server may be reached under a name. An IP address needs no DNS, so it cannot be rebound.
//
// A name without a dot, such as the one that a container has in its network, is accepted only if the server listens on
// more than the loopback interface, since nothing else can reach it otherwise. Strangers cannot register such a name:
// in the public DNS it would be a top-level domain, of which few have an address at all (RFC 7085). So it takes its
// registry, or somebody in the own network, to rebind one.
func (s *Server) knows(name string) bool {
	if name == "localhost" || s.hosts[name] {
		return name != ""
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return s.reachable.Load() && name != "" && !strings.ContainsAny(name, ".:")
}

// hostname is a Host header without its port, in lower case, without the dot that ends a full name and without the
// brackets of an IPv6 address.
func hostname(hostport string) string {
	name := hostport
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		name = host
	} else if inner, ok := strings.CutPrefix(hostport, "["); ok {
		name = strings.TrimSuffix(inner, "]")
	}
	return strings.TrimSuffix(strings.ToLower(name), ".")
}

// checkOrigin refuses what pages of other sites send. For methods that change something this is the check of net/http; in
// the API it is made for GET too, since the page cannot read the answer, but a verify that it starts costs all the same.
func (s *Server) checkOrigin(r *http.Request, guarded bool) *problem {
	asked := *r
	if guarded {
		asked.Method = http.MethodPost
	}
	if err := s.foreign.Check(&asked); err != nil {
		return newProblem(http.StatusForbidden, "", "pages of other sites may not use this server: %v", err)
	}
	return nil
}

// checkInstance refuses a request that was meant for another process, before it has any effect.
func (s *Server) checkInstance(r *http.Request, inAPI bool) *problem {
	if meant := r.Header.Get(wire.InstanceHeader); inAPI && meant != "" && meant != s.instance {
		return newProblem(http.StatusPreconditionFailed, wire.TypeOtherInstance,
			"the request is for instance %q and this is %q: look up again where the index is served", meant, s.instance)
	}
	return nil
}

// checkContentType wants bodies to be declared as JSON. A page can send any other type to another site without asking
// it first, but not this one (https://fetch.spec.whatwg.org/#cors-safelisted-request-header).
func checkContentType(r *http.Request, inAPI bool) *problem {
	if !inAPI || r.Method != http.MethodPost {
		return nil
	}
	given := r.Header.Get("Content-Type")
	if given == "" && r.ContentLength == 0 {
		return nil // there is nothing to declare; http.CrossOriginProtection has looked at where it comes from
	}
	media, parameters, err := mime.ParseMediaType(given)
	if charset := parameters["charset"]; err == nil && media == "application/json" && (charset == "" || strings.EqualFold(charset, "utf-8")) {
		return nil
	}
	return newProblem(http.StatusUnsupportedMediaType, "", "Content-Type %q is not allowed: the body must be application/json", given)
}

// unrouted answers what no route is for. The mux knows whether the path or the method is wrong, but says it as text.
func (s *Server) unrouted(w http.ResponseWriter, r *http.Request) {
	handler, _ := s.mux.Handler(r)
	asked := &probe{header: http.Header{}}
	handler.ServeHTTP(asked, r)
	if asked.status == http.StatusMethodNotAllowed {
		allowed := asked.header.Get("Allow")
		w.Header().Set("Allow", allowed)
		writeProblem(w, newProblem(asked.status, "", "%s is not allowed for %s: allowed are %s", r.Method, r.URL.Path, allowed))
		return
	}
	writeProblem(w, newProblem(http.StatusNotFound, "", "there is no %s: GET /openapi.json lists what there is", r.URL.Path))
}

// probe takes what the mux says of a request.
type probe struct {
	header http.Header
	status int
}

// Header implements http.ResponseWriter, as do the others.
func (p *probe) Header() http.Header { return p.header }

// WriteHeader notes the status.
func (p *probe) WriteHeader(status int) { p.status = status }

func (p *probe) Write(b []byte) (int, error) { return len(b), nil }

// checkQuery refuses query parameters that an operation does not have, that are there twice though they are no list, or that have no value: a
// misspelt limit must not be taken for none. huma can refuse unknown ones, but does not say what is allowed.
func checkQuery(api huma.API) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		var allowed, repeatable []string
		for _, parameter := range ctx.Operation().Parameters {
			if parameter.In != "query" {
				continue
			}
			allowed = append(allowed, parameter.Name)
			if parameter.Explode != nil && *parameter.Explode {
				repeatable = append(repeatable, parameter.Name)
			}
		}
		asked := ctx.URL()
		given, err := url.ParseQuery(asked.RawQuery)
		if err != nil {
			_ = huma.WriteErr(api, ctx, http.StatusBadRequest, fmt.Sprintf("the query of the URL cannot be read: %v", err))
			return
		}
		var wrong []error
		for name, values := range given {
			var message string
			switch {
			case !slices.Contains(allowed, name) && len(allowed) == 0:
				message = "unknown query parameter: none is allowed"
			case !slices.Contains(allowed, name):
				message = "unknown query parameter: allowed are " + strings.Join(allowed, ", ")
			case len(values) != 1 && !slices.Contains(repeatable, name):
				message = "must be given once"
			case slices.Contains(values, ""):
				message = "must have a value"
			default:
				continue
			}
			wrong = append(wrong, &huma.ErrorDetail{Message: message, Location: "query." + name, Value: strings.Join(values, ", ")})
		}
		if len(wrong) > 0 {
			_ = huma.WriteErr(api, ctx, http.StatusUnprocessableEntity, "validation failed", wrong...)
			return
		}
		next(ctx)
	}
}

// recovered ends a request whose handler panicked. What has begun cannot become an error anymore, so its connection is
// closed: the client sees that the answer is not complete.
func (s *Server) recovered(w *response, r *http.Request) {
	reason := recover()
	if reason == nil {
		return
	}
	if err, ok := reason.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(http.ErrAbortHandler)
	}
	if w.failed != nil {
		// huma panics if it cannot write, which is no fault of the server.
		s.log.Debug("an answer could not be sent", "path", r.URL.Path, "error", w.failed)
		panic(http.ErrAbortHandler)
	}
	s.log.Error("a request made the server panic", "method", r.Method, "path", r.URL.Path, "panic", reason, "stack", string(debug.Stack()))
	if w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	refuse(w, r, newProblem(http.StatusInternalServerError, "", "the server made a mistake: its log says more"))
}
