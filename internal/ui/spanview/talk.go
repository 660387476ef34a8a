package spanview

import "strings"

// Talk is one side of a conversation, or just a value that went in or came out.
type Talk struct {
	Messages []Message
	// More are messages that are not shown.
	More int
	// Body is set if it is no list of messages.
	Body *Body
}

// says tells whether a value is the messages in another form, or a text that one of them has.
func (t *Talk) says(v *value) bool {
	if messageList(opened(v)) != nil {
		return true
	}
	for _, said := range t.Messages {
		for _, part := range said.Parts {
			if b := part.Body; b != nil && (b.Inline != "" && b.Inline == v.text || b.Text != nil && b.Text.All == v.text) {
				return true
			}
		}
	}
	return false
}

// IsEmpty tells whether nothing was said.
func (t *Talk) IsEmpty() bool { return len(t.Messages) == 0 && t.Body == nil }

// conversation finds what was said to a model and by it. Clients write the same in several ways, and often in two at once: the one that
// says most comes first.
func (m *maker) conversation(v *View) {
	const operation = "gen_ai.client.inference.operation.details"
	sources := []*attributes{m.attributes}
	for i := range m.events {
		if name := m.events[i].name; name == operation || name == "gen_ai.content.prompt" || name == "gen_ai.content.completion" {
			sources = append(sources, m.events[i].attributes)
		}
	}
	for _, a := range sources {
		if len(v.Input.Messages) == 0 {
			v.Input.Messages, v.Input.More = m.said(a, "user", []string{"gen_ai.input.messages", "gen_ai.prompt", "ai.prompt.messages", "gen_ai.request.messages",
				"all_messages_events", "pydantic_ai.all_messages"}, []string{"gen_ai.prompt", "llm.input_messages", "gen_ai.input.messages"})
			if system := m.take1(a, "gen_ai.system_instructions", "gen_ai.prompt.system"); system != nil {
				v.Input.Messages = append([]Message{{Role: "system", Parts: m.parts(opened(system), partText)}}, v.Input.Messages...)
			}
		}
		if len(v.Output.Messages) == 0 {
			v.Output.Messages, v.Output.More = m.said(a, "assistant", []string{"gen_ai.output.messages", "gen_ai.completion", "gen_ai.response.messages"},
				[]string{"gen_ai.completion", "llm.output_messages", "gen_ai.output.messages"})
		}
	}
	m.vercel(v)
	m.messageEvents(v)
	m.inputOutput(v)
}

// take1 is an attribute that need not be shown a second time.
func (m *maker) take1(a *attributes, keys ...string) *value {
	for _, key := range keys {
		if v := a.get(key); v != nil {
			m.shown[key] = true
			return v
		}
	}
	return nil
}

// said reads messages from attributes that have all of them, or from many that have a piece each.
func (m *maker) said(a *attributes, role string, whole, prefixes []string) (all []Message, more int) {
	for _, key := range whole {
		if v := a.get(key); v != nil {
			if all, more = m.messages(v, role); all == nil && v.kind == kindString && v.text != "" {
				all = []Message{m.message(v, role)}
			}
			if all != nil {
				m.shown[key] = true
				return all, more
			}
		}
	}
	for _, prefix := range prefixes {
		v := a.nested(prefix, func(key string) { m.shown[key] = true })
		if v == nil {
			continue
		}
		items := list(v)
		for i, one := range items {
			if i == maxMessages || m.pieces <= 0 {
				return all, len(items) - i
			}
			all = append(all, m.message(one, role))
		}
		return all, 0
	}
	return nil, 0
}

// vercel reads what the AI SDK of Vercel writes.
func (m *maker) vercel(v *View) {
	if len(v.Output.Messages) > 0 {
		return
	}
	one := Message{Role: "assistant"}
	if text := m.take1(m.attributes, "ai.response.text", "ai.response.object"); text != nil && text.string() != "" {
		one.Parts = m.parts(text, partText)
	}
	if calls := m.take1(m.attributes, "ai.response.toolCalls"); calls != nil {
		for _, call := range list(calls) {
			if len(one.Parts) < maxParts && m.piece() {
				one.Parts = append(one.Parts, m.call(call))
			}
		}
	}
	if one.Parts != nil {
		v.Output.Messages = []Message{one}
	}
}

func isMessageEvent(name string) bool {
	switch name {
	case "gen_ai.system.message", "gen_ai.user.message", "gen_ai.assistant.message", "gen_ai.tool.message", "gen_ai.choice",
		"gen_ai.content.prompt", "gen_ai.content.completion", "gen_ai.client.inference.operation.details":
		return true
	}
	return false
}

// messageEvents reads messages that are events of their own.
func (m *maker) messageEvents(v *View) {
	input, output := len(v.Input.Messages) == 0, len(v.Output.Messages) == 0
	for i := range m.events {
		e := &m.events[i]
		role, isMessage := strings.CutSuffix(strings.TrimPrefix(e.name, "gen_ai."), ".message")
		switch {
		case !isMessageEvent(e.name):
		case e.name == "gen_ai.choice" && output:
			if len(v.Output.Messages) >= maxMessages || m.pieces <= 0 {
				v.Output.More++
				continue
			}
			v.Output.Messages = append(v.Output.Messages, m.message(eventMessage(e.attributes), "assistant"))
		case isMessage && input:
			if len(v.Input.Messages) >= maxMessages || m.pieces <= 0 {
				v.Input.More++
				continue
			}
			v.Input.Messages = append(v.Input.Messages, m.message(eventMessage(e.attributes), role))
		}
	}
}

// eventMessage is the message of an event: its attributes are the members, or one of them has all.
func eventMessage(a *attributes) *value {
	for _, key := range []string{"gen_ai.event.content", "body", "event.body"} {
		if v := opened(a.get(key)); v != nil {
			return v
		}
	}
	return a.object()
}

// inputOutput shows what went in and came out of operations of any kind, and of models whose messages are nowhere else.
func (m *maker) inputOutput(v *View) {
	inputs := []string{"input.value", "traceloop.entity.input", "ai.prompt", "mlflow.spanInputs", "langfuse.observation.input", "gen_ai.request.prompt"}
	outputs := []string{"output.value", "traceloop.entity.output", "mlflow.spanOutputs", "langfuse.observation.output"}
	m.fallback(&v.Input, "user", inputs)
	m.fallback(&v.Output, "assistant", outputs)
}

func (m *maker) fallback(t *Talk, role string, keys []string) {
	for _, key := range keys {
		v := m.attributes.get(key)
		if v == nil || m.shown[key] {
			continue
		}
		if !t.IsEmpty() {
			// It often says once more what the messages say.
			m.shown[key] = t.says(v)
			continue
		}
		m.shown[key] = true
		if t.Messages, t.More = m.messages(v, role); t.Messages == nil {
			body := m.body(v, "")
			t.Body = &body
		}
	}
}

// Offer is a tool that a model could have called.
type Offer struct {
	Name, Description string
	Body              *Body
}

// maxOffers bounds the tools in a page.
const maxOffers = 100

func (m *maker) offered() (all []Offer) {
	var tools []*value
	if v := m.take1(m.attributes, "gen_ai.tool.definitions", "gen_ai.request.tools", "ai.prompt.tools"); v != nil {
		tools = list(v)
	}
	for _, prefix := range []string{"llm.tools", "llm.request.functions", "gen_ai.request.functions"} {
		if tools != nil {
			break
		}
		if v := m.attributes.nested(prefix, func(key string) { m.shown[key] = true }); v != nil {
			tools = list(v)
		}
	}
	for _, tool := range tools {
		if len(all) == maxOffers || !m.piece() {
			break
		}
		tool = opened(tool)
		if schema := tool.get("tool").get("json_schema"); schema != nil {
			tool = opened(schema)
		}
		about := tool
		if inner := tool.get("function"); inner != nil {
			about = inner
		}
		body := m.body(tool, "")
		all = append(all, Offer{Name: cut(about.get("name").string(), 200), Description: cut(about.get("description").string(), 500), Body: &body})
	}
	return all
}

// Document is what a search has found.
type Document struct {
	ID, Score string
	Content   *Body
	Metadata  *Body
}

func (m *maker) documents() (all []Document) {
	var found []*value
	for _, prefix := range []string{"retrieval.documents", "reranker.output_documents", "gen_ai.retrieval.documents"} {
		if v := m.take1(m.attributes, prefix); v != nil {
			found = list(v)
		} else if v := m.attributes.nested(prefix, func(key string) { m.shown[key] = true }); v != nil {
			found = list(v)
		}
		if found != nil {
			break
		}
	}
	for _, v := range found {
		if len(all) == maxMessages || !m.piece() {
			break
		}
		v = opened(v)
		if inner := v.get("document"); inner != nil {
			v = inner
		}
		d := Document{ID: cut(v.first("id", "document.id").string(), 200), Score: cut(v.first("score", "document.score").string(), 50)}
		if content := v.first("content", "document.content", "page_content", "text"); content != nil {
			body := m.body(content, "")
			d.Content = &body
		}
		if metadata := v.first("metadata", "document.metadata"); metadata != nil {
			body := m.body(metadata, "")
			d.Metadata = &body
		}
		if d.Content == nil && d.Metadata == nil && d.ID == "" {
			body := m.body(v, "")
			d.Content = &body
		}
		all = append(all, d)
	}
	return all
}
