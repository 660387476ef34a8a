package api_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/api"
	"github.com/spanlake/spanlake/internal/api/wire"
)

func TestNothingRunsAfterServe(t *testing.T) {
	before := runtime.NumGoroutine()
	m := newMemory()
	var running atomic.Int64
	ended := make(chan error, 10)
	m.onSelect = hanging(1, &running, ended)
	m.onIndex = func(ctx context.Context, _ bool) error { <-ctx.Done(); return ctx.Err() }
	s := start(t, m, api.Options{})
	connections := []net.Conn{ask(t, s), ask(t, s)}
	until(t, func() bool { return running.Load() == 2 })
	idle, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	connections = append(connections, idle)
	s.stop()
	if err := <-s.done; err != nil {
		t.Errorf("serve: %v", err)
	}
	s.done <- nil
	if running.Load() != 0 {
		t.Error("queries run after the server has ended")
	}
	for _, c := range connections {
		_ = c.Close()
	}
	noGoroutines(t, before)
}

// Who asks a server that ends must not take it for another process.
func TestAServerThatHasEndedSaysWhoItIs(t *testing.T) {
	s := start(t, newMemory(), api.Options{Instance: "me"})
	s.stop()
	if err := <-s.done; err != nil {
		t.Fatal(err)
	}
	s.done <- nil
	answer := httptest.NewRecorder()
	s.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "http://127.0.0.1/api/v1/services", http.NoBody))
	if answer.Code != http.StatusServiceUnavailable || answer.Header().Get(wire.InstanceHeader) != "me" ||
		!strings.Contains(answer.Body.String(), wire.TypeStopping) {
		t.Errorf("the answer is %d %v %s", answer.Code, answer.Header(), answer.Body)
	}
}

func TestARequestThatEndsSoonIsLetEnd(t *testing.T) {
	m := newMemory()
	begun := make(chan struct{})
	m.onIndex = func(ctx context.Context, _ bool) error {
		close(begun)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
			return nil
		}
	}
	s := start(t, m, api.Options{}, func(s *api.Server) { s.Limits(0, 0, 0, 10*time.Second) })
	go func() {
		<-begun
		s.stop()
	}()
	if _, err := s.client(t, "").IndexNow(t.Context(), false); err != nil {
		t.Error(err)
	}
}

func TestAListenerThatFailsIsAnError(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	m := newMemory()
	if err := api.New(api.Options{Catalog: m, Indexer: m}).Serve(t.Context(), listener); err == nil || !strings.Contains(err.Error(), listener.Addr().String()) {
		t.Errorf("serve: %v", err)
	}
}

func TestAStoppedServerAnswersNothing(t *testing.T) {
	m := newMemory()
	s := start(t, m, api.Options{})
	s.stop()
	if err := <-s.done; err != nil {
		t.Fatal(err)
	}
	s.done <- nil
	if _, err := s.client(t, "").Services(t.Context()); err == nil || !strings.Contains(err.Error(), "spanlake backend") {
		t.Errorf("services: %v", err)
	}
}
