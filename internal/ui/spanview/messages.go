package spanview

import (
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
)

// Message is what one side said to the other in a conversation with a model.
type Message struct {
	// Role is system, user, assistant, tool or what the client calls it; "" if it did not say.
	Role string
	// Name is that of who speaks, if there are several.
	Name   string
	Finish string
	Parts  []Part
}

// Part is a piece of a message.
type Part struct {
	// Kind is text, reasoning, call, result, media or other.
	Kind string
	// Title is the name of a tool, or the kind of a picture.
	Title string
	// ID ties a call to its result.
	ID   string
	Body *Body
}

// The kinds of parts.
const (
	partText      = "text"
	partReasoning = "reasoning"
	partCall      = "call"
	partResult    = "result"
	partMedia     = "media"
	partOther     = "other"
)

const (
	// maxMessages and maxParts bound a conversation in a page.
	maxMessages = 200
	maxParts    = 100
)

// messages reads a list of messages, whichever way clients write it. nil: it is none.
func (m *maker) messages(v *value, role string) (said []Message, more int) {
	v = opened(v)
	if v == nil {
		return nil, 0
	}
	var all []Message
	if v.kind == kindObject {
		if system := v.first("system", "system_instruction", "instructions"); system != nil && v.first("messages", "contents", "input") != nil {
			all = append(all, m.message(system, "system"))
		}
	}
	list := messageList(v)
	for i, one := range list {
		if len(all) >= maxMessages || m.pieces <= 0 {
			return all, len(list) - i
		}
		all = append(all, m.message(one, role))
	}
	return all, 0
}

// messageList finds the messages in a value: a list of them, one of them, or the bodies of the APIs of providers.
func messageList(v *value) []*value {
	if v.kind == kindArray && len(v.items) == 1 && v.items[0].kind == kindArray {
		v = v.items[0] // one batch of several
	}
	switch {
	case v.kind == kindArray:
		if len(v.items) == 0 || !slices.ContainsFunc(v.items, isMessage) {
			return nil
		}
		return v.items
	case isMessage(v):
		return []*value{v}
	}
	for _, key := range []string{"messages", "choices", "contents", "candidates", "input", "output"} {
		if list := v.get(key); list != nil && list.kind == kindArray {
			if found := messageList(list); found != nil {
				return found
			}
		}
	}
	return nil
}

// isMessage tells whether a value says who speaks and what.
func isMessage(v *value) bool {
	v = unwrapped(v)
	says := v.first("content", "contents", "parts", "tool_calls", "function_call", "kwargs") != nil
	return says && v.first("role", "type", "kwargs", "finish_reason", "finishReason") != nil || v.get("parts") != nil || v.get("role").string() != ""
}

// unwrapped takes a message out of what has nothing but it: OpenInference and the choices of OpenAI have such.
func unwrapped(v *value) *value {
	for _, key := range []string{"message", "message_content", "tool_call", "kwargs", "data"} {
		if inner := v.get(key); inner != nil && inner.kind == kindObject && v.get("role") == nil {
			return inner
		}
	}
	return v
}

func (m *maker) message(v *value, role string) Message {
	outer := v
	m.pieces--
	v = unwrapped(v)
	if v.kind == kindObject && v.get("role") == nil {
		// Google's candidates have the message in content.
		if content := v.get("content"); content != nil && content.kind == kindObject && content.get("parts") != nil {
			v = content
		}
	}
	if v.kind != kindObject {
		return Message{Role: role, Parts: m.parts(v, partText)}
	}
	one := Message{Role: role, Name: cut(v.get("name").string(), 200)}
	if said := v.first("role", "type").string(); said != "" {
		one.Role = cut(said, 100)
	} else if id := outer.get("id"); id != nil && id.kind == kindArray && len(id.items) > 0 {
		one.Role = cut(strings.TrimSuffix(id.items[len(id.items)-1].string(), "Message"), 100) // LangChain's name of a class
	}
	one.Role = roleName(one.Role)
	for _, of := range []*value{v, outer} {
		if one.Finish == "" {
			one.Finish = cut(of.first("finish_reason", "finishReason", "stop_reason").string(), 100)
		}
	}
	if text := v.first("reasoning_content", "reasoning", "thinking"); text != nil {
		one.Parts = append(one.Parts, m.parts(text, partReasoning)...)
	}
	for _, key := range []string{"parts", "content", "contents", "text"} {
		if content := v.get(key); content != nil && content.kind != kindNull {
			as := partText
			if one.Role == "tool" || one.Role == "function" {
				as = partResult
			}
			parts := m.parts(content, as)
			for i := range parts {
				if parts[i].Kind == partResult && parts[i].ID == "" {
					parts[i].ID = cut(v.first("tool_call_id", "toolCallId", "id").string(), 200)
				}
			}
			one.Parts = append(one.Parts, parts...)
		}
	}
	if calls := v.get("tool_calls"); calls != nil {
		for _, call := range list(calls) {
			if !m.piece() {
				break
			}
			one.Parts = append(one.Parts, m.call(call))
		}
	}
	if call := v.get("function_call"); call != nil && call.kind == kindObject {
		one.Parts = append(one.Parts, m.call(call))
	}
	if len(one.Parts) > maxParts {
		one.Parts = one.Parts[:maxParts]
	}
	return one
}

// roleName is a role by the word that most clients use.
func roleName(role string) string {
	switch lower := strings.ToLower(role); lower {
	case "human":
		return "user"
	case "ai", "aichunk", "aimessagechunk", "model", "message":
		return "assistant"
	case "system", "user", "assistant", "tool", "function", "developer":
		return lower
	}
	return role
}

// list are the items of an array, or of an object whose keys are numbers: attributes with numbers in their keys make such.
func list(v *value) []*value {
	v = opened(v)
	switch v.kind {
	case kindArray:
		return v.items
	case kindObject:
		order := make([]int, 0, len(v.items))
		for i, key := range v.keys {
			if !isDigits(key) {
				return []*value{v}
			}
			order = append(order, i)
		}
		slices.SortStableFunc(order, func(i, j int) int { return strings.Compare(padNumbers(v.keys[i]), padNumbers(v.keys[j])) })
		items := make([]*value, len(order))
		for at, i := range order {
			items[at] = v.items[i]
		}
		return items
	}
	return []*value{v}
}

// parts are the pieces of a content. as is what a mere text is.
func (m *maker) parts(content *value, as string) []Part {
	if content.kind == kindString {
		inner := parseInner(content.text)
		if inner == nil || inner.kind != kindArray || len(inner.items) == 0 || inner.items[0].get("type") == nil {
			body := m.body(content, "")
			return []Part{{Kind: as, Body: &body}}
		}
		content = inner
	}
	if !content.isContainer() {
		body := m.body(content, "")
		return []Part{{Kind: as, Body: &body}}
	}
	var all []Part
	for _, item := range list(content) {
		if len(all) == maxParts || !m.piece() {
			break
		}
		all = append(all, m.part(item, as))
	}
	return all
}

func (m *maker) part(v *value, as string) Part {
	v = unwrapped(v)
	whole := func(kind string, of *value) Part {
		body := m.body(of, "")
		return Part{Kind: kind, Body: &body}
	}
	if v.kind != kindObject {
		return whole(as, v)
	}
	kind := strings.ReplaceAll(strings.ToLower(v.get("type").string()), "-", "_")
	switch kind {
	case "tool_call", "tool_use", "function_call", "server_tool_call", "server_tool_use", "function":
		return m.call(v)
	case "tool_call_response", "tool_result", "function_call_output", "server_tool_call_response":
		return m.result(v)
	case "reasoning", "thinking":
		if text := v.first("content", "text", "thinking", "reasoning", "summary"); text != nil {
			return whole(partReasoning, text)
		}
	case "", "text", "input_text", "output_text":
		if text := v.first("content", "text"); text != nil && text.kind == kindString {
			return whole(as, text)
		}
	}
	switch {
	case v.get("functionCall") != nil || v.get("function_call") != nil:
		return m.call(v.first("functionCall", "function_call"))
	case v.get("functionResponse") != nil || v.get("function_response") != nil:
		return m.result(v.first("functionResponse", "function_response"))
	}
	if note := media(kind, v); note != "" {
		return Part{Kind: partMedia, Title: note}
	}
	part := whole(partOther, v)
	part.Title = cut(kind, 100)
	return part
}

// call is a call of a tool, however the client writes it.
func (m *maker) call(v *value) Part {
	v = unwrapped(v)
	p := Part{Kind: partCall, ID: cut(v.first("id", "tool_call_id", "toolCallId", "call_id").string(), 200)}
	for _, key := range []string{"function", "server_tool_call"} {
		if inner := v.get(key); inner != nil && inner.kind == kindObject {
			v = inner
		}
	}
	p.Title = cut(v.first("name", "toolName", "tool_name").string(), 500)
	if arguments := v.first("arguments", "input", "args", "parameters"); arguments != nil {
		body := m.body(arguments, "")
		p.Body = &body
	} else if p.Title == "" {
		body := m.body(v, "")
		p.Body = &body
	}
	return p
}

func (m *maker) result(v *value) Part {
	p := Part{
		Kind: partResult, ID: cut(v.first("id", "tool_call_id", "tool_use_id", "toolCallId", "call_id").string(), 200),
		Title: cut(v.first("name", "toolName", "tool_name").string(), 500),
	}
	of := v.first("response", "result", "content", "output", "server_tool_call_response")
	if of == nil {
		of = v
	}
	body := m.body(of, "")
	p.Body = &body
	return p
}

// media says what a picture, a sound or a file is. It is never loaded: who opens a trace must not ask other hosts for anything.
func media(kind string, v *value) string {
	switch kind {
	case "image", "image_url", "input_image", "blob", "uri", "file", "input_file", "audio", "input_audio", "video", "document", "media":
	default:
		return ""
	}
	name := v.get("modality").string()
	if name == "" {
		name = strings.TrimPrefix(strings.TrimSuffix(kind, "_url"), "input_")
	}
	words := []string{name}
	if mime := mediaValue(v, 0, "mime_type", "media_type", "mimeType", "format"); mime != "" {
		words = append(words, cut(mime, 100))
	}
	for _, text := range []string{mediaValue(v, 0, "uri", "url", "image_url", "file_id", "filename"), mediaValue(v, 0, "content", "data", "base64")} {
		switch {
		case text == "":
		case strings.HasPrefix(text, "data:"):
			about, data, _ := strings.Cut(text[len("data:"):], ",")
			words = append(words, cut(strings.TrimSuffix(about, ";base64"), 100), humanize.Bytes(uint64(len(data)*3/4)))
		case len(text) > 500:
			words = append(words, humanize.Bytes(uint64(len(text)*3/4)))
		default:
			words = append(words, text)
		}
	}
	return strings.Join(words, " · ")
}

// mediaValue looks for a text in a part and, as most clients have it, one or two levels deeper.
func mediaValue(v *value, depth int, keys ...string) string {
	if text := v.first(keys...); text != nil && text.kind == kindString {
		return text.text
	}
	if depth == 3 || v.kind != kindObject {
		return ""
	}
	for _, item := range v.items {
		if item.kind == kindObject {
			if text := mediaValue(item, depth+1, keys...); text != "" {
				return text
			}
		}
	}
	return ""
}

// maxFlat bounds the attributes that one list is made from.
const maxFlat = 20_000

// nested makes one value of all attributes whose keys begin with a prefix and a dot: the parts of the key become levels.
// It is nil if there is none. use tells what to do with the key of each.
func (a *attributes) nested(prefix string, use func(key string)) *value {
	root := &branch{}
	n := 0
	for i := range a.all {
		rest, ok := strings.CutPrefix(a.all[i].key, prefix+".")
		if !ok || n == maxFlat {
			continue
		}
		n++
		use(a.all[i].key)
		root.put(strings.SplitN(rest, ".", 16), a.all[i].value())
	}
	if n == 0 {
		return nil
	}
	return root.value()
}

// branch is a level while it is made.
type branch struct {
	leaf     *value
	keys     []string
	children map[string]*branch
}

func (b *branch) put(path []string, v *value) {
	for _, segment := range path {
		next := b.children[segment]
		if next == nil {
			if b.children == nil {
				b.children = make(map[string]*branch)
			}
			next = &branch{}
			b.children[segment] = next
			b.keys = append(b.keys, segment)
		}
		b = next
	}
	b.leaf = v
}

func (b *branch) value() *value {
	if b.children == nil {
		return b.leaf
	}
	v := &value{kind: kindObject, keys: b.keys}
	if b.leaf != nil { // a key that is the beginning of another one as well
		v.keys, v.items = append([]string{""}, v.keys...), append(v.items, b.leaf)
	}
	for _, key := range b.keys {
		v.items = append(v.items, b.children[key].value())
	}
	return v
}

// object makes a value of attributes that are the members of a message, as those of events are.
func (a *attributes) object() *value {
	v := &value{kind: kindObject}
	for i := range a.all {
		v.keys, v.items = append(v.keys, a.all[i].key), append(v.items, opened(a.all[i].value()))
	}
	return v
}
