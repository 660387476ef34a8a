package ui

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/spanlake/spanlake/internal/apikey"
	"github.com/spanlake/spanlake/internal/session"
)

// maxLoginBytes bounds what a form may send.
const maxLoginBytes = 16 << 10

// loginBody is what the login page shows.
type loginBody struct {
	// Next is the page to go on with.
	Next string
	// Problem is why the last try was refused.
	Problem string
}

// may tells whether a request may do something: no key is needed, or it has one in a header, as programs do, or a session.
func (u *UI) may(r *http.Request, do apikey.Rights) bool {
	return u.Sessions == nil || u.Sessions.Check(r, do) == nil
}

// askForKey leads to the login, and back after it. What a module asks for gets the status alone: it has the page reload.
func (u *UI) askForKey(w http.ResponseWriter, r *http.Request) {
	if wantsPart(r) || r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "the session has ended: log in again", http.StatusUnauthorized)
		return
	}
	http.Redirect(w, r, "/login?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
}

// nextPage is a page of this server, whatever a link to the login says.
func nextPage(asked string) string {
	u, err := url.Parse(asked)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(u.Path, "/") || strings.HasPrefix(u.Path, "//") ||
		strings.ContainsAny(asked, "\\\t\r\n") || u.Path == "/login" {
		return "/"
	}
	return u.RequestURI()
}

func (u *UI) showLogin(w http.ResponseWriter, r *http.Request) {
	next := nextPage(r.URL.Query().Get("next"))
	if u.may(r, apikey.Read) {
		http.Redirect(w, r, next, http.StatusSeeOther) // #nosec G710 -- nextPage
		return
	}
	u.show(w, r, view{Page: "login", Title: "Log in", Body: loginBody{Next: next}})
}

// login begins a session. Forms of other sites do not come this far: the server refuses what changes something and comes from elsewhere.
func (u *UI) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxLoginBytes)
	if err := r.ParseForm(); err != nil {
		u.showError(w, r, &trouble{http.StatusBadRequest, "The form could not be read", err.Error(), "Go back and try again."})
		return
	}
	next := nextPage(r.PostForm.Get("next"))
	if u.Sessions == nil {
		http.Redirect(w, r, next, http.StatusSeeOther) // #nosec G710 -- nextPage
		return
	}
	err := u.Sessions.Begin(w, r, r.PostForm.Get("key"))
	if err == nil {
		http.Redirect(w, r, next, http.StatusSeeOther) // #nosec G710 -- nextPage
		return
	}
	status, problem := http.StatusUnauthorized, "This key is not accepted: it was revoked, or it is not one of this server."
	var notAllowed *apikey.NotAllowedError
	switch {
	case errors.Is(err, apikey.ErrMissing):
		status, problem = http.StatusUnprocessableEntity, "Type a key, or paste it."
	case errors.As(err, &notAllowed):
		status, problem = http.StatusForbidden, notAllowed.Error()
	case errors.Is(err, session.ErrBusy):
		status, problem = http.StatusServiceUnavailable, err.Error()
	}
	u.show(w, r, view{Page: "login", Title: "Log in", Status: status, Body: loginBody{Next: next, Problem: problem}})
}

func (u *UI) logout(w http.ResponseWriter, r *http.Request) {
	if u.Sessions != nil {
		u.Sessions.End(w, r)
	}
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}
