package otlp

import (
	"net"
	"sync"
)

// connections is a listener that can close what it has accepted. grpc-go waits at its end, even a forced one, for whoever has
// connected and said nothing, until handshakeTime is over.
type connections struct {
	net.Listener
	mu   sync.Mutex
	open map[*connection]struct{}
}

// connection is one of them.
type connection struct {
	net.Conn
	from *connections
}

func newConnections(listener net.Listener) *connections {
	return &connections{Listener: listener, open: map[*connection]struct{}{}}
}

// Accept waits for the next one.
func (c *connections) Accept() (net.Conn, error) {
	accepted, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	one := &connection{Conn: accepted, from: c}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[one] = struct{}{}
	return one, nil
}

// Close ends the connection.
func (c *connection) Close() error {
	c.from.mu.Lock()
	delete(c.from.open, c)
	c.from.mu.Unlock()
	return c.Conn.Close()
}

// closeAll ends all connections that are open.
func (c *connections) closeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for one := range c.open {
		_ = one.Conn.Close() // nobody waits for it
	}
}
