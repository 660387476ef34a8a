package otlp

import (
	"context"
	"net"
	"testing"
	"time"
)

// TestShutdownWithClientsThatSayNothing has clients that only connect: the time for the end of the server holds all the same.
func TestShutdownWithClientsThatSayNothing(t *testing.T) {
	r := start(t, nil)
	for _, address := range []net.Addr{r.GRPCAddr(), r.HTTPAddr()} {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address.String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	// So that the server has taken them.
	if _, err := exportBytes(t, r.dial(t), encoded(t, spansOf(1))); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	r.Shutdown(ctx)
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it took %v to end", took)
	}
}
