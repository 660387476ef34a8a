package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/span"
)

// newHuma makes what the operations are registered with. Of huma's own pages there are none: those that show the
// documentation load scripts from other hosts, and the one of openapi.json is made when it is first asked for, without a
// lock (huma v2.37.2, NewAPI).
func (s *Server) newHuma() huma.API {
	config := huma.DefaultConfig("Spanlake", s.version)
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	config.CreateHooks = nil // it adds links to schemas, which are not served
	config.Info.Description = "Traces in a lake of Parquet files, found through an index. Errors are problem details (RFC 9457)."
	// "json" is for types that end in +json, such as that of problems.
	config.Formats = map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat}
	api := humago.New(s.mux, config)
	api.UseMiddleware(checkQuery(api))
	return api
}

// body is an answer, and request a question, of huma.
type (
	body[T any]    struct{ Body T }
	request[T any] struct{ Body T }
	list[T any]    struct {
		Body []T `nullable:"false"`
	}
)

func operation(id, method, path, summary string) huma.Operation {
	return huma.Operation{OperationID: id, Method: method, Path: wire.Prefix + path, Summary: summary, MaxBodyBytes: bodyBytes}
}

// operations registers what the API can do.
func (s *Server) operations(api huma.API) {
	if s.ingest != nil {
		huma.Register(api, operation("ingest-status", http.MethodGet, "/ingest", "What takes spans in is doing"), s.getIngest)
		huma.Register(api, operation("flush", http.MethodPost, "/flush", "Move all spans that are in no file yet into the lake and wait for it"), s.flush)
	}
	if s.indexer != nil {
		s.indexOperations(api)
	}
	if s.spans != nil {
		s.searchOperations(api)
		s.statisticsOperations(api)
		s.observabilityOperations(api)
	}
	s.finish(api.OpenAPI())
}

// indexOperations registers what needs an index.
func (s *Server) indexOperations(api huma.API) {
	huma.Register(api, operation("indexer-status", http.MethodGet, "/indexer", "What the indexer is doing"), s.getStatus)
	huma.Register(api, operation("index-now", http.MethodPost, "/indexer/index", "Go once through the whole lake and wait for it"), s.indexNow)
	if s.spans == nil {
		huma.Register(api, operation("list-services", http.MethodGet, "/services", "The services that sent spans"),
			listing(s, func(ctx context.Context, _ *struct{}) ([]span.Service, error) { return s.catalog.Services(ctx) }, serviceInUTC))
	}
	huma.Register(api, operation("list-files", http.MethodGet, "/files", "The indexed files, the ones indexed last first"),
		listing(s, func(ctx context.Context, in *filesInput) ([]span.IndexedFile, error) {
			return s.catalog.Files(ctx, in.Limit)
		}, fileInUTC))
	huma.Register(api, operation("list-failed", http.MethodGet, "/failed", "The files that could not be indexed, and why"),
		listing(s, func(ctx context.Context, _ *struct{}) ([]span.FailedFile, error) { return s.catalog.Failed(ctx) }, failedInUTC))
	huma.Register(api, operation("retry-failed", http.MethodPost, "/failed/retry", "Let failed files be tried again"), s.retry)
	huma.Register(api, operation("list-expired", http.MethodGet, "/expired", "The files that a retention policy would let go"),
		listing(s, func(ctx context.Context, in *expiredInput) ([]span.RetiredFile, error) {
			return s.catalog.Expired(ctx, span.RetentionPolicy{Days: in.Days, Bytes: in.Bytes})
		}, retiredInUTC))
	huma.Register(api, operation("index-size", http.MethodGet, "/size", "What the index takes"), s.getSize)
	huma.Register(api, streaming(operation("sql", http.MethodPost, "/sql", "Run a query that reads"),
		"First `columns`, then for each row `row` (an array of strings and nulls) or, in the form json, `object`; at last `end` with the number of `rows`, or `error`."), s.postSQL)
	huma.Register(api, streaming(operation("verify", http.MethodGet, "/verify", "Compare the index with the lake"),
		"For each difference `difference`; at last `end` with the number of `differences`, or `error`."), s.getVerify)
}

// streaming describes the answer of an operation that streams.
func streaming(o huma.Operation, description string) huma.Operation {
	line := &huma.Schema{Type: huma.TypeObject, Description: description}
	o.Responses = map[string]*huma.Response{"200": {
		Description: "One JSON object on each line. A stream without a last line `end` or `error` was cut.",
		Content:     map[string]*huma.MediaType{wire.StreamType: {Schema: line}},
	}}
	return o
}

// finish makes the description of the API.
func (s *Server) finish(described *huma.OpenAPI) {
	for _, schema := range described.Components.Schemas.Map() {
		for _, property := range schema.Properties {
			if property.Type == huma.TypeArray {
				property.Nullable = false // huma cannot know, but lists are never null here
			}
		}
	}
	describeCompleteness(described.Components.Schemas.Map())
	for _, item := range described.Paths {
		if item.Get == nil {
			continue
		}
		for _, parameter := range item.Get.Parameters {
			parameter.Schema.Nullable = false // one that is there has a value
		}
	}
	describeKeys(described)
	text, err := json.Marshal(described)
	if err != nil {
		panic(err) // it is made of constants, so the tests would see it
	}
	s.described, s.openAPI = described, text
}

// describeCompleteness says what the fields of a span.Completeness mean, since the domain knows nothing of descriptions.
func describeCompleteness(schemas map[string]*huma.Schema) {
	for schema, fields := range map[string]map[string]string{
		"Completeness": {
			"hot":           "Where spans are that are in no file yet.",
			"files_pending": "Files of the lake that are not indexed yet and whose spans are not in the answer.",
			"files_failed":  "Files that cannot be indexed and may have spans in the time that was asked for: `/failed` lists them.",
			"truncated":     "The search stopped at a limit: there may be more than the answer has.",
			"reason":        "Which limit.",
		},
		"HotSource": {
			"state":   "off, in_process, remote or unreachable: in the last case the answer has no spans that are in no file yet.",
			"address": "That of the other process.",
			"error":   "Why it is not reached.",
		},
	} {
		for field, description := range fields {
			if known := schemas[schema]; known != nil && known.Properties[field] != nil {
				known.Properties[field].Description = description
			}
		}
	}
}

type filesInput struct {
	Limit int `query:"limit" minimum:"1" maximum:"10000" default:"100" doc:"How many files to list."`
}

type expiredInput struct {
	Days  int   `query:"days" minimum:"0" maximum:"36500" doc:"Files written on a UTC day that ended longer ago go; 0 keeps them for ever."`
	Bytes int64 `query:"bytes" minimum:"0" doc:"The oldest files go until the lake is no larger; 0 means no bound."`
}

// listing answers with a list, which is never null, and its times in UTC.
func listing[I, T any](s *Server, get func(context.Context, *I) ([]T, error), inUTC func(T) T) func(context.Context, *I) (*list[T], error) {
	return func(ctx context.Context, in *I) (*list[T], error) {
		found, err := get(ctx, in)
		if err != nil {
			return nil, s.problemOf(ctx, err)
		}
		out := make([]T, 0, len(found))
		for _, one := range found {
			out = append(out, inUTC(one))
		}
		return &list[T]{Body: out}, nil
	}
}

func (s *Server) getStatus(ctx context.Context, _ *struct{}) (*body[span.IndexerStatus], error) {
	status, err := s.indexer.Status(ctx)
	if err != nil {
		return nil, s.problemOf(ctx, err)
	}
	return &body[span.IndexerStatus]{Body: statusInUTC(status)}, nil
}

func (s *Server) getIngest(ctx context.Context, _ *struct{}) (*body[span.IngestStatus], error) {
	status, err := s.ingest.IngestStatus(ctx)
	if err != nil {
		return nil, s.problemOf(ctx, err)
	}
	status.OldestUnflushed = orNone(status.OldestUnflushed)
	return &body[span.IngestStatus]{Body: status}, nil
}

func (s *Server) flush(ctx context.Context, _ *struct{}) (*body[span.Flushed], error) {
	flushed, err := s.ingest.Flush(ctx)
	if err != nil {
		return nil, s.problemOf(ctx, err)
	}
	return &body[span.Flushed]{Body: flushed}, nil
}

func (s *Server) indexNow(ctx context.Context, in *request[wire.IndexRequest]) (*body[wire.Summary], error) {
	summary, err := s.indexer.IndexNow(ctx, in.Body.AcceptMissing)
	if err != nil {
		return nil, s.problemOf(ctx, err)
	}
	return &body[wire.Summary]{Body: wire.FromSummary(summary)}, nil
}

func (s *Server) retry(ctx context.Context, in *request[wire.RetryRequest]) (*body[wire.Retried], error) {
	if (in.Body.FilePath != "") == in.Body.All {
		return nil, newProblem(http.StatusUnprocessableEntity, "", `give either "file_path", the path of one failed file, or "all": true`)
	}
	var err error
	files := int64(1)
	if in.Body.All {
		files, err = s.catalog.RetryAll(ctx)
	} else {
		err = s.catalog.Retry(ctx, in.Body.FilePath)
	}
	if err != nil {
		return nil, s.problemOf(ctx, err)
	}
	return &body[wire.Retried]{Body: wire.Retried{Files: files}}, nil
}

func (s *Server) getSize(ctx context.Context, _ *struct{}) (*body[wire.Size], error) {
	size, err := s.catalog.Size(ctx)
	if err != nil {
		return nil, s.problemOf(ctx, err)
	}
	return &body[wire.Size]{Body: wire.Size(size)}, nil
}

func (s *Server) postSQL(_ context.Context, in *request[wire.SQLRequest]) (*huma.StreamResponse, error) {
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		r, w := humago.Unwrap(ctx)
		s.sql(w, r, in.Body)
	}}, nil
}

func (s *Server) getVerify(context.Context, *struct{}) (*huma.StreamResponse, error) {
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		r, w := humago.Unwrap(ctx)
		s.verify(w, r)
	}}, nil
}

// inUTC is a time as JSON can have it: years have four digits there (RFC 3339), but a file may hold spans of any. Such
// a time must not make a whole list impossible to send, so it becomes the last one that can be sent, or the first.
func inUTC(t time.Time) time.Time {
	t = t.UTC()
	switch {
	case t.Year() > 9999:
		return time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
	case t.Year() < 0:
		return time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return t
}

func orNone(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := inUTC(*t)
	return &u
}

func serviceInUTC(v span.Service) span.Service {
	v.FirstSeen, v.LastSeen = inUTC(v.FirstSeen), inUTC(v.LastSeen)
	return v
}

func fileInUTC(v span.IndexedFile) span.IndexedFile {
	v.MinTime, v.MaxTime, v.IndexedAt = orNone(v.MinTime), orNone(v.MaxTime), inUTC(v.IndexedAt)
	return v
}

func failedInUTC(v span.FailedFile) span.FailedFile {
	v.FailedAt, v.RetryAt = inUTC(v.FailedAt), orNone(v.RetryAt)
	return v
}

func retiredInUTC(v span.RetiredFile) span.RetiredFile {
	v.Day = inUTC(v.Day)
	return v
}

func statusInUTC(v span.IndexerStatus) span.IndexerStatus {
	v.OldestPending, v.Watermark, v.LastErrorAt, v.StartedAt = orNone(v.OldestPending), orNone(v.Watermark), orNone(v.LastErrorAt), inUTC(v.StartedAt)
	if v.CurrentFiles == nil {
		v.CurrentFiles = []string{}
	}
	if v.FailedFiles == nil {
		v.FailedFiles = map[string]int64{}
	}
	return v
}
