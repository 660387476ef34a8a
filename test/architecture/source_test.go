package architecture

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// source is what the rules need to know of one Go file. Paths have '/'; folders are relative to the root of the module,
// "." is the root itself.
type source struct {
	path, folder  string
	packageName   string
	isTest        bool
	isGenerated   bool
	hasPackageDoc bool
	lines         int
	imports       []imported
}

// imported is one import of a file.
type imported struct {
	line int
	path string
}

// modulePath is the module's, as in go.mod.
const modulePath = "github.com/spanlake/spanlake"

// internal is the path of a folder of this module, or false for any other import.
func (i imported) internal() (string, bool) {
	if i.path == modulePath {
		return ".", true
	}
	return strings.CutPrefix(i.path, modulePath+"/")
}

// standard tells whether the import is of the standard library, whose paths have no dot in their first element.
func (i imported) standard() bool {
	first, _, _ := strings.Cut(i.path, "/")
	return !strings.Contains(first, ".")
}

// moduleRoot is the folder of go.mod, above the folder in which the test runs.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod in this folder or above it")
		}
		dir = parent
	}
}

// readModule parses all Go files of the module at root, whatever system or tag they are for.
func readModule(root string) ([]source, error) {
	var sources []source
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			if name != "." && outside(os.DirFS(root), name) {
				return fs.SkipDir
			}
			return nil
		case path.Ext(name) != ".go":
			return nil
		}
		content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		one, err := parseSource(name, content)
		sources = append(sources, one)
		return err
	})
	return sources, err
}

// outside tells whether the go command passes over a folder, or takes it for another module.
func outside(module fs.FS, folder string) bool {
	base := path.Base(folder)
	if base == "testdata" || base == "vendor" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return true
	}
	_, err := fs.Stat(module, path.Join(folder, "go.mod"))
	return err == nil
}

// parseSource reads the head of a file.
func parseSource(name string, content []byte) (source, error) {
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, name, content, parser.ImportsOnly|parser.ParseComments)
	if err != nil {
		return source{}, err
	}
	one := source{
		path: name, folder: path.Dir(name), packageName: parsed.Name.Name,
		isTest: strings.HasSuffix(name, "_test.go"), isGenerated: ast.IsGenerated(parsed),
		hasPackageDoc: parsed.Doc != nil && strings.TrimSpace(parsed.Doc.Text()) != "",
		lines:         bytes.Count(content, []byte("\n")),
	}
	for _, spec := range parsed.Imports {
		unquoted, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return source{}, fmt.Errorf("%s: import %s: %w", name, spec.Path.Value, err)
		}
		one.imports = append(one.imports, imported{line: files.Position(spec.Pos()).Line, path: unquoted})
	}
	return one, nil
}
