//go:build unix

package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// send makes spans of one service with the SDK and exports them. Without an error all were acknowledged.
func send(t *testing.T, exporter sdktrace.SpanExporter, service string, spans int) error {
	t.Helper()
	made := &collector{}
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(made),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", service))))
	for i := range spans {
		_, s := provider.Tracer("deploy").Start(t.Context(), fmt.Sprintf("span %d", i))
		s.End()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err := exporter.ExportSpans(ctx, made.spans)
	if closeErr := exporter.Shutdown(ctx); closeErr != nil {
		t.Error(closeErr)
	}
	return err
}

// collector keeps spans that ended.
type collector struct{ spans []sdktrace.ReadOnlySpan }

// ExportSpans implements sdktrace.SpanExporter.
func (c *collector) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	c.spans = append(c.spans, spans...)
	return nil
}

// Shutdown implements sdktrace.SpanExporter.
func (c *collector) Shutdown(context.Context) error { return nil }

// sendGRPC and sendHTTP export to a host with the exporter of each protocol.
func (h *host) sendGRPC(service string, spans int, key string) error {
	h.t.Helper()
	exporter, err := otlptracegrpc.New(h.t.Context(), otlptracegrpc.WithInsecure(), otlptracegrpc.WithEndpoint(h.address("4317")),
		otlptracegrpc.WithHeaders(map[string]string{"authorization": "Bearer " + key}),
		otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{}))
	if err != nil {
		h.t.Fatal(err)
	}
	return send(h.t, exporter, service, spans)
}

func (h *host) sendHTTP(service string, spans int, key string) error {
	h.t.Helper()
	exporter, err := otlptracehttp.New(h.t.Context(), otlptracehttp.WithInsecure(), otlptracehttp.WithEndpoint(h.address("4318")),
		otlptracehttp.WithHeaders(map[string]string{"x-junjo-api-key": key}), otlptracehttp.WithRetry(otlptracehttp.RetryConfig{}))
	if err != nil {
		h.t.Fatal(err)
	}
	return send(h.t, exporter, service, spans)
}

// waitServices waits until a server counts so many indexed spans of each service.
func (h *host) waitServices(want map[string]int64) {
	h.t.Helper()
	var body string
	eventually(h.t, fmt.Sprintf("the services %v", want), func() bool {
		var status int
		if status, body = get(h.t, "GET", "http://"+h.address("1323")+"/api/v1/services"); status != 200 {
			return false
		}
		var services []struct {
			Name       string `json:"service_name"`
			TotalSpans int64  `json:"total_spans"`
		}
		if err := json.Unmarshal([]byte(body), &services); err != nil {
			h.t.Fatalf("%v in %s", err, body)
		}
		got := map[string]int64{}
		for _, s := range services {
			got[s.Name] = s.TotalSpans
		}
		return maps.Equal(got, want)
	}, func() string { return body })
}

// up starts the services of the compose file.
func (h *host) up(file composeFile) map[string]*container {
	h.t.Helper()
	running := map[string]*container{}
	for name, s := range file.Services {
		running[name] = h.start(name, s.Command, s.Environment)
	}
	for name, s := range file.Services {
		h.waitHealthy(running[name], s.Healthcheck.Test[1:], s.Environment)
	}
	return running
}

// flush asks the ingestion to.
func (h *host) flush() {
	h.t.Helper()
	if status, body := get(h.t, "POST", "http://"+h.address("1324")+"/api/v1/flush"); status/100 != 2 {
		h.t.Fatalf("flush: %d %s", status, body)
	}
}

// TestComposeServices runs the two services as the compose file says, with the default settings.
func TestComposeServices(t *testing.T) {
	file, h := compose(t, nil), newHost(t)
	running := h.up(file)
	if err := h.sendGRPC("by grpc", 30, ""); err != nil {
		t.Fatal(err)
	}
	if err := h.sendHTTP("by http", 12, ""); err != nil {
		t.Fatal(err)
	}
	h.flush()
	h.waitServices(map[string]int64{"by grpc": 30, "by http": 12})

	// What is not flushed yet when the ingestion stops is flushed then; the backend goes on without it.
	if err := h.sendGRPC("late", 5, ""); err != nil {
		t.Fatal(err)
	}
	running["ingestion"].stop(file.Services["ingestion"].StopGracePeriod)
	h.waitServices(map[string]int64{"by grpc": 30, "by http": 12, "late": 5})

	// Started again, it takes spans again, and the backend has kept its index.
	ingestion := file.Services["ingestion"]
	again := h.start("ingestion, again", ingestion.Command, ingestion.Environment)
	h.waitHealthy(again, ingestion.Healthcheck.Test[1:], ingestion.Environment)
	if err := h.sendHTTP("by http", 8, ""); err != nil {
		t.Fatal(err)
	}
	h.flush()
	h.waitServices(map[string]int64{"by grpc": 30, "by http": 20, "late": 5})
	running["backend"].stop(file.Services["backend"].StopGracePeriod)
	again.stop(ingestion.StopGracePeriod)

	h.nothingOutside()
	for _, path := range []string{"spans", "sqlite/wal.db", "duckdb/spanlake.duckdb"} {
		if _, err := os.Stat(filepath.Join(h.data, filepath.FromSlash(path))); err != nil {
			t.Error(err)
		}
	}
	entries, err := os.ReadDir(h.data)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !slices.Contains([]string{"spans", "sqlite", "duckdb", "keys.json"}, entry.Name()) {
			t.Errorf("%s was made beside the folders that the compose file names", entry.Name())
		}
	}
}

// TestComposeKeys: what is given as SPANLAKE_API_KEYS is asked for, of gRPC and HTTP.
func TestComposeKeys(t *testing.T) {
	const key = "0123456789abcdef-a-key"
	file, h := compose(t, map[string]string{"SPANLAKE_API_KEYS": key + ",another-0123456789"}), newHost(t)
	running := h.up(file)
	for _, refused := range []string{"", "0123456789abcdef-no-key"} {
		if err := h.sendGRPC("stranger", 1, refused); err == nil {
			t.Errorf("gRPC: the key %q was taken", refused)
		}
		if err := h.sendHTTP("stranger", 1, refused); err == nil {
			t.Errorf("HTTP: the key %q was taken", refused)
		}
	}
	if err := h.sendGRPC("known", 3, key); err != nil {
		t.Error(err)
	}
	if err := h.sendHTTP("known", 4, "another-0123456789"); err != nil {
		t.Error(err)
	}
	h.flush()
	h.waitServices(map[string]int64{"known": 7})
	for name, c := range running {
		c.stop(file.Services[name].StopGracePeriod)
		if strings.Contains(c.log.String(), "0123456789") {
			t.Errorf("%s logs a key:\n%s", name, c.log)
		}
	}
}

// TestComposeRefusesWhatIsOpen: without the setting that says that the network is trusted the services do not start.
func TestComposeRefusesWhatIsOpen(t *testing.T) {
	for _, keys := range []string{"", "0123456789abcdef-a-key"} { // keys are not enough, there is no TLS either
		s, h := compose(t, map[string]string{"SPANLAKE_API_KEYS": keys}).Services["ingestion"], newHost(t)
		delete(s.Environment, "SPANLAKE_INSECURE")
		refusesToStart(t, h, s.Command, s.Environment)
	}
	s, h := compose(t, nil).Services["backend"], newHost(t)
	delete(s.Environment, "SPANLAKE_INSECURE")
	refusesToStart(t, h, s.Command, s.Environment)
}

// TestComposeReadKeys: what is given as SPANLAKE_READ_API_KEYS is asked for by both services, and keeps the backend from refusing.
func TestComposeReadKeys(t *testing.T) {
	const key = "0123456789abcdef-to-read"
	file, h := compose(t, map[string]string{"SPANLAKE_READ_API_KEYS": key}), newHost(t)
	delete(file.Services["backend"].Environment, "SPANLAKE_INSECURE")
	running := h.up(file)
	if err := h.sendGRPC("by grpc", 3, ""); err != nil {
		t.Errorf("a key for reading has senders need one: %v", err)
	}
	for port, path := range map[string]string{"1323": "/api/v1/services", "1324": "/api/v1/ingest"} {
		for given, want := range map[string]int{"": 401, key + "x": 401, key: 200} {
			if status, body := get(t, "GET", "http://"+h.address(port)+path, "Authorization", "Bearer "+given); status != want {
				t.Errorf("%s on %s with the key %q: %d %s, want %d", path, port, given, status, body, want)
			}
		}
	}
	for name, c := range running {
		c.stop(file.Services[name].StopGracePeriod)
		if strings.Contains(c.log.String(), "0123456789") {
			t.Errorf("%s logs a key:\n%s", name, c.log)
		}
	}
}

// refusesToStart wants that the program ends by itself and says which setting would allow it.
func refusesToStart(t *testing.T, h *host, command []string, environment map[string]string) {
	t.Helper()
	c := h.start(strings.Join(command, " "), command, environment)
	select {
	case <-c.ended:
		if code := c.cmd.ProcessState.ExitCode(); code == 0 || !strings.Contains(c.log.String(), "insecure") {
			t.Errorf("%s: exit code %d, and it says %q", c.name, code, c.log)
		}
	case <-time.After(30 * time.Second):
		t.Errorf("%s listens for everybody:\n%s", c.name, c.log)
	}
}

// TestTheImageRuns starts what the image starts by itself.
func TestTheImageRuns(t *testing.T) {
	image, h := dockerfile(t)[1], newHost(t)
	command := exec(t, image.last(t, "CMD"))
	environment := image.environment(t)
	// WORKDIR: the defaults of the paths are relative to it.
	h.work = filepath.Join(h.data, "app")
	h.data = filepath.Join(h.work, ".dbdata")
	if err := os.MkdirAll(h.data, 0o755); err != nil {
		t.Fatal(err)
	}
	refusesToStart(t, h, command, environment)

	environment["SPANLAKE_INSECURE"] = "true"
	c := h.start("serve", command, environment)
	h.waitHealthy(c, exec(t, healthcheck(t)), environment)
	if err := h.sendGRPC("one", 9, ""); err != nil {
		t.Fatal(err)
	}
	flush, err := h.command([]string{"flush"}, environment).CombinedOutput()
	if err != nil {
		t.Fatalf("spanlake flush: %v\n%s", err, flush)
	}
	h.waitServices(map[string]int64{"one": 9})
	c.stop(10 * time.Second) // what `docker stop` waits
	entries, err := os.ReadDir(h.work)
	if err != nil || len(entries) != 1 {
		t.Errorf("in the working folder are %v, %v: want .dbdata only", entries, err)
	}
}

// TestTheUnitRuns starts what systemd starts.
func TestTheUnitRuns(t *testing.T) {
	settings, h := unit(t), newHost(t)
	command := strings.Fields(only(t, settings, "Service.ExecStart"))
	// The addresses are those of the defaults, but for the ports: what would be in /etc/spanlake/spanlake.env.
	environment := map[string]string{"SPANLAKE_OTLP_GRPC": "127.0.0.1:4317", "SPANLAKE_OTLP_HTTP": "127.0.0.1:4318", "SPANLAKE_LISTEN": "127.0.0.1:1323"}
	for _, assignment := range settings["Service.Environment"] {
		name, value, _ := strings.Cut(assignment, "=")
		environment[name] = strings.Replace(value, "%S/spanlake", dataFolder, 1)
	}
	c := h.start("the unit", command[1:], environment)
	h.waitHealthy(c, []string{program, "healthcheck"}, environment)
	if err := h.sendHTTP("of the machine", 6, ""); err != nil {
		t.Fatal(err)
	}
	if output, err := h.command([]string{"flush"}, environment).CombinedOutput(); err != nil {
		t.Fatalf("spanlake flush: %v\n%s", err, output)
	}
	h.waitServices(map[string]int64{"of the machine": 6})
	c.stop(10 * time.Second)
	h.nothingOutside()
}

// TestSettingsAreKnown: a variable that is misspelt would be passed over without a word.
func TestSettingsAreKnown(t *testing.T) {
	known := func(command string, environment map[string]string) {
		t.Helper()
		help, err := newHost(t).command([]string{command, "--help"}, nil).Output()
		if err != nil || !strings.Contains(string(help), "spanlake "+command+" [flags]") {
			t.Fatalf("spanlake %s --help: %v\n%s", command, err, help)
		}
		for name := range environment {
			if !strings.Contains(string(help), name) {
				t.Errorf("spanlake %s does not know %s", command, name)
			}
		}
	}
	for _, s := range compose(t, nil).Services {
		known(s.Command[0], s.Environment)
	}
	known("serve", dockerfile(t)[1].environment(t))
	ofUnit := map[string]string{}
	for _, assignment := range unit(t)["Service.Environment"] {
		name, _, _ := strings.Cut(assignment, "=")
		ofUnit[name] = ""
	}
	known("serve", ofUnit)
}
