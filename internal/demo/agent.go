package demo

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// useTools is the step in which an agent calls a model and tools in turn.
func (r *run) useTools() *failure {
	return r.node("RunAgentNode", func(o *op) *failure {
		text, f := r.agent(o)
		if f != nil {
			return f
		}
		r.answer(o, text)
		return nil
	})
}

// agent answers with the help of tools. A tool that fails is told to the model, which says so.
func (r *run) agent(parent *op) (answer string, f *failure) {
	o := r.begin(parent, "agent-orchestrator", scopeGenAI, span.KindInternal, "invoke_agent "+r.Agent)
	o.set("gen_ai.operation.name", "invoke_agent", "gen_ai.agent.name", r.Agent, "gen_ai.agent.id", "agent_"+r.Agent, "gen_ai.provider.name", "northwind",
		"gen_ai.conversation.id", r.id, "openinference.span.kind", "AGENT", "input.value", r.User)
	r.spend(2*time.Millisecond, 0.4)
	m := r.largeModel()
	messages := r.questions()
	answer = r.Answer
	for i := range r.Tools {
		call := said{role: "assistant", call: &r.Tools[i], callID: "call_" + r.hex()[:12]}
		e := r.exchange(m, r.System, call, messages...)
		e.tools = r.Tools
		if f := r.chat(o, e); f != nil {
			return "", o.end(f)
		}
		result, failed := r.tool(o, r.Tools[i], call.callID)
		messages = append(messages, call, said{role: "tool", callID: call.callID, result: result})
		r.state.ToolResults = append(r.state.ToolResults, result)
		r.changed(parent, "add_tool_result", change{"add", "/tool_results/" + strconv.Itoa(len(r.state.ToolResults)-1), result})
		if failed != nil {
			answer = "I'm sorry, I can't do that right now: our system for this did not answer (" + failed.kind +
				"). Nothing was changed. Please try again in a few minutes, or write to us and a colleague will take care of it."
			break
		}
	}
	e := r.exchange(m, r.System, said{role: "assistant", text: answer}, messages...)
	e.tools = r.Tools
	if f := r.chat(o, e); f != nil {
		return "", o.end(f)
	}
	o.set("output.value", answer)
	r.spend(time.Millisecond, 0.4)
	return answer, o.end(nil)
}

// tool does what a model asked for, and returns what it is told.
func (r *run) tool(parent *op, use toolUse, callID string) (json.RawMessage, *failure) {
	o := r.begin(parent, "tool-runner", scopeTools, span.KindInternal, "execute_tool "+use.Name)
	o.set("gen_ai.operation.name", "execute_tool", "gen_ai.tool.name", use.Name, "gen_ai.tool.type", "function", "gen_ai.tool.call.id", callID,
		"gen_ai.tool.call.arguments", string(use.Arguments), "openinference.span.kind", "TOOL", "tool.name", use.Name, "input.value", string(use.Arguments),
		"input.mime_type", "application/json")
	r.spend(2*time.Millisecond, 0.5)
	f := r.carryOut(o, use.Name)
	result := use.Result
	if f != nil {
		result = json.RawMessage(jsonText(map[string]string{"error": f.kind + ": " + f.message}))
		f = o.throw(&failure{"ToolError", use.Name + ": " + f.message})
	}
	o.set("gen_ai.tool.call.result", string(result), "output.value", string(result), "output.mime_type", "application/json")
	r.spend(time.Millisecond, 0.5)
	return result, o.end(f)
}

// carryOut is what stands behind a tool.
func (r *run) carryOut(o *op, tool string) *failure {
	var f *failure
	if r.chance(r.mood.toolErrors) {
		f = &failure{"httpx.ReadTimeout", "no answer within 2 s"}
	}
	switch tool {
	case "get_order", "lookup_invoice":
		if f == nil {
			return r.order(o)
		}
		r.at = r.at.Add(2 * time.Second)
		return f
	case "change_address":
		return r.ask(o, "orders-api", scopeSpring, "PATCH", "/orders/{id}", func(s *op) *failure {
			return r.query(s, "UPDATE", "orders", "update orders set ship_street = ?, ship_city = ? where id = ?", 1)
		})
	case "issue_refund":
		return r.ask(o, "payments-api", scopeGoHTTP, "POST", "/refunds", func(s *op) *failure {
			if f := r.outside(s, "POST", "api.payments.example.com", "/v1/refunds", 340*time.Millisecond, f); f != nil {
				return s.throw(&failure{"*payments.UpstreamError", "refund not confirmed: " + f.message})
			}
			return r.query(s, "INSERT", "refunds", "INSERT INTO refunds (order_id, amount, state) VALUES ($1, $2, 'pending')", 1)
		})
	case "run_python":
		r.spend(180*time.Millisecond, 0.6)
		if f != nil {
			f = &failure{"subprocess.TimeoutExpired", "Command '['python', 'main.py']' timed out after 10 seconds"}
		}
		return f
	case "send_email":
		return r.outside(o, "POST", "mail.example.com", "/v3/send", 120*time.Millisecond, f)
	case "query_logs", "query_metrics", "get_deployments", "read_channel":
		return r.outside(o, "POST", "observability.example.com", "/api/"+tool, 260*time.Millisecond, f)
	case "get_weather":
		return r.outside(o, "GET", "weather.example.com", "/v1/forecast?days=3", 90*time.Millisecond, f)
	}
	return r.outside(o, "POST", "travel.example.com", "/v2/"+tool, 420*time.Millisecond, f)
}

// batch is a folder of documents that is indexed, many chunks at a time.
func (t *trace) batch() {
	chunks := 40 + t.rng.IntN(160)
	if t.chance(0.08) {
		chunks = 900
	}
	root := t.begin(nil, "batch-worker", scopeKafka, span.KindConsumer, "process documents.uploaded")
	root.set("messaging.system", "kafka", "messaging.operation.type", "process", "messaging.destination.name", "documents.uploaded", "app.chunks", chunks)
	t.spend(4*time.Millisecond, 0.4)
	d := t.domains[3%len(t.domains)]
	r := &run{trace: t, domain: d, id: "batch_" + t.hex()[:8], store: t.hex()}
	r.workflow = t.begin(root, "agent-orchestrator", scopeJunjo, span.KindInternal, "Document Indexing Workflow")
	r.workflow.set("junjo.span_type", "workflow", "junjo.id", t.hex(), "junjo.workflow.node.count", 3, "junjo.workflow.store.id", r.store,
		"junjo.workflow.state.start", `{"chunks":0,"indexed":0}`, "openinference.span.kind", "CHAIN")
	r.node("SplitDocumentsNode", func(o *op) *failure {
		t.spend(time.Duration(chunks)*800*time.Microsecond, 0.3)
		r.changed(o, "set_chunks", change{"replace", "/chunks", chunks})
		return nil
	})
	r.node("EmbedChunksNode", func(o *op) *failure {
		t.parallel(chunks, 8, func(i int) {
			_, c := t.draw()
			t.embed(o, fmt.Sprintf("Chunk %d: %s", i+1, c.Answer))
		})
		return nil
	})
	f := r.node("UpsertVectorsNode", func(o *op) *failure {
		if f := t.vectors(o, "upsert", "handbook", 0, chunks); f != nil {
			return f
		}
		r.changed(o, "set_indexed", change{"replace", "/indexed", chunks})
		return nil
	})
	indexed := chunks
	if f != nil {
		indexed = 0
	}
	r.workflow.set("junjo.workflow.state.end", fmt.Sprintf(`{"chunks":%d,"indexed":%d}`, chunks, indexed))
	if f == nil {
		r.workflow.span.StatusCode = span.StatusOK
	}
	r.workflow.end(f)
	t.spend(2*time.Millisecond, 0.4)
	root.end(f)
}
