package sample

import "github.com/spanlake/spanlake/internal/span"

// scope is the library that made a span.
type scope struct{ name, version string }

// scopes are those of the roles: instrumentations of OpenTelemetry for what frameworks do, the program's own for the rest.
func scopes() [roleCount]scope {
	var (
		node     = scope{"@opentelemetry/instrumentation-http", "0.208.0"}
		asgi     = scope{"opentelemetry.instrumentation.fastapi", "0.59b0"}
		postgres = scope{"opentelemetry.instrumentation.psycopg", "0.59b0"}
		kafka    = scope{"opentelemetry.instrumentation.kafka", "0.59b0"}
		goKafka  = scope{"go.opentelemetry.io/contrib/instrumentation/kafka", "0.63.0"}
		junjo    = scope{"junjo", "0.61.0"}
		openAI   = scope{"openinference.instrumentation.openai", "0.1.41"}
		requests = scope{"opentelemetry.instrumentation.requests", "0.59b0"}
		tonic    = scope{"tonic-otel", "0.31.0"}
		// A program that gives its tracer a name and nothing else.
		tools = scope{name: "tools"}
	)
	return [roleCount]scope{
		rolePage: node, roleFrontend: node, roleHealth: node, roleRead: asgi, roleChatAPI: asgi, roleSQL: postgres, rolePublish: kafka,
		roleConsume: goKafka, roleBatch: goKafka, roleWorkflow: junjo, roleNode: junjo, roleAgent: junjo, roleLLM: openAI, roleEmbed: openAI,
		roleRetrieve: tools, roleVector: tonic, roleTool: tools, roleHTTP: requests,
	}
}

const (
	// The bits of a span's flags: sampled, and whether the parent is known to be in another process.
	flagSampled   = 0x001
	flagHasRemote = 0x100
	flagIsRemote  = 0x200

	semanticConventions = "https://opentelemetry.io/schemas/1.37.0"
)

// context sets what instrumentations say beside what happened: who made the span, and what else it hangs together with.
func (r *renderer) context(what role, s *span.Span, parent *span.Span) {
	scope := r.catalog.roles[what].scope
	s.ScopeName, s.ScopeVersion, s.TraceState = scope.name, scope.version, r.traceState
	s.Flags = flagSampled | flagHasRemote
	if parent != nil && parent.ServiceName != s.ServiceName {
		s.Flags |= flagIsRemote
	}
	switch what {
	case roleRead, roleChatAPI, roleSQL, rolePublish:
		s.ScopeSchemaURL = semanticConventions
	case roleConsume, roleBatch:
		// A message from a queue is handled in a trace of its own, with a link to where it was published.
		begin := r.text.begin()
		r.text.add(`[{"trace_id":"`)
		r.text.hex(r.rng.Uint64())
		r.text.hex(r.rng.Uint64())
		r.text.add(`","span_id":"`)
		r.text.hex(r.rng.Uint64())
		r.text.add(`","trace_state":"","attributes":{"messaging.operation.type":"receive"}}]`)
		s.Links = r.text.since(begin)
	}
}
