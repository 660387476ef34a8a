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
	var joined joiner
	for i := range spans {
		encoded, err := Encode(&spans[i])
		if err == nil {
			err = joined.add(encoded)
		}
		if err != nil {
			left = append(left, err)
		}
	}
	return joined.data(), left
}

// joiner collects spans by resource and scope.
type joiner struct {
	resources []*joinedResource
	known     map[joinedKey]*joinedResource
	// sameResources and sameScopes remember how what was seen is encoded here.
	sameResources, sameScopes encodings
}

// joinedKey is a resource or scope, with the URL of its schema.
type joinedKey struct {
	message, schemaURL string
	present            bool
}

// encodings maps messages to equal ones, which are encoded as this program does: the order of fields, and whether those that have
// their default are there, is up to who encodes.
type encodings map[string]string

func (e *encodings) key(message, schemaURL []byte, decoded proto.Message) joinedKey {
	text, ok := (*e)[string(message)]
	if !ok {
		text = string(message)
		if proto.Unmarshal(message, decoded) == nil {
			if encoded, err := (proto.MarshalOptions{Deterministic: true}).Marshal(decoded); err == nil {
				text = string(encoded)
			}
		}
		if *e == nil {
			*e = make(encodings)
		}
		(*e)[string(message)] = text
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
	// spans are fields of the message.
	spans []byte
}

// add takes the spans of a message.
func (j *joiner) add(data []byte) error {
	for s, err := range Spans(data) {
		if err != nil {
			return err
		}
		resource := j.resource(j.sameResources.key(s.Resource, s.ResourceSchemaURL, &resourcepb.Resource{}))
		scope := resource.scope(j.sameScopes.key(s.Scope, s.ScopeSchemaURL, &commonpb.InstrumentationScope{}))
		scope.spans = optional(scope.spans, scopeSpansSpans, s.Span, true)
	}
	return nil
}

func (j *joiner) resource(key joinedKey) *joinedResource {
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
func (j *joiner) data() []byte {
	out := []byte{}
	for _, r := range j.resources {
		content := optional(nil, resourceSpansResource, []byte(r.message), r.present)
		for _, s := range r.scopes {
			scope := append(optional(nil, scopeSpansScope, []byte(s.message), s.present), s.spans...)
			scope = optional(scope, scopeSpansSchemaURL, []byte(s.schemaURL), s.schemaURL != "")
			content = optional(content, resourceSpansScopeSpans, scope, true)
		}
		content = optional(content, resourceSpansSchemaURL, []byte(r.schemaURL), r.schemaURL != "")
		out = protowire.AppendBytes(protowire.AppendTag(out, requestResourceSpans, protowire.BytesType), content)
	}
	return out
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
