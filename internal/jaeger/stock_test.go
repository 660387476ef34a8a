package jaeger_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/spanlake/spanlake/internal/jaeger"
	"github.com/spanlake/spanlake/internal/span"
)

// TestStockJaeger lets a real Jaeger read from the gRPC interface, with the configuration that docs/jaeger.md shows, and compares what it
// answers with what Spanlake's own HTTP interface does.
func TestStockJaeger(t *testing.T) {
	binary := stockJaeger(t)
	m := loaded(t)
	// What Jaeger 1.76 shows otherwise, as docs/jaeger.md says: a negative duration as a positive one of 585,000 years, and a service
	// without a name as OTLPResourceNoServiceName.
	m.spans = slices.DeleteFunc(m.spans, func(s span.Span) bool { return s.Duration() < 0 || s.ServiceName == "unknown_service" })
	of := startJaeger(t, binary, serve(t, m, jaeger.Options{}))
	own := httptest.NewServer(jaeger.NewHTTP(m, jaeger.Options{}))
	defer own.Close()
	for _, path := range []string{
		"/api/services",
		"/api/services/frontend/operations",
		"/api/operations?service=frontend",
		"/api/operations?service=frontend&spanKind=server",
		"/api/operations?service=worker",
		"/api/traces/" + failed,
		"/api/traces/" + strings.TrimLeft(failed, "0"),
		"/api/traces/" + job,
		"/api/traces/" + fine,
		"/api/traces?traceID=" + fine + "&traceID=" + failed,
		"/api/traces?service=frontend&limit=20&lookback=custom&" + around(),
		"/api/traces?service=frontend&limit=1&" + around(),
		"/api/traces?service=frontend&operation=render&" + around(),
		"/api/traces?service=frontend&tags=%7B%22error%22%3A%22true%22%7D&" + around(),
		"/api/traces?service=frontend&tag=span.kind:client&" + around(),
		"/api/traces?service=frontend&tag=http.response.status_code:500&" + around(),
		"/api/traces?service=frontend&minDuration=100ms&maxDuration=1s&" + around(),
		"/api/traces?service=frontend&operation=nothing&" + around(),
		"/api/dependencies?endTs=1795525200000&lookback=86400000",
	} {
		status, answer := fetch(t, of+path)
		ownStatus, ownAnswer := fetch(t, own.URL+path)
		if status != http.StatusOK || ownStatus != http.StatusOK {
			t.Errorf("%s: Jaeger answers %d %s, Spanlake %d %s", path, status, answer, ownStatus, ownAnswer)
			continue
		}
		want, got := inOrder(decoded(t, answer)), inOrder(decoded(t, ownAnswer))
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-Jaeger +Spanlake):\n%s", path, diff)
		}
	}
	for path, want := range map[string]int{"/api/traces/1234": http.StatusNotFound, "/api/traces/xyz": http.StatusBadRequest} {
		status, answer := fetch(t, of+path)
		ownStatus, ownAnswer := fetch(t, own.URL+path)
		if status != want || ownStatus != want {
			t.Errorf("%s: Jaeger answers %d %s, Spanlake %d %s", path, status, answer, ownStatus, ownAnswer)
		}
	}
}

func TestStockJaegerTakesLargeSpansAndShowsWarnings(t *testing.T) {
	binary := stockJaeger(t)
	m := large(t, 10, 4<<20+1, 10<<20)
	m.complete = span.Completeness{FilesFailed: 1}
	of := startJaeger(t, binary, serve(t, m, jaeger.Options{}))
	status, body := fetch(t, of+"/api/traces/"+fine)
	var answer struct {
		Data []struct {
			Spans []struct {
				SpanID   string
				Warnings []string
				Tags     []any
			}
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil || status != http.StatusOK || len(answer.Data) != 1 || len(answer.Data[0].Spans) != 3 {
		t.Fatalf("%v, %d %.500s", err, status, body)
	}
	for _, s := range answer.Data[0].Spans {
		want := "Jaeger takes 4"
		if s.SpanID == "0100000000000000" {
			want = "could not be indexed"
		}
		if len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], want) || len(s.Tags) > 0 {
			t.Errorf("span %s has the warnings %q and the tags %v", s.SpanID, s.Warnings, s.Tags)
		}
	}
	// An answer that would be wrong is none.
	m.complete = lacking()
	status, body = fetch(t, of+"/api/traces?service=nobody&"+around())
	if status != http.StatusInternalServerError || !strings.Contains(string(body), "connection refused") {
		t.Errorf("nothing was found where not all could be looked at: %d %s", status, body)
	}
}

// stockJaeger is a Jaeger to test with.
func stockJaeger(t *testing.T) string {
	t.Helper()
	binary := os.Getenv("SPANLAKE_JAEGER")
	if binary == "" {
		t.Skip("SPANLAKE_JAEGER is not set: docs/jaeger.md says how to build a Jaeger")
	}
	return binary
}

// startJaeger runs a Jaeger whose storage is at an address, until the test ends. It returns the URL of its API.
func startJaeger(t *testing.T, binary, storage string) string {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "jaeger.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, config, ok := strings.Cut(string(doc), "```yaml\n")
	config, _, closed := strings.Cut(config, "```")
	address := freeAddress(t)
	for old, with := range map[string]string{"127.0.0.1:1323": storage, "127.0.0.1:16686": address, "127.0.0.1:16685": freeAddress(t),
		"service:\n": "service:\n  telemetry: {metrics: {level: none}}\n"} {
		if !ok || !closed || strings.Count(config, old) != 1+strings.Count(old, "16686") {
			t.Fatalf("docs/jaeger.md does not begin with a configuration that has %q once:\n%s", old, config)
		}
		config = strings.ReplaceAll(config, old, with)
	}
	path := filepath.Join(t.TempDir(), "jaeger.yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "jaeger.log"))
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(binary, "--config", path)
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	t.Cleanup(func() {
		_ = command.Process.Kill() // it may have ended
		<-ended                    //nolint:errcheck // it was killed
		_ = log.Close()
		if text, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			t.Logf("the log of Jaeger:\n%s", text)
		}
	})
	for deadline := time.Now().Add(time.Minute); ; {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("Jaeger ended: %v", err)
		case <-time.After(100 * time.Millisecond):
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		cancel()
		if err == nil {
			_ = connection.Close()
			return "http://" + address
		}
		if time.Now().After(deadline) {
			t.Fatal(errors.Join(errors.New("Jaeger does not listen"), err))
		}
	}
}

// freeAddress is one that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// inOrder brings an answer into an order that does not depend on who made it: processes stand in their spans, lists are sorted.
// Left out is whether a span was sampled, which Jaeger 1.76 does not tell, and newer ones do.
func inOrder(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if processes, ok := v["processes"].(map[string]any); ok {
			spans, _ := v["spans"].([]any)
			for _, s := range spans {
				fields, _ := s.(map[string]any)
				fields["process"] = processes[fmt.Sprint(fields["processID"])]
				delete(fields, "processID")
				delete(fields, "flags")
			}
			delete(v, "processes")
		}
		for key, value := range v {
			v[key] = inOrder(value)
		}
		return v
	case []any:
		for i := range v {
			v[i] = inOrder(v[i])
		}
		slices.SortFunc(v, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		return v
	}
	return v
}
