package ui

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"github.com/spanlake/spanlake/internal/apikey"
	"github.com/spanlake/spanlake/internal/span"
)

// view is what a template shows.
type view struct {
	// Page is the name of the template in pages/, without .html, and Title what the browser shows.
	Page, Title string
	// Scripts and Styles are assets that only this page has.
	Scripts, Styles []string
	// Body is what the page itself shows.
	Body any
	// Status is 0 for 200.
	Status int

	// Set when the page is made:

	// Theme is light, dark, or "" for what the system says.
	Theme   string
	Version string
	// Session is the name of the key that the browser was let in with, "" if it needed none.
	Session string
	// Colours are the numbers of services' colours, for modules.
	Colours map[string]int
}

// loadTemplates parses each page together with the layout.
func (u *UI) loadTemplates() (map[string]*template.Template, error) {
	shared, err := template.New("layout.html").Funcs(u.functions()).ParseFS(files, "pages/layout.html", "pages/parts.html")
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(files, "pages/*.html")
	if err != nil {
		return nil, err
	}
	all := make(map[string]*template.Template)
	for _, name := range names {
		own, err := shared.Clone()
		if err != nil {
			return nil, err
		}
		if own, err = own.ParseFS(files, name); err != nil {
			return nil, err
		}
		all[strings.TrimSuffix(path.Base(name), ".html")] = own
	}
	return all, nil
}

// show sends a page. It is made whole before anything is sent, so that an error can still become one.
func (u *UI) show(w http.ResponseWriter, r *http.Request, v view) {
	u.complete(r, &v)
	var text bytes.Buffer
	t := u.templates[v.Page]
	err := fmt.Errorf("there is no page %s", v.Page)
	if t != nil {
		err = t.ExecuteTemplate(&text, "layout.html", v)
	}
	if err != nil {
		u.Log.Error("a page could not be made", "page", v.Page, "error", err)
		http.Error(w, "The page could not be made: the log of the server says why.", http.StatusInternalServerError)
		return
	}
	u.write(w, v.Status, &text)
}

// showPart sends a template without the layout: what a page asks for when it is there already.
func (u *UI) showPart(w http.ResponseWriter, page, part string, data any) {
	var text bytes.Buffer
	if err := u.templates[page].ExecuteTemplate(&text, part, data); err != nil {
		u.Log.Error("a part of a page could not be made", "page", page, "part", part, "error", err)
		http.Error(w, "This could not be shown: the log of the server says why.", http.StatusInternalServerError)
		return
	}
	u.write(w, 0, &text)
}

func (u *UI) write(w http.ResponseWriter, status int, text *bytes.Buffer) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if status != 0 {
		w.WriteHeader(status)
	}
	_, _ = text.WriteTo(w) // the client is gone
}

// complete fills in what every page has.
func (u *UI) complete(r *http.Request, v *view) {
	v.Version = u.Version
	if c, err := r.Cookie("spanlake_theme"); err == nil && (c.Value == "light" || c.Value == "dark") {
		v.Theme = c.Value
	}
	if u.may(r, apikey.Read) {
		v.Colours = u.serviceColours(r.Context())
	}
	if u.Sessions != nil {
		v.Session, _, _ = u.Sessions.Find(r)
	}
}

// page is a handler for who may read, whose questions end after QueryTime. An error becomes a page that says what happened.
func (u *UI) page(handle func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !u.may(r, apikey.Read) {
			u.askForKey(w, r)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), u.QueryTime)
		defer cancel()
		if err := handle(w, r.WithContext(ctx)); err != nil {
			u.showError(w, r, err)
		}
	}
}

// wholePage is page for what holds whole spans: few of them are made at the same time, so that many readers do not take more memory than the
// process has.
func (u *UI) wholePage(handle func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return u.page(func(w http.ResponseWriter, r *http.Request) error {
		leave, err := u.takeWhole(r.Context())
		if err != nil {
			return err
		}
		defer leave()
		return handle(w, r)
	})
}

// takeWhole waits until whole spans may be held. leave must be called unless the context has ended before.
func (u *UI) takeWhole(ctx context.Context) (leave func(), err error) {
	select {
	case u.whole <- struct{}{}:
		return func() { <-u.whole }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// trouble is an error as people read it.
type trouble struct {
	Status int
	Title  string
	Detail string
	// Next is what to do about it.
	Next string
}

// Error implements error, so that handlers can return one.
func (t *trouble) Error() string { return t.Title + ": " + t.Detail }

func (u *UI) notFound(_ http.ResponseWriter, r *http.Request) error {
	return &trouble{http.StatusNotFound, "There is no such page", "Nothing is at " + r.URL.Path + ".", "The menu above leads to all pages."}
}

// troubleOf says what an error means to who looks at the page.
func (u *UI) troubleOf(r *http.Request, err error) *trouble {
	var (
		known   *trouble
		invalid *span.InvalidError
	)
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &invalid):
		return &trouble{http.StatusUnprocessableEntity, "This cannot be asked", invalid.Error(), "Change it in the address or in the form, and ask again."}
	case errors.Is(err, span.ErrNotFound):
		return &trouble{http.StatusNotFound, "Not found", err.Error(), "It may not have been sent yet, or its file was deleted by retention."}
	case errors.Is(err, context.DeadlineExceeded):
		return &trouble{http.StatusServiceUnavailable, "This took too long",
			"The answer was not there after " + u.QueryTime.String() + ".", "Ask for a shorter time, or for one service."}
	case r.Context().Err() != nil:
		return &trouble{http.StatusServiceUnavailable, "The server is stopping", "Nothing is answered any more.", "Try again when it runs."}
	}
	u.Log.Error("a page failed", "path", r.URL.Path, "error", err)
	return &trouble{http.StatusInternalServerError, "Something went wrong", err.Error(), "The log of the server says more."}
}

// wantsPart tells whether a module asks for a part of a page, and not a person for the whole.
func wantsPart(r *http.Request) bool { return r.Header.Get("Spanlake-Part") != "" }

// showError shows what happened, as a page, or as a part of one.
func (u *UI) showError(w http.ResponseWriter, r *http.Request, err error) {
	t := u.troubleOf(r, err)
	if wantsPart(r) {
		w.WriteHeader(t.Status)
		u.showPart(w, "error", "trouble", t)
		return
	}
	u.show(w, r, view{Page: "error", Title: t.Title, Status: t.Status, Body: t})
}
