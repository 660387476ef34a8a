package otlpwire

import (
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/spanlake/spanlake/internal/span"
)

// Join makes one TracesData message of spans. They keep their order, but for those of an equal resource, which share it from the first
// of them on, and scopes in it. Spans that cannot be said in OTLP are left out: left has why, a *ColumnError for each.
func Join(spans []span.Span) (data []byte, left []error) {
	var j Joiner
	return j.Join(spans)
}

// Joiner joins spans again and again. The zero value is ready. It serves one goroutine and remembers resources and scopes, which
// come again.
type Joiner struct {
	encoder encoder
	// columns remembers what was made of the columns of a resource and scope.
	columns map[sharedColumns]*sharedMessages
	// sameResources and sameScopes remember how what was seen is encoded here.
	sameResources, sameScopes encodings
	// bytes is about what is remembered.
	bytes int

	// resources are those of the message that is being made, and used is what of columns is in it.
	resources []*joinedResource
	known     map[joinedKey]*joinedResource
	used      []*sharedMessages
}

// Join does what the function Join does.
func (j *Joiner) Join(spans []span.Span) (data []byte, left []error) {
	for i := range spans {
		if err := j.add(&spans[i]); err != nil {
			left = append(left, err)
		}
	}
	data = j.data()
	j.resources = nil
	clear(j.known)
	for _, s := range j.used {
		s.joined = nil
	}
	j.used = j.used[:0]
	if j.bytes > cacheBytes || cap(j.encoder.json.in) > cacheBytes {
		*j = Joiner{} // to forget everything is simple, and rare
	}
	return data, left
}

// sharedColumns are those of the columns that spans of a resource and scope have in common.
type sharedColumns struct {
	service, resource, resourceURL, scope, version, scopeAttributes, scopeURL string
	resourceDropped, scopeDropped                                             uint32
}

// sharedMessages are what the columns say.
type sharedMessages struct {
	resource, scope joinedKey
	// joined is where the spans go, once there is one.
	joined *joinedScope
	// column is the one that cannot be said, and err why, if there is such.
	column string
	err    error
}

// joinedKey is a resource or scope, with the URL of its schema.
type joinedKey struct {
	message, schemaURL string
	present            bool
}

// encodings maps messages to equal ones, which are encoded as this program does: the order of fields, and whether those that have
// their default are there, is up to who encodes.
type encodings map[string]string

// key makes the key of a message; decoded is an empty one of its type.
func (j *Joiner) key(same *encodings, message, schemaURL []byte, decoded proto.Message) joinedKey {
	text, ok := (*same)[string(message)]
	if !ok {
		text = string(message)
		if proto.Unmarshal(message, decoded) == nil {
			if encoded, err := (proto.MarshalOptions{Deterministic: true}).Marshal(decoded); err == nil {
				text = string(encoded)
			}
		}
		if *same == nil {
			*same = make(encodings)
		}
		(*same)[string(message)] = text
		j.bytes += entryBytes + len(message) + len(text)
	}
	return joinedKey{text, string(schemaURL), message != nil}
}

type joinedResource struct {
	joinedKey
	scopes []*joinedScope
	known  map[joinedKey]*joinedScope
}

type joinedScope struct {
	joinedKey
	// parts have the spans, which are fields of the message, and bytes is how long they are together. What is in a part never moves:
	// traces may be large.
	parts [][]byte
	bytes int
}

const (
	firstPart = 4 << 10
	largePart = 1 << 20
)

// add appends a field of the given size.
func (s *joinedScope) add(size int, appendTo func(out []byte) []byte) {
	last := len(s.parts) - 1
	if last < 0 || cap(s.parts[last])-len(s.parts[last]) < size {
		s.parts = append(s.parts, make([]byte, 0, max(size, min(max(s.bytes, firstPart), largePart))))
		last++
	}
	s.parts[last] = appendTo(s.parts[last])
	s.bytes += size
}

// add takes a span.
func (j *Joiner) add(s *span.Span) error {
	if s.OTLP != "" {
		return j.addEncoded([]byte(s.OTLP))
	}
	shared := j.shared(s)
	if shared.err != nil {
		return &ColumnError{TraceID: s.TraceID, SpanID: s.SpanID, Column: shared.column, Err: shared.err}
	}
	message, err := j.encoder.encode(s)
	if err != nil {
		return err
	}
	if shared.joined == nil {
		shared.joined = j.resource(shared.resource).scope(shared.scope)
		j.used = append(j.used, shared)
	}
	shared.joined.add(fieldSize(scopeSpansSpans, message.size()), func(out []byte) []byte {
		out = protowire.AppendTag(out, scopeSpansSpans, protowire.BytesType)
		return message.appendTo(protowire.AppendVarint(out, uint64(message.size())))
	})
	return nil
}

// shared makes the resource and scope of a span, which most spans have in common with others.
func (j *Joiner) shared(s *span.Span) *sharedMessages {
	columns := sharedColumns{
		s.ServiceName, s.ResourceAttributes, s.ResourceSchemaURL, s.ScopeName, s.ScopeVersion, s.ScopeAttributes, s.ScopeSchemaURL,
		s.ResourceDroppedAttributesCount, s.ScopeDroppedAttributesCount,
	}
	if known := j.columns[columns]; known != nil {
		return known
	}
	made := &sharedMessages{}
	e := &j.encoder
	if resource, scope, err := e.shared(s); err != nil {
		made.column, made.err = err.Column, err.Err
	} else {
		made.resource = j.key(&j.sameResources, resource, []byte(valid(s.ResourceSchemaURL)), &resourcepb.Resource{})
		made.scope = j.key(&j.sameScopes, scope, []byte(valid(s.ScopeSchemaURL)), &commonpb.InstrumentationScope{})
	}
	if j.columns == nil {
		j.columns = make(map[sharedColumns]*sharedMessages)
	}
	j.columns[columns] = made
	j.bytes += 2*entryBytes + len(columns.resource) + len(columns.scopeAttributes)
	return made
}

// addEncoded takes the spans of a message.
func (j *Joiner) addEncoded(data []byte) error {
	for s, err := range Spans(data) {
		if err != nil {
			return err
		}
		resource := j.resource(j.key(&j.sameResources, s.Resource, s.ResourceSchemaURL, &resourcepb.Resource{}))
		scope := resource.scope(j.key(&j.sameScopes, s.Scope, s.ScopeSchemaURL, &commonpb.InstrumentationScope{}))
		scope.add(fieldSize(scopeSpansSpans, len(s.Span)), func(out []byte) []byte {
			return optional(out, scopeSpansSpans, s.Span, true)
		})
	}
	return nil
}

func (j *Joiner) resource(key joinedKey) *joinedResource {
	r := j.known[key]
	if r == nil {
		r = &joinedResource{joinedKey: key, known: make(map[joinedKey]*joinedScope)}
		if j.known == nil {
			j.known = make(map[joinedKey]*joinedResource)
		}
		j.known[key] = r
		j.resources = append(j.resources, r)
	}
	return r
}

func (r *joinedResource) scope(key joinedKey) *joinedScope {
	s := r.known[key]
	if s == nil {
		s = &joinedScope{joinedKey: key}
		r.known[key] = s
		r.scopes = append(r.scopes, s)
	}
	return s
}

// data is the message.
func (j *Joiner) data() []byte {
	size := 0
	for _, r := range j.resources {
		size += fieldSize(requestResourceSpans, r.size())
	}
	out := make([]byte, 0, size)
	for _, r := range j.resources {
		out = protowire.AppendTag(out, requestResourceSpans, protowire.BytesType)
		out = protowire.AppendVarint(out, uint64(r.size()))
		out = optional(out, resourceSpansResource, r.message, r.present)
		for _, s := range r.scopes {
			out = protowire.AppendTag(out, resourceSpansScopeSpans, protowire.BytesType)
			out = protowire.AppendVarint(out, uint64(s.size()))
			out = optional(out, scopeSpansScope, s.message, s.present)
			for _, part := range s.parts {
				out = append(out, part...)
			}
			out = optional(out, scopeSpansSchemaURL, s.schemaURL, s.schemaURL != "")
		}
		out = optional(out, resourceSpansSchemaURL, r.schemaURL, r.schemaURL != "")
	}
	return out
}

// size is that of the content of ResourceSpans.
func (r *joinedResource) size() int {
	size := optionalSize(resourceSpansResource, r.message, r.present) +
		optionalSize(resourceSpansSchemaURL, r.schemaURL, r.schemaURL != "")
	for _, s := range r.scopes {
		size += fieldSize(resourceSpansScopeSpans, s.size())
	}
	return size
}

// size is that of the content of ScopeSpans.
func (s *joinedScope) size() int {
	return optionalSize(scopeSpansScope, s.message, s.present) + s.bytes +
		optionalSize(scopeSpansSchemaURL, s.schemaURL, s.schemaURL != "")
}

// Split makes span.Span of the spans of a TracesData message, such as one of Join. The error wraps ErrMalformed.
func Split(data []byte) ([]span.Span, error) {
	var converter Converter
	var spans []span.Span
	for s, err := range Spans(data) {
		if err != nil {
			return nil, err
		}
		spans = append(spans, converter.Span(s))
	}
	return spans, nil
}
