//go:build unix

package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
)

// create makes a key that may do something.
func (p place) create(name, may string) string {
	p.t.Helper()
	got := p.run("keys", "create", name, "--may", may)
	if got.code != 0 {
		p.t.Fatalf("keys create: exit code %d, %q", got.code, got.stderr)
	}
	return strings.TrimSpace(got.stdout)
}

// getWith asks for a path with a key, and returns the status of the answer.
func (r *running) getWith(path, key string) int {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.url+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("X-Junjo-Api-Key", key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	_ = response.Body.Close() // it was only read
	return response.StatusCode
}

// Commands of the user who runs the server need no key whatever others need, and keys begin and end while it runs.
func TestReadingTakesAKey(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	r := p.serve()
	c := r.caller()
	c.expectAccepted("as long as there is no key")
	p.must("flush")
	p.must("index")
	const services = "/api/v1/services"
	if got := r.getWith(services, ""); got != http.StatusOK {
		t.Fatalf("as long as there is no key, reading is answered %d", got)
	}
	key := p.create("viewer", "read")
	eventually(t, "reading to take a key", func() bool { return r.getWith(services, "") == http.StatusUnauthorized })
	if got := r.getWith(services, key); got != http.StatusOK {
		t.Errorf("with the key it is answered %d", got)
	}
	c.expectAccepted("a key for reading is none for sending")
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 401, "/api/v1/ingest": 401} {
		if got := r.getWith(path, ""); got != want {
			t.Errorf("%s without a key is answered %d, want %d", path, got, want)
		}
	}

	// The notes beside the log and the index are enough here.
	p.must("flush")
	p.must("index")
	if got := p.must("services"); !strings.Contains(got, "svc") {
		t.Errorf("services prints %q", got)
	}
	if got := p.must("sql", "--csv", "SELECT range AS n FROM range(100001)"); strings.Count(got, "\n") != 100_002 {
		t.Errorf("sql prints %d lines, want all", strings.Count(got, "\n"))
	}
	p.must("verify")
	if got := p.run("services", "--server", r.url); got.code != 1 || !strings.Contains(got.stderr, "SPANLAKE_API_KEY") {
		t.Errorf("--server without a key: exit code %d, %q", got.code, got.stderr)
	}
	cmd := p.command("services", "--server", r.url)
	cmd.Env = append(cmd.Env, "SPANLAKE_API_KEY="+key)
	if got := p.finish(cmd); got.code != 0 || !strings.Contains(got.stdout, "svc") {
		t.Errorf("--server with a key: exit code %d, %q", got.code, got.stderr)
	}
	for _, note := range []string{p.wal() + ".server", p.db + ".server"} {
		if info, err := os.Stat(note); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the note %s: %v, %v, want mode 600", note, info, err)
		}
	}

	// Clients of gRPC ask on the same port.
	conn, err := grpc.NewClient(strings.TrimPrefix(r.url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); grpcCode(err) != codes.Unauthenticated {
		t.Errorf("gRPC without a key: %v", err)
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+key)
	if _, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{}); grpcCode(err) == codes.Unauthenticated {
		t.Errorf("gRPC with a key: %v", err)
	}

	p.must("keys", "revoke", "viewer")
	eventually(t, "the end of the key", func() bool { return r.getWith(services, key) == http.StatusUnauthorized })
	if err := os.Remove(filepath.Join(p.folder, ".dbdata", "keys.json")); err != nil {
		t.Error(err)
	}
	eventually(t, "the file to be gone", func() bool { return r.getWith(services, "") == http.StatusUnauthorized })
	r.end(syscall.SIGTERM)
	if text := r.stdout.String() + r.stderr.String(); strings.Contains(text, key) {
		t.Errorf("the key is printed: %s", text)
	}
}
