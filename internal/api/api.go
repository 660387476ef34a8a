// Package api serves what the index knows, and what its indexer does, over HTTP.
//
// It imports the domain only: the index and the follower of the lake are given to it as a Catalog and an Indexer. Who may
// ask for what is in auth.go. The server is meant for the loopback interface or a private network, and what it can do about
// web pages in the browsers of people on such a network is in guard.go.
package api

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/apikey"
	"github.com/spanlake/spanlake/internal/session"
	"github.com/spanlake/spanlake/internal/span"
)

// Catalog answers from the index. All methods may be called at the same time, and end soon after their context does:
// the server waits for them before it ends.
type Catalog interface {
	Services(ctx context.Context) ([]span.Service, error)
	// Files are those indexed last, at most limit.
	Files(ctx context.Context, limit int) ([]span.IndexedFile, error)
	Failed(ctx context.Context) ([]span.FailedFile, error)
	// Retry lets a failed file be tried again. Its error wraps span.ErrNotFailed if the file has not failed.
	Retry(ctx context.Context, path string) error
	RetryAll(ctx context.Context) (int64, error)
	// Select runs a query that a user wrote: it calls header once, then row for each row, until one of them fails. Values
	// are nil for NULL; slices are valid during the call only. The error is a *span.QueryError if the query is at fault.
	Select(ctx context.Context, query string, form span.Form, header func([]string) error, row func([]*string) error) error
	// Verify calls found for each difference between the index and the lake, one after the other, and counts them.
	Verify(ctx context.Context, found func(span.Difference)) (int, error)
	// Expired are the files that a policy lets go.
	Expired(ctx context.Context, policy span.RetentionPolicy) ([]span.RetiredFile, error)
	Size(ctx context.Context) (span.IndexSize, error)
}

// Indexer follows the lake. The same holds for it as for a Catalog.
type Indexer interface {
	Status(ctx context.Context) (span.IndexerStatus, error)
	// IndexNow runs a whole pass over the lake and waits for it.
	IndexNow(ctx context.Context, acceptMissing bool) (span.Summary, error)
}

// Ingest takes spans in. The same holds for it as for a Catalog.
type Ingest interface {
	// Flush moves all spans that are in no file yet into the lake, and waits for it.
	Flush(ctx context.Context) (span.Flushed, error)
	IngestStatus(ctx context.Context) (span.IngestStatus, error)
}

// Options are what a server works with. Catalog and Indexer are given together, or Ingest, or all three: the server
// answers what it has.
type Options struct {
	Catalog Catalog
	Indexer Indexer
	Ingest  Ingest
	// GRPC answers calls of gRPC, which come in over HTTP/2 without TLS on the same port as all else; a *grpc.Server is one. Its
	// handlers may run a moment longer than Serve: with grpc.WaitForHandlers, its Stop waits for them. nil: there is no gRPC.
	GRPC http.Handler
	// Jaeger answers what Jaeger's own HTTP API has below /api/, errors included; nil: there is none.
	Jaeger http.Handler
	// Keys say who may ask for what; nil: everybody may ask for everything.
	Keys apikey.Verifier
	// Pages answers what is neither the API nor Jaeger's, and what nobody watching over the process asks for; it looks by itself at who
	// asks. nil: there are no pages.
	Pages http.Handler
	// Sessions are of browsers, whose cookie stands for a key; nil: there are none.
	Sessions *session.Sessions
	// Metrics are those that the follower counts in; nil: nobody else counts.
	Metrics *Metrics
	// Log gets what goes wrong in the server; nil: nothing is logged.
	Log *slog.Logger
	// Version is of the program.
	Version string
	// Instance names this process in every answer, so that clients know whose index they ask.
	Instance string
	// Hosts are names under which the server is reached, with or without a port, beside IP addresses and localhost: the
	// address that it was told to listen on, and names of a reverse proxy.
	Hosts []string
	// QueryTime is how long a query may run, its rows be sent included; 0: 5 minutes.
	QueryTime time.Duration
	// SQLQueries is how many queries in SQL may run at once; 0: 4.
	SQLQueries int
	// Queries answers what is asked of spans, wherever they are; nil: nothing is asked. It is given with a Catalog.
	Queries Queries
}

// Server answers requests. Make it with New.
type Server struct {
	catalog Catalog
	indexer Indexer
	ingest  Ingest
	grpc    http.Handler
	jaeger  http.Handler
	pages   http.Handler
	keys    apikey.Verifier
	// sessions may be nil, as may all above but the API's own.
	sessions *session.Sessions
	metrics  *Metrics
	log      *slog.Logger
	version  string

	instance string
	hosts    map[string]bool
	// reachable: the server listens on more than the loopback interface.
	reachable atomic.Bool

	queryTime time.Duration
	queries   chan struct{}
	verifying atomic.Bool
	// spans is nil if nothing is asked of spans. tails, exports and whole, which are answers in OTLP, are taken by those that run.
	spans                 Queries
	tails, exports, whole chan struct{}
	// ending is closed as soon as the server is told to stop.
	ending chan struct{}
	// The turns let one caller at a time read what /metrics and /readyz show.
	statusTurn, sizeTurn, ingestTurn chan struct{}

	limits  limits
	running *running
	mux     *http.ServeMux
	foreign *http.CrossOriginProtection
	// described is the API, openAPI the same as JSON.
	described *huma.OpenAPI
	openAPI   []byte
}

// limits are how long the server waits for others.
type limits struct {
	// queryWait is for another query to end, stall for a consumer to take what is written, scrape for the sources of
	// /metrics and /readyz, grace for requests to end when the server does.
	queryWait, stall, scrape, grace time.Duration
	// heartbeat is how often a tail says that it is still there.
	heartbeat time.Duration
}

// New makes a server. It listens when Serve is called.
func New(o Options) *Server {
	s := &Server{
		catalog: o.Catalog, indexer: o.Indexer, ingest: o.Ingest, version: cmp.Or(o.Version, "unknown"), instance: o.Instance,
		grpc: o.GRPC, jaeger: o.Jaeger, keys: o.Keys, pages: o.Pages, sessions: o.Sessions,
		metrics:    o.Metrics,
		log:        o.Log,
		hosts:      make(map[string]bool),
		queryTime:  cmp.Or(max(o.QueryTime, 0), wire.SQLTime),
		queries:    make(chan struct{}, cmp.Or(max(o.SQLQueries, 0), wire.SQLAtOnce)),
		spans:      o.Queries,
		tails:      make(chan struct{}, maxTails),
		exports:    make(chan struct{}, maxExports),
		whole:      make(chan struct{}, maxWhole),
		ending:     make(chan struct{}),
		statusTurn: make(chan struct{}, 1),
		sizeTurn:   make(chan struct{}, 1),
		ingestTurn: make(chan struct{}, 1),
		limits: limits{queryWait: 10 * time.Second, stall: 30 * time.Second, scrape: 2 * time.Second, grace: 2 * time.Second,
			heartbeat: 15 * time.Second},
		running: newRunning(),
		mux:     http.NewServeMux(),
		foreign: http.NewCrossOriginProtection(),
	}
	if s.metrics == nil {
		s.metrics = NewMetrics()
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	for _, host := range o.Hosts {
		s.hosts[hostname(host)] = true
	}
	s.routes()
	return s
}

func (s *Server) routes() {
	s.mux.HandleFunc("GET /healthz", s.healthz)
	s.mux.HandleFunc("GET /readyz", s.readyz)
	s.mux.HandleFunc("GET /metrics", s.scrape)
	s.mux.HandleFunc("GET /openapi.json", s.describe)
	s.mux.HandleFunc("GET /docs", s.docs)
	s.operations(s.newHuma())
}

// Handler answers requests as the server does, for servers of others. Until Serve is called it takes the server to listen
// on the loopback interface only.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.handle) }

func (s *Server) describe(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/openapi+json")
	_, _ = w.Write(s.openAPI) // the client is gone
}
