package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// checkManual looks for package comments, one per package.
func checkManual(tr *tree) []string {
	var broken []string
	for _, pkg := range tr.packages() {
		files := tr.in(pkg, false)
		if len(files) == 0 {
			continue
		}
		begin := "Package " + files[0].ast.Name.Name + " "
		if tr.isMain(pkg) {
			begin = "Command " + path.Base(pkg) + " "
		}
		var comments int
		for _, f := range files {
			if f.ast.Doc != nil {
				comments++
			}
		}
		switch comment := packageComment(tr, pkg); {
		case comments != 1:
			broken = append(broken, fmt.Sprintf("%s has %d package comments, want one", pkg, comments))
		case !strings.HasPrefix(comment, begin):
			broken = append(broken, fmt.Sprintf("%s: the package comment does not begin with %q", pkg, begin))
		}
	}
	return broken
}

var shared = regexp.MustCompile(`\b(sync\.Pool|sync\.WaitGroup|time\.Timer|time\.Ticker|time\.NewTimer|time\.NewTicker|time\.AfterFunc|chan)\b`)

// checkGlobals looks for what must not outlive its owner in package variables; functions in their values may use it.
func checkGlobals(tr *tree) []string {
	return each(tr, func(f *file) []string {
		var broken []string
		for _, decl := range f.ast.Decls {
			vars, ok := decl.(*ast.GenDecl)
			if !ok || vars.Tok != token.VAR || f.test {
				continue
			}
			for _, spec := range vars.Specs {
				spec := spec.(*ast.ValueSpec)
				for _, v := range append([]ast.Expr{spec.Type}, spec.Values...) {
					if v == nil {
						continue
					}
					// ExprString leaves the bodies of functions out.
					if word := shared.FindString(types.ExprString(v)); word != "" {
						broken = append(broken, tr.at(spec.Pos(), "%s holds a %s", spec.Names[0].Name, word))
						break
					}
				}
			}
		}
		return broken
	})
}

// checkGoroutines looks for go statements without a comment, on their own line or just above.
func checkGoroutines(tr *tree) []string {
	return each(tr, func(f *file) []string {
		commented := map[int]bool{}
		for _, group := range f.ast.Comments {
			commented[tr.fset.Position(group.Pos()).Line] = true
			commented[tr.fset.Position(group.End()).Line+1] = true
		}
		var broken []string
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if n, ok := n.(*ast.GoStmt); ok && !f.test && !commented[tr.fset.Position(n.Pos()).Line] {
				broken = append(broken, tr.at(n.Pos(), "who ends this goroutine, and who waits for it?"))
			}
			return true
		})
		return broken
	})
}

// checkWaitGroups looks for wait groups that start goroutines and that nobody of the package waits for.
func checkWaitGroups(tr *tree) []string {
	var broken []string
	for _, pkg := range tr.packages() {
		files := tr.in(pkg, false)
		groups, waited := map[string]bool{}, map[string]bool{}
		var starts []*ast.SelectorExpr
		for _, f := range files {
			ast.Inspect(f.ast, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.Field:
					addWaitGroups(groups, n.Names, n.Type)
				case *ast.ValueSpec:
					addWaitGroups(groups, n.Names, n.Type)
				case *ast.SelectorExpr:
					if n.Sel.Name == "Wait" {
						waited[lastName(n.X)] = true
					} else if n.Sel.Name == "Go" {
						starts = append(starts, n)
					}
				}
				return true
			})
		}
		for _, s := range starts {
			if name := lastName(s.X); groups[name] && !waited[name] {
				broken = append(broken, tr.at(s.Pos(), "who waits for the wait group %s?", name))
			}
		}
	}
	return broken
}

// addWaitGroups notes the names that are declared as a sync.WaitGroup.
func addWaitGroups(groups map[string]bool, names []*ast.Ident, typ ast.Expr) {
	if typ == nil || strings.TrimPrefix(types.ExprString(typ), "*") != "sync.WaitGroup" {
		return
	}
	for _, n := range names {
		groups[n.Name] = true
	}
}

// lastName is the last identifier of a selector, "helpers" of c.srv.helpers.
func lastName(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.SelectorExpr:
		return x.Sel.Name
	}
	return ""
}

// checkSleep looks for pauses in tests.
func checkSleep(tr *tree) []string {
	return each(tr, func(f *file) []string {
		var broken []string
		if !f.test {
			return nil
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok || sel.Sel.Name != "Sleep" {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && (x.Name == "time" || x.Name == "chromedp") {
				broken = append(broken, tr.at(n.Pos(), "%s.Sleep", x.Name))
			}
			return true
		})
		return broken
	})
}

// checkLeaks looks for the leak check. A command without tests may do without.
func checkLeaks(tr *tree) []string {
	var broken []string
	for _, pkg := range tr.packages() {
		tests := tr.in(pkg, true)
		if tr.isMain(pkg) && len(tests) == 0 {
			continue
		}
		if !slices.ContainsFunc(tests, checksLeaks) {
			broken = append(broken, pkg+": write func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }")
		}
	}
	return broken
}

func checksLeaks(f *file) bool {
	for _, decl := range f.ast.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || fn.Name.Name != "TestMain" || fn.Body == nil {
			continue
		}
		found := false
		ast.Inspect(fn.Body, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			found = found || ok && sel.Sel.Name == "VerifyTestMain"
			return true
		})
		return found
	}
	return false
}

func checkFileLength(tr *tree) []string {
	return each(tr, func(f *file) []string {
		if n := strings.Count(f.text, "\n"); !f.test && n > tr.fileLines {
			return []string{fmt.Sprintf("%s: %d lines", f.path, n)}
		}
		return nil
	})
}

func checkFunctionLength(tr *tree) []string {
	return each(tr, func(f *file) []string {
		var broken []string
		for _, decl := range f.ast.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || f.test || strings.Contains(fn.Doc.Text(), "long because") {
				continue
			}
			n := tr.fset.Position(fn.End()).Line - tr.fset.Position(fn.Pos()).Line + 1
			if n > tr.functionLines {
				broken = append(broken, tr.at(fn.Pos(), "%s has %d lines", fn.Name.Name, n))
			}
		}
		return broken
	})
}

var vague = regexp.MustCompile(`^(utils?|helpers?|common|types|misc)(_test)?\.go$`)

func checkFileNames(tr *tree) []string {
	return each(tr, func(f *file) []string {
		if vague.MatchString(path.Base(f.path)) {
			return []string{f.path}
		}
		return nil
	})
}

// The words are put together here so that this file does not break its own rule.
var leftForLater = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|X` + `XX)\b|not ` + `implemented`)

func checkUnfinished(tr *tree) []string {
	return each(tr, func(f *file) []string {
		var broken []string
		for i, line := range strings.Split(f.text, "\n") {
			if word := leftForLater.FindString(line); word != "" {
				broken = append(broken, fmt.Sprintf("%s:%d: %s", f.path, i+1, word))
			}
		}
		return broken
	})
}

var house = strings.Fields("go.mod go.sum asgi consumers routing layers testing examples README.md DESIGN.md CHANGELOG.md")

func checkTopLevel(tr *tree) []string {
	entries, err := fs.ReadDir(tr.fs, ".")
	if err != nil {
		return []string{err.Error()}
	}
	var broken []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(house, e.Name()) {
			broken = append(broken, e.Name())
		}
	}
	return broken
}
