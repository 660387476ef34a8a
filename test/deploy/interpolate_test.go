package deploy

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// variable is what Compose replaces in values: $$, ${NAME}, ${NAME-default} and ${NAME:-default}. What else begins with a dollar sign
// is taken too, to be refused.
var variable = regexp.MustCompile(`\$(\$|\{([A-Za-z_][A-Za-z0-9_]*)(?:(:?-)([^${}]*))?\}|.?)`)

// interpolate does what Compose does with a value: https://docs.docker.com/reference/compose-file/interpolation/.
func interpolate(value string, environment map[string]string) (string, error) {
	var refused error
	result := variable.ReplaceAllStringFunc(value, func(match string) string {
		parts := variable.FindStringSubmatch(match)
		name, operator, byDefault := parts[2], parts[3], parts[4]
		set, ok := environment[name]
		switch {
		case match == "$$":
			return "$"
		case name == "":
			refused = fmt.Errorf("%q: this test does not know what Compose does with it", value)
			return match
		case operator == ":-" && set == "", operator == "-" && !ok:
			return byDefault
		}
		return set
	})
	return result, refused
}

// interpolateAll does it with all values of a document, not with its keys.
func interpolateAll(node *yaml.Node, environment map[string]string) (err error) {
	if node.Kind == yaml.ScalarNode && strings.Contains(node.Value, "$") {
		if node.Value, err = interpolate(node.Value, environment); err != nil {
			return fmt.Errorf("line %d: %w", node.Line, err)
		}
	}
	for i, child := range node.Content {
		if node.Kind == yaml.MappingNode && i%2 == 0 {
			continue
		}
		if err := interpolateAll(child, environment); err != nil {
			return err
		}
	}
	return nil
}

func TestInterpolate(t *testing.T) {
	environment := map[string]string{"SET": "value", "EMPTY": ""}
	for value, want := range map[string]string{
		"nothing": "nothing", "${SET}": "value", "a${SET}b${SET}c": "avaluebvaluec",
		"${SET:-other}": "value", "${EMPTY:-other}": "other", "${EMPTY-other}": "", "${UNSET:-./.db}": "./.db", "${UNSET-other}": "other",
		"${UNSET:-}": "", "${UNSET}": "", "$${SET}": "${SET}", "${UNSET:-1}:${UNSET:-2}": "1:2",
	} {
		if got, err := interpolate(value, environment); got != want || err != nil {
			t.Errorf("%s: got %q, %v, want %q", value, got, err, want)
		}
	}
	for _, value := range []string{"$SET", "${SET:?no}", "${SET:+x}", "${UNSET:-${SET}}", "${", "${}", "a$", "${1}"} {
		if got, err := interpolate(value, environment); err == nil {
			t.Errorf("%s: got %q, want an error", value, got)
		}
	}
}
