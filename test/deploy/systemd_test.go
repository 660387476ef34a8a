package deploy

import (
	"os"
	osexec "os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/dustin/go-humanize"
)

const unitPath = "deploy/systemd/spanlake.service"

// unit are the settings of a unit, by section and name; those that are given several times have several values.
func unit(t *testing.T) map[string][]string {
	t.Helper()
	settings, section := map[string][]string{}, ""
	for line := range strings.Lines(read(t, unitPath)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			section = strings.Trim(line, "[]")
		default:
			name, value, ok := strings.Cut(line, "=")
			if !ok {
				t.Fatalf("%s: %q", unitPath, line)
			}
			settings[section+"."+name] = append(settings[section+"."+name], value)
		}
	}
	return settings
}

// only is the value of a setting that is given once.
func only(t *testing.T, settings map[string][]string, name string) string {
	t.Helper()
	if len(settings[name]) != 1 {
		t.Fatalf("%s: %s is %q, want one", unitPath, name, settings[name])
	}
	return settings[name][0]
}

func TestUnit(t *testing.T) {
	settings := unit(t)
	for name, want := range map[string]string{
		"Service.ExecStart":      program + " serve",
		"Service.DynamicUser":    "yes",
		"Service.StateDirectory": "spanlake",
		"Service.Restart":        "on-failure",
		"Install.WantedBy":       "multi-user.target",
	} {
		if got := only(t, settings, name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if seconds, err := strconv.Atoi(only(t, settings, "Service.TimeoutStopSec")); err != nil || seconds < 30 {
		t.Errorf("TimeoutStopSec is %d: a flush needs time", seconds)
	}
	for _, signal := range []string{"Service.ExecReload", "Service.ExecStop"} {
		if settings[signal] != nil {
			t.Errorf("%s is %q: the program knows SIGTERM only", signal, settings[signal])
		}
	}
	for _, assignment := range settings["Service.Environment"] {
		name, value, _ := strings.Cut(assignment, "=")
		if strings.Contains(value, "/") && !strings.HasPrefix(value, "%S/spanlake/") {
			t.Errorf("%s=%s is not in the state directory, and so cannot be written", name, value)
		}
	}
}

func TestUnitMemory(t *testing.T) {
	settings := unit(t)
	limit, err := humanize.ParseBytes(strings.Replace(only(t, settings, "Service.MemoryMax"), "M", "MiB", 1))
	if err != nil {
		t.Fatal(err)
	}
	for _, assignment := range settings["Service.Environment"] {
		if value, ok := strings.CutPrefix(assignment, "SPANLAKE_MEMORY="); ok {
			if budget, err := humanize.ParseBytes(value); err != nil || budget >= limit*3/4 {
				t.Errorf("a budget of %d bytes (%v) leaves too little of MemoryMax, %d", budget, err, limit)
			}
			return
		}
	}
	t.Error("SPANLAKE_MEMORY is not set")
}

// TestSystemdTakesTheUnit asks systemd itself, where there is one.
func TestSystemdTakesTheUnit(t *testing.T) {
	analyze, err := osexec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd-analyze on this machine")
	}
	self, err := os.Executable() // a program that is there, in place of the one that is not installed
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "spanlake.service")
	if err := os.WriteFile(copied, []byte(strings.ReplaceAll(read(t, unitPath), program, self)), 0o600); err != nil {
		t.Fatal(err)
	}
	if output, err := osexec.Command(analyze, "verify", "--man=no", copied).CombinedOutput(); err != nil || len(output) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, output)
	}
}
