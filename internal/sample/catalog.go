package sample

import (
	"encoding/json"
	"fmt"

	"github.com/spanlake/spanlake/internal/span"
)

// catalog is what the spans of each role look like, and the words of their texts. It is read by all workers and never written.
type catalog struct {
	roles  [roleCount]roleLook
	models []model
	words  words
	// quoted are the same words for JSON that is itself a string in JSON.
	quoted words
}

// service is a program that makes spans, with the JSON text of what is known of its process.
type service struct {
	name, resource string
}

// roleLook is what the spans of a role have in common.
type roleLook struct {
	services []service
	kind     span.Kind
	names    []string
	scope    scope
	// median is the time in nanoseconds that such a span takes beside its children, and spread the sigma of its logarithm.
	median, spread float64
	// errorRate is how often such a span fails on its own account.
	errorRate float64
	failures  []failure
}

// failure is an error that a span can have: its type, its message, and the message as it stands in a JSON string.
type failure struct {
	kind, plain, quoted string
}

type model struct {
	provider, name, spanName string
}

const (
	microsecond = 1e3
	millisecond = 1e6
)

func newCatalog() *catalog {
	var (
		frontend     = newService("web-frontend", "3.8.1", "nodejs")
		chatAPI      = newService("chat-api", "1.14.0", "python")
		billing      = newService("billing-worker", "0.9.4", "go")
		batch        = newService("batch-worker", "0.9.4", "go")
		orchestrator = newService("agent-orchestrator", "2.3.0", "python")
		gateway      = newService("llm-gateway", "5.0.2", "go")
		retriever    = newService("retriever", "1.2.7", "python")
		vectorDB     = newService("vector-db", "0.31.0", "rust")
		toolRunner   = newService("tool-runner", "4.4.4", "python")
		toolSandbox  = newService("tool runner/é", "4.5.0-rc.1", "python")
	)
	c := &catalog{models: newModels(), words: newWords(1), quoted: newWords(2)}
	c.roles = [roleCount]roleLook{
		rolePage: {services: []service{frontend}, kind: span.KindServer, median: 12 * millisecond, spread: 0.7, errorRate: 0.002,
			names:    []string{"GET /", "GET /conversations/{id}", "GET /settings"},
			failures: failures("TypeError", "Cannot read properties of undefined (reading 'id')")},
		roleFrontend: {services: []service{frontend}, kind: span.KindServer, median: 4 * millisecond, spread: 0.5, errorRate: 0.001,
			names:    []string{"POST /chat", "POST /conversations/{id}/messages"},
			failures: failures("TypeError", "Cannot read properties of undefined (reading 'id')")},
		roleHealth: {services: []service{frontend}, kind: span.KindServer, median: 250 * microsecond, spread: 0.6,
			names: []string{"GET /healthz", "GET /readyz"}},
		roleRead: {services: []service{chatAPI}, kind: span.KindServer, median: 2 * millisecond, spread: 0.5, errorRate: 0.002,
			names: []string{"GET /v1/conversations/{id}"}, failures: failures("NotFoundError", "no such conversation")},
		roleChatAPI: {services: []service{chatAPI}, kind: span.KindServer, median: 3 * millisecond, spread: 0.5, errorRate: 0.002,
			names:    []string{"POST /v1/chat", "POST /v1/messages"},
			failures: failures("ValidationError", "1 validation error for ChatRequest\nmessages\n  Field required")},
		roleSQL: {services: []service{chatAPI}, kind: span.KindClient, median: 2 * millisecond, spread: 0.8, errorRate: 0.004,
			names:    []string{"SELECT conversations", "INSERT messages", "UPDATE usage", "SELECT tool_grants"},
			failures: failures("psycopg.OperationalError", "server closed the connection unexpectedly")},
		rolePublish: {services: []service{chatAPI}, kind: span.KindProducer, median: 700 * microsecond, spread: 0.4, errorRate: 0.001,
			names: []string{"publish usage.recorded"}, failures: failures("TimeoutError", "no acknowledgement within 5.0 s")},
		roleConsume: {services: []service{billing}, kind: span.KindConsumer, median: 9 * millisecond, spread: 0.7, errorRate: 0.005,
			names:    []string{"process usage.recorded"},
			failures: failures("*errors.errorString", "duplicate key value violates unique constraint \"usage_pkey\"")},
		roleBatch: {services: []service{batch}, kind: span.KindConsumer, median: 20 * millisecond, spread: 0.5, errorRate: 0.01,
			names: []string{"process documents.uploaded"}, failures: failures("MemoryError", "document has 1,204 pages")},
		roleWorkflow: {services: []service{orchestrator}, kind: span.KindInternal, median: 2 * millisecond, spread: 0.4, errorRate: 0.002,
			names: []string{"Chat Workflow", "Support Triage Workflow", "Research Workflow", "Onboarding Workflow",
				"Invoice Review Workflow", "Document Batch Workflow"},
			failures: failures("GraphError", "no edge leads from node 'Réponse' to a sink")},
		roleNode: {services: []service{orchestrator}, kind: span.KindInternal, median: 1.5 * millisecond, spread: 0.5, errorRate: 0.006,
			names: []string{"ClassifyIntentNode", "SaveMessageNode", "RetrieveContextNode", "DraftAnswerNode", "ReviewAnswerNode",
				"SummarizeThreadNode", "PlanStepsNode", "RunToolsNode", "CheckPolicyNode", "RouteTicketNode", "ExtractFieldsNode",
				"TranslateNode", "RankResultsNode", "UpdateMemoryNode", "EscalateNode", "CloseTicketNode"},
			failures: failures("pydantic.ValidationError", "output is not valid JSON: Expecting ',' delimiter: line 1 column 78",
				"KeyError", "'intent'")},
		roleAgent: {services: []service{orchestrator}, kind: span.KindInternal, median: 3 * millisecond, spread: 0.5, errorRate: 0.004,
			names: []string{"invoke_agent planner", "invoke_agent researcher", "invoke_agent support", "invoke_agent coder",
				"invoke_agent reviewer"},
			failures: failures("MaxTurnsExceeded", "agent did not finish within 12 turns")},
		// The names of model calls come from the models.
		roleLLM: {services: []service{gateway}, kind: span.KindClient, median: 1100 * millisecond, spread: 0.7, errorRate: 0.042,
			failures: failures("RateLimitError", "rate limited: retry after 2s", "APITimeoutError", "request timed out after 60s",
				"BadRequestError", "maximum context length is 128000 tokens", "APIStatusError", "529 overloaded")},
		roleEmbed: {services: []service{retriever}, kind: span.KindClient, median: 55 * millisecond, spread: 0.5, errorRate: 0.012,
			names:    []string{"embeddings text-embedding-3-small"},
			failures: failures("RateLimitError", "rate limited: retry after 200ms")},
		roleRetrieve: {services: []service{retriever}, kind: span.KindInternal, median: 3 * millisecond, spread: 0.4, errorRate: 0.002,
			names:    []string{"retrieve documents", "retrieve tickets"},
			failures: failures("EmptyIndexError", "collection 'tickets' holds no vectors")},
		roleVector: {services: []service{vectorDB}, kind: span.KindServer, median: 12 * millisecond, spread: 0.6, errorRate: 0.010,
			names:    []string{"query documents", "query tickets", "upsert documents"},
			failures: failures("tonic::Status", "deadline exceeded")},
		roleTool: {services: []service{toolRunner, toolRunner, toolSandbox}, kind: span.KindInternal, median: 25 * millisecond, spread: 1.0,
			errorRate: 0.045,
			names: []string{"execute_tool search_docs", "execute_tool get_weather", "execute_tool create_ticket",
				"execute_tool run_python", "execute_tool read_file", "execute_tool lookup_invoice", "execute_tool send_email"},
			failures: failures("ToolError", "search_docs: no result for \"Größe\"",
				"subprocess.CalledProcessError", "Command '['python', 'main.py']' returned non-zero exit status 1.",
				"FileNotFoundError", "[Errno 2] No such file or directory: '/workspace/report.md'")},
		roleHTTP: {services: []service{toolRunner}, kind: span.KindClient, median: 80 * millisecond, spread: 0.9, errorRate: 0.025,
			names:    []string{"GET", "POST"},
			failures: failures("requests.ConnectionError", "HTTPSConnectionPool(host='api.example.com', port=443): Max retries exceeded")},
	}
	for role, scope := range scopes() {
		c.roles[role].scope = scope
	}
	return c
}

func newModels() []model {
	models := []model{
		{provider: "openai", name: "gpt-4o"}, {provider: "openai", name: "gpt-4o-mini"}, {provider: "openai", name: "o4-mini"},
		{provider: "anthropic", name: "claude-sonnet-4-5"}, {provider: "anthropic", name: "claude-haiku-4-5"},
		{provider: "gcp.gemini", name: "gemini-2.5-pro"}, {provider: "mistral_ai", name: "mistral-large-2411"},
	}
	for i := range models {
		models[i].spanName = "chat " + models[i].name
	}
	return models
}

func newService(name, version, language string) service {
	resource := map[string]any{
		"deployment.environment.name": "production", "host.name": fmt.Sprintf("node-%d.eu-west.example.com", len(name)),
		"process.pid": 40 + len(name), "service.name": name, "service.version": version,
		"telemetry.sdk.language": language, "telemetry.sdk.name": "opentelemetry", "telemetry.sdk.version": "1.38.0",
	}
	text, err := json.Marshal(resource)
	if err != nil {
		// Strings and small numbers always have a JSON text.
		panic(err)
	}
	return service{name: name, resource: string(text)}
}

// failures makes a list of types and messages, in turn.
func failures(texts ...string) []failure {
	var list []failure
	for i := 0; i < len(texts); i += 2 {
		list = append(list, failure{kind: texts[i], plain: texts[i+1], quoted: quote(texts[i+1])}) //nolint:gosec // texts come in pairs
	}
	return list
}
