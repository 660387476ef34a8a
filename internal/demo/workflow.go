package demo

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// conversation is what most traces are: somebody asks, an assistant answers.
func (t *trace) conversation() {
	d, c := t.draw()
	front := t.server(nil, "web-frontend", scopeNode, "POST", strings.Replace(d.Route, "/v1/", "/api/", 1))
	t.spend(2*time.Millisecond, 0.5)
	f := t.ask(front, "chat-api", scopeFastAPI, "POST", d.Route, func(api *op) *failure {
		api.set("app.assistant", d.Name, "app.intent", c.Intent)
		if f := t.query(api, "SELECT", "conversations", "SELECT id, user_id, title FROM conversations WHERE id = $1", 1); f != nil {
			return api.throw(f)
		}
		id := "conv_" + t.hex()[:12]
		var f *failure
		if d.Workflow == "" && len(c.Tools) == 0 {
			f = t.chat(api, exchange{style: d.Style, system: d.System, conversation: id, model: t.largeModel(),
				messages: append(c.before(), said{role: "user", text: c.User}), answer: said{role: "assistant", text: c.Answer}})
		} else {
			f = t.workflow(api, d, c, id)
		}
		if f != nil {
			return api.throw(&failure{"fastapi.HTTPException", "502: the assistant did not answer: " + f.message})
		}
		t.query(api, "INSERT", "messages", "INSERT INTO messages (conversation_id, position, role, content) VALUES ($1, $2, $3, $4)", 1)
		t.publish(api)
		return nil
	})
	t.spend(time.Millisecond, 0.5)
	status := 200
	if f != nil {
		status = 502
	}
	front.reply(status, f)
}

// state is what a workflow keeps, as Junjo stores it.
type state struct {
	Messages    []stateMessage    `json:"messages"`
	Intent      *string           `json:"intent"`
	Documents   []stateDocument   `json:"documents"`
	ToolResults []json.RawMessage `json:"tool_results"`
	Answer      *string           `json:"answer"`
}

type stateMessage struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type stateDocument struct {
	ID    string  `json:"id"`
	Title string  `json:"title"`
	Score float64 `json:"score"`
}

// change is an operation of a JSON patch (RFC 6902).
type change struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// run is a workflow that runs.
type run struct {
	*trace
	domain
	conversation
	id, store string
	workflow  *op
	state     state
}

// node is a step of a workflow.
func (r *run) node(name string, do func(*op) *failure) *failure {
	o := r.begin(r.workflow, "agent-orchestrator", scopeJunjo, span.KindInternal, name)
	o.set("junjo.span_type", "node", "junjo.id", r.hex(), "junjo.parent_id", r.workflow.attributes["junjo.id"], "openinference.span.kind", "CHAIN")
	r.spend(900*time.Microsecond, 0.5)
	f := do(o)
	r.spend(700*time.Microsecond, 0.5)
	return o.end(f)
}

// changed notes a change of the state.
func (r *run) changed(o *op, action string, changes ...change) {
	o.happen("set_state", "id", r.hex(), "junjo.store.name", "ConversationStore", "junjo.store.id", r.store, "junjo.store.action", action,
		"junjo.state_json_patch", jsonText(changes))
}

func (t *trace) workflow(parent *op, d domain, c conversation, id string) *failure {
	name := d.Workflow
	if name == "" {
		name = "Coding Workflow"
	}
	r := &run{trace: t, domain: d, conversation: c, id: id, store: t.hex()}
	r.state = state{Messages: append(slices.Clone(c.Before), stateMessage{"user", c.User}), Documents: []stateDocument{}, ToolResults: []json.RawMessage{}}
	r.workflow = t.begin(parent, "agent-orchestrator", scopeJunjo, span.KindInternal, name)
	t.spend(1500*time.Microsecond, 0.4)
	steps := []func() *failure{r.classify}
	if len(c.Documents) > 0 {
		steps = append(steps, r.retrieve)
	}
	if len(c.Tools) > 0 {
		steps = append(steps, r.useTools)
	} else {
		steps = append(steps, r.draft)
	}
	if t.chance(0.4) {
		steps = append(steps, r.review)
	}
	r.workflow.set("junjo.span_type", "workflow", "junjo.id", t.hex(), "junjo.workflow.node.count", len(steps), "junjo.workflow.store.id", r.store,
		"junjo.workflow.state.start", jsonText(r.state), "openinference.span.kind", "CHAIN", "input.value", c.User, "session.id", id)
	var f *failure
	for _, step := range steps {
		if f = step(); f != nil {
			break
		}
	}
	t.spend(time.Millisecond, 0.4)
	r.workflow.set("junjo.workflow.state.end", jsonText(r.state))
	if f == nil {
		r.workflow.set("output.value", *r.state.Answer)
		r.workflow.span.StatusCode = span.StatusOK
	}
	return r.workflow.end(f)
}

func (r *run) exchange(m model, system string, answer said, messages ...said) exchange {
	return exchange{style: r.Style, system: system, conversation: r.id, model: m, messages: messages, answer: answer}
}

// classify finds out what is wanted.
func (r *run) classify() *failure {
	return r.node("ClassifyIntentNode", func(o *op) *failure {
		if r.chance(0.006) {
			return o.throw(&failure{"pydantic.ValidationError", "1 validation error for Intent\nintent\n  Input should be a valid string [type=string_type, input_value=None]"})
		}
		if f := r.chat(o, r.exchange(r.smallModel(), "Name the intent of the message in one word of snake case.", said{role: "assistant", text: r.Intent},
			said{role: "user", text: r.User})); f != nil {
			return f
		}
		r.state.Intent = &r.Intent
		r.changed(o, "set_intent", change{"replace", "/intent", r.Intent})
		return nil
	})
}

// retrieve finds documents.
func (r *run) retrieve() *failure {
	return r.node("RetrieveContextNode", func(o *op) *failure {
		f := r.search(o)
		if f != nil {
			return f
		}
		var changes []change
		for i, d := range r.Documents {
			found := stateDocument{d.ID, d.Title, d.Score}
			r.state.Documents = append(r.state.Documents, found)
			changes = append(changes, change{"add", "/documents/" + strconv.Itoa(i), found})
		}
		r.changed(o, "add_documents", changes...)
		return nil
	})
}

func (r *run) search(parent *op) *failure {
	o := r.begin(parent, "retriever", scopeTools, span.KindInternal, "retrieve "+r.collection())
	o.set("openinference.span.kind", "RETRIEVER", "input.value", r.User, "retrieval.top_k", 5)
	r.spend(2*time.Millisecond, 0.4)
	r.embed(o, r.User)
	if f := r.vectors(o, "query", r.collection(), 5, len(r.Documents)); f != nil {
		return o.end(f)
	}
	for i, d := range r.Documents {
		prefix := fmt.Sprintf("retrieval.documents.%d.document.", i)
		o.set(prefix+"id", d.ID, prefix+"score", d.Score, prefix+"content", d.Text, prefix+"metadata", jsonText(map[string]string{"title": d.Title}))
	}
	r.spend(time.Millisecond, 0.4)
	return o.end(nil)
}

func (r *run) collection() string {
	switch r.Name {
	case "orders":
		return "help-center"
	case "incidents":
		return "postmortems"
	case "travel":
		return "travel-rules"
	}
	return "handbook"
}

// embed asks for the vector of a text.
func (t *trace) embed(parent *op, text string) {
	o := t.begin(parent, parent.span.ServiceName, scopeInfer, span.KindClient, "embeddings text-embedding-3-small")
	n := tokens(text)
	o.set("openinference.span.kind", "EMBEDDING", "embedding.model_name", "text-embedding-3-small", "embedding.embeddings.0.embedding.text", text,
		"llm.token_count.prompt", n, "gen_ai.operation.name", "embeddings", "gen_ai.provider.name", "openai", "gen_ai.request.model", "text-embedding-3-small",
		"gen_ai.usage.input_tokens", n, "server.address", "api.openai.com")
	t.spend(60*time.Millisecond, 0.4)
	o.end(nil)
}

// context is what was found, as a model is told.
func (r *run) context() string {
	var all strings.Builder
	for _, d := range r.Documents {
		fmt.Fprintf(&all, "[%s] %s: %s\n", d.ID, d.Title, d.Text)
	}
	return all.String()
}

// questions are what a model is asked at first.
func (r *run) questions() []said {
	text := r.User
	if len(r.Documents) > 0 {
		text = "Documents:\n" + r.context() + "\nQuestion: " + r.User
	}
	return append(r.before(), said{role: "user", text: text})
}

// draft has a model write the answer.
func (r *run) draft() *failure {
	return r.node("DraftAnswerNode", func(o *op) *failure {
		if f := r.chat(o, r.exchange(r.largeModel(), r.System, said{role: "assistant", text: r.Answer}, r.questions()...)); f != nil {
			return f
		}
		r.answer(o, r.Answer)
		return nil
	})
}

func (r *run) answer(o *op, text string) {
	r.state.Answer = &text
	r.state.Messages = append(r.state.Messages, stateMessage{"assistant", text})
	r.changed(o, "set_answer", change{"replace", "/answer", text},
		change{"add", "/messages/" + strconv.Itoa(len(r.state.Messages)-1), stateMessage{"assistant", text}})
}

// review has another model look at the answer.
func (r *run) review() *failure {
	return r.node("ReviewAnswerNode", func(o *op) *failure {
		return r.chat(o, r.exchange(r.smallModel(), "Does the answer promise anything that the tools or documents do not support? Answer as JSON.",
			said{role: "assistant", text: `{"approved": true, "problems": []}`}, said{role: "user", text: "Question: " + r.User + "\n\nAnswer: " + *r.state.Answer}))
	})
}
