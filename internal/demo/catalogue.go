package demo

import (
	_ "embed" // the conversations
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

//go:embed conversations.json
var conversationsJSON []byte

// catalogue is what traces are made of. It is read and never written.
type catalogue struct {
	domains  []domain
	programs map[string]*program
	// scopes are versions of instrumentations by their names.
	scopes map[string]string
	models []model
}

// domain is what one assistant is there for.
type domain struct {
	Name, Workflow, Agent, Route, Style, System string
	// Conversations are texts of JSON, in which {order}, {name} and so on stand for what differs from trace to trace.
	Conversations []json.RawMessage
}

// conversation is a question, what is done about it, and the answer.
type conversation struct {
	Intent, User, Answer string
	Tools                []toolUse
	Documents            []document
	// Before is what was said earlier.
	Before []stateMessage `json:"-"`
}

// before is the same for a model.
func (c *conversation) before() (all []said) {
	for _, m := range c.Before {
		all = append(all, said{role: m.Role, text: m.Content})
	}
	return all
}

type toolUse struct {
	Name              string
	Arguments, Result json.RawMessage
}

type document struct {
	ID, Title, Text string
	Score           float64
}

// model is a language model: how it is asked for, and what it calls itself.
type model struct{ provider, name, answersAs, host string }

func newCatalogue() (*catalogue, error) {
	c := &catalogue{programs: newPrograms(), scopes: newScopes(), models: []model{
		{"openai", "gpt-4o", "gpt-4o-2024-08-06", "api.openai.com"},
		{"openai", "gpt-4o-mini", "gpt-4o-mini-2024-07-18", "api.openai.com"},
		{"anthropic", "claude-sonnet-4-5", "claude-sonnet-4-5-20250929", "api.anthropic.com"},
		{"anthropic", "claude-haiku-4-5", "claude-haiku-4-5-20251001", "api.anthropic.com"},
		{"mistral_ai", "mistral-large-latest", "mistral-large-2411", "api.mistral.ai"},
	}}
	if err := json.Unmarshal(conversationsJSON, &c.domains); err != nil {
		return nil, fmt.Errorf("conversations: %w", err)
	}
	for _, d := range c.domains {
		for i, text := range d.Conversations {
			var one conversation
			if err := json.Unmarshal(text, &one); err != nil {
				return nil, fmt.Errorf("conversation %d of %s: %w", i, d.Name, err)
			}
			if one.User == "" || one.Answer == "" {
				return nil, errors.New("conversation " + strconv.Itoa(i) + " of " + d.Name + " has no question or no answer")
			}
		}
	}
	return c, nil
}

// The models for short decisions and for answers.
func (t *trace) smallModel() model { return pick(t, t.models[1], t.models[3]) }
func (t *trace) largeModel() model {
	return pick(t, t.models[0], t.models[2], t.models[2], t.models[4])
}

// draw chooses a conversation and fills it in.
func (t *trace) draw() (domain, conversation) {
	d := pick(t, t.domains...)
	amount := strconv.FormatFloat(float64(1500+t.rng.IntN(28_000))/100, 'f', 2, 64)
	name := pick(t, "Maya", "Jonas", "Aisha", "Luca", "Ingrid", "Tomás", "Priya", "Elena", "Kofi", "Sofia", "Daniel", "Yuki", "Zoë", "Björn", "Fatima", "Owen")
	city := pick(t, "Zürich", "Lisbon", "Kraków", "Leeds", "Hamburg", "Lyon", "Bologna", "Gothenburg", "Antwerp", "Málaga")
	texts := strings.NewReplacer(
		"{order}", "NW-"+strconv.Itoa(40_000+t.rng.IntN(60_000)), "{number}", strconv.Itoa(10_000+t.rng.IntN(90_000)), "{amount}", amount,
		"{name}", name, "{city}", city, "{email}", strings.ToLower(name)+"@example.com",
	)
	fill := func(text json.RawMessage) (c conversation) {
		if err := json.Unmarshal([]byte(texts.Replace(string(text))), &c); err != nil {
			panic(err) // newCatalogue has read it, and what is filled in needs no escapes
		}
		return c
	}
	at := t.rng.IntN(len(d.Conversations))
	c := fill(d.Conversations[at])
	if t.chance(0.4) {
		for i := range 1 + t.rng.IntN(2) {
			earlier := fill(d.Conversations[(at+i+1)%len(d.Conversations)])
			c.Before = append(c.Before, stateMessage{"user", earlier.User}, stateMessage{"assistant", earlier.Answer})
		}
	}
	return d, c
}

// program is what makes spans: the process of a service.
type program struct {
	name, language string
	resource       string
	// replicas are how many run; spans of one trace come from the same one.
	file, function string
}

func newPrograms() map[string]*program {
	all := make(map[string]*program)
	for i, p := range []struct{ name, version, language, file, function string }{
		{"web-frontend", "3.8.1", "nodejs", "/app/server/routes.js", "handleMessage"},
		{"chat-api", "1.14.0", "python", "/app/chat_api/routes.py", "post_message"},
		{"agent-orchestrator", "2.3.0", "python", "/app/orchestrator/run.py", "execute"},
		{"llm-gateway", "5.0.2", "go", "/src/gateway/upstream.go", "gateway.(*Upstream).Complete"},
		{"retriever", "1.2.7", "python", "/app/retriever/search.py", "retrieve"},
		{"vector-db", "0.31.0", "rust", "src/query/mod.rs", "vector_db::query::run"},
		{"tool-runner", "4.4.4", "python", "/app/tools/runner.py", "call_tool"},
		{"orders-api", "7.2.0", "java", "OrderController.java", "com.northwind.orders.OrderController.handle"},
		{"payments-api", "2.9.3", "go", "/src/payments/refund.go", "payments.(*Service).Refund"},
		{"billing-worker", "0.9.4", "go", "/src/billing/usage.go", "billing.(*Worker).Record"},
		{"batch-worker", "0.9.4", "python", "/app/batch/index_documents.py", "process"},
	} {
		all[p.name] = &program{name: p.name, language: p.language, file: p.file, function: p.function, resource: jsonText(map[string]any{
			"service.name": p.name, "service.version": p.version, "service.namespace": "northwind", "deployment.environment.name": "production",
			"host.name": fmt.Sprintf("node-%d.eu-central.example.com", 1+i%4), "k8s.namespace.name": "assistants",
			"k8s.pod.name": fmt.Sprintf("%s-%x-%c%c%c", p.name, 0x7d9f4c00+i*77, 'a'+i, 'k'+i, 'c'+2*i), "process.pid": 40 + i,
			"telemetry.sdk.language": p.language, "telemetry.sdk.name": "opentelemetry", "telemetry.sdk.version": "1.38.0",
		})}
	}
	return all
}

// Names of instrumentations.
const (
	scopeNode     = "@opentelemetry/instrumentation-http"
	scopeFastAPI  = "opentelemetry.instrumentation.fastapi"
	scopeHTTPX    = "opentelemetry.instrumentation.httpx"
	scopePostgres = "opentelemetry.instrumentation.psycopg"
	scopeKafka    = "opentelemetry.instrumentation.kafka"
	scopeSpring   = "io.opentelemetry.spring-webmvc-6.0"
	scopeJDBC     = "io.opentelemetry.jdbc"
	scopeGoHTTP   = "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	scopeGoKafka  = "go.opentelemetry.io/contrib/instrumentation/kafka"
	scopeJunjo    = "junjo"
	scopeGenAI    = "northwind/llm-gateway/genai"
	scopeInfer    = "openinference.instrumentation.openai"
	scopeTonic    = "tonic-otel"
	scopeTools    = "tools"
)

func newScopes() map[string]string {
	return map[string]string{scopeNode: "0.208.0", scopeFastAPI: "0.59b0", scopeHTTPX: "0.59b0", scopePostgres: "0.59b0", scopeKafka: "0.59b0",
		scopeSpring: "2.21.0", scopeJDBC: "2.21.0", scopeGoHTTP: "0.63.0", scopeGoKafka: "0.63.0", scopeJunjo: "0.61.0", scopeGenAI: "1.4.0",
		scopeInfer: "0.1.41", scopeTonic: "0.31.0", scopeTools: ""}
}

// stack is what the runtime of the program says of an exception.
func (p *program) stack(t *trace, f *failure) string {
	line := 20 + t.rng.IntN(300)
	switch p.language {
	case "python":
		return fmt.Sprintf("Traceback (most recent call last):\n  File %q, line %d, in %s\n    result = await self._attempt(request)\n"+
			"  File %q, line %d, in _attempt\n    response.raise_for_status()\n%s: %s\n", p.file, line, p.function, p.file, line+41, f.kind, f.message)
	case "nodejs":
		return fmt.Sprintf("%s: %s\n    at %s (%s:%d:17)\n    at process.processTicksAndRejections (node:internal/process/task_queues:105:5)\n"+
			"    at async Layer.handle (/app/node_modules/express/lib/router/layer.js:95:5)", f.kind, f.message, p.function, p.file, line)
	case "java":
		return fmt.Sprintf("%s: %s\n\tat %s(%s:%d)\n\tat org.springframework.web.servlet.DispatcherServlet.doDispatch(DispatcherServlet.java:1088)\n"+
			"\tat java.base/java.lang.Thread.run(Thread.java:1583)", f.kind, f.message, p.function, p.file, line)
	case "rust":
		return fmt.Sprintf("%s: %s\n   0: %s\n             at %s:%d\n   1: tokio::runtime::task::core::Core<T,S>::poll", f.kind, f.message, p.function, p.file, line)
	}
	return fmt.Sprintf("%s: %s\n\ngoroutine %d [running]:\n%s(...)\n\t%s:%d +0x1a4\nnet/http.HandlerFunc.ServeHTTP(...)\n\t/usr/local/go/src/net/http/server.go:2294 +0x29",
		f.kind, f.message, 100+t.rng.IntN(9000), p.function, p.file, line)
}
