package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanlake/spanlake/internal/config"
)

func load(t *testing.T, flags, env map[string]string, dotEnv string) (config.Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), ".env")
	if dotEnv != "" {
		if err := os.WriteFile(path, []byte(dotEnv), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	lookup := func(name string) (string, bool) { value, ok := env[name]; return value, ok }
	return config.Load(flags, lookup, path)
}

func TestDefaults(t *testing.T) {
	got, err := load(t, nil, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	want := config.Config{
		Lake: "./.dbdata/spans", DB: "./.dbdata/duckdb/spanlake.duckdb", BatchSize: 10, PollInterval: 30 * time.Second,
		Memory: 512e6, MaxFileRows: 20_000_000, MaxFileRowGroups: 5000, MaxFileFooter: 4 << 20, MaxFilePage: 256 << 20,
		MaxFileTime: 2 * time.Minute, Listen: "127.0.0.1:1323",
		Ingest: config.Ingest{
			OTLPGRPC: "127.0.0.1:4317", OTLPHTTP: "127.0.0.1:4318", IngestListen: "127.0.0.1:1324",
			InternalListen: "127.0.0.1:50052", InternalServer: "127.0.0.1:50052",
			WAL: "./.dbdata/sqlite/wal.db", MaxWALSize: 2e9, MinFreeDisk: 256e6, KeysFile: "./.dbdata/keys.json",
			MaxRequestBytes: 64 << 20, MaxAttributeBytes: 8 << 20, MaxAttributes: 1024, MaxAttributeDepth: 32,
			FlushMaxRows: 100_000, FlushMinRows: 1000, FlushMaxBytes: 64e6, FlushMaxAge: time.Hour, FlushInterval: 30 * time.Second,
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFlagsBeatEnvironmentBeatsDotEnvBeatsDefaults(t *testing.T) {
	const dotEnv = "INDEXER_BATCH_SIZE=2\n"
	env := map[string]string{"INDEXER_BATCH_SIZE": "3"}
	flags := map[string]string{"batch-size": "4"}
	for _, c := range []struct {
		name       string
		flags, env map[string]string
		dotEnv     string
		want       int
	}{
		{"flag", flags, env, dotEnv, 4},
		{"environment", nil, env, dotEnv, 3},
		{".env", nil, nil, dotEnv, 2},
		{"default", nil, nil, "", 10},
		{"an empty variable is not set", nil, map[string]string{"INDEXER_BATCH_SIZE": ""}, dotEnv, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := load(t, c.flags, c.env, c.dotEnv)
			if err != nil {
				t.Fatal(err)
			}
			if got.BatchSize != c.want {
				t.Errorf("batch size %d, want %d", got.BatchSize, c.want)
			}
		})
	}
}

func TestPlainNumbersAreSeconds(t *testing.T) {
	for value, want := range map[string]time.Duration{"5": 5 * time.Second, "90s": 90 * time.Second, "1h": time.Hour, "3600": time.Hour} {
		got, err := load(t, map[string]string{"poll-interval": value}, nil, "")
		if err != nil || got.PollInterval != want {
			t.Errorf("%q: got %v, %v, want %v", value, got.PollInterval, err, want)
		}
	}
}

func TestWrongValueNamesSettingValueAndWhatIsAllowed(t *testing.T) {
	for _, c := range []struct{ flag, env, value, allowed string }{
		{"batch-size", "INDEXER_BATCH_SIZE", "0", "1 to 100"},
		{"batch-size", "INDEXER_BATCH_SIZE", "101", "1 to 100"},
		{"batch-size", "INDEXER_BATCH_SIZE", "ten", "1 to 100"},
		{"poll-interval", "INDEXER_POLL_INTERVAL", "4", "5s to 1h"},
		{"poll-interval", "INDEXER_POLL_INTERVAL", "61m", "5s to 1h"},
		{"poll-interval", "INDEXER_POLL_INTERVAL", "99999999999999999999", "5s to 1h"},
		{"memory", "SPANLAKE_MEMORY", "lots", "192MB"},
		{"memory", "SPANLAKE_MEMORY", "10MB", "192MB"},
		{"memory", "SPANLAKE_MEMORY", "-1GB", "192MB"},
		{"lake", "JUNJO_SPAN_STORAGE_PATH", " ", "a path"},
		{"listen", "SPANLAKE_LISTEN", "1323", "HOST:PORT"},
		{"listen", "SPANLAKE_LISTEN", "localhost:http", "HOST:PORT"},
		{"listen", "SPANLAKE_LISTEN", "127.0.0.1:65536", "HOST:PORT"},
		{"server", "SPANLAKE_SERVER", "127.0.0.1:1323", "a URL"},
		{"server", "SPANLAKE_SERVER", "ftp://host/", "a URL"},
		{"retain-days", "SPANLAKE_RETAIN_DAYS", "-1", "from 0"},
		{"retain-days", "SPANLAKE_RETAIN_DAYS", "7d", "whole number of days"},
		{"retain-bytes", "SPANLAKE_RETAIN_BYTES", "much", "50GB"},
		{"max-file-rows", "SPANLAKE_MAX_FILE_ROWS", "0", "at least 1"},
	} {
		for source, load := range map[string]func() error{
			"--" + c.flag: func() error { _, err := load(t, map[string]string{c.flag: c.value}, nil, ""); return err },
			c.env + " in the environment": func() error {
				_, err := load(t, nil, map[string]string{c.env: c.value}, "")
				return err
			},
			c.env + " in ": func() error { _, err := load(t, nil, nil, c.env+"=\""+c.value+"\"\n"); return err },
		} {
			err := load()
			if _, ok := errors.AsType[*config.Error](err); !ok {
				t.Errorf("%s=%q: got %v", source, c.value, err)
				continue
			}
			for _, part := range []string{source, c.value, c.allowed} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not name %q", err, part)
				}
			}
		}
	}
}

func TestBrokenDotEnv(t *testing.T) {
	_, err := load(t, nil, nil, "this is = no ' .env\n'file")
	if _, ok := errors.AsType[*config.Error](err); !ok {
		t.Fatalf("got %v", err)
	}
}

// Existing deployments name the lake by one variable for ingestion and by another for the backend.
func TestBothNamesOfTheLakeAreAccepted(t *testing.T) {
	for name, c := range map[string]struct {
		env    map[string]string
		dotEnv string
		want   string
	}{
		"of ingestion":            {map[string]string{"SPAN_STORAGE_PATH": "a"}, "", "a"},
		"of the backend":          {map[string]string{"JUNJO_SPAN_STORAGE_PATH": "b"}, "", "b"},
		"both":                    {map[string]string{"SPAN_STORAGE_PATH": "a", "JUNJO_SPAN_STORAGE_PATH": "b"}, "", "b"},
		"in .env":                 {nil, "SPAN_STORAGE_PATH=c", "c"},
		"environment beats .env":  {map[string]string{"SPAN_STORAGE_PATH": "a"}, "JUNJO_SPAN_STORAGE_PATH=c", "a"},
		"an empty one is not set": {map[string]string{"SPAN_STORAGE_PATH": "a", "JUNJO_SPAN_STORAGE_PATH": ""}, "", "a"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := load(t, nil, c.env, c.dotEnv)
			if err != nil || got.Lake != c.want {
				t.Errorf("lake %q, %v; want %q", got.Lake, err, c.want)
			}
		})
	}
}

func TestSettingsThatNeedEachOther(t *testing.T) {
	for name, c := range map[string]struct {
		flags map[string]string
		want  string // "" if they are fine
	}{
		"certificate without key": {map[string]string{"tls-cert": "c.pem"}, "--tls-key"},
		"key without certificate": {map[string]string{"tls-key": "k.pem"}, "--tls-cert"},
		"clients without TLS":     {map[string]string{"tls-client-ca": "ca.pem"}, "--tls-cert"},
		"all of TLS":              {map[string]string{"tls-cert": "c.pem", "tls-key": "k.pem", "tls-client-ca": "ca.pem"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, c.flags, nil, "")
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestAWrongKeyIsNotShown(t *testing.T) {
	for _, c := range []struct{ name, value string }{
		{"SPANLAKE_API_KEYS", "hunter2"}, {"SPANLAKE_READ_API_KEYS", "hunter2"}, {"SPANLAKE_API_KEY", "hunter2"},
		{"SPANLAKE_API_KEY", "hunter2 and a good deal more"}, {"SPANLAKE_API_KEY", "hunter2-hunter2-hünter2"},
	} {
		_, err := load(t, nil, map[string]string{c.name: c.value}, "")
		if wrong := (*config.Error)(nil); !errors.As(err, &wrong) || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), c.name) {
			t.Errorf("%s=%s: error %v, want one without the key", c.name, c.value, err)
		}
	}
}

func TestLists(t *testing.T) {
	got, err := load(t, map[string]string{"insecure": "true", "otlp-http": "off"},
		map[string]string{"SPANLAKE_API_KEYS": " first-key-of-sixteen , second-key-of-sixteen,", "SPANLAKE_READ_API_KEYS": "third-key-of-sixteen",
			"SPANLAKE_API_KEY": "fourth-key-of-sixteen", "SPANLAKE_HOSTS": "Traces.example.com, spans"}, "")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"first-key-of-sixteen", "second-key-of-sixteen"}, got.APIKeys); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"third-key-of-sixteen"}, got.ReadAPIKeys); diff != "" || got.APIKey != "fourth-key-of-sixteen" {
		t.Errorf("the key is %q%s", got.APIKey, diff)
	}
	if diff := cmp.Diff([]string{"traces.example.com", "spans"}, got.Hosts); diff != "" {
		t.Error(diff)
	}
	if !got.Insecure || got.OTLPHTTP != "" || got.OTLPGRPC == "" {
		t.Errorf("insecure %v, HTTP %q, gRPC %q", got.Insecure, got.OTLPHTTP, got.OTLPGRPC)
	}
}
