package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"
)

// module is the path of this module.
const module = "github.com/tideway-go/tideway"

// A tree is the source of a module.
type tree struct {
	fs    fs.FS
	fset  *token.FileSet
	files []*file // Go files outside testdata, sorted by path

	fileLines, functionLines int // how long a file and a function may be
}

// A file is one Go file. Paths are slash-separated and begin below the module's root.
type file struct {
	path string
	pkg  string // the directory, which is the import path without the module
	test bool   // the file's name ends with _test.go
	text string
	ast  *ast.File
}

// readTree parses every Go file below the root of fsys.
func readTree(t *testing.T, fsys fs.FS) *tree {
	t.Helper()
	tr := &tree{fs: fsys, fset: token.NewFileSet(), fileLines: 500, functionLines: 60}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".")):
			return fs.SkipDir
		case d.IsDir() || path.Ext(name) != ".go":
			return nil
		}
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(tr.fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		tr.files = append(tr.files, &file{name, path.Dir(name), strings.HasSuffix(name, "_test.go"), string(text), parsed})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// packages are the directories with Go files, sorted.
func (tr *tree) packages() []string {
	var names []string
	for _, f := range tr.files {
		names = append(names, f.pkg)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// in returns the files of a package: those of its tests, or the others.
func (tr *tree) in(pkg string, test bool) []*file {
	var files []*file
	for _, f := range tr.files {
		if f.pkg == pkg && f.test == test {
			files = append(files, f)
		}
	}
	return files
}

// isMain reports whether a package is a command.
func (tr *tree) isMain(pkg string) bool {
	files := tr.in(pkg, false)
	return len(files) > 0 && files[0].ast.Name.Name == "main"
}

// at formats one line of a report.
func (tr *tree) at(pos token.Pos, format string, args ...any) string {
	p := tr.fset.Position(pos)
	return fmt.Sprintf("%s:%d: %s", p.Filename, p.Line, fmt.Sprintf(format, args...))
}

// demonstrates reports whether a file shows how the module is used: tests, the suites for implementers, examples.
func (f *file) demonstrates() bool {
	return f.test || strings.HasPrefix(f.pkg, "testing/") || strings.HasPrefix(f.pkg, "examples/")
}

// comments returns every comment and every string literal of a file.
func (f *file) commentsAndStrings() []string {
	var texts []string
	for _, group := range f.ast.Comments {
		texts = append(texts, group.Text())
	}
	return append(texts, f.strings()...)
}

// strings returns every string literal of a file, as it is written.
func (f *file) strings() []string {
	var texts []string
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			texts = append(texts, lit.Value)
		}
		return true
	})
	return texts
}
