package archtest

import (
	"fmt"
	"regexp"
	"strings"
)

// promises are numbered in the comment of the package that makes them.
var promises = []struct {
	letter string
	count  int
	pkg    string
}{
	{"L", 18, "layers"},
	{"C", 10, "consumers"},
	{"S", 8, "asgi/server"},
	{"SE", 4, "asgi/middleware/sessions"},
	{"A", 7, "asgi/middleware/auth"},
	{"J", 4, "asgi/middleware/auth/jwt"},
}

func checkPromises(tr *tree) []string {
	var broken []string
	for _, p := range promises {
		manual, tests := packageComment(tr, p.pkg), testStrings(tr)
		if manual == "" {
			continue // the package is not there; the exported API says so
		}
		for i := range p.count {
			number := fmt.Sprintf("%s%d", p.letter, i+1)
			word := regexp.MustCompile(`\b` + number + `\b`)
			if !word.MatchString(manual) {
				broken = append(broken, number+": the package comment of "+p.pkg+" does not make it")
			}
			if !word.MatchString(tests) {
				broken = append(broken, number+": no test prints it when it fails")
			}
		}
	}
	return broken
}

func packageComment(tr *tree, pkg string) string {
	var text strings.Builder
	for _, f := range tr.in(pkg, false) {
		text.WriteString(f.ast.Doc.Text())
	}
	return text.String()
}

// testStrings joins the string literals of all tests and suites, this package's own left out.
func testStrings(tr *tree) string {
	var text strings.Builder
	for _, f := range tr.files {
		if f.demonstrates() && f.pkg != "testing/archtest" {
			text.WriteString(strings.Join(f.strings(), "\n") + "\n")
		}
	}
	return text.String()
}
