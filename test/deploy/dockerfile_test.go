package deploy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// program is where the binary is in the image.
const program = "/usr/local/bin/spanlake"

// instruction is one line of a Dockerfile, with the lines that go on with it.
type instruction struct{ name, arguments string }

// stage is what follows a FROM.
type stage struct {
	base, name   string
	instructions []instruction
}

// all are the arguments of one kind of instruction.
func (s *stage) all(name string) (arguments []string) {
	for _, i := range s.instructions {
		if i.name == name {
			arguments = append(arguments, i.arguments)
		}
	}
	return arguments
}

// last is what holds of instructions that replace each other.
func (s *stage) last(t *testing.T, name string) string {
	t.Helper()
	all := s.all(name)
	if len(all) == 0 {
		t.Fatalf("the stage of %s has no %s", s.base, name)
	}
	return all[len(all)-1]
}

// environment is what ENV sets.
func (s *stage) environment(t *testing.T) map[string]string {
	t.Helper()
	set := map[string]string{}
	for _, arguments := range s.all("ENV") {
		for field := range strings.FieldsSeq(arguments) {
			name, value, ok := strings.Cut(field, "=")
			if !ok {
				t.Fatalf("ENV %s: want NAME=value", field)
			}
			set[name] = value
		}
	}
	return set
}

// exec reads the exec form, which needs no shell: the image has none.
func exec(t *testing.T, arguments string) (words []string) {
	t.Helper()
	if err := json.Unmarshal([]byte(arguments), &words); err != nil {
		t.Fatalf("%s is not in the exec form: %v", arguments, err)
	}
	return words
}

// dockerfile reads the Dockerfile: its stages, of which the last is the image.
func dockerfile(t *testing.T) []stage {
	t.Helper()
	var lines []string
	for line := range strings.Lines(read(t, "Dockerfile")) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	text := strings.ReplaceAll(strings.Join(lines, "\n"), "\\\n", "")
	var stages []stage
	for line := range strings.SplitSeq(text, "\n") {
		name, arguments, _ := strings.Cut(line, " ")
		arguments = strings.TrimSpace(arguments)
		if name == "FROM" {
			base, as, _ := strings.Cut(arguments, " AS ")
			stages = append(stages, stage{base: base, name: as})
			continue
		}
		if len(stages) == 0 {
			t.Fatalf("%s stands before the first FROM", line)
		}
		at := &stages[len(stages)-1]
		at.instructions = append(at.instructions, instruction{name, arguments})
	}
	if len(stages) != 2 {
		t.Fatalf("%d stages, want two", len(stages))
	}
	return stages
}

func TestBaseImages(t *testing.T) {
	stages := dockerfile(t)
	builder, runtime := stages[0].base, stages[1].base
	if !regexp.MustCompile(`^golang:1\.\d+\.\d+-bookworm$`).MatchString(builder) {
		t.Errorf("the builder %s is not pinned to a version of Go on Debian 12", builder)
	}
	// The glibc that a program is linked with is the oldest on which it starts: both are of Debian 12.
	if !strings.Contains(runtime, "/cc-debian12:nonroot") {
		t.Errorf("the image begins from %s", runtime)
	}
	version := regexp.MustCompile(`(?m)^go (1\.\d+)`).FindStringSubmatch(read(t, "go.mod"))
	if version == nil || !strings.HasPrefix(builder, "golang:"+version[1]+".") {
		t.Errorf("the builder is %s, go.mod wants %v", builder, version)
	}
}

func TestWhatIsCopiedExists(t *testing.T) {
	stages := dockerfile(t)
	made := strings.Join(stages[0].all("RUN"), "\n")
	copies := 0
	for i := range stages {
		for _, arguments := range stages[i].all("COPY") {
			words := strings.Fields(arguments)
			from := ""
			for strings.HasPrefix(words[0], "--") {
				if name, ok := strings.CutPrefix(words[0], "--from="); ok {
					from = name
				}
				words = words[1:]
			}
			for _, source := range words[:len(words)-1] {
				copies++
				if from == "" {
					if _, err := os.Stat(filepath.Join(root(), source)); err != nil {
						t.Errorf("COPY %s: %v", arguments, err)
					}
				} else if from != stages[0].name || !strings.Contains(made, " "+source) {
					t.Errorf("COPY %s: the stage %q does not make %s", arguments, stages[0].name, source)
				}
			}
		}
	}
	if copies != 3 {
		t.Errorf("%d files are copied, want the sources, the program and its folder", copies)
	}
}

func TestTheBuild(t *testing.T) {
	build := dockerfile(t)[0].all("RUN")[0]
	for _, part := range []string{"CGO_ENABLED=1", "-trimpath", "-buildvcs=$BUILDVCS", "-o /out/spanlake ./cmd/spanlake"} {
		if !strings.Contains(build, part) {
			t.Errorf("the build has no %s: %s", part, build)
		}
	}
	ignored := strings.Fields(read(t, ".dockerignore"))
	for _, secret := range []string{".dbdata", ".env"} {
		if !slices.Contains(ignored, secret) {
			t.Errorf("%s gets into the build", secret)
		}
	}
	for _, needed := range []string{".git", "go.mod", "go.sum", "cmd", "internal", "*", "**"} {
		if slices.Contains(ignored, needed) {
			t.Errorf("%s does not get into the build", needed)
		}
	}
}

func TestTheImage(t *testing.T) {
	image := dockerfile(t)[1]
	if user := image.last(t, "USER"); !regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(user) {
		t.Errorf("USER %s: want numbers other than 0", user)
	} else if !slices.ContainsFunc(image.all("COPY"), func(arguments string) bool {
		return strings.Contains(arguments, "--chown="+user+" ") && strings.HasSuffix(arguments, " "+dataFolder)
	}) {
		t.Errorf("%s does not belong to USER %s", dataFolder, user)
	}
	if got := image.last(t, "VOLUME"); got != dataFolder {
		t.Errorf("VOLUME %s, want %s", got, dataFolder)
	}
	// The defaults of the settings are relative paths.
	if got := image.last(t, "WORKDIR"); got+"/.dbdata" != dataFolder {
		t.Errorf("WORKDIR %s: ./.dbdata is not %s there", got, dataFolder)
	}
	if got := exec(t, image.last(t, "ENTRYPOINT")); !slices.Equal(got, []string{program}) {
		t.Errorf("ENTRYPOINT %q, want %s", got, program)
	}
	if got := exec(t, image.last(t, "CMD")); !slices.Equal(got, []string{"serve"}) {
		t.Errorf("CMD %q, want serve", got)
	}
	if got := exec(t, healthcheck(t)); !slices.Equal(got, []string{program, "healthcheck"}) {
		t.Errorf("HEALTHCHECK %q", got)
	}
	var open []string
	for _, address := range image.environment(t) {
		open = append(open, strings.TrimPrefix(address, "0.0.0.0:"))
	}
	exposed := strings.Fields(image.last(t, "EXPOSE"))
	slices.Sort(open)
	slices.Sort(exposed)
	if !slices.Equal(open, exposed) {
		t.Errorf("it listens on %v and exposes %v", open, exposed)
	}
}

// healthcheck is what HEALTHCHECK runs.
func healthcheck(t *testing.T) string {
	t.Helper()
	image := dockerfile(t)[1]
	_, command, ok := strings.Cut(image.last(t, "HEALTHCHECK"), " CMD ")
	if !ok {
		t.Fatal("HEALTHCHECK has no CMD")
	}
	return command
}
