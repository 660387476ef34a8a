// Package session lets browsers in with an API key: it is given once, and a cookie that only this process knows stands for it from then on.
//
// The cookie is not the key, since browsers send cookies of a host to all its ports. Sessions end with the process.
package session

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spanlake/spanlake/internal/apikey"
)

const (
	// idleTime is after which a session ends that nobody uses, and wholeTime after which any does.
	idleTime  = 7 * 24 * time.Hour
	wholeTime = 30 * 24 * time.Hour
	// maxSessions bounds memory: the one that was unused for longest goes.
	maxSessions = 1024
	// failTime is how long a wrong key keeps whoever gave it waiting, and maxFailing how many wait at the same time.
	failTime   = 500 * time.Millisecond
	maxFailing = 16
)

// ErrBusy says that so many wrong keys are being tried that no other may be.
var ErrBusy = errors.New("too many keys that are not accepted were tried at the same time: try again in a moment")

// Sessions are those of one server. Make them with New; all methods may be called at the same time.
type Sessions struct {
	keys    apikey.Verifier
	now     func() time.Time
	failing chan struct{}

	mu sync.Mutex
	// open is by the hash of the cookie, so that looking it up tells nothing of it by the time that it takes.
	open map[[sha256.Size]byte]*session
}

type session struct {
	key         string
	begun, used time.Time
}

// New makes Sessions for whoever has one of keys; nil: nobody needs one.
func New(keys apikey.Verifier) *Sessions {
	return &Sessions{keys: keys, now: time.Now, failing: make(chan struct{}, maxFailing), open: make(map[[sha256.Size]byte]*session)}
}

// Check tells whether a request may do something: nobody needs a key, or it has one in a header, as programs do, or the session of one. Errors
// are those of apikey.Check.
func (s *Sessions) Check(r *http.Request, needed apikey.Rights) error {
	if s.keys == nil || !s.keys.Required(apikey.Read) {
		return nil
	}
	err := apikey.Check(s.keys, r.Header, needed)
	if !errors.Is(err, apikey.ErrMissing) {
		return err
	}
	name, may, ok := s.Find(r)
	switch {
	case !ok:
		return err
	case !may.Allow(needed):
		return &apikey.NotAllowedError{Name: name, May: may, Needed: needed}
	}
	return nil
}

// Begin makes a session with a key that may read and sets its cookie. Errors are apikey.ErrMissing, apikey.ErrUnknown, an
// *apikey.NotAllowedError, or ErrBusy; none has the key in it. A key that is not accepted takes half a second to be refused.
func (s *Sessions) Begin(w http.ResponseWriter, r *http.Request, key string) error {
	select {
	case s.failing <- struct{}{}:
		defer func() { <-s.failing }()
	default:
		return ErrBusy
	}
	if key = strings.TrimSpace(key); key == "" {
		return apikey.ErrMissing
	}
	if err := s.accept(key); err != nil {
		select {
		case <-time.After(failTime):
		case <-r.Context().Done():
		}
		return err
	}
	token := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.makeRoom()
	now := s.now()
	s.open[sha256.Sum256([]byte(token))] = &session{key: key, begun: now, used: now}
	http.SetCookie(w, cookie(r, token, int(wholeTime.Seconds())))
	return nil
}

func (s *Sessions) accept(key string) error {
	if s.keys == nil {
		return apikey.ErrUnknown
	}
	name, may, ok := s.keys.Verify(key)
	switch {
	case !ok:
		return apikey.ErrUnknown
	case !may.Allow(apikey.Read):
		return &apikey.NotAllowedError{Name: name, May: may, Needed: apikey.Read}
	}
	return nil
}

// makeRoom lets sessions go that are over, and one more if there are too many. mu must be held.
func (s *Sessions) makeRoom() {
	var oldest [sha256.Size]byte
	var unused *session
	for token, one := range s.open {
		if s.over(one) {
			delete(s.open, token)
			continue
		}
		if unused == nil || one.used.Before(unused.used) {
			oldest, unused = token, one
		}
	}
	if len(s.open) >= maxSessions {
		delete(s.open, oldest)
	}
}

func (s *Sessions) over(one *session) bool {
	now := s.now()
	return now.Sub(one.used) > idleTime || now.Sub(one.begun) > wholeTime
}

// Find is the session that the cookie of a request stands for: the name of its key, and what that may do. The key is looked at each time,
// so that revoking it ends the session. ok is false if there is none.
func (s *Sessions) Find(r *http.Request) (name string, may apikey.Rights, ok bool) {
	token, ok := tokenOf(r)
	if !ok || s.keys == nil {
		return "", 0, false
	}
	hash := sha256.Sum256([]byte(token))
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.open[hash]
	if one == nil {
		return "", 0, false
	}
	if !s.over(one) {
		if name, may, ok = s.keys.Verify(one.key); ok {
			one.used = s.now()
			return name, may, true
		}
	}
	delete(s.open, hash)
	return "", 0, false
}

// End ends the session of a request, if there is one, and takes its cookie away.
func (s *Sessions) End(w http.ResponseWriter, r *http.Request) {
	if token, ok := tokenOf(r); ok {
		s.mu.Lock()
		delete(s.open, sha256.Sum256([]byte(token)))
		s.mu.Unlock()
	}
	http.SetCookie(w, cookie(r, "", -1))
}

// cookieName is per port, since browsers keep one for all servers on a host.
func cookieName(r *http.Request) string {
	const name = "spanlake_session"
	_, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		return name
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return name // whoever asked chose it, and it would end up in a header
	}
	return name + "_" + port
}

// cookie goes along when somebody follows a link to a trace from another site, and with nothing else that another site asks for
// (SameSite=Lax): what changes something is checked for where it comes from as well.
func cookie(r *http.Request, token string, maxAge int) *http.Cookie {
	return &http.Cookie{ // #nosec G124
		Name: cookieName(r), Value: token, Path: "/", MaxAge: maxAge, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		// Where there is no TLS, as on the loopback interface, a cookie for TLS alone would never come back.
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https",
	}
}

func tokenOf(r *http.Request) (string, bool) {
	c, err := r.Cookie(cookieName(r))
	if err != nil || c.Value == "" {
		return "", false
	}
	return c.Value, true
}
