package routing

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/tideway-go/tideway/asgi"
)

// A Route leads the paths that it matches to an app. [Path], [Mount] and [Regexp] make one; [URLs] takes them.
type Route struct {
	kind     string         // "Path", "Mount" or "Regexp"
	text     string         // as it was written
	pattern  pattern        // of Path and Mount
	expr     *regexp.Regexp // of Regexp
	literal  string         // what every path that matches begins with
	captures []string       // the names of the parameters
	defaults []param
	app      asgi.App
	where    string // file and line
}

// Path is a route for the paths that match a pattern as a whole; the package comment has the patterns.
//
// It panics when the pattern cannot be read or app is nil.
func Path(pattern string, app asgi.App) Route {
	r := Route{kind: "Path", text: pattern, app: app, where: caller()}
	p, err := parsePattern(pattern)
	if err != nil {
		mistake(r.where, "Path(%q): %v", pattern, err)
	}
	return r.withPattern(p)
}

// Mount is a route for all paths below a prefix, which is a pattern that ends with a slash. Routers below it, behind any
// middleware, see what follows the prefix, beginning with a slash: below Mount("/api/", …) the path /api/x is /x. The scope's
// Path and RootPath stay as they are.
//
// It panics when the prefix cannot be read or app is nil.
func Mount(prefix string, app asgi.App) Route {
	r := Route{kind: "Mount", text: prefix, app: app, where: caller()}
	p, err := parsePattern(prefix)
	switch {
	case err != nil:
	case p[len(p)-1].tail:
		err = fmt.Errorf("it hands on the rest of the path by itself: remove {%s...}", p[len(p)-1].text)
	case p[len(p)-1] != segment{}:
		err = fmt.Errorf("a prefix ends with a slash: write %q", prefix+"/")
	}
	if err != nil {
		mistake(r.where, "Mount(%q): %v", prefix, err)
	}
	p[len(p)-1] = segment{tail: true}
	return r.withPattern(p)
}

func (r Route) withPattern(p pattern) Route {
	r.checkApp()
	r.pattern = p
	fixed := true // up to here all segments are literals
	for _, s := range p {
		switch {
		case s.conv != nil || s.tail:
			fixed = false
			if s.text != "" {
				r.captures = append(r.captures, s.text)
			}
		case fixed:
			r.literal += "/" + s.text
		}
	}
	return r
}

// Regexp is a route for the paths in which a regular expression is found. The path begins with a slash and is decoded; ^
// and $ stand for its ends, and without them the expression may match anywhere: "bar" is found in /a/bar/b. Named groups
// are parameters; without any named group the others are [Args]. Routers below a Regexp route see what follows the match, so
// an expression that ends in a slash and has no $ works as [Mount] does.
//
// It panics when the expression cannot be read or can never match, or app is nil.
func Regexp(expr string, app asgi.App) Route {
	r := Route{kind: "Regexp", text: expr, app: app, where: caller()}
	r.checkApp()
	re, err := regexp.Compile(expr)
	if err != nil {
		mistake(r.where, "Regexp(%q): %v", expr, err)
	}
	if startsElsewhere(expr) {
		mistake(r.where, "Regexp(%q): it can never match, because paths begin with a slash: write %q", expr,
			"^/"+strings.TrimPrefix(expr, "^"))
	}
	r.expr = re
	for _, name := range re.SubexpNames() {
		if name == "" {
			continue
		}
		if slices.Contains(r.captures, name) {
			mistake(r.where, "Regexp(%q): two groups are named %q: rename one", expr, name)
		}
		r.captures = append(r.captures, name)
	}
	return r
}

// startsElsewhere reports whether an expression is bound to the beginning of the path and demands something else than a
// slash there.
func startsElsewhere(expr string) bool {
	tree, err := syntax.Parse(expr, syntax.Perl)
	return err == nil && tree.Op == syntax.OpConcat && tree.Sub[0].Op == syntax.OpBeginText && !mayTakeSlash(tree)
}

// mayTakeSlash reports whether what an expression matches can begin with a slash. In doubt it can.
func mayTakeSlash(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpLiteral:
		return re.Rune[0] == '/'
	case syntax.OpCharClass:
		for i := 0; i < len(re.Rune); i += 2 {
			if re.Rune[i] <= '/' && '/' <= re.Rune[i+1] {
				return true
			}
		}
		return false
	case syntax.OpCapture, syntax.OpPlus:
		return mayTakeSlash(re.Sub[0])
	case syntax.OpRepeat:
		return re.Min == 0 || mayTakeSlash(re.Sub[0])
	case syntax.OpAlternate:
		return slices.ContainsFunc(re.Sub, mayTakeSlash)
	case syntax.OpConcat:
		i := slices.IndexFunc(re.Sub, func(sub *syntax.Regexp) bool { return sub.Op != syntax.OpBeginText })
		return i < 0 || mayTakeSlash(re.Sub[i])
	}
	return true
}

// With adds parameters that the path does not have, so that one app can serve several routes:
//
//	routing.Path("/latest/", list).With(map[string]string{"page": "1"})
//
// They hide parameters of the same name of outer routes. It panics when a name is one that the route itself finds in the
// path: one of the two values would be of no use.
func (r Route) With(params map[string]string) Route {
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if slices.Contains(r.captures, name) {
			mistake(r.where, "%s(%q): With sets %q, which the path has too: rename one of them", r.kind, r.text, name)
		}
		r.defaults = append(slices.Clip(r.defaults), param{name, params[name]})
	}
	return r
}

func (r Route) checkApp() {
	if r.app == nil {
		mistake(r.where, "%s(%q): the app is nil: pass the app that serves the route", r.kind, r.text)
	}
}

// shadows reports whether s, later in the same list, can never be reached because of r. Mounts shadow nothing, since the
// routers below them may have no route; what two regular expressions have in common is not known unless they are equal.
func (r Route) shadows(s Route) bool {
	switch {
	case r.kind == "Regexp" || s.kind == "Regexp":
		return r.kind == s.kind && r.text == s.text
	case r.kind == "Mount":
		return false
	}
	return r.pattern.covers(s.pattern)
}

// match matches what is left of a path. It appends to params, which may lie on the caller's stack.
func (r *Route) match(path string, params []param) (_ []param, args []string, rest string, ok bool) {
	if r.expr != nil {
		return r.matchExpr(path, params)
	}
	params, rest, ok = r.pattern.match(path, params)
	return params, nil, rest, ok
}

func (r *Route) matchExpr(path string, params []param) (_ []param, args []string, rest string, ok bool) {
	if path, ok = decode(path); !ok {
		return nil, nil, "", false
	}
	at := r.expr.FindStringSubmatchIndex(path)
	if at == nil {
		return nil, nil, "", false
	}
	for i, name := range r.expr.SubexpNames() {
		from, to := at[2*i], at[2*i+1]
		switch {
		case i == 0 || from < 0:
		case name != "":
			params = append(params, param{name, path[from:to]})
		case len(r.captures) == 0:
			args = append(args, path[from:to])
		}
	}
	rest = "/"
	if left := path[at[1]:]; left != "" {
		rest += strings.TrimLeft((&url.URL{Path: left}).EscapedPath(), "/")
	}
	return params, args, rest, true
}
