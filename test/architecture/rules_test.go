package architecture

import (
	"fmt"
	"slices"
	"strings"
)

const (
	maxLines = 500
	spanPath = "internal/span"
)

// stages are the steps on the way of the data, and what is asked at its end. Each declares the small interfaces that it
// needs of the others, and internal/app plugs them together.
func stages() []string {
	return []string{"otlp", "wal", "flush", "lake", "index", "hot", "query", "api", "jaeger", "ui"}
}

// madeForTests are the packages with which the tests of any stage may make what they work on.
func madeForTests() []string {
	return []string{"internal/testkit", "internal/lake", "internal/sample"}
}

// owner is the one package, with those below it, that may import some library.
type owner struct {
	imported string
	prefixes []string
	folder   string
}

func owners() []owner {
	return []owner{
		{"DuckDB", []string{"github.com/duckdb/", "github.com/marcboeker/go-duckdb"}, "internal/index"},
		{"the Parquet writer", []string{"github.com/apache/arrow-go/", "github.com/parquet-go/parquet-go"}, "internal/lake"},
		{"SQLite", []string{"modernc.org/sqlite", "github.com/mattn/go-sqlite3", "github.com/ncruces/go-sqlite3", "zombiezen.com/go/sqlite"},
			"internal/wal"},
	}
}

// importRule says what is wrong with an import of a file, or "".
type importRule func(source, imported) string

func importRules() []importRule {
	return []importRule{domainIsPure, stagesDoNotMeet, librariesHaveOwners, settingsStayOutside, nothingBelowApp, testkitIsForTests}
}

// checkImports applies all rules to all imports.
func checkImports(sources []source) (violations []string) {
	for _, s := range sources {
		for _, i := range s.imports {
			for _, rule := range importRules() {
				if problem := rule(s, i); problem != "" {
					violations = append(violations, fmt.Sprintf("%s:%d: imports %s: %s", s.path, i.line, i.path, problem))
				}
			}
		}
	}
	return violations
}

func domainIsPure(s source, i imported) string {
	if s.folder != spanPath || s.isTest || i.standard() {
		return ""
	}
	return "internal/span is the domain and imports the standard library only"
}

func stagesDoNotMeet(s source, i imported) string {
	from := stageOf(s.folder)
	target, ok := i.internal()
	if !ok || from == "" {
		return ""
	}
	to := stageOf(target)
	if to == "" || to == from || s.isTest && isIn(target, madeForTests()...) {
		return ""
	}
	// Pages are a client of the API: they ask in its words.
	if from == "ui" && target == "internal/api/wire" {
		return ""
	}
	return fmt.Sprintf("stage %s must not know stage %s: declare the interface that it needs, and let internal/app plug them together", from, to)
}

// stageOf is the name of the stage to which a folder belongs, or "".
func stageOf(folder string) string {
	for _, stage := range stages() {
		if isIn(folder, "internal/"+stage) {
			return stage
		}
	}
	return ""
}

func librariesHaveOwners(s source, i imported) string {
	for _, o := range owners() {
		mayUse := s.isTest || isIn(s.folder, o.folder, "internal/testkit")
		if !mayUse && slices.ContainsFunc(o.prefixes, func(prefix string) bool { return strings.HasPrefix(i.path, prefix) }) {
			return fmt.Sprintf("only %s may use %s (tests and internal/testkit too, to make files)", o.folder, o.imported)
		}
	}
	return ""
}

func settingsStayOutside(s source, i imported) string {
	target, ok := i.internal()
	if !ok || !isIn(target, "internal/config") || isIn(s.folder, "internal/config", "internal/app", "cmd", "internal/testkit", "test") {
		return ""
	}
	return "only cmd and internal/app see the settings: take options of your own"
}

func nothingBelowApp(s source, i imported) string {
	target, ok := i.internal()
	if !ok || !isIn(target, "internal/app") || isIn(s.folder, "internal/app", "cmd", "internal/testkit", "test") {
		return ""
	}
	return "internal/app plugs the parts together, so no part may know it: only cmd (and internal/testkit, which runs it in tests)"
}

func testkitIsForTests(s source, i imported) string {
	target, ok := i.internal()
	if !ok || !isIn(target, "internal/testkit") || s.isTest || isIn(s.folder, "internal/testkit", "test") {
		return ""
	}
	return "internal/testkit is for tests and must not end up in the program"
}

// isIn tells whether a folder is one of parents or below one.
func isIn(folder string, parents ...string) bool {
	return slices.ContainsFunc(parents, func(parent string) bool {
		return folder == parent || strings.HasPrefix(folder, parent+"/")
	})
}

// checkNames finds packages whose name says nothing of what they are responsible for.
func checkNames(sources []source) (violations []string) {
	empty := []string{"util", "utils", "common", "helper", "helpers", "misc"}
	for _, s := range sources {
		if slices.Contains(empty, strings.TrimSuffix(s.packageName, "_test")) {
			violations = append(violations, fmt.Sprintf("%s: package %s: name it after its one responsibility", s.path, s.packageName))
		}
	}
	return violations
}

// checkLength finds files that are too long to be about one thing.
func checkLength(sources []source) (violations []string) {
	for _, s := range sources {
		if s.lines >= maxLines && !s.isGenerated {
			violations = append(violations, fmt.Sprintf("%s: has %d lines: keep files under %d, split it by what its parts do", s.path, s.lines, maxLines))
		}
	}
	return violations
}

// checkDocs finds packages without a comment that says what they are for, and those with more than one. A package that
// consists of tests has its comment in one of them.
func checkDocs(sources []source) (violations []string) {
	var folders []string
	commented, hasCode := map[string][]string{}, map[string]bool{}
	for _, s := range sources {
		hasCode[s.folder] = hasCode[s.folder] || !s.isTest
		if !slices.Contains(folders, s.folder) {
			folders = append(folders, s.folder)
		}
	}
	for _, s := range sources {
		if s.hasPackageDoc && s.isTest != hasCode[s.folder] {
			commented[s.folder] = append(commented[s.folder], s.path)
		}
	}
	for _, folder := range folders {
		switch files := commented[folder]; len(files) {
		case 0:
			violations = append(violations, fmt.Sprintf("%s: no file has a package comment: say in one what the package is for", folder))
		case 1:
		default:
			violations = append(violations, fmt.Sprintf("%s: %s have package comments: keep one", folder, strings.Join(files, " and ")))
		}
	}
	return violations
}
