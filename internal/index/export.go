package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/spanlake/spanlake/internal/attribute"
	"github.com/spanlake/spanlake/internal/span"
)

// rememberedSpans is of how many spans of a file it is remembered at once whether they belong to it; a larger file is read in parts.
const rememberedSpans = 1_000_000

// gatheredAtOnce is how many small files one statement asks for.
const gatheredAtOnce = 64

// gatheredSpans is of how many spans, of small files, it is remembered from the beginning on: 20 MB.
const gatheredSpans = 250_000

// Export yields each whole span that f chooses once, file by file. Errors of yield end it. A file that was changed since it was indexed is
// read for the spans that the index has of it, and told as unread unless it was only touched; one that the index has and the lake has not is an error that
// wraps fs.ErrNotExist.
func (x *Index) Export(ctx context.Context, f span.Filter, cold span.Cold, yield func(span.Span) error) (span.Seen, error) {
	begun := false
	e := exporter{index: x, filter: &f, seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
	e.yield = func(s span.Span) error {
		begun = true
		return yield(s)
	}
	var seen span.Seen
	err := x.handingOn(ctx, &begun, func(db *sql.DB) (err error) {
		seen, err = e.export(ctx, db, cold)
		return err
	})
	if err != nil {
		return span.Seen{}, fmt.Errorf("export: %w", explain(ctx, err))
	}
	seen.Unread += e.unread
	return seen, nil
}

// export may be called again as long as nothing was yielded.
func (e *exporter) export(ctx context.Context, db *sql.DB, cold span.Cold) (span.Seen, error) {
	defer e.index.memory.beside()()
	e.db, e.unread = db, 0
	var plan exportPlan
	var failed error
	// As a whole it takes no turn, since that would last as long as whoever takes the spans likes. Looking what there is takes one, and each
	// reading of a file.
	shares := int64(1)
	again := func(ctx context.Context, do func(context.Context) error) error {
		return retry(ctx, do(ctx), func() error {
			shares = allShares
			return do(ctx)
		})
	}
	seen, err := e.index.answerFrom(ctx, db, again, cold, func(ctx context.Context, s *snapshot) error {
		err := e.index.memory.take(ctx, shares, func(ctx context.Context) (err error) {
			plan, err = e.plan(ctx, s)
			return err
		})
		if err != nil {
			return err
		}
		// What follows must not be done twice, and answerFrom would.
		failed = func() error {
			if err := e.files(ctx, plan.pending, &plan.unknown); err != nil {
				return err
			}
			for _, file := range plan.sharing {
				// Which rows are the file's own is only known at this moment.
				if err := e.sharing(ctx, s, file); err != nil {
					return err
				}
			}
			return nil
		}()
		return nil
	})
	if err == nil {
		err = failed
	}
	if err == nil {
		err = e.files(ctx, plan.alone, nil)
	}
	return seen, err
}

// exportPlan says which files are read, and how.
type exportPlan struct {
	// pending are not in the index; their unknown spans are chosen. They are not many.
	pending []*candidate
	unknown part
	// sharing have rows that repeat others, or have changed: of them those spans are chosen that the index has of them. Of alone all are.
	sharing, alone []*candidate
}

func (e *exporter) plan(ctx context.Context, s *snapshot) (p exportPlan, err error) {
	files, err := s.mayMatch(ctx, e.filter)
	if err != nil {
		return p, err
	}
	known, err := e.knownPending(ctx, s)
	if err != nil {
		return p, err
	}
	p.unknown = part{of: 1, own: func(id identity) bool {
		key := e.hash(id)
		_, ok := known[key]
		known[key] = struct{}{}
		return !ok
	}}
	for _, file := range files {
		switch {
		case file.id < 0:
			p.pending = append(p.pending, file)
		case file.duplicates == 0 && !e.index.hasChanged(file):
			p.alone = append(p.alone, file)
		default:
			p.sharing = append(p.sharing, file)
		}
	}
	e.broken = false
	return p, e.gather(ctx, s, p.sharing)
}

// exporter hands spans on.
type exporter struct {
	index  *Index
	db     *sql.DB
	filter *span.Filter
	yield  func(span.Span) error
	// seeds make 128 bits of the identity of a span: two of a billion meet by chance in one of 10^20 exports.
	seeds  [2]maphash.Seed
	unread int64
	// gathered are the spans of files that the index has of them, by their id.
	gathered map[int32]map[identityHash]struct{}
	// broken: the transaction of the snapshot has failed.
	broken bool
}

// identity is what makes a span another one, as the index has it (keyColumns).
type identity struct {
	traceID, spanID, serviceName, name string
	kind, status                       int32
	start, end                         int64
	ended                              bool
}

type identityHash [2]uint64

func (e *exporter) hash(id identity) identityHash {
	return identityHash{maphash.Comparable(e.seeds[0], id), maphash.Comparable(e.seeds[1], id)}
}

// identity is that of the last span.
func (w *wholeScanner) identity() identity {
	return identity{w.s.TraceID, w.s.SpanID, w.s.ServiceName, w.s.Name, w.kind, w.status, w.start, w.end.Int64, w.end.Valid}
}

// part are the spans of one part of the traces, and which of them are to be yielded; nil: all of them.
type part struct {
	number, of int64
	own        func(identity) bool
}

// files yields the chosen spans of files.
func (e *exporter) files(ctx context.Context, files []*candidate, p *part) error {
	for some := range slices.Chunk(files, shapesAtOnce) {
		byPath, names := make(map[string]*candidate), make([]string, len(some))
		for i, file := range some {
			byPath[file.path], names[i] = file, file.path
		}
		opened, err := e.index.open(ctx, e.db, names, func(path string, err error) error { return e.failed(ctx, byPath[path], err) })
		if err != nil {
			return err
		}
		for _, w := range opened {
			if err := e.file(ctx, w, byPath[w.item.file.Path], p); err != nil {
				return err
			}
		}
	}
	return nil
}

// file yields the chosen spans of one file.
func (e *exporter) file(ctx context.Context, w *wholeFile, file *candidate, p *part) error {
	if file.id >= 0 && w.item.file.Size != file.size && (p == nil || p.number == 0) {
		e.unread++ // it is another one, which may lack spans
	}
	for _, rows := range w.portions(file.chosenGroups(w), e.index.portionBytes()) {
		c := w.chosen(e.filter, rows)
		if p != nil && p.of > 1 {
			c.and("hash(trace_id) % %s = %s", p.of, p.number)
		}
		err := w.read(ctx, e.db, w.wholeSQL(c.where()), c.args, func(scanned *wholeScanner) error {
			s := &scanned.s
			if !attribute.Matches(e.filter.Attributes, s.Attributes, s.ResourceAttributes) || p != nil && !p.own(scanned.identity()) {
				return nil
			}
			if err := e.yield(*s); err != nil {
				return &yieldError{err}
			}
			return nil
		})
		if stopped, ok := err.(*yieldError); ok { //nolint:errorlint // it comes as it is
			return stopped.err
		}
		if err != nil {
			return e.failed(ctx, file, err)
		}
	}
	return nil
}

// yieldError tells an error of whoever takes the spans from one of a file.
type yieldError struct{ err error }

func (e *yieldError) Error() string { return e.err.Error() }

const (
	isRegisteredSQL = `SELECT count(*) > 0 FROM parquet_files WHERE file_path = $1`
	isIndexedSQL    = `SELECT count(*) > 0 FROM parquet_files WHERE file_id = $1`
)

// failed passes over a file that has left the lake and the index, and tells of one that is not indexed yet as unread.
func (e *exporter) failed(ctx context.Context, file *candidate, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case refusing(err):
		return err
	case file.id < 0:
		e.unread++
		return nil
	case !missing(err):
		return err
	}
	var registered bool
	queryErr := e.index.patiently(ctx, func(ctx context.Context) error {
		return e.db.QueryRowContext(ctx, isRegisteredSQL, file.path).Scan(&registered)
	})
	if queryErr != nil {
		return queryErr
	}
	if registered {
		return err
	}
	return nil
}

const (
	ownSQL = `
SELECT ` + identityColumns + `
FROM span_metadata
WHERE file_id = $1 AND hash(trace_id) % $2 = $3`

	identityColumns = `trace_id, span_id, service_name, name, span_kind, status_code, epoch_us(start_time), epoch_us(end_time)`
)

// sharing yields the spans of a file of which some rows repeat others. Its own are those that the index has of it, once each.
func (e *exporter) sharing(ctx context.Context, s *snapshot, file *candidate) error {
	parts := 1 + file.rows/rememberedSpans // one for those that are gathered
	for number := range parts {
		own, err := e.own(ctx, s, file.id, parts, number)
		if err != nil {
			return fmt.Errorf("spans of %s: %w", file.path, err)
		}
		p := part{number: number, of: parts, own: func(id identity) bool {
			key := e.hash(id)
			_, ok := own[key]
			delete(own, key)
			return ok
		}}
		if err := e.files(ctx, []*candidate{file}, &p); err != nil {
			return err
		}
	}
	return nil
}

// errReindexed ends an export.
var errReindexed = errors.New("the file was indexed anew while it was exported and memory was short: export again, or raise --memory")

// own are the spans that the index has of a part of a file. A file that is indexed anew gets another id, so what the index has of this one
// is later what it was at the moment of the snapshot, or nothing; it is asked for later if there is no memory now.
func (e *exporter) own(ctx context.Context, s *snapshot, id int32, parts, number int64) (own map[identityHash]struct{}, err error) {
	if own, ok := e.gathered[id]; ok {
		delete(e.gathered, id)
		return own, nil
	}
	if !e.broken {
		own, err = e.identities(ctx, s.tx, ownSQL, id, parts, number)
		if !outOfMemory(err) {
			return own, err
		}
		e.broken = true // an error ends a transaction
	}
	err = e.index.patiently(ctx, func(ctx context.Context) error {
		var there bool
		if own, err = e.identities(ctx, e.db, ownSQL, id, parts, number); err != nil {
			return err
		}
		// Asked afterwards: it does not come back.
		if err := e.db.QueryRowContext(ctx, isIndexedSQL, id).Scan(&there); err != nil {
			return err
		}
		if !there {
			return errReindexed
		}
		return nil
	})
	return own, err
}

// hasChanged tells whether a file is not as it was when it was indexed. Whoever touches it does not change its spans: until it is indexed
// anew, those are exported that the index has of it.
func (x *Index) hasChanged(file *candidate) bool {
	now, err := x.stat(&item{file: span.File{Path: file.path}})
	return err == nil && (now.Size != file.size || now.ModTime.UnixMicro() != file.mtime)
}

const gatherSQL = `
SELECT file_id, ` + identityColumns + `
FROM span_metadata
WHERE file_id IN (SELECT unnest($1::INTEGER[]))`

// gather remembers which spans are those of small files: most that share spans do so since clients have sent them twice.
func (e *exporter) gather(ctx context.Context, s *snapshot, files []*candidate) error {
	e.gathered = make(map[int32]map[identityHash]struct{})
	var ids []int32
	rows := int64(0)
	for _, file := range files {
		if rows+file.rows <= gatheredSpans {
			rows += file.rows
			ids, e.gathered[file.id] = append(ids, file.id), make(map[identityHash]struct{})
		}
	}
	for some := range slices.Chunk(ids, gatheredAtOnce) {
		err := s.each(ctx, gatherSQL, func(scan func(...any) error) error {
			var file int32
			id, err := scanIdentity(func(to ...any) error { return scan(append([]any{&file}, to...)...) })
			if err != nil {
				return err
			}
			e.gathered[file][e.hash(id)] = struct{}{}
			return nil
		}, some)
		if err != nil {
			return err
		}
	}
	return nil
}

func scanIdentity(scan func(...any) error) (id identity, err error) {
	var end sql.NullInt64
	err = scan(&id.traceID, &id.spanID, &id.serviceName, &id.name, &id.kind, &id.status, &id.start, &end)
	id.end, id.ended = end.Int64, end.Valid
	return id, err
}

func (e *exporter) identities(ctx context.Context, from querier, query string, args ...any) (map[identityHash]struct{}, error) {
	all := make(map[identityHash]struct{})
	err := eachRowOf(ctx, from, query, func(scan func(...any) error) error {
		id, err := scanIdentity(scan)
		all[e.hash(id)] = struct{}{}
		return err
	}, args...)
	return all, err
}

const knownPendingSQL = `
SELECT DISTINCT n.trace_id, n.span_id, n.service_name, n.name, n.span_kind, n.status_code, epoch_us(n.start_time), epoch_us(n.end_time)
FROM (%s) n, span_metadata o
WHERE ` + sameKey

// knownPending are the spans of pending files that the index has.
func (e *exporter) knownPending(ctx context.Context, s *snapshot) (map[identityHash]struct{}, error) {
	rows, ok := s.source(1)
	if !ok {
		return nil, nil
	}
	return e.identities(ctx, s.tx, fmt.Sprintf(knownPendingSQL, rows.sql), rows.args...)
}
