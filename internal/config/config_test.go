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
