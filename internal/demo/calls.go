package demo

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// probe is a request of a load balancer.
func (t *trace) probe() {
	o := t.server(nil, "web-frontend", scopeNode, "GET", pick(t, "/healthz", "/readyz"))
	t.spend(300*time.Microsecond, 0.5)
	o.reply(200, nil)
}

// page is a page that somebody looks at.
func (t *trace) page() {
	route := pick(t, "/", "/conversations/{id}", "/settings", "/orders/{id}")
	o := t.server(nil, "web-frontend", scopeNode, "GET", route)
	t.spend(4*time.Millisecond, 0.5)
	switch route {
	case "/conversations/{id}":
		t.ask(o, "chat-api", scopeFastAPI, "GET", "/v1/conversations/{conversation_id}", func(api *op) *failure {
			t.query(api, "SELECT", "conversations", "SELECT id, title, created_at FROM conversations WHERE id = $1", 1)
			return t.query(api, "SELECT", "messages", "SELECT role, content FROM messages WHERE conversation_id = $1 ORDER BY position", 2+t.rng.IntN(18))
		})
	case "/orders/{id}":
		if t.chance(0.04) {
			t.ask(o, "orders-api", scopeSpring, "GET", "/orders/{id}", func(*op) *failure { return nil })
			o.reply(404, nil)
			return
		}
		t.order(o)
	}
	t.spend(3*time.Millisecond, 0.5)
	o.reply(200, nil)
}

// consume is a message from the queue, which an earlier trace has put there.
func (t *trace) consume(m message) {
	o := t.begin(nil, "billing-worker", scopeGoKafka, span.KindConsumer, "process usage.recorded")
	o.set("messaging.system", "kafka", "messaging.operation.type", "process", "messaging.operation.name", "process", "messaging.destination.name", "usage.recorded",
		"messaging.consumer.group.name", "billing", "messaging.destination.partition.id", strconv.Itoa(t.rng.IntN(12)), "messaging.kafka.offset", 180_000+t.rng.IntN(90_000))
	o.links = []link{{m.traceID, m.spanID, "", map[string]any{"messaging.operation.type": "receive"}}}
	t.spend(time.Millisecond, 0.4)
	var f *failure
	if t.chance(0.02) {
		f = o.throw(&failure{"*pgconn.PgError", "ERROR: duplicate key value violates unique constraint \"usage_pkey\" (SQLSTATE 23505)"})
	} else {
		t.query(o, "INSERT", "usage", "INSERT INTO usage (message_id, model, input_tokens, output_tokens) VALUES ($1, $2, $3, $4)", 1)
		o.set("app.model", m.usage.Model, "app.tokens", m.usage.Input+m.usage.Output)
	}
	t.spend(600*time.Microsecond, 0.4)
	o.end(f)
}

// maxPublished bounds what waits on the queue.
const maxPublished = 500

// publish puts what the models took on the queue.
func (t *trace) publish(parent *op) {
	o := t.begin(parent, parent.span.ServiceName, scopeKafka, span.KindProducer, "send usage.recorded")
	o.set("messaging.system", "kafka", "messaging.operation.type", "send", "messaging.operation.name", "send", "messaging.destination.name", "usage.recorded",
		"messaging.message.id", t.hex(), "messaging.message.body.size", len(jsonText(t.used)))
	t.spend(900*time.Microsecond, 0.4)
	o.end(nil)
	if len(t.traffic.published) < maxPublished {
		t.traffic.published = append(t.traffic.published, message{t.id, o.span.SpanID, t.used})
	}
}

// server begins a request that a service takes.
func (t *trace) server(parent *op, service, scope, method, route string) *op {
	o := t.begin(parent, service, scope, span.KindServer, method+" "+route)
	path := strings.NewReplacer("{id}", strconv.Itoa(1000+t.rng.IntN(9000)), "{conversation_id}", "c-"+t.hex()[:8]).Replace(route)
	o.set("http.request.method", method, "http.route", route, "url.path", path, "url.scheme", "https", "network.protocol.version", "1.1",
		"server.address", service+".internal", "client.address", fmt.Sprintf("10.3.%d.%d", t.rng.IntN(8), 2+t.rng.IntN(250)))
	if parent == nil {
		o.set("user_agent.original", pick(t, "Mozilla/5.0 (Macintosh; Intel Mac OS X 15_6) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15",
			"Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0", "NorthwindApp/6.2 (iOS 26.1)"),
			"user.id", "user-"+strconv.Itoa(t.rng.IntN(5000)), "session.id", t.hex())
	}
	return o
}

// reply ends a request.
func (o *op) reply(status int, f *failure) *failure {
	o.set("http.response.status_code", status)
	if status >= 500 {
		o.set("error.type", strconv.Itoa(status))
	}
	return o.end(f)
}

// ask has a service ask another one over HTTP. A failure there is one here as well.
func (t *trace) ask(parent *op, service, scope, method, route string, serve func(*op) *failure) *failure {
	client := map[string]string{"nodejs": scopeNode, "python": scopeHTTPX, "go": scopeGoHTTP, "java": scopeSpring}[parent.program.language]
	o := t.begin(parent, parent.span.ServiceName, client, span.KindClient, method)
	t.spend(400*time.Microsecond, 0.4)
	s := t.server(o, service, scope, method, route)
	o.set("http.request.method", method, "server.address", service+".internal", "server.port", 8080,
		"url.full", "https://"+service+".internal"+s.attributes["url.path"].(string)) //nolint:forcetypeassert // server has just set it
	t.spend(900*time.Microsecond, 0.5)
	f := serve(s)
	t.spend(500*time.Microsecond, 0.5)
	status := 200
	if f != nil {
		status = 502
		if s.span.StatusCode == span.StatusError {
			status = 500
		}
	}
	s.reply(status, f)
	t.spend(300*time.Microsecond, 0.4)
	return o.reply(status, f)
}

// outside asks a service of somebody else, of which nothing is seen but the call.
func (t *trace) outside(parent *op, method, host, path string, median time.Duration, f *failure) *failure {
	o := t.begin(parent, parent.span.ServiceName, scopeHTTPX, span.KindClient, method)
	o.set("http.request.method", method, "server.address", host, "server.port", 443, "url.full", "https://"+host+path)
	if f != nil {
		t.spend(5*median, 0.3)
		o.throw(f)
		return o.end(f)
	}
	t.spend(median, 0.6)
	return o.reply(200, nil)
}

// query asks PostgreSQL.
func (t *trace) query(parent *op, operation, table, text string, rows int) *failure {
	scope := scopePostgres
	if parent.program.language == "java" {
		scope = scopeJDBC
	}
	o := t.begin(parent, parent.span.ServiceName, scope, span.KindClient, operation+" "+table)
	o.set("db.system.name", "postgresql", "db.namespace", "app", "db.operation.name", operation, "db.collection.name", table, "db.query.text", text,
		"server.address", "postgres-0.internal", "server.port", 5432)
	if t.chance(0.002) {
		t.spend(30*time.Millisecond, 0.3)
		return o.end(o.throw(&failure{"psycopg.OperationalError", "server closed the connection unexpectedly"}))
	}
	t.spend(1800*time.Microsecond, 0.7)
	if operation == "SELECT" {
		o.set("db.response.returned_rows", rows)
	}
	return o.end(nil)
}

// order looks an order up, or changes it.
func (t *trace) order(parent *op) *failure {
	return t.ask(parent, "orders-api", scopeSpring, "GET", "/orders/{id}", func(o *op) *failure {
		return t.query(o, "SELECT", "orders", "select o.*, i.* from orders o join order_items i on i.order_id = o.id where o.id = ?", 1+t.rng.IntN(4))
	})
}

// vectors asks the vector database.
func (t *trace) vectors(parent *op, operation, collection string, limit, found int) *failure {
	o := t.begin(parent, "vector-db", scopeTonic, span.KindServer, operation+" "+collection)
	o.set("db.system.name", "qdrant", "db.operation.name", operation, "db.collection.name", collection, "db.vector.query.top_k", limit,
		"rpc.system", "grpc", "rpc.service", "qdrant.Points", "rpc.method", "Search", "db.response.returned_rows", found)
	if t.mood.slowVectors > 1 && t.chance(0.2) {
		t.at = t.at.Add(2 * time.Second)
		return o.end(o.throw(&failure{"tonic::Status", "deadline exceeded: collection is being optimised"}))
	}
	t.spend(time.Duration(t.mood.slowVectors*float64(9*time.Millisecond)), 0.5)
	return o.end(nil)
}
