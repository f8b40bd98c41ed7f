package archtest

import (
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// checkShown demands that every exported name is used by an example, a test or a suite of this module: a name of a package
// as pkg.Name, or bare in a test of the package itself; a field or a method by its name in a file that knows the
// package; a type also through a name that makes, takes or holds it.
func checkShown(tr *tree) []string {
	uses := map[string]*used{}
	for _, f := range tr.files {
		if f.demonstrates() {
			collect(f, uses)
		}
	}
	var broken []string
	for _, pkg := range tr.packages() {
		u, symbols := uses[pkg], exported(tr, pkg)
		var through strings.Builder // the lines of what is used
		for _, s := range symbols {
			if u.shows(s) && !strings.HasPrefix(s.line, "type ") {
				through.WriteString(s.line + "\n")
			}
		}
		for _, s := range symbols {
			isType := strings.HasPrefix(s.line, "type ")
			if u.shows(s) || isType && regexp.MustCompile(`\b`+s.name+`\b`).MatchString(through.String()) {
				continue
			}
			name := strings.TrimPrefix(s.owner+"."+s.name, ".")
			broken = append(broken, tr.at(s.pos, "%s.%s is exported but no example or test uses it", path.Base(pkg), name))
		}
	}
	return slices.Compact(broken)
}

// implicit methods are called by package errors, not by their names.
var implicit = []string{"As", "Is", "Unwrap"}

// shows reports whether a name is used.
func (u *used) shows(s symbol) bool {
	switch {
	case u == nil:
		return false
	case s.owner != "":
		return u.members[s.name] || slices.Contains(implicit, s.name)
	}
	return u.names[s.name]
}

// used is what the examples and tests use of one package.
type used struct {
	names   map[string]bool // pkg.Name, or Name in a test of the package itself
	members map[string]bool // what stands after a dot, before a colon in a literal, or is implemented, where the package is known
}

// collect notes what one file uses of the packages of this module.
func collect(f *file, uses map[string]*used) {
	known := map[string]string{} // local name of an import: package
	for _, spec := range f.ast.Imports {
		name, _ := strconv.Unquote(spec.Path.Value)
		if pkg, ours := strings.CutPrefix(name, module+"/"); ours {
			local := path.Base(pkg)
			if spec.Name != nil {
				local = spec.Name.Name
			}
			known[local] = pkg
		}
	}
	inside := f.test && !strings.HasSuffix(f.ast.Name.Name, "_test")
	of := func(pkg string) *used {
		if uses[pkg] == nil {
			uses[pkg] = &used{map[string]bool{}, map[string]bool{}}
		}
		return uses[pkg]
	}
	member := func(name string) {
		for _, pkg := range known {
			of(pkg).members[name] = true
		}
		of(f.pkg).members[name] = true
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && known[x.Name] != "" {
				of(known[x.Name]).names[n.Sel.Name] = true
			}
			member(n.Sel.Name)
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok {
				member(key.Name)
			}
		case *ast.FuncDecl:
			if n.Recv != nil { // an implementation of an interface
				member(n.Name.Name)
			}
		case *ast.Ident:
			if inside {
				of(f.pkg).names[n.Name] = true
			}
		}
		return true
	})
}
