package api_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/spanlake/spanlake/internal/api"
	"github.com/spanlake/spanlake/internal/api/wire"
)

// calls is a server of gRPC with the service for health, whose answers a test sets.
type calls struct {
	*grpc.Server
	health *health.Server
}

func newCalls(t *testing.T) calls {
	t.Helper()
	c := calls{grpc.NewServer(grpc.WaitForHandlers(true)), health.NewServer()}
	healthpb.RegisterHealthServer(c.Server, c.health)
	t.Cleanup(c.Stop)
	return c
}

// dial connects a client to the port that everything is on.
func (s *server) dial(t *testing.T, options ...grpc.DialOption) healthpb.HealthClient {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+strings.TrimPrefix(s.url, "http://"),
		append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return healthpb.NewHealthClient(conn)
}

func withKey(ctx context.Context, key string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key)
}

// TestGRPCOnTheSamePort: calls and requests of HTTP/1 come in on one port.
func TestGRPCOnTheSamePort(t *testing.T) {
	c := newCalls(t)
	c.health.SetServingStatus("here", healthpb.HealthCheckResponse_SERVING)
	s := start(t, newMemory(), api.Options{GRPC: c})
	called := s.dial(t)
	got, err := called.Check(t.Context(), &healthpb.HealthCheckRequest{Service: "here"})
	if err != nil || got.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Fatalf("Check() = %v, %v", got, err)
	}
	if _, err := called.Check(t.Context(), &healthpb.HealthCheckRequest{Service: "nowhere"}); status.Code(err) != codes.NotFound {
		t.Errorf("an error of the service: %v", err)
	}
	if _, err := called.List(t.Context(), &healthpb.HealthListRequest{}); err != nil {
		t.Error(err)
	}
	if a := s.do(t, "GET", "/api/v1/services", ""); a.status != 200 {
		t.Errorf("HTTP/1 beside it: %d", a.status)
	}
	// It is counted under one route, whatever clients call, and by what came of it.
	scrape := s.do(t, "GET", "/metrics", "").body
	for _, want := range []string{`{code="200",method="POST",route="/grpc"} 2`, `{code="404",method="POST",route="/grpc"} 1`} {
		if !strings.Contains(scrape, "spanlake_http_request_duration_seconds_count"+want) {
			t.Errorf("%s is not in the metrics", want)
		}
	}
}

// TestGuardOfGRPC: who is refused before the call is told so in the words of gRPC.
func TestGuardOfGRPC(t *testing.T) {
	k, c := newKeyring(t), newCalls(t)
	s := start(t, newMemory(), api.Options{GRPC: c, Keys: k})
	for name, tc := range map[string]struct {
		key       string
		authority string
		want      codes.Code
		says      string
	}{
		"no key":              {"", "", codes.Unauthenticated, "authorization: Bearer KEY"},
		"a wrong key":         {"0123456789abcdef", "", codes.Unauthenticated, "is not accepted"},
		"a revoked key":       {k.revoked, "", codes.Unauthenticated, "is not accepted"},
		"a key for sending":   {k.send, "", codes.PermissionDenied, "--may read"},
		"a key for reading":   {k.read, "", codes.OK, ""},
		"an operator":         {k.operate, "", codes.OK, ""},
		"a name of strangers": {k.read, "evil.example", codes.FailedPrecondition, `"evil.example"`},
	} {
		t.Run(name, func(t *testing.T) {
			var options []grpc.DialOption
			if tc.authority != "" {
				options = append(options, grpc.WithAuthority(tc.authority))
			}
			called := s.dial(t, options...)
			_, err := called.Check(withKey(t.Context(), tc.key), &healthpb.HealthCheckRequest{})
			if status.Code(err) != tc.want || !strings.Contains(status.Convert(err).Message(), tc.says) {
				t.Errorf("%v, want %v and %q", err, tc.want, tc.says)
			}
			watching, err := called.Watch(withKey(t.Context(), tc.key), &healthpb.HealthCheckRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err = watching.Recv(); status.Code(err) != tc.want {
				t.Errorf("a stream: %v, want %v", err, tc.want)
			}
		})
	}
	none := start(t, newMemory(), api.Options{})
	if _, err := none.dial(t).Check(t.Context(), &healthpb.HealthCheckRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("without gRPC: %v", err)
	}
}

// h2c speaks HTTP/2 without TLS, as gRPC does, to any path.
func h2c(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{Protocols: &http.Protocols{}}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// TestTheContentTypeDecides what a request is: it cannot be a call for the guard and something else for what comes after it.
func TestTheContentTypeDecides(t *testing.T) {
	k, c, taking := newKeyring(t), newCalls(t), &flushing{}
	s := start(t, newMemory(), api.Options{GRPC: c, Ingest: taking, Keys: k})
	for _, tc := range []struct {
		client                  *http.Client
		media, key              string
		status                  int
		contentType, grpcStatus string
	}{
		{h2c(t), "application/grpc", k.read, 200, "application/grpc", "12"},
		{h2c(t), "application/grpc+proto", k.read, 200, "application/grpc+proto", "12"},
		{h2c(t), "APPLICATION/GRPC;x", "", 200, "application/grpc", "16"},
		{h2c(t), "application/grpc-web", k.read, 403, wire.ProblemType, ""},
		{h2c(t), "application/grpc-web", k.operate, 415, wire.ProblemType, ""},
		{h2c(t), "application/json", k.read, 403, wire.ProblemType, ""},
		{h2c(t), "application/json", k.operate, 200, "application/json", ""},
		{http.DefaultClient, "application/grpc", k.operate, 505, wire.ProblemType, ""},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/api/v1/flush", bytes.NewReader([]byte("{}")))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", tc.media)
		bearer(tc.key)(r)
		before := taking.flushes.Load()
		response, err := tc.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			t.Error(err)
		}
		_ = response.Body.Close()
		given := response.Header.Get("Grpc-Status") + response.Trailer.Get("Grpc-Status")
		if response.StatusCode != tc.status || response.Header.Get("Content-Type") != tc.contentType || given != tc.grpcStatus {
			t.Errorf("%s over %s: %s %q %q, want %d %q %q", tc.media, response.Proto, response.Status, response.Header.Get("Content-Type"), given,
				tc.status, tc.contentType, tc.grpcStatus)
		}
		if flushed := taking.flushes.Load() > before; flushed != (tc.contentType == "application/json") {
			t.Errorf("%s: flushed is %v", tc.media, flushed)
		}
	}
}

// TestAStreamMayBeSilent: the time for a client to read must not end a call, nor an answer over HTTP/2, that has nothing to say.
func TestAStreamMayBeSilent(t *testing.T) {
	const stall = 100 * time.Millisecond
	m, c := newMemory(), newCalls(t)
	m.onSelect = func(_ context.Context, _ string, row func([]*string) error) error {
		for range 2 {
			if err := row([]*string{nil, nil}); err != nil {
				return err
			}
			time.Sleep(3 * stall)
		}
		return nil
	}
	s := start(t, m, api.Options{GRPC: c}, func(s *api.Server) { s.Limits(0, stall, 0, 0) })
	watching, err := s.dial(t).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []healthpb.HealthCheckResponse_ServingStatus{healthpb.HealthCheckResponse_SERVING, healthpb.HealthCheckResponse_NOT_SERVING} {
		if i > 0 {
			time.Sleep(3 * stall)
			c.health.SetServingStatus("", want)
		}
		if got, err := watching.Recv(); err != nil || got.GetStatus() != want {
			t.Fatalf("message %d: %v, %v, want %v", i, got, err, want)
		}
	}
	response, err := h2c(t).Post(s.url+"/api/v1/sql", "application/json", strings.NewReader(`{"query":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if text, err := io.ReadAll(response.Body); err != nil || !strings.HasSuffix(string(text), "{\"end\":{\"rows\":2}}\n") {
		t.Errorf("%s, %v", text, err)
	}
}

// TestAQueryOverHTTP2EndsWhenItsClientStopsReading, although the connection is good.
func TestAQueryOverHTTP2EndsWhenItsClientStopsReading(t *testing.T) {
	m := newMemory()
	ended := make(chan error, 1)
	m.onSelect = func(_ context.Context, _ string, row func([]*string) error) error {
		text := strings.Repeat("x", 10_000)
		for {
			if err := row([]*string{&text, nil}); err != nil {
				ended <- err
				return err
			}
		}
	}
	s := start(t, m, api.Options{}, func(s *api.Server) { s.Limits(0, 200*time.Millisecond, 0, 0) })
	response, err := h2c(t).Post(s.url+"/api/v1/sql", "application/json", strings.NewReader(`{"query":"x","max_rows":0,"max_bytes":0}`))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	select {
	case err := <-ended:
		t.Log(err)
	case <-time.After(20 * time.Second):
		t.Fatal("the query goes on")
	}
}

// TestCallsEndWithTheServer, and are told why while there is time.
func TestCallsEndWithTheServer(t *testing.T) {
	c := newCalls(t)
	s := start(t, newMemory(), api.Options{GRPC: c})
	called := s.dial(t)
	watching, err := called.Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watching.Recv(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	s.stop()
	if err := <-s.done; err != nil {
		t.Error(err)
	}
	s.done <- nil
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it took %s", took)
	}
	if _, err := watching.Recv(); err == nil {
		t.Error("the stream goes on")
	}
	c.Stop() // waits for the handlers, or the test does not end
	if _, err := called.Check(t.Context(), &healthpb.HealthCheckRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("a call after the end: %v", err)
	}
}

// TestJaegerGetsItsRequests as they are, behind the guard, and nothing of the API.
func TestJaegerGetsItsRequests(t *testing.T) {
	asked := make(chan string, 1)
	jaeger := http.NewServeMux()
	jaeger.HandleFunc("/api/services/{service}/operations", func(w http.ResponseWriter, r *http.Request) {
		asked <- r.PathValue("service") + " " + r.URL.RawQuery
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, `{"data":null}`)
	})
	s := start(t, newMemory(), api.Options{Jaeger: jaeger, Instance: "one"})
	a := s.do(t, "GET", "/api/services/a%2Fb/operations?limit=&limit=2", "", header(wire.InstanceHeader, "two"))
	if a.status != http.StatusTeapot || a.body != `{"data":null}` || a.header.Get("Content-Type") != "application/json" || a.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%d %v %s", a.status, a.header, a.body)
	}
	if got := <-asked; got != "a/b limit=&limit=2" {
		t.Errorf("Jaeger was asked %q", got)
	}
	for path, want := range map[string]int{"/api/nothing": 404, "/api/v1/nothing": 404, "/api/v1/services": 200, "/api/v1": 404, "/api/v1x": 404, "/api": 404} {
		a := s.do(t, "GET", path, "")
		if ours := strings.Contains(a.header.Get("Content-Type"), "json"); a.status != want || ours != (path != "/api/nothing" && path != "/api/v1x") {
			t.Errorf("%s: %d %s", path, a.status, a.header.Get("Content-Type"))
		}
	}
	for name, change := range map[string]func(*http.Request){"a stranger": host("evil.example"), "a page": header("Sec-Fetch-Site", "cross-site")} {
		if a := s.do(t, "GET", "/api/services/x/operations", "", change); a.status != 421 && a.status != 403 {
			t.Errorf("%s: %d", name, a.status)
		}
	}
	if scrape := s.do(t, "GET", "/metrics", "").body; !strings.Contains(scrape, `{code="418",method="GET",route="/api/services/{service}/operations"} 1`) {
		t.Error("the route is not in the metrics")
	}
}

// TestHTTP2HasLimits: a connection may not have any number of requests under way, or headers of any size.
func TestHTTP2HasLimits(t *testing.T) {
	s := start(t, newMemory(), api.Options{GRPC: newCalls(t)})
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	// The preface of a client with its empty settings (RFC 9113, section 3.4); the server answers with its own.
	if _, err := conn.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 9)
	if _, err := io.ReadFull(conn, head); err != nil || head[3] != 4 {
		t.Fatalf("the first frame is %x, %v, want SETTINGS", head, err)
	}
	settings := make([]byte, int(head[1])<<8|int(head[2]))
	if _, err := io.ReadFull(conn, settings); err != nil {
		t.Fatal(err)
	}
	got := map[int]int{}
	for ; len(settings) >= 6; settings = settings[6:] {
		got[int(settings[0])<<8|int(settings[1])] = int(settings[2])<<24 | int(settings[3])<<16 | int(settings[4])<<8 | int(settings[5])
	}
	const streams, window, headers = 3, 4, 6
	if got[streams] != 64 || got[window] != 256<<10 || got[headers] < 64<<10 || got[headers] > 65<<10 {
		t.Errorf("the settings are %v", got)
	}
}
