// Package architecture keeps the structure of the module: which package may import which, how packages are named and
// documented, and how long a file may be. docs/ARCHITECTURE.md tells why.
package architecture

import (
	"strings"
	"testing"
)

// theModule are the files of this module.
func theModule(t *testing.T) []source {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	sources, err := readModule(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(sources) < 20 {
		t.Fatalf("only %d Go files below %s: not all of the module was read", len(sources), root)
	}
	return sources
}

func TestImports(t *testing.T) { report(t, checkImports(theModule(t))) }

func TestPackageNames(t *testing.T) { report(t, checkNames(theModule(t))) }

func TestFilesAreShort(t *testing.T) { report(t, checkLength(theModule(t))) }

func TestEveryPackageHasOneDocComment(t *testing.T) { report(t, checkDocs(theModule(t))) }

func report(t *testing.T, violations []string) {
	t.Helper()
	for _, violation := range violations {
		t.Error(violation)
	}
}

// TestImportRulesBite shows for each rule an import that it refuses, and its neighbours that it does not.
func TestImportRulesBite(t *testing.T) {
	const module = modulePath + "/"
	for _, tc := range []struct {
		file, imports string
		want          string // a part of the message, or "" if the import is fine
	}{
		{"internal/span/span.go", "time", ""},
		{"internal/span/span.go", "encoding/json", ""},
		{"internal/span/span.go", "github.com/oklog/ulid/v2", "standard library only"},
		{"internal/span/span.go", module + "internal/lake", "standard library only"},
		{"internal/span/span_test.go", "github.com/google/go-cmp/cmp", ""},

		{"internal/index/open.go", module + "internal/span", ""},
		{"internal/index/open.go", module + "internal/lake", "stage index must not know stage lake"},
		{"internal/index/open_test.go", module + "internal/lake", ""},
		{"internal/index/open_test.go", module + "internal/testkit", ""},
		{"internal/index/open_test.go", module + "internal/flush", "stage index must not know stage flush"},
		{"internal/index/bench/bench.go", module + "internal/index", ""},
		{"internal/api/rest/rest.go", module + "internal/query", "stage api must not know stage query"},
		{"internal/app/app.go", module + "internal/query", ""},
		{"internal/sample/sample.go", module + "internal/lake", ""},
		{"internal/indexer/x.go", module + "internal/lake", ""}, // a name that begins like a stage is none

		{"internal/index/open.go", "github.com/duckdb/duckdb-go/v2", ""},
		{"internal/index/bench/bench.go", "github.com/duckdb/duckdb-go/v2", ""},
		{"internal/lake/scan.go", "github.com/duckdb/duckdb-go/v2", "only internal/index may use DuckDB"},
		{"internal/lake/scan_test.go", "github.com/duckdb/duckdb-go/v2", ""},
		{"cmd/spanlake/sql.go", "github.com/duckdb/duckdb-go/v2", "only internal/index may use DuckDB"},
		{"internal/lake/writer.go", "github.com/apache/arrow-go/v18/parquet", ""},
		{"internal/index/open.go", "github.com/apache/arrow-go/v18/parquet", "only internal/lake may use the Parquet writer"},
		{"internal/testkit/parquet.go", "github.com/apache/arrow-go/v18/parquet", ""},
		{"internal/flush/flush.go", "modernc.org/sqlite", "only internal/wal may use SQLite"},

		{"cmd/spanlake/run.go", module + "internal/config", ""},
		{"internal/app/app.go", module + "internal/config", ""},
		{"internal/index/open.go", module + "internal/config", "only cmd and internal/app see the settings"},
		{"internal/index/open_test.go", module + "internal/config", "only cmd and internal/app see the settings"},
		{"cmd/spanlake/run.go", module + "internal/app", ""},
		{"test/e2e/kill_test.go", module + "internal/app", ""},
		{"internal/sample/sample.go", module + "internal/app", "no part may know it"},

		{"internal/testkit/lake.go", module + "internal/testkit/damage", ""},
		{"internal/sample/sample.go", module + "internal/testkit", "is for tests"},
	} {
		s, err := parseSource(tc.file, []byte("package x\n\nimport \""+tc.imports+"\"\n"))
		if err != nil {
			t.Fatal(err)
		}
		expect(t, tc.file+" imports "+tc.imports, checkImports([]source{s}), tc.want)
	}
}

func TestOtherRulesBite(t *testing.T) {
	const documented = "// Package x is for a test.\npackage x\n"
	long := strings.Repeat("\n", maxLines)
	for name, tc := range map[string]struct {
		check func([]source) []string
		files map[string]string
		want  string
	}{
		"a good name":            {checkNames, map[string]string{"internal/x/x.go": "package lake\n"}, ""},
		"a name without meaning": {checkNames, map[string]string{"internal/x/x.go": "package utils\n"}, "package utils"},
		"the same of a test":     {checkNames, map[string]string{"internal/x/x_test.go": "package common_test\n"}, "package common_test"},
		"a short file":           {checkLength, map[string]string{"x.go": "package x\n" + long[2:]}, ""},
		"a long file":            {checkLength, map[string]string{"x.go": "package x\n" + long}, "x.go: has 501 lines"},
		"a long generated file": {checkLength, map[string]string{
			"x.go": "// Code generated by a test. DO NOT EDIT.\n\npackage x\n" + long}, ""},
		"one comment":         {checkDocs, map[string]string{"x/a.go": documented, "x/b.go": "package x\n", "x/b_test.go": "package x\n"}, ""},
		"no comment":          {checkDocs, map[string]string{"x/a.go": "package x\n", "y/a.go": documented}, "x: no file has"},
		"two comments":        {checkDocs, map[string]string{"x/a.go": documented, "x/b.go": documented}, "keep one"},
		"a comment in a test": {checkDocs, map[string]string{"x/a.go": "package x\n", "x/a_test.go": documented}, "x: no file has"},
		"nothing but tests":   {checkDocs, map[string]string{"x/a_test.go": documented, "x/b_test.go": "package x\n"}, ""},
		"a licence is no comment": {checkDocs, map[string]string{
			"x/a.go": "// Copyright of somebody.\n\npackage x\n"}, "x: no file has"},
	} {
		t.Run(name, func(t *testing.T) {
			var sources []source
			for path, content := range tc.files {
				s, err := parseSource(path, []byte(content))
				if err != nil {
					t.Fatal(err)
				}
				sources = append(sources, s)
			}
			expect(t, name, tc.check(sources), tc.want)
		})
	}
}

// expect wants one violation that contains want, or none if want is "".
func expect(t *testing.T, what string, violations []string, want string) {
	t.Helper()
	switch {
	case want == "" && len(violations) > 0:
		t.Errorf("%s: is refused: %q", what, violations)
	case want != "" && (len(violations) != 1 || !strings.Contains(violations[0], want)):
		t.Errorf("%s: got %q, want one violation with %q", what, violations, want)
	}
}
