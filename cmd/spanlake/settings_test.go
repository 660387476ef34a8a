package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spanlake/spanlake/internal/config"
	"github.com/spanlake/spanlake/internal/testkit"
)

// A flag beats the environment, which beats the file .env of the current folder, which beats the default.
func TestFlagBeatsEnvironmentBeatsFileBeatsDefault(t *testing.T) {
	home := t.TempDir()
	t.Chdir(home)
	// The lake that is used is told by its name in the first line of the summary, and by what is in it.
	for i, name := range []string{".dbdata/spans", "from-file", "from-environment", "from-flag"} {
		testkit.Lake{Root: filepath.Join(home, name)}.Spans(t, "spans.parquet", testkit.Spans(1, i+1)...)
	}
	used := func(args ...string) string {
		t.Helper()
		r := runPlain(t, append([]string{"rebuild"}, args...)...)
		if r.err != nil {
			t.Fatal(r.err)
		}
		lake, _, _ := strings.Cut(r.stdout, ":")
		_, spans, _ := strings.Cut(r.stdout, ".duckdb: ")
		return lake + " with " + strings.Fields(spans)[0]
	}
	expect := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("used is %s, want %s", got, want)
		}
	}

	expect(used(), "./.dbdata/spans with 1")
	if _, err := os.Stat(filepath.Join(home, ".dbdata", "duckdb", "spanlake.duckdb")); err != nil {
		t.Errorf("the index is not in the default place: %v", err)
	}
	if err := os.WriteFile(".env", []byte("# of a test\nJUNJO_SPAN_STORAGE_PATH=from-file\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	expect(used(), "from-file with 2")
	t.Setenv("JUNJO_SPAN_STORAGE_PATH", "from-environment")
	expect(used(), "from-environment with 3")
	expect(used("--lake", "from-flag"), "from-flag with 4")
	t.Setenv("JUNJO_SPAN_STORAGE_PATH", "")
	expect(used(), "from-file with 2") // empty is not set
}

// Each setting can be given in each way, and a wrong value is named together with what is allowed.
func TestWrongValuesNameTheSettingTheValueAndWhatIsAllowed(t *testing.T) {
	wrong := map[string][]string{
		"lake":                {"nul\x00byte"},
		"db":                  {"nul\x00byte"},
		"batch-size":          {"0", "101", "-1", "ten", "1.5"},
		"poll-interval":       {"4s", "4", "61m", "soon"},
		"memory":              {"1MB", "191MB", "lots", "-1"},
		"listen":              {"1323", "localhost:http", "127.0.0.1:65536"},
		"hosts":               {"http://traces.example.com", "traces.example.com:80", "*"},
		"server":              {"127.0.0.1:1323", "ftp://host"},
		"retain-days":         {"-1", "7d", "36501"},
		"retain-bytes":        {"-1", "much"},
		"max-file-rows":       {"0", "all"},
		"max-file-row-groups": {"0", "-5"},
		"max-file-footer":     {"0", "big"},
		"max-file-page":       {"0", "big"},
		"max-file-time":       {"0", "500ms", "2h"},
		"otlp-grpc":           {"4317", "localhost:grpc"},
		"otlp-http":           {"4318", "no"},
		"ingest-listen":       {"off", "1324"},
		"internal-listen":     {"50052"},
		"internal-server":     {"http://127.0.0.1:50052"},
		"max-request-size":    {"1KB", "2GiB"},
		"max-attribute-size":  {"100", "huge"},
		"max-attributes":      {"0", "many"},
		"max-attribute-depth": {"0", "65"},
		"wal":                 {"nul\x00byte"},
		"wal-sync":            {"off", "FULL"},
		"max-wal-size":        {"1MB", "all"},
		"min-free-disk":       {"-1", "some"},
		"flush-max-rows":      {"0", "1e6"},
		"flush-max-mb":        {"0", "64MB"},
		"flush-max-age":       {"0", "169h"},
		"flush-min-rows":      {"-1"},
		"flush-interval":      {"0", "2h"},
		"keys-file":           {"nul\x00byte"},
		"api-keys":            {"tooshort"},
		"read-api-keys":       {"tooshort", "of-sixteen-or-more,tooshort"},
		"api-key":             {"tooshort", "a key that has spaces"},
		"insecure":            {"maybe"},
		"tls-cert":            {"nul\x00byte"},
		"tls-key":             {"nul\x00byte"},
		"tls-client-ca":       {"nul\x00byte"},
		"cors-origins":        {"example.com"},
	}
	t.Chdir(t.TempDir())
	for _, setting := range config.Settings() {
		values := wrong[setting.Flag]
		if len(values) == 0 {
			t.Errorf("no wrong value of --%s is tried", setting.Flag)
		}
		for _, value := range values {
			command, quoted := "services", shown(value)
			if setting.Ingest {
				command = "serve"
			}
			if setting.Secret {
				quoted = "(not shown)"
			}
			runPlain(t, command, "--"+setting.Flag+"="+value).fails(exitUsage, "--"+setting.Flag, setting.Env, quoted, setting.Allowed)
			if strings.ContainsRune(value, 0) {
				continue // no environment variable can have this
			}
			t.Setenv(setting.Env, value)
			runPlain(t, "services").fails(exitUsage, setting.Env+" in the environment", "--"+setting.Flag, quoted, setting.Allowed)
			t.Setenv(setting.Env, "")
			if err := os.WriteFile(".env", []byte(setting.Env+"="+value+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			runPlain(t, "services").fails(exitUsage, setting.Env+" in .env", "--"+setting.Flag, quoted, setting.Allowed)
			if err := os.Remove(".env"); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// shown is a value as messages quote it.
func shown(value string) string { return `"` + strings.ReplaceAll(value, "\x00", `\x00`) + `"` }

// A file that is not what it should be is not passed over in silence.
func TestDamagedSettingsFile(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile(".env", []byte("this is no setting\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	runPlain(t, "services").fails(exitUsage, ".env", "NAME=value")
}

// Values at the ends of what is allowed are allowed.
func TestValuesAtTheLimits(t *testing.T) {
	c := newCommandLine(t)
	c.lake.Spans(t, "spans.parquet", testkit.Spans(1, 1)...)
	c.must("index", "--batch-size", "1", "--poll-interval", "5", "--memory", "192MB", "--max-file-time", "1h")
	c.must("index", "--batch-size", "100", "--poll-interval", "1h", "--memory", "8GiB", "--max-file-time", "1")
	// A limit of one file is a limit of every file.
	c.lake.Spans(t, "more.parquet", testkit.Spans(2, 3)...)
	if got := c.pass("--max-file-rows", "2"); got.FilesFailed != 1 {
		t.Errorf("with --max-file-rows 2, a file of 3 rows: %+v", got)
	}
	if got := c.failed(); len(got) != 1 || got[0].ErrorType != "too_large" {
		t.Errorf("failed = %+v", got)
	}
	c.must("retry", "--all")
	if got := c.pass(); got.FilesFailed != 0 || got.SpansIndexed != 3 {
		t.Errorf("after raising the limit: %+v", got)
	}
}
