package archtest

import (
	"errors"
	"go/ast"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// apiDir is where the exported API of each package is kept, below the module's root.
const apiDir = "testing/archtest/testdata/api"

func checkAPI(tr *tree) []string {
	var broken []string
	for _, pkg := range append(tr.packages(), orphans(tr)...) {
		golden, err := fs.ReadFile(tr.fs, path.Join(apiDir, pkg+".txt"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return append(broken, err.Error())
		}
		want, got := strings.Split(strings.TrimSuffix(string(golden), "\n"), "\n"), lines(exported(tr, pkg))
		for _, line := range got {
			if !slices.Contains(want, line) {
				broken = append(broken, pkg+": new: "+line)
			}
		}
		for _, line := range want {
			if line != "" && !slices.Contains(got, line) {
				broken = append(broken, pkg+": gone: "+line)
			}
		}
	}
	return broken
}

// orphans are packages that have a golden file and nothing else.
func orphans(tr *tree) []string {
	var names []string
	_ = fs.WalkDir(tr.fs, apiDir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err // there are no golden files yet
		}
		pkg := strings.TrimSuffix(strings.TrimPrefix(name, apiDir+"/"), ".txt")
		if !d.IsDir() && !slices.Contains(tr.packages(), pkg) {
			names = append(names, pkg)
		}
		return nil
	})
	return names
}

// writeAPI rewrites the golden files.
func writeAPI(tr *tree, root string) error {
	dir := filepath.Join(root, filepath.FromSlash(apiDir))
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	for _, pkg := range tr.packages() {
		api := lines(exported(tr, pkg))
		if len(api) == 0 {
			continue
		}
		name := filepath.Join(dir, filepath.FromSlash(pkg)+".txt")
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(strings.Join(api, "\n")+"\n"), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// A symbol is one exported name of a package.
type symbol struct {
	owner string // the type of a field or a method; empty for a name of the package itself
	name  string
	line  string // how it is written in the golden file
	pos   token.Pos
}

// lines returns the lines of the golden file of some symbols. Files for several systems may declare a name twice.
func lines(symbols []symbol) []string {
	var all []string
	for _, s := range symbols {
		all = append(all, s.line)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// exported returns the exported names of a package that others can import, methods and struct fields included. What an
// unexported type brings to an exported struct that embeds it belongs to that struct.
func exported(tr *tree, pkg string) []symbol {
	if tr.isMain(pkg) || ownerOf(pkg) != pkg {
		return nil
	}
	decls := declarations(tr, pkg)
	var all []symbol
	for _, decl := range decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			all = append(all, ofFunc(decl)...)
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				all = append(all, ofSpec(decl.Tok, spec)...)
			}
		}
	}
	for _, s := range all {
		if embedded, ok := strings.CutPrefix(s.line, "embedded "+s.name+"."); ok && s.owner == "" {
			all = append(all, promoted(decls, strings.TrimPrefix(embedded, "*"), s.name)...)
		}
	}
	return all
}

func declarations(tr *tree, pkg string) []ast.Decl {
	var all []ast.Decl
	for _, f := range tr.in(pkg, false) {
		all = append(all, f.ast.Decls...)
	}
	return all
}

// promoted returns what an exported struct has of an unexported type of its package.
func promoted(decls []ast.Decl, from, to string) []symbol {
	if ast.IsExported(from) || strings.Contains(from, ".") {
		return nil
	}
	var all []symbol
	for _, decl := range decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			if receiver, owner := receiverOf(decl); owner == from && decl.Name.IsExported() {
				receiver = strings.Replace(receiver, from, to, 1)
				all = append(all, symbol{to, decl.Name.Name, "method (" + receiver + ") " + decl.Name.Name + signature(decl), decl.Name.Pos()})
			}
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				if t, ok := spec.(*ast.TypeSpec); ok && t.Name.Name == from {
					if s, ok := t.Type.(*ast.StructType); ok {
						all = append(all, ofMembers("field", to, s.Fields)...)
					}
				}
			}
		}
	}
	return all
}

func ofFunc(f *ast.FuncDecl) []symbol {
	if !f.Name.IsExported() {
		return nil
	}
	if f.Recv == nil {
		return []symbol{{"", f.Name.Name, "func " + f.Name.Name + typeParams(f.Type.TypeParams) + signature(f), f.Name.Pos()}}
	}
	receiver, owner := receiverOf(f)
	if !ast.IsExported(owner) {
		return nil
	}
	return []symbol{{owner, f.Name.Name, "method (" + receiver + ") " + f.Name.Name + signature(f), f.Name.Pos()}}
}

func signature(f *ast.FuncDecl) string { return strings.TrimPrefix(types.ExprString(f.Type), "func") }

// receiverOf returns the receiver of a method as it is written, and the name of its type.
func receiverOf(f *ast.FuncDecl) (receiver, owner string) {
	if f.Recv == nil {
		return "", ""
	}
	receiver = types.ExprString(f.Recv.List[0].Type)
	owner, _, _ = strings.Cut(strings.TrimPrefix(receiver, "*"), "[")
	return receiver, owner
}

func ofSpec(kind token.Token, spec ast.Spec) []symbol {
	switch spec := spec.(type) {
	case *ast.ValueSpec:
		return ofValues(kind, spec)
	case *ast.TypeSpec:
		if spec.Name.IsExported() {
			return ofType(spec)
		}
	}
	return nil
}

func ofValues(kind token.Token, spec *ast.ValueSpec) []symbol {
	var all []symbol
	for i, name := range spec.Names {
		if !name.IsExported() {
			continue
		}
		line := kind.String() + " " + name.Name
		if spec.Type != nil {
			line += " " + types.ExprString(spec.Type)
		}
		if i < len(spec.Values) && kind == token.CONST {
			line += " = " + types.ExprString(spec.Values[i])
		}
		all = append(all, symbol{"", name.Name, line, name.Pos()})
	}
	return all
}

func ofType(spec *ast.TypeSpec) []symbol {
	name := spec.Name.Name
	line := "type " + name + typeParams(spec.TypeParams) + " "
	if spec.Assign.IsValid() {
		line += "= "
	}
	var members []symbol
	switch t := spec.Type.(type) {
	case *ast.StructType:
		line += "struct"
		members = ofMembers("field", name, t.Fields)
	case *ast.InterfaceType:
		line += "interface"
		members = ofMembers("method", name, t.Methods)
	default:
		line += types.ExprString(t)
	}
	return append([]symbol{{"", name, line, spec.Name.Pos()}}, members...)
}

// ofMembers returns the exported fields of a struct, or the methods of an interface.
func ofMembers(kind, owner string, list *ast.FieldList) []symbol {
	var all []symbol
	for _, field := range list.List {
		text := types.ExprString(field.Type)
		for _, name := range field.Names {
			if name.IsExported() {
				member := kind + " " + owner + "." + name.Name + " " + text
				if kind == "method" {
					member = "method (" + owner + ") " + name.Name + strings.TrimPrefix(text, "func")
				}
				all = append(all, symbol{owner, name.Name, member, name.Pos()})
			}
		}
		if len(field.Names) == 0 { // embedded: shown by the type's own name
			all = append(all, symbol{"", owner, "embedded " + owner + "." + text, field.Pos()})
		}
	}
	return all
}

func typeParams(list *ast.FieldList) string {
	if list == nil {
		return ""
	}
	var params []string
	for _, field := range list.List {
		var names []string
		for _, name := range field.Names {
			names = append(names, name.Name)
		}
		params = append(params, strings.Join(names, ", ")+" "+types.ExprString(field.Type))
	}
	return "[" + strings.Join(params, ", ") + "]"
}
