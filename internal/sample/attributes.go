package sample

import (
	"math"

	"github.com/spanlake/spanlake/internal/span"
)

// attributes writes the attributes of a span, with their keys in the order in which encoding/json puts those of a map.
func (r *renderer) attributes(what role, t *timing, s *span.Span) {
	begin := r.text.begin()
	switch what {
	case rolePage, roleFrontend, roleHealth, roleRead, roleChatAPI:
		r.httpServer(t, s)
	case roleSQL:
		r.text.add(`{"db.namespace":"app","db.operation.name":"`, pick(r, "SELECT", "INSERT", "UPDATE"),
			`","db.response.returned_rows":`)
		r.text.int(r.rng.Int64N(50))
		r.text.add(`,"db.system.name":"postgresql"}`)
	case rolePublish, roleConsume, roleBatch:
		r.text.add(`{"messaging.destination.name":"usage","messaging.message.id":"`)
		r.text.hex(r.rng.Uint64())
		r.text.add(`","messaging.system":"kafka"}`)
	case roleWorkflow:
		r.workflow()
	case roleNode:
		r.text.add(`{"junjo.id":"`)
		r.text.hex(r.rng.Uint64())
		r.text.add(`","junjo.parent_id":"`, s.ParentSpanID, `","junjo.span_type":"node"}`)
	case roleAgent:
		r.text.add(`{"gen_ai.agent.id":"`)
		r.text.hex(r.rng.Uint64())
		// The name is "invoke_agent NAME".
		r.text.add(`","gen_ai.agent.name":"`, s.Name[len("invoke_agent "):],
			`","gen_ai.operation.name":"invoke_agent","openinference.span.kind":"AGENT"}`)
	case roleLLM:
		r.chat(t, s)
	case roleEmbed:
		r.text.add(`{"gen_ai.operation.name":"embeddings","gen_ai.provider.name":"openai",` +
			`"gen_ai.request.model":"text-embedding-3-small","gen_ai.usage.input_tokens":`)
		r.text.int(5 + r.rng.Int64N(400))
		r.text.add(`,"openinference.span.kind":"EMBEDDING"}`)
	case roleRetrieve:
		r.text.add(`{"input.value":"`)
		r.prose(r.catalog.words, 60)
		r.text.add(`","openinference.span.kind":"RETRIEVER","retrieval.top_k":`, pick(r, "5", "10", "20"), `}`)
	case roleVector:
		r.text.add(`{"db.collection.name":"`, pick(r, "documents", "tickets", "memories"),
			`","db.operation.name":"query","db.system.name":"qdrant","db.vector.score.max":0.`)
		r.text.int(600_000 + r.rng.Int64N(399_999))
		r.text.add(`}`)
	case roleTool:
		r.tool(t, s)
	case roleHTTP:
		r.text.add(`{"http.request.method":"`, s.Name, `","http.response.status_code":`, pick(r, "200", "200", "201", "404"),
			`,"server.address":"api.example.com","url.full":"https://api.example.com/v2/items/`)
		r.text.int(r.rng.Int64N(1_000_000))
		r.text.add(`?expand=lines\u0026page=1"}`)
	default:
		r.text.add(`{}`)
	}
	s.Attributes = r.text.since(begin)
}

func (r *renderer) httpServer(t *timing, s *span.Span) {
	// The name is "METHOD ROUTE".
	method, route := "GET", s.Name[len("GET "):]
	if s.Name[0] == 'P' {
		method, route = "POST", s.Name[len("POST "):]
	}
	status := "200"
	if t.failed != 0 {
		status = "500"
	}
	r.text.add(`{"client.address":"10.3.`)
	r.text.int(r.rng.Int64N(256))
	r.text.add(`.17","http.request.method":"`, method, `","http.response.status_code":`, status, `,"http.route":"`, route,
		`","user.id":"user-`)
	r.text.int(r.rng.Int64N(50_000))
	r.text.add(`"}`)
}

func (r *renderer) workflow() {
	r.text.add(`{"junjo.id":"`)
	r.text.hex(r.rng.Uint64())
	r.text.add(`","junjo.span_type":"workflow","junjo.workflow.node.count":`)
	r.text.int(3 + r.rng.Int64N(12))
	r.text.add(`,"junjo.workflow.state.start":"{\"messages\":[{\"content\":\"`)
	r.prose(r.catalog.quoted, 200)
	r.text.add(`\",\"role\":\"user\"}],\"turn\":`)
	r.text.int(r.rng.Int64N(40))
	r.text.add(`}","openinference.span.kind":"CHAIN"}`)
}

func (r *renderer) chat(t *timing, s *span.Span) {
	model := &r.catalog.models[r.rng.IntN(len(r.catalog.models))]
	s.Name = model.spanName
	r.text.add(`{"gen_ai.operation.name":"chat","gen_ai.provider.name":"`, model.provider, `","gen_ai.request.model":"`, model.name,
		`","gen_ai.request.temperature":`, pick(r, "0", "0.2", "0.7", "1"))
	if t.failed == 0 {
		r.text.add(`,"gen_ai.response.finish_reasons":["`, pick(r, "stop", "stop", "tool_calls", "length"),
			`"],"gen_ai.response.id":"chatcmpl-`)
		r.text.hex(r.rng.Uint64())
		r.text.add(`","gen_ai.response.model":"`, model.name, `"`)
	}
	r.text.add(`,"gen_ai.usage.input_tokens":`)
	r.text.int(150 + r.rng.Int64N(6_000))
	r.text.add(`,"gen_ai.usage.output_tokens":`)
	r.text.int(r.rng.Int64N(900))
	r.text.add(`,"input.value":"`)
	r.prose(r.catalog.words, 650)
	r.text.add(`","openinference.span.kind":"LLM"`)
	if t.failed == 0 {
		r.text.add(`,"output.value":"`)
		r.prose(r.catalog.words, 450)
		r.text.add(`"`)
	}
	r.text.add(`}`)
}

func (r *renderer) tool(t *timing, s *span.Span) {
	// The name is "execute_tool NAME".
	tool := s.Name[len("execute_tool "):]
	r.text.add(`{"gen_ai.operation.name":"execute_tool","gen_ai.tool.call.id":"call_`)
	r.text.hex(r.rng.Uint64())
	r.text.add(`","gen_ai.tool.name":"`, tool, `","input.value":"{\"query\":\"`)
	r.prose(r.catalog.quoted, 50)
	r.text.add(`\",\"limit\":`)
	r.text.int(1 + r.rng.Int64N(100))
	r.text.add(`}","openinference.span.kind":"TOOL"`)
	if t.failed == 0 {
		r.text.add(`,"output.value":"`)
		r.prose(r.catalog.words, 240)
		r.text.add(`"`)
	}
	r.text.add(`}`)
}

// status sets the outcome: most spans leave it unset, as most instrumentations do.
func (r *renderer) status(what role, t *timing, s *span.Span) {
	switch {
	case t.failed > 0:
		s.StatusCode, s.StatusMessage = span.StatusError, r.catalog.roles[what].failures[t.failed-1].plain
	case t.failed == failedChild:
		s.StatusCode, s.StatusMessage = span.StatusError, "a step failed"
	case what == roleWorkflow:
		s.StatusCode = span.StatusOK
	}
}

// events writes the events of a span: exceptions, the first token of an answer and changes of a workflow's state.
func (r *renderer) events(what role, t *timing, s *span.Span) {
	at := t.start + int64(r.rng.Float64()*float64(t.own+t.inner))
	switch {
	case t.failed > 0:
		failure := &r.catalog.roles[what].failures[t.failed-1]
		begin := r.text.begin()
		r.event("exception", at)
		r.text.add(`"exception.message":"`, failure.quoted, `","exception.stacktrace":"Traceback (most recent call last):\n`+
			`  File \"/app/`, s.ServiceName, `/main.py\", line `)
		r.text.int(10 + r.rng.Int64N(900))
		r.text.add(`, in run\n    raise `, failure.kind, `\n","exception.type":"`, failure.kind, `"}}]`)
		s.Events = r.text.since(begin)
	case what == roleLLM && r.rng.IntN(2) == 0:
		begin := r.text.begin()
		r.event("first_token", at)
		r.text.add(`"ms":`)
		r.text.int((at - t.start) / millisecond)
		r.text.add(`}}]`)
		s.Events = r.text.since(begin)
	case what == roleNode && r.rng.IntN(5) < 3:
		begin := r.text.begin()
		r.event("set_state", at)
		r.text.add(`"id":"`)
		r.text.hex(r.rng.Uint64())
		r.text.add(`","junjo.state_json_patch":"[{\"op\":\"add\",\"path\":\"/messages/-`)
		_ = r.rng.Int64N(40) // was a place in the list; without this draw all that follows would be another sample
		r.text.add(`\",\"value\":\"`)
		r.prose(r.catalog.quoted, 80)
		r.text.add(`\"}]","junjo.store.action":"append_message","junjo.store.name":"ChatStore"}}]`)
		s.Events = r.text.since(begin)
	default:
		s.Events = `[]`
	}
}

// event writes an array of one event up to its first attribute.
func (r *renderer) event(name string, at int64) {
	r.text.add(`[{"name":"`, name, `","time_nanos":`)
	r.text.int(at)
	r.text.add(`,"attributes":{`)
}

// prose writes words: mostly about as many bytes as median, now and then many times more, as people write.
func (r *renderer) prose(from words, median float64) {
	size := median * math.Exp(0.8*r.rng.NormFloat64())
	r.text.prose(r.rng, from, int(min(size, maxProse)))
}

// maxProse keeps all the texts of a span well inside the room that is made for them.
const maxProse = 8_000

// pick chooses one of a few texts.
func pick(r *renderer, from ...string) string { return from[r.rng.IntN(len(from))] }
