package sample

import "math/rand/v2"

// role is what a span does in a trace; the catalog says what such spans look like.
type role uint8

const (
	rolePage role = iota
	roleFrontend
	roleHealth
	roleRead
	roleChatAPI
	roleSQL
	rolePublish
	roleConsume
	roleBatch
	roleWorkflow
	roleNode
	roleAgent
	roleLLM
	roleEmbed
	roleRetrieve
	roleVector
	roleTool
	roleHTTP
	roleCount
)

// node is a span of a trace before it has a time or a text.
type node struct {
	// parent is the index of the parent, -1 for the root.
	parent int32
	role   role
	// fanOut says that the children run at the same time, not one after the other.
	fanOut bool
}

// shape is the tree of a trace, parents before their children and each subtree in one piece.
type shape struct {
	nodes []node
	rng   *rand.Rand
}

// draw makes the shape of the next trace. The shares are those of a mixed production load: most requests are small, a few
// agents dig deep, a few batch jobs fan out wide. The mean is about 11 spans.
func (s *shape) draw(rng *rand.Rand) {
	s.nodes, s.rng = s.nodes[:0], rng
	switch p := rng.IntN(10_000); {
	case p < 2_400:
		s.drawShort()
	case p < 5_000:
		s.drawChat()
	case p < 7_400:
		s.drawRetrieval()
	case p < 9_890:
		s.drawAgent()
	case p < 9_955:
		s.drawDeep(31 + rng.IntN(30))
	case p < 9_997:
		s.drawWide(200 + rng.IntN(250))
	default:
		s.drawWide(1_000 + rng.IntN(600))
	}
}

func (s *shape) add(parent int32, r role) int32 {
	s.nodes = append(s.nodes, node{parent: parent, role: r})
	return int32(len(s.nodes) - 1)
}

// oneIn is true once in n times.
func (s *shape) oneIn(n int) bool { return s.rng.IntN(n) == 0 }

// drawShort is a probe, a message from a queue or a page load: 1 to 3 spans.
func (s *shape) drawShort() {
	switch s.rng.IntN(3) {
	case 0:
		s.add(-1, roleHealth)
	case 1:
		message := s.add(-1, roleConsume)
		s.add(message, roleSQL)
	default:
		page := s.add(-1, rolePage)
		if s.oneIn(2) {
			s.add(s.add(page, roleRead), roleSQL)
		}
	}
}

// request is how most larger traces begin: a message, the API that takes it, and the conversation read from its database.
func (s *shape) request() int32 {
	api := s.add(s.add(-1, roleFrontend), roleChatAPI)
	s.add(api, roleSQL)
	return api
}

// drawChat is a question that goes straight to a model.
func (s *shape) drawChat() {
	api := s.request()
	s.add(api, roleLLM)
	if s.oneIn(3) {
		s.add(api, roleLLM)
	}
	if s.oneIn(2) {
		s.add(api, rolePublish)
	}
}

// drawRetrieval is a question that is answered from documents.
func (s *shape) drawRetrieval() {
	api := s.request()
	workflow := s.add(api, roleWorkflow)
	s.retrieve(s.add(workflow, roleNode))
	if s.oneIn(2) {
		s.add(s.add(workflow, roleNode), roleLLM)
	}
	s.add(s.add(workflow, roleNode), roleLLM)
	if s.oneIn(2) {
		s.add(api, rolePublish)
	}
}

func (s *shape) retrieve(parent int32) {
	retrieval := s.add(parent, roleRetrieve)
	s.add(retrieval, roleEmbed)
	s.add(retrieval, roleVector)
	if s.oneIn(3) {
		s.add(retrieval, roleVector)
	}
}

func (s *shape) tool(parent int32) {
	tool := s.add(parent, roleTool)
	switch s.rng.IntN(4) {
	case 0:
		s.add(tool, roleSQL)
	case 1:
		s.add(tool, roleHTTP)
	}
}

// drawAgent is a workflow in which an agent thinks and uses tools in turn.
func (s *shape) drawAgent() {
	api := s.request()
	workflow := s.add(api, roleWorkflow)
	for range 1 + s.rng.IntN(3) {
		step := s.add(workflow, roleNode)
		switch s.rng.IntN(4) {
		case 0:
			s.retrieve(step)
		case 1:
			s.add(step, roleLLM)
		default:
			agent := s.add(step, roleAgent)
			for range 1 + s.rng.IntN(3) {
				s.add(agent, roleLLM)
				s.tool(agent)
			}
			s.add(agent, roleLLM)
		}
	}
	s.add(api, rolePublish)
}

// drawDeep is an agent that hands on to an agent that hands on: a chain of depth spans and more, with a model at each turn.
func (s *shape) drawDeep(depth int) {
	at := s.add(s.request(), roleWorkflow)
	for i := range depth - 3 {
		if i%2 == 0 {
			at = s.add(at, roleAgent)
			if s.oneIn(2) {
				s.add(at, roleLLM)
			}
		} else {
			at = s.add(at, roleTool)
		}
	}
}

// drawWide is a batch over width documents at the same time.
func (s *shape) drawWide(width int) {
	workflow := s.add(s.add(-1, roleBatch), roleWorkflow)
	batch := s.add(workflow, roleNode)
	s.nodes[batch].fanOut = true
	worker := [...]role{roleLLM, roleEmbed, roleTool}[s.rng.IntN(3)]
	for range width {
		s.add(batch, worker)
	}
	s.add(s.add(workflow, roleNode), roleVector)
}
