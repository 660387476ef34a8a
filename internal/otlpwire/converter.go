package otlpwire

import (
	"encoding/hex"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/spanlake/spanlake/internal/span"
)

const (
	// chunkBytes of text are allocated at once; a text keeps its whole chunk in memory.
	chunkBytes = 256 << 10
	// cacheBytes bound what is remembered of resources, and as much of scopes; an entry takes entryBytes beside its texts.
	cacheBytes = 4 << 20
	entryBytes = 64
)

// Converter makes span.Span out of spans in a request. The zero value is ready. It serves one goroutine and remembers the
// texts of resources and scopes from one request to the next, since clients send the same ones again and again.
type Converter struct {
	json jsonWriter
	// attributes, events, links and text are buffers.
	attributes, events, links, text []byte
	chunk                           strings.Builder

	// resource and scope are those of resourceOrigin and scopeOrigin.
	resource                    *sharedTexts
	scope                       *sharedTexts
	resourceOrigin, scopeOrigin *origin
	resources, scopes           cache
}

// sharedTexts is what the spans of a resource or of a scope share.
type sharedTexts struct {
	name, version, attributes, schemaURL string
	dropped                              uint32
	lossy                                bool
}

// cache remembers what was made of the same bytes, and of the same origin: spans in the order of their traces change between
// resources all the time.
type cache struct {
	entries map[string]*sharedTexts
	origins map[*origin]*sharedTexts
	bytes   int
}

// put remembers an entry under its key, or only under its origin if there is no key. It forgets everything when there is too
// much, which is simple, and rare with clients that mean well.
func (c *cache) put(from *origin, key []byte, value *sharedTexts) {
	size := entryBytes
	if key != nil {
		size += entryBytes + len(key) + len(value.attributes)
	}
	if c.bytes += size; c.entries == nil || c.bytes > cacheBytes {
		c.entries, c.origins, c.bytes = make(map[string]*sharedTexts), make(map[*origin]*sharedTexts), size
	}
	if from != nil {
		c.origins[from] = value
	}
	if key != nil {
		c.entries[string(key)] = value
	}
}

// Span makes a span.Span, which shares no memory with the request. Its texts hold all of the span as far as JSON can say
// it; where it cannot, the field OTLP has the span exactly. Of what is malformed or was never cleaned, it takes what it can
// read.
func (c *Converter) Span(s *Span) span.Span {
	if s.resourceOrigin == nil || s.resourceOrigin != c.resourceOrigin {
		c.resource = c.shared(&c.resources, s.resourceOrigin, s.Resource, s.ResourceSchemaURL, c.readResource)
		c.resourceOrigin = s.resourceOrigin
	}
	if s.scopeOrigin == nil || s.scopeOrigin != c.scopeOrigin {
		c.scope = c.shared(&c.scopes, s.scopeOrigin, s.Scope, s.ScopeSchemaURL, c.readScope)
		c.scopeOrigin = s.scopeOrigin
	}
	r, sc := c.resource, c.scope
	out := span.Span{
		ServiceName: s.ServiceName, Kind: span.Kind(Tiny(s.Kind)), StatusCode: span.StatusCode(Tiny(s.StatusCode)),
		StartTime: storableTime(s.StartNanos), EndTime: storableTime(s.EndNanos),
		ResourceAttributes: r.attributes, ResourceDroppedAttributesCount: r.dropped, ResourceSchemaURL: r.schemaURL,
		ScopeName: sc.name, ScopeVersion: sc.version, ScopeAttributes: sc.attributes, ScopeDroppedAttributesCount: sc.dropped,
		ScopeSchemaURL: sc.schemaURL,
	}
	c.json.lossy = r.lossy || sc.lossy || s.StartNanos > maxNanos || s.EndNanos > maxNanos ||
		int32(out.Kind) != s.Kind || int32(out.StatusCode) != s.StatusCode
	c.fields(s, &out)
	if c.json.lossy {
		c.text = appendTracesData(c.text[:0], s)
		out.OTLP = c.cut(c.text)
	}
	c.forget()
	return out
}

// shared makes the texts of a resource or scope, or takes those that were made of the same bytes before.
func (c *Converter) shared(known *cache, from *origin, message, schemaURL []byte, read func(*sharedTexts, []byte)) *sharedTexts {
	if texts := known.origins[from]; texts != nil {
		return texts
	}
	c.text = append(append(c.text[:0], schemaURL...), 0)
	if message != nil {
		c.text = append(append(c.text, 1), message...)
	}
	if texts := known.entries[string(c.text)]; texts != nil {
		if from != nil {
			known.put(from, nil, texts)
		}
		return texts
	}
	// That there is no message cannot be said by fields that are empty.
	c.json.lossy = message == nil
	made := &sharedTexts{schemaURL: string(schemaURL)}
	read(made, message)
	made.lossy = c.json.lossy
	known.put(from, c.text, made)
	return made
}

func (c *Converter) readResource(to *sharedTexts, message []byte) {
	attributes := c.json.begin(c.attributes[:0])
	f := fields{buf: message}
	for f.next() {
		switch {
		case f.num == resourceAttributes && f.wire == protowire.BytesType:
			c.json.member(&attributes, f.data(), 1)
		case f.num == resourceDropped && f.wire == protowire.VarintType:
			to.dropped = uint32(f.number)
		default:
			c.json.lossy = true
		}
	}
	c.attributes = c.json.end(&attributes)
	c.json.lossy = c.json.lossy || !f.complete()
	to.attributes = string(c.attributes)
}

func (c *Converter) readScope(to *sharedTexts, message []byte) {
	attributes := c.json.begin(c.attributes[:0])
	f := fields{buf: message}
	for f.next() {
		switch {
		case f.num == scopeName && f.wire == protowire.BytesType:
			to.name = string(f.data())
		case f.num == scopeVersion && f.wire == protowire.BytesType:
			to.version = string(f.data())
		case f.num == scopeAttributes && f.wire == protowire.BytesType:
			c.json.member(&attributes, f.data(), 1)
		case f.num == scopeDropped && f.wire == protowire.VarintType:
			to.dropped = uint32(f.number)
		default:
			c.json.lossy = true
		}
	}
	c.attributes = c.json.end(&attributes)
	c.json.lossy = c.json.lossy || !f.complete()
	to.attributes = string(c.attributes)
}

// fields reads the span itself.
func (c *Converter) fields(s *Span, out *span.Span) {
	attributes := c.json.begin(c.attributes[:0])
	c.events, c.links = append(c.events[:0], '['), append(c.links[:0], '[')
	c.text = c.text[:0]
	var traceState, statusMessage []byte
	f := fields{buf: s.Span}
	for f.next() {
		known := false
		switch f.wire {
		case protowire.BytesType:
			known = true
			switch f.num {
			case spanAttributes:
				c.json.member(&attributes, f.data(), 1)
			case spanEvents:
				c.events = c.event(comma(c.events), f.data())
			case spanLinks:
				c.links = c.link(comma(c.links), f.data())
			case spanTraceState:
				traceState = f.data()
			case spanStatus:
				statusMessage = c.status(f.data())
			case spanParentSpanID:
				// An id of zeros is no parent, but it is not nothing.
				c.json.lossy = c.json.lossy || !s.HasParent && len(f.data()) > 0
			case spanTraceID, spanSpanID, spanName:
			default:
				known = false
			}
		case protowire.Fixed64Type:
			known = f.num == spanStart || f.num == spanEnd
		case protowire.Fixed32Type:
			if known = f.num == spanFlags; known {
				out.Flags = uint32(f.number)
			}
		case protowire.VarintType:
			known = droppedCount(&f, out) || f.num == spanKind
		default:
		}
		c.json.lossy = c.json.lossy || !known
	}
	c.json.lossy = c.json.lossy || !f.complete()
	c.attributes = c.json.end(&attributes)
	c.events, c.links = append(c.events, ']'), append(c.links, ']')

	out.Attributes, out.Events, out.Links = c.cut(c.attributes), c.cut(c.events), c.cut(c.links)
	out.Name, out.TraceState, out.StatusMessage = c.cut(s.Name), c.cut(traceState), c.cut(statusMessage)
	c.text = hex.AppendEncode(c.text, s.TraceID[:])
	c.text = hex.AppendEncode(c.text, s.SpanID[:])
	if s.HasParent {
		c.text = hex.AppendEncode(c.text, s.ParentSpanID[:])
	}
	ids := c.cut(c.text)
	out.TraceID, out.SpanID, out.ParentSpanID = ids[:32], ids[32:48], ids[48:]
}

// droppedCount reads one of the dropped counts and tells whether the field is one.
func droppedCount(f *fields, out *span.Span) bool {
	switch f.num {
	case spanDroppedAttributes:
		out.DroppedAttributesCount = uint32(f.number)
	case spanDroppedEvents:
		out.DroppedEventsCount = uint32(f.number)
	case spanDroppedLinks:
		out.DroppedLinksCount = uint32(f.number)
	default:
		return false
	}
	return true
}

// status returns the message; the code is one of the light fields.
func (c *Converter) status(b []byte) (message []byte) {
	f := fields{buf: b}
	for f.next() {
		switch {
		case f.num == statusMessage && f.wire == protowire.BytesType:
			message = f.data()
		case f.num == statusCode && f.wire == protowire.VarintType:
		default:
			c.json.lossy = true
		}
	}
	c.json.lossy = c.json.lossy || !f.complete()
	return message
}

// comma separates an element from the one before.
func comma(out []byte) []byte {
	if out[len(out)-1] != '[' {
		out = append(out, ',')
	}
	return out
}

// event appends an event as JSON.
func (c *Converter) event(out, b []byte) []byte {
	attributes := c.json.begin(c.text[:0])
	var name []byte
	var nanos, dropped uint64
	f := fields{buf: b}
	for f.next() {
		switch {
		case f.num == eventName && f.wire == protowire.BytesType:
			name = f.data()
		case f.num == eventTime && f.wire == protowire.Fixed64Type:
			nanos = f.number
		case f.num == eventAttributes && f.wire == protowire.BytesType:
			c.json.member(&attributes, f.data(), 1)
		case f.num == eventDropped && f.wire == protowire.VarintType:
			dropped = uint64(uint32(f.number))
		default:
			c.json.lossy = true
		}
	}
	c.json.lossy = c.json.lossy || !f.complete()
	c.text = c.json.end(&attributes)
	out = appendString(append(out, `{"name":`...), name)
	out = strconv.AppendUint(append(out, `,"time_nanos":`...), nanos, 10)
	out = append(append(out, `,"attributes":`...), c.text...)
	c.text = c.text[:0]
	return append(appendCount(out, `,"dropped_attributes_count":`, dropped), '}')
}

// link appends a link as JSON.
func (c *Converter) link(out, b []byte) []byte {
	attributes := c.json.begin(c.text[:0])
	var traceID, spanID, traceState []byte
	var dropped, flags uint64
	f := fields{buf: b}
	for f.next() {
		switch {
		case f.num == linkTraceID && f.wire == protowire.BytesType:
			traceID = f.data()
		case f.num == linkSpanID && f.wire == protowire.BytesType:
			spanID = f.data()
		case f.num == linkTraceState && f.wire == protowire.BytesType:
			traceState = f.data()
		case f.num == linkAttributes && f.wire == protowire.BytesType:
			c.json.member(&attributes, f.data(), 1)
		case f.num == linkDropped && f.wire == protowire.VarintType:
			dropped = uint64(uint32(f.number))
		case f.num == linkFlags && f.wire == protowire.Fixed32Type:
			flags = f.number
		default:
			c.json.lossy = true
		}
	}
	c.json.lossy = c.json.lossy || !f.complete()
	c.text = c.json.end(&attributes)
	out = hexString(append(out, `{"trace_id":`...), traceID)
	out = hexString(append(out, `,"span_id":`...), spanID)
	if len(traceState) > 0 {
		out = appendString(append(out, `,"trace_state":`...), traceState)
	}
	if len(c.text) > len("{}") {
		out = append(append(out, `,"attributes":`...), c.text...)
	}
	c.text = c.text[:0]
	out = appendCount(out, `,"flags":`, flags)
	return append(appendCount(out, `,"dropped_attributes_count":`, dropped), '}')
}

// appendCount appends a number under a name unless it is zero.
func appendCount(out []byte, name string, n uint64) []byte {
	if n == 0 {
		return out
	}
	return strconv.AppendUint(append(out, name...), n, 10)
}

// appendTracesData appends the TracesData message with nothing but the span.
func appendTracesData(out []byte, s *Span) []byte {
	scopeSize := optionalSize(scopeSpansScope, s.Scope, s.Scope != nil) + optionalSize(scopeSpansSpans, s.Span, true) +
		optionalSize(scopeSpansSchemaURL, s.ScopeSchemaURL, len(s.ScopeSchemaURL) > 0)
	resourceSize := optionalSize(resourceSpansResource, s.Resource, s.Resource != nil) +
		fieldSize(resourceSpansScopeSpans, scopeSize) +
		optionalSize(resourceSpansSchemaURL, s.ResourceSchemaURL, len(s.ResourceSchemaURL) > 0)

	if need := len(out) + fieldSize(requestResourceSpans, resourceSize); need > cap(out) {
		// slices.Grow makes what it appends first, unless the compiler can do without, which it cannot under the race detector.
		out = append(make([]byte, 0, max(need, 2*cap(out))), out...)
	}
	out = protowire.AppendTag(out, requestResourceSpans, protowire.BytesType)
	out = protowire.AppendVarint(out, uint64(resourceSize))
	out = optional(out, resourceSpansResource, s.Resource, s.Resource != nil)
	out = protowire.AppendTag(out, resourceSpansScopeSpans, protowire.BytesType)
	out = protowire.AppendVarint(out, uint64(scopeSize))
	out = optional(out, scopeSpansScope, s.Scope, s.Scope != nil)
	out = optional(out, scopeSpansSpans, s.Span, true)
	out = optional(out, scopeSpansSchemaURL, s.ScopeSchemaURL, len(s.ScopeSchemaURL) > 0)
	return optional(out, resourceSpansSchemaURL, s.ResourceSchemaURL, len(s.ResourceSchemaURL) > 0)
}

func optionalSize[T ~string | ~[]byte](num protowire.Number, data T, is bool) int {
	if !is {
		return 0
	}
	return fieldSize(num, len(data))
}

// fieldSize is how long a field is with content of that size.
func fieldSize(num protowire.Number, content int) int {
	return protowire.SizeTag(num) + protowire.SizeBytes(content)
}

func optional[T ~string | ~[]byte](out []byte, num protowire.Number, data T, is bool) []byte {
	if !is {
		return out
	}
	out = protowire.AppendVarint(protowire.AppendTag(out, num, protowire.BytesType), uint64(len(data)))
	return append(out, data...)
}

// cut copies text into the chunk and returns it as a string, without an allocation of its own.
func (c *Converter) cut(text []byte) string {
	switch string(text) {
	case "":
		return ""
	case "{}":
		return "{}"
	case "[]":
		return "[]"
	}
	if len(text) > chunkBytes/4 {
		return string(text) // the rest of the chunk is good for more small ones
	}
	if c.chunk.Cap()-c.chunk.Len() < len(text) {
		c.chunk = strings.Builder{}
		c.chunk.Grow(chunkBytes)
	}
	begin := c.chunk.Len()
	c.chunk.Write(text)
	return c.chunk.String()[begin:]
}

// forget lets go of buffers that one huge span has grown.
func (c *Converter) forget() {
	const most = 1 << 20
	for _, buffer := range []*[]byte{&c.attributes, &c.events, &c.links, &c.text} {
		if cap(*buffer) > most {
			*buffer = nil
		}
	}
	if cap(c.json.keys) > most/16 {
		c.json.keys = nil
	}
}
