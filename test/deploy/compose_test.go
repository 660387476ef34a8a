package deploy

import (
	"bytes"
	"fmt"
	"net"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dustin/go-humanize"
	"go.yaml.in/yaml/v3"
)

// composeFile is what there may be in docker-compose.yml: a key that is misspelt has no place in it.
type composeFile struct {
	Name     string             `yaml:"name"`
	Template yaml.Node          `yaml:"x-service"`
	Services map[string]service `yaml:"services"`
}

// service has the keys of https://docs.docker.com/reference/compose-file/services/ that are used.
type service struct {
	Image           string            `yaml:"image"`
	Build           string            `yaml:"build"`
	User            string            `yaml:"user"`
	Restart         string            `yaml:"restart"`
	ReadOnly        bool              `yaml:"read_only"`
	CapDrop         []string          `yaml:"cap_drop"`
	SecurityOpt     []string          `yaml:"security_opt"`
	Tmpfs           []string          `yaml:"tmpfs"`
	MemLimit        string            `yaml:"mem_limit"`
	Volumes         []volume          `yaml:"volumes"`
	Command         []string          `yaml:"command"`
	Environment     map[string]string `yaml:"environment"`
	Ports           []string          `yaml:"ports"`
	Expose          []string          `yaml:"expose"`
	StopGracePeriod time.Duration     `yaml:"stop_grace_period"`
	Healthcheck     struct {
		Test        []string      `yaml:"test"`
		Interval    time.Duration `yaml:"interval"`
		Timeout     time.Duration `yaml:"timeout"`
		StartPeriod time.Duration `yaml:"start_period"`
		Retries     int           `yaml:"retries"`
	} `yaml:"healthcheck"`
}

type volume struct {
	Type   string `yaml:"type"`
	Source string `yaml:"source"`
	Target string `yaml:"target"`
	Bind   struct {
		CreateHostPath *bool `yaml:"create_host_path"`
	} `yaml:"bind"`
}

// dataFolder is where the data of a container is.
const dataFolder = "/app/.dbdata"

// compose reads docker-compose.yml as Compose does in an environment.
func compose(t *testing.T, environment map[string]string) composeFile {
	t.Helper()
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(read(t, "docker-compose.yml")), &document); err != nil {
		t.Fatal(err)
	}
	if err := interpolateAll(&document, environment); err != nil {
		t.Fatal(err)
	}
	text, err := yaml.Marshal(&document)
	if err != nil {
		t.Fatal(err)
	}
	var file composeFile
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	if len(file.Services) != 2 || file.Services["ingestion"].Command == nil || file.Services["backend"].Command == nil {
		t.Fatalf("the services are %v, want ingestion and backend", file.Services)
	}
	return file
}

// TestPathsInContainers are a contract with the files of the projects that start Spanlake: hosts choose the folder, containers do not.
func TestPathsInContainers(t *testing.T) {
	file := compose(t, nil)
	for name, want := range map[string]map[string]string{
		"ingestion": {"SPAN_STORAGE_PATH": "/app/.dbdata/spans", "JUNJO_WAL_SQLITE_PATH": "/app/.dbdata/sqlite/wal.db",
			"SPANLAKE_KEYS_FILE": "/app/.dbdata/keys.json"},
		"backend": {"JUNJO_SPAN_STORAGE_PATH": "/app/.dbdata/spans", "JUNJO_DUCKDB_PATH": "/app/.dbdata/duckdb/spanlake.duckdb",
			"SPANLAKE_KEYS_FILE": "/app/.dbdata/keys.json"},
	} {
		s := file.Services[name]
		for variable, value := range want {
			if s.Environment[variable] != value {
				t.Errorf("%s: %s is %q, want %q", name, variable, s.Environment[variable], value)
			}
		}
		for variable, value := range s.Environment {
			if path.IsAbs(value) && want[variable] != value {
				t.Errorf("%s: %s=%s is not among the paths that are fixed", name, variable, value)
			}
		}
	}
}

func TestTheHostChoosesTheFolder(t *testing.T) {
	for _, tc := range []struct {
		environment map[string]string
		want, user  string
	}{
		{nil, "./.dbdata", "1000:1000"},
		{map[string]string{"JUNJO_HOST_DB_DATA_PATH": ""}, "./.dbdata", "1000:1000"},
		{map[string]string{"JUNJO_HOST_DB_DATA_PATH": "/srv/traces", "SPANLAKE_UID": "501", "SPANLAKE_GID": "20"}, "/srv/traces", "501:20"},
	} {
		for name, s := range compose(t, tc.environment).Services {
			if len(s.Volumes) != 1 {
				t.Fatalf("%s: volumes are %v, want one", name, s.Volumes)
			}
			v := s.Volumes[0]
			if v.Type != "bind" || v.Source != tc.want || v.Target != dataFolder {
				t.Errorf("%s with %v: the volume is %+v, want %s on %s", name, tc.environment, v, tc.want, dataFolder)
			}
			if v.Bind.CreateHostPath == nil || *v.Bind.CreateHostPath {
				t.Errorf("%s: Docker would make the folder as root, and %s could not write to it", name, s.User)
			}
			if s.User != tc.user {
				t.Errorf("%s with %v: runs as %s, want %s", name, tc.environment, s.User, tc.user)
			}
		}
	}
}

// TestOnlyLoopbackIsPublished: the services listen without TLS, which is right only as long as nobody else reaches them.
func TestOnlyLoopbackIsPublished(t *testing.T) {
	published := map[string][]string{}
	for name, s := range compose(t, nil).Services {
		for _, mapping := range s.Ports {
			rest, ok := strings.CutPrefix(mapping, "127.0.0.1:")
			outside, inside, _ := strings.Cut(rest, ":")
			if !ok || outside != inside {
				t.Errorf("%s: the port %s is not published on loopback under its own number", name, mapping)
			}
			published[name] = append(published[name], inside)
		}
		listens := ports(t, s, "SPANLAKE_OTLP_GRPC", "SPANLAKE_OTLP_HTTP", "SPANLAKE_LISTEN", "SPANLAKE_INGEST_LISTEN", "SPANLAKE_INTERNAL_LISTEN")
		for _, port := range slices.Concat(published[name], s.Expose) {
			if !slices.Contains(listens, port) {
				t.Errorf("%s: port %s is open, and nothing listens there: it listens on %v", name, port, listens)
			}
		}
		for _, port := range listens {
			if !slices.Contains(published[name], port) && !slices.Contains(s.Expose, port) {
				t.Errorf("%s listens on %s, which is neither in ports nor in expose", name, port)
			}
		}
	}
	if got := fmt.Sprint(published); got != "map[backend:[1323] ingestion:[4317 4318]]" {
		t.Errorf("published are %s", got)
	}
}

// ports are those of addresses in the environment of a service, which all have to be of the container.
func ports(t *testing.T, s service, variables ...string) (found []string) {
	t.Helper()
	for _, variable := range variables {
		address, ok := s.Environment[variable]
		if !ok {
			continue
		}
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		if host != "0.0.0.0" {
			t.Errorf("%s=%s: nobody outside of the container can reach it", variable, address)
		}
		found = append(found, port)
	}
	return found
}

// TestTheBackendFindsTheIngestion by the name that Compose gives it.
func TestTheBackendFindsTheIngestion(t *testing.T) {
	file := compose(t, nil)
	host, port, err := net.SplitHostPort(file.Services["backend"].Environment["SPANLAKE_INTERNAL_SERVER"])
	if err != nil {
		t.Fatal(err)
	}
	s, ok := file.Services[host]
	if !ok || !slices.Contains(ports(t, s, "SPANLAKE_INTERNAL_LISTEN"), port) {
		t.Errorf("no service listens on %s:%s", host, port)
	}
	if file.Services["backend"].Volumes[0] != s.Volumes[0] && file.Services["backend"].Volumes[0].Source != s.Volumes[0].Source {
		t.Error("the services do not share a folder")
	}
}

func TestServicesAreConfined(t *testing.T) {
	for name, s := range compose(t, nil).Services {
		user, _, _ := strings.Cut(s.User, ":")
		for what, holds := range map[string]bool{
			"not root":               user != "" && user != "0" && user != "root",
			"read-only root":         s.ReadOnly,
			"no capabilities":        slices.Equal(s.CapDrop, []string{"ALL"}),
			"no new privileges":      slices.Contains(s.SecurityOpt, "no-new-privileges:true"),
			"a small /tmp":           slices.Equal(s.Tmpfs, []string{"/tmp:size=16m"}),
			"restarted":              s.Restart == "unless-stopped",
			"the image of this file": s.Image == "spanlake" && s.Build == ".",
			"a health check":         s.Healthcheck.Interval > 0 && s.Healthcheck.Timeout > 0 && s.Healthcheck.StartPeriod > 0 && s.Healthcheck.Retries > 0,
			// The backend takes 4.5 s at most; the ingestion flushes before.
			"time to stop": s.StopGracePeriod >= 10*time.Second && (name != "ingestion" || s.StopGracePeriod >= 30*time.Second),
		} {
			if !holds {
				t.Errorf("%s: %s does not hold", name, what)
			}
		}
	}
}

// TestMemoryFitsTheLimit: where the budget of the process is above the limit of its container, the kernel kills it.
func TestMemoryFitsTheLimit(t *testing.T) {
	for name, s := range compose(t, nil).Services {
		budget, err := humanize.ParseBytes(s.Environment["SPANLAKE_MEMORY"])
		if err != nil {
			t.Fatalf("%s: SPANLAKE_MEMORY: %v", name, err)
		}
		limit, err := humanize.ParseBytes(strings.Replace(s.MemLimit, "m", "MiB", 1))
		if err != nil {
			t.Fatalf("%s: mem_limit: %v", name, err)
		}
		if budget >= limit*3/4 {
			t.Errorf("%s: a budget of %d bytes leaves too little of the %d of the container", name, budget, limit)
		}
	}
}

// TestHealthChecksAskTheServiceItself, on the port where it says how it is.
func TestHealthChecksAskTheServiceItself(t *testing.T) {
	for name, variable := range map[string]string{"ingestion": "SPANLAKE_INGEST_LISTEN", "backend": "SPANLAKE_LISTEN"} {
		s := compose(t, nil).Services[name]
		url := "http://127.0.0.1:" + ports(t, s, variable)[0]
		if want := []string{"CMD", program, "healthcheck", "--url", url}; !slices.Equal(s.Healthcheck.Test, want) {
			t.Errorf("%s: the health check is %q, want %q", name, s.Healthcheck.Test, want)
		}
	}
}

// TestKeysComeFromTheEnvironment, and are in no file of the project.
func TestKeysComeFromTheEnvironment(t *testing.T) {
	keys := compose(t, map[string]string{"SPANLAKE_API_KEYS": "one-key-of-16-chars,another-of-16-chars"}).Services["ingestion"].Environment["SPANLAKE_API_KEYS"]
	if keys != "one-key-of-16-chars,another-of-16-chars" {
		t.Errorf("SPANLAKE_API_KEYS is %q in the container", keys)
	}
	if keys := compose(t, nil).Services["ingestion"].Environment["SPANLAKE_API_KEYS"]; keys != "" {
		t.Errorf("without a setting SPANLAKE_API_KEYS is %q", keys)
	}
}
