package jaeger

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// maxTraces bounds the ids of one request.
const maxTraces = 1000

// NewHTTP answers Jaeger's query API, below /api/.
func NewHTTP(q Queries, o Options) http.Handler {
	h := &handler{reader: newReader(q, o), now: time.Now}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/services", h.services)
	mux.HandleFunc("GET /api/services/{service}/operations", h.operationNames)
	mux.HandleFunc("GET /api/operations", h.operations)
	mux.HandleFunc("GET /api/traces", h.search)
	mux.HandleFunc("GET /api/traces/{id}", h.trace)
	mux.HandleFunc("GET /api/dependencies", h.dependencies)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, http.StatusNotFound, r.Method+" "+r.URL.Path+" is nothing that Spanlake has of Jaeger's API")
	})
	return mux
}

type handler struct {
	*reader
	now func() time.Time
}

func (h *handler) services(w http.ResponseWriter, r *http.Request) {
	services, complete, err := h.queries.Services(r.Context())
	if err != nil {
		h.fail(w, r, err)
		return
	}
	names := make([]string, len(services))
	for i := range services {
		names[i] = services[i].Name
	}
	h.write(w, names, len(names), &complete)
}

func (h *handler) operationNames(w http.ResponseWriter, r *http.Request) {
	operations, complete, err := h.queries.Operations(r.Context(), r.PathValue("service"))
	if err != nil {
		h.fail(w, r, err)
		return
	}
	names := make([]string, len(operations))
	for i, o := range operations {
		names[i] = o.Name
	}
	slices.Sort(names)
	names = slices.Compact(names)
	h.write(w, names, len(names), &complete)
}

func (h *handler) operations(w http.ResponseWriter, r *http.Request) {
	parameters, ok := parametersOf(w, r)
	if !ok {
		return
	}
	service, kind := parameters.Get("service"), parameters.Get("spanKind")
	if service == "" {
		writeError(w, http.StatusBadRequest, "parameter 'service' is required")
		return
	}
	operations, complete, err := h.queries.Operations(r.Context(), service)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	all := make([]operationJSON, 0, len(operations))
	for _, o := range operations {
		if name := kindName(o.Kind); kind == "" || kind == name {
			all = append(all, operationJSON{o.Name, name})
		}
	}
	h.write(w, all, len(all), &complete)
}

func (h *handler) dependencies(w http.ResponseWriter, r *http.Request) {
	parameters, ok := parametersOf(w, r)
	if !ok {
		return
	}
	end, given, err := parseTime(parameters, "endTs", time.Millisecond)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	if !given {
		end = h.now()
	}
	back := dependencyLookback
	if text := parameters.Get("lookback"); text != "" {
		n, err := strconv.ParseUint(text, 10, 42)
		if err != nil {
			h.fail(w, r, &span.InvalidError{What: "lookback", Value: text, Problem: "must be a number of milliseconds"})
			return
		}
		back = time.Duration(n) * time.Millisecond
	}
	dependencies, complete, err := h.queries.Dependencies(r.Context(), end.Add(-back), until(end))
	if err != nil {
		h.fail(w, r, err)
		return
	}
	service := parameters.Get("service")
	all := make([]dependencyJSON, 0, len(dependencies))
	for _, d := range dependencies {
		if service == "" || service == d.Parent || service == d.Child {
			all = append(all, dependencyJSON{d.Parent, d.Child, d.Calls})
		}
	}
	h.write(w, all, 0, &complete)
}

// trace answers one trace. The times that may be given are a hint, which is not needed.
func (h *handler) trace(w http.ResponseWriter, r *http.Request) {
	id, err := parseTraceID(r.PathValue("id"))
	if err != nil {
		h.fail(w, r, err)
		return
	}
	found, err := h.reader.trace(r.Context(), id)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	answer := newTraces(w)
	answer.trace(id, found)
	answer.end(nil)
}

// search answers the traces with the ids that are given, or those that are found.
func (h *handler) search(w http.ResponseWriter, r *http.Request) {
	parameters, ok := parametersOf(w, r)
	if !ok {
		return
	}
	if len(parameters["traceID"]) > 0 {
		h.byID(w, r, parameters["traceID"])
		return
	}
	wanted, err := parseSearch(parameters, h.now())
	if err != nil {
		h.fail(w, r, err)
		return
	}
	ids, warnings, _, err := h.find(r.Context(), wanted)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	errs := make([]errorJSON, 0, len(warnings))
	for _, text := range warnings {
		errs = append(errs, errorJSON{Message: text})
	}
	// A trace that was found and is no longer there has been removed meanwhile.
	h.traces(w, r, ids, errs, func(string, error) []errorJSON { return nil })
}

// byID answers the traces with some ids.
func (h *handler) byID(w http.ResponseWriter, r *http.Request, texts []string) {
	if len(texts) > maxTraces {
		h.fail(w, r, &span.InvalidError{What: "traceID", Value: strconv.Itoa(len(texts)) + " times",
			Problem: "must be there at most " + strconv.Itoa(maxTraces) + " times"})
		return
	}
	ids := make([]string, len(texts))
	for i, text := range texts {
		var err error
		if ids[i], err = parseTraceID(text); err != nil {
			h.fail(w, r, err)
			return
		}
	}
	h.traces(w, r, ids, nil, func(id string, err error) []errorJSON {
		return []errorJSON{{Message: err.Error(), TraceID: id}}
	})
}

// traces answers the traces with some ids. gone says what is said of one that is not there.
func (h *handler) traces(w http.ResponseWriter, r *http.Request, ids []string, errs []errorJSON, gone func(id string, err error) []errorJSON) {
	answer := newTraces(w)
	for i, id := range ids {
		found, err := h.reader.trace(r.Context(), id)
		if errors.Is(err, span.ErrNotFound) {
			errs = append(errs, gone(id, err)...)
			continue
		}
		if err != nil && answer.count == 0 {
			h.fail(w, r, err)
			return
		}
		if err != nil {
			status, text := h.statusOf(r.Context(), err)
			errs = append(errs, errorJSON{Code: status, Message: text, TraceID: id})
			break
		}
		answer.trace(id, found)
		if answer.bytes >= h.answerBytes && i < len(ids)-1 {
			errs = append(errs, errorJSON{Message: h.tooMuch(i+1, len(ids))})
			break
		}
	}
	answer.end(errs)
}

// parametersOf reads the query of a request.
func parametersOf(w http.ResponseWriter, r *http.Request) (url.Values, bool) {
	parameters, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		writeError(w, http.StatusBadRequest, "the query cannot be read: "+err.Error())
	}
	return parameters, err == nil
}

// statusOf is what a client gets for an error.
func (h *handler) statusOf(ctx context.Context, err error) (status int, text string) {
	if invalid := (*span.InvalidError)(nil); errors.As(err, &invalid) {
		return http.StatusBadRequest, err.Error()
	}
	if errors.Is(err, span.ErrNotFound) {
		return http.StatusNotFound, err.Error()
	}
	if ctx.Err() != nil {
		return http.StatusServiceUnavailable, "the question was given up: " + context.Cause(ctx).Error()
	}
	h.log.Error("a question of a client of Jaeger failed", "error", err)
	return http.StatusInternalServerError, err.Error()
}

func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, text := h.statusOf(r.Context(), err)
	writeError(w, status, text)
}

func writeError(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answerJSON{Errors: []errorJSON{{Code: status, Message: text}}}) // the client is gone
}

// write answers with what was found, and says what is missing.
func (h *handler) write(w http.ResponseWriter, data any, total int, complete *span.Completeness) {
	answer := answerJSON{Data: data, Total: total}
	for _, text := range missing(complete) {
		answer.Errors = append(answer.Errors, errorJSON{Message: text})
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		h.log.Debug("an answer for a client of Jaeger was not sent", "error", err)
	}
}
