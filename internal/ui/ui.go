// Package ui shows traces, services, the index and SQL as pages: HTML made by the server, with small modules of JavaScript that ask the
// API for the rest. All of it is in the program; pages ask no other host for anything.
//
// The way of a page: a handler in NAME.go asks Queries or the Catalog and makes what pages/NAME.html shows; assets/NAME.js does what
// takes a browser. Errors are pages too (page.go), and who may see any of it is looked at in access.go.
package ui

import (
	"cmp"
	"context"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/klauspost/compress/gzhttp"

	"github.com/spanlake/spanlake/internal/session"
	"github.com/spanlake/spanlake/internal/span"
)

// Queries answers what is asked of spans, as that of package query does.
type Queries interface {
	Traces(ctx context.Context, f span.TraceFilter, cursor string, limit int) (span.TracePage, error)
	Trace(ctx context.Context, traceID string) ([]span.Span, span.Completeness, error)
	Span(ctx context.Context, traceID, spanID string) ([]span.Span, span.Completeness, error)
	SpanByID(ctx context.Context, spanID string) ([]span.Span, span.Completeness, error)
	Services(ctx context.Context) ([]span.Service, span.Completeness, error)
	Statistics(ctx context.Context, query span.CountQuery) ([]span.Statistics, span.Completeness, error)
	Dependencies(ctx context.Context, from, until time.Time) ([]span.Dependency, span.Completeness, error)
}

// Catalog tells what is in the index.
type Catalog interface {
	Files(ctx context.Context, limit int) ([]span.IndexedFile, error)
	Failed(ctx context.Context) ([]span.FailedFile, error)
	Select(ctx context.Context, query string, form span.Form, header func([]string) error, row func([]*string) error) error
	Size(ctx context.Context) (span.IndexSize, error)
}

// Indexer follows the lake.
type Indexer interface {
	Status(ctx context.Context) (span.IndexerStatus, error)
}

// Ingest takes spans in.
type Ingest interface {
	IngestStatus(ctx context.Context) (span.IngestStatus, error)
}

// Options are what pages are made from.
type Options struct {
	Queries Queries
	Catalog Catalog
	Indexer Indexer
	// Ingest is nil if spans come in by another process.
	Ingest Ingest
	// Sessions let in whoever has a key; nil: everybody may see everything.
	Sessions *session.Sessions
	// OTLPGRPC and OTLPHTTP are HOST:PORT where programs send spans; "": by default, on the host that the page comes from.
	OTLPGRPC, OTLPHTTP string
	// SendKeyNeeded tells whether programs need an API key to send spans; nil: they do not.
	SendKeyNeeded func() bool
	// Memory is the budget of the process in bytes, 0 if it is not known.
	Memory int64
	// Machine says what the process uses; nil: it is not known.
	Machine func() Machine
	// QueryTime is how long the questions of a page may take; 0: 20 seconds.
	QueryTime time.Duration
	Version   string
	// Log gets what goes wrong; nil: nothing is logged.
	Log *slog.Logger
}

// maxWhole is how many pages that hold whole spans are made at the same time; others wait.
const maxWhole = 2

// UI answers requests for pages. Make it with New.
type UI struct {
	Options
	handler   http.Handler
	assets    *assets
	templates map[string]*template.Template
	colours   colours
	// whole is taken by pages that hold whole spans, of which one answer may have 16 MiB.
	whole chan struct{}
}

// New makes the pages. An error is a mistake in their templates.
func New(o Options) (*UI, error) {
	o.QueryTime = cmp.Or(max(o.QueryTime, 0), 20*time.Second)
	o.Version = cmp.Or(o.Version, "unknown")
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	u := &UI{Options: o, whole: make(chan struct{}, maxWhole)}
	var err error
	if u.assets, err = loadAssets(); err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	if u.templates, err = u.loadTemplates(); err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	u.handler = gzhttp.GzipHandler(u.routes())
	return u, nil
}

func (u *UI) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /assets/{hash}/{name...}", u.assets.serve)
	mux.HandleFunc("GET /login", u.showLogin)
	mux.HandleFunc("POST /login", u.login)
	mux.HandleFunc("POST /logout", u.logout)
	mux.HandleFunc("GET /{$}", u.page(u.showTraces))
	mux.HandleFunc("GET /traces/{trace_id}", u.wholePage(u.showTrace))
	mux.HandleFunc("GET /traces/{trace_id}/search", u.wholePage(u.searchTrace))
	mux.HandleFunc("GET /traces/{trace_id}/count", u.wholePage(u.countTrace))
	mux.HandleFunc("GET /traces/{trace_id}/spans/{span_id}", u.wholePage(u.showSpan))
	mux.HandleFunc("GET /services", u.page(u.showServices))
	mux.HandleFunc("GET /services/operations", u.page(u.showOperations))
	mux.HandleFunc("GET /services/sparks", u.page(u.showSparks))
	mux.HandleFunc("GET /services/map", u.page(u.showMap))
	mux.HandleFunc("GET /index", u.page(u.showIndex))
	mux.HandleFunc("GET /index/status", u.page(u.showIndex))
	mux.HandleFunc("GET /sql", u.page(u.showSQL))
	mux.HandleFunc("/", u.page(u.notFound))
	return mux
}

// ServeHTTP answers requests for pages and what belongs to them.
func (u *UI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	// Nothing runs and nothing is loaded but what this server serves as a file: what a span says cannot become a script, a style or
	// a request, whatever it is.
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "+
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	if !strings.HasPrefix(r.URL.Path, "/assets/") {
		h.Set("Cache-Control", "no-store")
	}
	u.handler.ServeHTTP(w, r)
}
